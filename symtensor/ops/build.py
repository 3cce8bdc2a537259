"""Building nodes from what users write: numbers, arrays, lists, tensors.

`apply` puts an op on tensors; `operands` turns mixed Python operands into tensors of one dtype (NEP
50: Python scalars are weak) and one shape. Broadcasting becomes explicit here: below this file
elementwise operands always have equal shapes. Where two sizes are not provably equal a
``specify_shape`` guard is put in, and the call checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, DTypeError, OutOfRangeError, SymtensorError
from symtensor.ir import location
from symtensor.ir.dims import Dim, DimExpr
from symtensor.ir.dtypes import DType, as_dtype, promote
from symtensor.ir.node import Op, describe_operand, make_node, results
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import unify_shapes
from symtensor.ops.attributes import index_of
from symtensor.ops.inputs import constant, dim_value

TensorLike = Any
"""A Tensor, a NumPy array or scalar, a (nested) list of numbers, a Python number or a Dim."""


def apply(op: Op, *inputs: Tensor, name: str | None = None, **attrs: Any) -> Tensor:
    """Return the result of `op` on `inputs` as a tensor."""
    return Tensor(make_node(op, [x.node for x in inputs], attrs, name=name))


def apply_multi(op: Op, *inputs: Tensor, **attrs: Any) -> tuple[Tensor, ...]:
    """Return all results of an op that has several."""
    return tuple(Tensor(r) for r in results(make_node(op, [x.node for x in inputs], attrs)))


def is_weak(value: Any) -> bool:
    """Return True for Python bools, ints and floats, whose dtype yields to other operands."""
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def as_tensor(value: TensorLike, dtype: DType | None = None) -> Tensor:
    """Return `value` as a tensor; Python scalars take `dtype` when they fit it.

    Raises `DTypeError` for values that are not numeric and `OutOfRangeError` for a Python int
    that an integer `dtype` can't hold.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, DimExpr):
        return dim_value(value)
    if dtype is not None and is_weak(value):
        return _weak_constant(value, as_dtype(dtype))
    if isinstance(value, (list, tuple)) and _holds_tensor(value):
        raise DTypeError(
            "a list that holds tensors is not a tensor",
            help="join them with symtensor.stack",
            code="ST0204",
        )
    return constant(value)


def _holds_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, (list, tuple)) and any(map(_holds_tensor, value))
    )


def _weak_constant(value: Any, dtype: DType) -> Tensor:
    if dtype.is_integer and isinstance(value, int):
        info = np.iinfo(dtype.numpy)
        if not info.min <= value <= info.max:
            raise OutOfRangeError(
                f"the Python integer {value} does not fit {dtype}",
                help="cast the tensor to a wider dtype first",
            )
    return constant(value, dtype)


def weak_promote(values: Sequence[TensorLike]) -> DType:
    """Return the common dtype of operands as NumPy 2 does: Python scalars are weak."""
    strong = [v.dtype for v in values if isinstance(v, Tensor)]
    weak = [v for v in values if not isinstance(v, Tensor)]
    if not strong:
        return as_dtype(np.result_type(*(np.asarray(v) for v in weak)))
    base = promote(*strong)
    for v in weak:
        if isinstance(v, bool) or base.is_floating or (base.is_integer and isinstance(v, int)):
            continue
        base = as_dtype(np.result_type(base.numpy, v))
    return base


def operands(
    values: Sequence[TensorLike],
    domain: Callable[[DType], DType] | None = None,
    op: str = "broadcast",
) -> list[Tensor]:
    """Return operands as tensors of one dtype and one shape; errors speak of `op`.

    `domain` maps the promoted dtype to the one the op computes in, or raises `DTypeError`.
    """
    values = [v if isinstance(v, Tensor) or is_weak(v) else as_tensor(v) for v in values]
    dtype = weak_promote(values)
    if domain is not None:
        dtype = domain(dtype)
    return broadcast(*(cast_to(as_tensor(v, dtype), dtype) for v in values), op=op)


def cast_to(x: Tensor, dtype: DType) -> Tensor:
    """Return `x` in `dtype`; itself when it has it."""
    from symtensor.ops import logic

    return x if x.dtype is dtype else apply(logic.CAST, x, dtype=dtype)


def broadcast(*tensors: Tensor, op: str = "broadcast") -> list[Tensor]:
    """Return the tensors expanded to their common shape, with guards where it can't be proved.

    `op` is whom errors speak of.
    """
    from symtensor.ops import movement

    try:
        unified = unify_shapes([x.shape for x in tensors])
    except SymtensorError as error:
        error.add_context(op, [describe_operand(x.node) for x in tensors], location.current())
        raise
    out = []
    for x, guard in zip(tensors, unified.guards, strict=True):
        guarded = x if guard is None else movement.specify_shape(x, guard)
        out.append(movement.broadcast_to(guarded, unified.shape))
    return out


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return `axis` counted from the front; raises for one outside ``[-ndim, ndim)``."""
    index = index_of(axis)
    if index is None:
        raise AttributeValueError(f"expected an integer axis, found {axis!r}", code="ST0301")
    if not -ndim <= index < ndim:
        raise AttributeValueError(
            f"axis {index} is out of range for a tensor of {ndim} axes",
            help=f"use an axis from {-ndim} to {ndim - 1}" if ndim else "a 0-d tensor has no axis",
            code="ST0301",
        )
    return index % ndim if ndim else 0


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return axes as a sorted tuple; None means all, duplicates are refused."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(sorted(normalize_axis(a, ndim) for a in given))
    if len(set(axes)) != len(axes):
        raise AttributeValueError(f"an axis is named twice in {axis!r}", code="ST0301")
    return axes


def static_int(dim: Dim, what: str) -> int:
    """Return a dim that must be a known int; `what` names it in the error."""
    if isinstance(dim, int):
        return dim
    raise AttributeValueError(
        f"{what} must be a fixed size, found the symbolic size {dim}", code="ST0305"
    )
