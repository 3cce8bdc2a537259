"""Which nodes of a graph after a pass are those of the graph before it.

Nodes are immutable: replace one, and everything that reads it is new too. People see the same node with
another operand. So nodes are matched by what they do (op, attributes, type, name, line, scope), those
first that are one object, then those whose operands match best. A number spread over a shape is what it
is by its value; a loop or branch stays the same while its body and what it carries change. What remains
was removed or added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from symtensor.ir.node import Node, freeze
from symtensor.passes.rewrite import scalar_value

CANDIDATES = 24
"""Nodes that do the same and are compared for one; there may be thousands."""


def match_nodes(old: Sequence[Node], new: Sequence[Node]) -> dict[Node, Node]:
    """Return new node -> its old node, both lists producers first; each old node at most once."""
    shared = set(old) & set(new)
    found = {node: node for node in shared}
    waiting: defaultdict[Hashable, dict[Node, None]] = defaultdict(dict)
    for node in old:
        if node not in shared:
            waiting[_likeness(node)][node] = None
    for node in new:
        if node in shared:
            continue
        candidates = waiting.get(_likeness(node))
        if candidates:
            chosen = _best(node, list(candidates)[:CANDIDATES], found)
            del candidates[chosen]
            found[node] = chosen
    return found


def _best(node: Node, candidates: Sequence[Node], found: dict[Node, Node]) -> Node:
    """Return the candidate with the most operands that match; of equals the first."""

    def agreement(other: Node) -> int:
        pairs = zip(node.inputs, other.inputs, strict=False)
        return sum(found.get(x) is y for x, y in pairs)

    return max(candidates, key=agreement)


def _likeness(node: Node) -> Hashable:
    """Return what matched nodes have in common."""
    place = node.loc and (str(node.loc), node.loc.scope, node.loc.origin)
    if node.op.bodies:
        return node.op, place
    attrs = tuple((k, freeze(v)) for k, v in sorted(node.attrs.items()))
    return node.op, len(node.inputs), attrs, node.type, node.name, place, freeze(scalar_value(node))
