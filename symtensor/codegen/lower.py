"""KernelSpec -> Kernel: values placed into loops.

In: outer axes and a graph of values. Out: a loop tree in which every value stands in the outermost
loop that binds all its axes, and reductions over the same axes share their loops. Before, axes are merged
and put in order (`symtensor.codegen.axes`); after, vector loops are chosen (`vector_loops`). The tree
computes exactly what the spec says, in an order fixed by it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symtensor.codegen.axes import merge_axes, order_axes
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Kernel,
    KernelSpec,
    Let,
    Loop,
    Reduce,
    Stmt,
    Store,
    Update,
    Value,
    demanded,
    value_order,
)
from symtensor.codegen.vector_loops import choose_vector_loops
from symtensor.ir.dims import Dim


def lower_kernel(*specs: KernelSpec) -> Kernel:
    """Return the loop trees of one or several specs as a kernel.

    They come one after the other, or inside one loop where all have the same first axis: nothing that
    they write at one of its indices may depend on what they write at another.
    """
    shared = _first_axis(specs) if len(specs) > 1 else None
    merged = [order_axes(merge_axes(spec, shared)) for spec in specs]
    body = [stmt for spec in merged for stmt in _Placement(spec).run()]
    if shared is not None and _first_axis(merged) is shared:
        body = _in_one_loop(body, shared)
    choose_vector_loops(body)
    return Kernel(_buffers(merged), _sizes(merged), body)


def _first_axis(specs: Sequence[KernelSpec]) -> Axis | None:
    """Return the outermost axis of all specs, None where they differ in it."""
    found = {spec.axes[0] if spec.axes else None for spec in specs}
    return found.pop() if len(found) == 1 else None


def _in_one_loop(body: list[Stmt], axis: Axis) -> list[Stmt]:
    """Return the loops along an axis as one, after what they need that is the same along it."""
    before: dict[object, Stmt] = {}
    inner: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, Loop):
            inner += stmt.body
        elif isinstance(stmt, Let):
            before.setdefault(stmt.value, stmt)
        else:
            assert isinstance(stmt, Reduce)
            before.setdefault(stmt.results, stmt)
    return [*before.values(), Loop(axis, inner)]


# --- placing values ------------------------------------------------------------------------------


class _Level:
    """One open loop; statements land in `body`, values placed here are visible inside."""

    def __init__(self, axis: Axis | None) -> None:
        self.axis = axis
        self.body: list[Stmt] = []
        self.placed: set[Value] = set()


class _Placement:
    """Places values on demand. A statement for an outer level is appended to that level's body,
    which is before the loop still open inside it: that loop is appended when it closes."""

    def __init__(self, spec: KernelSpec) -> None:
        self.spec = spec
        self.reductions = [v for v in spec.values() if v.kind == "reduce"]
        self.levels = [_Level(None)]

    def run(self) -> list[Stmt]:
        for axis in self.spec.axes:
            self.levels.append(_Level(axis))
        for row in self.spec.rows:
            self._place_row(row)
        for store in self.spec.stores:
            value = store[2]
            if value.kind == "reduce" and value.data.is_running:
                self._place_running(store)
                continue
            self._store([store])
        folds = self._fold_columns()
        for axis in reversed(self.spec.axes):
            self._close(axis)
        if folds:
            self._end_sweep(folds)
        return self.levels[0].body

    def _fold_columns(self) -> tuple[Value, ...]:
        """Have each fold of a sweep take what it folds in the loop that tells it apart; return the folds."""
        needed = value_order([value for _, _, value in self.spec.columns])
        folds = tuple(value for value in needed if value.kind == "reduce")
        for fold in folds:
            self.place(fold.args[0])
        for fold in folds:
            own = {*fold.data.axes, *fold.axes}
            depth = max(i for i, level in enumerate(self.levels) if level.axis in own)
            self.levels[depth].body.append(Update(fold))
        return folds

    def _end_sweep(self, folds: tuple[Value, ...]) -> None:
        """Make the closed loops a fold; store its columns in loops over a row, then what is one for all."""
        whole = self.levels[0]
        whole.body.append(Reduce(folds, [whole.body.pop()]))
        whole.placed.update(folds)
        columns = [store for store in self.spec.columns if store[1].terms]
        row = [axis for axis in self.spec.axes if any(axis in fold.axes for fold in folds)]
        self.levels += map(_Level, row)
        self._store(columns)
        for axis in reversed(row):
            self._close(axis)
        self._store(store for store in self.spec.columns if store not in columns)

    def _store(self, stores: Iterable[tuple[Buffer, Affine, Value]]) -> None:
        """Store values in the innermost loop."""
        for store in stores:
            for needed in demanded(store):
                self.place(needed)
            self.levels[-1].body.append(Store(*store))

    def _place_row(self, store: tuple[Buffer, Affine, Value]) -> None:
        """Store a value in the outermost loop in which it is known and its place too."""
        buffer, at, value = store
        self.place(value)
        around = value.axes | {axis for axis, _ in at.terms}
        depths = [depth for depth, level in enumerate(self.levels) if level.axis in around]
        self.levels[max(depths, default=0)].body.append(Store(buffer, at, value))

    def _close(self, axis: Axis) -> None:
        level = self.levels.pop()
        self.levels[-1].body.append(Loop(axis, level.body))

    def _depth(self, value: Value) -> int:
        for depth in range(len(self.levels) - 1, 0, -1):
            if self.levels[depth].axis in value.axes:
                return depth
        return 0

    def _is_placed(self, value: Value) -> bool:
        return any(value in level.placed for level in self.levels)

    def place(self, root: Value) -> None:
        """Put `root` and what it needs into the open loops."""
        for value in value_order([root]):
            if self._is_placed(value):
                continue
            if value.kind == "reduce":
                self._place_reduce(value)
            else:
                level = self.levels[self._depth(value)]
                level.body.append(Let(value))
                level.placed.add(value)

    def _place_reduce(self, value: Value) -> None:
        self._place_what_it_waits_for(value)
        depth = self._depth(value)
        group = self._siblings(value, depth)
        inner, self.levels = self.levels[depth + 1 :], self.levels[: depth + 1]
        assert all(level.axis not in value.data.axes for level in self.levels)
        for axis in value.data.axes:
            self.levels.append(_Level(axis))
        for result in group:
            self.place(result.args[0])
        self.levels[-1].body += [Update(result) for result in group]
        for axis in reversed(value.data.axes):
            self._close(axis)
        level = self.levels[-1]
        nest = level.body.pop()
        level.body.append(Reduce(tuple(group), [nest]))
        level.placed.update(group)
        self.levels += inner

    def _place_what_it_waits_for(self, value: Value) -> None:
        """Place reductions that `value` reads but that do not vary inside it, so none is its sibling."""
        bound = {level.axis for level in self.levels}
        for inner in value_order([value.args[0]], through_reduce=True):
            if inner.kind == "reduce" and inner.axes <= bound:
                self.place(inner)

    def _place_running(self, store: tuple[Buffer, Affine, Value]) -> None:
        """Open the loop of a running value and store each step inside it."""
        buffer, at, value = store
        (axis,) = value.data.axes
        self.levels.append(_Level(axis))
        self.place(value.args[0])
        self.levels[-1].body += [Update(value), Store(buffer, at, value)]
        self._close(axis)
        level = self.levels[-1]
        level.body.append(Reduce((value,), [level.body.pop()]))

    def _siblings(self, value: Value, depth: int) -> list[Value]:
        """Return the reductions that can share the loops of `value`: same axes, same place, ready."""
        bound = {level.axis for level in self.levels}
        return [
            other
            for other in self.reductions
            if other is value
            or (
                other.data.axes == value.data.axes
                and other.axes <= bound  # it may be inside another reduction that is not open yet
                and not self._is_placed(other)
                and self._depth(other) == depth
                and self._ready(other)
            )
        ]

    def _ready(self, value: Value) -> bool:
        inside = value_order([value.args[0]], through_reduce=True)
        return all(self._is_placed(v) for v in inside if v.kind == "reduce")


# --- arguments -----------------------------------------------------------------------------------


def _buffers(specs: Sequence[KernelSpec]) -> tuple[Buffer, ...]:
    found = {b: None for spec in specs for b, _, _ in spec.all_stores()}
    loads = [v for spec in specs for v in spec.values() if v.kind == "load"]
    found |= {v.data[0]: None for v in loads}
    return tuple(sorted(found, key=lambda b: b.index))


def _sizes(specs: Sequence[KernelSpec]) -> tuple[Dim, ...]:
    """Return the dims a kernel takes as arguments; 0, 1 and -1 are written into its code."""
    found: dict[Dim, None] = {}
    for spec in specs:
        found |= dict.fromkeys(_dims_in(spec))
    return tuple(d for d in found if not is_inline(d))


def _dims_in(spec: KernelSpec) -> list[Dim]:
    found: dict[Dim, None] = {}
    axes = list(spec.axes)
    for value in spec.values():
        if value.kind == "reduce":
            axes += value.data.axes
        elif value.kind in ("size", "checked"):
            found[value.data] = None
    for axis in axes:
        found[axis.extent] = None
    for at in spec.affines():
        found[at.offset] = None
        found |= {c: None for _, c in at.terms}
    return list(found)


def is_inline(dim: Dim) -> bool:
    """Return True for dims written into the code instead of passed as arguments."""
    return isinstance(dim, int) and -1 <= dim <= 1
