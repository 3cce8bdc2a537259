"""Graphs for networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symtensor.inspect.text import graph_of
from symtensor.ir.node import Node, format_type
from symtensor.ir.printer import Labels

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(value: Any) -> nx.MultiDiGraph:
    """Return the graph of a tensor, graph or function as a networkx MultiDiGraph.

    Nodes are the labels of the IR text, with attributes ``op``, ``type``, ``name``, ``location``
    (file:line), ``scope`` and ``role`` (input, output, update or ""). Edges run from operand to user
    with the operand's ``position``, so ``x * x`` has two; an edge of ``kind`` "update" runs from the
    next value to its variable.
    """
    import networkx as nx  # here and not above: importing it costs more than all of symtensor

    graph = graph_of(value)
    labels = Labels()
    out = nx.MultiDiGraph()
    roles = {n: "output" for n in graph.outputs} | {n: "input" for n in graph.inputs}
    for node in graph.nodes():
        out.add_node(labels.node(node), **_attributes(node, roles.get(node, "")))
        for position, x in enumerate(node.inputs):
            out.add_edge(labels.node(x), labels.node(node), position=position, kind="operand")
    for target, new in graph.updates:
        out.add_node(labels.node(target), **_attributes(target, "update"))
        out.add_edge(labels.node(new), labels.node(target), position=0, kind="update")
    return out


def _attributes(node: Node, role: str) -> dict[str, str]:
    return {
        "op": node.op.name,
        "type": format_type(node.type),
        "name": node.name or "",
        "location": str(node.loc or ""),
        "scope": node.loc.scope if node.loc is not None else "",
        "role": role,
    }
