"""fmod as vector code, exact.

The quotient of the sizes, rounded to a whole number, is the wanted one or one more; while it has no
more bits than a float, what it leaves is a float. Larger quotients, infinities, NaN and division by 0
go lane by lane to the C library.
"""

from __future__ import annotations

from symtensor.codegen.formula import Formula, rare_lanes
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes
from symtensor.ir.dtypes import float64

_WITHOUT_ROUNDING = 2.0**29
"""Whole numbers below it times a float of single precision fit a double."""


def fmod(s: LaneScalars, x: Lanes, y: Lanes) -> Lanes:
    """Return the remainder of x / y with the sign of x, with the special values of C."""
    f, single = Formula(s, float64), x.dtype
    if single is not float64:
        a, b = s.cast(x, float64), s.cast(y, float64)
        return s.cast(_fmod(f, a, b, _WITHOUT_ROUNDING), single)
    return _fmod(f, x, y, 2.0**51)


def _fmod(f: Formula, x: Lanes, y: Lanes, most: float) -> Lanes:
    """Return the remainder; quotients from `most` on are rare."""
    a, b, zero = f.s.abs(x), f.s.abs(y), f.c(0.0)
    quotient = f.div(a, b)
    left = f.left(a, f.nearest(quotient).value, b)
    left = f.select(f.s.lt(left, zero), f.add(left, b), left)
    out = f.s.copysign(f.select(f.s.lt(a, b), a, left), x)
    rare = f.s.compare("fcmp uge", quotient, f.c(most))
    if not f.s.target.has_fma:  # `left` takes factors apart
        rare = f.s.or_(rare, f.s.compare("fcmp uge", f.select(f.s.lt(a, b), b, a), f.c(2.0**960)))
    return rare_lanes(f.s, rare, out, "fmod", x, y)
