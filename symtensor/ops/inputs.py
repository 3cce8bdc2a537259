"""Where values enter a graph: placeholders, variables, constants, body parameters, sizes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from symtensor.errors import AttributeValueError, SymtensorError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr
from symtensor.ir.dtypes import as_dtype, int64
from symtensor.ir.literal import Literal
from symtensor.ir.node import fresh_uid, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, tensor_type
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


def normalize_dim(size: Any, axis: int = 0) -> Dim:
    """Return a Dim for None (a fresh symbol), a name, an int or a Dim."""
    if size is None:
        return D.symbol()
    if isinstance(size, str):
        return D.dim(size)
    if isinstance(size, DimExpr):
        return size
    number = index_of(size)
    if number is None:
        raise AttributeValueError(
            f"size of axis {axis}: expected an int, None, a name or a dim, found {size!r}",
            code="ST0306",
        )
    return number


def index_of(value: Any) -> int | None:
    """Return the int that `value` is by ``__index__``, None for what is none, or not yet, as a tensor."""
    try:
        return int(operator.index(value))
    except TypeError:
        return None


def as_int(value: Any, what: str, least: int | None = None) -> int:
    """Return an integer that a user gave for `what`; anything with ``__index__`` is one."""
    number = index_of(value)
    if number is None or (least is not None and number < least):
        limit = "" if least is None else f" of at least {least}"
        raise AttributeValueError(f"{what}: expected an integer{limit}, found {value!r}")
    return number


def as_dim(value: Any, what: str, least: int | None = None) -> Dim:
    """Return a dim, a name of one, or an integer as `as_int` does; only calls know what dims are."""
    return normalize_dim(value) if isinstance(value, (DimExpr, str)) else as_int(value, what, least)


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
    if isinstance(shape, str):  # else its letters would be sizes
        raise AttributeValueError(
            f"expected a shape, found {shape!r}",
            help=f"write placeholder((), name={shape!r}) or placeholder(({shape!r},))",
            code="ST0306",
        )
    sizes = tuple(normalize_dim(size, axis) for axis, size in enumerate(shape))
    type_ = tensor_type(as_dtype(dtype), sizes)
    attrs = {"type": type_, "uid": fresh_uid(), **shard_attribute(type_, shard)}
    return Tensor(make_node(PLACEHOLDER, (), attrs, name=name))


def constant(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Return a tensor of fixed value; the array is copied, later changes to it have no effect."""
    require_name(name, "a constant")
    literal = Literal(value, None if dtype is None else as_dtype(dtype))
    return Tensor(make_node(CONSTANT, (), {"value": literal}, name=name))


def dim_value(dim: Dim) -> Tensor:
    """Return a size as an int64 scalar tensor."""
    if isinstance(dim, int):
        return constant(dim, int64)
    return Tensor(make_node(DIM_VALUE, (), {"dim": dim}))
