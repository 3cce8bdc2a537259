"""Graph nodes as scalar computations: the reading side of fusion.

A `Reader` expresses any node as a `Value` at given positions: materialized nodes are loads, views
re-map the positions, elementwise ops apply their scalar rule, reductions open new axes. So fusing a
producer into a consumer is reading through it, and a view never moves data.
"""

from __future__ import annotations

import dataclasses
import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from symtensor.codegen.costs import time_of
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Reduction,
    Rule,
    Scalar,
    Value,
    ValueTable,
    axis_position,
    variation,
    weighted_sum,
)
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes, Unsupported
from symtensor.codegen.target import Target
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, freeze
from symtensor.ir.types import TensorType
from symtensor.ops.families import (
    Assembly,
    AxisMap,
    Elementwise,
    Gather,
    Index,
    IndexMap,
    Piece,
    Running,
    Scatter,
    View,
    composed,
)
from symtensor.ops.families import Reduction as ReductionFamily

NATIVE_COMBINERS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")


class Cost(NamedTuple):
    """What an elementwise op takes per vector."""

    instructions: int
    time: int
    """In instructions of those that take no longer than most."""


_costs: dict[object, Cost | None] = {}


def elementwise_cost(node: Node, target: Target) -> Cost | None:
    """Return what an elementwise op takes; None: not native."""
    if not isinstance(node.op.family, Elementwise):
        return None
    key = (node.op, target, tuple(x.tensor_type.dtype for x in node.inputs), attribute_key(node))
    if key not in _costs:
        _costs[key] = _try_rule(node, target)
    return _costs[key]


def is_elementwise(node: Node, target: Target) -> bool:
    """Return True for an elementwise op whose scalar rule has native code for these dtypes."""
    return elementwise_cost(node, target) is not None


def attribute_key(node: Node) -> object:
    """Return the attributes of a node as a key for dictionaries."""
    if not node.attrs:
        return ()
    return tuple((k, freeze(v)) for k, v in sorted(node.attrs.items()))


def _try_rule(node: Node, target: Target) -> Cost | None:
    """Try the rule on dummy lanes; it either speaks the vocabulary or raises `Unsupported`."""
    scalars = LaneScalars(target)
    dtypes = [x.tensor_type.dtype for x in node.inputs]
    try:
        for dtype in (*dtypes, node.tensor_type.dtype):
            scalars.to_memory(scalars.from_memory("%m", dtype, 1))
        operands = [Lanes(f"%x{i}", d, 1) for i, d in enumerate(dtypes)]
        start = len(scalars.out)
        result = node.op.family.scalar(scalars, *operands, **node.attrs)
    except Unsupported:
        return None
    if result.dtype is not node.tensor_type.dtype:
        return None
    return Cost(len(scalars.out) - start, time_of(scalars.out[start:]))


_view_maps: weakref.WeakKeyDictionary[Node, IndexMap | None] = weakref.WeakKeyDictionary()


def view_map(node: Node) -> IndexMap | None:
    """Return the index map of a view node, or None for what is no affine view."""
    family = node.op.family
    if not isinstance(family, View):
        return None
    if node not in _view_maps:
        types = node.inputs[0].tensor_type, node.tensor_type
        _view_maps[node] = family.index_map(*types, **node.attrs)
    return _view_maps[node]


def is_repeating(node: Node) -> bool:
    """Return True for a view that shows all of its operand again along an axis."""
    index_map = view_map(node)
    if index_map is None:
        return False
    shown = {axis for place in index_map for axis, _ in place.terms}
    shape = node.tensor_type.shape
    return any(axis not in shown and not D.same(size, 1) for axis, size in enumerate(shape))


def is_reduction(node: Node) -> bool:
    """Return True for a reduction with native loops."""
    family = node.op.family
    return isinstance(family, ReductionFamily) and family.combiner in NATIVE_COMBINERS


def outer_folds(roots: Iterable[Node], is_inline: Callable[[Node], bool]) -> list[Node]:
    """Return the reductions that a kernel computes its roots from, but not those that they fold."""
    found: dict[Node, None] = {}
    pending, seen = list(roots), set(roots)
    while pending:
        node = pending.pop()
        if is_reduction(node):
            found[node] = None
            continue
        new = [x for x in node.inputs if x not in seen and is_inline(x)]
        seen.update(new)
        pending += new
    return list(found)


def is_gather(node: Node) -> bool:
    """Return True for elements read at positions that are data."""
    return isinstance(node.op.family, Gather)


def is_assembled(node: Node) -> bool:
    """Return True for results that are written piece by piece."""
    return isinstance(node.op.family, (Assembly, Scatter))


def is_running(node: Node) -> bool:
    """Return True for results that hold every step of a fold along an axis."""
    return isinstance(node.op.family, Running)


def has_own_kernel(node: Node) -> bool:
    """Return True for results whose loops no consumer can take over."""
    return is_assembled(node) or is_running(node)


def checks_indices(node: Node) -> bool:
    """Return True for nodes that refuse an index out of range."""
    return isinstance(node.op.family, (Gather, Scatter))


def index_operands(node: Node) -> tuple[Node, ...]:
    """Return the index tensors of a gather or scatter."""
    return node.inputs[1:] if is_gather(node) else node.inputs[2:]


def own_position(index: Node, positions: Sequence[Affine], size: D.Dim) -> Affine | None:
    """Return where an index tensor that only counts its own positions points to, else None."""
    here: Sequence[Affine] = positions
    while (index_map := view_map(index)) is not None:
        here, index = map_positions(index_map, here), index.inputs[0]
    return here[0] if is_index(index) and is_whole_axis(here[0], size) else None


def is_whole_axis(at: Affine, size: D.Dim) -> bool:
    """Return True for a position that runs over all of an axis of `size`."""
    if not at.terms:
        return D.same(at.offset, 0) and D.same(size, 1)
    (axis, coefficient), *others = at.terms
    steps = not others and D.same(at.offset, 0) and D.same(coefficient, 1)
    return steps and D.same(axis.extent, size)


def named_positions(
    node: Node, positions: Sequence[Affine], named: Sequence[Affine]
) -> tuple[Affine, ...]:
    """Return the positions on what a gather reads, or a scatter writes.

    `positions` are those on its result, or on the values; `named` are those its indices name.
    """
    axes: Sequence[int] = node.attrs["axes"]
    rest = iter(positions[index_operands(node)[0].tensor_type.ndim :])
    found = dict(zip(axes, named, strict=True))
    return tuple(
        found[a] if a in found else next(rest) for a in range(node.inputs[0].tensor_type.ndim)
    )


def pieces_of(node: Node) -> tuple[Piece, ...]:
    """Return the pieces of an assembly."""
    types = [x.tensor_type for x in node.inputs]
    found: tuple[Piece, ...] = node.op.family.pieces(types, node.tensor_type, **node.attrs)
    return found


def pieces_within(node: Node, is_nested: Callable[[Node], bool]) -> list[tuple[Node | None, Piece]]:
    """Return what an assembly is written of, in order, with what each piece holds, None for a number.

    Of an operand that is an assembly itself, written within this one, those are its own pieces.
    """
    found: list[tuple[Node | None, Piece]] = []
    pending = [(node, piece) for piece in reversed(pieces_of(node))]
    while pending:
        owner, piece = pending.pop()
        source = None if piece.operand is None else owner.inputs[piece.operand]
        if source is None or not is_nested(source):
            found.append((source, piece))
            continue
        for inner in reversed(pieces_of(source)):
            places = composed(piece.places, inner.places)
            pending.append((source, dataclasses.replace(inner, places=places)))
    return found


Domain = tuple[list[Axis], list[Affine]]
"""Loops, and the position that they give on each axis."""

Loops = Callable[[TensorType], Domain]
"""Makes loops over all elements of a type."""


def operand_domains(node: Node, operand: Node, over: Loops) -> list[Domain]:
    """Return the loops in which a node with its own kernel reads an operand, and where.

    `over` gives the loops over all elements of a type, the same ones for equal shapes.
    """
    domains = []
    if is_running(node):
        axes, axis, positions = running_loops(node)
        return [([*axes, axis], positions)]
    if isinstance(node.op.family, Scatter):
        base, values, *indices = node.inputs
        if operand is base:
            domains.append(over(base.tensor_type))
        if operand is values:
            domains.append(over(values.tensor_type))
        if operand in indices:
            axes, positions = over(values.tensor_type)
            domains.append((axes, positions[: operand.tensor_type.ndim]))
        return domains
    numbers = [piece.operand for piece in pieces_of(node) if piece.operand is not None]
    return [over(operand.tensor_type) for i in numbers if node.inputs[i] is operand]


def is_index(node: Node) -> bool:
    """Return True for a vector of its own positions."""
    return isinstance(node.op.family, Index)


def is_scalar_source(node: Node) -> bool:
    """Return True for values written into the code: one-element constants and sizes."""
    if node.op.name == "constant":
        return bool(node.attrs["value"].array.size == 1)
    return node.op.name == "dim_value"


def scalar_of(value: Literal) -> Scalar:
    """Return the one element of a literal as a Python number."""
    one = value.array.reshape(())[()]
    return float(one) if value.dtype.is_floating else one.item()


def is_fusible(node: Node, target: Target) -> bool:
    """Return True for nodes that a kernel can compute."""
    return (
        is_scalar_source(node)
        or is_elementwise(node, target)
        or is_reduction(node)
        or is_index(node)
        or is_gather(node)
        or has_own_kernel(node)
        or view_map(node) is not None
    )


def parts_of(node: Node) -> TensorType | None:
    """Return the type of the operand of a reshape that only joins axes, None for other nodes."""
    if node.op.name != "reshape" or view_map(node) is not None:
        return None
    parts = node.inputs[0].tensor_type
    return parts if _splitting_map(node) is not None else None


def _splitting_map(node: Node) -> IndexMap | None:
    """Return for each axis of a reshape the axes of its operand that it joins, or None."""
    found: IndexMap | None = node.op.family.index_map(node.tensor_type, node.inputs[0].tensor_type)
    return found


def split_axes(node: Node) -> Domain:
    """Return loops over a reshape that joins axes, along what it joins, and the positions they give."""
    axes, positions = outer_axes(node.inputs[0].tensor_type)
    index_map = _splitting_map(node)
    assert index_map is not None
    return axes, map_positions(index_map, positions)


def viewed_positions(node: Node, positions: Sequence[Affine]) -> list[Affine] | None:
    """Return the positions on the operand of a view, None for what is no view.

    A reshape that joins axes is one where loops run along what it joins.
    """
    index_map = view_map(node)
    if index_map is not None:
        return map_positions(index_map, positions)
    return _positions_on_parts(node, positions) if parts_of(node) is not None else None


def _positions_on_parts(node: Node, positions: Sequence[Affine]) -> list[Affine] | None:
    parts, index_map = node.inputs[0].tensor_type, _splitting_map(node)
    assert index_map is not None
    found = [Affine(0, ())] * parts.ndim
    for axis_map, at in zip(index_map, positions, strict=True):
        if len(axis_map.terms) == 1:
            found[axis_map.terms[0][0]] = at
            continue
        if not D.same(at.offset, 0) or len(at.terms) != len(axis_map.terms):
            return None
        for (part, stride), (axis, step) in zip(axis_map.terms, at.terms, strict=True):
            if not (D.same(stride, step) and D.same(axis.extent, parts.shape[part])):
                return None
            found[part] = axis_position(axis)
    return found


def map_positions(index_map: Sequence[AxisMap], positions: Sequence[Affine]) -> list[Affine]:
    """Return positions on a view's input for positions on its output."""
    return [
        weighted_sum(axis_map.offset, [(positions[axis], c) for axis, c in axis_map.terms])
        for axis_map in index_map
    ]


def linear_offset(shape: Shape, positions: Sequence[Affine]) -> Affine:
    """Return the element offset of a position in a C-contiguous array."""
    inside = [
        Affine(0, ()) if D.same(size, 1) else position
        for size, position in zip(shape, positions, strict=True)
    ]
    return offset_at(shape, inside)


def offset_at(shape: Shape, positions: Sequence[Affine]) -> Affine:
    """Return the element offset of a position, axes of size 1 included."""
    strided: list[tuple[Affine, D.Dim]] = []
    stride: D.Dim = 1
    for size, position in zip(reversed(shape), reversed(positions), strict=True):
        strided.append((position, stride))
        stride = stride * size
    return weighted_sum(0, strided)


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

    def fold_over(self, folds: Iterable[Node], positions: Sequence[Affine]) -> None:
        """Have reductions fold over loops of the kernel, which give the positions on what they reduce."""
        self._given |= dict.fromkeys(folds, positions)

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


def axis_position_or_zero(axis: Axis) -> Affine:
    """Return the position `axis`, or 0 for an axis of extent 1."""
    return Affine(0, ()) if D.same(axis.extent, 1) else axis_position(axis)


def outer_axes(type_: TensorType) -> tuple[list[Axis], list[Affine]]:
    """Return loop axes over a result and the position they give on each of its axes."""
    axes, positions = [], []
    for number, size in enumerate(type_.shape):
        axis = Axis(f"i{number}", size)
        if not D.same(size, 1):
            axes.append(axis)
        positions.append(axis_position_or_zero(axis))
    return axes, positions


def without_ones(shape: Shape) -> Shape:
    """Return the extents of the axes of more than one element."""
    return tuple(size for size in shape if not D.same(size, 1))


def with_ones(positions: Iterable[Affine], shape: Shape) -> list[Affine]:
    """Return the positions on each axis of a shape, given those on its axes of more than one element."""
    rest = iter(positions)
    return [Affine(0, ()) if D.same(size, 1) else next(rest) for size in shape]


def loops_over(inside: Iterable[Node]) -> Loops:
    """Return what makes loops over all elements of a type: along the parts of axes, where a reshape
    among the nodes inside joins them, with axes of one element or without."""
    joins: dict[Shape, Node] = {}
    for node in inside:
        if parts_of(node) is not None:
            joins.setdefault(without_ones(node.tensor_type.shape), node)

    def over(type_: TensorType) -> Domain:
        join = joins.get(without_ones(type_.shape))
        if join is None:
            return outer_axes(type_)
        axes, positions = split_axes(join)
        return axes, with_ones((at for at in positions if at.terms), type_.shape)

    return over


def running_loops(node: Node) -> tuple[list[Axis], Axis, list[Affine]]:
    """Return the loops around a running fold, its own, and where an element is read and stored."""
    running, shape = node.attrs["axis"], node.tensor_type.shape
    axis = Axis("run", shape[running])
    axes, positions = outer_axes(node.tensor_type)
    around = [a for a in axes if all(b is not a for b, _ in positions[running].terms)]
    step = axis_position(axis)
    positions[running] = (
        weighted_sum(shape[running] - 1, [(step, -1)]) if node.attrs["reverse"] else step
    )
    return around, axis, positions
