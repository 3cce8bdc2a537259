"""Special functions, and the NumPy meaning of every function in the scalar vocabulary.

erf, erfc and log-gamma come from Python's math library, element by element. digamma and its
derivatives are summed up by recurrence to x >= 10 and the asymptotic series there (Abramowitz and
Stegun 6.3.18, 6.4.11), with reflection below 0 for digamma. Half precision is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops.attributes import as_int
from symtensor.ops.build import TensorLike, apply, operands
from symtensor.ops.elementwise import (
    exp,
    masked_multiply,
    numpy_power,
    numpy_sigmoid,
    numpy_softplus,
)
from symtensor.ops.elementwise_rule import FLOATING, ElementwiseFunction, elementwise
from symtensor.ops.registry import define


def _each(function: Callable[[float], float]) -> Callable[[Any, Any], Any]:
    """Return an array function that calls `function` per element in double precision."""
    ufunc = np.frompyfunc(function, 1, 1)

    def evaluate(xp: Any, x: Any) -> Any:
        wide = np.asarray(x, dtype=np.float64)
        return np.asarray(ufunc(wide)).astype(np.float64).astype(np.asarray(x).dtype)

    return evaluate


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:  # of finite x above 2.5e305
        return math.inf


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
"""B2, B4, … of the asymptotic series."""


def _digamma(xp: Any, x: Any) -> Any:
    """Raise x to 10 by the recurrence, then sum the series; reflect for x < 0."""
    dtype = np.asarray(x).dtype
    x = np.asarray(x, dtype=np.float64)
    low = x < 0.5
    y = np.where(low, 1 - x, x)
    total = np.zeros_like(y)
    for _ in range(10):
        small = y < 10
        total = total - np.where(small, 1 / np.where(small, y, 1), 0)
        y = np.where(small, y + 1, y)
    inverse = 1 / (y * y)
    power = inverse
    series = np.log(y) - 0.5 / y
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        series = series - bernoulli / (2 * k) * power
        power = power * inverse
    out = series + total
    pole = (x <= 0) & (x == np.floor(x))
    usual = np.where(low & ~pole, x, 0.25)
    tangent = np.tan(np.pi * (usual - np.rint(usual)))  # the difference is exact
    out = np.where(low, out - np.pi / tangent, out)
    return np.where(pole, np.where(x == 0, np.copysign(np.inf, -x), np.nan), out).astype(dtype)


def _polygamma(xp: Any, x: Any, *, n: int) -> Any:
    """Evaluate the n-th derivative of digamma (n >= 1) for x > 0; NaN elsewhere."""
    dtype = np.asarray(x).dtype
    x = np.asarray(x, dtype=np.float64)
    y = np.where(x > 0, x, np.nan)
    sign = -1.0 if n % 2 == 0 else 1.0
    total = np.zeros_like(y)
    for _ in range(20):
        small = y < 20
        total = total + np.where(small, math.factorial(n) / y ** (n + 1), 0)
        y = np.where(small, y + 1, y)
    series = math.factorial(n - 1) / y**n + math.factorial(n) / (2 * y ** (n + 1))
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        factor = math.factorial(2 * k + n - 1) / math.factorial(2 * k)
        series = series + bernoulli * factor / y ** (2 * k + n)
    return (sign * (total + series)).astype(dtype)


def _ufunc(name: str) -> Callable[..., Any]:
    return lambda xp, *xs: getattr(xp, name)(*xs)


CALLS: dict[str, Callable[..., Any]] = {
    name: _ufunc(ufunc)
    for name, ufunc in {
        "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2",
        "log10": "log10", "log1p": "log1p", "sin": "sin", "cos": "cos", "tan": "tan",
        "asin": "arcsin", "acos": "arccos", "atan": "arctan", "sinh": "sinh", "cosh": "cosh",
        "tanh": "tanh", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
        "cbrt": "cbrt", "atan2": "arctan2", "hypot": "hypot", "fmod": "fmod",
    }.items()
} | {
    "pow": numpy_power,
    "sigmoid": numpy_sigmoid,
    "softplus": numpy_softplus,
    "erf": _each(math.erf),
    "erfc": _each(math.erfc),
    "lgamma": _each(_lgamma),
    "digamma": _digamma,
}  # fmt: skip
"""Name in the scalar vocabulary -> ``(xp, *arrays) -> array``."""

erf: ElementwiseFunction = elementwise(
    "erf", FLOATING,
    evaluate=CALLS["erf"],
    vjp=lambda g, y, x: (g * (2 / math.sqrt(math.pi) * exp(-x * x)),),
    scalar=lambda s, x: s.call("erf", x),
    doc="The error function.",
)  # fmt: skip

erfc: ElementwiseFunction = elementwise(
    "erfc", FLOATING,
    evaluate=CALLS["erfc"],
    vjp=lambda g, y, x: (g * (-2 / math.sqrt(math.pi) * exp(-x * x)),),
    scalar=lambda s, x: s.call("erfc", x),
    doc="1 - erf(x), exact for large x.",
)  # fmt: skip

lgamma: ElementwiseFunction = elementwise(
    "lgamma", FLOATING,
    evaluate=CALLS["lgamma"],
    vjp=lambda g, y, x: (masked_multiply(g, digamma(x)),),
    scalar=lambda s, x: s.call("lgamma", x),
    doc="The logarithm of the absolute value of the gamma function.",
)  # fmt: skip

digamma: ElementwiseFunction = elementwise(
    "digamma", FLOATING,
    evaluate=CALLS["digamma"],
    vjp=lambda g, y, x: (masked_multiply(g, polygamma(1, x)),),
    scalar=lambda s, x: s.call("digamma", x),
    doc="The derivative of lgamma.",
)  # fmt: skip


def _infer_polygamma(x: TensorType, *, n: int) -> TensorType:
    return x


POLYGAMMA = define(
    "polygamma",
    infer=_infer_polygamma,
    evaluate=_polygamma,
    vjp=lambda g, y, x, *, n: (masked_multiply(g, polygamma(n + 1, x)),),
    doc="The n-th derivative of digamma, for x > 0.",
)


def polygamma(n: int, x: TensorLike) -> Tensor:
    """Return the n-th derivative of digamma at `x` > 0 (NaN elsewhere for n >= 1)."""
    (x,) = operands((x,), FLOATING)
    n = as_int(n, "polygamma: n", 0)
    return digamma(x) if n == 0 else apply(POLYGAMMA, x, n=n)
