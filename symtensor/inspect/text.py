"""Graphs as IR text, both ways, and what a function makes of them as a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symtensor.engines.records import Kernel
from symtensor.errors import SymtensorError
from symtensor.ir import dims as D
from symtensor.ir import parser, printer
from symtensor.ir.dims import Dim
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops.families import View
from symtensor.ops.registry import OPS
from symtensor.ops.variables import variable


def graph_of(value: Any) -> Graph:
    """Return the graph of a tensor, a list of tensors, a graph or a compiled function."""
    if isinstance(value, Graph):
        return value
    if isinstance(value, Tensor):
        return Graph((), (value.node,))
    if isinstance(value, Node):
        return Graph((), (value,))
    if isinstance(value, (list, tuple)) and all(isinstance(x, Tensor) for x in value):
        return Graph((), tuple(x.node for x in value))
    found = getattr(value, "optimized", getattr(value, "graph", None))
    if not isinstance(found, Graph):
        raise SymtensorError(f"expected a tensor, a graph or a function, found {value!r}")
    return found


def print_graph(value: Any, **options: Any) -> str:
    """Return the IR text of whatever holds a graph; see `symtensor.ir.printer`."""
    return printer.print_graph(graph_of(value), **options)


def print_schedule(function: Any) -> str:
    """Return the steps of a compiled function: kind, code, what each reads, computes and stores.

    Nodes have the labels of ``print_graph(function.optimized)``; a comment names what is computed
    on the way. Loops have the steps of their body in braces, with the labels of that body.
    """
    lines, frames = ["schedule {"], [("", printer.label_graph(function.optimized))]
    for kernel in function.kernels:
        while not kernel.name.startswith(frames[-1][0]):
            frames.pop()
            lines.append("  " * len(frames) + "}")
        labels = frames[-1][1]
        is_loop = kernel.kind == "loop"
        lines.append("  " * len(frames) + _step(kernel, labels) + (" {" if is_loop else ""))
        if is_loop:
            body = printer.label_graph(kernel.nodes[0].attrs["body"], labels.symbols)
            frames.append((f"{kernel.name}.", body))
    return "\n".join([*lines, *("  " * depth + "}" for depth in range(len(frames) - 1, -1, -1))])


def _step(kernel: Kernel, labels: printer.Labels) -> str:
    reads = ", ".join(map(labels.node, kernel.reads))
    made = ", ".join(f"{labels.node(x)} : {printer.format_type(x.type, labels)}"
                     for x in kernel.outputs)  # fmt: skip
    hidden = {*kernel.outputs, *(node for node in kernel.nodes if isinstance(node.op.family, View))}
    inside = [node.op.name for node in kernel.nodes if node not in hidden]
    times = "" if kernel.kind != "loop" else f" x {D.format_dim(_rounds(kernel), labels.symbol)}"
    head = f"{kernel.name} = {kernel.kind} {kernel.function}{times}".rstrip()
    tail = f"  # {', '.join(inside)}" if inside and kernel.kind != "loop" else ""
    return f"{head} ({reads}) -> {made}{tail}"


def _rounds(loop: Kernel) -> Dim:
    rounds: Dim = loop.nodes[0].attrs["steps"]
    return rounds


def _zero_variable(type_: TensorType, name: str, attrs: Mapping[str, Any]) -> Node:
    if any(not isinstance(d, int) for d in type_.shape):
        raise SymtensorError(f"the variable {name} has no fixed shape: pass bind=")
    return variable(np.zeros(type_.shape, type_.dtype.numpy), name=name, **attrs).node


def parse_graph(
    text: str,
    *,
    bind: Graph | None = None,
    literals: Sequence[Literal] = (),
    file: str | None = None,
) -> Graph:
    """Return the graph that IR text describes; its nodes stand in the lines of `file`, if given.

    With `bind`, placeholders, variables and sizes are those of that graph, so that
    ``parse_graph(print_graph(g), bind=g) == g``. Otherwise they are new, variables of value zero.
    """
    return parser.parse_graph(
        text, OPS, bind=bind, literals=literals, make_variable=_zero_variable, file=file
    )
