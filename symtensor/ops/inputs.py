"""Where values enter a graph: placeholders, variables, constants, body parameters, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symtensor.errors import AttributeValueError, SymtensorError
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import as_dtype, int64
from symtensor.ir.literal import Literal
from symtensor.ir.node import fresh_uid, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, tensor_type
from symtensor.ops.attributes import as_dim, as_sizes
from symtensor.ops.registry import define
from symtensor.vocabulary import require_name


def _no_value(xp: Any, **attrs: Any) -> Any:
    raise SymtensorError("a placeholder has no value of its own: pass it as an input")


Shard = Sequence[str | None]
"""For each axis of a tensor the mesh axis over which it is cut, or None."""


def infer_input(type_: TensorType, shard: Any = None) -> TensorType:
    """Return the type of a placeholder or variable; refuse a `shard` that does not fit it."""
    if shard is None:
        return type_
    named = [axis for axis in shard if axis is not None] if isinstance(shard, tuple) else [shard]
    if (
        not isinstance(shard, tuple)
        or len(shard) != type_.ndim
        or not all(isinstance(axis, str) for axis in named)
        or len(set(named)) != len(named)
    ):
        raise AttributeValueError(
            f"shard: expected a mesh axis or None for each of {type_.ndim} axes, found {shard!r}",
            help='for example shard=("batch", None) for a matrix',
        )
    return type_


def shard_attribute(type_: TensorType, shard: Shard | None) -> dict[str, Any]:
    """Return the attribute that keeps a `shard`; none where there is none."""
    if shard is None:
        return {}
    kept = tuple(shard) if isinstance(shard, list) else shard
    infer_input(type_, kept)
    return {"shard": kept}


PLACEHOLDER = define(
    "placeholder",
    infer=lambda *, type, uid, shard=None: infer_input(type, shard),
    evaluate=_no_value,
    doc="A tensor fed at each call.",
)

PARAMETER = define(
    "parameter",
    infer=lambda *, type, index: type,
    evaluate=_no_value,
    doc="The index-th input of a body graph (scan, cond, while_loop).",
)

CONSTANT = define(
    "constant",
    infer=lambda *, value: TensorType(value.dtype, value.array.shape),
    evaluate=lambda xp, *, value: value.array,
    doc="A value known when the graph is built.",
)

DIM_VALUE = define(
    "dim_value",
    infer=lambda *, dim: TensorType(int64, ()),
    evaluate=lambda xp, *, dim: xp.asarray(dim, dtype=xp.int64),
    doc="A symbolic size as an int64 scalar.",
)


def placeholder(
    shape: Sequence[Any] = (),
    dtype: Any = "float32",
    name: str | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """Return a tensor that is fed at each call.

    `shape` holds ints, None for a size known only at call time, or names: the same name is the
    same size wherever it occurs. `shard`, for engines with a mesh of devices: for each axis the
    axis of the mesh over which it is cut, or None, as in ``("batch", None)``.
    """
    require_name(name, "a placeholder")
    if isinstance(shape, str):  # which is most often meant as the name
        raise AttributeValueError(
            f"expected a shape, found {shape!r}",
            help=f"write placeholder((), name={shape!r}) or placeholder(({shape!r},))",
            code="ST0306",
        )
    type_ = tensor_type(as_dtype(dtype), as_sizes(shape))
    attrs = {"type": type_, "uid": fresh_uid(), **shard_attribute(type_, shard)}
    return Tensor(make_node(PLACEHOLDER, (), attrs, name=name))


def constant(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Return a tensor of fixed value; the array is copied, later changes to it have no effect."""
    require_name(name, "a constant")
    literal = Literal(value, None if dtype is None else as_dtype(dtype))
    return Tensor(make_node(CONSTANT, (), {"value": literal}, name=name))


def dim_value(dim: Dim) -> Tensor:
    """Return a size as an int64 scalar tensor."""
    dim = as_dim(dim, "dim_value: dim")
    if isinstance(dim, int):
        return constant(dim, int64)
    return Tensor(make_node(DIM_VALUE, (), {"dim": dim}))
