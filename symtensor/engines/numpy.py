"""The reference engine: one NumPy call per node. What it returns is what a graph means."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from symtensor.engines.base import CAPABILITIES, Array
from symtensor.engines.records import Kernel
from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, results
from symtensor.ops.cost import FREE, node_cost, type_bytes
from symtensor.ops.interpret import run_graph


class NumpyEngine:
    """Interprets graphs with NumPy."""

    name = "numpy"

    def capabilities(self) -> frozenset[str]:
        return frozenset(CAPABILITIES)

    def supports(self, node: Node) -> bool:
        return True

    def compile(self, graph: Graph) -> NumpyExecutable:
        return NumpyExecutable(graph)


class NumpyExecutable:
    """A graph with its interpreter."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._variables = graph.variables()

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        state = dict(zip(self._variables, variables, strict=True))
        # copies in C order: a root may be an input, a view of one, or another root
        return [value.copy() for value in run_graph(self.graph, inputs, state)]

    def kernel_records(self) -> tuple[Kernel, ...]:
        """Return a record per node: each is a NumPy call."""
        return tuple(_record(i, node) for i, node in enumerate(_called(self.graph)))

    def profiled(self) -> ProfiledInterpreter:
        """Return the interpreter with a clock read between its calls."""
        return ProfiledInterpreter(self.graph)

    def explain(self) -> str:
        """Return what there is to say about how it runs."""
        return f"interpreted: {len(self.graph.nodes())} nodes, one NumPy call each"


def _called(graph: Graph) -> list[Node]:
    """Return the nodes that take a NumPy call."""
    return [n for n in graph.nodes() if n.op.name not in FREE and n.op is not RESULT]


class ProfiledInterpreter(NumpyExecutable):
    """The interpreter with a clock; one call at a time."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._own = set(graph.nodes())
        self._names = {node: f"k{i}" for i, node in enumerate(_called(graph))}
        self._times: dict[str, tuple[float, int]] = {}

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        state = dict(zip(self._variables, variables, strict=True))
        last = time.perf_counter()

        def watch(node: Node, operands: Sequence[Any], value: Any) -> Any:
            nonlocal last
            if node in self._own:  # not the steps inside a loop
                now = time.perf_counter()
                if node in self._names:
                    self._times[self._names[node]] = now - last, 1
                last = now
            return value

        return [value.copy() for value in run_graph(self.graph, inputs, state, watch=watch)]

    def times(self) -> dict[str, tuple[float, int]]:
        """Return by name of a kernel record seconds and runs of the last call."""
        return dict(self._times)


def _record(number: int, node: Node) -> Kernel:
    cost = node_cost(node)
    written = D.minimum(type_bytes(node.type), cost.bytes)
    return Kernel(
        name=f"k{number}",
        kind="call-out",
        nodes=(node,),
        outputs=results(node),
        reads=tuple(dict.fromkeys(node.inputs)),
        text=f"numpy {node.op.name}",
        flops=cost.flops,
        bytes_read=cost.bytes - written,
        bytes_written=written,
    )
