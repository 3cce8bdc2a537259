"""Single precision by pieces: coefficients that one instruction looks up in a register, by lane.

In: lanes of float32, on a target that has the instruction (`serves`). Out: an odd function that becomes 1
by sixteen polynomials around multiples of a step, a logarithm without division (after Tang, "Table-driven
implementation of the logarithm function in IEEE floating-point arithmetic", 1990), an exponential near
powers of the sixteenth root of 2 (after his "Table-driven implementation of the exponential function", 1989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from symtensor.codegen import register_tables as T
from symtensor.codegen.coefficients import EXP_NEAR32, LOG1P32
from symtensor.codegen.formula import Formula, Whole
from symtensor.codegen.lanes import Lanes
from symtensor.ir.dtypes import float32


def serves(f: Formula) -> bool:
    """Return True where the tables of this module can be looked up."""
    return f.dtype is float32 and f.s.target.table_lanes == len(T.LOG_PIECES32[0])


def erf(f: Formula, x: Lanes) -> Lanes:
    """Return the error function: polynomials less t, as no float is near its slope at 0."""
    t, (first, *rest) = _around(f, x, T.ERF_STEP, T.ERF_PIECES32)
    return f.s.copysign(f.fma(t, f.horner(t, rest), f.add(first, t)), x)


def tanh(f: Formula, x: Lanes) -> Lanes:
    """Return the hyperbolic tangent."""
    t, terms = _around(f, x, T.TANH_STEP, T.TANH_PIECES32)
    return f.s.copysign(f.horner(t, terms), x)


def _around(
    f: Formula, x: Lanes, step: float, pieces: Sequence[Sequence[float]]
) -> tuple[Lanes, list[Lanes]]:
    """Return |x| less the nearest multiple of `step`, and the terms there; at the last one from there on."""
    size, last = f.s.abs(x), f.c((len(pieces[0]) - 0.504) * step)
    a = f.select(f.s.lt(last, size), last, size)
    n = f.nearest(a, 1 / step)
    t = f.fma(n.value, f.c(-step), a)
    return t, [f.lookup(numbers, f.bits(n.shifted)) for numbers in pieces]


def exp_from(f: Formula, n: Whole, r: Lanes) -> Lanes:
    """Return 2**(n - floor(n)) exp(r), n in sixteenths and |r| <= log(2)/32."""
    power = f.lookup(T.EXP_PIECES32, f.bits(n.shifted))
    rise = f.fma(f.mul(r, r), f.poly(r, EXP_NEAR32), r)
    return f.fma(power, rise, power)


def log(f: Formula, x: Lanes) -> Lanes:
    """Return the logarithm of 2**e m as e log 2 - log r + log1p(m r - 1), r near 1/m by its first bits.

    The sums are of e log 2 - log r, rounded once, and a small correction. Where m < 1, e is one less
    than it should be, and the table has log 2 more.
    """
    parts = f.exponent_and_mantissa(x)
    assert parts is not None  # as where tables are
    e, m = parts
    eighth = f.s.binary("lshr", f.bits(m), f.i(f.mantissa - 4))
    inverse, start = (f.lookup(numbers, eighth) for numbers in T.LOG_PIECES32)
    t = f.fma(m, inverse, f.c(-1.0))
    rise = f.fma(f.mul(t, t), f.poly(t, LOG1P32), t)
    return f.add(f.fma(e, f.c(math.log(2)), start), rise)
