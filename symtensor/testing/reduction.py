"""The smallest graph that still fails.

`reduce_graph` takes a graph and a test for the failure, and makes the graph smaller as long as the test
holds: it keeps fewer results, computes less of what leads to them, and feeds what it does not compute.
Large steps come first, by halving, then single nodes. The test may be anything (a subprocess, a
comparison of engines); a candidate that is no program at all simply does not fail in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from symtensor.errors import SymtensorError
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.node import RESULT, Node
from symtensor.ir.printer import INLINE_ELEMENTS
from symtensor.ir.types import TensorType
from symtensor.ops.inputs import placeholder
from symtensor.passes.sizes import sizes_of, walk_sizes

LEAVES = ("placeholder", "variable", "constant", "parameter")
Fails = Callable[[Graph], bool]


def reduce_graph(
    graph: Graph, fails: Fails, progress: Callable[[Graph], None] | None = None
) -> Graph:
    """Return a graph that still fails and of which no smaller variant does, as far as tried.

    `progress` is told each smaller graph. A graph that does not fail comes back as it is.
    """
    if not fails(graph):
        return graph
    smaller: Graph | None = graph
    while smaller is not None:
        graph = smaller
        if progress is not None:
            progress(graph)
        smaller = next((g for g in _candidates(graph) if _is_smaller(g, graph) and fails(g)), None)
    return graph


def without_large_constants(graph: Graph) -> Graph:
    """Return the graph fed with the constants that its text could not hold."""
    large = {
        node: placeholder(node.tensor_type.shape, node.tensor_type.dtype).node
        for node in graph.nodes()
        if node.op.name == "constant" and node.attrs["value"].array.size > INLINE_ELEMENTS
    }
    return _replaced(graph, large) if large else graph


def measure(graph: Graph) -> tuple[int, int, int]:
    """Return what is made smaller: computed nodes, all nodes, results and updates."""
    nodes = graph.nodes()
    computed = sum(n.op.name not in LEAVES for n in nodes)
    return computed, len(nodes), len(graph.roots) + len(graph.updates)


def _is_smaller(candidate: Graph, graph: Graph) -> bool:
    return measure(candidate) < measure(graph)


def _candidates(graph: Graph) -> Iterator[Graph]:
    """Yield smaller graphs, those that drop most first."""
    yield from _fewer_roots(graph)
    computed = [n for n in graph.nodes() if n.op.name not in LEAVES]
    for share in (2, 4, 8):
        for i in range(1, share):
            yield _head(graph, computed[: len(computed) * i // share])
        for i in range(share - 1, 0, -1):
            yield from _cut(graph, computed[: len(computed) * i // share])
    for root in graph.roots:
        for x in root.inputs:
            if isinstance(x.type, TensorType):
                yield tidy(Graph(graph.inputs, (x,)))
    for node in computed:
        yield from _cut(graph, [node])
        for x in node.inputs:
            if x.type == node.type:
                yield _replaced(graph, {node: x})


def _fewer_roots(graph: Graph) -> Iterator[Graph]:
    roots = graph.roots
    if graph.updates:
        yield tidy(Graph(graph.inputs, roots))  # the same values, as outputs
    if len(roots) > 1:
        for part in (roots[: len(roots) // 2], roots[len(roots) // 2 :]):
            yield tidy(Graph(graph.inputs, part))
        for i in range(len(roots)):
            yield tidy(Graph(graph.inputs, (*roots[:i], *roots[i + 1 :])))


def _head(graph: Graph, kept: list[Node]) -> Graph:
    """Return the graph of what `kept` computes for the rest and for the results."""
    inside = set(kept)
    read = {x for n in graph.nodes() if n not in inside for x in n.inputs} | set(graph.roots)
    out = [n for n in kept if n in read and isinstance(n.type, TensorType)]
    return tidy(Graph(graph.inputs, tuple(out)))


def _cut(graph: Graph, nodes: list[Node]) -> Iterator[Graph]:
    """Yield the graph that is fed what `nodes` compute."""
    inside = set(nodes)
    read = {x for n in graph.nodes() if n not in inside for x in n.inputs}
    changes = {}
    for node in nodes:
        if node in read and isinstance(node.type, TensorType) and node.op is not RESULT:
            changes[node] = placeholder(node.type.shape, node.type.dtype).node
    if changes:
        yield _replaced(graph, changes)


def _replaced(graph: Graph, changes: dict[Node, Node]) -> Graph:
    roots = replace_nodes(graph.roots, changes)
    count = len(graph.outputs)
    updates = zip((target for target, _ in graph.updates), roots[count:], strict=True)
    fed = [x for x in changes.values() if x.op.name == "placeholder" and x not in graph.inputs]
    return tidy(Graph((*graph.inputs, *fed), tuple(roots[:count]), tuple(updates)))


def tidy(graph: Graph) -> Graph:
    """Return the graph with only the inputs that its results, or the sizes in them, need."""
    reached = set(toposort(graph.roots))
    kept = [x for x in graph.inputs if x in reached]
    try:
        used = set().union(*(symbols for _, symbols, _ in walk_sizes(graph)))
    except SymtensorError:
        return graph
    for x in graph.inputs:
        if x not in reached and (sizes_of([x]) & used) - sizes_of([*kept, *graph.variables()]):
            kept.append(x)
    return Graph(tuple(x for x in graph.inputs if x in set(kept)), graph.outputs, graph.updates)
