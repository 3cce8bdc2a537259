"""Trigonometric and hyperbolic functions, one record each."""

from __future__ import annotations

import math

from symtensor.ir.tensor import Tensor
from symtensor.ops import logic
from symtensor.ops.build import TensorLike
from symtensor.ops.elementwise import masked_multiply, multiply, rsqrt
from symtensor.ops.elementwise_rule import FLOATING, ElementwiseFunction, elementwise

sin: ElementwiseFunction = elementwise(
    "sin", FLOATING,
    evaluate=lambda xp, x: xp.sin(x),
    vjp=lambda g, y, x: (masked_multiply(g, cos(x)),),
    scalar=lambda s, x: s.call("sin", x),
    doc="The sine of x in radians.",
)  # fmt: skip

cos: ElementwiseFunction = elementwise(
    "cos", FLOATING,
    evaluate=lambda xp, x: xp.cos(x),
    vjp=lambda g, y, x: (masked_multiply(-g, sin(x)),),
    scalar=lambda s, x: s.call("cos", x),
    doc="The cosine of x in radians.",
)  # fmt: skip

tan: ElementwiseFunction = elementwise(
    "tan", FLOATING,
    evaluate=lambda xp, x: xp.tan(x),
    vjp=lambda g, y, x: (masked_multiply(g, 1 + y * y),),
    scalar=lambda s, x: s.call("tan", x),
    doc="The tangent of x in radians.",
)  # fmt: skip

arcsin: ElementwiseFunction = elementwise(
    "arcsin", FLOATING,
    evaluate=lambda xp, x: xp.arcsin(x),
    vjp=lambda g, y, x: (masked_multiply(g, rsqrt((1 - x) * (1 + x))),),
    scalar=lambda s, x: s.call("asin", x),
    doc="The inverse sine, in radians; NaN outside [-1, 1].",
)  # fmt: skip

arccos: ElementwiseFunction = elementwise(
    "arccos", FLOATING,
    evaluate=lambda xp, x: xp.arccos(x),
    vjp=lambda g, y, x: (masked_multiply(-g, rsqrt((1 - x) * (1 + x))),),
    scalar=lambda s, x: s.call("acos", x),
    doc="The inverse cosine, in radians; NaN outside [-1, 1].",
)  # fmt: skip

arctan: ElementwiseFunction = elementwise(
    "arctan", FLOATING,
    evaluate=lambda xp, x: xp.arctan(x),
    vjp=lambda g, y, x: (g / (1 + x * x),),
    scalar=lambda s, x: s.call("atan", x),
    doc="The inverse tangent, in radians.",
)  # fmt: skip


def _arctan2_vjp(g: Tensor, z: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Divide twice by the distance, whose square may leave the range."""
    far = hypot(y, x)
    return masked_multiply(g, x / far / far), masked_multiply(-g, y / far / far)


arctan2: ElementwiseFunction = elementwise(
    "arctan2", FLOATING, arity=2,
    evaluate=lambda xp, y, x: xp.arctan2(y, x),
    vjp=_arctan2_vjp,
    scalar=lambda s, y, x: s.call("atan2", y, x),
    doc="The angle of the point (x, y), in radians; the first operand is y.",
)  # fmt: skip

hypot: ElementwiseFunction = elementwise(
    "hypot", FLOATING, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.hypot(x, y),
    vjp=lambda g, z, x, y: (masked_multiply(g, _ratio(x, z)), masked_multiply(g, _ratio(y, z))),
    scalar=lambda s, x, y: s.call("hypot", x, y),
    doc="sqrt(x * x + y * y) without overflow; its derivative at the origin is 0.",
)  # fmt: skip


def _ratio(x: Tensor, z: Tensor) -> Tensor:
    return logic.where(logic.equal(z, 0), 0, x / z)


sinh: ElementwiseFunction = elementwise(
    "sinh", FLOATING,
    evaluate=lambda xp, x: xp.sinh(x),
    vjp=lambda g, y, x: (masked_multiply(g, cosh(x)),),
    scalar=lambda s, x: s.call("sinh", x),
    doc="The hyperbolic sine.",
)  # fmt: skip

cosh: ElementwiseFunction = elementwise(
    "cosh", FLOATING,
    evaluate=lambda xp, x: xp.cosh(x),
    vjp=lambda g, y, x: (masked_multiply(g, sinh(x)),),
    scalar=lambda s, x: s.call("cosh", x),
    doc="The hyperbolic cosine.",
)  # fmt: skip

tanh: ElementwiseFunction = elementwise(
    "tanh", FLOATING,
    evaluate=lambda xp, x: xp.tanh(x),
    vjp=lambda g, y, x: (g * (1 - y * y),),
    scalar=lambda s, x: s.call("tanh", x),
    doc="The hyperbolic tangent.",
)  # fmt: skip

arcsinh: ElementwiseFunction = elementwise(
    "arcsinh", FLOATING,
    evaluate=lambda xp, x: xp.arcsinh(x),
    vjp=lambda g, y, x: (g / hypot(x, 1),),
    scalar=lambda s, x: s.call("asinh", x),
    doc="The inverse hyperbolic sine.",
)  # fmt: skip

arccosh: ElementwiseFunction = elementwise(
    "arccosh", FLOATING,
    evaluate=lambda xp, x: xp.arccosh(x),
    vjp=lambda g, y, x: (masked_multiply(g, rsqrt(x - 1) * rsqrt(x + 1)),),
    scalar=lambda s, x: s.call("acosh", x),
    doc="The inverse hyperbolic cosine; NaN below 1.",
)  # fmt: skip

arctanh: ElementwiseFunction = elementwise(
    "arctanh", FLOATING,
    evaluate=lambda xp, x: xp.arctanh(x),
    vjp=lambda g, y, x: (masked_multiply(g, 1 / ((1 - x) * (1 + x))),),
    scalar=lambda s, x: s.call("atanh", x),
    doc="The inverse hyperbolic tangent; NaN outside [-1, 1].",
)  # fmt: skip


def deg2rad(x: TensorLike) -> Tensor:
    """Return degrees as radians."""
    return multiply(x, math.pi / 180)


def rad2deg(x: TensorLike) -> Tensor:
    """Return radians as degrees."""
    return multiply(x, 180 / math.pi)
