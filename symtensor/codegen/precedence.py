"""Which steps wait for which, and which two of them may become one.

In: steps in order. Two may be one where none runs between them, after the one and before the other, and where
the one does not read what the other stores in memory under another shape. Sets of steps are the bits of
integers, so asking takes a few operations, however many steps there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symtensor.codegen.schedule import Step, stored_operands
from symtensor.ir.node import Node


class Precedence:
    """The order of some steps, which are known by the nodes that they store."""

    def __init__(self, steps: Sequence[Step]) -> None:
        step_of = {root: step for step in steps for root in step.roots}
        self.number = {root: i for i, step in enumerate(steps) for root in step.roots}
        self.before = [0] * len(steps)
        """Step -> those that it waits for."""
        self.after = [0] * len(steps)
        """Step -> those that wait for it."""
        self.members = [1 << step for step in range(len(steps))]
        """Step -> those that it is made of."""
        self.reshaped = [0] * len(steps)
        """Step -> those whose results it reads in memory, under another shape."""
        needs: list[set[int]] = []
        for place, step in enumerate(steps):
            needs.append(set())
            for x, base in stored_operands(step, step_of):
                needs[place] |= {self.number[base]} - {place}
                if x is not base:
                    self.reshaped[place] |= 1 << self.number[base]
        for place in range(len(steps)):
            for need in needs[place]:
                self.before[place] |= self.before[need] | 1 << need
        for place in reversed(range(len(steps))):
            for need in needs[place]:
                self.after[need] |= self.after[place] | 1 << place

    def may_unite(self, one: Node, other: Node) -> bool:
        """Return True where no step runs between those of two nodes, after one and before the other."""
        a, b = self.number[one], self.number[other]
        if self.reshaped[a] & self.members[b] or self.reshaped[b] & self.members[a]:
            return False
        return not (self.after[a] & self.before[b] or self.after[b] & self.before[a])

    def unite(self, one: Node, others: Sequence[Node]) -> None:
        """Make the step that stores some nodes a part of the one that stores another node."""
        a, b = self.number[one], self.number[others[0]]
        before, after = self.before, self.after
        bits = 1 << a | 1 << b
        earlier, later = before[b] & ~before[a] & ~bits, after[b] & ~after[a] & ~bits
        """What `a` did not wait for, and what did not wait for it."""
        before[a], after[a] = (before[a] | earlier) & ~bits, (after[a] | later) & ~bits
        for step in _members(after[a] if earlier else after[b] & ~bits):
            before[step] |= before[a] | 1 << a
        for step in _members(before[a] if later else earlier):
            after[step] |= after[a] | 1 << a
        self.members[a] |= self.members[b]
        self.reshaped[a] |= self.reshaped[b]
        self.number |= dict.fromkeys(others, a)


def _members(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set."""
    while bits:
        last = bits & -bits
        yield last.bit_length() - 1
        bits ^= last
