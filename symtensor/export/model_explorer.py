"""Graphs for Google's Model Explorer (pip install ai-edge-model-explorer), as its JSON.

    {"label", "graphs": [{"id", "nodes": [{"id", "label", "namespace", "incomingEdges", …}]}]}

One graph as defined and one after each pass that changed something, so that the tool's two panes can
compare them; bodies of control flow are graphs of their own, which their nodes refer to. Namespaces
are name scopes, those of derivatives under "gradients" or "tangents".
"""

from __future__ import annotations

import json
from typing import Any

from symtensor.export.caption import node_class, title
from symtensor.inspect.text import graph_of
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, format_type
from symtensor.ir.printer import Labels, format_attributes
from symtensor.ir.types import TensorType
from symtensor.vocabulary import require_name


def to_model_explorer(value: Any, *, label: str = "symtensor") -> str:
    """Return the graphs of a tensor, graph or function as JSON text that Model Explorer opens."""
    require_name(label, "the graphs")
    graphs: list[dict[str, Any]] = []
    for name, graph in _named_graphs(value):
        _add_graph(graphs, name, graph)
    return json.dumps({"label": label, "graphs": graphs}, ensure_ascii=True, indent=1)


def _named_graphs(value: Any) -> list[tuple[str, Graph]]:
    stages = getattr(value, "stages", None)
    if stages is None:
        return [("graph", graph_of(value))]
    return [(stage.name, stage.graph) for stage in stages]


def _add_graph(graphs: list[dict[str, Any]], name: str, graph: Graph) -> None:
    """Append a graph, and the bodies inside it after it."""
    labels = Labels()
    nodes: list[dict[str, Any]] = []
    graphs.append({"id": name, "nodes": nodes})
    roots: dict[Node, list[str]] = {}
    for i, root in enumerate(graph.outputs):
        roots.setdefault(root, []).append(f"output {i}")
    for target, new in graph.updates:
        roots.setdefault(new, []).append(f"next value of {target.name or labels.node(target)}")
    for node in graph.all_nodes():
        inner = {
            f"{name} / {labels.node(node)} {body}": node.attrs[body] for body in node.op.bodies
        }
        nodes.append(_node(node, labels, roots.get(node, []), list(inner)))
        for inner_name, body in inner.items():
            _add_graph(graphs, inner_name, body)


def _namespace(node: Node) -> str:
    """Return the name scope; derivatives have a tree of their own."""
    if node.loc is None:
        return ""
    derived = f"{node.loc.origin}s" if node.loc.origin else ""
    return "/".join(filter(None, [derived, node.loc.scope]))


def _node(node: Node, labels: Labels, roles: list[str], subgraphs: list[str]) -> dict[str, Any]:
    attributes = {"op": node.op.name, "class": node_class(node), "type": format_type(node.type)}
    attributes |= format_attributes(node, labels)
    if node.loc is not None:
        attributes["line"] = node.loc.describe()
    if roles:
        attributes["role"] = ", ".join(roles)
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    return {
        "id": labels.node(node),
        "label": title(node),
        "namespace": _namespace(node),
        "subgraphIds": subgraphs,
        "attrs": [{"key": key, "value": text} for key, text in attributes.items()],
        "incomingEdges": [
            {
                "sourceNodeId": labels.node(x),
                "sourceNodeOutputId": "0",
                "targetNodeInputId": str(position),
            }
            for position, x in enumerate(node.inputs)
        ],
        "outputsMetadata": [
            {"id": str(i), "attrs": [{"key": "tensor_shape", "value": str(type_)}]}
            for i, type_ in enumerate(types)
        ],
    }
