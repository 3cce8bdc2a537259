"""Constant values inside nodes: an immutable array that hashes by content.

Small arrays compare by bytes, so equal constants intern to one node; 0.0 and -0.0, NaN payloads
and dtypes stay apart because bytes and dtype are compared. Arrays above `CONTENT_LIMIT` bytes
compare by identity: hashing them would cost more than sharing them saves.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from symtensor.errors import DTypeError, OutOfRangeError, ShapeError
from symtensor.ir.alignment import copy_of
from symtensor.ir.dtypes import DType, as_dtype

CONTENT_LIMIT = 1 << 20


def as_array(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    """Return a copy of `value` as an array, with symtensor's errors for what is none."""
    try:
        # NumPy would read numbers in a text
        text = dtype is not None and np.asarray(value).dtype.kind in "SU"
        array = np.asarray(value, dtype=None if dtype is None or text else dtype.numpy)
    except OverflowError:
        raise OutOfRangeError(f"a number does not fit {dtype}", code="ST0208") from None
    except (TypeError, ValueError):
        raise ShapeError(
            f"expected an array of numbers, found {_shown(value)}",
            help="the rows of a nested list must have equal lengths",
            code="ST0204",
        ) from None
    if array.dtype.kind in "OSUVmM" and array.dtype.name != "bfloat16":
        raise DTypeError(f"expected numbers, found {_shown(value)}", code="ST0204")
    return copy_of(array, as_dtype(array.dtype).numpy)


def _shown(value: Any) -> str:
    text = f"{value!r} ({type(value).__name__})"
    return text if len(text) <= 80 else f"{text[:70]}… ({type(value).__name__})"


class Literal:
    """A read-only copy of an array, usable as a node attribute."""

    __slots__ = ("_key", "array", "dtype")

    def __init__(self, value: Any, dtype: DType | None = None) -> None:
        self.array = array = as_array(value, dtype)
        self.dtype = as_dtype(array.dtype)
        self.array.flags.writeable = False
        self._key: Any = id(self)
        if array.nbytes <= CONTENT_LIMIT:
            data = self.array.tobytes()
            self._key = data if len(data) <= 64 else hashlib.blake2b(data, digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Literal):
            return NotImplemented
        return self is other or (
            self.dtype is other.dtype
            and self.array.shape == other.array.shape
            and self._key == other._key
        )

    def __hash__(self) -> int:
        return hash((self.dtype, self.array.shape, self._key))

    def __repr__(self) -> str:
        return f"Literal({self.array.tolist() if self.array.size <= 8 else '...'}, {self.dtype})"
