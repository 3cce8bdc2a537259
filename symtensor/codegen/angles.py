"""Sine, cosine, tangent and their inverses as vector code.

Angles are reduced by quarter turns in three parts (Cody and Waite, 1980); inverse functions by the
addition theorems to arguments for which a short polynomial serves (Muller, "Elementary Functions",
2016). Angles too large for that reduction go to the C library.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction

from symtensor.codegen import coefficients as C
from symtensor.codegen.formula import Formula, floats, in_double, rare_lanes
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes
from symtensor.ir.dtypes import float64

# --- sine and cosine -----------------------------------------------------------------------------

_REDUCIBLE = 1e5
"""Largest argument for the three-part reduction: quotients must fit the bits it leaves free."""

Parts = tuple[Lanes, Lanes]
"""A value as a float and a small rest."""


def _remainder(f: Formula, x: Lanes, n: Lanes) -> Parts:
    """Return x - n quarter turns; `n` is such that little is left."""
    high, middle, low = map(
        f.c, getattr(C, f"HALF_PI_{'FUSED' if f.s.target.has_fma else ''}{f.suffix}")
    )
    minus = f.s.neg(n)
    near = f.fma(minus, high, x)  # exact
    step, step_rest = f.product(minus, middle)
    r, rest = f.total(near, step)
    return r, f.fma(minus, low, f.add(rest, step_rest))


def _or_library(f: Formula, x: Lanes, out: Lanes, symbol: str) -> Lanes:
    """Return `out` for angles that `_remainder` serves; of others the C function."""
    huge = f.s.compare("fcmp oge", f.s.abs(x), f.c(_REDUCIBLE))
    return rare_lanes(f.s, huge, out, symbol, x)


def _sine_of(f: Formula, size: Lanes, quarters: int) -> Lanes:
    """Return the sine of size >= 0 plus some quarter turns.

    r + r z S(z) or 1 + z C(z) of what is left, as one polynomial of chosen coefficients.
    """
    n = f.nearest(size, 2 / math.pi)
    r, rest = _remainder(f, size, n.value)
    count = f.s.add(f.bits(n.shifted), f.i(quarters))
    odd, one, z = _has_bit(f, count, 1), f.c(1.0), f.mul(r, r)
    base = f.select(odd, one, r)
    pairs = zip(f.table("SIN"), (-0.5, *f.table("COS")), strict=True)
    terms = [f.select(odd, f.c(c), f.c(s)) for s, c in pairs]
    tail = f.fma(f.mul(z, base), f.horner(z, terms), f.select(odd, f.c(0.0), rest))
    sign = f.s.binary("shl", f.s.and_(count, f.i(2)), f.i(f.dtype.bits - 2))
    return f.from_bits(f.s.xor(f.bits(f.add(base, tail)), sign))


def sin(f: Formula, x: Lanes) -> Lanes:
    """Return the sine."""
    size = f.s.abs(x)
    sign = f.s.xor(f.bits(x), f.bits(size))
    out = f.from_bits(f.s.xor(f.bits(_sine_of(f, size, 0)), sign))
    return _or_library(f, x, out, "sin")


def cos(f: Formula, x: Lanes) -> Lanes:
    """Return the cosine."""
    return _or_library(f, x, _sine_of(f, f.s.abs(x), 1), "cos")


def _has_bit(f: Formula, n: Lanes, bit: int) -> Lanes:
    return f.s.ne(f.s.and_(n, f.i(bit)), f.i(0))


def _both(f: Formula, x: Lanes) -> tuple[Lanes, Parts, Parts]:
    """Return (n, sine, cosine) of what is left of x after n quarter turns."""
    n = f.nearest(x, 2 / math.pi)
    r, rest = _remainder(f, x, n.value)
    z = f.mul(r, r)
    sine = r, f.fma(f.mul(r, z), f.poly(z, f.table("SIN")), rest)
    return f.bits(n.shifted), sine, _cosine(f, z, f.mul(r, rest))


def _cosine(f: Formula, z: Lanes, rest: Lanes) -> Parts:
    """1 - z/2 + z**2 p(z) - rest, with the rounding of 1 - z/2 put back."""
    half = f.mul(z, f.c(0.5))
    leading = f.sub(f.c(1.0), half)
    lost = f.sub(f.sub(f.sub(f.c(1.0), leading), half), rest)
    return leading, f.fma(f.mul(z, z), f.poly(z, f.table("COS")), lost)


def tan(f: Formula, x: Lanes) -> Lanes:
    """Return the tangent: sine over cosine, with their places changed after odd quarter turns."""
    n, sine, cosine = _both(f, x)
    sine, cosine = f.total(*sine), f.total(*cosine)
    odd = _has_bit(f, n, 1)
    top = [f.select(odd, f.s.neg(c), s) for s, c in zip(sine, cosine, strict=True)]
    bottom = [f.select(odd, s, c) for s, c in zip(sine, cosine, strict=True)]
    out = f.select(f.s.eq(x, f.c(0.0)), x, f.add(*f.quotient(*top, *bottom)))
    return _or_library(f, x, out, "tan")


# --- inverse functions ---------------------------------------------------------------------------

_PI_REST = 1.2246467991473532e-16
"""pi minus the double nearest to it."""


def _pi(f: Formula, factor: float) -> Parts:
    """Return a multiple of pi as the nearest float and the rest."""
    exact = (Fraction(math.pi) + Fraction(_PI_REST)) * Fraction(factor)
    near = float(exact)
    if f.dtype is not float64:
        near = struct.unpack("f", struct.pack("f", near))[0]
    return f.c(near), f.c(float(exact - Fraction(near)))


def atan(f: Formula, x: Lanes) -> Lanes:
    """Return the arc tangent: pi/4 or pi/2 plus that of (a - 1)/(a + 1) or -1/a, or by itself."""
    a = f.s.abs(x)
    above = f.s.lt(f.c(math.tan(3 * math.pi / 8)), a)
    below = f.less(a, math.tan(math.pi / 8))
    one, zero = f.c(1.0), f.c(0.0)
    top = f.select(above, f.c(-1.0), f.select(below, a, f.sub(a, one)))
    bottom = f.select(above, a, f.select(below, one, f.add(a, one)))
    t = f.div(top, bottom)
    (half, half_rest), (quarter, quarter_rest) = _pi(f, 0.5), _pi(f, 0.25)
    base = f.select(above, half, f.select(below, zero, quarter))
    rest = f.select(above, half_rest, f.select(below, zero, quarter_rest))
    return f.s.copysign(f.add(base, f.add(t, _atan_tail(f, t, rest))), x)


def _atan_tail(f: Formula, t: Lanes, rest: Lanes) -> Lanes:
    """Return what the arc tangent of a small t is beyond t, and a rest."""
    z = f.mul(t, t)
    return f.fma(f.mul(t, z), f.poly(z, f.table("ATAN")), rest)


def atan2(f: Formula, y: Lanes, x: Lanes) -> Lanes:
    """Return the angle of (x, y), in [-pi, pi]; signs of zeros count, as in C.

    It is a multiple of pi/4, to which the arc tangent of a quotient is added or from which it is
    taken: of the shorter side by the longer, or beside a diagonal of their difference by their sum.
    """
    a, b = f.s.abs(x), f.s.abs(y)
    steep, left = f.s.lt(a, b), f.s.signbit(x)
    short, long = f.select(steep, a, b), f.select(steep, b, a)
    zero, infinite = f.c(0.0), f.s.eq(short, f.c(math.inf))
    diagonal = f.s.or_(f.s.lt(f.mul(long, f.c(math.tan(math.pi / 8))), short), infinite)
    t, rest = _tangent(f, short, long, diagonal)
    tail = _atan_tail(f, t, rest)
    (quarter, half, most, whole), rests = zip(*(_pi(f, i / 4) for i in range(1, 5)), strict=True)

    def base(quarter: Lanes, half: Lanes, most: Lanes, whole: Lanes) -> Lanes:
        straight = f.select(steep, half, f.select(left, whole, zero))
        return f.select(diagonal, f.select(left, most, quarter), straight)

    back = f.s.xor(steep, left)
    t, tail = (f.select(back, f.s.neg(part), part) for part in (t, tail))
    angle = f.add(base(quarter, half, most, whole), f.add(t, f.add(tail, base(*rests))))
    unknown = f.s.compare("fcmp uno", x, y)
    return f.select(unknown, f.add(x, y), f.s.copysign(angle, y))


def _tangent(f: Formula, short: Lanes, long: Lanes, diagonal: Lanes) -> Parts:
    """Return short/long, or beside a diagonal (short - long)/(short + long), and a rest; 0 for NaN."""
    scale = f.select(f.s.lt(f.c(1.0), long), f.c(0.25), f.c(1.0))  # sums of huge numbers overflow
    small, large, zero = f.mul(short, scale), f.mul(long, scale), f.c(0.0)
    top, top_rest = f.total(f.s.neg(large), small)
    bottom, bottom_rest = f.total(large, small)
    t, rest = f.quotient(
        f.select(diagonal, top, short), f.select(diagonal, top_rest, zero),
        f.select(diagonal, bottom, long), f.select(diagonal, bottom_rest, zero))  # fmt: skip
    known = f.s.eq(rest, rest)  # without infinities, or a division by 0
    defined = f.s.eq(t, t)
    return f.select(defined, t, zero), f.select(known, rest, zero)


def _half_angle(f: Formula, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Return (far, s, tail): asin of |x|, or for far ones that of sqrt((1 - |x|)/2), is s + tail."""
    a = f.s.abs(x)
    far = f.s.lt(f.c(0.5), a)
    w = f.mul(f.sub(f.c(1.0), a), f.c(0.5))
    s = f.select(far, f.s.sqrt(w), a)
    z = f.select(far, w, f.mul(a, a))
    return far, s, f.mul(f.mul(s, z), f.poly(z, f.table("ASIN")))


def _less_twice(f: Formula, angle: Parts, s: Lanes, tail: Lanes) -> Lanes:
    """Return angle - 2(s + tail) for 2s < angle, rounded about once: what angle - 2s loses is kept."""
    minus_two = f.c(-2.0)
    near = f.fma(minus_two, s, angle[0])
    lost = f.fma(minus_two, s, f.sub(angle[0], near))
    return f.add(near, f.add(lost, f.fma(minus_two, tail, angle[1])))


def asin(f: Formula, x: Lanes) -> Lanes:
    """Return the arc sine, NaN outside [-1, 1]."""
    far, s, tail = _half_angle(f, x)
    complement = _less_twice(f, _pi(f, 0.5), s, tail)
    return f.s.copysign(f.select(far, complement, f.add(s, tail)), x)


def acos(f: Formula, x: Lanes) -> Lanes:
    """Return the arc cosine, NaN outside [-1, 1]."""
    far, s, tail = _half_angle(f, x)
    half, half_rest = _pi(f, 0.5)
    near = f.sub(half, f.sub(x, f.sub(half_rest, f.s.copysign(tail, x))))
    right = f.mul(f.c(2.0), f.add(s, tail))
    left = _less_twice(f, _pi(f, 1.0), s, tail)
    return f.select(far, f.select(f.less(x, 0.0), left, right), near)


def fused(rule: Callable[[Formula, Lanes], Lanes]) -> Callable[..., Lanes]:
    """Run a rule in its own precision where the target fuses, else in double lanes."""

    def chosen(s: LaneScalars, x: Lanes) -> Lanes:
        return (floats if s.target.has_fma else in_double)(rule)(s, x)

    return chosen
