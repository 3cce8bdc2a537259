"""Places in the user's program, and how messages show them.

A `Location` is a position in source code; it costs one frame walk to find, and file, line and text
are worked out only when somebody asks. The user's frame is the innermost one that is neither ours
nor that of a package which calls us on the user's behalf. `snippet` draws lines of source with what
is to be said about parts of them, in the manner of rustc.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

_PACKAGE = __name__.split(".", 1)[0]
_INTERNAL = frozenset({_PACKAGE, "contextlib", "functools", "importlib", "keras", "numpy", "runpy"})
"""Top-level packages whose frames are never the user's."""

WIDTH = 160
"""Characters of a source line that messages show."""


class Location:
    """A position in source code: file, line and columns, the name scope around it, and what was
    made of the code there."""

    __slots__ = ("_code", "_file", "_lasti", "_line", "origin", "scope")

    def __init__(
        self,
        file: str,
        line: int,
        code: CodeType | None = None,
        lasti: int = -1,
        origin: str = "",
        scope: str = "",
    ) -> None:
        self.scope = scope
        """Names of `name_scope`, outermost first, with "/" between them."""
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
        """First column of the expression, from 1, and the one after its last on this line.

        None where Python did not record them.
        """
        if self._code is None or self._lasti < 0:
            return None
        for i, (line, end, first, last) in enumerate(self._code.co_positions()):
            if i == self._lasti // 2:
                if first is None or last is None or line != self._line:
                    return None
                text = linecache.getline(self._file, self._line).rstrip()
                stop = len(text) if end != line else _characters(text, last)
                return _characters(text, first) + 1, stop + 1
        return None

    @property
    def source(self) -> str:
        """The stripped source line, or "" when the file can't be read."""
        return linecache.getline(self._file, self._line).strip()

    def derived(self, origin: str) -> Location:
        """Return the same position for what is derived from the code there."""
        return Location(self._file, self._line, self._code, self._lasti, origin, self.scope)

    def describe(self) -> str:
        """Return ``file:line:column   source text`` for messages."""
        return f"{self.place}   {self.source}".rstrip()

    @property
    def place(self) -> str:
        """``file:line:column``, without the column where it is not known."""
        columns = self.columns
        return f"{self._file}:{self._line}" + (f":{columns[0]}" if columns else "")

    def __str__(self) -> str:
        return f"{self._file}:{self._line}"

    def __repr__(self) -> str:
        return f"Location({self._file!r}, {self._line})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Location, (self._file, self._line, None, -1, self.origin, self.scope)


def _characters(text: str, offset: int) -> int:
    """Return how many characters the first `offset` bytes of a line are: Python counts bytes."""
    return len(text.encode()[:offset].decode(errors="ignore"))


def user_location(depth: int = 1) -> Location | None:
    """Return the place where the user's program called us, seen from `depth` frames up."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        if is_users(frame):
            return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return None


def is_users(frame: FrameType) -> bool:
    """Return True for a frame that is neither ours nor of a package between the user and us."""
    module = frame.f_globals.get("__name__", "")
    if module == "__main__":  # of a package, when it is run with -m
        module = frame.f_globals.get("__package__") or module
    return module.partition(".")[0] not in _INTERNAL


# --- drawing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Label:
    """Something to say about a place."""

    place: Location
    text: str


def snippet(primary: Location, labels: Sequence[Label] = ()) -> list[str]:
    """Return the source line of `primary`, underlined, and those of `labels` with their texts.

    A label at the place of `primary`, or whose source can't be read, becomes a line below.
    """
    notes, drawn = [], []
    for label in labels:
        same = (label.place.file, label.place.line) == (primary.file, primary.line)
        if same and label.place.columns in (None, primary.columns):
            notes.append(f"= {label.text}")
        elif not label.place.source:
            notes.append(f"= {label.text}, from {label.place}")
        else:
            drawn.append(label)
    margin = max(len(str(x.line)) for x in (primary, *(label.place for label in drawn)))
    lines = [f"{'':{margin}}--> {primary.place}"]
    if primary.source or any(label.place.file == primary.file for label in drawn):
        lines += _block(primary.file, primary, drawn, margin)
    for file in dict.fromkeys(x.place.file for x in drawn if x.place.file != primary.file):
        lines.append(f"{'':{margin}}::: {file}")
        lines += _block(file, None, drawn, margin)
    return lines + [f"{'':{margin}} {note}" for note in notes]


def _block(file: str, primary: Location | None, labels: Sequence[Label], margin: int) -> list[str]:
    """Return the lines of one file that have something to show."""
    marks: dict[int, list[tuple[tuple[int, int] | None, str, str]]] = {}
    if primary is not None:
        marks[primary.line] = [(primary.columns, "^", "")]
    for label in labels:
        if label.place.file == file:
            marks.setdefault(label.place.line, []).append((label.place.columns, "-", label.text))
    lines, last = [f"{'':{margin}} |"], None
    for line in sorted(marks):
        text = linecache.getline(file, line).rstrip("\n").replace("\t", " ")[:WIDTH]
        if last is not None and line > last + 1:
            lines.append("...")
        lines.append(f"{line:{margin}} | {text}".rstrip())
        for columns, sign, said in marks[line]:
            lines.append(f"{'':{margin}} | {_underline(text, columns, sign)} {said}".rstrip())
        last = line
    return lines


def _underline(text: str, columns: tuple[int, int] | None, sign: str) -> str:
    start = len(text) - len(text.lstrip()) + 1
    first, last = columns or (start, len(text) + 1)
    first, last = min(first, len(text) + 1), min(last, len(text) + 1)
    return " " * (first - 1) + sign * max(last - first, 1)
