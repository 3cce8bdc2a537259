"""Arithmetic and mathematical functions, one record each."""

from __future__ import annotations

from symtensor.ops.elementwise_rule import ANY, DIVISION, FLOATING, elementwise

add = elementwise(
    "add", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.add(x, y),
    vjp=lambda g, z, x, y: (g, g),
    scalar=lambda s, x, y: s.add(x, y),
    doc="x + y; integers wrap, on bools it is `or`.",
)  # fmt: skip

multiply = elementwise(
    "multiply", ANY, arity=2, commutative=True,
    evaluate=lambda xp, x, y: xp.multiply(x, y),
    vjp=lambda g, z, x, y: (g * y, g * x),
    scalar=lambda s, x, y: s.mul(x, y),
    doc="x * y; integers wrap, on bools it is `and`.",
)  # fmt: skip

divide = elementwise(
    "divide", DIVISION, arity=2,
    evaluate=lambda xp, x, y: xp.true_divide(x, y),
    vjp=lambda g, z, x, y: (g / y, -g * z / y),
    scalar=lambda s, x, y: s.div(x, y),
    doc="True division x / y; integers give float64.",
)  # fmt: skip

exp = elementwise(
    "exp", FLOATING,
    evaluate=lambda xp, x: xp.exp(x),
    vjp=lambda g, y, x: (g * y,),
    scalar=lambda s, x: s.call("exp", x),
    doc="The exponential of x.",
)  # fmt: skip
