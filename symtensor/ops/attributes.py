"""What users write for sizes, counts, flags and other attributes of ops, taken or refused.

In: anything, and what it is for. Out: an int, a dim, a bool, a float, a tuple; never a node. What is
none raises `AttributeValueError`, which says what was expected and what was found.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from symtensor.errors import AttributeValueError, SymtensorError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr


def normalize_dim(size: Any, axis: int = 0) -> Dim:
    """Return a Dim for None (a fresh symbol), a name, an int or a Dim."""
    if size is None:
        return D.symbol()
    if isinstance(size, str):
        return D.dim(size)
    if isinstance(size, DimExpr):
        return size
    number = index_of(size)
    if number is None:
        raise AttributeValueError(
            f"size of axis {axis}: expected an int, None, a name or a dim, found {size!r}",
            code="ST0306",
        )
    return number


def index_of(value: Any) -> int | None:
    """Return the int that `value` is by ``__index__``, None for what is none, or not yet, as a tensor."""
    try:
        return int(operator.index(value))
    except TypeError:
        return None


def as_int(value: Any, what: str, least: int | None = None) -> int:
    """Return an integer that a user gave for `what`; anything with ``__index__`` is one."""
    number = index_of(value)
    if number is None or (least is not None and number < least):
        limit = "" if least is None else f" of at least {least}"
        raise AttributeValueError(f"{what}: expected an integer{limit}, found {value!r}")
    return number


def as_dim(value: Any, what: str, least: int | None = None) -> Dim:
    """Return a dim, a name of one, or an integer as `as_int` does; only calls know what dims are."""
    return normalize_dim(value) if isinstance(value, (DimExpr, str)) else as_int(value, what, least)


def is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    """Return True for what has items; a string is one thing, not its letters."""
    return np.iterable(value) and not isinstance(value, str)


def as_sizes(shape: Any) -> tuple[Dim, ...]:
    """Return the dims of a sequence of sizes."""
    if not is_sequence(shape):
        raise AttributeValueError(
            f"expected a shape, found {shape!r}",
            help=f"write ({shape!r},) for one axis of this size",
            code="ST0306",
        )
    return tuple(normalize_dim(size, axis) for axis, size in enumerate(shape))


def as_items(values: Any, what: str, of: str) -> list[Any]:
    """Return the items of a sequence that a user gave for `what`; a string is none of its letters."""
    if isinstance(values, (str, bytes)) or not np.iterable(values):
        raise AttributeValueError(f"{what}: expected a sequence of {of}, found {values!r}")
    return list(values)


def as_flag(value: Any, what: str) -> bool:
    """Return a bool that a user gave for `what`; 0 and 1 will do."""
    flag = value if isinstance(value, (bool, np.bool_)) else index_of(value)
    if flag is None or flag not in (0, 1):
        raise AttributeValueError(f"{what}: expected True or False, found {value!r}")
    return bool(flag)


def as_number(value: Any, what: str) -> float:
    """Return a float that a user gave for `what`."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except SymtensorError:  # a tensor, which says so itself
        raise
    except (TypeError, ValueError, OverflowError):
        raise AttributeValueError(f"{what}: expected a number, found {value!r}") from None
