"""Sine, cosine, tangent and their inverses as vector code.

Angles are reduced by quarter turns in three parts (Cody and Waite, 1980); inverse functions by the
addition theorems to arguments for which a short polynomial serves (Muller, "Elementary Functions",
2016). Angles too large for that reduction go to the C library.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from symtensor.codegen import coefficients as C
from symtensor.codegen.formula import Formula, floats, in_double, rare_lanes
from symtensor.codegen.lanes import Lanes, LaneScalars
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
    sign = f.s._binary("shl", f.s.and_(count, f.i(2)), f.i(f.dtype.bits - 2))
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


def _pi(f: Formula, factor: float) -> tuple[Lanes, Lanes]:
    """Return pi times a power of two as the nearest float and the rest."""
    if f.dtype is float64:
        return f.c(math.pi * factor), f.c(_PI_REST * factor)
    near = struct.unpack("f", struct.pack("f", math.pi))[0]
    return f.c(near * factor), f.c((math.pi - near) * factor)


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
    z = f.mul(t, t)
    tail = f.fma(f.mul(t, z), f.poly(z, f.table("ATAN")), rest)
    return f.s.copysign(f.add(base, f.add(t, tail)), x)


def atan2(f: Formula, y: Lanes, x: Lanes) -> Lanes:
    """Return the angle of (x, y), in [-pi, pi]; signs of zeros count, as in C."""
    a, b = f.s.abs(x), f.s.abs(y)
    steep = f.s.lt(a, b)
    short, long = f.select(steep, a, b), f.select(steep, b, a)
    ratio = f.select(f.s.eq(long, f.c(0.0)), f.c(0.0), f.div(short, long))
    ratio = f.select(f.s.eq(short, f.c(math.inf)), f.c(1.0), ratio)
    angle = atan(f, ratio)
    half, half_rest = _pi(f, 0.5)
    angle = f.select(steep, f.add(f.sub(half, angle), half_rest), angle)
    whole, rest = _pi(f, 1.0)
    angle = f.select(f.s.signbit(x), f.add(f.sub(whole, angle), rest), angle)
    unknown = f.s.compare("fcmp uno", x, y)
    return f.select(unknown, f.add(x, y), f.s.copysign(angle, y))


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
