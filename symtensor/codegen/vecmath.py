"""Mathematical functions as vector code, written over the words of `LaneScalars`.

Common functions (exp, log and their kin, sin, cos, tanh, sigmoid) are straight-line code: argument
reduction, a polynomial for the correction term, exact reconstruction. Single precision functions
whose float form would lose bits go through double lanes. The others call the C library lane by lane,
which is right everywhere and slow; so do arguments of sin and cos too large for the three-part
reduction. Targets: at most 2 ULP, special values as in NumPy.

Sources of the methods: Cody and Waite, "Software Manual for the Elementary Functions" (1980);
Tang, "Table-lookup algorithms…" (1991) for the exp/expm1 error analysis; Muller, "Elementary
Functions" (2016). The polynomials are fitted by tools/fit_coefficients.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from symtensor.codegen import coefficients as C
from symtensor.codegen.lanes import Lanes, LaneScalars, register_type, vector_of
from symtensor.ir.dtypes import DType, float32, float64, int32, int64

MANTISSA = {"float32": 23, "float64": 52}
BIAS = {"float32": 127, "float64": 1023}
INTEGER = {"float32": int32, "float64": int64}


class _F:
    """Arithmetic on float lanes with constants of the right dtype; short names keep formulas short."""

    def __init__(self, s: LaneScalars, dtype: DType) -> None:
        self.s = s
        self.dtype = dtype
        self.integer = INTEGER[dtype.name]
        self.mantissa = MANTISSA[dtype.name]
        self.bias = BIAS[dtype.name]
        self.add, self.sub, self.mul, self.div = s.add, s.sub, s.mul, s.div
        self.fma, self.select = s.fma, s.select
        self.suffix = "32" if dtype is float32 else "64"

    def c(self, value: float) -> Lanes:
        return self.s.const(value, self.dtype)

    def i(self, value: int) -> Lanes:
        return self.s.const(value, self.integer)

    def bits(self, x: Lanes) -> Lanes:
        return self.s.bitcast(x, self.integer)

    def from_bits(self, x: Lanes) -> Lanes:
        return self.s.bitcast(x, self.dtype)

    def table(self, name: str) -> tuple[float, ...]:
        return getattr(C, name + self.suffix)  # type: ignore[no-any-return]

    def poly(self, x: Lanes, coefficients: Sequence[float]) -> Lanes:
        """Horner's rule, lowest power first in the table."""
        out = self.c(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            out = self.fma(out, x, self.c(coefficient))
        return out

    def less(self, x: Lanes, value: float) -> Lanes:
        return self.s.lt(x, self.c(value))

    def clamp(self, x: Lanes, low: float, high: float) -> Lanes:
        """Limit x; NaN stays NaN."""
        x = self.select(self.less(x, low), self.c(low), x)
        return self.select(self.s.lt(self.c(high), x), self.c(high), x)

    def round_to_int(self, x: Lanes) -> tuple[Lanes, Lanes]:
        """Return x rounded to an integer, as float and as integer; safe for NaN (no fptosi)."""
        magic = self.c(1.5 * 2.0**self.mantissa)
        shifted = self.add(x, magic)
        whole = self.sub(shifted, magic)
        return whole, self.s.sub(self.bits(shifted), self.bits_of(magic))

    def bits_of(self, constant: Lanes) -> Lanes:
        return self.bits(self.s._named(constant))

    def power_of_two(self, n: Lanes) -> Lanes:
        """Return 2**n for integer lanes in the normal range."""
        shifted = self.s._binary("shl", self.s.add(n, self.i(self.bias)), self.i(self.mantissa))
        return self.from_bits(shifted)

    def scale(self, x: Lanes, n: Lanes) -> Lanes:
        """Return x * 2**n in two steps, so that overflow and subnormals come out right."""
        half = self.s._binary("ashr", n, self.i(1))
        rest = self.s.sub(n, half)
        return self.mul(self.mul(x, self.power_of_two(half)), self.power_of_two(rest))


def _floats(rule: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """Give a rule its `_F` in place of the vocabulary."""
    return lambda s, *xs: rule(_F(s, xs[0].dtype), *xs)


def _in_double(rule: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """Compute a float32 function in double lanes and round once."""

    def wrapped(s: LaneScalars, *xs: Lanes) -> Lanes:
        if xs[0].dtype is float64:
            return rule(_F(s, float64), *xs)
        wide = [s.cast(x, float64) for x in xs]
        return s.cast(rule(_F(s, float64), *wide), float32)

    return wrapped


# --- exponentials --------------------------------------------------------------------------------


def _reduce_by_ln2(f: _F, x: Lanes) -> tuple[Lanes, Lanes]:
    """Return (n, r) with x = n ln 2 + r and |r| <= ln(2)/2."""
    whole, n = f.round_to_int(f.mul(x, f.c(1 / math.log(2))))
    high, middle, low = getattr(C, f"LN2_{f.suffix}")
    minus = f.s.neg(whole)
    r = f.fma(minus, f.c(high), x)
    r = f.fma(minus, f.c(middle), r)
    return n, f.fma(minus, f.c(low), r)


def _exp_limits(f: _F) -> tuple[float, float]:
    """Return the arguments beyond which exp is 0 or infinite."""
    return (-104.0, 89.0) if f.dtype is float32 else (-746.0, 710.0)


def _exp(f: _F, x: Lanes) -> Lanes:
    n, r = _reduce_by_ln2(f, f.clamp(x, *_exp_limits(f)))
    tail = f.fma(f.mul(r, r), f.poly(r, f.table("EXP")), r)
    return f.scale(f.add(f.c(1.0), tail), n)


def _exp2(f: _F, x: Lanes) -> Lanes:
    low, high = (-151.0, 129.0) if f.dtype is float32 else (-1076.0, 1025.0)
    whole, n = f.round_to_int(f.clamp(x, low, high))
    t = f.sub(f.clamp(x, low, high), whole)
    r = f.mul(t, f.c(math.log(2)))
    tail = f.fma(f.mul(r, r), f.poly(r, f.table("EXP")), r)
    return f.scale(f.add(f.c(1.0), tail), n)


def _expm1(f: _F, x: Lanes) -> Lanes:
    """2**n (expm1(r) + 1) - 1, with 2**n - 1 kept exact and everything halved against overflow."""
    n, r = _reduce_by_ln2(f, f.clamp(x, -60.0, _exp_limits(f)[1]))
    tail = f.mul(f.mul(r, r), f.poly(r, f.table("EXP")))
    half = f.power_of_two(f.s.sub(n, f.i(1)))
    whole = f.sub(half, f.c(0.5))
    sum_ = f.fma(half, r, whole)
    lost = f.fma(half, r, f.sub(whole, sum_))  # what rounding took from the sum
    out = f.mul(f.c(2.0), f.add(sum_, f.fma(half, tail, lost)))
    small = f.s.lt(f.s.abs(x), f.c(2.0 ** -(f.mantissa + 1)))
    return f.select(small, x, out)


def _sigmoid(f: _F, x: Lanes) -> Lanes:
    e = _exp(f, f.s.neg(f.s.abs(x)))
    top = f.select(f.less(x, 0.0), e, f.c(1.0))
    return f.div(top, f.add(f.c(1.0), e))


def _tanh(f: _F, x: Lanes) -> Lanes:
    size = f.s.abs(x)
    z = f.mul(x, x)
    near = f.fma(f.mul(x, z), f.poly(z, f.table("TANH")), x)
    e = _exp(f, f.mul(f.c(2.0), size))
    far = f.sub(f.c(1.0), f.div(f.c(2.0), f.add(e, f.c(1.0))))
    return f.select(f.less(size, 0.6), near, f.s.copysign(far, x))


# --- logarithms ----------------------------------------------------------------------------------


def _split_exponent(f: _F, x: Lanes) -> tuple[Lanes, Lanes]:
    """Return (e, m) with x = 2**e m, e a float and m in [sqrt(1/2), sqrt(2)); x > 0, any size."""
    tiny = f.less(x, 2.0 ** (2 - f.bias))
    shift = f.mantissa + 2
    x = f.select(tiny, f.mul(x, f.c(2.0**shift)), x)
    root_bits = f.bits_of(f.c(math.sqrt(0.5)))
    offset = f.s.sub(f.bits(x), root_bits)
    exponent = f.s._binary("ashr", offset, f.i(f.mantissa))
    m = f.from_bits(f.s.sub(f.bits(x), f.s._binary("shl", exponent, f.i(f.mantissa))))
    e = f.s.convert("sitofp", exponent, f.dtype)
    return f.select(tiny, f.sub(e, f.c(float(shift))), e), m


def _log_parts(f: _F, m: Lanes) -> tuple[Lanes, Lanes]:
    """Return log(m) as an exact leading part m - 1 and a correction."""
    t = f.sub(m, f.c(1.0))
    s = f.div(t, f.add(t, f.c(2.0)))
    z = f.mul(s, s)
    half_square = f.mul(f.mul(f.c(0.5), t), t)
    tail = f.fma(s, f.fma(z, f.poly(z, f.table("LOG")), half_square), f.s.neg(half_square))
    return t, tail


def _log_specials(f: _F, x: Lanes, out: Lanes) -> Lanes:
    """Put in -inf at 0, NaN below, +inf and NaN as they come."""
    out = f.select(f.less(x, math.inf), out, x)  # +inf and NaN
    out = f.select(f.s.eq(x, f.c(0.0)), f.c(-math.inf), out)
    return f.select(f.less(x, 0.0), f.c(math.nan), out)


def _log(f: _F, x: Lanes, correction: Lanes | None = None) -> Lanes:
    e, m = _split_exponent(f, x)
    t, tail = _log_parts(f, m)
    high, middle, low = getattr(C, f"LN2_{f.suffix}")
    tail = f.fma(e, f.c(middle + low), tail)
    if correction is not None:
        tail = f.add(tail, correction)
    leading = f.mul(e, f.c(high))  # exact: high has few bits
    total = f.add(leading, t)
    lost = f.add(f.sub(leading, total), t)
    return _log_specials(f, x, f.add(total, f.add(tail, lost)))


def _log1p(f: _F, x: Lanes) -> Lanes:
    u = f.add(f.c(1.0), x)
    # what 1 + x lost: x - (u - 1) where x is the smaller term, 1 - (u - x) where 1 is
    lost = f.select(f.less(x, 1.0), f.sub(x, f.sub(u, f.c(1.0))), f.sub(f.c(1.0), f.sub(u, x)))
    correction = f.select(f.less(u, math.inf), f.div(lost, u), f.c(0.0))
    out = _log(f, u, correction)
    small = f.s.lt(f.s.abs(x), f.c(2.0 ** -(f.mantissa + 2)))
    return f.select(small, x, f.select(f.s.eq(u, f.c(0.0)), f.c(-math.inf), out))


def _log_base(
    f: _F, x: Lanes, per_log: tuple[float, float], per_exponent: tuple[float, float]
) -> Lanes:
    """Return log(m) * per_log + e * per_exponent; both factors are (high, low) pairs."""
    e, m = _split_exponent(f, x)
    t, tail = _log_parts(f, m)
    high, low = f.c(per_log[0]), f.c(per_log[1])
    main = f.mul(t, high)
    rest = f.fma(tail, high, f.fma(t, high, f.s.neg(main)))
    rest = f.fma(e, f.c(per_exponent[1]), f.fma(t, low, rest))
    leading = f.mul(e, f.c(per_exponent[0]))
    total = f.add(leading, main)
    lost = f.add(f.sub(leading, total), main)
    return _log_specials(f, x, f.add(total, f.add(lost, rest)))


def _log2(f: _F, x: Lanes) -> Lanes:
    return _log_base(f, x, C.LOG2_E, (1.0, 0.0))


def _log10(f: _F, x: Lanes) -> Lanes:
    high, middle, low = C.LOG10_2_64
    return _log_base(f, x, C.LOG10_E, (high, middle + low))


# --- sine and cosine -----------------------------------------------------------------------------

_REDUCIBLE = 1e5
"""Largest argument for the three-part reduction: quotients must fit the bits it leaves free."""


def _sine_like(f: _F, x: Lanes, shift: int, symbol: str) -> Lanes:
    size = f.s.abs(x)
    safe = f.select(f.less(size, _REDUCIBLE), x, f.c(0.0))
    whole, n = f.round_to_int(f.mul(safe, f.c(2 / math.pi)))
    r, minus = safe, f.s.neg(whole)
    for part in C.HALF_PI_64:
        r = f.fma(minus, f.c(part), r)
    z = f.mul(r, r)
    sine = f.fma(f.mul(r, z), f.poly(z, f.table("SIN")), r)
    cosine = _cosine(f, z)
    n = f.s.add(n, f.i(shift))
    odd = f.s.ne(f.s.and_(n, f.i(1)), f.i(0))
    out = f.select(odd, cosine, sine)
    out = f.select(f.s.ne(f.s.and_(n, f.i(2)), f.i(0)), f.s.neg(out), out)
    huge = f.s.compare("fcmp oge", size, f.c(_REDUCIBLE))
    out = f.select(f.s.eq(x, x), out, x)
    return rare_lanes(f.s, huge, out, symbol, x)


def _cosine(f: _F, z: Lanes) -> Lanes:
    """1 - z/2 + z**2 p(z), with the rounding of 1 - z/2 put back."""
    half = f.mul(z, f.c(0.5))
    leading = f.sub(f.c(1.0), half)
    lost = f.sub(f.sub(f.c(1.0), leading), half)
    return f.add(leading, f.fma(f.mul(z, z), f.poly(z, f.table("COS")), lost))


def _sin(f: _F, x: Lanes) -> Lanes:
    return f.select(f.s.eq(x, f.c(0.0)), x, _sine_like(f, x, 0, "sin"))


def _cos(f: _F, x: Lanes) -> Lanes:
    return _sine_like(f, x, 1, "cos")


# --- the C library -------------------------------------------------------------------------------


def rare_lanes(s: LaneScalars, mask: Lanes, usual: Lanes, symbol: str, x: Lanes) -> Lanes:
    """Return `usual`, except in lanes of `mask`, which the C function `symbol` computes.

    The calls stand behind a branch that is taken only when some lane needs them.
    """
    width, kind = usual.width, register_type(usual.dtype, usual.width)
    name = s.fresh("rare")[1:]
    any_lane = mask.text
    if width > 1:
        reduce = s.intrinsic(
            f"llvm.vector.reduce.or.v{width}i1", "i1", [(vector_of("i1", width), mask.text)]
        )
        any_lane = s.emit(reduce, mask.dtype, 1).text
    s.out += [
        f"br label %{name}.in", f"{name}.in:",
        f"br i1 {any_lane}, label %{name}.slow, label %{name}.out", f"{name}.slow:",
    ]  # fmt: skip
    slow = s.select(mask, library_call(s, symbol, x), usual)
    s.out += [f"br label %{name}.end", f"{name}.end:", f"br label %{name}.out", f"{name}.out:"]
    return s.emit(
        f"phi {kind} [ {usual.text}, %{name}.in ], [ {slow.text}, %{name}.end ]",
        usual.dtype,
        width,
    )


def library_call(s: LaneScalars, symbol: str, *xs: Lanes) -> Lanes:
    """Return a C function of double lanes, one call per lane."""
    width, texts = s._together(*xs)
    s.intrinsics.add(f"declare double @{symbol}({', '.join(['double'] * len(xs))})")
    if width == 1:
        arguments = ", ".join(f"double {t}" for t in texts)
        return s.emit(f"call double @{symbol}({arguments})", float64, 1)
    vector, out = register_type(float64, width), "poison"
    for lane in range(width):
        ones = [s.emit(f"extractelement {vector} {t}, i64 {lane}", float64, 1).text for t in texts]
        arguments = ", ".join(f"double {t}" for t in ones)
        one = s.emit(f"call double @{symbol}({arguments})", float64, 1).text
        out = s.emit(f"insertelement {vector} {out}, double {one}, i64 {lane}", float64, width).text
    return Lanes(out, float64, width)


def _library(symbol: str) -> Callable[..., Lanes]:
    return _in_double(lambda f, *xs: library_call(f.s, symbol, *xs))


LIBRARY = {
    "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "sinh": "sinh", "cosh": "cosh",
    "asinh": "asinh", "acosh": "acosh", "atanh": "atanh", "cbrt": "cbrt", "erf": "erf",
    "erfc": "erfc", "lgamma": "lgamma", "pow": "pow", "atan2": "atan2", "hypot": "hypot",
    "fmod": "fmod",
}  # fmt: skip
"""Words of the vocabulary that are calls of C functions."""

FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "exp": _floats(_exp),
    "exp2": _in_double(_exp2),
    "expm1": _floats(_expm1),
    "log": _floats(_log),
    "log1p": _in_double(_log1p),
    "log2": _in_double(_log2),
    "log10": _in_double(_log10),
    "tanh": _floats(_tanh),
    "sigmoid": _floats(_sigmoid),
    "sin": _in_double(_sin),
    "cos": _in_double(_cos),
} | {name: _library(symbol) for name, symbol in LIBRARY.items()}
"""Name in the scalar vocabulary -> ``(scalars, *lanes) -> lanes``."""
