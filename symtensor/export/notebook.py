"""How tensors, graphs and functions look in a notebook: `_repr_html_`.

A card with the essential facts, a picture of small graphs, and the IR text to unfold. Everything is
escaped and of bounded size; nothing is loaded from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from symtensor.export.graphviz import to_svg
from symtensor.inspect.text import graph_of, print_graph
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, format_type
from symtensor.ir.tensor import Tensor

if TYPE_CHECKING:
    from symtensor.function import Function

LARGEST_PICTURE = 120
"""Nodes up to which a picture is drawn."""
LONGEST_TEXT = 200
"""Nodes of which the text is shown."""

Fact = tuple[str, str]


def card(value: Tensor | Graph | Function) -> str:
    """Return the HTML of a tensor, a graph or a compiled function (its graph after all passes)."""
    if isinstance(value, Tensor):
        facts = [("type", str(value.type)), ("op", value.op.name), *_place(value.node)]
        return _card(f"tensor {value.name or ''}", facts, graph_of(value))
    if isinstance(value, Graph):
        return _card("graph", _sizes(value), value)
    facts = [("engine", value.engine.name), *_sizes(value.optimized)]
    facts.append(("nodes as defined", str(len(value.graph.nodes()))))
    return _card(f"function {value.name}", facts, value.optimized)


def _place(node: Node) -> Iterable[Fact]:
    if node.loc is not None:
        yield "line", node.loc.describe()
        if node.loc.scope:
            yield "scope", node.loc.scope


def _sizes(graph: Graph) -> Iterable[Fact]:
    yield "inputs", ", ".join(f"{n.name or n.op.name}: {format_type(n.type)}" for n in graph.inputs)
    yield "outputs", ", ".join(format_type(n.type) for n in graph.outputs)
    if graph.updates:
        yield "updates", ", ".join(f"{t.name or t.op.name}" for t, _ in graph.updates)
    yield "nodes", str(len(graph.nodes()))


def _card(title: str, facts: Iterable[Fact], graph: Graph) -> str:
    rows = "".join(
        f'<tr><th style="text-align:left;padding-right:1em">{escape(name)}</th>'
        f'<td style="text-align:left;font-family:monospace">{escape(_short(value))}</td></tr>'
        for name, value in facts
        if value
    )
    count = len(graph.all_nodes())
    picture = ""
    if 1 < count <= LARGEST_PICTURE:
        svg = to_svg(graph, layout="own")
        picture = _folded(
            "picture", f'<div style="overflow:auto;background:#fff">{svg}</div>', True
        )
    more = LONGEST_TEXT if count > LONGEST_TEXT else None
    text = _folded("text", f"<pre>{escape(print_graph(graph, max_nodes=more))}</pre>", False)
    return f"<div><b>{escape(_short(title))}</b><table>{rows}</table>{picture}{text}</div>"


def _folded(title: str, inner: str, is_open: bool) -> str:
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{inner}</details>"


def _short(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
