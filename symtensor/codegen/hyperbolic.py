"""sinh, cosh and the inverse hyperbolic functions as vector code.

In: lanes of float64; single precision is computed in double. Out: odd polynomials near the roots, and
exponentials and logarithms elsewhere, put together so that nothing cancels. tanh, which is computed in
single precision too, is among the `exponentials`.
"""

from __future__ import annotations

import math

from symtensor.codegen.exponentials import half_exp, log1p
from symtensor.codegen.formula import Formula
from symtensor.codegen.lanes import Lanes


def _odd(f: Formula, x: Lanes, name: str, z: Lanes | None = None) -> Lanes:
    """Return an odd function of slope 1 near 0; z is x**2."""
    z = f.mul(x, x) if z is None else z
    return f.fma(f.mul(x, z), f.poly(z, f.table(name)), x)


def sinh(f: Formula, x: Lanes) -> Lanes:
    """Return the hyperbolic sine."""
    a = f.s.abs(x)
    half = half_exp(f, a)
    far = f.sub(half, f.div(f.c(0.25), half))
    return f.select(f.less(a, 1.0), _odd(f, x, "SINH"), f.s.copysign(far, x))


def cosh(f: Formula, x: Lanes) -> Lanes:
    """Return the hyperbolic cosine."""
    half = half_exp(f, f.s.abs(x))
    return f.add(half, f.div(f.c(0.25), half))


_HUGE = 2.0**28
"""From here on the 1 in 1 + x**2 is lost."""


def asinh(f: Formula, x: Lanes) -> Lanes:
    """Return the inverse hyperbolic sine."""
    a = f.s.abs(x)
    square = f.mul(a, a)
    root = f.add(f.c(1.0), f.s.sqrt(f.add(f.c(1.0), square)))
    far = _log1p_of_sum(f, a, f.div(square, root), a)
    near = f.select(f.s.eq(x, f.c(0.0)), x, _odd(f, x, "ASINH"))  # whose last sum makes 0 of -0
    return f.select(f.less(a, 0.5), near, f.s.copysign(far, x))


def acosh(f: Formula, x: Lanes) -> Lanes:
    """Return the inverse hyperbolic cosine, NaN below 1; near 1 it is 2 asinh(sqrt((x - 1)/2))."""
    t = f.sub(x, f.c(1.0))
    z = f.mul(f.c(0.5), t)
    near = f.mul(f.c(2.0), _odd(f, f.s.sqrt(z), "ASINH", z))
    root = f.s.sqrt(f.mul(t, f.add(x, f.c(1.0))))
    return f.select(f.less(z, 0.25), near, _log1p_of_sum(f, root, t, x))


def _log1p_of_sum(f: Formula, large: Lanes, small: Lanes, x: Lanes) -> Lanes:
    """Return log(1 + large + small), and log(2 x) for huge x, where that is the same."""
    huge = f.s.lt(f.c(_HUGE), x)
    total, rest = f.total(large, small)
    total, rest = f.select(huge, f.sub(x, f.c(1.0)), total), f.select(huge, f.c(0.0), rest)
    found = log1p(f, total, rest)
    return f.select(huge, f.add(found, f.c(math.log(2))), found)


def atanh(f: Formula, x: Lanes) -> Lanes:
    """Return the inverse hyperbolic tangent, infinite at -1 and 1 and NaN beyond."""
    a = f.s.abs(x)
    far = f.mul(f.c(0.5), log1p(f, f.div(f.mul(f.c(2.0), a), f.sub(f.c(1.0), a))))
    return f.select(f.less(a, 0.3), _odd(f, x, "ATANH"), f.s.copysign(far, x))
