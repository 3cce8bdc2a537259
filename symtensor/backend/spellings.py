"""Keywords of Keras 1, accepted beside those of today."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from symtensor.errors import ArgumentError
from symtensor.vocabulary import require_choice

P = ParamSpec("P")
R = TypeVar("R")

LAYOUTS = {"th": "channels_first", "tf": "channels_last", "default": None}
_TODAY = {
    "X": "x", "border_mode": "padding", "dim": "axis", "dim_ordering": "data_format",
    "filter_dilation": "dilation_rate", "high": "maxval", "low": "minval",
    "nb_classes": "num_classes", "std": "stddev", "stride": "strides",
}  # fmt: skip
_HINTS = ("image_shape", "filter_shape", "volume_shape")  # sizes that Theano liked to know


def old_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` with the keywords that Keras 1 used for its parameters.

    Raises TypeError where a call gives both spellings, ValueError for an unknown dim_ordering.
    """
    known = frozenset(signature(function).parameters)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.keys() <= known:
            return function(*args, **kwargs)
        return function(*args, **_translated(function.__name__, kwargs, known))

    return call


def layout_of(dim_ordering: str) -> str | None:
    """Return the data format that Keras 1 called "th", "tf" or "default"."""
    require_choice(dim_ordering, list(LAYOUTS), "dim_ordering")
    return LAYOUTS[dim_ordering]


def _translated(name: str, kwargs: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    out = {key: value for key, value in kwargs.items() if key in known}
    for key, value in kwargs.items():
        today = _TODAY.get(key)
        if key in known or (key in _HINTS and "data_format" in known):
            continue
        if today not in known:
            raise ArgumentError(f"{name}() got an unexpected keyword argument {key!r}")
        if today in out:
            raise ArgumentError(f"{name}() got both {key!r} and {today!r}: they mean the same")
        out[today] = layout_of(value) if key == "dim_ordering" else value
    return out
