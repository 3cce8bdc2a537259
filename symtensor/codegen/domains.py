"""Loops over elements, and the positions that they give on what nodes read.

A domain is loops and one position per axis. Views and gathers map positions on their results to positions
on their operands, so what is read through them costs no data movement; arrays turn positions into offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from symtensor.codegen.kernel import Affine, Axis, axis_position, weighted_sum
from symtensor.codegen.stage import (
    index_operands,
    is_index,
    is_running,
    parts_of,
    pieces_of,
    splitting_map,
    view_map,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.families import AxisMap, Scatter

Domain = tuple[list[Axis], list[Affine]]
"""Loops, and the position that they give on each axis."""

Loops = Callable[[TensorType], Domain]
"""Makes loops over all elements of a type."""


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


def split_axes(node: Node) -> Domain:
    """Return loops over a reshape that joins axes, along what it joins, and the positions they give."""
    axes, positions = outer_axes(node.inputs[0].tensor_type)
    index_map = splitting_map(node)
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
    parts, index_map = node.inputs[0].tensor_type, splitting_map(node)
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
