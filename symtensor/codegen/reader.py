"""Graph nodes as scalar computations: the reading side of fusion.

A `Reader` expresses any node as a `Value` at given positions: materialized nodes are loads, views
re-map the positions, elementwise ops apply their scalar rule, reductions open new axes. So fusing a
producer into a consumer is reading through it, and a view never moves data.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from symtensor.codegen.domains import (
    axis_position_or_zero,
    is_whole_axis,
    linear_offset,
    named_positions,
    viewed_positions,
)
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Reduction,
    Rule,
    Value,
    ValueTable,
    axis_position,
    variation,
)
from symtensor.codegen.stage import (
    attribute_key,
    is_gather,
    is_index,
    is_reduction,
    is_scalar_source,
    scalar_of,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ops.families import Assembly, View

CHECKED = Rule("checked", lambda s, x, *named: x, {}, "checked")


class Reader:
    """Reads nodes as values for one kernel; `is_inline` says what this kernel computes itself."""

    def __init__(self, is_inline: Callable[[Node], bool], buffer: Callable[[Node], Buffer]) -> None:
        self.table = ValueTable()
        self._is_inline = is_inline
        self._buffer = buffer
        self._memo: dict[tuple[Node, tuple[Affine, ...]], Value] = {}
        self._axes: dict[object, Axis] = {}
        self._given: dict[Node, Sequence[Affine]] = {}
        """Reduction -> the positions along what it folds, where loops of the kernel give them."""

    def fold_over(self, fold: Node, positions: Sequence[Affine]) -> None:
        """Have a reduction fold over loops of the kernel, which give the positions on what it reduces."""
        self._given[fold] = positions

    def computes(self, node: Node) -> bool:
        """Return True for a node that this kernel computes."""
        return self._is_inline(node)

    def writes_within(self, node: Node) -> bool:
        """Return True for an assembly whose pieces this kernel writes as pieces of another one."""
        return isinstance(node.op.family, Assembly) and self._is_inline(node)

    def read(self, node: Node, positions: Sequence[Affine]) -> Value:
        """Return `node` at `positions` (one per axis). Iterative: fused chains may be long."""
        root = (node, tuple(positions))
        stack = [root]
        while stack:
            item = stack[-1]
            if item in self._memo:
                stack.pop()
                continue
            needs = self._needs(*item)
            missing = [need for need in needs if need not in self._memo]
            if missing:
                stack += missing
                continue
            stack.pop()
            self._memo[item] = self._make(item[0], item[1], [self._memo[n] for n in needs])
        return self._memo[root]

    def _needs(
        self, node: Node, positions: tuple[Affine, ...]
    ) -> list[tuple[Node, tuple[Affine, ...]]]:
        if not self._is_inline(node) or is_scalar_source(node):
            return []
        viewed = viewed_positions(node, positions)
        if viewed is not None:
            return [(node.inputs[0], tuple(viewed))]
        if is_reduction(node):
            return [(node.inputs[0], self._reduced_positions(node, positions))]
        if is_gather(node):
            return self._gather_needs(node, positions)
        return [(x, positions) for x in node.inputs]

    def _gather_needs(
        self, node: Node, positions: tuple[Affine, ...]
    ) -> list[tuple[Node, tuple[Affine, ...]]]:
        """Return the indices first; the operand as soon as it is known where it is read."""
        x, *indices = node.inputs
        needs = [(index, positions[: index.tensor_type.ndim]) for index in indices]
        if any(need not in self._memo for need in needs):
            return needs
        named = self.names(node, [self._memo[need] for need in needs])
        return [*needs, (x, named_positions(node, positions, named))]

    def _gathered(self, node: Node, args: list[Value]) -> Value:
        """Return the element read, which waits for all checks: not each position has to matter."""
        *indices, element = args
        return self.after_checks(element, self.names(node, indices))

    def after_checks(self, value: Value, names: Sequence[Affine]) -> Value:
        """Return a value that is there only when the positions are."""
        named = [place for at in names for place in variation(at)[0]]
        return self.table.apply(CHECKED, (value, *named), value.dtype) if named else value

    def names(self, node: Node, indices: Sequence[Value]) -> list[Affine]:
        """Return the positions that the indices of a gather or scatter name."""
        shape = node.inputs[0].tensor_type.shape
        pairs = zip(indices, node.attrs["axes"], strict=True)
        return [self._named_position(index, shape[axis]) for index, axis in pairs]

    def _named_position(self, index: Value, size: D.Dim) -> Affine:
        """Return the position an index names: a loop counter over the whole axis is one itself."""
        if index.kind == "index" and is_whole_axis(index.data, size):
            at: Affine = index.data
            return at
        return axis_position(self.table.checked(index, size))

    def _make(self, node: Node, positions: tuple[Affine, ...], args: list[Value]) -> Value:
        dtype = node.tensor_type.dtype
        if node.op.name == "dim_value":
            return self.table.size(node.attrs["dim"], dtype)
        if is_scalar_source(node):
            return self.table.const(scalar_of(node.attrs["value"]), dtype)
        if not self._is_inline(node):
            at = linear_offset(node.tensor_type.shape, positions)
            return self.table.load(self._buffer(node), at)
        if isinstance(node.op.family, View):
            return args[0]
        if is_gather(node):
            return self._gathered(node, args)
        if is_reduction(node):
            folded = self._folded_positions(node, positions).values()
            kept = tuple(axis for at in folded for axis, _ in at.terms)
            combiner = node.op.family.combiner
            if not kept:
                is_index_of = combiner in ("argmax", "argmin")
                return self.table.const(0, dtype) if is_index_of else args[0]
            over = positions if node in self._given else ()
            along = frozenset(axis for at in over for axis, _ in at.terms)
            return self.table.reduce(Reduction(combiner, kept), args[0], dtype, along)
        if is_index(node):
            return self.table.position(positions[0], dtype)
        rule = Rule(node.op.name, node.op.family.scalar, node.attrs, (node.op, attribute_key(node)))
        return self.table.apply(rule, tuple(args), dtype)

    def _new_axes(self, node: Node, positions: tuple[Affine, ...]) -> dict[int, Axis]:
        """Return the axes of a reduction. Reductions of equal extents share them, unless one
        stands inside the other: the inner one must not reuse an axis it is indexed by."""
        shape = node.inputs[0].tensor_type.shape
        extents = tuple(shape[axis] for axis in node.attrs["axes"])
        taken = frozenset().union(*(variation(at)[1] for at in positions))
        for variant in itertools.count():
            axes = [self._shared_axis(extents, place, variant) for place in range(len(extents))]
            if taken.isdisjoint(axes):
                return dict(zip(node.attrs["axes"], axes, strict=True))
        raise AssertionError("unreachable")

    def _shared_axis(self, extents: Shape, place: int, variant: int) -> Axis:
        key = (extents, place, variant)
        if key not in self._axes:
            self._axes[key] = Axis(f"r{len(self._axes)}", extents[place])
        return self._axes[key]

    def _folded_positions(self, node: Node, positions: tuple[Affine, ...]) -> dict[int, Affine]:
        """Return the positions along the axes that a reduction folds."""
        if node in self._given:
            return dict(zip(node.attrs["axes"], self._given[node], strict=True))
        new = self._new_axes(node, positions)
        return {number: axis_position_or_zero(axis) for number, axis in new.items()}

    def _reduced_positions(self, node: Node, positions: tuple[Affine, ...]) -> tuple[Affine, ...]:
        folded, outer = self._folded_positions(node, positions), iter(positions)
        return tuple(
            folded[axis] if axis in folded else next(outer)
            for axis in range(node.inputs[0].tensor_type.ndim)
        )
