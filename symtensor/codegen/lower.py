"""KernelSpec -> Kernel: merge axes, place values into loops, choose the vector loops.

In: outer axes and a graph of values. Out: a loop tree in which every value stands in the outermost
loop that binds all its axes, reductions over the same axes share their loops, and each innermost
loop that reads or writes contiguously is marked as a vector loop. The tree computes exactly what the
spec says, in an order fixed by it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Indirect,
    Kernel,
    KernelSpec,
    Let,
    Loop,
    Reduce,
    Stmt,
    Store,
    Update,
    Value,
    ValueTable,
    demanded,
    make_affine,
    value_order,
    variation,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim

SHORT = 16
"""Rounds of the loops that may run inside of vector loops."""
MAX_TILES = 3
"""Transposed loads of one loop: each tile takes a kilobyte of stack."""


def lower_kernel(*specs: KernelSpec) -> Kernel:
    """Return the loop trees of one or several specs as a kernel.

    They come one after the other, or inside one loop where all have the same first axis: nothing that
    they write at one of its indices may depend on what they write at another.
    """
    shared = _first_axis(specs) if len(specs) > 1 else None
    merged = [_order_axes(merge_axes(spec, shared)) for spec in specs]
    body = [stmt for spec in merged for stmt in _Placement(spec).run()]
    if shared is not None and _first_axis(merged) is shared:
        body = _in_one_loop(body, shared)
    _choose_vector_loops(body)
    return Kernel(_buffers(merged), _sizes(merged), body)


def may_go_inside(axes: Sequence[Axis], loops: Sequence[Axis]) -> bool:
    """Return True for axes that take few rounds together, none of which is the innermost of all."""
    return loops[-1] not in axes and _are_short(axes)


def _are_short(axes: Sequence[Axis]) -> bool:
    rounds = D.product(axis.extent for axis in axes)
    return isinstance(rounds, int) and rounds <= SHORT


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


# --- merging axes --------------------------------------------------------------------------------


def merge_axes(spec: KernelSpec, kept: Axis | None = None) -> KernelSpec:
    """Join neighbouring axes that every access walks as one, e.g. rows of a contiguous matrix.

    The axis `kept` stays as it is.
    """
    runs = [spec.axes]
    for value in spec.values():
        if value.kind == "reduce" and value.data.axes not in runs:
            runs.append(value.data.axes)
    affines = list(dict.fromkeys(spec.affines()))
    merged: dict[Axis, Axis | None] = {}
    """Old axis -> the axis that replaces it, or None when it is absorbed by its neighbour."""
    for run in runs:
        _merge_run(run, affines, merged, kept)
    if all(old is new for old, new in merged.items()):
        return spec
    return _rename_axes(spec, merged)


def _merge_run(
    run: tuple[Axis, ...], affines: list[Affine], merged: dict[Axis, Axis | None], kept: Axis | None
) -> None:
    """Decide for one run of axes, innermost first."""
    if not run or run[0] in merged:
        return
    inner = run[-1]
    group, extent = [inner], inner.extent
    for outer in reversed(run[:-1]):
        nested = (D.same(f.coefficient(outer), f.coefficient(inner) * extent) for f in affines)
        if outer is not kept and all(nested):
            group.append(outer)
            extent = extent * outer.extent
        else:
            _close_group(group, extent, merged)
            inner, group, extent = outer, [outer], outer.extent
    _close_group(group, extent, merged)


def _close_group(group: list[Axis], extent: Dim, merged: dict[Axis, Axis | None]) -> None:
    innermost = group[0]
    merged[innermost] = innermost if len(group) == 1 else Axis(innermost.name, extent)
    for absorbed in group[1:]:
        merged[absorbed] = None


def _rename_axes(spec: KernelSpec, merged: dict[Axis, Axis | None]) -> KernelSpec:
    renaming = _Renaming(merged)
    for value in spec.values():
        renaming.new[value] = renaming.value(value)
    stores, rows, columns = (
        tuple((b, renaming.affine(at), renaming.new[v]) for b, at, v in group)
        for group in (spec.stores, spec.rows, spec.columns)
    )
    return KernelSpec(renaming.axes(spec.axes), stores, rows, columns)


class _Renaming:
    """Values over merged axes; operands come before what reads them."""

    def __init__(self, merged: dict[Axis, Axis | None]) -> None:
        self.merged = merged
        self.table = ValueTable()
        self.new: dict[Value, Value] = {}

    def axis(self, old: Axis) -> Axis | None:
        if isinstance(old, Indirect):
            return self.table.checked(self.new[old.value.args[0]], old.extent)
        return self.merged.get(old, old)

    def axes(self, old: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(a for a in map(self.axis, old) if a is not None)

    def affine(self, old: Affine) -> Affine:
        terms = [(self.axis(a), c) for a, c in old.terms]
        return make_affine(old.offset, [(a, c) for a, c in terms if a is not None])

    def value(self, old: Value) -> Value:
        table, args = self.table, tuple(self.new[x] for x in old.args)
        if old.kind == "load":
            return table.load(old.data[0], self.affine(old.data[1]))
        if old.kind == "index":
            return table.position(self.affine(old.data), old.dtype)
        if old.kind == "reduce":
            reduction = replace(old.data, axes=self.axes(old.data.axes))
            along = frozenset(self.axes(tuple(old.axes)))
            return table.reduce(reduction, args[0], old.dtype, along)
        if old.kind == "checked":
            return table.checked(args[0], old.data).value
        return table.apply(old.data, args, old.dtype) if old.kind == "apply" else old


# --- the order of axes ---------------------------------------------------------------------------


def _order_axes(spec: KernelSpec) -> KernelSpec:
    if spec.columns:
        return spec  # what is folded is outside
    return _bring_tiles_inside(_bring_short_axes_inside(spec))


def _bring_short_axes_inside(spec: KernelSpec) -> KernelSpec:
    """Move short axes inside of those that a reduction varies with, so that it need not be repeated.

    In the gradient of pooling they are the elements of a window, and what is summed over is the same for
    all of them.
    """
    folds = [v for v in spec.values() if v.kind == "reduce"]
    is_ordered = any(v.data.is_running for v in folds)
    if is_ordered or any(v.kind == "checked" for v in spec.values()):
        return spec
    for fold in sorted(folds, key=lambda fold: len(fold.axes), reverse=True):
        outer = [axis for axis in spec.axes if axis in fold.axes]
        inner = [axis for axis in spec.axes if axis not in fold.axes]
        if inner and fold.axes <= set(spec.axes) and may_go_inside(inner, spec.axes):
            return replace(spec, axes=(*outer, *inner))
    return spec


def _bring_tiles_inside(spec: KernelSpec) -> KernelSpec:
    """Move the axis along which transposed reads are contiguous next to the innermost one."""
    values = spec.values()
    if len(spec.axes) < 3 or any(v.kind in ("reduce", "checked") for v in values):
        return spec
    *outer, inner = spec.axes
    wanted = [axis for axis in outer if any(is_transposed(v, axis, inner) for v in values)]
    if not wanted or outer[-1] in wanted:
        return spec
    outer.remove(wanted[-1])
    return replace(spec, axes=(*outer, wanted[-1], inner))


def is_transposed(value: Value, outer: Axis, inner: Axis) -> bool:
    """Return True for a load whose neighbours lie along `outer` and not along `inner`."""
    if value.kind != "load" or value.args:
        return False
    at: Affine = value.data[1]
    step = at.coefficient(inner)
    return D.same(at.coefficient(outer), 1) and not (D.same(step, 0) or D.same(step, 1))


def transposed_loads(loop: Loop) -> list[Value]:
    """Return the loads that a tiled loop transposes."""
    nest = loop.body[-1] if loop.body else None
    if not isinstance(nest, Loop) or not nest.vector:
        return []
    lets = [s.value for s in nest.body if isinstance(s, Let)]
    return [v for v in lets if is_transposed(v, loop.axis, nest.axis)]


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


# --- vector loops --------------------------------------------------------------------------------


def _choose_vector_loops(body: list[Stmt]) -> None:
    """Mark loops that take several indices at a time.

    A loop without inner loops is a vector loop. A loop around a reduction is one when the reduction
    reads contiguously along it and not along its own axis (column sums).
    """
    for stmt in body:
        if isinstance(stmt, Reduce):
            _choose_vector_loops(stmt.body)
        elif isinstance(stmt, Loop):
            inner = [s for s in stmt.body if isinstance(s, (Loop, Reduce))]
            if not _is_ordered(stmt) and (not inner or _prefers_outer(stmt, inner)):
                stmt.vector = True
            else:
                _choose_vector_loops(stmt.body)
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
        return _are_short([stmt.axis]) and all(map(_fits_inside, stmt.body))
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
