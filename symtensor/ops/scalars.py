"""The scalar vocabulary: the small closed language in which elementwise ops say what they compute.

A scalar rule ``rule(s, *xs, **attrs)`` receives a vocabulary `s` and one value per operand and
returns one value. NumPy (`NumpyScalars`, below: the meaning), the loop printer and the LLVM emitter
each speak this vocabulary once; so a new elementwise op needs no compiler change. Values carry
their dtype. Float operations are IEEE and strict; integer arithmetic wraps; `floordiv`, `mod` and
shifts are total as in NumPy (``x // 0 == 0``, shift count >= width gives 0 or -1).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from symtensor.ir.dtypes import DType, as_dtype

Value = Any
"""A scalar (or a vector of lanes) in whatever form the speaker of the vocabulary uses."""

CALLS = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos",
    "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "cbrt", "erf", "erfc", "lgamma",
    "digamma", "sigmoid", "softplus", "pow", "atan2", "hypot", "fmod",
)  # fmt: skip
"""Functions that `Scalars.call` accepts; the last four take two operands."""


class Scalars(Protocol):
    """What a scalar rule may say."""

    def dtype(self, x: Value) -> DType:
        """Dtype of a value."""

    def const(self, value: float | int | bool, dtype: DType) -> Value:
        """A constant."""

    # arithmetic: both operands of one dtype
    def add(self, x: Value, y: Value) -> Value: ...
    def sub(self, x: Value, y: Value) -> Value: ...
    def mul(self, x: Value, y: Value) -> Value: ...
    def div(self, x: Value, y: Value) -> Value:
        """Float division."""

    def floordiv(self, x: Value, y: Value) -> Value:
        """Integer division rounding down; by 0 gives 0, INT_MIN // -1 gives INT_MIN."""

    def mod(self, x: Value, y: Value) -> Value:
        """Integer remainder with the sign of the divisor; by 0 gives 0."""

    def neg(self, x: Value) -> Value: ...
    def abs(self, x: Value) -> Value: ...
    def minimum(self, x: Value, y: Value) -> Value:
        """The smaller one; NaN if either is NaN."""

    def maximum(self, x: Value, y: Value) -> Value:
        """The larger one; NaN if either is NaN."""

    # floats
    def sqrt(self, x: Value) -> Value: ...
    def floor(self, x: Value) -> Value: ...
    def ceil(self, x: Value) -> Value: ...
    def trunc(self, x: Value) -> Value: ...
    def rint(self, x: Value) -> Value:
        """Nearest integer, half to even."""

    def copysign(self, x: Value, y: Value) -> Value: ...
    def signbit(self, x: Value) -> Value:
        """True where the sign bit is set."""

    def nextafter(self, x: Value, y: Value) -> Value: ...
    def call(self, name: str, *xs: Value) -> Value:
        """A function of `CALLS`, within 2 ULP, on float operands."""

    # bits; bool operands mean logic
    def and_(self, x: Value, y: Value) -> Value: ...
    def or_(self, x: Value, y: Value) -> Value: ...
    def xor(self, x: Value, y: Value) -> Value: ...
    def not_(self, x: Value) -> Value: ...
    def shl(self, x: Value, y: Value) -> Value: ...
    def shr(self, x: Value, y: Value) -> Value: ...

    # comparisons give bool; anything with NaN is false except ne
    def lt(self, x: Value, y: Value) -> Value: ...
    def le(self, x: Value, y: Value) -> Value: ...
    def eq(self, x: Value, y: Value) -> Value: ...
    def ne(self, x: Value, y: Value) -> Value: ...

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """`x` where the bool `condition` holds, else `y`."""

    def cast(self, x: Value, dtype: DType) -> Value:
        """Conversion: float to int saturates, NaN gives 0; to bool is ``x != 0``."""


def saturating_cast(x: Any, dtype: DType) -> Any:
    """Return NumPy array `x` in `dtype`; float to int truncates, saturates, and NaN gives 0."""
    source = as_dtype(x.dtype)
    if not (source.is_floating and dtype.is_integer):
        with np.errstate(all="ignore"):
            return np.asarray(x).astype(dtype.numpy)
    info = np.iinfo(dtype.numpy)
    wide = np.asarray(x).astype(np.float64)  # exact for every float dtype
    low, high = float(info.min), float(info.max)  # high may round up to 2**63 or 2**64
    inside = (wide >= low) & (wide < high)
    with np.errstate(all="ignore"):
        out = np.where(inside, wide, 0).astype(dtype.numpy)
    out = np.where(wide >= high, dtype.numpy.type(info.max), out)
    return np.where(wide < low, dtype.numpy.type(info.min), out)


class NumpyScalars:
    """The vocabulary over NumPy arrays; the tests hold every scalar rule against `evaluate`."""

    _DIRECT: dict[str, Any] = {  # noqa: RUF012
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide,
        "floordiv": np.floor_divide, "mod": np.remainder, "neg": np.negative, "abs": np.abs,
        "minimum": np.minimum, "maximum": np.maximum, "sqrt": np.sqrt, "floor": np.floor,
        "ceil": np.ceil, "trunc": np.trunc, "rint": np.rint, "copysign": np.copysign,
        "signbit": np.signbit, "nextafter": np.nextafter, "and_": np.bitwise_and,
        "or_": np.bitwise_or, "xor": np.bitwise_xor, "not_": np.invert, "shl": np.left_shift,
        "shr": np.right_shift, "lt": np.less, "le": np.less_equal, "eq": np.equal,
        "ne": np.not_equal, "select": np.where,
    }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        try:
            return self._DIRECT[name]
        except KeyError:
            raise AttributeError(f"the scalar vocabulary has no word {name!r}") from None

    def dtype(self, x: Any) -> DType:
        return as_dtype(x.dtype)

    def const(self, value: float | int | bool, dtype: DType) -> Any:
        return dtype.numpy.type(value)

    def cast(self, x: Any, dtype: DType) -> Any:
        return saturating_cast(x, dtype)

    def call(self, name: str, *xs: Any) -> Any:
        from symtensor.ops import special

        return special.CALLS[name](np, *xs)
