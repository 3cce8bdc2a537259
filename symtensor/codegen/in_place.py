"""Results that may be written over an operand: each place is read before it is written, and not again.

In: a step. Out: pairs (result, operand) of equally many elements in the same order; whether anything else
still reads the operand is for `symtensor.codegen.slots` to say. They are sums that products compute, over
what they add to, and stacks of such sums that a loop makes, over the sequence whose rows they add to.
"""

from __future__ import annotations

from collections.abc import Iterator

from symtensor.codegen import contraction
from symtensor.codegen.schedule import (
    ContractStep,
    LoopStep,
    Schedule,
    Step,
    possibly_read,
    storage_node,
)
from symtensor.ir import dims as D
from symtensor.ir.node import Node, results


def over_operands(step: Step, body: Schedule | None) -> Iterator[tuple[Node, Node]]:
    """Yield results of a step that may lie where an operand does, each with the operand's stored node."""
    if isinstance(step, ContractStep) and step.addend is not None:
        yield from _of_product(step, step.addend)
    elif isinstance(step, LoopStep) and body is not None:
        yield from _of_loop(step.node, body)


def _of_product(step: ContractStep, addend: Node) -> Iterator[tuple[Node, Node]]:
    plan, operands = contraction.plan(step.node, addend)
    left, right, over = map(storage_node, operands)
    labels = (plan.rows, plan.columns, *plan.outer)
    in_order = all(D.same(x.strides[2], x.strides[3]) for x in labels)
    (root,) = step.roots
    whole = D.same(over.tensor_type.size, root.tensor_type.size) and D.same(plan.offsets[3], 0)
    if in_order and whole and over not in (left, right):
        yield root, over


def _of_loop(loop: Node, body: Schedule) -> Iterator[tuple[Node, Node]]:
    """Yield stacks of sums over rows: a row is read by the step that writes it, and by none later."""
    graph, first = loop.attrs["body"], loop.attrs["carries"]
    rows = graph.inputs[first : first + loop.attrs["sequences"]]
    stored = [storage_node(x) for x in graph.outputs]
    outside = [storage_node(x) for x in loop.inputs]
    for number, step in enumerate(body.steps):
        for total, row in over_operands(step, None):
            if row not in rows or total not in stored[first:] or row in stored:
                continue
            array = outside[first + rows.index(row)]
            read_later = any(row in possibly_read(later) for later in body.steps[number + 1 :])
            if not read_later and outside.count(array) == 1:
                yield results(loop)[first + stored[first:].index(total)], array
