"""Graphs as flat, picklable data.

A packed graph is a list of plain tuples, producers first, so that a chain of any length packs without
recursion. Sizes are packed by number, variables by their store (so what is pickled together keeps
sharing), ops by name. Names of nodes and user lines come along.
"""

from __future__ import annotations

from typing import Any

from symtensor.errors import SymtensorError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr, FloorDiv, Max, Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, fresh_uid, make_node
from symtensor.ir.types import TensorType
from symtensor.ops.registry import get_op

Packed = tuple[Any, ...]


def pack_graph(graph: Graph) -> Packed:
    """Return a graph as nested tuples of plain values."""
    return _Packer().graph(graph)


def unpack_graph(packed: Packed) -> Graph:
    """Return the graph; placeholders and automatic sizes are new, variables are those packed."""
    return _Unpacker().graph(packed)


class _Packer:
    def __init__(self) -> None:
        self.symbols: dict[Symbol, int] = {}

    def graph(self, graph: Graph) -> Packed:
        nodes = graph.nodes()
        nodes += [t for t, _ in graph.updates if t not in set(nodes)]
        place = {node: i for i, node in enumerate(nodes)}
        rows = [
            (
                node.op.name,
                tuple(place[x] for x in node.inputs),
                tuple((k, self.value(v)) for k, v in node.attrs.items()),
                node.name,
                node.loc,
            )
            for node in nodes
        ]
        return (
            tuple(rows),
            tuple(place[x] for x in graph.inputs),
            tuple(place[x] for x in graph.outputs),
            tuple((place[t], place[v]) for t, v in graph.updates),
        )

    def value(self, value: Any) -> Any:
        if isinstance(value, DimExpr):
            return ("dim", self.dim(value))
        if isinstance(value, TensorType):
            return ("type", value.dtype, tuple(self.dim(d) for d in value.shape))
        if isinstance(value, Graph):
            return ("graph", self.graph(value))
        if isinstance(value, Literal):
            return ("literal", value.array, value.dtype)
        if isinstance(value, tuple):
            return ("tuple", tuple(self.value(v) for v in value))
        return ("plain", value)

    def dim(self, dim: Dim) -> Any:
        """Return an int, or terms of (coefficient, factors)."""
        if isinstance(dim, int):
            return dim
        return tuple(
            (coefficient, tuple(self.atom(a) for a in monomial)) for monomial, coefficient in dim.terms
        )

    def atom(self, atom: Any) -> Any:
        if isinstance(atom, Symbol):
            number = self.symbols.setdefault(atom, len(self.symbols))
            return ("symbol", number, D.is_global(atom), atom.name)
        if isinstance(atom, FloorDiv):
            return ("floordiv", self.dim(atom.numerator), self.dim(atom.denominator))
        assert isinstance(atom, Max)
        return ("max", self.dim(atom.left), self.dim(atom.right))


class _Unpacker:
    def __init__(self) -> None:
        self.symbols: dict[int, Dim] = {}

    def graph(self, packed: Packed) -> Graph:
        rows, inputs, outputs, updates = packed
        nodes: list[Node] = []
        for name, operands, attrs, label, loc in rows:
            values = {k: self.value(v) for k, v in attrs}
            if name == "placeholder":
                values["uid"] = fresh_uid()
            nodes.append(
                make_node(get_op(name), [nodes[i] for i in operands], values, loc=loc, name=label)
            )
        return Graph(
            tuple(nodes[i] for i in inputs),
            tuple(nodes[i] for i in outputs),
            tuple((nodes[t], nodes[v]) for t, v in updates),
        )

    def value(self, packed: Packed) -> Any:
        kind, *rest = packed
        if kind == "dim":
            return self.dim(rest[0])
        if kind == "type":
            return TensorType(rest[0], tuple(self.dim(d) for d in rest[1]))
        if kind == "graph":
            return self.graph(rest[0])
        if kind == "literal":
            return Literal(rest[0], rest[1])
        if kind == "tuple":
            return tuple(self.value(v) for v in rest[0])
        return rest[0]

    def dim(self, packed: Any) -> Dim:
        if isinstance(packed, int):
            return packed
        total: Dim = 0
        for coefficient, factors in packed:
            term: Dim = coefficient
            for factor in factors:
                term = term * self.atom(factor)
            total = total + term
        return total

    def atom(self, packed: Packed) -> Dim:
        kind, *rest = packed
        if kind == "symbol":
            number, named, name = rest
            if number not in self.symbols:
                self.symbols[number] = D.dim(name) if named else D.symbol()
            return self.symbols[number]
        if kind in ("floordiv", "max"):
            make = D.floordiv if kind == "floordiv" else D.maximum
            return make(self.dim(rest[0]), self.dim(rest[1]))
        raise SymtensorError(f"packed graph: unknown kind {kind!r}")
