"""Folds over axes around a kept one, in two: columns first, which lie side by side.

Before: %1 = sum %0 axes=(1, 3) : f32[n, 8], of f32[n, m, 8, 8]
After:  %1 = sum (sum %0 axes=(1,)) axes=(2,) : the first goes along whole rows of 64 numbers

Statistics of groups of channels are such folds. In one, each of their rows would be as short as a group.
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ops.families import Reduction
from symtensor.passes.rewrite import note

SHORT = 64
"""Elements that lie together, up to which they are too few for a fold of their own."""


def split_folds(graph: Graph, fired: Counter[str]) -> Graph:
    """Let folds over short last axes and others before a kept one go over those first."""

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        node = node.with_inputs(inputs)
        family = node.op.family
        if not isinstance(family, Reduction) or family.combiner.startswith("arg"):
            return node
        last = _short_last_axes(node)
        first = tuple(axis for axis in node.attrs["axes"] if axis not in last)
        if not last or not first or max(first) + 1 == min(last):
            return node
        with location.at(node.loc):
            columns = make_node(node.op, node.inputs, {"axes": first})
            moved = tuple(axis - len(first) for axis in last)
            found = make_node(node.op, (columns,), {"axes": moved})
        note(fired, "split a fold", node, found)
        return found

    return graph.map(rebuild)


def _short_last_axes(node: Node) -> tuple[int, ...]:
    """Return the last axes that a fold is over, if they are short and what is folded is not rounded."""
    x = node.inputs[0].tensor_type
    if x.dtype.is_floating and x.dtype.bits == 16:
        return ()
    start = x.ndim
    while start - 1 in node.attrs["axes"]:
        start -= 1
    together = D.product(x.shape[start:])
    return tuple(range(start, x.ndim)) if isinstance(together, int) and together <= SHORT else ()
