"""erf and erfc as vector code.

In single precision erf is one of sixteen short polynomials where tables serve (`pieces`), else one of two
long ones. In double it is an odd polynomial near 0
and 1 - exp(-x p(x)) beyond; erfc is exp(-x**2) times a function
that varies slowly, fitted in (x - 4)/(x + 4) (after Shepherd and Laframboise, "Chebyshev
Approximation of (1 + 2x) exp(x^2) erfc x", 1981), with the rounding of x**2 put back.
"""

from __future__ import annotations

from symtensor.codegen import coefficients as C
from symtensor.codegen import pieces
from symtensor.codegen.exponentials import exp_parts, exp_tame
from symtensor.codegen.formula import Formula
from symtensor.codegen.lanes import Lanes
from symtensor.ir.dtypes import float32


def erf(f: Formula, x: Lanes) -> Lanes:
    """Return the error function."""
    if f.dtype is not float32:
        return _erf_by_exp(f, x)
    if pieces.serves(f):
        return pieces.erf(f, x)
    return _erf_by_two(f, x)


def _erf_by_two(f: Formula, x: Lanes) -> Lanes:
    """x + x p(x**2 - 3/2) below 1.75, q(x - 45/16) above, as one polynomial of chosen coefficients."""
    size, last = f.s.abs(x), f.c(3.925)  # from there on it is 1
    a = f.select(f.s.lt(last, size), last, size)
    inner = f.less(size, 1.75)
    inside, outside = f.fma(a, a, f.c(-1.5)), f.sub(a, f.c(2.8125))
    first, *rest = f.table("ERF_OUTER")
    terms = [
        f.select(inner, f.c(p), f.c(q)) for p, q in zip(f.table("ERF_INNER"), rest, strict=True)
    ]
    out = f.select(inner, a, f.c(first))
    factor = f.select(inner, a, outside)
    return f.s.copysign(f.fma(factor, f.horner(f.select(inner, inside, outside), terms), out), x)


def _excess(f: Formula, x: Lanes) -> Lanes:
    """Return erf(x)/x - 1 for |x| < 0.92."""
    return f.poly(f.mul(x, x), f.table("ERF"))


def _erf_by_exp(f: Formula, x: Lanes) -> Lanes:
    size, last = f.s.abs(x), f.c(6.0)
    a = f.select(f.s.lt(last, size), last, size)
    t = f.mul(f.sub(a, f.c(3.45)), f.c(1 / 2.55))
    tail = exp_tame(f, f.s.neg(f.mul(a, f.poly(t, f.table("ERF_TAIL")))))
    far = f.s.copysign(f.sub(f.c(1.0), tail), x)
    return f.select(f.less(size, 0.91), f.fma(x, _excess(f, x), x), far)


def erfc(f: Formula, x: Lanes) -> Lanes:
    """Return 1 - erf(x), to all digits where it is small."""
    a = f.clamp(f.s.abs(x), 0.0, 28.0)
    t = f.div(f.sub(a, f.c(4.0)), f.add(a, f.c(4.0)))
    double, one = f.mul(f.c(2.0), a), f.c(1.0)
    bottom = f.add(double, one)
    bottom_rest = f.sub(one, f.sub(bottom, double))
    first, *others = f.table("ERFC")
    rise, rise_rest = f.product(t, f.poly(t, others))
    top, top_rest = f.total(f.c(first), rise)
    top_rest = f.add(f.add(top_rest, f.c(C.ERFC_REST64)), rise_rest)
    slow, slow_rest = f.quotient(top, top_rest, bottom, bottom_rest)
    square, rest = f.product(a, a)
    n, growth = exp_parts(f, f.s.neg(square), f.s.neg(rest))
    tail = f.scale(f.add(slow, f.fma(slow, growth, slow_rest)), n)
    far = f.select(f.less(x, 0.0), f.sub(f.c(2.0), tail), tail)
    near, near_rest = f.total(one, f.s.neg(x))
    near = f.add(near, f.fma(f.s.neg(x), _excess(f, x), near_rest))
    return f.select(f.less(f.s.abs(x), 0.5), near, far)
