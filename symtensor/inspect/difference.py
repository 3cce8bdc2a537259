"""How two graphs differ, by structure.

Leaves of the same name and kind are taken to be the same, with the sizes they have; then what both
compute is the same nodes, since nodes are interned, and only the rest is a difference. So the order
of statements and the numbers of labels do not matter.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.graph import Graph, replace_nodes
from symtensor.ir.node import Node
from symtensor.ir.printer import HIDDEN, Labels, format_node

CONTEXT = 3
"""Equal lines shown around a difference."""


def graph_difference(first: Graph, second: Graph) -> list[str]:
    """Return lines with ``-`` of what only `first` has, ``+`` only `second`, `` `` both; none if equal."""
    second = _on_leaves_of(first, second)
    if first == second:
        return []
    labels = Labels()
    old = [*_statements(first, labels), *_ends(first, labels)]
    new = [*_statements(second, labels), *_ends(second, labels)]
    lines = difflib.unified_diff(old, new, lineterm="", n=CONTEXT)
    return [line for line in lines if not line.startswith(("---", "+++"))]


def _statements(graph: Graph, labels: Labels) -> list[str]:
    return [line for node in graph.all_nodes() for line in format_node(node, labels).splitlines()]


def _ends(graph: Graph, labels: Labels) -> list[str]:
    def names(nodes: Sequence[Node]) -> str:
        return ", ".join(map(labels.node, nodes))

    updates = [f"update {labels.node(a)} <- {labels.node(b)}" for a, b in graph.updates]
    return [f"inputs {names(graph.inputs)}", f"outputs {names(graph.outputs)}", *updates]


def _on_leaves_of(first: Graph, second: Graph) -> Graph:
    """Return `second` with the leaves of `first` where both have one of the same name and kind."""
    ours = _leaves(first)
    changes: dict[Node, Node] = {}
    sizes: dict[Symbol, Dim] = {}
    for label, leaf in _leaves(second).items():
        other = ours.get(label)
        if other is not None and other is not leaf and _fits(leaf, other, sizes):
            changes[leaf] = other
    count = len(second.outputs)
    targets = [target for target, _ in second.updates]
    roots = replace_nodes([*second.roots, *second.inputs, *targets], changes, sizes)
    values = roots[count : count + len(targets)]
    inputs = roots[len(second.roots) : len(second.roots) + len(second.inputs)]
    pairs = zip(roots[len(roots) - len(targets) :], values, strict=True)
    return Graph(tuple(inputs), tuple(roots[:count]), tuple(pairs))


def _leaves(graph: Graph) -> dict[str, Node]:
    """Return placeholders and variables by name, or by position where they have none."""
    leaves = dict.fromkeys([*graph.inputs, *(x for x in graph.all_nodes() if x.op.name in HIDDEN)])
    return {node.name or f"{node.op.name} {i}": node for i, node in enumerate(leaves)}


def _fits(leaf: Node, other: Node, sizes: dict[Symbol, Dim]) -> bool:
    """Return True for leaves of one type, given what `sizes` says of symbols, which grows."""
    mine, theirs = leaf.tensor_type, other.tensor_type
    if leaf.op is not other.op or mine.dtype is not theirs.dtype or mine.ndim != theirs.ndim:
        return False
    found = dict(sizes)
    for a, b in zip(mine.shape, theirs.shape, strict=True):
        symbol = D.as_symbol(a)
        if symbol is not None and D.as_symbol(b) is not None:
            found.setdefault(symbol, b)
        if not D.same(D.substitute(a, found), b):
            return False
    sizes.update(found)
    return True
