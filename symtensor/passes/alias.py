"""Which results may share memory: an analysis that engines consume, not a rewrite.

For each node: the operand it is a view of, and the operand whose buffer it may overwrite because
nothing reads that operand later. An order of evaluation is part of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.families import Elementwise, View


@dataclass(frozen=True, slots=True)
class AliasInfo:
    """Sharing of memory in a graph evaluated in `order`."""

    order: tuple[Node, ...]
    view_of: dict[Node, Node]
    """View -> the node that owns the memory it shows, through chains of views."""
    overwrites: dict[Node, Node]
    """Elementwise node -> an operand of equal type whose memory it may take over."""
    last_use: dict[Node, int]
    """Owner -> position in `order` of the last node that reads it or a view of it."""


def analyze_aliases(graph: Graph) -> AliasInfo:
    """Return what may share memory. Inputs, variables, constants and roots are never overwritten."""
    order = tuple(graph.nodes())
    view_of: dict[Node, Node] = {}
    for node in order:
        if isinstance(node.op.family, View):
            view_of[node] = view_of.get(node.inputs[0], node.inputs[0])
    last_use = {view_of.get(x, x): place for place, node in enumerate(order) for x in node.inputs}
    kept = {view_of.get(root, root) for root in graph.roots}
    kept |= {node for node in order if not node.inputs}
    overwrites: dict[Node, Node] = {}
    taken: set[Node] = set()
    for place, node in enumerate(order):
        if not isinstance(node.op.family, Elementwise):
            continue
        shown = {view_of[x] for x in node.inputs if x in view_of}  # read in another order
        for x in node.inputs:
            free = x not in kept and x not in view_of and last_use[x] == place
            free = free and x not in shown
            if free and x not in taken and x.type == node.type and isinstance(x.type, TensorType):
                overwrites[node] = x
                taken.add(x)
                break
    return AliasInfo(order, view_of, overwrites, last_use)
