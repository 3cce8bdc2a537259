"""The scalar vocabulary in jax.numpy: how elementwise ops reach XLA.

`JaxScalars` speaks every word of `symtensor.ops.scalars` on traced arrays, so ops that say their
meaning in the vocabulary, custom ones too, need nothing else here. Where XLA means something else
than the vocabulary (integer division by zero, shifts beyond the width, casts out of range) a select
says what we mean. Integers to a negative power are no value: the word raises a doubt (see `trace`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from symtensor.ir.dtypes import DType, as_dtype
from symtensor.ops.elementwise import numpy_sigmoid
from symtensor.ops.scalars import NumpyScalars

# XLA's own are exp(x * log(2)), 65 units off in single and 290 in double precision, and series for
# log1p and arctanh that are 120 units off in double precision.


def _exp2(x: Any) -> Any:
    """exp of the fraction, scaled by a power of two, in two steps as it may be out of range."""
    inside = jnp.clip(x, -1100.0, 1100.0)
    whole = jnp.rint(inside)
    number = jnp.where(jnp.isnan(x), 0, whole).astype(jnp.int64)
    half = number // 2
    power = jnp.exp((inside - whole) * math.log(2)).astype(jnp.float64)
    return (power * _power_of_two(half) * _power_of_two(number - half)).astype(x.dtype)


def _power_of_two(number: Any) -> Any:
    return lax.bitcast_convert_type((number + 1023) << 52, jnp.float64)


def _log1p(x: Any) -> Any:
    """log(u) for u = 1 + x, corrected by what rounding u has lost."""
    if x.dtype != jnp.float64:
        return jnp.log1p(x)
    u = 1 + x
    plain = jnp.log(u) * (x / jnp.where(u == 1, 1, u - 1))
    return jnp.where(u == 1, x, jnp.where(u == jnp.inf, u, plain))


def _arctanh(x: Any) -> Any:
    size = jnp.abs(x)
    return jnp.copysign(0.5 * _log1p(2 * size / (1 - size)), x)


def _lgamma(x: Any) -> Any:
    return jnp.where((x == 1) | (x == 2), 0, lax.lgamma(x))  # its zeros; a GPU is a little off


def _digamma(x: Any) -> Any:
    return jnp.where(x == 0, jnp.copysign(jnp.inf, -x), lax.digamma(x))


_CALLS: dict[str, Callable[..., Any]] = {
    "exp": jnp.exp, "exp2": _exp2, "expm1": jnp.expm1, "log": jnp.log, "log2": jnp.log2,
    "log10": jnp.log10, "log1p": _log1p, "sin": jnp.sin, "cos": jnp.cos, "tan": jnp.tan,
    "asin": jnp.arcsin, "acos": jnp.arccos, "atan": jnp.arctan, "sinh": jnp.sinh,
    "cosh": jnp.cosh, "tanh": jnp.tanh, "asinh": jnp.arcsinh, "acosh": jnp.arccosh,
    "atanh": _arctanh, "cbrt": jnp.cbrt, "erf": lax.erf, "erfc": lax.erfc,
    "lgamma": _lgamma, "digamma": _digamma, "atan2": jnp.arctan2, "hypot": jnp.hypot,
    "pow": jnp.power,
    "sigmoid": lambda x: numpy_sigmoid(jnp, x),
    "softplus": lambda x: jnp.maximum(x, 0) + _log1p(jnp.exp(-jnp.abs(x))),
}  # fmt: skip
"""Functions of the vocabulary whose operands are floats."""


class JaxScalars(NumpyScalars):
    """The vocabulary over traced arrays; `doubt` takes a bool array that is True where a call fails."""

    _DIRECT = {word: getattr(jnp, f.__name__) for word, f in NumpyScalars._DIRECT.items()}  # noqa: RUF012

    def __init__(self, doubt: Callable[[Any], None], platform: str) -> None:
        self._doubt = doubt
        self._is_exact = platform == "cpu"

    def const(self, value: float | int | bool, dtype: DType) -> Any:
        return jnp.asarray(value, dtype.numpy)

    def div(self, x: Any, y: Any) -> Any:
        """On a GPU, XLA's own is up to 2 units off in single precision: not even x / x is 1.

        There it is done in double precision, and scaled, or LLVM would see that it may be narrowed.
        """
        if self._is_exact or x.dtype == jnp.float64:
            return jnp.true_divide(x, y)
        quotient = x.astype(jnp.float64) / (y.astype(jnp.float64) * 4)
        return (quotient * 4).astype(x.dtype)

    def sqrt(self, x: Any) -> Any:
        """On a GPU, XLA's own is up to a unit off in single precision, and right in double."""
        wide = x.dtype if self._is_exact else jnp.float64
        return jnp.sqrt(x.astype(wide)).astype(x.dtype)

    def minimum(self, x: Any, y: Any) -> Any:
        """Of equal operands the second one, as in NumPy: zeros have signs."""
        return jnp.where((x < y) | (x != x), x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        return jnp.where((x > y) | (x != x), x, y)

    def floordiv(self, x: Any, y: Any) -> Any:
        return jnp.where(y == 0, 0, jnp.floor_divide(x, _not_zero(y))).astype(x.dtype)

    def mod(self, x: Any, y: Any) -> Any:
        return jnp.where(y == 0, 0, jnp.remainder(x, _not_zero(y))).astype(x.dtype)

    def shl(self, x: Any, y: Any) -> Any:
        inside = (y >= 0) & (y < _width(x))
        return jnp.where(inside, jnp.left_shift(x, jnp.where(inside, y, 0)), 0).astype(x.dtype)

    def shr(self, x: Any, y: Any) -> Any:
        """Counts outside the width shift all but the sign away."""
        inside = (y >= 0) & (y < _width(x))
        if jnp.issubdtype(x.dtype, jnp.signedinteger):
            return jnp.right_shift(x, jnp.where(inside, y, _width(x) - 1).astype(x.dtype))
        return jnp.where(inside, jnp.right_shift(x, jnp.where(inside, y, 0)), 0).astype(x.dtype)

    def call(self, name: str, *xs: Any) -> Any:
        if name == "fmod":
            return _fmod(*xs)
        if name == "pow" and not _is_float(xs[0]):
            return self._integer_power(*xs)
        wide = _wide(name, xs[0].dtype)
        return _CALLS[name](*(x.astype(wide) for x in xs)).astype(xs[0].dtype)

    def _integer_power(self, x: Any, y: Any) -> Any:
        """By squaring, a bit of the exponent at a time."""
        if jnp.issubdtype(y.dtype, jnp.signedinteger):
            self._doubt(jnp.any(y < 0))

        def step(_: Any, loop: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            out, base, rest = loop
            return jnp.where(rest & 1, out * base, out), base * base, rest >> 1

        return lax.fori_loop(0, _width(y), step, (jnp.ones_like(x), x, y))[0]

    def cast(self, x: Any, dtype: DType) -> Any:
        return cast(x, dtype)


def _is_float(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.floating))


def _wide(name: str, dtype: Any) -> Any:
    """Return the dtype to compute in: XLA's own are worse than the vocabulary allows in half
    precision, and in single precision for erfc and the gamma functions."""
    if dtype == jnp.float64 or name in ("erfc", "lgamma", "digamma"):
        return jnp.float64
    return jnp.float32


def _not_zero(y: Any) -> Any:
    return jnp.where(y == 0, 1, y).astype(y.dtype)


def _width(x: Any) -> int:
    return int(x.dtype.itemsize) * 8


def _fmod(x: Any, y: Any) -> Any:
    if _is_float(x):
        return jnp.fmod(x, y)
    return jnp.where(y == 0, 0, lax.rem(x, _not_zero(y))).astype(x.dtype)


def cast(x: Any, dtype: DType) -> Any:
    """Return `x` in `dtype`; float to integer truncates, saturates, and NaN gives 0."""
    if as_dtype(x.dtype).is_floating and dtype.is_integer:
        return _saturated(x, dtype)
    if dtype.is_bool:
        return x != 0
    return x.astype(dtype.numpy)


def _saturated(x: Any, dtype: DType) -> Any:
    info = jnp.iinfo(dtype.numpy)
    wide = x.astype(jnp.float64)  # exact for every float dtype
    low, high = float(info.min), float(info.max)  # high may round up to 2**63 or 2**64
    inside = (wide >= low) & (wide < high)
    out = jnp.where(inside, wide, 0).astype(dtype.numpy)
    out = jnp.where(wide >= high, jnp.asarray(info.max, dtype.numpy), out)
    return jnp.where(wide < low, jnp.asarray(info.min, dtype.numpy), out)
