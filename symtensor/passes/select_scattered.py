"""Scatters that write one element a row, as selections: nothing is written piece by piece.

The gradient of picking an element of every row (of the logits, by the label) lays one number into a row of
zeros. Each element of the result tells by its own position whether it is that one, so it fuses with what
reads it. The index is still counted from the end where it is negative, and refused out of range: it reads a
vector of positions.

    Before: %2 = scatter %base, %values, iota, %index {axes = [0, 1], mode = "add"}
    After:  %2 = where(iota == gather(iota, %index), %base + %values, %base)
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dtypes import int32, int64
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops import creation, elementwise, indexing, logic, movement
from symtensor.ops.families import AxisMap, Index, Scatter, View, composed
from symtensor.passes.rewrite import note


def select_scattered(graph: Graph, fired: Counter[str]) -> Graph:
    """Rewrite scatters whose indices name one element of every row, each row once."""

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = node.with_inputs(inputs)
        axis = _named_axis(new) if isinstance(new.op.family, Scatter) else None
        if axis is None:
            return new
        with location.at(node.loc):
            made = _selected(new, axis).node
        note(fired, "select instead of scattering", node, made)
        return made

    return graph.map(rebuild)


def _named_axis(node: Node) -> int | None:
    """Return the axis along which data names one element for each position on all others, or None."""
    base, _, *indices = node.inputs
    shape, named = base.tensor_type.shape, indices[0].tensor_type.shape
    if node.attrs["axes"] != tuple(range(len(shape))) or len(named) != len(shape):
        return None
    others = [
        axis
        for axis, (index, size) in enumerate(zip(indices, shape, strict=True))
        if D.same(size, named[axis]) and _counts_along(index, axis)
    ]
    free = [axis for axis in range(len(shape)) if axis not in others]
    return free[0] if len(free) == 1 and D.same(named[free[0]], 1) else None


def _counts_along(index: Node, axis: int) -> bool:
    """Return True for a tensor that holds at each position that on `axis`."""
    places = tuple(AxisMap(0, ((a, 1),)) for a in range(index.tensor_type.ndim))
    while isinstance(index.op.family, View):
        (source,) = index.inputs
        index_map = index.op.family.index_map(source.tensor_type, index.tensor_type, **index.attrs)
        if index_map is None:
            return False
        places, index = composed(index_map, places), source
    return isinstance(index.op.family, Index) and places == (AxisMap(0, ((axis, 1),)),)


def _selected(node: Node, axis: int) -> Tensor:
    base, values, *indices = (Tensor(x) for x in node.inputs)
    size = base.shape[axis]
    dtype = int32 if isinstance(size, int) and size <= 1 << 31 else int64
    positions = creation.iota(size, dtype)
    named = indexing.take(positions, indices[axis])
    along = movement.reshape(positions, [size if a == axis else 1 for a in range(base.ndim)])
    is_named = logic.equal(
        *(movement.broadcast_to(x, base.shape) for x in (along, named)),
    )
    written = movement.broadcast_to(values, base.shape)
    if node.attrs["mode"] == "add":
        written = elementwise.add(base, written)
    return logic.where(is_named, written, base)
