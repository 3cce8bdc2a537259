"""`debugprint`: an expression as a tree, one node a line, with types, costs and the user's lines.

    sum [#0] f32[]          2*n FLOP  8*n + 4 B   model.py:7
    `- multiply [#1] f32[n]   n FLOP     12*n B   model.py:6
       |- placeholder 'x' [#2] f32[n]
       `- placeholder 'x' [#2, above]

A node that was shown before is only referred to by its number, and costs nothing more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from symtensor.errors import AttributeValueError
from symtensor.inspect.text import graph_of
from symtensor.ir import dims as D
from symtensor.ir import printer
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ops.cost import Cost, format_count, graph_cost, node_cost
from symtensor.passes.rewrite import scalar_value

DEPTH = 40
"""Levels that are shown unless told otherwise."""


def debugprint(
    value: Any,
    *,
    depth: int = DEPTH,
    file: IO[str] | None = None,
    locations: bool = True,
    cost: bool = True,
    sizes: Mapping[str, int] | None = None,
) -> None:
    """Print the expression tree of a tensor, graph or function, one node a line.

    Each line shows op, name, type, what the node costs by itself (`symtensor.ops.cost`) and the user's
    line, marked where the node was made by differentiating. A node printed before is only referred to
    by its number. Below `depth` levels the tree is cut off, and says so. The last line is the cost of
    all nodes. `sizes` gives numbers to sizes by the names that the types show: ``sizes={"n": 100}``.
    """
    out = sys.stdout if file is None else file
    graph = graph_of(value)
    tree = _Tree(graph, depth, sizes or {})
    rows = [row for title, root in _titled_roots(graph) for row in tree.rows(title, root)]
    if cost:
        rows.append(_Row("total", tree.counts(graph_cost(graph))))
    for line in _aligned(rows, cost, locations):
        print(line, file=out)


def _titled_roots(graph: Graph) -> list[tuple[str, Node]]:
    many = len(graph.roots) > 1
    rows = [(f"output {i}" if many else "", root) for i, root in enumerate(graph.outputs)]
    rows += [(f"update of {target.name or target}", new) for target, new in graph.updates]
    return rows


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    counts: tuple[str, str] = ("", "")
    """FLOPs and bytes."""
    line: str = ""


class _Tree:
    """Numbers nodes as they are shown, over all roots."""

    def __init__(self, graph: Graph, depth: int, sizes: Mapping[str, int]) -> None:
        self.depth = depth
        self.labels = printer.label_graph(graph)
        named = {name: symbol for symbol, name in self.labels.symbols.items()}
        for name in sizes:
            if name not in named:
                known = ", ".join(named) or "none"
                raise AttributeValueError(f"there is no size {name!r}; sizes: {known}")
        self.sizes: dict[Symbol, Dim] = {named[name]: n for name, n in sizes.items()}
        self.numbers: dict[Node, int] = {}

    def rows(self, title: str, root: Node) -> Iterator[_Row]:
        if title:
            yield _Row(title)
        stack: list[tuple[Node, list[bool]]] = [(root, [])]
        while stack:
            node, last = stack.pop()
            indent = "".join("   " if end else "|  " for end in last[:-1])
            mark = ("`- " if last[-1] else "|- ") if last else ""
            seen = node in self.numbers
            yield self.row(indent + mark, node, seen)
            if seen or not node.inputs:
                continue
            if len(last) >= self.depth:
                yield _Row(f"{indent}      … deeper, see depth=")
                continue
            final = len(node.inputs) - 1
            operands = reversed([*enumerate(node.inputs)])
            stack += [(x, [*last, i == final]) for i, x in operands]

    def row(self, indent: str, node: Node, seen: bool) -> _Row:
        number = self.numbers.setdefault(node, len(self.numbers))
        name = f" '{node.name}'" if node.name else ""
        if seen and node.inputs:
            return _Row(f"{indent}{node.op.name}{name} [#{number}, above]")
        value = scalar_value(node) if node.op.name == "constant" else None
        shown = f" {value}" if value is not None else ""
        text = (
            f"{node.op.name}{name}{shown} [#{number}] {printer.format_type(node.type, self.labels)}"
        )
        if node.loc is None or not node.inputs:
            return _Row(indent + text, self.counts(node_cost(node)))
        origin = f" ({node.loc.origin})" if node.loc.origin else ""
        return _Row(indent + text, self.counts(node_cost(node)), f"{node.loc}{origin}")

    def counts(self, cost: Cost) -> tuple[str, str]:
        """Return operations and bytes as text; nothing for what is free."""
        flops, moved = (self.count(dim) for dim in (cost.flops, cost.bytes))
        return f"{flops} FLOP" if flops != "0" else "", f"{moved} B" if moved != "0" else ""

    def count(self, dim: Dim) -> str:
        known = D.substitute(dim, self.sizes)
        if isinstance(known, int):
            return format_count(known)
        return D.format_dim(known, self.labels.symbol)


def _aligned(rows: list[_Row], cost: bool, locations: bool) -> Iterator[str]:
    """Yield lines with costs and lines in columns."""
    widest = max(len(row.text) for row in rows)
    flops, moved = (max(len(row.counts[i]) for row in rows) for i in (0, 1))
    for row in rows:
        line = row.text.ljust(widest)
        if cost:
            line += f"  {row.counts[0]:>{flops}}  {row.counts[1]:>{moved}}"
        if locations and row.line:
            line += f"   {row.line}"
        yield line.rstrip()
