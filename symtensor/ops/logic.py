"""Comparisons, logic, bits, selection and casts."""

from __future__ import annotations

from typing import Any

from symtensor.errors import DTypeError
from symtensor.ir.dtypes import as_dtype, bool_
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops.build import TensorLike, apply, as_tensor, broadcast, cast_to, operands
from symtensor.ops.elementwise_rule import ANY, elementwise, same_shapes
from symtensor.ops.families import Elementwise
from symtensor.ops.registry import define
from symtensor.ops.scalars import saturating_cast

less = elementwise(
    "less", ANY, arity=2, result=bool_,
    evaluate=lambda xp, x, y: xp.less(x, y),
    scalar=lambda s, x, y: s.lt(x, y),
    doc="x < y, elementwise; False where either is NaN.",
)  # fmt: skip


# --- cast ----------------------------------------------------------------------------------------

CAST = define(
    "cast",
    infer=lambda x, *, dtype: x.with_dtype(dtype),
    evaluate=lambda xp, x, *, dtype: saturating_cast(x, dtype),
    vjp=lambda g, y, x, *, dtype: (cast(g, x.dtype) if x.dtype.is_floating else None,),
    linear=(0,),
    family=Elementwise(lambda s, x, *, dtype: s.cast(x, dtype)),
    doc="Conversion to another dtype; float to int truncates, saturates, and NaN gives 0.",
)


def cast(x: TensorLike, dtype: Any) -> Tensor:
    """Return `x` in `dtype`. Float to integer truncates and saturates, NaN gives 0."""
    return cast_to(as_tensor(x), as_dtype(dtype))


# --- where ---------------------------------------------------------------------------------------


def _infer_where(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if not condition.dtype.is_bool or x.dtype is not y.dtype:
        raise DTypeError(
            f"expected bool and two equal dtypes, found {condition.dtype}, {x.dtype}, {y.dtype}"
        )
    same_shapes((condition, x, y))
    return x


def _vjp_where(
    g: Tensor, y: Tensor, condition: Tensor, a: Tensor, b: Tensor
) -> tuple[None, Tensor, Tensor]:
    return None, where(condition, g, 0), where(condition, 0, g)


WHERE = define(
    "where",
    infer=_infer_where,
    evaluate=lambda xp, condition, x, y: xp.where(condition, x, y),
    vjp=_vjp_where,
    linear=(1, 2),
    family=Elementwise(lambda s, condition, x, y: s.select(condition, x, y)),
    doc="x where the condition holds, else y.",
)


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """Return `x` where `condition` holds, else `y`; both sides are evaluated.

    `condition` may be of any dtype and is true where it is not zero.
    """
    a, b = operands((x, y))
    return apply(WHERE, *broadcast(cast_to(as_tensor(condition), bool_), a, b))


