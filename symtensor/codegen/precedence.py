"""Which steps wait for which, and which two of them may become one.

Steps come from the last to the first, as the sweep of fusion decides on them, each with those that read what
it stores. Two may be one where none runs between them, after the one and before the other, and where the one
does not read what the other stores in memory under another shape. Sets of steps are the bits of integers,
so asking takes a few operations, however many steps there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from symtensor.ir.node import Node


class Reader(NamedTuple):
    """A step that reads a stored node, known by a node that it stores itself."""

    root: Node
    reshapes: bool
    """True where it reads the node in memory under another shape."""


class Precedence:
    """The order of some steps, which are known by the nodes that they store."""

    def __init__(self) -> None:
        self.number: dict[Node, int] = {}
        self.readers: list[int] = []
        """Step -> those that read its results."""
        self.needs: list[int] = []
        """Step -> those whose results it reads."""
        self.after: list[int] = []
        """Step -> those that wait for it."""
        self.members: list[int] = []
        """Step -> those that it is made of."""
        self.reshaped: list[int] = []
        """Step -> those whose results it reads in memory, under another shape."""

    def add(self, node: Node, readers: Iterable[Reader]) -> None:
        """Add a step that stores a node, after all steps that read it."""
        self.number[node] = step = len(self.after)
        for bits in (self.readers, self.needs, self.after, self.reshaped):
            bits.append(0)
        self.members.append(1 << step)
        self.store(node, node, readers)

    def store(self, node: Node, host: Node, readers: Iterable[Reader]) -> None:
        """Have the step that stores another node store this one too."""
        self.number[node] = step = self.number[host]
        after = 0
        for root, reshapes in readers:
            reader = self.number[root]
            if reader != step:
                self.readers[step] |= 1 << reader
                self.needs[reader] |= 1 << step
                self.reshaped[reader] |= reshapes << step
                after |= 1 << reader | self.after[reader]
        self._wait(step, after)

    def may_store(self, host: Node, readers: Iterable[Reader]) -> bool:
        """Return True where the step that stores a node may store one with these readers too."""
        step = self.number[host]
        numbers = {self.number[root] for root, _ in readers} - {step}
        within = any(reshapes and self.number[root] == step for root, reshapes in readers)
        return not within and not any(self.after[reader] & 1 << step for reader in numbers)

    def may_unite(self, one: Node, other: Node) -> bool:
        """Return True where no step runs between those of two nodes, after one and before the other."""
        a, b = self.number[one], self.number[other]
        if self.reshaped[a] & self.members[b] or self.reshaped[b] & self.members[a]:
            return False
        return not (self._is_one_between(a, b) or self._is_one_between(b, a))

    def unite(self, one: Node, others: Sequence[Node]) -> None:
        """Make the step that stores some nodes a part of the one that stores another node."""
        a, b = self.number[one], self.number[others[0]]
        both = 1 << a | 1 << b
        for links, back in ((self.readers, self.needs), (self.needs, self.readers)):
            for step in _members(links[b] & ~both):
                back[step] = back[step] & ~both | 1 << a
            links[a] = (links[a] | links[b]) & ~both
        self.members[a] |= self.members[b]
        self.reshaped[a] |= self.reshaped[b]
        self.number |= dict.fromkeys(others, a)
        self.after[a] = (self.after[a] | self.after[b]) & ~both
        for need in _members(self.needs[a]):
            self._wait(need, self.after[a] | 1 << a)

    def _is_one_between(self, first: int, last: int) -> bool:
        return any(self.after[step] & 1 << last for step in _members(self.readers[first]))

    def _wait(self, step: int, after: int) -> None:
        """Note that some steps wait for one, and for all that this one waits for."""
        pending = [(step, after)]
        while pending:
            step, more = pending.pop()
            if more & ~self.after[step]:
                self.after[step] |= more
                pending += [(need, more | 1 << step) for need in _members(self.needs[step])]


def _members(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set."""
    while bits:
        last = bits & -bits
        yield last.bit_length() - 1
        bits ^= last
