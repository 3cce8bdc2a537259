"""Conditionals whose predicate is known, and scans computed twice.

Before: %1 = cond constant true, %0 {then_body = …}     After: the then body on %0
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from symtensor.ir.graph import Graph, replace_nodes
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
    """Let a scan whose outputs another one computes too read that one (forward and gradient)."""
    groups: dict[Any, list[Node]] = {}
    for node in graph.nodes():
        if node.op.name == "scan":
            groups.setdefault(_loop_key(node), []).append(node)
    replaced: dict[Node, Node] = {}
    for scans in groups.values():
        widest = max(scans, key=lambda n: len(n.attrs["body"].outputs))
        for scan in scans:
            if scan is not widest:
                replaced |= _results_from(graph, scan, widest)
    if not replaced:
        return graph
    for before, after in replaced.items():
        note(fired, "share a scan", before, after)
    roots = replace_nodes(graph.roots, replaced)
    count = len(graph.outputs)
    targets = [target for target, _ in graph.updates]
    updates = tuple(zip(targets, roots[count:], strict=True))
    return Graph(graph.inputs, tuple(roots[:count]), updates)


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


def _results_from(graph: Graph, scan: Node, widest: Node) -> dict[Node, Node]:
    """Return result of `scan` -> the equal result of `widest`; nothing when one is missing."""
    available = {output: i for i, output in enumerate(widest.attrs["body"].outputs)}
    carries = scan.attrs["carries"]
    found: dict[Node, Node] = {}
    for node in graph.nodes():
        if node.op is RESULT and node.inputs[0] is scan:
            index = node.attrs["index"]
            place = index
            if index >= carries:
                output = scan.attrs["body"].outputs[index]
                later = [i for i, o in enumerate(widest.attrs["body"].outputs)
                         if o is output and i >= carries]  # fmt: skip
                if not later or output not in available:
                    return {}
                place = later[0]
            found[node] = make_node(RESULT, (widest,), {"index": place}, loc=node.loc)
    return found
