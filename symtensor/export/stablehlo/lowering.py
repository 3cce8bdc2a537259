"""Graphs to StableHLO, node by node."""

from __future__ import annotations

from collections.abc import Sequence

from symtensor.errors import LoweringError
from symtensor.export.stablehlo.ops import LOWERINGS
from symtensor.export.stablehlo.places import view
from symtensor.export.stablehlo.reductions import reduction
from symtensor.export.stablehlo.words import Words
from symtensor.export.stablehlo.writer import Value, Writer
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node
from symtensor.ops.families import Elementwise, Reduction, View

Values = dict[Node, tuple[Value, ...]]


def covers(node: Node) -> bool:
    """Return True when the op of a node has a StableHLO form."""
    name, family = node.op.name, node.op.family
    if name == "nextafter":
        return False
    if name == "scan" and node.attrs["until"]:
        return False
    return (
        node.op is RESULT
        or name in ("placeholder", "variable", "parameter")
        or name in LOWERINGS
        or isinstance(family, (Elementwise, View, Reduction))
    )


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


class Lowering:
    """Writes graphs node by node; a node of several results has several values."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def graph(self, graph: Graph, values: Values) -> list[Value]:
        """Append the nodes of a graph whose leaves have `values`; return the values of its roots."""
        for node in graph.nodes():
            if node in values:
                continue
            if node.op is RESULT:
                values[node] = (values[node.inputs[0]][node.attrs["index"]],)
                continue
            values[node] = self._node(node, [values[x][0] for x in node.inputs])
        return [values[root][0] for root in graph.roots]

    def _node(self, node: Node, xs: list[Value]) -> tuple[Value, ...]:
        family = node.op.family
        try:
            if node.op.name in LOWERINGS:
                found = LOWERINGS[node.op.name](self, node, *xs)
                return found if isinstance(found, tuple) else (found,)
            if isinstance(family, Elementwise):
                shape = tuple(int(d) for d in node.tensor_type.shape)
                return (family.scalar(Words(self.writer, shape), *xs, **node.attrs),)
            if isinstance(family, Reduction):
                return (reduction(self.writer, node, xs[0]),)
            return (view(self.writer, node, xs[0]),)
        except LoweringError as error:
            error.add_context(node.op.name, [], node.loc)
            raise

    def body(self, graph: Graph, arguments: Sequence[Value]) -> list[Value]:
        """Append a body graph on values for its parameters."""
        return self.graph(graph, {n: (x,) for n, x in zip(graph.inputs, arguments, strict=True)})
