"""Graphs to StableHLO, node by node."""

from __future__ import annotations

from collections.abc import Sequence

from symtensor.export.graph_lowering import GraphLowering, has_form
from symtensor.export.stablehlo.ops import LOWERINGS
from symtensor.export.stablehlo.places import view
from symtensor.export.stablehlo.reductions import reduction
from symtensor.export.stablehlo.words import Words
from symtensor.export.stablehlo.writer import Value, Writer
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node

Values = dict[Node, tuple[Value, ...]]


def covers(node: Node) -> bool:
    """Return True when the op of a node has a StableHLO form."""
    if node.op.name == "nextafter" or (node.op.name == "scan" and node.attrs["until"]):
        return False
    return has_form(node, LOWERINGS)


def lower_module(graph: Graph) -> str:
    """Return the text of a module whose `main` computes the roots of a graph of fixed sizes."""
    writer = Writer()
    leaves = [*graph.inputs, *(v for v in graph.variables() if v not in set(graph.inputs))]
    values: Values = {node: (Value(f"%arg{i}", node.tensor_type),) for i, node in enumerate(leaves)}
    found = Lowering(writer).graph(graph, values)
    arguments = [f"{values[n][0].name}: {values[n][0].text}" for n in leaves]
    kinds = ", ".join(x.text for x in found)
    names = ", ".join(x.name for x in found)
    return "\n".join(
        [
            "module @symtensor {",
            f"  func.func public @main({', '.join(arguments)}) -> ({kinds}) {{",
            *writer.lines,
            f"    return {names} : {kinds}" if found else "    return",
            "  }",
            "}",
            "",
        ]
    )


class Lowering(GraphLowering[Value]):
    """Writes graphs into the body of a function."""

    forms = LOWERINGS

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def elementwise(self, node: Node, xs: list[Value]) -> Value:
        shape = tuple(int(d) for d in node.tensor_type.shape)
        value: Value = node.op.family.scalar(Words(self.writer, shape), *xs, **node.attrs)
        return value

    def reduction(self, node: Node, x: Value) -> Value:
        return reduction(self.writer, node, x)

    def view(self, node: Node, x: Value) -> Value:
        return view(self.writer, node, x)

    def body(self, graph: Graph, arguments: Sequence[Value]) -> list[Value]:
        """Append a body graph on values for its parameters."""
        return self.graph(graph, {n: (x,) for n, x in zip(graph.inputs, arguments, strict=True)})
