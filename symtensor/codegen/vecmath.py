"""The table of vector mathematics: each function of the scalar vocabulary as code on lanes.

Straight-line code with at most 2 ULP of error and special values as in NumPy; arguments beyond it
call the C library lane by lane. The polynomials are fitted by tools/fit_coefficients.py.
"""

from __future__ import annotations

from collections.abc import Callable

from symtensor.codegen import angles, error_function, exponentials, gamma, hyperbolic, remainder
from symtensor.codegen.formula import floats, in_double
from symtensor.codegen.lanes import Lanes

LIBRARY = ("sin", "cos", "tan", "pow", "fmod")
"""C functions for arguments, or targets, that the code of a word does not serve."""

FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "exp": floats(exponentials.exp),
    "exp2": in_double(exponentials.exp2),
    "expm1": floats(exponentials.expm1),
    "log": floats(exponentials.log),
    "log1p": in_double(exponentials.log1p),
    "log2": in_double(exponentials.log2),
    "log10": in_double(exponentials.log10),
    "sigmoid": floats(exponentials.sigmoid),
    "softplus": floats(exponentials.softplus),
    "tanh": floats(exponentials.tanh),
    "sinh": in_double(hyperbolic.sinh),
    "cosh": in_double(hyperbolic.cosh),
    "asinh": in_double(hyperbolic.asinh),
    "acosh": in_double(hyperbolic.acosh),
    "atanh": in_double(hyperbolic.atanh),
    "cbrt": in_double(exponentials.cbrt),
    "hypot": in_double(exponentials.hypot),
    "pow": exponentials.pow,
    "sin": angles.fused(angles.sin),
    "cos": angles.fused(angles.cos),
    "tan": angles.fused(angles.tan),
    "asin": floats(angles.asin),
    "acos": floats(angles.acos),
    "atan": floats(angles.atan),
    "atan2": floats(angles.atan2),
    "erf": floats(error_function.erf),
    "erfc": in_double(error_function.erfc),
    "lgamma": in_double(gamma.lgamma),
    "digamma": in_double(gamma.digamma),
    "fmod": remainder.fmod,
}
"""Name in the scalar vocabulary -> ``(scalars, *lanes) -> lanes``."""
