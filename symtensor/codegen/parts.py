"""A module of LLVM text -> parts of about equal length that threads compile side by side.

Parts are modules of their own; linked together they are what the whole was. Functions that were private
to the module can be called from other parts, and each part declares what it calls in others. The cut
depends on the text alone, never on this machine, so the objects are the same with any number of threads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PART = 24_000
"""Characters of a part, about: 25 ms of work, to which a module of its own adds 1.5."""

_FUNCTION = "\ndefine "
_HEADER = re.compile(r"(?:internal )?(?P<result>\S+) @(?P<name>[\w.]+)\((?P<parameters>.*?)\)")
_TABLE = re.compile(r"(?m)^@(?P<name>\w+) = internal constant (?P<type>\[.*?\]) \[.*\]$")
_CALLED = re.compile(r"@([\w.]+)")


def parts_of(text: str) -> list[str]:
    """Return the parts of a module; a short one is its own only part."""
    head, *functions = f"\n{text}".split(_FUNCTION)
    count = min(round(len(text) / PART), len(functions))
    if count < 2:
        return [text]
    groups = _shared_out([_Function(function) for function in functions], count)
    return [_part(head, group, groups) for group in groups]


class _Function:
    """A function of a module, from its result type on."""

    def __init__(self, text: str) -> None:
        header = _HEADER.match(text)
        assert header is not None, text
        self.text = text.removeprefix("internal ")
        self.name = header["name"]
        kinds = re.sub(r" %[\w.]+", "", header["parameters"])
        self.declaration = f"declare {header['result']} @{self.name}({kinds})"


def _shared_out(functions: Sequence[_Function], count: int) -> list[list[_Function]]:
    """Return groups of about equal length: the longest functions first, each to the shortest group."""
    groups: list[list[_Function]] = [[] for _ in range(count)]
    lengths = [0] * count
    for function in sorted(functions, key=lambda f: len(f.text), reverse=True):
        shortest = lengths.index(min(lengths))
        groups[shortest].append(function)
        lengths[shortest] += len(function.text)
    return groups


def _part(head: str, group: list[_Function], groups: Sequence[list[_Function]]) -> str:
    body = "".join(_FUNCTION + function.text for function in group)
    table = _TABLE.search(head)
    called = set(_CALLED.findall(body))
    if table and group is groups[0]:
        head = _TABLE.sub(table[0].replace(" internal ", " "), head)
        called |= set(_CALLED.findall(table[0]))
    elif table:
        head = _TABLE.sub(f"@{table['name']} = external constant {table['type']}", head)
    others = (f for other in groups if other is not group for f in other)
    elsewhere = [function.declaration for function in others if function.name in called]
    return "\n".join([head.rstrip(), *elsewhere, body])
