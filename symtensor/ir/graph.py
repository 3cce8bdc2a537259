"""Graphs: what goes in, what comes out, and everything between.

A `Graph` is a frozen view on interned nodes; it owns nothing and several graphs share nodes. Order
is always producers first, depth first from the outputs, hence the same for the same graph in every
process. Traversals are iterative: a chain of a million nodes is a chain, not a stack overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any

from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr, Symbol
from symtensor.ir.node import Node, body_graphs, make_node, map_attribute
from symtensor.nesting import nestable

RebuildRule = Callable[[Node, tuple[Node, ...]], Node]
"""``(old node, its new inputs) -> new node``."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Inputs (placeholders or parameters), outputs and simultaneous updates of variables."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    updates: tuple[tuple[Node, Node], ...] = ()
    """``(variable, its next value)`` pairs; all next values are computed from old values."""
    _order: list[Node] = field(default_factory=list, init=False, repr=False, compare=False)
    """What `nodes` returned: graphs never change, and everybody asks for their order."""

    @property
    def roots(self) -> tuple[Node, ...]:
        """Everything a call must compute: outputs, then next values."""
        return self.outputs + tuple(new for _, new in self.updates)

    def nodes(self) -> list[Node]:
        """Return all nodes the roots need and all inputs, producers first."""
        if not self._order:
            self._order.extend(toposort(self.inputs + self.roots))
        return list(self._order)

    def all_nodes(self) -> list[Node]:
        """Return `nodes`, then the updated variables that nothing reads."""
        found = self.nodes()
        seen = set(found)
        return found + [target for target, _ in self.updates if target not in seen]

    def variables(self) -> list[Node]:
        """Return the variables read or updated, in order of first use."""
        return [n for n in self.all_nodes() if n.op.name == "variable"]

    def users(self) -> dict[Node, list[Node]]:
        """Return for each node the nodes that read it, in order; roots count as no user."""
        out: dict[Node, list[Node]] = {}
        for node in self.nodes():
            out.setdefault(node, [])
            for x in dict.fromkeys(node.inputs):
                out[x].append(node)
        return out

    def map(self, rebuild: RebuildRule) -> Graph:
        """Return the graph rebuilt bottom-up; the same object when nothing changed."""
        new: dict[Node, Node] = {}
        for node in self.nodes():
            new[node] = rebuild(node, tuple([new[x] for x in node.inputs]))
        if all(map(is_, new, new.values())):
            return self
        return Graph(
            tuple(new[x] for x in self.inputs),
            tuple(new[x] for x in self.outputs),
            tuple((target, new[value]) for target, value in self.updates),
        )

    def __repr__(self) -> str:
        return f"<Graph {len(self.inputs)} inputs, {len(self.roots)} roots>"


def toposort(roots: Iterable[Node]) -> list[Node]:
    """Return the nodes that `roots` depend on, producers first, depth first, iteratively."""
    order: list[Node] = []
    done: set[Node] = set()
    for root in roots:
        stack = [(root, 0)]
        while stack:
            node, position = stack.pop()
            if node in done:
                continue
            inputs = node.inputs
            while position < len(inputs) and inputs[position] in done:
                position += 1
            if position < len(inputs):
                stack.append((node, position + 1))
                stack.append((inputs[position], 0))
            else:
                done.add(node)
                order.append(node)
    return order


def nested_bodies(nodes: Iterable[Node]) -> list[Graph]:
    """Return the bodies of nodes and all bodies within them, once each, the innermost first."""
    done: dict[Graph, None] = {}
    stack = [(body, False) for node in nodes for body in body_graphs(node)]
    while stack:
        body, looked_into = stack.pop()
        if looked_into:
            done[body] = None
        elif body not in done:
            stack.append((body, True))
            stack += [(inner, False) for node in body.nodes() for inner in body_graphs(node)]
    return list(done)


def rebuild_nodes(roots: Sequence[Node], rebuild: RebuildRule) -> dict[Node, Node]:
    """Return old node -> new node for everything below `roots`, built producers first."""
    new: dict[Node, Node] = {}
    for node in toposort(roots):
        new[node] = rebuild(node, tuple([new[x] for x in node.inputs]))
    return new


def replace_nodes(
    roots: Sequence[Node],
    replacements: Mapping[Node, Node],
    sizes: Mapping[Symbol, Dim] | None = None,
) -> list[Node]:
    """Return `roots` with nodes replaced (simultaneously) and dimension symbols substituted."""
    sizes = sizes or {}

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        found = replacements.get(node)
        if found is not None:
            return found
        if not sizes:
            return node.with_inputs(inputs)
        attrs = {k: substitute_attribute(v, sizes) for k, v in node.attrs.items()}
        return make_node(node.op, inputs, attrs, loc=node.loc, name=node.name)

    new = rebuild_nodes(roots, rebuild)
    return [new[root] for root in roots]


def substitute_attribute(value: Any, sizes: Mapping[Symbol, Dim]) -> Any:
    """Return an attribute value with dimension symbols replaced, inside bodies and types too."""

    def change(leaf: Any) -> Any:
        if isinstance(leaf, DimExpr):
            return D.substitute(leaf, sizes)
        if isinstance(leaf, Graph):
            return substitute_graph(leaf, sizes)
        substitute = getattr(leaf, "substitute", None)  # TensorType
        return leaf if substitute is None else substitute(sizes)

    return map_attribute(value, change)


@nestable
def substitute_graph(graph: Graph, sizes: Mapping[Symbol, Dim]) -> Graph:
    """Return a graph with dimension symbols replaced everywhere."""
    roots = graph.inputs + graph.roots
    new = replace_nodes(roots, {}, sizes)
    n, m = len(graph.inputs), len(graph.outputs)
    targets = [target for target, _ in graph.updates]
    return Graph(
        tuple(new[:n]),
        tuple(new[n : n + m]),
        tuple(zip(targets, new[n + m :], strict=True)),
    )
