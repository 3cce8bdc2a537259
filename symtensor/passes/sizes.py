"""Which sizes a graph uses, and what decides them.

A size is decided by an input that has it, or by the first node that finds it out while it runs: an
``until`` ends a loop, a mask selects so many rows. Such a node must come before everything else that
has the size, though no edge may say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from symtensor.ir import dims as D
from symtensor.ir.dims import DimExpr, Symbol
from symtensor.ir.graph import Graph, toposort
from symtensor.ir.node import Node, body_graphs
from symtensor.ir.types import TensorType
from symtensor.nesting import nestable


def symbols_of(node: Node) -> set[Symbol]:
    """Return the symbols in the type and the attributes of a node."""
    out: set[Symbol] = set()
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    pending: list[Any] = [*node.attrs.values(), *(t.shape for t in types)]
    while pending:
        value = pending.pop()
        if isinstance(value, (list, tuple)):
            pending += value
        elif isinstance(value, DimExpr):
            out |= D.symbols_in(value)
        elif isinstance(value, TensorType):
            pending += value.shape
    return out


def sizes_of(nodes: Iterable[Node]) -> set[Symbol]:
    """Return the symbols that arrays for these nodes determine."""
    found = (D.as_symbol(d) for node in nodes for d in node.tensor_type.shape)
    return {symbol for symbol in found if symbol is not None}


def walk_sizes(
    graph: Graph, known: Iterable[Symbol] = ()
) -> Iterator[tuple[Node, set[Symbol], set[Symbol]]]:
    """Yield each needed node, producers first, the symbols it uses and the ones not decided so far.

    `known` are the sizes decided outside of the graph.
    """
    decided = sizes_of([*graph.inputs, *graph.variables()]).union(known)
    for node in toposort(graph.roots):
        used = symbols_of(node)
        unknown = used - decided
        yield node, used, unknown
        decided |= unknown


def can_decide(node: Node, unknown: set[Symbol]) -> bool:
    """Return True when a node may find out `unknown` sizes of its own result.

    A loop finds out how many steps it has run, but must know how many to run at most.
    """
    opaque = node.op.family is None and node.op.name != "dim_value"
    return opaque and unknown.isdisjoint(D.symbols_in(node.attrs.get("steps", 0)))


def has_late_sizes(graph: Graph, known: Iterable[Symbol] = ()) -> bool:
    """Return True when a size is not known before nodes, or the bodies of loops, have run.

    `known` are the sizes decided outside of the graph.
    """
    return _Judge().look_through(graph, set(known)).late


def sizes_are_decided(graph: Graph) -> bool:
    """Return True when every size is decided before it is used, in bodies of control flow too."""
    return _Judge().look_through(graph, set()).decided


class _Judgement(NamedTuple):
    """What is so of the sizes of a graph."""

    late: bool
    """Some are known only after a node has run."""
    decided: bool
    """All are decided before they are used."""


class _Judge:
    """Bodies share bodies, so each is looked through once for the sizes that it finds decided."""

    def __init__(self) -> None:
        self.judged: dict[tuple[Graph, frozenset[Symbol]], _Judgement] = {}
        self.used: dict[Graph, set[Symbol]] = {}

    @nestable
    def look_through(self, graph: Graph, outside: set[Symbol]) -> _Judgement:
        """Return the judgement on a graph, of which the symbols of `outside` are decided."""
        late, decided = False, True
        known = outside | sizes_of([*graph.inputs, *graph.variables()])
        for node, used, unknown in walk_sizes(graph, outside):
            late = late or bool(unknown)
            decided = decided and (not unknown or can_decide(node, unknown))
            known |= used
            for body in body_graphs(node):
                inner = self._of_body(body, known)
                late, decided = late or inner.late, decided and inner.decided
        return _Judgement(late, decided)

    def _of_body(self, body: Graph, known: set[Symbol]) -> _Judgement:
        key = body, frozenset(known & self._symbols(body))
        if key not in self.judged:
            self.judged[key] = self.look_through(body, known)
        return self.judged[key]

    @nestable
    def _symbols(self, graph: Graph) -> set[Symbol]:
        """Return the symbols in a graph and its bodies."""
        if graph not in self.used:
            nodes = graph.nodes()
            inside = [self._symbols(body) for node in nodes for body in body_graphs(node)]
            self.used[graph] = set().union(*map(symbols_of, nodes), *inside)
        return self.used[graph]
