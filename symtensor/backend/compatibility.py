"""What Keras 2.3.1 of 2019 misses in today's Python, NumPy and h5py.

Keras imports its backend before the modules that need these names, so `KERAS_BACKEND=symtensor.backend`
is all it takes. A program that imports this backend before it chooses it for Keras calls `install`.
Nothing of Keras itself is changed, and a program without Keras runs nothing of this.
"""

from __future__ import annotations

import collections
import collections.abc
import os
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np


class Text(str):
    """A string that answers `decode`, as the bytes did that h5py returned before version 3."""

    __slots__ = ()

    def decode(self, encoding: str = "utf-8") -> str:
        """Return the string."""
        return str(self)


def needed() -> bool:
    """Return whether Keras is loaded, is loading this backend now, or is told to."""
    return "keras" in sys.modules or os.environ.get("KERAS_BACKEND") == __package__


def install() -> None:
    """Give `collections`, NumPy and h5py's attributes the names and types that Keras expects.

    `collections` gets Iterable, Mapping and Sequence (gone in Python 3.10), NumPy gets Inf and string_
    (gone in 2.0), and strings read from the attributes of HDF5 objects can be decoded once more. May be
    called twice.
    """
    for name in ("Iterable", "Mapping", "Sequence"):
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    for name, value in {"Inf": np.inf, "string_": np.bytes_}.items():
        vars(np).setdefault(name, value)
    if find_spec("h5py") is not None:
        _decode_attributes()


def _as_text(value: Any) -> Any:
    """Return strings, and arrays of strings, as `Text`."""
    if type(value) is str:
        return Text(value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([_as_text(item) for item in value.flat], object).reshape(value.shape)
    return value


def _decode_attributes() -> None:
    from h5py import AttributeManager

    read = AttributeManager.__getitem__
    if getattr(read, "gives_text", False):
        return

    def text(self: Any, name: Any) -> Any:
        return _as_text(read(self, name))

    vars(text)["gives_text"] = True
    AttributeManager.__getitem__ = text
