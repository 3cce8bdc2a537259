"""Results that may be written over an operand: each place is read before it is written, and not again.

In: a step. Out: pairs (result, operand) of equally many elements; whether anything else still reads the
operand is for `symtensor.codegen.slots` to say. They are sums that products compute, over what they add to;
what kernels store, over what they load where they store it; and stacks of such results that a loop makes,
over the sequence whose rows they lie over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from symtensor.codegen import contraction
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Indirect,
    Kernel,
    Let,
    Loop,
    Reduce,
    Reload,
    Stmt,
    Store,
)
from symtensor.codegen.schedule import (
    ContractStep,
    KernelStep,
    LoopStep,
    Schedule,
    Step,
    possibly_read,
    storage_node,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.node import Node, results

Lowering = Callable[[KernelStep], tuple[Kernel, Sequence[Node]]]
"""Returns the loop tree of a kernel, and the stored nodes that its buffers are."""


def over_operands(
    step: Step, body: Schedule | None, lowering: Lowering
) -> Iterator[tuple[Node, Node]]:
    """Yield results of a step that may lie where an operand does, each with the operand's stored node."""
    if isinstance(step, ContractStep) and step.addend is not None:
        yield from _of_product(step, step.addend)
    elif isinstance(step, KernelStep):
        yield from _of_kernel(step, *lowering(step))
    elif isinstance(step, LoopStep) and body is not None:
        yield from _of_loop(step.node, body, lowering)


def _of_product(step: ContractStep, addend: Node) -> Iterator[tuple[Node, Node]]:
    plan, operands = contraction.plan(step.node, addend)
    left, right, over = map(storage_node, operands)
    labels = (plan.rows, plan.columns, *plan.outer)
    in_order = all(D.same(x.strides[2], x.strides[3]) for x in labels)
    (root,) = step.roots
    whole = D.same(over.tensor_type.size, root.tensor_type.size) and D.same(plan.offsets[3], 0)
    if in_order and whole and over not in (left, right):
        yield root, over


def _of_loop(loop: Node, body: Schedule, lowering: Lowering) -> Iterator[tuple[Node, Node]]:
    """Yield stacks whose rows lie over others: no step after the one that writes a row reads it."""
    graph, first = loop.attrs["body"], loop.attrs["carries"]
    rows = graph.inputs[first : first + loop.attrs["sequences"]]
    stored = [storage_node(x) for x in graph.outputs]
    outside = [storage_node(x) for x in loop.inputs]
    for number, step in enumerate(body.steps):
        for root, row in over_operands(step, None, lowering):
            if row not in rows or root not in stored[first:] or row in stored:
                continue
            array = outside[first + rows.index(row)]
            read_later = any(row in possibly_read(later) for later in body.steps[number + 1 :])
            if not read_later and outside.count(array) == 1:
                yield results(loop)[first + stored[first:].index(root)], array


class _Access(NamedTuple):
    """A load or a store."""

    body: int
    """Which list of statements it stands in."""
    number: int
    """Its place there."""
    at: Affine
    loops: tuple[Axis, ...]
    """The loops around it."""


Accesses = dict[Buffer, list[_Access]]


def _of_kernel(
    step: KernelStep, kernel: Kernel, nodes: Sequence[Node]
) -> Iterator[tuple[Node, Node]]:
    """Yield roots over operands; no two over one."""
    loads: Accesses = {}
    stores: Accesses = {}
    _collect(kernel.body, (), loads, stores)
    node_of = dict(zip(kernel.buffers, nodes, strict=True))
    for written, writing in stores.items():
        root = node_of[written]
        if written in loads or not _writes_once(writing, root.tensor_type.size):
            continue
        for read, reading in loads.items():
            alike = node_of[read].tensor_type.dtype is root.tensor_type.dtype
            alike = alike and D.same(node_of[read].tensor_type.size, root.tensor_type.size)
            if alike and read not in stores and _are_read_first(reading, writing):
                yield root, node_of[read]
                del loads[read]
                break


def _collect(
    body: Sequence[Stmt], loops: tuple[Axis, ...], loads: Accesses, stores: Accesses
) -> None:
    """Note the accesses of a loop tree. A loop in tiles counts twice, so that nothing in it fits: what it
    reads is transposed before its body runs."""
    for number, stmt in enumerate(body):
        if isinstance(stmt, Loop):
            around = (*loops, stmt.axis, *([stmt.axis] if stmt.tiled else []))
            _collect(stmt.body, around, loads, stores)
        elif isinstance(stmt, Reduce):
            _collect(stmt.body, loops, loads, stores)
        elif isinstance(stmt, Store):
            access = _Access(id(body), number, stmt.at, loops)
            stores.setdefault(stmt.buffer, []).append(access)
        elif isinstance(stmt, Reload):
            loads.setdefault(stmt.buffer, []).append(_Access(0, number, stmt.at, loops))
        elif isinstance(stmt, Let) and stmt.value.kind == "load":
            buffer, at = stmt.value.data
            loads.setdefault(buffer, []).append(_Access(id(body), number, at, loops))


def _writes_once(stores: Sequence[_Access], size: Dim) -> bool:
    """Return True where one body stores all elements, each once: as many as there are."""
    count: Dim = 0
    for body, _, at, loops in stores:
        axes = [axis for axis, _ in at.terms]
        plain = len(axes) == len(loops) and set(axes) == set(loops)
        if not plain or body != stores[0].body or any(isinstance(axis, Indirect) for axis in axes):
            return False
        count = count + D.product(axis.extent for axis in axes)
    return D.same(count, size)


def _are_read_first(loads: Sequence[_Access], stores: Sequence[_Access]) -> bool:
    """Return True where each load is of a place that its own round stores later."""
    later = {(store.body, store.at): store.number for store in stores}
    return all(load.number < later.get((load.body, load.at), -1) for load in loads)
