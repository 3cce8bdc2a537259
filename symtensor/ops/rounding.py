"""Rounding to whole numbers and to decimal places, and the float next to another.

Gradients of what rounds are none: it is constant between its steps.
"""

from __future__ import annotations

import builtins

from symtensor.errors import AttributeValueError
from symtensor.ir.tensor import Tensor
from symtensor.ops import logic
from symtensor.ops.attributes import as_int
from symtensor.ops.build import TensorLike, as_tensor
from symtensor.ops.elementwise_rule import (
    FLOATING,
    NUMERIC,
    ElementwiseFunction,
    elementwise,
)

nextafter: ElementwiseFunction = elementwise(
    "nextafter", FLOATING, arity=2,
    evaluate=lambda xp, x, y: xp.where(x == y, y, xp.nextafter(x, y)),
    vjp=lambda g, z, x, y: (g, None),
    scalar=lambda s, x, y: s.select(s.eq(x, y), y, s.nextafter(x, y)),
    doc="The next float after x towards y; y where they are equal, which may be the other zero.",
)  # fmt: skip

floor: ElementwiseFunction = elementwise(
    "floor", NUMERIC,
    evaluate=lambda xp, x: xp.floor(x),
    vjp=lambda g, y, x: (None,),
    scalar=lambda s, x: s.floor(x) if s.dtype(x).is_floating else x,
    doc="The largest whole number not above x.",
)  # fmt: skip

ceil: ElementwiseFunction = elementwise(
    "ceil", NUMERIC,
    evaluate=lambda xp, x: xp.ceil(x),
    vjp=lambda g, y, x: (None,),
    scalar=lambda s, x: s.ceil(x) if s.dtype(x).is_floating else x,
    doc="The least whole number not below x.",
)  # fmt: skip

trunc: ElementwiseFunction = elementwise(
    "trunc", NUMERIC,
    evaluate=lambda xp, x: xp.trunc(x),
    vjp=lambda g, y, x: (None,),
    scalar=lambda s, x: s.trunc(x) if s.dtype(x).is_floating else x,
    doc="x without its fraction.",
)  # fmt: skip

rint: ElementwiseFunction = elementwise(
    "rint", FLOATING,
    evaluate=lambda xp, x: xp.rint(x),
    vjp=lambda g, y, x: (None,),
    scalar=lambda s, x: s.rint(x),
    doc="The nearest whole number, halves to even.",
)  # fmt: skip


def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """Return `x` rounded to `decimals` places, halves to even, by scaling as NumPy does."""
    value, decimals = as_tensor(x), as_int(decimals, "round: decimals")
    if builtins.abs(decimals) > 300:  # 10.0**decimals would be infinite
        raise AttributeValueError(f"round: decimals: expected -300 to 300, found {decimals}")
    if value.dtype.is_bool or (value.dtype.is_integer and decimals >= 0):
        return value
    if value.dtype.is_integer:
        return logic.cast(rint(value / 10**-decimals) * 10**-decimals, value.dtype)
    if decimals == 0:
        return rint(value)
    scale = 10.0 ** builtins.abs(decimals)
    return rint(value * scale) / scale if decimals > 0 else rint(value / scale) * scale
