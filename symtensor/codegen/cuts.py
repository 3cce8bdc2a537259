"""How folds are cut into parts, which threads share: how many rounds each part has, and where its states are.

In: the statements of a kernel. Out: which of them are worth cutting, and a `Cut` for each fold among them.
Sizes alone decide, so the bits of a result do not depend on who folded what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symtensor.codegen.folds import BLOCK, fold_of
from symtensor.codegen.kernel import Let, Loop, Reduce, Stmt, Store, is_sweep
from symtensor.codegen.reductions import UNROLL
from symtensor.codegen.sharing import PART, PARTS, STRETCH, can_be_cut, length_and_parts
from symtensor.codegen.sweeps import Accumulators
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

ROUNDS = 512
"""Rounds of a part of folds to several columns, at least: their states are many."""
WORD = 8
"""Bytes of a number among the partials."""
LONG = 8
"""Parts from which on the folds of several columns are cut."""
FEW = 8
"""Rows with folds of their own that are too few to be shared out."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a fold is cut into parts."""

    number: int
    length: Dim
    """Rounds of its outer loop in a part."""
    parts: Dim
    start: int
    """Byte among the partials at which its states begin."""
    each: int
    """Bytes of the states of a part."""
    end: int
    """Byte among the partials at which its states end."""
    is_sweep: bool


def is_short(stmt: Loop | Reduce) -> bool:
    """Return True where a loop or fold surely has so few elements that it is not worth cutting."""
    count = _elements(stmt)
    return isinstance(count, int) and count < 2 * PART


def is_few_long_folds(loop: Loop) -> bool:
    """Return True for a loop of long folds that has too few rounds to be shared out."""
    few = 2 * STRETCH if loop.vector else FEW
    if loop.tiled or not isinstance(loop.axis.extent, int) or loop.axis.extent >= few:
        return False
    if not all(isinstance(stmt, (Let, Reduce, Store)) for stmt in loop.body):
        return False
    count = _elements(loop)
    folds = any(isinstance(stmt, Reduce) for stmt in loop.body)
    return folds and not (isinstance(count, int) and count < LONG * PART)


def _elements(stmt: Loop | Reduce) -> Dim:
    """Return how many elements the longest loops in a statement go through."""
    most: Dim = 1
    for inner in stmt.body:
        if isinstance(inner, (Loop, Reduce)):
            most = D.maximum(most, _elements(inner))
    return most * stmt.axis.extent if isinstance(stmt, Loop) else most


def count_of(columns: Loop | None) -> int:
    """Return how many columns a loop has; one where there is none."""
    if columns is None:
        return 1
    assert isinstance(columns.axis.extent, int)
    return columns.axis.extent


def cuts_of(body: Sequence[Stmt], columns: Loop | None, e: Emitter) -> dict[int, Cut]:
    """Return how the folds among some statements are cut, by identity."""
    found: dict[int, Cut] = {}
    start = 0
    for stmt in body:
        if isinstance(stmt, Reduce) and can_be_cut(stmt):
            sweeps = columns is None and is_sweep(stmt)
            if sweeps:
                rows = Accumulators(e, stmt, start)
                (length, parts), each, most = rows.length_and_parts(), rows.bytes, rows.most_parts
            else:
                words = sum(len(fold_of(e.s, x).identity(1)) for x in stmt.results)
                length, parts = _length_and_parts(nest_of(stmt), columns, e.base)
                each, most = WORD * words * count_of(columns), PARTS
            end = start + most * each
            found[id(stmt)] = Cut(len(found), length, parts, start, each, end, sweeps)
            start = end
    return found


def nest_of(fold: Reduce) -> Loop:
    """Return the loops of a fold."""
    (nest,) = fold.body
    assert isinstance(nest, Loop)
    return nest


def _length_and_parts(nest: Loop, columns: Loop | None, lanes: int) -> tuple[Dim, Dim]:
    """Return the rounds of a part of a fold and the number of parts; whole blocks where it has any."""
    inner = [_elements(stmt) for stmt in nest.body if isinstance(stmt, Loop)]
    each = (inner[0] if inner else 1) * count_of(columns)
    least = 1 if columns is None else ROUNDS
    block = 1 if inner else BLOCK * UNROLL * lanes if nest.vector else BLOCK
    return length_and_parts(nest.axis.extent, each, least, block=block)
