"""What programs written for TensorFlow 1 call a session.

There is nothing to start or to hold here: variables have values from birth, programs are compiled when
they are first called. `get_session` returns the one `Session`, so that ``K.get_session().run(…)`` works.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import symtensor as st
from symtensor.backend import tensors
from symtensor.backend.evaluation import KerasFunction, evaluate, function
from symtensor.errors import ArgumentError

KEPT_PROGRAMS = 128  # of the last requests with different fetches or fed placeholders


class Session:
    """Evaluates tensors. May be opened with ``with`` and closed; neither changes anything."""

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """Return the values of a tensor, or of lists, tuples and dicts of them, in the same form.

        `feed_dict` gives values of placeholders; a learning phase not fed is 0. Updates among the
        fetches are performed once. With nothing fed nothing is compiled. Raises TypeError for a fetch
        that is no tensor.
        """
        wanted = _flat(fetches)
        fed = dict(feed_dict or {})
        found = _program(tuple(wanted), tuple(fed))(list(fed.values())) if fed else evaluate(wanted)
        return _like(fetches, iter(found))

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


_session = Session()


def get_session() -> Session:
    """Return the session: `run` evaluates tensors for values of placeholders."""
    return _session


def set_session(session: Any) -> None:
    """Accept the session that `get_session` returns: there is no other.

    Raises TypeError for any other object, as a session of TensorFlow can't run tensors of this backend.
    """
    if not isinstance(session, Session):
        raise ArgumentError(
            "set_session: expected what get_session() returns, found "
            f"{type(session).__module__}.{type(session).__qualname__}. This backend needs no session:"
            " leave the call away; symtensor.config and SYMTENSOR_NUM_THREADS set what its options set"
        )


def manual_variable_initialization(value: bool) -> None:
    """Do nothing, whatever the flag: a variable here has its value from birth.

    Raises TypeError for anything but a bool or the ints 0 and 1.
    """
    if value not in (0, 1):
        raise ArgumentError(f"manual_variable_initialization: expected a bool, found {value!r}")


def clear_session() -> None:
    """Forget counters, names, a fixed learning phase and the programs of `Session.run`.

    Variables and functions that the program still holds stay valid.
    """
    tensors.clear_names_and_phase()
    _program.cache_clear()


@lru_cache(KEPT_PROGRAMS)
def _program(fetches: tuple[Any, ...], fed: tuple[Any, ...]) -> KerasFunction:
    return function(fed, fetches)


def _flat(fetches: Any) -> list[st.Tensor]:
    if isinstance(fetches, (list, tuple)):
        return [x for item in fetches for x in _flat(item)]
    if isinstance(fetches, Mapping):
        return _flat(list(fetches.values()))
    if not isinstance(fetches, st.Tensor):
        raise ArgumentError(f"run: expected tensors to evaluate, found {type(fetches).__name__}")
    return [fetches]


def _like(fetches: Any, values: Any) -> Any:
    """Return values, taken one by one, in the form of the fetches."""
    if isinstance(fetches, Mapping):
        return {key: _like(item, values) for key, item in fetches.items()}
    if isinstance(fetches, (list, tuple)):
        return type(fetches)([_like(item, values) for item in fetches])
    return next(values)
