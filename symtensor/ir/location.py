"""Where in the user's program a node was built.

A `Location` is captured when a node is made: the innermost frame that is the user's. Locations never
take part in node identity. Code that builds nodes on behalf of others (gradients, passes) runs under
`at(location)` so that what it builds points at the user's line and not at ours; derivatives say that
they are (`Location.origin`), and every rewrite hands that on with the line. A location also knows the
name scope around it, by which pictures of large graphs fold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from symtensor.source import Location, user_location
from symtensor.vocabulary import require_name

__all__ = ["Location", "at", "current", "name_scope"]


_location: ContextVar[Location | None] = ContextVar("location", default=None)
_scope: ContextVar[str] = ContextVar("scope", default="")


def current() -> Location | None:
    """Return the location for a node built now: the override in force, else the user's frame."""
    override = _location.get()
    if override is not None:
        return override
    found = user_location(2)
    if found is not None:
        found.scope = _scope.get()
    return found


class at:  # noqa: N801  (read as a word: with at(location))
    """Build nodes at `location` instead of the calling line; None leaves things as they are.

    `origin` says that they are derived from what stands there.
    """

    __slots__ = ("_location", "_saved")  # entered once per node of every gradient and rewrite

    def __init__(self, location: Location | None, origin: str = "") -> None:
        self._location = location.derived(origin) if location and origin else location

    def __enter__(self) -> None:
        self._saved = _location.get()
        if self._location is not None:
            _location.set(self._location)

    def __exit__(self, *raised: object) -> None:
        _location.set(self._saved)


@contextlib.contextmanager
def name_scope(name: str | None) -> Iterator[str]:
    """Put the nodes built inside under `name`, within the scopes around it; yield the whole scope.

    Scopes change no graph. The explorer and the exports fold graphs by them, and what gradients and
    passes make of a node stays in its scope.
    """
    require_name(name, "a scope")
    outer = _scope.get()
    scope = "/".join(filter(None, [outer, (name or "").strip("/")]))
    _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.set(outer)
