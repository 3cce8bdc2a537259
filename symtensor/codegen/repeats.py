"""Repeated work: kernels of one graph that compute the same are read, placed and emitted once.

A network repeats its layers and its updates. What the code of a kernel depends on is the form of the
nodes in it (ops, attributes, types and how they are connected) and which of its operands share a
buffer; where the buffers lie is the driver's to say.
"""

from __future__ import annotations

from collections.abc import Hashable

from symtensor.codegen import stage
from symtensor.codegen.schedule import KernelStep, storage_node
from symtensor.ir.node import Node


def form_of(step: KernelStep) -> tuple[Hashable, tuple[Node, ...]]:
    """Return the form of a kernel, and the stored nodes it touches.

    Of two steps of equal form, the code of one serves the other: stored node for stored node.
    """
    touched = {root: i for i, root in enumerate(step.roots)}
    numbers: dict[Node, int] = {}
    form: list[Hashable] = [len(step.roots), len(step.columns)]
    for node in step.in_order():
        numbers[node] = len(numbers)
        if stage.is_scalar_source(node):
            form.append(node)  # its value is part of the code
        elif node in step.inlined:
            inputs = tuple(numbers[x] for x in node.inputs)
            form.append((node.op, stage.attribute_key(node), node.type, inputs))
        else:
            stored = storage_node(node)
            place = touched.setdefault(stored, len(touched))
            form.append((place, stored.tensor_type.dtype, node.type))
    form += [numbers[root] for root in step.roots]
    return tuple(form), tuple(touched)
