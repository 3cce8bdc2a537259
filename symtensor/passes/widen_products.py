"""Products of half and bfloat16 as products of float32: what they mean, in words engines have.

Before: %2 = contract %0, %1 : f16
After:  %2 = cast (contract (cast %0), (cast %1)) : f16, the product in f32
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import location
from symtensor.ir.dtypes import float32
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops.build import cast_to
from symtensor.ops.families import Contraction
from symtensor.passes.rewrite import note


def widen_products(graph: Graph, fired: Counter[str]) -> Graph:
    """Let products of narrow floats run in float32, which they add up in anyway."""

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        node = node.with_inputs(inputs)
        if not isinstance(node.op.family, Contraction):
            return node
        dtype = node.tensor_type.dtype
        if not dtype.is_floating or dtype.bits != 16:
            return node
        with location.at(node.loc):
            wide = [cast_to(Tensor(x), float32).node for x in node.inputs]
            narrow = cast_to(Tensor(make_node(node.op, wide, node.attrs)), dtype).node
        note(fired, "widen a product", node, narrow)
        return narrow

    return graph.map(rebuild)
