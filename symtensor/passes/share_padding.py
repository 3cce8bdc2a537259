"""What is padded is stored once: within its padding, where its other readers find it too.

Between convolutions a value is read padded by one product and as it is by others: by the gradient of
the weights, by the gradient of pooling. Reading a slice of what is stored anyway costs nothing, so
elementwise results and reductions are computed right into their padding.

    Before: %2 = place %1     %3 = contract windows(%2), %k     %4 = contract windows(%0), %1
    After:  %2 = place %1     %3 = contract windows(%2), %k     %4 = contract windows(%0), slice(%2)
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import location
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops import slicing
from symtensor.ops.families import Contraction, Elementwise, Reduction, View
from symtensor.passes.rewrite import note


def share_padding(graph: Graph, fired: Counter[str]) -> Graph:
    """Let all that read a padded value read it within its padding."""
    padded = _padded(graph)
    if not padded:
        return graph

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.inputs and padded.get(node.inputs[0]) is node:
            (within,) = inputs
            return within.inputs[0]
        new = node.with_inputs(inputs)
        if node not in padded:
            return new
        with location.at(node.loc):
            around = make_node(padded[node].op, (new,), padded[node].attrs)
            starts, ones = around.attrs["starts"], around.attrs["steps"]
            within = slicing.slice_at(Tensor(around), starts, ones, new.tensor_type.shape).node
        note(fired, "read within padding", node, within)
        return within

    return graph.map(rebuild)


def _padded(graph: Graph) -> dict[Node, Node]:
    """Return what is worth reading within its padding, with the padded value."""
    users, roots = graph.users(), set(graph.roots)
    found: dict[Node, Node] = {}
    for node in graph.nodes():
        if node.op.name != "place" or set(node.attrs["steps"]) != {1}:
            continue
        (x,) = node.inputs
        others = [user for user in users[x] if user is not node]
        is_computed = isinstance(x.op.family, (Elementwise, Reduction)) and x not in roots
        if is_computed and others and all(map(_reads_at_strides, others)):
            found.setdefault(x, node)
    return found


def _reads_at_strides(node: Node) -> bool:
    """Return True for an op that may read its operands anywhere in memory."""
    family = node.op.family
    if isinstance(family, View):
        types = node.inputs[0].tensor_type, node.tensor_type
        return family.index_map(*types, **node.attrs) is not None
    return isinstance(family, (Elementwise, Reduction, Contraction))
