"""What Keras 2.3.1 of 2019 misses in today's Python, NumPy and h5py.

Keras imports its backend before the modules that need these names, so `KERAS_BACKEND=symtensor.backend`
is all it takes. A program that imports this backend before it chooses it for Keras calls `install`.
No function of Keras is changed, and a program without Keras runs nothing of this.
"""

from __future__ import annotations

import collections
import collections.abc
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.machinery import ModuleSpec, PathFinder
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

    `collections` gets Container, Iterable, Mapping and Sequence (gone in Python 3.10), NumPy gets Inf,
    string_ and unicode_ (gone in 2.0), strings read from the attributes of HDF5 objects can be decoded
    once more, and a new HDF5 file in memory can be written. Keras's wrappers for scikit-learn tell what they
    are in its words of today when they are imported. May be called twice.
    """
    for name in ("Container", "Iterable", "Mapping", "Sequence"):
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    for name, value in {"Inf": np.inf, "string_": np.bytes_, "unicode_": np.str_}.items():
        vars(np).setdefault(name, value)
    if find_spec("h5py") is not None:
        _decode_attributes()
        _write_in_memory()
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def complete_backend() -> None:
    """Give `keras.backend` the functions that Keras itself passes on from TensorFlow alone: `clear_session` …

    Names that it has stay, and a Keras that runs on another backend is left alone.
    """
    loader, found = sys.modules.get("keras.backend.load_backend"), sys.modules.get("keras.backend")
    if found is not None and getattr(loader, "_BACKEND", None) == __package__:
        ours = vars(sys.modules[__package__])
        for name in ours["__all__"]:
            vars(found).setdefault(name, ours[name])


def complete_globals(step: Any) -> None:
    """Give the step of Keras's TimeDistributed the global flag that it reads before it sets it.

    TensorFlow's tensors lack `_uses_learning_phase` where it is false, and then the step reads nothing.
    """
    names = getattr(step, "__globals__", {})
    if names.get("__name__") == "keras.layers.wrappers":
        names.setdefault("uses_learning_phase", False)


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


def _write_in_memory() -> None:
    """Let `h5py.File` make a file in memory where no mode is given, and name its handle `fid`.

    Keras saves models into streams this way; h5py had both before version 3.
    """
    from h5py import File

    open_ = File.__init__
    if getattr(open_, "writes_in_memory", False):
        return

    @wraps(open_)
    def opened(
        self: Any, name: Any, mode: Any = None, driver: Any = None, *rest: Any, **options: Any
    ) -> None:
        new = driver == "core" and not options.get("backing_store", True)
        open_(self, name, mode or ("a" if new else "r"), driver, *rest, **options)

    vars(opened)["writes_in_memory"] = True
    File.__init__ = opened
    File.fid = property(lambda self: self.id)


class _Finder:
    """Finds the modules of Keras that something of ours is added to as soon as they have run."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return where the module is, with the addition behind its execution; None for other modules."""
        found = PathFinder.find_spec(name, path) if name in _ADDITIONS else None
        loader: Any = None if found is None else found.loader
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _ADDITIONS[name](module)

            loader.exec_module = exec_module
        return found


def _tell_kinds(module: Any) -> None:
    for name, mixin in (
        ("KerasClassifier", "ClassifierMixin"),
        ("KerasRegressor", "RegressorMixin"),
    ):

        def tags(self: Any, mixin: str = mixin) -> Any:
            from sklearn import base

            kind = type("Kind", (getattr(base, mixin), base.BaseEstimator), {})
            return kind().__sklearn_tags__()

        wrapper = getattr(module, name)
        if not hasattr(wrapper, "__sklearn_tags__"):
            wrapper.__sklearn_tags__ = tags


_ADDITIONS: dict[str, Callable[[Any], None]] = {
    "keras.backend": lambda _: complete_backend(),
    "keras.wrappers.scikit_learn": _tell_kinds,  # what scikit-learn asks since version 1.6
}
"""Module of Keras -> what is done with it when it has run."""
