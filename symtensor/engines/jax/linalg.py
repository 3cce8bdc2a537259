"""Linear algebra by jax's own decompositions (LAPACK on the CPU, the vendor's solvers on a GPU).

They answer a matrix without result by NaN or infinity, never by an error. So a result that is not
finite raises a doubt, and the reference tells whether it is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from symtensor.engines.jax.trace import Trace, native
from symtensor.ops.linalg import (
    CHOLESKY,
    DET,
    EIGH,
    INV,
    QR,
    SLOGDET,
    SOLVE,
    SOLVE_TRIANGULAR,
    SVD,
)


def _finite(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule that doubts results which are not finite."""

    def checked(trace: Trace, *xs: Any) -> Any:
        out = rule(*xs)
        for part in out if isinstance(out, tuple) else (out,):
            trace.doubt(~jnp.all(jnp.isfinite(part)))
        return out

    return checked


native(CHOLESKY)(_finite(lambda x: lax.linalg.cholesky(x, symmetrize_input=False)))
native(EIGH)(_finite(lambda x: tuple(jnp.linalg.eigh(x, UPLO="L", symmetrize_input=False))))
native(SVD)(_finite(lambda x: tuple(jnp.linalg.svd(x, full_matrices=False))))
native(QR)(_finite(lambda x: tuple(jnp.linalg.qr(x))))
native(SOLVE)(_finite(jnp.linalg.solve))
native(INV)(_finite(jnp.linalg.inv))


@native(DET)
def _det(trace: Trace, x: Any) -> Any:
    return jnp.linalg.det(x)


@native(SLOGDET)
def _slogdet(trace: Trace, x: Any) -> tuple[Any, Any]:
    sign, logabs = jnp.linalg.slogdet(x)
    return sign, logabs


@native(SOLVE_TRIANGULAR)
def _solve_triangular(trace: Trace, a: Any, b: Any, *, lower: bool, trans: bool) -> Any:
    trace.doubt(jnp.any(jnp.diagonal(a, 0, -2, -1) == 0))
    return lax.linalg.triangular_solve(a, b, left_side=True, lower=lower, transpose_a=trans)
