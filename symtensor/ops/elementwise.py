"""Arithmetic, powers, exponentials and logarithms, one record each.

Gradients never turn an unselected branch into NaN: where a derivative can be infinite or NaN (sqrt
at 0, log at 0, division by 0, exp beyond its range), the rule multiplies with `masked_multiply`,
which is 0 wherever the incoming cotangent is 0. So the gradient of ``where(x > 0, sqrt(x), 0)`` is 0
at 0, at the price of one compare and select. Products stay plain: an infinite or NaN factor makes
NaN of a zero cotangent. abs'(0) = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symtensor.errors import AttributeValueError
from symtensor.ir.dtypes import float32
from symtensor.ir.tensor import Tensor
from symtensor.ops import logic
from symtensor.ops.build import TensorLike, as_tensor
from symtensor.ops.elementwise_rule import (
    ANY,
    DIVISION,
    FLOATING,
    INTEGER_OR_FLOAT,
    NUMERIC,
    ElementwiseFunction,
    elementwise,
)
from symtensor.ops.rounding import trunc

# --- arithmetic ----------------------------------------------------------------------------------

add: ElementwiseFunction = elementwise(
    "add", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.add(x, y),
    vjp=lambda g, z, x, y: (g, g),
    linear=(0, 1),
    scalar=lambda s, x, y: s.add(x, y),
    doc="x + y; integers wrap, on bools it is `or`.",
)  # fmt: skip

subtract: ElementwiseFunction = elementwise(
    "subtract", NUMERIC, arity=2,
    evaluate=lambda xp, x, y: xp.subtract(x, y),
    vjp=lambda g, z, x, y: (g, -g),
    linear=(0, 1),
    scalar=lambda s, x, y: s.sub(x, y),
    doc="x - y; integers wrap.",
)  # fmt: skip

multiply: ElementwiseFunction = elementwise(
    "multiply", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.multiply(x, y),
    vjp=lambda g, z, x, y: (g * y, g * x),
    scalar=lambda s, x, y: s.mul(x, y),
    doc="x * y; integers wrap, on bools it is `and`.",
)  # fmt: skip

masked_multiply: ElementwiseFunction = elementwise(
    "masked_multiply", FLOATING, arity=2,
    evaluate=lambda xp, g, d: xp.where(g == 0, xp.zeros((), g.dtype), xp.multiply(g, d)),
    vjp=lambda h, z, g, d: (masked_multiply(h, d), h * g),
    scalar=lambda s, g, d: s.select(s.eq(g, s.const(0, s.dtype(g))), s.const(0, s.dtype(g)),
                                    s.mul(g, d)),
    doc="g * d, and 0 where g is 0 whatever d is: a cotangent times a derivative.",
)  # fmt: skip


def _divide_vjp(g: Tensor, z: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Divide by y alone: where it is a value repeated, that is one division and not one per element."""
    by = 1 / y
    return masked_multiply(g, by), masked_multiply(masked_multiply(g, z), -by)


divide: ElementwiseFunction = elementwise(
    "divide", DIVISION, arity=2,
    evaluate=lambda xp, x, y: xp.true_divide(x, y),
    vjp=_divide_vjp,
    scalar=lambda s, x, y: s.div(x, y),
    doc="True division x / y; integers give float64.",
)  # fmt: skip


def _float_remainder(s: Any, x: Any, y: Any) -> Any:
    """The remainder with the sign of y, as NumPy computes it from fmod."""
    zero = s.const(0.0, s.dtype(x))
    mod = s.call("fmod", x, y)
    opposite = s.and_(s.ne(mod, zero), s.xor(s.lt(y, zero), s.lt(mod, zero)))
    out = s.select(opposite, s.add(mod, y), mod)
    signed = s.select(s.eq(mod, zero), s.copysign(zero, y), out)
    return s.select(s.eq(y, zero), mod, signed)


def _float_floor_divide(s: Any, x: Any, y: Any) -> Any:
    """floor(x / y), exact where the quotient is large, as NumPy computes it from fmod."""
    zero, one, half = (s.const(v, s.dtype(x)) for v in (0.0, 1.0, 0.5))
    mod = s.call("fmod", x, y)
    quotient = s.div(s.sub(x, mod), y)
    opposite = s.and_(s.ne(mod, zero), s.xor(s.lt(y, zero), s.lt(mod, zero)))
    quotient = s.select(opposite, s.sub(quotient, one), quotient)
    whole = s.floor(quotient)
    whole = s.select(s.lt(half, s.sub(quotient, whole)), s.add(whole, one), whole)
    whole = s.select(s.eq(quotient, zero), s.copysign(zero, s.div(x, y)), whole)
    return s.select(s.eq(y, zero), s.div(x, y), whole)


floor_divide: ElementwiseFunction = elementwise(
    "floor_divide", INTEGER_OR_FLOAT, arity=2,
    evaluate=lambda xp, x, y: xp.floor_divide(x, y),
    vjp=lambda g, z, x, y: (None, None),
    scalar=lambda s, x, y: (
        _float_floor_divide(s, x, y) if s.dtype(x).is_floating else s.floordiv(x, y)),
    doc="The largest whole number not above x / y; for integers x // 0 is 0.",
)  # fmt: skip

remainder: ElementwiseFunction = elementwise(
    "remainder", INTEGER_OR_FLOAT, arity=2,
    evaluate=lambda xp, x, y: xp.remainder(x, y),
    vjp=lambda g, z, x, y: (g, masked_multiply(-g, floor_divide(x, y))),
    scalar=lambda s, x, y: (
        _float_remainder(s, x, y) if s.dtype(x).is_floating else s.mod(x, y)),
    doc="x - y * floor(x / y), with the sign of y; for integers x % 0 is 0.",
)  # fmt: skip

fmod: ElementwiseFunction = elementwise(
    "fmod", INTEGER_OR_FLOAT, arity=2,
    evaluate=lambda xp, x, y: xp.fmod(x, y),
    vjp=lambda g, z, x, y: (g, masked_multiply(-g, trunc(x / y))),
    scalar=lambda s, x, y: s.call("fmod", x, y),
    doc="The remainder with the sign of x; for integers fmod(x, 0) is 0.",
)  # fmt: skip

negative: ElementwiseFunction = elementwise(
    "negative", NUMERIC,
    evaluate=lambda xp, x: xp.negative(x),
    vjp=lambda g, y, x: (-g,),
    linear=(0,),
    scalar=lambda s, x: s.neg(x),
    doc="-x; the least integer is its own negative.",
)  # fmt: skip

abs: ElementwiseFunction = elementwise(
    "abs", ANY,
    evaluate=lambda xp, x: xp.abs(x),
    vjp=lambda g, y, x: (g * sign(x),),
    scalar=lambda s, x: s.abs(x),
    doc="The absolute value; abs'(0) = 0.",
)  # fmt: skip


def _sign(s: Any, x: Any) -> Any:
    zero, one = s.const(0, s.dtype(x)), s.const(1, s.dtype(x))
    rest = s.select(s.eq(x, zero), zero, x) if s.dtype(x).is_floating else zero
    if s.dtype(x).kind != "u":
        rest = s.select(s.lt(x, zero), s.const(-1, s.dtype(x)), rest)
    return s.select(s.lt(zero, x), one, rest)


sign: ElementwiseFunction = elementwise(
    "sign", NUMERIC,
    evaluate=lambda xp, x: xp.sign(x),
    vjp=lambda g, y, x: (None,),
    scalar=_sign,
    doc="-1, 0 or 1 by the sign of x; NaN stays NaN.",
)  # fmt: skip

copysign: ElementwiseFunction = elementwise(
    "copysign", FLOATING, arity=2,
    evaluate=lambda xp, x, y: xp.copysign(x, y),
    vjp=lambda g, z, x, y: (g * copysign(sign(x), y) * sign(x), None),
    scalar=lambda s, x, y: s.copysign(x, y),
    doc="The magnitude of x with the sign of y.",
)  # fmt: skip

reciprocal: ElementwiseFunction = elementwise(
    "reciprocal", FLOATING,
    evaluate=lambda xp, x: xp.reciprocal(x),
    vjp=lambda g, y, x: (masked_multiply(g, -y * y),),
    scalar=lambda s, x: s.div(s.const(1.0, s.dtype(x)), x),
    doc="1 / x.",
)  # fmt: skip

square: ElementwiseFunction = elementwise(
    "square", NUMERIC,
    evaluate=lambda xp, x: xp.square(x),
    vjp=lambda g, y, x: (g * (2 * x),),
    scalar=lambda s, x: s.mul(x, x),
    doc="x * x.",
)  # fmt: skip

sqrt: ElementwiseFunction = elementwise(
    "sqrt", FLOATING,
    evaluate=lambda xp, x: xp.sqrt(x),
    vjp=lambda g, y, x: (masked_multiply(g, 0.5 / y),),
    scalar=lambda s, x: s.sqrt(x),
    doc="The square root; NaN below 0.",
)  # fmt: skip

rsqrt: ElementwiseFunction = elementwise(
    "rsqrt", FLOATING,
    evaluate=lambda xp, x: xp.true_divide(xp.ones((), x.dtype), xp.sqrt(x)),
    vjp=lambda g, y, x: (masked_multiply(g, -0.5 * y / x),),
    scalar=lambda s, x: s.div(s.const(1.0, s.dtype(x)), s.sqrt(x)),
    doc="1 / sqrt(x).",
)  # fmt: skip

cbrt: ElementwiseFunction = elementwise(
    "cbrt", FLOATING,
    evaluate=lambda xp, x: xp.cbrt(x),
    vjp=lambda g, y, x: (masked_multiply(g, 1 / (3 * y * y)),),
    scalar=lambda s, x: s.call("cbrt", x),
    doc="The real cube root.",
)  # fmt: skip


def numpy_power(xp: Any, x: Any, y: Any) -> Any:
    """Return x to the power y with the special values of C.

    Where one exponent of 0.5 serves all elements, NumPy takes roots: -0.0 of -0.0, NaN of -infinity.
    """
    out = xp.power(x, y)
    if out.dtype.kind != "f":
        return out
    return xp.where((y == 0.5) & ((x == 0) | xp.isinf(x)), xp.abs(x), out)


def _power_value(xp: Any, x: Any, y: Any) -> Any:
    try:
        return numpy_power(xp, x, y)
    except ValueError as error:
        message = "an integer to a negative integer power is no integer: cast to a float dtype"
        raise AttributeValueError(message) from error


_power: ElementwiseFunction = elementwise(
    "power", INTEGER_OR_FLOAT, arity=2,
    evaluate=_power_value,
    vjp=lambda g, z, x, y: (
        masked_multiply(g, logic.where(logic.equal(y, 0), 0, y * _power(x, y - 1))),
        masked_multiply(g, logic.where(x > 0, z * log(logic.where(x > 0, x, 1)), 0)),
    ),
    scalar=lambda s, x, y: s.call("pow", x, y),
    doc="x to the power y; the derivative by y is 0 where x <= 0.",
)  # fmt: skip


def power(x: TensorLike, y: TensorLike) -> Tensor:
    """Return x to the power y.

    Integers to a negative integer power are a ValueError, as in NumPy. The derivative by `y` is
    taken as 0 where x <= 0.
    """
    if isinstance(y, int) and y == 2 and isinstance(x, Tensor) and not x.dtype.is_bool:
        return square(x)  # NumPy's own shortcut: the same bits
    return _power(x, y)


def positive(x: TensorLike) -> Tensor:
    """Return `x` unchanged."""
    return as_tensor(x)


def divmod(x: TensorLike, y: TensorLike) -> tuple[Tensor, Tensor]:
    """Return the floor quotient and the remainder."""
    return floor_divide(x, y), remainder(x, y)


# --- exponentials and logarithms -----------------------------------------------------------------

exp: ElementwiseFunction = elementwise(
    "exp", FLOATING,
    evaluate=lambda xp, x: xp.exp(x),
    vjp=lambda g, y, x: (masked_multiply(g, y),),
    scalar=lambda s, x: s.call("exp", x),
    doc="The exponential of x.",
)  # fmt: skip

exp2: ElementwiseFunction = elementwise(
    "exp2", FLOATING,
    evaluate=lambda xp, x: xp.exp2(x),
    vjp=lambda g, y, x: (masked_multiply(g, y * math.log(2)),),
    scalar=lambda s, x: s.call("exp2", x),
    doc="2 to the power x.",
)  # fmt: skip

expm1: ElementwiseFunction = elementwise(
    "expm1", FLOATING,
    evaluate=lambda xp, x: xp.expm1(x),
    vjp=lambda g, y, x: (masked_multiply(g, exp(x)),),
    scalar=lambda s, x: s.call("expm1", x),
    doc="exp(x) - 1, exact for small x.",
)  # fmt: skip

log: ElementwiseFunction = elementwise(
    "log", FLOATING,
    evaluate=lambda xp, x: xp.log(x),
    vjp=lambda g, y, x: (masked_multiply(g, 1 / x),),
    scalar=lambda s, x: s.call("log", x),
    doc="The natural logarithm.",
)  # fmt: skip

log2: ElementwiseFunction = elementwise(
    "log2", FLOATING,
    evaluate=lambda xp, x: xp.log2(x),
    vjp=lambda g, y, x: (masked_multiply(g, (1 / math.log(2)) / x),),
    scalar=lambda s, x: s.call("log2", x),
    doc="The logarithm to base 2.",
)  # fmt: skip

log10: ElementwiseFunction = elementwise(
    "log10", FLOATING,
    evaluate=lambda xp, x: xp.log10(x),
    vjp=lambda g, y, x: (masked_multiply(g, (1 / math.log(10)) / x),),
    scalar=lambda s, x: s.call("log10", x),
    doc="The logarithm to base 10.",
)  # fmt: skip

log1p: ElementwiseFunction = elementwise(
    "log1p", FLOATING,
    evaluate=lambda xp, x: xp.log1p(x),
    vjp=lambda g, y, x: (masked_multiply(g, 1 / (1 + x)),),
    scalar=lambda s, x: s.call("log1p", x),
    doc="log(1 + x), exact for small x.",
)  # fmt: skip


def _log_add(s: Any, x: Any, y: Any, rise: Callable[[Any], Any], one: float) -> Any:
    """max + rise(-|x - y|), rise(gap) = log(1 + exp(gap)), with equal operands (infinities too) apart.

    Half precision is computed in single, as NumPy does.
    """
    dtype = s.dtype(x)
    if dtype.itemsize < float32.itemsize:
        x, y = s.cast(x, float32), s.cast(y, float32)
        return s.cast(_log_add(s, x, y, rise, one), dtype)
    gap = s.neg(s.abs(s.sub(x, y)))
    apart = s.add(s.maximum(x, y), rise(gap))
    return s.select(s.eq(x, y), s.add(x, s.const(one, s.dtype(x))), apart)


def _share(x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
    """The derivative of log(exp(x) + exp(y)) by x."""
    return logic.where(logic.equal(x, y), 0.5, sigmoid((x - y) * scale))


logaddexp: ElementwiseFunction = elementwise(
    "logaddexp", FLOATING, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.logaddexp(x, y),
    vjp=lambda g, z, x, y: (masked_multiply(g, _share(x, y)), masked_multiply(g, _share(y, x))),
    scalar=lambda s, x, y: _log_add(s, x, y, lambda gap: s.call("softplus", gap), math.log(2)),
    doc="log(exp(x) + exp(y)) without overflow.",
)  # fmt: skip

logaddexp2: ElementwiseFunction = elementwise(
    "logaddexp2", FLOATING, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.logaddexp2(x, y),
    vjp=lambda g, z, x, y: (masked_multiply(g, _share(x, y, math.log(2))),
                            masked_multiply(g, _share(y, x, math.log(2)))),
    scalar=lambda s, x, y: _log_add(
        s, x, y,
        lambda gap: s.mul(s.call("log1p", s.call("exp2", gap)),
                          s.const(1 / math.log(2), s.dtype(gap))), 1.0),
    doc="log2(2**x + 2**y) without overflow.",
)  # fmt: skip


def numpy_softplus(xp: Any, x: Any) -> Any:
    """Return log(1 + exp(x)) of an array."""
    return xp.logaddexp(x, xp.zeros((), x.dtype))


softplus: ElementwiseFunction = elementwise(
    "softplus", FLOATING,
    evaluate=numpy_softplus,
    vjp=lambda g, y, x: (g * sigmoid(x),),
    scalar=lambda s, x: s.call("softplus", x),
    doc="log(1 + exp(x)) without overflow.",
)  # fmt: skip


def numpy_sigmoid(xp: Any, x: Any) -> Any:
    """Return the logistic function of an array."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, xp.ones((), x.dtype)) / (1 + e)


sigmoid: ElementwiseFunction = elementwise(
    "sigmoid", FLOATING,
    evaluate=numpy_sigmoid,
    vjp=lambda g, y, x: (g * (y * (1 - y)),),
    scalar=lambda s, x: s.call("sigmoid", x),
    doc="1 / (1 + exp(-x)) without overflow.",
)  # fmt: skip

xlogy: ElementwiseFunction = elementwise(
    "xlogy", FLOATING, arity=2,
    evaluate=lambda xp, x, y: xp.where((x == 0) & ~xp.isnan(y), xp.zeros((), x.dtype),
                                       x * xp.log(y)),
    vjp=lambda g, z, x, y: (masked_multiply(g, log(y)), masked_multiply(g, x / y)),
    scalar=lambda s, x, y: s.select(
        s.and_(s.eq(x, s.const(0.0, s.dtype(x))), s.eq(y, y)),
        s.const(0.0, s.dtype(x)), s.mul(x, s.call("log", y))),
    doc="x * log(y), and 0 where x is 0.",
)  # fmt: skip
