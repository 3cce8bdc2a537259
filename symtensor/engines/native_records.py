"""A native program, told as records: kernels with their costs, buffers with their lives.

In: a `Program` of the llvm engine. Out: what `symtensor.engines.records` describes. Everything is read
from the schedule, the loop trees and the calls of the driver; nothing is compiled or run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from symtensor.codegen import contraction
from symtensor.codegen.checks import Guard
from symtensor.codegen.driver import NAME, Call, CallOut, KernelCall, LoopCall
from symtensor.codegen.emit import kernel_width
from symtensor.codegen.kernel_printer import format_kernel
from symtensor.codegen.program import Program
from symtensor.codegen.schedule import (
    CallStep,
    ContractStep,
    DrawStep,
    KernelStep,
    LoopStep,
    Schedule,
    Step,
    storage_node,
)
from symtensor.engines import records
from symtensor.engines.traffic import bytes_touched, has_lanes, traffic_of
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Naming, Symbol
from symtensor.ir.node import Node, results
from symtensor.ir.printer import label_graph
from symtensor.ops.cost import node_cost, product_flops, type_bytes

OWN_KINDS = {"call": "call-out", "pointer": ""}
"""Kinds of slots that people know by another name, or not at all: a loop's pointers are no memory."""


def kernels_of(program: Program) -> tuple[records.Kernel, ...]:
    """Return a record per step, those inside native loops after their loop."""
    made = _Kernels(program).walk(program.schedule, NAME, "k", 1)
    equal = _guarded_sizes(program)
    return tuple(_with_sizes(kernel, equal) if equal else kernel for kernel in made)


def _guarded_sizes(program: Program) -> dict[Symbol, Dim]:
    """Return the symbols that a guard makes equal to an older one: costs need only one of them."""
    equal: dict[Symbol, Dim] = {}
    found = [check for checks in program.checks[:1] for check in checks.checks]
    for guard in (check for check in found if isinstance(check, Guard)):
        pair = [D.as_symbol(D.substitute(dim, equal)) for dim in (guard.left, guard.right)]
        if None not in pair and pair[0] is not pair[1]:
            old, new = sorted((s for s in pair if s is not None), key=lambda s: s.serial)
            equal = {k: D.substitute(v, {new: D.symbol_dim(old)}) for k, v in equal.items()}
            equal[new] = D.symbol_dim(old)
    return equal


def _with_sizes(kernel: records.Kernel, sizes: Mapping[Symbol, Dim]) -> records.Kernel:
    flops, read, written, runs = (
        D.substitute(dim, sizes)
        for dim in (kernel.flops, kernel.bytes_read, kernel.bytes_written, kernel.runs)
    )
    return replace(kernel, flops=flops, bytes_read=read, bytes_written=written, runs=runs)


class _Kernels:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.symbol = label_graph(program.graph).symbol

    def walk(self, plan: Schedule, driver: str, prefix: str, runs: Dim) -> Iterator[records.Kernel]:
        """Yield the records of the steps that a driver runs."""
        calls = self.program.drivers[driver]
        for number, (step, call) in enumerate(zip(plan.steps, calls, strict=True)):
            name = f"{prefix}{number}"
            function = "" if isinstance(call, CallOut) else call.name
            yield replace(self._record(step, call, name, function), runs=runs, function=function)
            if isinstance(step, LoopStep):
                assert isinstance(call, LoopCall)
                inner = runs * step.node.attrs["steps"]
                yield from self.walk(plan.bodies[step.node], call.body, f"{name}.", inner)

    def _record(self, step: Step, call: Call, name: str, function: str) -> records.Kernel:
        match step:
            case KernelStep():
                assert isinstance(call, KernelCall)
                return self._kernel(step, call, name)
            case ContractStep():
                return self._product(step, name, function)
            case DrawStep():
                return self._draw(step.node, name, function)
            case LoopStep():
                return self._loop(step.node, name)
            case CallStep():
                return self._call_out(step.node, name)

    def _kernel(self, step: KernelStep, call: KernelCall, name: str) -> records.Kernel:
        function, kernel = self.program.kernels[step]
        stored = {
            buffer: self.program.slots[place].node
            for buffer, place in zip(kernel.buffers, call.buffers, strict=False)
        }
        found = traffic_of(kernel)
        return records.Kernel(
            name=name,
            kind="kernel",
            nodes=tuple(node for node in step.in_order() if node in step.inlined),
            outputs=step.roots,
            reads=tuple(
                node
                for buffer, node in stored.items()
                if buffer in found.read and node not in step.roots
            ),
            text=format_kernel(kernel, function, self.symbol),
            flops=found.flops,
            bytes_read=bytes_touched(found.read, stored),
            bytes_written=bytes_touched(found.written, stored),
            lanes=kernel_width(kernel, self.program.target) if has_lanes(kernel.body) else 1,
            shared=call.shared,
        )

    def _product(self, step: ContractStep, name: str, function: str) -> records.Kernel:
        (root,), node = step.roots, step.node
        plan, operands = contraction.plan(node, step.addend)
        read: Dim = 0
        given = node.inputs if step.addend is None else (*node.inputs, step.addend)
        for x, stored in zip(given, operands, strict=True):
            read = read + D.minimum(type_bytes(x.type), type_bytes(storage_node(stored).type))
        return replace(
            _of_node(root, name, "product"),
            nodes=(node,) if root is node else (node, root),
            reads=tuple(dict.fromkeys(map(storage_node, operands))),
            text=format_product(plan, function, self.symbol),
            flops=product_flops(node) + (0 if root is node else root.tensor_type.size),
            bytes_read=read,
            lanes=self.program.target.lanes(node.tensor_type.dtype.bits),
            shared=True,
        )

    def _draw(self, node: Node, name: str, function: str) -> records.Kernel:
        return replace(
            _of_node(node, name, "draw"),
            text=f"{function}: the words of blocks of random numbers, one after the other",
            bytes_read=type_bytes(node.inputs[0].type),
            shared=True,
        )

    def _loop(self, node: Node, name: str) -> records.Kernel:
        """Return the loop itself: it moves pointers, the steps of its body do the work."""
        steps = D.format_dim(node.attrs["steps"], self.symbol)
        text = f"for step < {steps}:  # {name}.0, {name}.1, …"
        return replace(_of_node(node, name, "loop"), text=text, bytes_written=0)

    def _call_out(self, node: Node, name: str) -> records.Kernel:
        cost, record = node_cost(node), _of_node(node, name, "call-out")
        return replace(
            record,
            reads=tuple(dict.fromkeys(node.inputs)),
            text=f"numpy {node.op.name}",
            flops=cost.flops,
            bytes_read=D.maximum(cost.bytes - record.bytes_written, 0),
        )


def _of_node(node: Node, name: str, kind: str) -> records.Kernel:
    """Return the record of a step that computes one node: it reads its operands and no more is known."""
    return records.Kernel(
        name=name,
        kind=kind,
        nodes=(node,),
        outputs=results(node),
        reads=tuple(dict.fromkeys(map(storage_node, node.inputs))),
        text="",
        flops=0,
        bytes_read=0,
        bytes_written=type_bytes(node.type),
    )


def format_product(plan: contraction.Plan, name: str, symbol: Naming) -> str:
    """Return the loops around a matrix product, and the product, as text."""

    def text(dim: Dim) -> str:
        return D.format_dim(dim, symbol)

    def extent(found: contraction.Label) -> str:
        named = zip(names, found.strides, strict=False)
        strides = ", ".join(f"{x} {text(stride)}" for x, stride in named)
        return f"{text(found.size)}  # strides {strides}"

    names = "abcd" if plan.adds else "abc"
    lines, pad = [f"{name}({', '.join(names)})"], "  "
    for i, loop in enumerate(plan.loops):
        lines.append(f"{pad}for l{i} < {extent(loop)}")
        pad += "  "
    starts = ", ".join(map(text, plan.offsets[: len(names)]))
    lines.append(
        f"{pad}c {'+=' if plan.summed else '='} {'d + ' if plan.adds else ''}a @ b  # from {starts}"
    )
    for title, found in (("rows", plan.rows), ("columns", plan.columns), ("inner", plan.inner),
                         ("rounds", plan.rounds)):  # fmt: skip
        if not D.same(found.size, 1):
            lines.append(f"{pad}  {title} < {extent(found)}")
    return "\n".join(lines)


# --- memory --------------------------------------------------------------------------------------


def memory_plan_of(program: Program) -> records.MemoryPlan:
    """Return the buffers of a program, in the order of its table."""
    found = []
    for slot in program.slots:
        kind = OWN_KINDS.get(slot.kind, slot.kind)
        if slot.kind == "input" and slot.node.op.name == "variable":
            kind = "variable"
        if kind:
            size = type_bytes(slot.type)
            name = f"b{slot.index}"
            found.append(records.Buffer(name, kind, slot.node, size, slot.first, slot.last))
    return records.MemoryPlan(tuple(found), len(program.schedule.steps), program.scratch_bytes)
