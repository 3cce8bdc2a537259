"""The border between users and the functions of the backend.

What goes out are the backend's handles (`handles`). What goes wrong with arguments inside, where Python
or NumPy stumbled over them, goes out as an error of ours: what the function expects, what it was given,
and the user's line. An error in a function of the user's, as in the step of `rnn`, stays as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from symtensor.backend.handles import adopt
from symtensor.errors import ArgumentError, AttributeValueError, SymtensorError
from symtensor.source import is_users

_LONGEST = 60
"""Characters of an argument that a message shows."""


def public(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function `name` of the backend as users call it."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return adopt(function(*args, **kwargs))
        except SymtensorError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            assert error.__traceback__ is not None
            if not _is_ours(error.__traceback__.tb_next):
                raise
            raise _refusal(name, function, args, kwargs, error) from error

    # found by pickle under the name that users import
    call.__module__, call.__name__, call.__qualname__ = __package__, name, name
    return call


def _is_ours(below: TracebackType | None) -> bool:
    """Return True where all frames below a call are ours; with none Python refused the call itself."""
    inside = below is not None
    while below is not None:
        if is_users(below.tb_frame):
            return False
        below = below.tb_next
    return inside


def _refusal(
    name: str, function: Callable[..., Any], args: Any, kwargs: Any, error: Exception
) -> SymtensorError:
    given = [*map(_shown, args), *(f"{key}={_shown(value)}" for key, value in kwargs.items())]
    bare = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]
    expected = inspect.Signature(bare)
    kind = AttributeValueError if isinstance(error, ValueError | ArithmeticError) else ArgumentError
    return kind(f"{name}: expected {expected}, found ({', '.join(given)}): {error}")


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
