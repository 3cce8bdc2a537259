"""Where temporaries live: offsets in one arena, shared by buffers that are never alive together.

Greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
2020): the largest buffer first, each at the lowest offset free over its whole lifetime.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.ir.alignment import ALIGNMENT, aligned_bytes


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `size` bytes, alive from step `first` to step `last`, both included."""

    size: int
    first: float
    last: float


def assign_offsets(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Return an offset per buffer and the bytes the arena needs."""
    offsets = [0] * len(lifetimes)
    placed: list[int] = []  # indices, by rising offset
    total = 0
    for index in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size, i)):
        new = lifetimes[index]
        offset = 0
        for other in placed:
            old = lifetimes[other]
            if old.last < new.first or new.last < old.first:
                continue
            if offset + new.size <= offsets[other]:
                break
            offset = max(offset, aligned(offsets[other] + old.size))
        offsets[index] = offset
        total = max(total, offset + new.size)
        insort(placed, index, key=offsets.__getitem__)
    return offsets, total


def aligned(size: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Arenas:
    """Arenas of one program that no call uses, for the calls to come."""

    def __init__(self) -> None:
        self._free: list[np.ndarray[Any, Any]] = []

    def take(self, size: int) -> np.ndarray[Any, Any]:
        """Return an aligned block of at least `size` bytes, a used one where there is one."""
        while self._free:
            arena = self._free.pop()
            if arena.nbytes >= size:
                return arena
        return aligned_bytes(size)

    def give_back(self, arena: np.ndarray[Any, Any]) -> None:
        """Take a block that no call uses any more."""
        self._free.append(arena)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes that a call needs, worked out before it runs.

    Between calls a function also keeps the memory of dropped results, up to two of each, for those of
    later calls: at most twice `results` more, which `peak` does not count.
    """

    arguments: int
    """Of inputs and variables."""
    constants: int
    results: int
    """Of outputs and next values of variables."""
    temporaries: int
    """Of everything in between, which shares memory by lifetimes and is kept from call to call."""
    scratch: int
    """Of panels that matrix products pack, and of states of folds; kept from call to call."""
    unshared: int
    """What temporaries would take if each had memory of its own."""
    call_outs: int = 0
    """Of what NumPy makes for call-outs, which lives until the call ends."""

    @property
    def peak(self) -> int:
        """All of it at once."""
        own = (self.arguments, self.constants, self.results, self.temporaries, self.scratch)
        return sum(own) + self.call_outs

    def __str__(self) -> str:
        rows = [("arguments", self.arguments), ("constants", self.constants),
                ("results", self.results), ("temporaries", self.temporaries),
                ("scratch", self.scratch), ("call-outs", self.call_outs),
                ("peak", self.peak)]  # fmt: skip
        lines = [f"{name:<12}{size:>16,} bytes" for name, size in rows]
        lines[3] += f" ({self.unshared:,} without sharing)"
        return "\n".join(lines)
