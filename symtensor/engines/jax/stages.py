"""Parts of a graph that become one XLA program each, and the nodes between them.

XLA must know all sizes when it compiles. A node that finds out a size of its own result while it
runs (a loop with `until`, `arange` of tensors) can't be part of a program: it runs on the host, by
its NumPy rule, once everything it reads is there; what depends on it, or on its size, waits for the
next program. So do call-outs on a mesh: inside a program they would wait for devices which wait for
each other. Nearly all graphs are one part without such nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node
from symtensor.ops.inputs import CONSTANT
from symtensor.passes.sizes import walk_sizes


@dataclass(frozen=True, slots=True)
class Stage:
    """One program: what it computes, reads and gives; then nodes for the host."""

    nodes: list[Node] = field(default_factory=list)
    late: list[Node] = field(default_factory=list)
    """Nodes that run on the host after the program, in order."""
    takes: list[Node] = field(default_factory=list)
    gives: list[Node] = field(default_factory=list)


LARGE = 1 << 14
"""Bytes from which a constant is an argument: in the program it would be compiled, and copied."""


def large_constants(graph: Graph) -> list[Node]:
    """Return the constants that programs take as arguments."""
    constants = (node for node in graph.nodes() if node.op is CONSTANT)
    return [node for node in constants if node.attrs["value"].array.nbytes >= LARGE]


def split(graph: Graph, on_host: Callable[[Node], bool]) -> list[Stage]:
    """Return the parts of a graph in the order in which they run; none has nodes `on_host`."""
    leaves = [*graph.inputs, *graph.variables(), *large_constants(graph)]
    stages = _assigned(graph, leaves, on_host)
    computed_in: dict[Node, Stage | None] = dict.fromkeys(leaves)
    for stage in stages:
        computed_in |= dict.fromkeys(stage.nodes, stage) | dict.fromkeys(stage.late)
    for stage in stages:
        read = dict.fromkeys(x for node in stage.nodes for x in node.inputs)
        stage.takes.extend(x for x in read if computed_in[x] is not stage)
    wanted = dict.fromkeys([*graph.roots, *(x for s in stages for x in s.takes)])
    wanted |= dict.fromkeys(x for s in stages for node in s.late for x in node.inputs)
    for node in wanted:
        maker = computed_in[node]
        if maker is not None:
            maker.gives.append(node)
    return stages


def _assigned(graph: Graph, leaves: list[Node], on_host: Callable[[Node], bool]) -> list[Stage]:
    """Return stages with their nodes: each node in the first that has all it reads."""
    stages = [Stage()]
    left: set[Node] = set()
    """Nodes for the host."""
    ready: dict[Node | Symbol, int] = dict.fromkeys(leaves, 0)
    for node, used, unknown in walk_sizes(graph):
        if node in ready:
            continue
        needed: list[Node | Symbol] = [*node.inputs, *(used - unknown)]
        at = max((ready.get(x, 0) for x in needed), default=0)
        late = bool(unknown) or on_host(node) or (node.op is RESULT and node.inputs[0] in left)
        while len(stages) < at + 1 + late:
            stages.append(Stage())
        stage = stages[at]
        (stage.late if late else stage.nodes).append(node)
        if late:
            left.add(node)
        ready[node] = at + late
        ready |= dict.fromkeys(unknown, at + late)
    return stages
