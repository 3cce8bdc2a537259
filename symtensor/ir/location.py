"""Where in the user's program a node was built.

A `Location` is captured when a node is made: the innermost frame outside symtensor. It costs one
frame walk; file, line and source text are worked out only when somebody asks. Locations never take
part in node identity. Code that builds nodes on behalf of others (gradients, passes) runs under
`at(location)` so that what it builds points at the user's line and not at ours; derivatives say that
they are (`Location.origin`), and every rewrite hands that on with the line.
"""

from __future__ import annotations

import contextlib
import linecache
import sys
import threading
from collections.abc import Iterator
from types import CodeType
from typing import Any

_PACKAGE = __name__.split(".", 1)[0]
_internal_prefixes: list[str] = [_PACKAGE]


class Location:
    """A position in source code: file, line and columns, and what was made of the code there."""

    __slots__ = ("_code", "_file", "_lasti", "_line", "origin")

    def __init__(
        self,
        file: str,
        line: int,
        code: CodeType | None = None,
        lasti: int = -1,
        origin: str = "",
    ) -> None:
        self.origin = origin
        """``gradient`` or ``tangent`` for what was derived from the code at this line, else empty."""
        self._file = file
        self._line = line
        self._code = code
        self._lasti = lasti

    @property
    def file(self) -> str:
        """Path of the source file as Python knows it."""
        return self._file

    @property
    def line(self) -> int:
        """Line number, from 1."""
        return self._line

    @property
    def columns(self) -> tuple[int, int] | None:
        """First and last column of the expression, from 1, where Python recorded them."""
        if self._code is None or self._lasti < 0:
            return None
        for i, (_, _, first, last) in enumerate(self._code.co_positions()):
            if i == self._lasti // 2:
                return None if first is None or last is None else (first + 1, last + 1)
        return None

    @property
    def source(self) -> str:
        """The stripped source line, or "" when the file can't be read."""
        return linecache.getline(self._file, self._line).strip()

    def derived(self, origin: str) -> Location:
        """Return the same position for what is derived from the code there."""
        return Location(self._file, self._line, self._code, self._lasti, origin)

    def describe(self) -> str:
        """Return ``file:line:column   source text`` for messages."""
        columns = self.columns
        place = f"{self._file}:{self._line}" + (f":{columns[0]}" if columns else "")
        return f"{place}   {self.source}".rstrip()

    def __str__(self) -> str:
        return f"{self._file}:{self._line}"

    def __repr__(self) -> str:
        return f"Location({self._file!r}, {self._line})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Location, (self._file, self._line, None, -1, self.origin)


class _Override(threading.local):
    location: Location | None = None


_override = _Override()


def current() -> Location | None:
    """Return the location for a node built now: the override in force, else the user's frame."""
    if _override.location is not None:
        return _override.location
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in _internal_prefixes:
            return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return None


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


def skip_package(name: str) -> None:
    """Treat frames of the top-level package `name` as ours when looking for the user's line."""
    if name not in _internal_prefixes:
        _internal_prefixes.append(name)
