"""Run every float32 through the vector functions and print how far they are from the truth.

    python tools/exhaustive.py [--stride N] [--only NAME,NAME]

Truth is NumPy and SciPy in float64, whose own error is far below half a float32 ULP. All 2**32 inputs
of a function take a few minutes; a stride of 257 visits every 257th, all exponents included. The
special values (NaN, infinities, zeros and their signs) must agree exactly.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

import symtensor as st

CHUNK = 1 << 24


def lgamma(x: Any) -> Any:
    """Return that of SciPy; inf at -inf, as C has it."""
    return np.where(x == -np.inf, np.inf, special.gammaln(x))


def softplus(x: Any) -> Any:
    """Return log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


ALWAYS = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], np.float32)
"""Visited at every stride."""
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "arcsinh": np.arcsinh, "arccosh": np.arccosh,
    "arctanh": np.arctanh, "sigmoid": special.expit, "erf": special.erf, "erfc": special.erfc,
    "cbrt": np.cbrt, "sqrt": np.sqrt, "lgamma": lgamma, "softplus": softplus,
}  # fmt: skip


def errors(found: Any, exact: Any) -> tuple[Any, Any]:
    """Return the errors in ULP where the truth is finite, and where special values differ."""
    near = exact.astype(np.float32)
    finite = np.isfinite(near)
    unit = np.spacing(np.abs(near)).astype(np.float64)
    error = np.where(finite, np.abs(found - exact) / unit, 0)
    same = np.where(
        finite, np.isfinite(found), (found == near) | (np.isnan(found) & np.isnan(near))
    )
    zero = (near == 0) & (exact == 0)
    return error, ~same | (zero & (np.signbit(found) != np.signbit(near)))


def worst(name: str, truth: Callable[[Any], Any], stride: int) -> tuple[float, float, int]:
    """Return (largest error in ULP, where, number of wrong special values) of a function."""
    x = st.placeholder((None,), "float32")
    f = st.function([x], getattr(st, name)(x), engine="llvm")
    largest, place, wrong = 0.0, 0.0, 0
    for start in range(0, 1 << 32, CHUNK * stride):
        stop = min(start + CHUNK * stride, 1 << 32)
        points = np.arange(start, stop, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
        points = np.concatenate([ALWAYS, points])
        with np.errstate(all="ignore"):
            error, bad = errors(f(points), truth(points.astype(np.float64)))
        at = int(np.argmax(error))
        wrong += int(bad.sum())
        if error[at] > largest:
            largest, place = float(error[at]), float(points[at])
    return largest, place, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print("| function | largest error, ULP | at | wrong special values |\n|---|---|---|---|")
    failed = 0
    for name, truth in FUNCTIONS.items():
        if not given.only or name in given.only.split(","):
            largest, place, wrong = worst(name, truth, given.stride)
            failed += wrong > 0 or largest > 2
            print(f"| {name} | {largest:.2f} | {place:.9g} | {wrong} |", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
