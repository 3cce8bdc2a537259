"""Which op an engine computes in another way than the reference.

In: the graph that an engine compiled, and the arguments of a call whose results were others. Every
elementwise node is computed by the engine alone, from the operands that the reference gives it; the first
whose result differs is to blame. A scalar rule that contradicts its op's `evaluate` rule is found so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symtensor.checking.agreement import differing
from symtensor.engines.base import Engine, Executable
from symtensor.errors import Operand
from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, freeze, has_dims, make_node
from symtensor.ops.families import Elementwise
from symtensor.ops.inputs import placeholder
from symtensor.ops.interpret import Array, run_graph


def first_to_differ(
    engine: Engine, graph: Graph, inputs: Sequence[Array], variables: Mapping[Node, Array]
) -> Operand | None:
    """Return what to say of the first node that the engine computes otherwise, and its line."""
    alone: dict[Any, Executable] = {}
    found: list[Operand] = []

    def watch(node: Node, operands: Sequence[Any], value: Any) -> Any:
        if not found and _can_stand_alone(node):
            key = node.op, freeze(tuple(node.attrs.items())), tuple(x.dtype for x in operands)
            if key not in alone:
                alone[key] = engine.compile(_graph_of(node))
            flat = [np.ascontiguousarray(x).reshape(-1) for x in operands]
            (own,) = alone[key](flat, [])
            found.extend(_differences(engine, node, flat, own, np.asarray(value).reshape(-1)))
        return value

    run_graph(graph, inputs, variables, watch=watch)
    return found[0] if found else None


def _can_stand_alone(node: Node) -> bool:
    dims = any(map(has_dims, node.attrs.values()))
    return isinstance(node.op.family, Elementwise) and bool(node.inputs) and not dims


def _graph_of(node: Node) -> Graph:
    """Return a node as a graph of its own, over vectors of any length."""
    length = D.symbol()
    inputs = [placeholder((length,), x.tensor_type.dtype).node for x in node.inputs]
    return Graph(tuple(inputs), (make_node(node.op, inputs, node.attrs),))


def _differences(
    engine: Engine, node: Node, operands: Sequence[Array], own: Array, truth: Array
) -> list[Operand]:
    places = np.flatnonzero(differing(own, truth))
    if not places.size:
        return []
    at = int(places[0])
    arguments = ", ".join(str(x[at]) for x in operands)
    return [
        Operand(
            f"{node.op.name}({arguments}) is {own[at]} on {engine.name}, {truth[at]} by its rule `evaluate`",
            node.loc,
        )
    ]
