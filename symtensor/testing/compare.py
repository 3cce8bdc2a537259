"""How far two arrays are apart.

Errors of floats are measured in units in the last place (ULP) of their dtype: 1 means neighbours.
Zero tolerance means the same bits, except that all NaNs are equal. Dtype and shape must always
agree, and so must the signs of zeros, which `docs/numerics.md` promises of nearly all ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def ulp_distance(x: Array, y: Array) -> Array:
    """Return the number of representable values between two float arrays, as float64.

    Equal values and pairs of NaNs have distance 0, also +0 and -0; a NaN and a number inf.
    """
    if x.dtype != y.dtype:
        raise TypeError(f"expected one dtype, found {x.dtype} and {y.dtype}")
    steps = np.abs(_ordinal(x) - _ordinal(y)).astype(np.float64)
    steps = np.where(np.isnan(x) & np.isnan(y), 0.0, steps)
    return np.where(np.isnan(x) != np.isnan(y), np.inf, steps)


def _ordinal(x: Array) -> Array:
    """Return the position of each float in the order of all floats of its dtype."""
    bits = x.view(f"i{x.dtype.itemsize}").astype(np.int64)
    sign = np.int64(-1) << (x.dtype.itemsize * 8 - 1)
    with np.errstate(over="ignore"):  # of bits that are not taken
        ordered = np.where(bits < 0, sign - bits, bits)
    return ordered.astype(np.longdouble)  # differences of 64-bit positions exceed an int64


def assert_close(
    value: Any, truth: Any, *, ulp: float = 0.0, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """Raise `AssertionError` unless `value` has dtype, shape and elements of `truth`.

    An element passes when it is within `ulp`, or within ``atol + rtol * abs(truth)``; with all three 0
    when it is identical. A zero must have the sign of the true zero, unless with `atol`, to which
    a zero is any small number.
    """
    value, truth = np.asarray(value), np.asarray(truth)
    if value.dtype != truth.dtype:
        raise AssertionError(f"expected dtype {truth.dtype}, found {value.dtype}")
    if value.shape != truth.shape:
        raise AssertionError(f"expected shape {truth.shape}, found {value.shape}")
    good = _agrees(value, truth, ulp, rtol, atol)
    if not good.all():
        raise AssertionError(_report(value, truth, good))


def _agrees(value: Array, truth: Array, ulp: float, rtol: float, atol: float) -> Array:
    if not _is_float(value.dtype):
        return np.asarray(value == truth)
    good = ulp_distance(value, truth) <= ulp
    if rtol or atol:
        with np.errstate(all="ignore"):
            wide = truth.astype(np.float64)
            error = np.abs(value.astype(np.float64) - wide)
            good |= error <= atol + rtol * np.where(np.isfinite(wide), np.abs(wide), 0)
    if not atol:
        good &= (value != 0) | (truth != 0) | (np.signbit(value) == np.signbit(truth))
    return np.asarray(good)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _report(value: Array, truth: Array, good: Array, most: int = 5) -> str:
    wrong = np.argwhere(~good)
    lines = [f"{len(wrong)} of {value.size} elements differ"]
    for index in map(tuple, wrong[:most]):
        line = f"  {list(map(int, index))}: expected {truth[index]!r}, found {value[index]!r}"
        if _is_float(value.dtype):
            line += f" ({ulp_distance(value[index], truth[index]):.4g} ULP)"
        lines.append(line)
    return "\n".join(lines)
