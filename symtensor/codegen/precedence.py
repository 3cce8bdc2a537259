"""Which steps wait for which, and which two of them may become one.

In: steps in order. Two may be one where none runs between them, after the one and before the other. Sets of
steps are the bits of integers, so asking takes two operations, however many steps there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symtensor.codegen.schedule import Step, dependencies
from symtensor.ir.node import Node


class Precedence:
    """The order of some steps, which are known by the nodes that they store."""

    def __init__(self, steps: Sequence[Step]) -> None:
        step_of = {root: step for step in steps for root in step.roots}
        number = {id(step): i for i, step in enumerate(steps)}
        needs = {
            number[id(s)]: [number[id(x)] for x in xs] for s, xs in dependencies(step_of).items()
        }
        self.number = {root: number[id(step)] for root, step in step_of.items()}
        self.before = [0] * len(steps)
        """Step -> those that it waits for."""
        self.after = [0] * len(steps)
        """Step -> those that wait for it."""
        for step in range(len(steps)):
            for need in needs[step]:
                self.before[step] |= self.before[need] | 1 << need
        for step in reversed(range(len(steps))):
            for need in needs[step]:
                self.after[need] |= self.after[step] | 1 << step

    def may_unite(self, one: Node, other: Node) -> bool:
        """Return True where no step runs between those of two nodes, after one and before the other."""
        a, b = self.number[one], self.number[other]
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
        self.number |= dict.fromkeys(others, a)


def _members(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set."""
    while bits:
        last = bits & -bits
        yield last.bit_length() - 1
        bits ^= last
