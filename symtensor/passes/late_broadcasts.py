"""Elementwise ops whose operands are all repeated run first, and their result is repeated.

Gradients take the reciprocal of what forward divides by, which is a deviation repeated for a batch. Which
elements a kernel computes again is then plain to see: those of a small tensor, which can be stored.

    Before: %2 = divide broadcast_to(1) : [n, 64], broadcast_to(%0) : [n, 64]
    After:  %2 = broadcast_to(divide broadcast_to(1) : [64], %0) : [n, 64]
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import location
from symtensor.ir.dims import Dim
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops import movement
from symtensor.ops.build import apply
from symtensor.ops.families import Elementwise
from symtensor.passes.rewrite import note


def late_broadcasts(graph: Graph, fired: Counter[str]) -> Graph:
    """Repeat results instead of operands."""

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        node = node.with_inputs(inputs)
        if not isinstance(node.op.family, Elementwise):
            return node
        axes = _repeated_axes(node)
        if not axes:
            return node
        with location.at(node.loc):
            late = _repeated_late(node, axes).node
        note(fired, "broadcast the result", node, late)
        return late

    return graph.map(rebuild)


def _repeated_axes(node: Node) -> set[int]:
    """Return the axes along which all operands are repeated."""
    shape = node.tensor_type.shape
    if any(x.op is not movement.BROADCAST_TO for x in node.inputs):
        return set()
    sources = (x.inputs[0].tensor_type.shape for x in node.inputs)
    return set.intersection(*(set(movement.broadcast_axes(s, shape)) for s in sources))


def _repeated_late(node: Node, axes: set[int]) -> Tensor:
    shape = node.tensor_type.shape
    first = next((axis for axis in range(len(shape)) if axis not in axes), len(shape))
    kept = tuple(1 if axis in axes else shape[axis] for axis in range(first, len(shape)))
    operands = (_repeated(Tensor(x.inputs[0]), kept) for x in node.inputs)
    return movement.broadcast_to(apply(node.op, *operands, **node.attrs), shape)


def _repeated(source: Tensor, shape: tuple[Dim, ...]) -> Tensor:
    """Return `source` repeated to a shape that may have fewer axes: those are of size 1."""
    spare = max(source.ndim - len(shape), 0)
    return movement.broadcast_to(movement.reshape(source, source.shape[spare:]), shape)
