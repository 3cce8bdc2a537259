"""Graph -> text.

    graph {
      %x = placeholder : f32[d0, 784]
      %W = variable : f32[784, 10]
      %0 = contract %x, %W {spec = "ab,bc->ac"} : f32[d0, 10]
      %1 = sum %0 {axes = [0, 1]} : f32[]
      inputs %x
      outputs %1
      update %W <- %7
    }

Attribute values: ``3``, ``0.5``, ``true``, ``none``, ``"text"``, ``[1, 2]``, ``<d0 + 1>`` (a dim), ``!f32``
(a dtype), ``!f32[3]`` (a type), ``dense<f32[2]: 1.0, 2.0>`` (a small array), ``literal#0`` (one kept in a
side table) and nested ``graph { … }`` bodies. Names and symbols are numbered by first appearance, so
the same program gives the same text in every process. `symtensor.ir.parser` reads it back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from symtensor.ir import dims as D
from symtensor.ir.dims import Atom, Dim, DimExpr, Symbol
from symtensor.ir.dtypes import DType
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.nesting import nestable

INLINE_ELEMENTS = 16
"""Arrays up to this many elements are printed in full."""
HIDDEN = {"placeholder": ("type", "uid"), "variable": ("type", "uid", "store"),
          "parameter": ("type",)}  # fmt: skip
"""Attributes that the text leaves out: the type stands at the end of the line, identity is the name."""
_AUTOMATIC = re.compile(r"d\d+")


class Labels:
    """Names of the nodes and dimension symbols of one graph, by first appearance."""

    def __init__(
        self, symbols: dict[Symbol, str] | None = None, written: dict[Atom, str] | None = None
    ) -> None:
        self.nodes: dict[Node, str] = {}
        self.symbols = symbols if symbols is not None else {}
        self._written = written
        """What has been written of sizes, where each part of one is written once."""
        self._taken: set[str] = set()
        self._count = 0

    def node(self, node: Node) -> str:
        """Return the label of a node: its own name for leaves, else a number."""
        if node not in self.nodes:
            self.nodes[node] = self._new_label(node)
            self._taken.add(self.nodes[node])
        return self.nodes[node]

    def _new_label(self, node: Node) -> str:
        if node.name and node.op.name in HIDDEN:
            base = re.sub(r"[^\w.]", "_", node.name, flags=re.ASCII)  # the dot: labels read back
            base = base if base[:1].isalpha() or base[:1] == "_" else f"_{base}"
            label, suffix = f"%{base}", 1
            while label in self._taken:
                label, suffix = f"%{base}.{suffix}", suffix + 1
            return label
        self._count += 1
        return f"%{self._count - 1}"

    def dim(self, dim: Dim) -> str:
        """Return the text of a size."""
        return D.format_dim(dim, self.symbol, self._written)

    def symbol(self, symbol: Symbol) -> str:
        """Return the name of a dimension: its own, or d0, d1, … for those that have none."""
        if symbol not in self.symbols:
            name = symbol.name
            if _AUTOMATIC.fullmatch(name) or not name.isidentifier():
                name = f"d{len(self.symbols)}"
            taken = set(self.symbols.values())
            while name in taken:
                name = f"d{int(name[1:]) + 1}" if _AUTOMATIC.fullmatch(name) else f"{name}_"
            self.symbols[symbol] = name
        return self.symbols[symbol]


def print_graph(
    graph: Graph,
    *,
    max_nodes: int | None = None,
    locations: bool = False,
    literals: list[Literal] | None = None,
) -> str:
    """Return the text of a graph.

    `max_nodes` prints only the head. `locations` adds the user's lines as comments. Arrays too large
    to print in full are appended to `literals`; without it they can't be read back.
    """
    return "\n".join(_Printer(locations, literals).graph(graph, 0, max_nodes))


def print_and_label(graph: Graph) -> tuple[str, Labels]:
    """Return a text that tells a graph from others, and the names that it gives to nodes and sizes.

    Each body stands in it once, and each quotient and maximum of sizes, however many share it: with others
    of which one holds the next, the text of `print_graph` would double with each.
    """
    printer = _Printer(False, None)
    printer.bodies, printer.written = {}, {}
    labels = Labels(printer.symbols, printer.written)
    return "\n".join(printer.graph(graph, 0, labels=labels)), labels


def label_graph(graph: Graph, symbols: dict[Symbol, str] | None = None) -> Labels:
    """Return the names that the text of a graph gives to its nodes and sizes.

    `symbols` are the names of sizes known before: of a body, those of the graph around it.
    """
    printer = _Printer(False, None)
    printer.symbols = {} if symbols is None else symbols
    labels = Labels(printer.symbols)
    for _ in printer.graph(graph, 0, labels=labels):
        pass
    return labels


def format_node(node: Node, labels: Labels) -> str:
    """Return the statement of a node, with the names that `labels` gives."""
    printer = _Printer(False, None)
    printer.symbols = labels.symbols
    return printer.node(node, labels, 0)


def format_attributes(node: Node, labels: Labels) -> dict[str, str]:
    """Return the text of each attribute that the IR text shows, but for bodies."""
    hidden = (*HIDDEN.get(node.op.name, ()), *node.op.bodies)
    printer = _Printer(False, None)
    return {
        name: printer.value(node.attrs[name], labels, 0)
        for name in sorted(node.attrs)
        if name not in hidden
    }


class _Printer:
    def __init__(self, locations: bool, literals: list[Literal] | None) -> None:
        self.locations = locations
        self.literals = literals if literals is not None else []
        self.places = {value: place for place, value in enumerate(self.literals)}
        self.bodies: dict[Graph, int] | None = None
        """Bodies that have been printed, where each is printed once."""
        self.written: dict[Atom, str] | None = None
        """The same of parts of sizes."""
        self.symbols: dict[Symbol, str] = {}

    def graph(
        self, graph: Graph, depth: int, max_nodes: int | None = None, labels: Labels | None = None
    ) -> Iterator[str]:
        labels = Labels(self.symbols, self.written) if labels is None else labels
        pad = "  " * (depth + 1)
        nodes = graph.all_nodes()
        yield "graph {"
        for node in nodes[:max_nodes]:
            yield pad + self.node(node, labels, depth + 1)
        if max_nodes is not None and len(nodes) > max_nodes:
            yield f"{pad}# … {len(nodes) - max_nodes} more nodes"
            yield "  " * depth + "}"
            return
        yield f"{pad}inputs {', '.join(map(labels.node, graph.inputs))}".rstrip()
        yield f"{pad}outputs {', '.join(map(labels.node, graph.outputs))}".rstrip()
        for target, value in graph.updates:
            yield f"{pad}update {labels.node(target)} <- {labels.node(value)}"
        yield "  " * depth + "}"

    def node(self, node: Node, labels: Labels, depth: int) -> str:
        inputs = ", ".join(map(labels.node, node.inputs))
        text = f"{labels.node(node)} = {node.op.name}{' ' if inputs else ''}{inputs}"
        hidden = HIDDEN.get(node.op.name, ())
        attrs = [f"{name} = {self.value(node.attrs[name], labels, depth)}"
                 for name in sorted(node.attrs) if name not in hidden]  # fmt: skip
        if attrs:
            text += f" {{{', '.join(attrs)}}}"
        text += f" : {format_type(node.type, labels)}"
        if self.locations and node.loc is not None:
            text += f"  # {node.loc}"
        return text

    def value(self, value: Any, labels: Labels, depth: int) -> str:
        """Return the text of an attribute value."""
        if isinstance(value, tuple):
            return f"[{', '.join(self.value(v, labels, depth) for v in value)}]"
        if isinstance(value, DimExpr):
            return f"<{labels.dim(value)}>"
        if isinstance(value, TensorType):
            return f"!{format_type(value, labels)}"
        if isinstance(value, Literal):
            return self.literal(value)
        if isinstance(value, Graph):
            return self.body(value, depth)
        return format_leaf(value)

    @nestable
    def body(self, value: Graph, depth: int) -> str:
        if self.bodies is not None:
            if value in self.bodies:
                return f"graph#{self.bodies[value]}"
            self.bodies[value] = len(self.bodies)
        return "\n".join(self.graph(value, depth))

    def literal(self, value: Literal) -> str:
        array = value.array
        if array.size <= INLINE_ELEMENTS:
            shape = ", ".join(map(str, array.shape))
            items = ", ".join(_format_element(v, value.dtype) for v in array.ravel())
            return f"dense<{value.dtype.short}[{shape}]: {items}>"
        if value not in self.places:
            self.places[value] = len(self.literals)
            self.literals.append(value)
        return f"literal#{self.places[value]}"


def format_type(type_: Any, labels: Labels) -> str:
    """Return the text of a type, or of a tuple of them, with the names that `labels` gives to sizes."""
    if isinstance(type_, TensorType):
        shape = ", ".join(map(labels.dim, type_.shape))
        return f"{type_.dtype.short}[{shape}]"
    return f"({', '.join(format_type(t, labels) for t in type_)})"


def format_leaf(value: Any) -> str:
    """Return the text of a leaf: a number, a word, a string, a dtype, or a mark for what has none."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, DType):
        return f"!{value.short}"
    return f"@{getattr(value, '__name__', type(value).__name__)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _format_element(value: Any, dtype: DType) -> str:
    if dtype.is_bool:
        return str(bool(value)).lower()
    return format_float(float(value)) if dtype.is_floating else str(int(value))


def format_float(value: float) -> str:
    """Return the shortest text that reads back as the same float."""
    if math.isnan(value):
        return "nan" if math.copysign(1.0, value) > 0 else "-nan"
    return repr(float(value))
