"""Sums that matrix products compute: what is added to a product is where its tiles start to write.

In: a graph. Out: the sums of which one operand is a product that nothing else reads, and the other one
is in memory anyway, laid out as the product writes its result or repeated over its rows. So a sum of
several products is one chain of them, and an offset costs no pass over memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symtensor.codegen import contraction, stage
from symtensor.codegen.contraction import Plan
from symtensor.codegen.schedule import SOURCES
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node


def sums_of_products(graph: Graph, users: Mapping[Node, Sequence[Node]]) -> dict[Node, Node]:
    """Return the sums that products compute, each with its product."""
    found: dict[Node, Node] = {}
    roots = set(graph.roots)
    for node in graph.nodes():
        if node.op.name != "add" or node.inputs[0] is node.inputs[1]:
            continue  # what is added to itself must be there before
        for addend, product in (node.inputs, reversed(node.inputs)):
            alone = contraction.is_native(product) and product not in roots
            if alone and list(users[product]) == [node] and _is_stored(addend, found):
                if _fits(product, addend):
                    found[node] = product
                break
    return found


def _is_stored(node: Node, sums: Mapping[Node, Node]) -> bool:
    """Return True for what has a buffer whatever reads it, and for views of that."""
    while stage.view_map(node) is not None:
        node = node.inputs[0]
    source = node.op.name in SOURCES or node.op is RESULT
    return source or contraction.is_native(node) or node in sums


def _fits(product: Node, addend: Node) -> bool:
    """Return True when an addend lies as the result does: the same loops, side by side along a row."""
    alone, together = contraction.plan(product)[0], contraction.plan(product, addend)[0]
    if _sizes(alone) != _sizes(together):
        return False
    sides = (together.rows, together.columns)
    return all(D.same(x.strides[3], 1) for x in sides if D.same(x.strides[2], 1))


def _sizes(plan: Plan) -> list[Dim]:
    labels = (plan.rows, plan.columns, *plan.loops)
    return [label.size for label in labels]
