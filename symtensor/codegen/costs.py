"""How long LLVM text takes, in instructions of those that take no longer than most."""

from __future__ import annotations

from collections.abc import Sequence

SLOW = {"fdiv float ": 6, "fdiv double ": 10, "@llvm.sqrt.f32(": 10, "@llvm.sqrt.f64(": 17}
"""What takes as long as that many multiplications: with a Zen 4, in vectors of any width."""


def time_of(lines: Sequence[str]) -> int:
    """Return how long instructions on single lanes take; on vectors that is for each vector."""
    return sum(next((t for words, t in SLOW.items() if words in line), 1) for line in lines)
