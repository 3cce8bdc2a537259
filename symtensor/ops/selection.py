"""Functions that give one of their operands: the larger, the smaller, or what a bound leaves.

Equal operands of maximum and minimum share the cotangent; clip sends all of it to x inside and at the
bounds; relu'(0) = 0.
"""

from __future__ import annotations

import math
from typing import Any

from symtensor.ir.tensor import Tensor
from symtensor.ops import logic
from symtensor.ops.build import TensorLike, as_tensor
from symtensor.ops.elementwise_rule import (
    ANY,
    FLOATING,
    NUMERIC,
    ElementwiseFunction,
    elementwise,
)

relu: ElementwiseFunction = elementwise(
    "relu", NUMERIC,
    evaluate=lambda xp, x: xp.where(x <= 0, xp.zeros((), x.dtype), x),
    vjp=lambda g, y, x: (logic.where(x > 0, g, 0),),
    scalar=lambda s, x: s.select(s.le(x, s.const(0, s.dtype(x))), s.const(0, s.dtype(x)), x),
    doc="max(x, 0), and 0.0 of -0.0; relu'(0) = 0.",
)  # fmt: skip


def _winner(g: Tensor, mine: Tensor, other: Tensor) -> Tensor:
    """The cotangent of the operand that is the larger; equal ones get half each."""
    return logic.where(mine > other, g, logic.where(logic.equal(mine, other), g * 0.5, 0))


maximum: ElementwiseFunction = elementwise(
    "maximum", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.maximum(x, y),
    vjp=lambda g, z, x, y: (_winner(g, x, y), _winner(g, y, x)),
    scalar=lambda s, x, y: s.maximum(x, y),
    doc="The larger of x and y; NaN if either is. Equal operands share the gradient.",
)  # fmt: skip

minimum: ElementwiseFunction = elementwise(
    "minimum", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.minimum(x, y),
    vjp=lambda g, z, x, y: (_winner(g, y, x), _winner(g, x, y)),
    scalar=lambda s, x, y: s.minimum(x, y),
    doc="The smaller of x and y; NaN if either is. Equal operands share the gradient.",
)  # fmt: skip


def _ignoring_nan(s: Any, x: Any, y: Any, choose: Any) -> Any:
    if not s.dtype(x).is_floating:
        return choose(x, y)
    return s.select(s.ne(x, x), y, s.select(s.ne(y, y), x, choose(x, y)))


def _known_winner(g: Tensor, mine: Tensor, other: Tensor) -> Tensor:
    return logic.where(logic.isnan(other), g, _winner(g, mine, other))


fmax: ElementwiseFunction = elementwise(
    "fmax", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.fmax(x, y),
    vjp=lambda g, z, x, y: (_known_winner(g, x, y), _known_winner(g, y, x)),
    scalar=lambda s, x, y: _ignoring_nan(s, x, y, s.maximum),
    doc="The larger of x and y, ignoring a NaN.",
)  # fmt: skip

fmin: ElementwiseFunction = elementwise(
    "fmin", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.fmin(x, y),
    vjp=lambda g, z, x, y: (_known_winner(g, -x, -y), _known_winner(g, -y, -x)),
    scalar=lambda s, x, y: _ignoring_nan(s, x, y, s.minimum),
    doc="The smaller of x and y, ignoring a NaN.",
)  # fmt: skip

heaviside: ElementwiseFunction = elementwise(
    "heaviside", FLOATING, arity=2,
    evaluate=lambda xp, x, y: xp.heaviside(x, y),
    vjp=lambda g, z, x, y: (None, logic.where(logic.equal(x, 0), g, 0)),
    scalar=lambda s, x, y: s.select(
        s.eq(x, s.const(0.0, s.dtype(x))), y,
        s.select(s.lt(x, s.const(0.0, s.dtype(x))), s.const(0.0, s.dtype(x)),
                 s.select(s.eq(x, x), s.const(1.0, s.dtype(x)), x))),
    doc="0 below 0, 1 above, y at 0.",
)  # fmt: skip


def _clip_rule(s: Any, x: Any, low: Any, high: Any) -> Any:
    return s.minimum(s.maximum(x, low), high)


def _vjp_clip(
    g: Tensor, y: Tensor, x: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """1 inside and at the bounds; where a bound decides, it gets the cotangent."""
    upper = maximum(x, low) > high
    lower = logic.logical_and(x < low, logic.logical_not(upper))
    inside = logic.logical_not(logic.logical_or(lower, upper))
    return logic.where(inside, g, 0), logic.where(lower, g, 0), logic.where(upper, g, 0)


_clip: ElementwiseFunction = elementwise(
    "clip", NUMERIC, arity=3,
    evaluate=lambda xp, x, low, high: xp.minimum(xp.maximum(x, low), high),
    vjp=_vjp_clip,
    scalar=_clip_rule,
    doc="x limited to [low, high]; high where low > high; NaN in any operand gives NaN.",
)  # fmt: skip


def clip(x: TensorLike, low: TensorLike = None, high: TensorLike = None) -> Tensor:
    """Return `x` limited to [low, high]; either bound may be None.

    The derivative by `x` is 1 inside and at the bounds. A Python integer bound beyond the range of
    an integer `x` limits nothing.
    """
    value = as_tensor(x)
    if low is None and high is None:
        return value
    if value.dtype.is_floating:  # unlike maximum and minimum, a bound does not share the gradient
        below, above = -math.inf if low is None else low, math.inf if high is None else high
        return _clip(value, below, above)
    bounds = [logic.integer_bound(value, b) for b in (low, high)]
    if bounds[0] is None:
        return minimum(value, bounds[1])
    return maximum(value, bounds[0]) if bounds[1] is None else _clip(value, *bounds)


def nan_to_num(
    x: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Return `x` with NaN and infinities replaced, infinities by the largest floats by default."""
    value = as_tensor(x)
    if not value.dtype.is_floating:
        return value
    limit = logic.largest(value.dtype)
    out = logic.where(logic.isnan(value), nan, value)
    out = logic.where(logic.equal(value, math.inf), limit if posinf is None else posinf, out)
    return logic.where(logic.equal(value, -math.inf), -limit if neginf is None else neginf, out)
