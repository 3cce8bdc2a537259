"""Where in the user's program a node was built.

A `Location` is captured when a node is made: the innermost frame that is the user's. Locations never
take part in node identity. Code that builds nodes on behalf of others (gradients, passes) runs under
`at(location)` so that what it builds points at the user's line and not at ours; derivatives say that
they are (`Location.origin`), and every rewrite hands that on with the line.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from symtensor.source import Location, user_location

__all__ = ["Location", "at", "current"]


class _Override(threading.local):
    location: Location | None = None


_override = _Override()


def current() -> Location | None:
    """Return the location for a node built now: the override in force, else the user's frame."""
    if _override.location is not None:
        return _override.location
    return user_location(2)


@contextlib.contextmanager
def at(location: Location | None, origin: str = "") -> Iterator[None]:
    """Build nodes at `location` instead of the calling line; None leaves things as they are.

    `origin` says that they are derived from what stands there.
    """
    saved = _override.location
    if location is not None:
        _override.location = location.derived(origin) if origin else location
    try:
        yield
    finally:
        _override.location = saved
