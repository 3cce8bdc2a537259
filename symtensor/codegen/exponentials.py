"""Exponentials, logarithms and powers as vector code.

Argument reduction by powers of two, a polynomial for the correction term, exact reconstruction: Cody
and Waite, "Software Manual for the Elementary Functions" (1980); Tang, "Table-lookup algorithms…"
(1991) for the error analysis of exp and expm1; Muller, "Elementary Functions" (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from symtensor.codegen import coefficients as C
from symtensor.codegen import pieces
from symtensor.codegen.formula import Formula, Whole, in_double
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes
from symtensor.ir.dtypes import float32, float64

# --- exponentials --------------------------------------------------------------------------------


def _reduce_by_ln2(
    f: Formula, x: Lanes, of: Lanes | None = None, share: int = 1, unit: float = 1.0
) -> tuple[Whole, Lanes]:
    """Return (n, r) with x = n ln(2)/share + r; n is rounded from `of` to a multiple of a unit."""
    n = f.nearest(x if of is None else of, share / math.log(2), unit)
    # fused, n ln 2 may have more bits than a float; else each part must leave room for n
    parts = getattr(C, f"LN2_{'FUSED' if f.s.target.has_fma else ''}{f.suffix}")
    minus, r = f.s.neg(n.value), x
    for part in parts:
        r = f.fma(minus, f.c(part / share), r)
    return n, r


def _exp_limits(f: Formula) -> tuple[float, float]:
    """Return the arguments beyond which exp is 0 or infinite."""
    return (-104.0, 89.0) if f.dtype is float32 else (-746.0, 710.0)


def _exp_reduced(f: Formula, r: Lanes) -> Lanes:
    """Return exp(r) for |r| <= ln(2)/2."""
    return f.poly(r, (1.0, 1.0, *f.table("EXP")))


def exp(f: Formula, x: Lanes) -> Lanes:
    """Return exp(x)."""
    if not pieces.serves(f):
        return _exp_by_polynomial(f, x)
    n, r = _reduce_by_ln2(f, f.clamp(x, *_exp_limits(f)), unit=1 / 16)
    return f.scale(pieces.exp_from(f, n, r), n)


def _exp_by_polynomial(f: Formula, x: Lanes) -> Lanes:
    n, r = _reduce_by_ln2(f, f.clamp(x, *_exp_limits(f)))
    return f.scale(_exp_reduced(f, r), n)


def exp_tame(f: Formula, x: Lanes) -> Lanes:
    """Return exp(x) where neither that nor a power of two near it is subnormal or infinite."""
    n, r = _reduce_by_ln2(f, x)
    return f.mul(f.power_of_two(n), _exp_reduced(f, r))


def exp_parts(f: Formula, x: Lanes, rest: Lanes) -> tuple[Whole, Lanes]:
    """Return (n, t) with exp(x + rest) = 2**n (1 + t), for a small `rest`."""
    n, r = _reduce_by_ln2(f, f.clamp(x, *_exp_limits(f)))
    correction = _with_rest(f, r, f.mul(f.mul(r, r), f.poly(r, f.table("EXP"))), rest)
    return n, f.add(r, correction)


def half_exp(f: Formula, x: Lanes) -> Lanes:
    """Return exp(x) / 2, for x up to where that is infinite."""
    low, high = _exp_limits(f)
    n, r = _reduce_by_ln2(f, f.clamp(x, low, high + 1.0))
    return f.scale(f.mul(f.c(0.5), _exp_reduced(f, r)), n)


def _with_rest(f: Formula, r: Lanes, correction: Lanes, rest: Lanes) -> Lanes:
    """Return the correction of 1 + r + correction after multiplication by 1 + rest."""
    return f.add(correction, f.fma(f.add(r, correction), rest, rest))


def exp2(f: Formula, x: Lanes) -> Lanes:
    """Return 2**x."""
    x = f.clamp(x, *((-151.0, 129.0) if f.dtype is float32 else (-1076.0, 1025.0)))
    n = f.nearest(x)
    r = f.mul(f.sub(x, n.value), f.c(math.log(2)))
    return f.scale(_exp_reduced(f, r), n)


def expm1(f: Formula, x: Lanes) -> Lanes:
    """2**n (expm1(r) + 1) - 1, with 2**n - 1 kept exact and everything halved against overflow."""
    n, r = _reduce_by_ln2(f, f.clamp(x, -60.0, _exp_limits(f)[1]))
    tail = f.mul(f.mul(r, r), f.poly(r, f.table("EXPM1")))
    half = f.power_of_two(n, -1)
    whole = f.sub(half, f.c(0.5))
    sum_ = f.fma(half, r, whole)
    lost = f.fma(half, r, f.sub(whole, sum_))  # what rounding took from the sum
    out = f.mul(f.c(2.0), f.add(sum_, f.fma(half, tail, lost)))
    small = f.s.lt(f.s.abs(x), f.c(2.0 ** -(f.mantissa + 1)))
    return f.select(small, x, out)


def sigmoid(f: Formula, x: Lanes) -> Lanes:
    """Return 1 / (1 + exp(-x)), with the rounding of the denominator put back."""
    e = _exp_by_polynomial(f, f.s.neg(f.s.abs(x))._replace(most=0.0))  # whose error counts twice
    negative, one = f.less(x, 0.0), f.c(1.0)
    bottom, rest = f.total(one, e)
    out = f.div(f.select(negative, e, one), bottom)
    inverse = f.select(negative, f.sub(one, out), out)
    return f.fma(f.s.neg(out), f.mul(rest, inverse), out)


def softplus(f: Formula, x: Lanes) -> Lanes:
    """Return max(x, 0) + log(1 + e), e = exp(-|x|).

    log(1 + e) is e + e**2 p(e), of which all but a power of two is summed first: e is never rounded.
    Around 0 it is x/2 + log(2) + x**2 q(x**2).
    """
    zero, square, size = f.c(0.0), f.mul(x, x), f.s.abs(x)
    near = f.fma(square, f.poly(square, f.table("SOFTPLUS_NEAR")), f.c(math.log(2)))
    n, r = _reduce_by_ln2(f, f.clamp(f.s.neg(size)._replace(most=0.0), *_exp_limits(f)))
    rise = f.fma(f.mul(r, r), f.poly(r, f.table("EXP")), r)
    head, rest = f.total(f.c(1.0), rise)
    e = f.select(
        f.less(n.value, -100.0), zero, f.mul(head, f.power_of_two(n))
    )  # there e**2 is lost
    bend = f.mul(e, f.poly(e, f.table("SOFTPLUS")))
    tail = f.scale(f.add(head, f.fma(head, bend, rest)), n)
    far = f.add(f.select(f.less(x, 0.0), zero, x), tail)
    return f.select(f.less(size, 1.0), f.fma(x, f.c(0.5), near), far)


def tanh(f: Formula, x: Lanes) -> Lanes:
    """Return h / (h + 1) for h = expm1(2 x) / 2 of |x|, with the sign of x.

    n is rounded down, so h is a sum of positive terms. The rounding of the denominator is put back.
    """
    if pieces.serves(f):
        return pieces.tanh(f, x)
    size = f.s.abs(x)
    most = f.c(10.0 if f.dtype is float32 else 20.0)  # from there on it is 1
    a = f.select(f.s.lt(most, size), most, size)
    n, r = _reduce_by_ln2(f, a, f.sub(a, f.c(math.log(2) / 4)), share=2)
    tail = f.fma(f.mul(r, r), f.poly(r, f.table("TANH")), r)
    power = f.power_of_two(n)
    h = f.fma(power, tail, f.sub(f.power_of_two(n, -1), f.c(0.5)))
    one = f.c(1.0)
    bottom, rest = f.total(one, h)
    rest = f.select(f.less(h, 1.0), rest, f.c(0.0))  # of large h it is not exact and matters little
    out = f.div(h, bottom)
    return f.s.copysign(f.fma(f.s.neg(out), f.mul(rest, f.sub(one, out)), out), x)


# --- logarithms ----------------------------------------------------------------------------------


def _split_exponent(f: Formula, x: Lanes) -> tuple[Lanes, Lanes]:
    """Return (e, m) with x = 2**e m, e a float and m in [3/4, 3/2); x > 0, any size."""
    parts = f.exponent_and_mantissa(x)
    if parts is not None:
        e, m = parts
        return f.select(f.less(m, 1.0), f.add(e, f.c(1.0)), e), m
    tiny = f.less(x, 2.0 ** (2 - f.bias))
    shift = f.mantissa + 2
    x = f.select(tiny, f.mul(x, f.c(2.0**shift)), x)
    offset = f.s.sub(f.bits(x), f.i_of(0.75))
    exponent = f.s.binary("ashr", offset, f.i(f.mantissa))
    m = f.from_bits(f.s.sub(f.bits(x), f.s.binary("shl", exponent, f.i(f.mantissa))))
    e = f.s.convert("sitofp", exponent, f.dtype)
    return f.select(tiny, f.sub(e, f.c(float(shift))), e), m


def _log_parts(f: Formula, m: Lanes) -> tuple[Lanes, Lanes]:
    """Return log(m) as an exact leading part m - 1 and a correction."""
    t = f.sub(m, f.c(1.0))
    s = f.div(t, f.add(t, f.c(2.0)))
    z = f.mul(s, s)
    half_square = f.mul(f.mul(f.c(0.5), t), t)
    tail = f.fma(s, f.fma(z, f.poly(z, f.table("LOG")), half_square), f.s.neg(half_square))
    return t, tail


def _log_specials(f: Formula, x: Lanes, out: Lanes) -> Lanes:
    """Put in -inf at 0, NaN below, +inf and NaN as they come."""
    out = f.select(f.less(x, math.inf), out, x)  # +inf and NaN
    out = f.select(f.s.eq(x, f.c(0.0)), f.c(-math.inf), out)
    return f.select(f.less(x, 0.0), f.c(math.nan), out)


def log(f: Formula, x: Lanes, correction: Lanes | None = None) -> Lanes:
    """Return the logarithm, of x (1 + `correction`) for a small correction."""
    if pieces.serves(f) and correction is None:
        return pieces.log(f, x)
    e, m = _split_exponent(f, x)
    t, tail = _log_parts(f, m)
    if correction is not None:
        tail = f.add(tail, correction)
    out = f.fma(e, f.c(math.log(2)), f.add(t, tail))
    return out if f.has_exponents else _log_specials(f, x, out)


def log1p(f: Formula, x: Lanes, rest: Lanes | None = None) -> Lanes:
    """Return log(1 + x + rest) for a `rest` below the digits of x, 0 where it is None."""
    u = f.add(f.c(1.0), x)
    # what 1 + x lost: x - (u - 1) where x is the smaller term, 1 - (u - x) where 1 is
    lost = f.select(f.less(x, 1.0), f.sub(x, f.sub(u, f.c(1.0))), f.sub(f.c(1.0), f.sub(u, x)))
    lost = lost if rest is None else f.add(lost, rest)
    correction = f.select(f.less(u, math.inf), f.div(lost, u), f.c(0.0))
    out = log(f, u, correction)
    small = f.s.lt(f.s.abs(x), f.c(2.0 ** -(f.mantissa + 2)))
    return f.select(small, x, f.select(f.s.eq(u, f.c(0.0)), f.c(-math.inf), out))


def _log_base(
    f: Formula, x: Lanes, per_log: tuple[float, float], per_exponent: tuple[float, float]
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


def log2(f: Formula, x: Lanes) -> Lanes:
    """Return the logarithm to base 2."""
    return _log_base(f, x, C.LOG2_E, (1.0, 0.0))


def log10(f: Formula, x: Lanes) -> Lanes:
    """Return the logarithm to base 10."""
    high, middle, low = C.LOG10_2_64
    return _log_base(f, x, C.LOG10_E, (high, middle + low))


# --- powers and roots ----------------------------------------------------------------------------


def cbrt(f: Formula, x: Lanes) -> Lanes:
    """Return the cube root: exp2(log2(x) / 3) and a step of Newton's method."""
    a = f.s.abs(x)
    tiny = f.less(a, 2.0**-900)  # the step needs digits below those of a
    a = f.select(tiny, f.mul(a, f.c(2.0**300)), a)
    y = exp2(f, f.mul(log2(f, a), f.c(1 / 3)))
    square = f.mul(y, y)
    excess = f.fma(y, square, f.s.neg(a))
    y = f.sub(y, f.div(excess, f.mul(f.c(3.0), square)))
    y = f.select(tiny, f.mul(y, f.c(2.0**-100)), y)
    usual = f.s.and_(f.s.lt(f.c(0.0), a), f.less(a, math.inf))
    return f.select(usual, f.s.copysign(y, x), x)


def hypot(f: Formula, x: Lanes, y: Lanes) -> Lanes:
    """Return sqrt(x**2 + y**2), scaled by a power of two where squares leave the range."""
    s, a, b = f.s, f.s.abs(x), f.s.abs(y)
    swapped = s.lt(a, b)
    long, short = f.select(swapped, b, a), f.select(swapped, a, b)
    large, tiny = s.lt(f.c(2.0**500), long), f.less(long, 2.0**-400)
    factor = f.select(large, f.c(2.0**-600), f.select(tiny, f.c(2.0**600), f.c(1.0)))
    back = f.select(large, f.c(2.0**600), f.select(tiny, f.c(2.0**-600), f.c(1.0)))
    long, short = f.mul(long, factor), f.mul(short, factor)
    out = f.mul(s.sqrt(f.fma(long, long, f.mul(short, short))), back)
    infinite = s.or_(s.eq(a, f.c(math.inf)), s.eq(b, f.c(math.inf)))
    return f.select(infinite, f.c(math.inf), out)


def _log2_parts(f: Formula, x: Lanes) -> tuple[Lanes, Lanes]:
    """Return log2(x) of finite x > 0 as a float and a rest, together good to about 2**-65.

    The quotient s of the series 2 s + s**3 (2/3 + …) and its first two terms have rests of their own
    (Dekker, "A floating-point technique for extending the available precision", 1971).
    """
    e, m = _split_exponent(f, x)
    t = f.sub(m, f.c(1.0))
    d = f.add(t, f.c(2.0))
    d_rest = f.sub(t, f.sub(d, f.c(2.0)))
    s = f.div(t, d)
    s_rest = f.div(f.fma(f.s.neg(s), d_rest, f.left(t, s, d)), d)
    z, z_rest = f.product(s, s)
    z_rest = f.fma(f.mul(f.c(2.0), s), s_rest, z_rest)
    third = f.c(2 / 3)
    u, u_rest = f.product(z, third)
    u_rest = f.add(u_rest, f.fma(z, f.c(_TWO_THIRDS_REST), f.mul(z_rest, third)))
    u, u_rest = f.total(u, f.fma(f.mul(z, z), f.poly(z, f.table("LOG_REST")), u_rest))
    v, v_rest = f.product(s, u)
    v_rest = f.add(v_rest, f.fma(s_rest, u, f.mul(s, u_rest)))
    double = f.mul(f.c(2.0), s)
    h, h_rest = f.total(double, v)
    h_rest = f.add(h_rest, f.fma(f.c(2.0), s_rest, v_rest))
    high, low = C.LOG2_E
    q, q_rest = f.product(h, f.c(high))
    q_rest = f.add(q_rest, f.fma(h, f.c(low), f.mul(h_rest, f.c(high))))
    total, rest = f.total(e, q)
    return total, f.add(rest, q_rest)


_TWO_THIRDS_REST = 3.700743415417188e-17
"""2/3 minus the double nearest to it."""


def _exp2_parts(f: Formula, x: Lanes, rest: Lanes) -> Lanes:
    """Return 2**(x + rest)."""
    x = f.clamp(x, -1080.0, 1030.0)
    n = f.nearest(x)
    t = f.sub(x, n.value)
    high, low = math.log(2), C.LN2_FUSED64[1]
    r, r_rest = f.product(t, f.c(high))
    r_rest = f.add(r_rest, f.fma(t, f.c(low), f.mul(rest, f.c(high))))
    correction = f.mul(f.mul(r, r), f.poly(r, f.table("EXPM1")))
    correction = _with_rest(f, r, correction, r_rest)
    return f.scale(f.add(f.c(1.0), f.add(r, correction)), n)


def _power_exactly(f: Formula, a: Lanes, y: Lanes) -> Lanes:
    """Return a**y for finite a > 0 in double precision."""
    log, rest = _log2_parts(f, a)
    p, p_rest = f.product(y, log)
    p_rest = f.fma(y, rest, p_rest)
    tame = f.less(f.s.abs(p), 2000.0)
    return _exp2_parts(f, p, f.select(tame, p_rest, f.c(0.0)))


def _power_in_double(f: Formula, a: Lanes, y: Lanes) -> Lanes:
    """Return a**y for finite a > 0 with the bits that single precision needs."""
    return exp2(f, f.mul(y, log2(f, a)))


def _pow(f: Formula, x: Lanes, y: Lanes, power: Callable[[Formula, Lanes, Lanes], Lanes]) -> Lanes:
    """Put what C says of signs, zeros, infinities and NaN around a power of positive numbers."""
    s, one, zero, inf = f.s, f.c(1.0), f.c(0.0), f.c(math.inf)
    a = s.abs(x)
    usual = s.and_(s.lt(zero, a), s.lt(a, inf))
    out = power(f, f.select(usual, a, one), y)
    out = f.select(s.eq(a, one), one, out)
    falls = f.less(y, 0.0)
    out = f.select(s.eq(a, zero), f.select(falls, inf, zero), out)
    out = f.select(s.eq(a, inf), f.select(falls, zero, inf), out)
    whole = s.eq(s.trunc(y), y)
    half = f.mul(y, f.c(0.5))
    odd = s.and_(whole, s.ne(s.trunc(half), half))
    out = f.select(s.and_(odd, s.signbit(x)), s.neg(out), out)
    undefined = s.and_(s.and_(f.less(x, 0.0), usual), s.not_(whole))
    out = f.select(undefined, f.c(math.nan), out)
    out = f.select(s.compare("fcmp uno", x, y), f.add(x, y), out)
    return f.select(s.or_(s.eq(y, zero), s.eq(x, one)), one, out)


def pow(s: LaneScalars, x: Lanes, y: Lanes) -> Lanes:
    """Return x**y with the special values of C; 2 ULP, single precision rounded once."""
    if x.dtype is not float64:
        return in_double(lambda f, a, b: _pow(f, a, b, _power_in_double))(s, x, y)
    return _pow(Formula(s, float64), x, y, _power_exactly)
