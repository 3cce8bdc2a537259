"""Where the memory of arrays begins: that of large ones at a cache line.

NumPy's own begins anywhere at 16 bytes, so that vectors as long as a line would cross two. What engines read
and write again and again (values of variables, constants, results) is better placed. Small arrays are
NumPy's own: they take less time than a second object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector register."""
LARGE = 16 << 10
"""Bytes of an array from which on it begins at a cache line."""


def aligned_bytes(size: int) -> np.ndarray[Any, Any]:
    """Return an uninitialized byte array whose first element lies on a cache line."""
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def owner_bytes(size: int) -> int:
    """Return the bytes to take for an array of `size` bytes that begins at a cache line; 0: none more."""
    return size + ALIGNMENT if size >= LARGE else 0


def new_array(shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an uninitialized array; a large one lies on another of bytes, at a cache line."""
    size = math.prod(shape) * dtype.itemsize
    if not owner_bytes(size):
        return np.empty(shape, dtype)
    return aligned_bytes(size).view(dtype).reshape(shape)


def copy_of(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a copy of an array as a dtype, its elements in the order of C."""
    made = new_array(array.shape, dtype)
    made[...] = array
    return made
