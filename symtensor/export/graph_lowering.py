"""Graphs to another system, node by node: the walk, and which rule says how a node looks there.

A target names its forms of ops and says how it writes what families tell: elementwise ops by their
scalar rules, reductions by their combiners, views by their maps. A node of several results has
several values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from symtensor.errors import LoweringError
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node
from symtensor.ops.families import Elementwise, Reduction, View

LEAVES = ("placeholder", "variable", "parameter")

V = TypeVar("V")
"""What stands for the result of a node in the target."""

Forms = Mapping[str, Callable[..., Any]]
"""Name of an op -> ``(lowering, node, *values) -> value`` or a tuple of values."""


def has_form(node: Node, forms: Forms) -> bool:
    """Return True when a target of these forms has one for the op of a node, or for its family."""
    named = node.op is RESULT or node.op.name in LEAVES or node.op.name in forms
    return named or isinstance(node.op.family, (Elementwise, View, Reduction))


class GraphLowering(ABC, Generic[V]):
    """Writes graphs node by node."""

    forms: ClassVar[Forms]

    def graph(self, graph: Graph, values: dict[Node, tuple[V, ...]]) -> list[V]:
        """Append the nodes of a graph whose leaves have `values`; return the values of its roots."""
        for node in graph.nodes():
            if node in values:
                continue
            if node.op is RESULT:
                values[node] = (values[node.inputs[0]][node.attrs["index"]],)
            else:
                values[node] = self.node(node, [values[x][0] for x in node.inputs])
        return [values[root][0] for root in graph.roots]

    def node(self, node: Node, xs: list[V]) -> tuple[V, ...]:
        """Append a node that has a form; return the values of its results."""
        family = node.op.family
        try:
            if node.op.name in self.forms:
                found = self.forms[node.op.name](self, node, *xs)
                return found if isinstance(found, tuple) else (found,)
            if isinstance(family, Elementwise):
                return (self.elementwise(node, xs),)
            if isinstance(family, Reduction):
                return (self.reduction(node, xs[0]),)
            return (self.view(node, xs[0]),)
        except LoweringError as error:
            error.add_context(node.op.name, [], node.loc)
            raise

    @abstractmethod
    def elementwise(self, node: Node, xs: list[V]) -> V:
        """Append an elementwise op by its scalar rule."""

    @abstractmethod
    def reduction(self, node: Node, x: V) -> V:
        """Append a reduction by its combiner."""

    @abstractmethod
    def view(self, node: Node, x: V) -> V:
        """Append a view by its map."""
