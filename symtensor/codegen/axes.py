"""KernelSpec -> KernelSpec: neighbouring axes made one, and axes in the order in which loops run best.

What every access walks as one is one axis; short axes go inside of those that a reduction varies with, and
next to the innermost one that along which transposed reads are contiguous. The spec that comes out stores
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Indirect,
    KernelSpec,
    Value,
    ValueTable,
    make_affine,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim

SHORT = 16
"""Rounds of the loops that may run inside of vector loops."""


def may_go_inside(axes: Sequence[Axis], loops: Sequence[Axis]) -> bool:
    """Return True for axes that take few rounds together, none of which is the innermost of all."""
    return loops[-1] not in axes and are_short(axes)


def are_short(axes: Sequence[Axis]) -> bool:
    """Return True for axes that take few rounds together."""
    rounds = D.product(axis.extent for axis in axes)
    return isinstance(rounds, int) and rounds <= SHORT


def merge_axes(spec: KernelSpec, kept: Axis | None = None) -> KernelSpec:
    """Join neighbouring axes that every access walks as one, e.g. rows of a contiguous matrix.

    The axis `kept` stays as it is, and a fold is over all of an axis or not at all.
    """
    folds = [value.data.axes for value in spec.values() if value.kind == "reduce"]
    runs = list(dict.fromkeys([spec.axes, *folds]))
    affines = list(dict.fromkeys(spec.affines()))
    merged: dict[Axis, Axis | None] = {}
    """Old axis -> the axis that replaces it, or None when it is absorbed by its neighbour."""
    for run in runs:
        _merge_run(run, affines, merged, kept, runs)
    if all(old is new for old, new in merged.items()):
        return spec
    return _rename_axes(spec, merged)


def _merge_run(
    run: tuple[Axis, ...],
    affines: list[Affine],
    merged: dict[Axis, Axis | None],
    kept: Axis | None,
    runs: list[tuple[Axis, ...]],
) -> None:
    """Decide for one run of axes, innermost first."""
    if not run or run[0] in merged:
        return
    inner = run[-1]
    group, extent = [inner], inner.extent
    for outer in reversed(run[:-1]):
        nested = (D.same(f.coefficient(outer), f.coefficient(inner) * extent) for f in affines)
        together = all((outer in x) == (inner in x) for x in runs)
        if outer is not kept and together and all(nested):
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


def order_axes(spec: KernelSpec) -> KernelSpec:
    """Return the spec with its axes in the order in which loops run best."""
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
