"""erf and erfc as vector code.

Near 0 erf is an odd polynomial. Beyond, erf is 1 - exp(-x p(x)); erfc is exp(-x**2) times a function
that varies slowly, fitted in (x - 4)/(x + 4) (after Shepherd and Laframboise, "Chebyshev
Approximation of (1 + 2x) exp(x^2) erfc x", 1981), with the rounding of x**2 put back.
"""

from __future__ import annotations

from symtensor.codegen.exponentials import exp_parts, exp_tame
from symtensor.codegen.formula import Formula
from symtensor.codegen.lanes import Lanes
from symtensor.ir.dtypes import float32


def _near(f: Formula, x: Lanes) -> Lanes:
    """Return erf(x) for |x| < 0.92."""
    return f.fma(x, f.poly(f.mul(x, x), f.table("ERF")), x)


def erf(f: Formula, x: Lanes) -> Lanes:
    """Return the error function."""
    middle, half = (2.45, 1.55) if f.dtype is float32 else (3.45, 2.55)
    size, last = f.s.abs(x), f.c(middle + half)
    a = f.select(f.s.lt(last, size), last, size)
    t = f.mul(f.sub(a, f.c(middle)), f.c(1 / half))
    tail = exp_tame(f, f.s.neg(f.mul(a, f.poly(t, f.table("ERF_TAIL")))))
    far = f.s.copysign(f.sub(f.c(1.0), tail), x)
    return f.select(f.less(size, 0.91), _near(f, x), far)


def erfc(f: Formula, x: Lanes) -> Lanes:
    """Return 1 - erf(x), to all digits where it is small."""
    a = f.clamp(f.s.abs(x), 0.0, 28.0)
    t = f.div(f.sub(a, f.c(4.0)), f.add(a, f.c(4.0)))
    double, one = f.mul(f.c(2.0), a), f.c(1.0)
    bottom = f.add(double, one)
    bottom_rest = f.sub(one, f.sub(bottom, double))
    slow, slow_rest = f.quotient(f.poly(t, f.table("ERFC")), f.c(0.0), bottom, bottom_rest)
    square, rest = f.product(a, a)
    fast = exp_parts(f, f.s.neg(square), f.s.neg(rest))
    tail = f.fma(fast, slow, f.mul(fast, slow_rest))
    far = f.select(f.less(x, 0.0), f.sub(f.c(2.0), tail), tail)
    near = f.sub(f.c(1.0), _near(f, x))
    return f.select(f.less(f.s.abs(x), 0.5), near, far)
