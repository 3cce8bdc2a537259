"""lgamma and digamma as vector code.

lgamma from 1/2 to 3 is (x - 1)(x - 2) times a function without roots, fitted in (x - 5/4)/(x + 5/4), so
that all digits are there beside 1 and 2; beyond it is Stirling's formula with a fitted rest. digamma
raises arguments below 10 by 10 in one step, the sum of 1/(y + k) being one quotient; the asymptotic
series serves there (Abramowitz and Stegun 6.3.5, 6.3.18). Below 1/2 both are reflected (6.1.17, 6.3.7),
with an angle that is reduced exactly.
"""

from __future__ import annotations

import math

from symtensor.codegen.exponentials import log
from symtensor.codegen.formula import Formula
from symtensor.codegen.lanes import Lanes

_RAISED = 10
"""From here on the series is good to double precision; smaller arguments are raised by as much."""

_SERIES = (
    1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160,
)  # fmt: skip
"""B2/2, B4/4, …: Bernoulli numbers over their index."""


_STIRLING_REST = 0.5 * math.log(2 * math.pi) - 0.5


def lgamma(f: Formula, x: Lanes) -> Lanes:
    """Return log |gamma(x)|: inf at the poles and at both ends."""
    low = f.less(x, 0.5)
    out = _log_gamma(f, f.select(low, f.sub(f.c(1.0), x), x))
    sine = _sine(f, f.s.abs(_beyond_whole(f, x)))
    out = f.select(low, f.s.neg(f.add(log(f, sine), out)), out)
    pole = f.s.and_(low, f.s.eq(sine, f.c(0.0)))
    return f.select(pole, f.c(math.inf), out)


def _log_gamma(f: Formula, y: Lanes) -> Lanes:
    """Return lgamma of y >= 1/2."""
    w = f.div(f.sub(y, f.c(1.25)), f.add(y, f.c(1.25)))
    roots = f.mul(f.sub(y, f.c(1.0)), f.sub(y, f.c(2.0)))
    near = f.fma(roots, f.poly(w, f.table("LGAMMA")), f.c(0.0))  # never -0
    inverse = f.div(f.c(1.0), y)
    rest = f.mul(inverse, f.poly(f.mul(inverse, inverse), f.table("STIRLING")))
    growth = f.mul(f.sub(y, f.c(0.5)), f.sub(log(f, y), f.c(1.0)))
    return f.select(f.less(y, 3.0), near, f.add(growth, f.add(f.c(_STIRLING_REST), rest)))


def _sine(f: Formula, size: Lanes) -> Lanes:
    """Return sin(pi r) / pi of 0 <= r <= 1/2, to all digits of the smallest r too."""
    far, _, z = _eighth(f, size)
    near = f.mul(size, f.fma(z, f.poly(z, f.table("SIN")), f.c(1.0)))
    cosine = f.poly(z, (1.0, -0.5, *f.table("COS")))
    return f.select(far, f.mul(f.c(1 / math.pi), cosine), near)


def _eighth(f: Formula, size: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Return (r > 1/4, t, t**2) of 0 <= r <= 1/2, t being pi times r or 1/2 - r."""
    far = f.s.lt(f.c(0.25), size)
    t = f.mul(f.c(math.pi), f.select(far, f.sub(f.c(0.5), size), size))
    return far, t, f.mul(t, t)


def digamma(f: Formula, x: Lanes) -> Lanes:
    """Return the derivative of lgamma: -inf at 0, inf at -0, NaN at the other poles."""
    s, one = f.s, f.c(1.0)
    low = f.less(x, 0.5)
    out = _of_positive(f, f.select(low, f.sub(one, x), x))
    r = _beyond_whole(f, x)
    out = f.select(low, f.sub(out, _cotangent(f, r)), out)
    pole = s.and_(low, s.eq(r, f.c(0.0)))
    out = f.select(pole, f.c(math.nan), out)
    return f.select(s.eq(x, f.c(0.0)), s.copysign(f.c(math.inf), s.neg(x)), out)


def _beyond_whole(f: Formula, x: Lanes) -> Lanes:
    """Return x less the nearest whole number, exactly; 0 where all numbers are whole."""
    a, most = f.s.abs(x), f.c(2.0**f.mantissa)
    whole = f.sub(f.add(a, most), most)
    r = f.select(f.s.lt(a, most), f.sub(a, whole), f.c(0.0))
    return f.select(f.less(x, 0.0), f.s.neg(r), r)


def _of_positive(f: Formula, x: Lanes) -> Lanes:
    """Return digamma of x >= 1/2."""
    small, one = f.less(x, _RAISED), f.c(1.0)
    top, bottom = one, x
    for k in range(1, _RAISED):  # top / bottom is the sum of 1/(x + j) for j < k
        factor = f.add(x, f.c(float(k)))
        top, bottom = f.fma(top, factor, bottom), f.mul(bottom, factor)
    y = f.select(small, f.add(x, f.c(float(_RAISED))), x)
    inverse = f.div(one, y)
    z = f.mul(inverse, inverse)
    tail = f.fma(z, f.poly(z, _SERIES), f.mul(f.c(0.5), inverse))
    return f.sub(f.sub(log(f, y), tail), f.select(small, f.div(top, bottom), f.c(0.0)))


def _cotangent(f: Formula, r: Lanes) -> Lanes:
    """Return pi cot(pi r) for |r| <= 1/2: cosine over sine, or sine over cosine of 1/2 - |r|."""
    far, t, z = _eighth(f, f.s.abs(r))
    sine = f.fma(f.mul(t, z), f.poly(z, f.table("SIN")), t)
    cosine = f.poly(z, (1.0, -0.5, *f.table("COS")))
    out = f.div(f.select(far, sine, cosine), f.select(far, cosine, sine))
    return f.s.copysign(f.mul(f.c(math.pi), out), r)
