"""Pictures of graphs: Graphviz's DOT language, and SVG with Graphviz or without."""

from __future__ import annotations

import shutil
import subprocess
from html import escape
from typing import Any

from symtensor.errors import SymtensorError
from symtensor.export.caption import node_class, subtitle, title
from symtensor.export.layout import Point, layered_layout
from symtensor.inspect.text import graph_of
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.printer import Labels
from symtensor.vocabulary import require_choice

LARGEST = 4000
"""Nodes up to which `to_svg` places them itself."""
PATIENCE = 60
"""Seconds that Graphviz may take: some graphs of thousands of nodes keep it busy for hours."""
PADDING, CHARACTER, LINE = 9.0, 6.7, 15.0
"""Pixels around and of the text in a box, set in 11-pixel monospace."""

COLOURS = {
    "input": "#dbeafe", "variable": "#fde7c3", "constant": "#eceef1", "elementwise": "#e3f4e3",
    "reduction": "#fbdfe3", "view": "#f2f3f5", "indexing": "#e0f3f4", "contraction": "#e6defa",
    "control": "#fbe3f1", "other": "#ffffff",
}  # fmt: skip


def to_dot(value: Any) -> str:
    """Return the graph in Graphviz's DOT language; names are escaped."""
    graph = graph_of(value)
    labels = Labels()
    lines = ["digraph symtensor {",
             '  node [shape=box, fontname="monospace", style="filled"];']  # fmt: skip
    roots = set(graph.roots)
    for node in graph.all_nodes():
        style = f', fillcolor="{COLOURS[node_class(node)]}"'
        style += ', style="filled,rounded"' if not node.inputs else ""
        style += ', penwidth="2"' if node in roots else ""
        text = f"{title(node)}\n{subtitle(node)}"
        lines.append(f"  {_quoted(labels.node(node))} [label={_quoted(text)}{style}];")
        for position, x in enumerate(node.inputs):
            tag = f' [label="{position}"]' if len(node.inputs) > 1 else ""
            lines.append(f"  {_quoted(labels.node(x))} -> {_quoted(labels.node(node))}{tag};")
    for target, new in graph.updates:
        edge = f"{_quoted(labels.node(new))} -> {_quoted(labels.node(target))}"
        lines.append(f"  {edge} [style=dashed, constraint=false];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def to_svg(value: Any, *, layout: str | None = None) -> str:
    """Return a picture of the graph as SVG text.

    `layout`: "own" needs nothing else, "graphviz" runs the program ``dot``.
    None takes "own" up to 4000 nodes. Boxes carry the user's line as a tooltip.
    """
    graph = graph_of(value)
    if layout is not None:
        require_choice(layout, ("own", "graphviz"), "layout")
    else:
        layout = "own" if len(graph.all_nodes()) <= LARGEST else "graphviz"
    if layout == "own":
        return _draw(graph)
    program = shutil.which("dot")
    if program is None:
        raise SymtensorError(
            f"Graphviz is needed to place {len(graph.all_nodes())} nodes, and there is no program dot",
            help='install Graphviz, or pass layout="own", or use explore(), which folds large graphs',
        )
    try:
        done = subprocess.run([program, "-Tsvg"], input=to_dot(graph), capture_output=True,
                              text=True, encoding="utf-8", check=True, timeout=PATIENCE)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SymtensorError(
            f"Graphviz did not place {len(graph.all_nodes())} nodes in {PATIENCE} s",
            help="use explore(), which folds large graphs, or to_dot and another program",
        ) from None
    return done.stdout


def _draw(graph: Graph) -> str:
    nodes = graph.all_nodes()
    number = {node: i for i, node in enumerate(nodes)}
    edges = [(number[x], number[node]) for node in nodes for x in dict.fromkeys(node.inputs)]
    boxes = [_box(node) for node in nodes]
    found = layered_layout(boxes, edges)
    width, height = found.width + 2, found.height + 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="-1 -1 {width:.0f} {height:.0f}" font-family="monospace" font-size="11">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 1 8 4 0 7z" fill="#667"/></marker></defs>',
    ]
    lines += [
        f'<path d="{_curve(route)}" fill="none" stroke="#667" stroke-opacity=".7" '
        'marker-end="url(#head)"/>'
        for route in found.routes
    ]
    roots = set(graph.roots)
    lines += [
        _node(node, corner, box, node in roots)
        for node, corner, box in zip(nodes, found.corners, boxes, strict=True)
    ]
    return "\n".join([*lines, "</svg>"])


def _box(node: Node) -> Point:
    longest = max(len(title(node)), len(subtitle(node)))
    return 2 * PADDING + CHARACTER * longest, 2 * LINE + PADDING


def _node(node: Node, corner: Point, box: Point, is_root: bool) -> str:
    (x, y), (width, height) = corner, box
    centre = x + width / 2
    radius = 4 if node.inputs else height / 2
    where = f"<title>{escape(node.loc.describe())}</title>" if node.loc is not None else ""
    return (
        f'<g>{where}<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius:g}" fill="{COLOURS[node_class(node)]}" stroke="#445" '
        f'stroke-width="{2 if is_root else 0.8}"/>'
        f'<text x="{centre:.1f}" y="{y + LINE + 1:.1f}" text-anchor="middle" fill="#223" '
        f'font-weight="bold">{_text(title(node))}</text>'
        f'<text x="{centre:.1f}" y="{y + 2 * LINE:.1f}" text-anchor="middle" fill="#556">'
        f"{_text(subtitle(node))}</text></g>"
    )


def _text(text: str) -> str:
    """Return text escaped for XML, without the control characters that XML has no form for."""
    return escape("".join(c if c.isprintable() else "�" for c in text))


def _curve(route: list[Point]) -> str:
    """Return a path through the points that leaves and meets each of them vertically."""
    (x, y), *rest = route
    parts = [f"M{x:.1f} {y:.1f}"]
    for x2, y2 in rest:
        middle = (y + y2) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}")
        x, y = x2, y2
    return "".join(parts)
