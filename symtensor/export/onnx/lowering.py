"""Graphs to ONNX, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import helper, numpy_helper

from symtensor.export.graph_lowering import GraphLowering, has_form
from symtensor.export.onnx.ops import LOWERINGS, reduction, view
from symtensor.export.onnx.writer import DTYPES, Value, Words, Writer
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.printer import Labels, format_attributes
from symtensor.ir.types import TensorType

OPSET, IR_VERSION = 21, 10
DOMAIN = "symtensor"
"""Of ops without an ONNX form."""
WORDLESS = {"nextafter", "arctan2", "lgamma", "digamma"}
"""Elementwise ops whose words ONNX has no means to express accurately."""

Values = dict[Node, tuple[Value, ...]]


def covers(node: Node) -> bool:
    """Return True when the op of a node has an ONNX form."""
    if node.op.name in WORDLESS or (node.op.name == "scan" and node.attrs["until"]):
        return False
    return has_form(node, LOWERINGS)


def lower_model(graph: Graph) -> onnx.ModelProto:
    """Return the model of a graph."""
    writer, labels = Writer(), Labels()
    lowering = Lowering(writer, labels)
    values: Values = {}
    inputs = []
    for node in graph.inputs:
        value = lowering.leaf(node, values)
        inputs.append(value_info(value.name, node.tensor_type, labels))
    for node in graph.variables():
        if node not in values:
            value = lowering.leaf(node, values)
            tensor = numpy_helper.from_array(node.attrs["store"].array, value.name)
            writer.initializers[value.name] = tensor
    found = lowering.graph(graph, values)
    outputs = [
        lowering.output(value, root.tensor_type, name)
        for value, root, name in zip(found, graph.roots, _root_names(graph, labels), strict=True)
    ]
    tensors = list(writer.initializers.values())
    body = helper.make_graph(writer.nodes, "symtensor", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="symtensor"
    )


def _root_names(graph: Graph, labels: Labels) -> list[str]:
    names = [
        f"output{i}" if len(graph.outputs) > 1 else "output" for i in range(len(graph.outputs))
    ]
    return names + [f"next {labels.node(target)[1:]}" for target, _ in graph.updates]


def value_info(name: str, type_: TensorType, labels: Labels) -> onnx.ValueInfoProto:
    """Return the declaration of a tensor; a symbolic size is a named dimension."""
    from symtensor.ir.dims import format_dim

    shape = [d if isinstance(d, int) else format_dim(d, labels.symbol) for d in type_.shape]
    return helper.make_tensor_value_info(name, DTYPES[type_.dtype.name], shape)


class Lowering(GraphLowering[Value]):
    """Writes graphs into an ONNX graph."""

    forms = LOWERINGS

    def __init__(self, writer: Writer, labels: Labels) -> None:
        self.writer = writer
        self.labels = labels

    def leaf(self, node: Node, values: Values) -> Value:
        """Return the value of an input or variable, under its own name."""
        type_ = node.tensor_type
        value = Value(self.writer.fresh(self.labels.node(node)[1:]), type_.dtype, type_.ndim)
        self.writer.bind(value, type_)
        values[node] = (value,)
        return value

    def output(self, value: Value, type_: TensorType, name: str) -> onnx.ValueInfoProto:
        """Copy a value to an output of the graph and return the declaration of that."""
        name = self.writer.fresh(name)
        self.writer.add("Identity", [value], [name])
        return value_info(name, type_, self.labels)

    def node(self, node: Node, xs: list[Value]) -> tuple[Value, ...]:
        """Append a node, one without a form in our own domain; note the user's line and the types."""
        self.writer.remark = node.loc.describe() if node.loc is not None else ""
        found = super().node(node, xs) if covers(node) else self._custom(node, xs)
        for value, type_ in zip(found, types_of(node), strict=True):
            self.writer.bind(value, type_)
        return found

    def elementwise(self, node: Node, xs: list[Value]) -> Value:
        value: Value = node.op.family.scalar(Words(self.writer), *xs, **node.attrs)
        whole = value.ndim == node.tensor_type.ndim
        return value if whole else self.writer.expand(value, node.tensor_type.shape)

    def reduction(self, node: Node, x: Value) -> Value:
        return reduction(self.writer, node, x)

    def view(self, node: Node, x: Value) -> Value:
        return view(self.writer, node, x)

    def _custom(self, node: Node, xs: list[Value]) -> tuple[Value, ...]:
        """Append a node of our own domain, its attributes as text."""
        types = types_of(node)
        outputs = [Value(self.writer.fresh(), t.dtype, t.ndim) for t in types]
        texts = format_attributes(node, self.labels)
        names = [x.name for x in outputs]
        self.writer.add(node.op.name, xs, names, domain=DOMAIN, **texts)
        return tuple(outputs)

    def body(
        self,
        graph: Graph,
        arguments: Mapping[Node, Value],
        extra: Sequence[onnx.ValueInfoProto] = (),
        first: Any = None,
    ) -> onnx.GraphProto:
        """Return a body graph as a graph inside this one.

        `arguments` are outer values for its parameters; the others become its inputs, after `extra`.
        `first` makes outputs that come before its own from those.
        """
        inner = Lowering(self.writer.inner(), self.labels)
        values: Values = {node: (value,) for node, value in arguments.items()}
        inputs = [*extra]
        for node in graph.inputs:
            if node not in values:
                value = inner.leaf(node, values)
                inputs.append(value_info(value.name, node.tensor_type, self.labels))
        found = inner.graph(graph, values)
        outputs = [] if first is None else first(inner, found)
        outputs += [
            inner.output(value, root.tensor_type, inner.writer.fresh("out"))
            for value, root in zip(found, graph.roots, strict=True)
        ]
        return helper.make_graph(inner.writer.nodes, inner.writer.fresh("body"), inputs, outputs)


def types_of(node: Node) -> tuple[TensorType, ...]:
    """Return the types of all results of a node."""
    return node.type if isinstance(node.type, tuple) else (node.type,)
