"""Conditionals whose predicate is known, and scans computed twice.

Before: %1 = cond constant true, %0 {then_body = …}     After: the then body on %0
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops.bodies import inline
from symtensor.passes.rewrite import note, scalar_value


def specialize(graph: Graph, fired: Counter[str]) -> Graph:
    """Inline branches of known predicates and share scans of one loop."""
    return _share_scans(_inline_branches(graph, fired), fired)


def _inline_branches(graph: Graph, fired: Counter[str]) -> Graph:
    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        node = node.with_inputs(inputs)
        if node.op is not RESULT or node.inputs[0].op.name != "cond":
            return node
        branch = node.inputs[0]
        taken = scalar_value(branch.inputs[0])
        if taken is None:
            return node
        body: Graph = branch.attrs["then_body" if taken else "else_body"]
        index: int = node.attrs["index"]
        inlined = inline(body, [Tensor(x) for x in branch.inputs[1:]])[index].node
        note(fired, "inline a branch", node, inlined)
        return inlined

    return graph.map(rebuild)


def _share_scans(graph: Graph, fired: Counter[str]) -> Graph:
    """Let a scan whose outputs another one computes too be that one (forward and gradient).

    What such scans read may be results of others: each is made anew from what its operands became.
    """
    groups: dict[Any, list[Node]] = {}
    for node in graph.nodes():
        if node.op.name == "scan":
            groups.setdefault(_loop_key(node), []).append(node)
    shared: dict[Node, Node] = {}
    places: dict[Node, int] = {}
    for scans in groups.values():
        widest = max(scans, key=lambda n: len(n.attrs["body"].outputs))
        for scan in scans:
            found = {} if scan is widest else _places_in(graph, scan, widest)
            if found:
                shared[scan] = widest
                places |= found
    if not shared:
        return graph

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in shared:
            return shared[node].with_inputs(inputs)
        if node not in places:
            return node.with_inputs(inputs)
        result = make_node(RESULT, inputs, {"index": places[node]}, loc=node.loc)
        note(fired, "share a scan", node, result)
        return result

    return graph.map(rebuild)


def _loop_key(node: Node) -> Any:
    attrs = {k: v for k, v in node.attrs.items() if k != "body"}
    carries = attrs["carries"]
    body = node.attrs["body"]
    test = body.outputs[-1] if attrs["until"] else None
    return (
        node.inputs,
        tuple(sorted(attrs.items(), key=lambda kv: kv[0])),
        body.outputs[:carries],
        test,
    )


def _places_in(graph: Graph, scan: Node, widest: Node) -> dict[Node, int]:
    """Return result of `scan` -> number of the equal result of `widest`; nothing when one is missing."""
    carries, made = scan.attrs["carries"], widest.attrs["body"].outputs
    found: dict[Node, int] = {}
    for node in graph.nodes():
        if node.op is RESULT and node.inputs[0] is scan:
            index = node.attrs["index"]
            output = scan.attrs["body"].outputs[index]
            equal = [i for i, x in enumerate(made) if x is output and i >= carries]
            if index >= carries and not equal:
                return {}
            found[node] = index if index < carries else equal[0]
    return found
