"""Sharing kernels out among threads: which loops can be cut, what one round of them costs, and the code.

What is shared takes a range of a loop: its last arguments are first, last and the number of the thread. A
*range function* unpacks the other arguments from a block of words, as the pool wants them
(`symtensor.codegen.pool`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symtensor.codegen.kernel import Indirect, Let, Loop, Reduce, Stmt, Store, Value
from symtensor.codegen.text import FunctionText
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim

INSTRUCTION = 250
"""Picoseconds of an instruction, about."""
BYTE = 15
"""Picoseconds of moving a byte between a core and its nearer caches, about."""
PART = 16_384
"""Elements of a part of a fold, at least."""
PARTS = 64
"""Parts of a fold, at most."""
STRETCH = 256
"""Ranges of loops that go through lanes or tiles are multiples of this: whole vectors, whole blocks."""


@dataclass(frozen=True, slots=True)
class Share:
    """How a kernel is shared out."""

    extent: Dim
    """Rounds of the loop that is cut."""
    cost: Dim
    """Picoseconds of one round."""
    multiple: int
    """Rounds that stay together."""


def can_be_cut(stmt: Loop | Reduce) -> bool:
    """Return True for loops and folds whose rounds can be run in any order: none writes another's place."""
    running = isinstance(stmt, Reduce) and any(x.data.is_running for x in stmt.results)
    return not running and not _scatters(stmt.body)


def _scatters(body: Sequence[Stmt]) -> bool:
    """Return True for loops of which two rounds may write one place."""
    for stmt in body:
        if isinstance(stmt, Store) and any(isinstance(axis, Indirect) for axis, _ in stmt.at.terms):
            return True
        if isinstance(stmt, (Loop, Reduce)) and _scatters(stmt.body):
            return True
    return False


def share_of(loop: Loop, lanes: int, cost: Callable[[Value], int]) -> Share:
    """Return how to share a loop out; `cost` counts the instructions of a value."""
    round_ = _work(loop.body, lanes if loop.vector else 1, lanes, cost)
    return Share(loop.axis.extent, round_, STRETCH if loop.vector or loop.tiled else 1)


def length_and_parts(
    extent: Dim, each: Dim, least: int = 1, most: int = PARTS, block: int = 1
) -> tuple[Dim, Dim]:
    """Return the rounds of a part of a fold, at `least` so many and whole blocks, and the number of parts.

    The fold has `extent` rounds, of `each` elements. Sizes alone decide, so bits do not depend on threads.
    """
    rounds = D.maximum(D.floordiv(PART, D.maximum(each, 1)), least)
    rounds = D.ceildiv(D.maximum(rounds, D.ceildiv(extent, most)), block) * block
    return rounds, D.ceildiv(extent, rounds)


def share_of_parts(
    nest: Loop, rounds: Dim, parts: Dim, width: int, lanes: int, cost: Callable[[Value], int]
) -> Share:
    """Return how to share out the parts of a fold, each of `rounds` of its outer loop, `width` at a time."""
    return Share(parts, _work(nest.body, width, lanes, cost) * rounds, 1)


def _work(body: Sequence[Stmt], width: int, lanes: int, cost: Callable[[Value], int]) -> Dim:
    """Return the picoseconds of statements per element, done `width` elements at a time."""
    total: Dim = 0
    for stmt in body:
        if isinstance(stmt, Let):
            moved = stmt.value.dtype.itemsize * BYTE if stmt.value.kind == "load" else 0
            total = total + cost(stmt.value) * INSTRUCTION // width + moved
        elif isinstance(stmt, Store):
            total = total + INSTRUCTION // width + stmt.buffer.dtype.itemsize * BYTE
        elif isinstance(stmt, Loop):
            inner = _work(stmt.body, lanes if stmt.vector else width, lanes, cost)
            total = total + inner * stmt.axis.extent
        elif isinstance(stmt, Reduce):
            total = total + _work(stmt.body, width, lanes, cost)
        else:
            total = total + INSTRUCTION // width
    return total


def range_name(kernel: str) -> str:
    """Return the name of a kernel's range function."""
    return f"{kernel}.range"


def emit_range(kernel: str, kinds: Sequence[str]) -> str:
    """Return the range function of a kernel whose own arguments are of the types `kinds`."""
    f = FunctionText(range_name(kernel), [
        ("ptr", "block"), ("i64", "first"), ("i64", "last"), ("i64", "number")], "i32")  # fmt: skip
    values = [f"{kind} {f.load(kind, f.at('i64', '%block', i), 8)}" for i, kind in enumerate(kinds)]
    own = ", ".join([*values, "i64 %first", "i64 %last", "i64 %number"])
    code = f.op(f"call i32 @{kernel}({own})")
    f.do(f"ret i32 {code}")
    return f.text()
