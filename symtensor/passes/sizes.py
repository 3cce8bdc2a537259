"""Which sizes a graph uses, and what decides them.

A size is decided by an input that has it, or by the first node that finds it out while it runs: an
``until`` ends a loop, a mask selects so many rows. Such a node must come before everything else that
has the size, though no edge may say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from symtensor.ir import dims as D
from symtensor.ir.dims import DimExpr, Symbol
from symtensor.ir.graph import Graph, toposort
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType


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
    pending, seen = [(graph, frozenset(known))], set()
    while pending:
        inner, outside = pending.pop()
        if (inner, outside) in seen:  # deep graphs have the same bodies again and again
            continue
        seen.add((inner, outside))
        outside |= sizes_of([*inner.inputs, *inner.variables()])
        for node, used, unknown in walk_sizes(inner, outside):
            if unknown:
                return True
            outside |= used
            pending += [(node.attrs[name], outside) for name in node.op.bodies]
    return False


def sizes_are_decided(graph: Graph, known: Iterable[Symbol] = ()) -> bool:
    """Return True when every size is decided before it is used, in bodies of control flow too."""
    outside = set(known) | sizes_of([*graph.inputs, *graph.variables()])
    for node, used, unknown in walk_sizes(graph, known):
        if unknown and not can_decide(node, unknown):
            return False
        outside |= used
        if not all(sizes_are_decided(node.attrs[name], outside) for name in node.op.bodies):
            return False
    return True
