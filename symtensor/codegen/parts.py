"""A module of LLVM text -> parts of about equal length that threads compile side by side.

Parts are modules of their own; linked together they are what the whole was. Functions that were private
to the module can be called from other parts, and each part declares what it calls in others. The cut
depends on the text alone, never on this machine, so parts have the same names in the cache everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PART = 24_000
"""Characters of a part, about: 25 ms of work, to which a module of its own adds 1.5."""

_FUNCTION = re.compile(r"(?m)^(?=define )")
_HEADER = re.compile(
    r"define (?:internal )?(?P<result>\S+) @(?P<name>[\w.]+)\((?P<parameters>.*?)\)"
)
_TABLE = re.compile(r"(?m)^@(?P<name>\w+) = internal constant (?P<type>\[.*?\]) \[.*\]$")
_CALLED = re.compile(r"@([\w.]+)")


def parts_of(text: str) -> list[str]:
    """Return the parts of a module; a short one is its own only part."""
    head, *functions = _FUNCTION.split(text)
    count = min(round(len(text) / PART), len(functions))
    if count < 2:
        return [text]
    groups = _shared_out(functions, count)
    declarations = {_name(f): _declaration(f) for f in functions}
    return [_part(head, group, declarations, first=group is groups[0]) for group in groups]


def _shared_out(functions: Sequence[str], count: int) -> list[list[str]]:
    """Return groups of about equal length: the longest functions first, each to the shortest group."""
    groups: list[list[str]] = [[] for _ in range(count)]
    lengths = [0] * count
    for function in sorted(functions, key=len, reverse=True):
        shortest = lengths.index(min(lengths))
        groups[shortest].append(function)
        lengths[shortest] += len(function)
    return groups


def _part(head: str, group: Sequence[str], declarations: dict[str, str], *, first: bool) -> str:
    body = "".join(group).replace("define internal ", "define ")
    names = {_name(function) for function in group}
    table = _TABLE.search(head)
    called = set(_CALLED.findall(body))
    if table and first:
        head = _TABLE.sub(table[0].replace(" internal ", " "), head)
        called |= set(_CALLED.findall(table[0]))
    elif table:
        head = _TABLE.sub(f"@{table['name']} = external constant {table['type']}", head)
    elsewhere = [line for name, line in declarations.items() if name in called - names]
    return "\n".join([head.rstrip(), *elsewhere, "", body])


def _name(function: str) -> str:
    return _header(function)["name"]


def _declaration(function: str) -> str:
    header = _header(function)
    kinds = re.sub(r" %[\w.]+", "", header["parameters"])
    return f"declare {header['result']} @{header['name']}({kinds})"


def _header(function: str) -> re.Match[str]:
    found = _HEADER.match(function)
    assert found is not None, function
    return found
