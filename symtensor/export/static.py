"""What the writers of other compilers' programs share: graphs with their inputs, fixed sizes, refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symtensor.errors import LoweringError, ShapeError
from symtensor.inspect.text import graph_of
from symtensor.ir import dims as D
from symtensor.ir.binding import bind_shapes
from symtensor.ir.graph import Graph, substitute_graph
from symtensor.ir.node import Node, body_graphs

LISTED = 5
"""Ops without a form that an error names."""


def graph_with_inputs(value: Any) -> Graph:
    """Return the graph of a tensor, graph or function; what a tensor reads becomes its inputs."""
    graph = graph_of(value)
    given = set(graph.inputs)
    free = [n for n in graph.nodes() if n.op.name == "placeholder" and n not in given]
    return Graph((*graph.inputs, *free), graph.outputs, graph.updates) if free else graph


def with_sizes(graph: Graph, inputs: Sequence[Any]) -> Graph:
    """Return the graph with all sizes fixed by shapes (or arrays) for its inputs, by position.

    Raises `ShapeError` where sizes stay open, or do not fit.
    """
    shapes = [tuple(x) if isinstance(x, (tuple, list)) else np.shape(x) for x in inputs]
    env: dict[D.Symbol, int] = {}
    if shapes and len(shapes) != len(graph.inputs):
        raise ShapeError(f"expected {len(graph.inputs)} shapes, found {len(shapes)}")
    if shapes:
        names = [n.name or f"input {i}" for i, n in enumerate(graph.inputs)]
        bind_shapes([n.tensor_type for n in graph.inputs], shapes, names, env)
    fixed = substitute_graph(graph, env) if env else graph
    for node in fixed.all_nodes():
        types = node.type if isinstance(node.type, tuple) else (node.type,)
        open_sizes = [str(d) for t in types for d in t.shape if not isinstance(d, int)]
        if open_sizes:
            error = ShapeError(
                f"the size {open_sizes[0]} is not known, and this form is for fixed sizes",
                help="pass a shape, or an array, for each input; sizes must not depend on data",
            )
            error.add_context(node.op.name, [], node.loc)
            raise error
    return fixed


def refuse_uncovered(graph: Graph, covers: Callable[[Node], bool], form: str) -> None:
    """Raise `LoweringError` naming every op, in bodies too, that has no counterpart in `form`."""
    missing: dict[str, Node] = {}
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            pending += body_graphs(node)
            if not covers(node):
                missing.setdefault(node.op.name, node)
    if not missing:
        return
    named = [f"{name} ({node.loc})" for name, node in sorted(missing.items())[:LISTED]]
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    raise LoweringError(f"ops without a form in {form}: {', '.join(named)}{more}")
