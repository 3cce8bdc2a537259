"""digamma as vector code.

Arguments below 10 are raised by 10 in one step, the sum of 1/(y + k) being one quotient; the asymptotic
series serves there (Abramowitz and Stegun 6.3.5, 6.3.18). Below 1/2 it is reflected by pi cot(pi x)
(6.3.7), whose argument is reduced exactly.
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
    size, pi = f.s.abs(r), f.c(math.pi)
    far = f.s.lt(f.c(0.25), size)
    t = f.mul(pi, f.select(far, f.sub(f.c(0.5), size), size))
    z = f.mul(t, t)
    sine = f.fma(f.mul(t, z), f.poly(z, f.table("SIN")), t)
    cosine = f.poly(z, (1.0, -0.5, *f.table("COS")))
    out = f.div(f.select(far, sine, cosine), f.select(far, cosine, sine))
    return f.s.copysign(f.mul(pi, out), r)
