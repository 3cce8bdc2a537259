"""Loops over rows in strips: a few rows take one step of their work before any of them takes the next.

    for row:                             for strip of rows:
      a = fold j: x[row, j]                for row of strip: a = fold j: x[row, j]; kept[row] <- a
      b = fold j: x[row, j] - a            for row of strip: a = kept[row]; b = fold j: x[row, j] - a; ...
      for j: y[row, j] <- ...              for row of strip: ...

A fold ends in a chain of instructions each of which waits for the one before: its lanes are joined. Row by
row the processor has nothing else to do meanwhile, as all that follows needs the result; in strips it goes
on with the next row. What a row leaves for its later steps is on the stack. Each row does the same in the
same order as without strips.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from symtensor.codegen.accesses import Rests
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Let,
    Loop,
    Reduce,
    Reload,
    Stmt,
    Store,
    Update,
    Value,
    demanded,
)
from symtensor.codegen.lanes import memory_type
from symtensor.codegen.sharing import can_be_cut
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import int64

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

ROWS = 8
"""Rows of a strip, at most."""
STRIP = 8 << 10
"""Bytes that the rows of a strip touch, at most: next to what is fetched meanwhile they stay in a cache."""
LONG_STRIP = 16 << 10
"""Likewise where some loop is not light: such rows wait less for memory."""


def takes_strips(e: Emitter, loop: Loop) -> bool:
    """Return True for a loop over rows, none known to be long, that are folded and then needed again."""
    if not can_be_cut(loop) or not all(map(_is_plain, loop.body)):
        return False
    if len(_steps(loop.body)) == 1 or not any(isinstance(stmt, Reduce) for stmt in loop.body):
        return False
    row = sum(extent * buffer.dtype.itemsize for buffer, extent in _row_accesses(loop))
    return not isinstance(row, int) or 2 * row <= _bytes_of_a_strip(e, loop)


def _bytes_of_a_strip(e: Emitter, loop: Loop) -> int:
    nests = filter(None, map(_nest, loop.body))
    return STRIP if all(e.is_light(nest.body) for nest in nests) else LONG_STRIP


def _is_plain(stmt: Stmt) -> bool:
    """Return True for a plain statement, or one vector loop of those."""
    nest = _nest(stmt)
    if nest is None:
        return True
    return nest.vector and not any(isinstance(inner, (Loop, Reduce)) for inner in nest.body)


def _nest(stmt: Stmt) -> Loop | None:
    """Return the loop that a statement is, or whose rounds it folds."""
    if isinstance(stmt, Reduce):
        (stmt,) = stmt.body
    return stmt if isinstance(stmt, Loop) else None


def _steps(body: Sequence[Stmt]) -> list[list[Stmt]]:
    """Return the statements up to each fold or loop; what follows the last belongs to it."""
    ends = [number for number, stmt in enumerate(body, 1) if _nest(stmt) is not None]
    ends[-1:] = [len(body)]
    return [list(body[start:end]) for start, end in itertools.pairwise([0, *ends])]


def emit_strips(e: Emitter, loop: Loop) -> None:
    """Emit a loop over rows."""
    first, last = e.bounds(loop)
    steps = _steps(loop.body)
    kept = _kept(e, steps)
    count = _rows_of_a_strip(e, loop)
    e.rests = Rests(ROWS, _read_back(loop))

    def strip() -> None:
        start = e.scopes[-1].index
        end = e.bounded(start, count, last)
        for step in steps:
            e.counted(loop.axis, start, end, 1, partial(_round, e, step, kept, start))

    e.counted(Axis("strip", 0), first, last, count, strip)
    e.rests = None


def _round(e: Emitter, step: Sequence[Stmt], kept: dict[Value, str], start: str) -> None:
    """Emit what one row does in a step."""
    row = e.offset_from(start)
    assert e.rests is not None
    e.rests.row = row
    for value in _awaited(step):
        if value in kept:
            e.define(value, e.load_element(kept[value], row, value.dtype, 1))
    e.block(step)
    for value in _made(step):
        if value in kept:
            e.store_element(kept[value], row, e.value(value), 1)


def _kept(e: Emitter, steps: Sequence[Sequence[Stmt]]) -> dict[Value, str]:
    """Return the values that later steps than that which makes them need, and where they are kept."""
    found: dict[Value, str] = {}
    made: set[Value] = set()
    for step in steps:
        for value in _awaited(step):
            if value in made and value not in found:
                found[value] = e.s.fresh("kept")
                array = f"[{ROWS} x {memory_type(value.dtype)}]"
                e.scopes[0].hoisted.append(f"{found[value]} = alloca {array}")
        made.update(_made(step))
    return found


def _read_back(loop: Loop) -> set[Buffer]:
    """Return the buffers that loops over a row read back."""
    nests = filter(None, map(_nest, loop.body))
    return {stmt.buffer for nest in nests for stmt in nest.body if isinstance(stmt, Reload)}


def _made(step: Sequence[Stmt]) -> list[Value]:
    """Return the values that a step defines for what stands after it."""
    made: list[Value] = []
    for stmt in step:
        if isinstance(stmt, (Let, Reload)):
            made.append(stmt.value)
        elif isinstance(stmt, Reduce):
            made += stmt.results
    return made


def _awaited(step: Sequence[Stmt]) -> list[Value]:
    """Return the values that a step reads before it makes them itself, if it does."""
    found: list[Value] = []
    made: set[Value] = set()
    for stmt in step:
        found += [value for value in _needed([stmt]) if value not in made and value not in found]
        made.update(_made([stmt]))
    return found


def _needed(body: Sequence[Stmt]) -> dict[Value, None]:
    """Return the values that statements read, in order."""
    found: dict[Value, None] = {}
    for stmt in body:
        if isinstance(stmt, (Loop, Reduce)):
            found |= _needed(stmt.body)
        elif isinstance(stmt, Let):
            found |= dict.fromkeys(stmt.value.args)
        elif isinstance(stmt, Update):
            found[stmt.result.args[0]] = None
        elif isinstance(stmt, Store):
            found |= dict.fromkeys(demanded((stmt.buffer, stmt.at, stmt.value)))
    return found


def _rows_of_a_strip(e: Emitter, loop: Loop) -> str:
    """Return how many rows stay in the nearest cache together, 1 to `ROWS`, worked out ahead of all loops."""
    with e.writing(e.scopes[0].hoisted):
        total = "0"
        for buffer, extent in _row_accesses(loop):
            total = e.plus(total, e.times(e.size(extent), buffer.dtype.itemsize))
        total = e.s.maximum(e.i64(total), e.i64("1")).text
        count = e.s.emit(f"udiv i64 {_bytes_of_a_strip(e, loop)}, {total}", int64, 1)
        return e.s.minimum(e.s.maximum(count, e.i64("1")), e.i64(str(ROWS))).text


def _row_accesses(loop: Loop) -> dict[tuple[Buffer, Dim], None]:
    """Return the buffers of which each row has elements of its own, and how many."""
    found: dict[tuple[Buffer, Dim], None] = {}
    for nest in filter(None, map(_nest, loop.body)):
        for stmt in nest.body:
            access = _access(stmt)
            if access is not None and not D.same(access[1].coefficient(loop.axis), 0):
                found[access[0], nest.axis.extent] = None
    return found


def _access(stmt: Stmt) -> tuple[Buffer, Affine] | None:
    if isinstance(stmt, (Store, Reload)):
        return stmt.buffer, stmt.at
    if isinstance(stmt, Let) and stmt.value.kind == "load":
        buffer, at = stmt.value.data
        return buffer, at
    return None
