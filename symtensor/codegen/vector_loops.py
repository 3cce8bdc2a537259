"""Which loops of a kernel take several indices at a time, and which two go through tiles.

In: a loop tree, of which loops are marked in place. An innermost loop whose rounds may go side by side
becomes a vector loop, and so does one around a reduction that reads contiguously along it.
"""

from __future__ import annotations

from collections.abc import Iterator

from symtensor.codegen.axes import are_short, is_transposed
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Let,
    Loop,
    Reduce,
    Stmt,
    Store,
    Update,
    Value,
    variation,
)
from symtensor.ir import dims as D

MAX_TILES = 3
"""Transposed loads of one loop: each tile takes a kilobyte of stack."""


def choose_vector_loops(body: list[Stmt]) -> None:
    """Mark loops that take several indices at a time.

    A loop without inner loops is a vector loop. A loop around a reduction is one when the reduction
    reads contiguously along it and not along its own axis (column sums).
    """
    for stmt in body:
        if isinstance(stmt, Reduce):
            choose_vector_loops(stmt.body)
        elif isinstance(stmt, Loop):
            inner = [s for s in stmt.body if isinstance(s, (Loop, Reduce))]
            if not _is_ordered(stmt) and (not inner or _prefers_outer(stmt, inner)):
                stmt.vector = True
            else:
                choose_vector_loops(stmt.body)
                stmt.tiled = _is_tiled(stmt)


def _is_ordered(loop: Loop) -> bool:
    """Return True where one index must follow the other: running values, and writes that may meet."""
    stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
    if any(isinstance(s, Update) and s.result.data.is_running for s in loop.body):
        return True
    return any(loop.axis in variation(s.at)[1] - {a for a, _ in s.at.terms} for s in stores)


def _is_tiled(loop: Loop) -> bool:
    simple = all(isinstance(s, Let) for s in loop.body[:-1])
    return simple and 0 < len(transposed_loads(loop)) <= MAX_TILES


def _prefers_outer(loop: Loop, inner: list[Loop | Reduce]) -> bool:
    if any(isinstance(s, Loop) for s in inner) and not isinstance(inner[0], Reduce):
        return False
    along, across = 0, 0
    for innermost, load in _loads_in(loop.body, loop.axis):
        at: Affine = load.data[1]
        if len(at.terms) < 2:
            continue  # a vector read says little about how the matrices lie
        along += D.same(at.coefficient(loop.axis), 1)
        across += innermost is not loop.axis and D.same(at.coefficient(innermost), 1)
    return along > across and all(map(_fits_inside, loop.body))


def _fits_inside(stmt: Stmt) -> bool:
    """Return True for what a vector loop may hold: no loops but reductions and short ones."""
    if isinstance(stmt, Loop):
        return are_short([stmt.axis]) and all(map(_fits_inside, stmt.body))
    return isinstance(stmt, (Reduce, Let, Store))


def _loads_in(body: list[Stmt], axis: Axis) -> Iterator[tuple[Axis, Value]]:
    """Yield every load with the innermost loop axis around it."""
    for stmt in body:
        if isinstance(stmt, Let) and stmt.value.kind == "load":
            yield axis, stmt.value
        elif isinstance(stmt, Loop):
            yield from _loads_in(stmt.body, stmt.axis)
        elif isinstance(stmt, Reduce):
            yield from _loads_in(stmt.body, axis)


def transposed_loads(loop: Loop) -> list[Value]:
    """Return the loads that a tiled loop transposes."""
    nest = loop.body[-1] if loop.body else None
    if not isinstance(nest, Loop) or not nest.vector:
        return []
    lets = [s.value for s in nest.body if isinstance(s, Let)]
    return [v for v in lets if is_transposed(v, loop.axis, nest.axis)]
