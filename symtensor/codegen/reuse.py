"""Values that one loop over a row computes and later ones would compute again.

    for row:                                   for row:
      sum = fold r: exp(x[r] - max)              sum = fold r: out[r] <- e = exp(x[r] - max); e
      for j: out[j] <- exp(x[j] - max) / sum     for j: out[j] <- out[j] / sum

What is worth it is left where a loop is going to write, and read back by the folds and loops up to that
one: no other memory is needed, and a row is still in the cache when the next loop comes. What a loop stores
as it is, is stored by the first that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

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

STORE = 9
"""What storing a vector of a row early costs, in instructions: the row comes from memory for it alone."""
RELOAD = 5
"""What reading it back costs. Together, a division in single precision is less and an exponential more."""

Cost = Callable[[Value], int]
Twins = dict[int, Value]
"""Values that are the same but for the loop they stand in, by its number."""


def keep_rows(kernel: Kernel, cost: Cost) -> None:
    """Let loops read what others before them have computed; changes the kernel's loop tree."""
    free = _written_once(kernel.body)
    for body in _bodies(kernel.body):
        parts = [part for stmt in body if (part := _flat_loop(stmt)) is not None]
        values = _values_of_several(parts)
        while (best := _best(parts, values, free, cost)) is not None:
            best.apply()
            free.discard(best.store.buffer)
        body[:] = [stmt for stmt in body if not (isinstance(stmt, Loop) and not stmt.body)]


def _bodies(body: list[Stmt]) -> Iterator[list[Stmt]]:
    """Yield the statements of a kernel and of every fold, and loop that is no vector loop."""
    yield body
    for stmt in body:
        if isinstance(stmt, Reduce) or (isinstance(stmt, Loop) and not stmt.vector):
            yield from _bodies(stmt.body)


def _flat_loop(stmt: Stmt) -> Loop | None:
    """Return the vector loop of plain statements that a statement is, or the one of a fold."""
    if isinstance(stmt, Reduce):
        if len(stmt.body) != 1 or any(result.data.is_running for result in stmt.results):
            return None
        (stmt,) = stmt.body
    if not isinstance(stmt, Loop) or not stmt.vector:
        return None
    return stmt if all(isinstance(s, (Let, Store, Update)) for s in stmt.body) else None


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


# --- what is worth keeping ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Keep:
    """A value that a loop leaves in the row that a later one stores."""

    first: Loop
    """The loop that computes it."""
    value: Value
    at: Affine
    """Where it leaves it."""
    changed: tuple[tuple[Loop, list[Stmt]], ...]
    """The loops that read it back, or need not store it, with what they do then."""
    store: Store
    """What is stored in that row."""

    def gain(self, cost: Cost) -> int:
        """Return the instructions that it spares."""
        before = sum(_cost_of(loop.body, cost) for loop, _ in self.changed)
        return before - sum(_cost_of(body, cost) for _, body in self.changed) - STORE

    def apply(self) -> None:
        """Change the loops."""
        place = next(i for i, stmt in enumerate(self.first.body) if _defines(stmt, self.value))
        self.first.body.insert(place + 1, Store(self.store.buffer, self.at, self.value))
        for loop, body in self.changed:
            loop.body[:] = body


def _best(
    parts: Sequence[Loop], values: Sequence[Twins], free: set[Buffer], cost: Cost
) -> _Keep | None:
    """Return what spares most instructions, None where nothing spares any."""
    found, most = None, 0
    computed = {stmt.value for loop in parts for stmt in loop.body if isinstance(stmt, Let)}
    left = [{n: x for n, x in twins.items() if x in computed} for twins in values]
    left = [twins for twins in left if len(twins) > 1]
    for last, loop in enumerate(parts):
        for store in loop.body:
            if not isinstance(store, Store) or store.buffer not in free:
                continue
            for keep in (_keep(parts, twins, last, store) for twins in left):
                if keep is not None and (gain := keep.gain(cost)) > most:
                    found, most = keep, gain
    return found


def _keep(parts: Sequence[Loop], twins: Twins, last: int, store: Store) -> _Keep | None:
    """Return how to keep a value in the row that loop `last` stores, None where it can't be."""
    first = min(twins)
    value, row = twins[first], parts[last].axis
    at = _moved(store.at, row, parts[first].axis)
    stays = twins.get(last) is store.value
    if first >= last or at is None or value.dtype is not store.buffer.dtype:
        return None
    changed = []
    for number, own in sorted(twins.items()):
        loop = parts[number]
        there = _moved(store.at, row, loop.axis)
        if there is not None and first < number <= last:
            body = [stmt for stmt in loop.body if not (stays and stmt is store)]
            changed.append((loop, _reading_back(body, Reload(own, store.buffer, there))))
    return _Keep(parts[first], value, at, tuple(changed), store) if changed else None


def _cost_of(body: Sequence[Stmt], cost: Cost) -> int:
    total = 0
    for stmt in body:
        if isinstance(stmt, Let):
            total += cost(stmt.value)
        elif isinstance(stmt, Store):
            total += STORE
        elif isinstance(stmt, Reload):
            total += RELOAD
    return total


def _moved(at: Affine, old: Axis, new: Axis) -> Affine | None:
    """Return a contiguous position on another axis of the same extent."""
    if not D.same(old.extent, new.extent) or not D.same(at.coefficient(old), 1):
        return None
    if any(isinstance(axis, Indirect) for axis, _ in at.terms):
        return None
    return make_affine(at.offset, [(new if a is old else a, c) for a, c in at.terms])


def _defines(stmt: Stmt, value: Value) -> bool:
    return isinstance(stmt, (Let, Reload)) and stmt.value is value


def _reading_back(body: list[Stmt], reload: Reload) -> list[Stmt]:
    """Return statements that read a value back instead of computing it, without what only it needed."""
    # first of all: the store may come before what needs the value
    body = [reload, *(stmt for stmt in body if not _defines(stmt, reload.value))]
    needed: set[Value] = set()
    kept: list[Stmt] = []
    for stmt in reversed(body):
        if isinstance(stmt, Store):
            needed |= {stmt.value, *variation(stmt.at)[0]}
        elif isinstance(stmt, Update):
            needed.add(stmt.result.args[0])
        elif isinstance(stmt, (Let, Reload)):
            if stmt.value not in needed and stmt.value.kind != "checked":
                continue
            if isinstance(stmt, Let):
                needed.update(stmt.value.args)
        kept.append(stmt)
    return kept[::-1]


# --- values that are the same but for the loop they stand in -----------------------------------------


def _values_of_several(parts: Sequence[Loop]) -> list[Twins]:
    """Return the values that several loops compute."""
    forms: dict[Hashable, int] = {}
    found: dict[int, Twins] = {}
    for number, loop in enumerate(parts):
        known: dict[Value, Hashable] = {}
        for value in [stmt.value for stmt in loop.body if isinstance(stmt, Let)]:
            form = _form(value, loop.axis, known)
            known[value] = forms.setdefault(form, len(forms))
            if value.kind == "apply":
                found.setdefault(forms[form], {})[number] = value
    return [twins for twins in found.values() if len(twins) > 1]


def _form(value: Value, axis: Axis, known: dict[Value, Hashable]) -> Hashable:
    """Return what is equal for equal values, were `axis` the same; a value of no loop is itself."""
    args = tuple(known.get(x, x) for x in value.args)
    if value.kind == "apply":
        return value.data, value.dtype, args
    if value.kind in ("load", "index") and not args:
        buffer, at = value.data if value.kind == "load" else (None, value.data)
        terms = frozenset((axis.extent if a is axis else a, c) for a, c in at.terms)
        return value.kind, value.dtype, buffer, at.offset, terms
    return value
