"""Values that a reduction computes on its way and the loop after it would compute again.

    for row:                                   for row:
      sum = fold r: exp(x[r] - max)              sum = fold r: out[r] <- e = exp(x[r] - max); e
      for j: out[j] <- exp(x[j] - max) / sum     for j: out[j] <- out[j] / sum

What is worth keeping is left where the loop is going to write: no other memory is needed, and a row is
still in the cache when the loop comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Indirect,
    Kernel,
    Let,
    Loop,
    Reduce,
    Reload,
    Stmt,
    Store,
    Update,
    Value,
    make_affine,
    variation,
)
from symtensor.ir import dims as D

WORTH = 14
"""Instructions of a value that a store and a load cost less than."""

Cost = Callable[[Value], int]


def keep_rows(kernel: Kernel, cost: Cost) -> None:
    """Let loops read what reductions before them have computed; changes the kernel's loop tree."""
    free = _written_once(kernel.body)
    for body in _bodies(kernel.body):
        for place, stmt in enumerate(body):
            if isinstance(stmt, Loop) and stmt.vector and _is_flat(stmt.body):
                for before in body[:place]:
                    if isinstance(before, Reduce):
                        _keep(before, stmt, free, cost)


def _bodies(body: list[Stmt]) -> Iterator[list[Stmt]]:
    """Yield the statements of a kernel and of every fold, and loop that is no vector loop."""
    yield body
    for stmt in body:
        if isinstance(stmt, Reduce) or (isinstance(stmt, Loop) and not stmt.vector):
            yield from _bodies(stmt.body)


def _is_flat(body: list[Stmt]) -> bool:
    return all(isinstance(stmt, (Let, Store, Update)) for stmt in body)


def _written_once(body: list[Stmt]) -> set[Buffer]:
    """Return the buffers that are stored to in one place and read nowhere."""
    stored: list[Buffer] = []
    read: set[Buffer] = set()
    stack = list(body)
    while stack:
        stmt = stack.pop()
        if isinstance(stmt, (Loop, Reduce)):
            stack += stmt.body
        elif isinstance(stmt, Store):
            stored.append(stmt.buffer)
        elif isinstance(stmt, Let) and stmt.value.kind == "load":
            read.add(stmt.value.data[0])
    return {buffer for buffer in stored if stored.count(buffer) == 1 and buffer not in read}


def _keep(fold: Reduce, loop: Loop, free: set[Buffer], cost: Cost) -> None:
    """Leave the costliest value that a fold and a loop share in the row that the loop writes."""
    (nest,) = fold.body
    if not isinstance(nest, Loop) or not nest.vector or not _is_flat(nest.body):
        return
    if any(result.data.is_running for result in fold.results):
        return
    if not D.same(nest.axis.extent, loop.axis.extent):
        return
    for store in [s for s in loop.body if isinstance(s, Store) and s.buffer in free]:
        at = _moved(store.at, loop.axis, nest.axis)
        twin = _costliest_twin(nest, loop, store.buffer, cost)
        if at is None or twin is None:
            continue
        theirs, ours = twin
        place = nest.body.index(next(s for s in nest.body if _defines(s, theirs)))
        nest.body.insert(place + 1, Store(store.buffer, at, theirs))
        _reload(loop, ours, store)
        free.discard(store.buffer)


def _moved(at: Affine, old: Axis, new: Axis) -> Affine | None:
    """Return a contiguous position on another axis of the same extent."""
    if not D.same(at.coefficient(old), 1) or any(isinstance(a, Indirect) for a, _ in at.terms):
        return None
    return make_affine(at.offset, [(new if a is old else a, c) for a, c in at.terms])


def _defines(stmt: Stmt, value: Value) -> bool:
    return isinstance(stmt, (Let, Reload)) and stmt.value is value


def _costliest_twin(
    nest: Loop, loop: Loop, buffer: Buffer, cost: Cost
) -> tuple[Value, Value] | None:
    """Return (value in the fold, equal value in the loop) that costs most, if it is worth keeping."""
    twins = _Twins(nest.axis, loop.axis)
    found: tuple[Value, Value] | None = None
    best = WORTH
    for ours in [s.value for s in loop.body if isinstance(s, Let)]:
        if ours.dtype is not buffer.dtype or ours.kind != "apply" or cost(ours) < best:
            continue
        for theirs in [s.value for s in nest.body if isinstance(s, Let)]:
            if twins.equal(theirs, ours):
                found, best = (theirs, ours), cost(ours)
    return found


class _Twins:
    """Values that are the same but for the loop they stand in."""

    def __init__(self, theirs: Axis, ours: Axis) -> None:
        self.theirs = theirs
        self.ours = ours
        self.known: dict[tuple[Value, Value], bool] = {}

    def equal(self, a: Value, b: Value) -> bool:
        """Return True when `a` in their loop is `b` in ours."""
        if a is b:
            return self.ours not in b.axes and self.theirs not in a.axes
        if (a, b) not in self.known:
            self.known[a, b] = self._alike(a, b) and all(map(self.equal, a.args, b.args))
        return self.known[a, b]

    def _alike(self, a: Value, b: Value) -> bool:
        if a.kind != b.kind or a.dtype is not b.dtype or len(a.args) != len(b.args):
            return False
        if a.kind == "load":
            return a.data[0] == b.data[0] and self._same_place(a.data[1], b.data[1])
        if a.kind == "index":
            return self._same_place(a.data, b.data)
        return a.kind == "apply" and a.data == b.data

    def _same_place(self, a: Affine, b: Affine) -> bool:
        if variation(a)[0] or variation(b)[0]:
            return False
        moved = make_affine(
            b.offset, [(self.theirs if x is self.ours else x, c) for x, c in b.terms]
        )
        return D.same(a.offset, moved.offset) and dict(a.terms) == dict(moved.terms)


def _reload(loop: Loop, value: Value, store: Store) -> None:
    """Read `value` back instead of computing it, and drop what only it needed."""
    # first of all: the store may come before what needs the value
    body: list[Stmt] = [Reload(value, store.buffer, store.at)]
    body += [stmt for stmt in loop.body if not _defines(stmt, value)]
    needed: set[Value] = set()
    kept: list[Stmt] = []
    for stmt in reversed(body):
        if isinstance(stmt, Store):
            needed |= {stmt.value, *variation(stmt.at)[0]}
        elif isinstance(stmt, Update):
            needed.add(stmt.result.args[0])
        elif isinstance(stmt, Let):
            if stmt.value not in needed and stmt.value.kind != "checked":
                continue
            needed.update(stmt.value.args)
        kept.append(stmt)
    loop.body[:] = kept[::-1]
