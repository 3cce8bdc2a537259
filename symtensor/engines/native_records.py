"""A native program, told as records: kernels with their costs, buffers with their lives, remarks.

In: a `Program` of the llvm engine. Out: what `symtensor.engines.records` describes. Everything is read
from the schedule, the loop trees and the calls of the driver; nothing is compiled or run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symtensor.codegen import contraction
from symtensor.codegen.driver import NAME, KernelCall, LoopCall
from symtensor.codegen.emit import kernel_width
from symtensor.codegen.kernel import (
    Affine,
    Buffer,
    Kernel,
    Let,
    Loop,
    Reduce,
    Stmt,
    Store,
    Update,
    Value,
    variation,
)
from symtensor.codegen.kernel_text import format_kernel
from symtensor.codegen.program import Program
from symtensor.codegen.schedule import (
    CallStep,
    ContractStep,
    DrawStep,
    KernelStep,
    LoopStep,
    Schedule,
    Step,
    is_alias,
    storage_node,
)
from symtensor.codegen.sharing import shared_loop
from symtensor.engines import records
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Naming, Symbol
from symtensor.ir.node import Node, results
from symtensor.ir.printer import label_graph
from symtensor.ops.cost import fold_flops, node_cost, product_flops, rule_flops, type_bytes
from symtensor.ops.families import Elementwise

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
    for guard in (guard for checks in program.checks[:1] for guard in checks.guards):
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


@dataclass(slots=True)
class _Traffic:
    """What a loop tree does, gathered on a walk."""

    flops: Dim
    read: dict[Buffer, Dim]
    """Elements that loads touch."""
    written: dict[Buffer, Dim]


class _Kernels:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.symbol = label_graph(program.graph).symbol

    def walk(self, plan: Schedule, driver: str, prefix: str, runs: Dim) -> Iterator[records.Kernel]:
        """Yield the records of the steps that a driver runs."""
        calls = self.program.drivers[driver]
        for number, (step, call) in enumerate(zip(plan.steps, calls, strict=True)):
            name = f"{prefix}{number}"
            if isinstance(step, KernelStep):
                assert isinstance(call, KernelCall)
                yield self._kernel(step, call, name, runs)
            elif isinstance(step, ContractStep):
                assert isinstance(call, KernelCall)
                yield self._product(step, call, name, runs)
            elif isinstance(step, DrawStep):
                assert isinstance(call, KernelCall)
                yield self._draw(step, call, name, runs)
            elif isinstance(step, LoopStep):
                assert isinstance(call, LoopCall)
                yield self._loop(step, call, name, runs)
                inner = runs * step.node.attrs["steps"]
                yield from self.walk(plan.bodies[step.node], call.body, f"{name}.", inner)
            else:
                yield self._call_out(step, name, runs)

    def _kernel(self, step: KernelStep, call: KernelCall, name: str, runs: Dim) -> records.Kernel:
        function, kernel = self.program.kernels[step]
        stored = {
            buffer: self.program.slots[place].node
            for buffer, place in zip(kernel.buffers, call.buffers, strict=True)
        }
        found = _traffic(kernel)
        nodes = self._members(step)
        return records.Kernel(
            name=name,
            kind="kernel",
            nodes=nodes,
            outputs=step.roots,
            reads=tuple(
                node
                for buffer, node in stored.items()
                if buffer in found.read and node not in step.roots
            ),
            text=format_kernel(kernel, function, self.symbol),
            flops=found.flops,
            bytes_read=_bytes(found.read, stored),
            bytes_written=_bytes(found.written, stored),
            runs=runs,
            function=function,
            lanes=kernel_width(kernel, self.program.target) if _has_lanes(kernel.body) else 1,
            shared=call.share is not None,
        )

    def _members(self, step: KernelStep) -> tuple[Node, ...]:
        """Return what a kernel computes, producers first."""
        order: list[Node] = []
        done: set[Node] = set()
        stack = [(root, False) for root in reversed(step.roots)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif node in step.inlined and node not in done:
                done.add(node)
                stack.append((node, True))
                stack += [(x, False) for x in reversed(node.inputs)]
        return tuple(order)

    def _product(
        self, step: ContractStep, call: KernelCall, name: str, runs: Dim
    ) -> records.Kernel:
        node = step.node
        plan, *operands = contraction.plan(node)
        read: Dim = 0
        for x, stored in zip(node.inputs, operands, strict=True):
            read = read + D.minimum(type_bytes(x.type), type_bytes(storage_node(stored).type))
        return records.Kernel(
            name=name,
            kind="product",
            nodes=(node,),
            outputs=(node,),
            reads=tuple(dict.fromkeys(map(storage_node, operands))),
            text=format_product(plan, call.name, self.symbol),
            flops=product_flops(node),
            bytes_read=read,
            bytes_written=type_bytes(node.type),
            runs=runs,
            function=call.name,
            lanes=self.program.target.lanes(node.tensor_type.dtype.bits),
            shared=True,
        )

    def _draw(self, step: DrawStep, call: KernelCall, name: str, runs: Dim) -> records.Kernel:
        node = step.node
        return records.Kernel(
            name=name,
            kind="draw",
            nodes=(node,),
            outputs=(node,),
            reads=tuple(map(storage_node, node.inputs)),
            text=f"{call.name}: the words of blocks of random numbers, one after the other",
            flops=0,
            bytes_read=type_bytes(node.inputs[0].type),
            bytes_written=type_bytes(node.type),
            runs=runs,
            function=call.name,
            shared=True,
        )

    def _loop(self, step: LoopStep, call: LoopCall, name: str, runs: Dim) -> records.Kernel:
        """Return the loop itself: it moves pointers, the steps of its body do the work."""
        node = step.node
        return records.Kernel(
            name=name,
            kind="loop",
            nodes=(node,),
            outputs=results(node),
            reads=tuple(dict.fromkeys(map(storage_node, node.inputs))),
            text=f"for step < {D.format_dim(node.attrs['steps'], self.symbol)}:"
            f"  # {name}.0, {name}.1, …",
            flops=0,
            bytes_read=0,
            bytes_written=0,
            runs=runs,
            function=call.name,
        )

    def _call_out(self, step: Step, name: str, runs: Dim) -> records.Kernel:
        assert isinstance(step, CallStep)
        node, cost = step.node, node_cost(step.node)
        written = type_bytes(node.type)
        return records.Kernel(
            name=name,
            kind="call-out",
            nodes=(node,),
            outputs=results(node),
            reads=tuple(dict.fromkeys(node.inputs)),
            text=f"numpy {node.op.name}",
            flops=cost.flops,
            bytes_read=D.maximum(cost.bytes - written, 0),
            bytes_written=written,
            runs=runs,
        )


def _traffic(kernel: Kernel) -> _Traffic:
    found = _Traffic(0, {}, {})
    _walk(kernel.body, 1, found)
    return found


def _walk(body: Sequence[Stmt], rounds: Dim, found: _Traffic) -> None:
    """Add what statements do that run `rounds` times. What is reloaded was written just before: it
    comes out of the nearest cache and is no traffic."""
    for stmt in body:
        if isinstance(stmt, Let):
            _let(stmt.value, rounds, found)
        elif isinstance(stmt, Store):
            _touch(found.written, stmt.buffer, stmt.at, rounds)
        elif isinstance(stmt, Update):
            flops = fold_flops(stmt.result.data.combiner, stmt.result.args[0].dtype)
            found.flops = found.flops + rounds * flops
        elif isinstance(stmt, Loop):
            _walk(stmt.body, rounds * stmt.axis.extent, found)
        elif isinstance(stmt, Reduce):
            _walk(stmt.body, rounds, found)


def _let(value: Value, rounds: Dim, found: _Traffic) -> None:
    if value.kind == "load":
        buffer, at = value.data
        _touch(found.read, buffer, at, rounds)
    elif value.kind == "apply":
        dtypes = [x.dtype for x in value.args]
        flops = rule_flops(value.data.scalar, dtypes, value.data.attrs)
        found.flops = found.flops + rounds * flops


def _touch(elements: dict[Buffer, Dim], buffer: Buffer, at: Affine, rounds: Dim) -> None:
    """Add the places an access goes to: a round each, or fewer where some loops stay on the spot."""
    if D.same(rounds, 0):
        return
    named, axes = variation(at)
    count = rounds if named else D.product(axis.extent for axis in axes)
    elements[buffer] = elements.get(buffer, 0) + count


def _bytes(elements: Mapping[Buffer, Dim], stored: Mapping[Buffer, Node]) -> Dim:
    """Return bytes touched, of each buffer at most all."""
    total: Dim = 0
    for buffer, count in elements.items():
        size = stored[buffer].tensor_type.size
        total = total + D.minimum(count, size) * buffer.dtype.itemsize
    return total


def _has_lanes(body: Sequence[Stmt]) -> bool:
    """Return True where some loop takes several elements at a time."""
    return any(
        (isinstance(stmt, Loop) and stmt.vector)
        or (isinstance(stmt, (Loop, Reduce)) and _has_lanes(stmt.body))
        for stmt in body
    )


def format_product(plan: contraction.Plan, name: str, symbol: Naming) -> str:
    """Return the loops around a matrix product, and the product, as text."""

    def text(dim: Dim) -> str:
        return D.format_dim(dim, symbol)

    def extent(found: contraction.Label) -> str:
        strides = ", ".join(f"{x} {text(s)}" for x, s in zip("abc", found.strides, strict=True))
        return f"{text(found.size)}  # strides {strides}"

    lines, pad = [f"{name}(a, b, c)"], "  "
    for i, loop in enumerate([*plan.outer, *plan.summed]):
        lines.append(f"{pad}for l{i} < {extent(loop)}")
        pad += "  "
    starts = ", ".join(map(text, plan.offsets))
    lines.append(f"{pad}c {'+=' if plan.summed else '='} a @ b  # from {starts}")
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


# --- remarks -------------------------------------------------------------------------------------


def remarks_of(program: Program) -> tuple[records.Remark, ...]:
    """Return the decisions of fusion, then how each step runs."""
    made = {kernel.name: kernel for kernel in kernels_of(program)}
    steps = _steps(program, program.schedule, NAME, "k", made)
    return (*_decisions(program.schedule), *steps)


def _decisions(plan: Schedule) -> Iterator[records.Remark]:
    for found in plan.remarks:
        yield records.Remark(found.kind, found.node, found.why, found.into, "fusion")
    for body in plan.bodies.values():
        yield from _decisions(body)


def _steps(
    program: Program, plan: Schedule, driver: str, prefix: str, made: Mapping[str, records.Kernel]
) -> Iterator[records.Remark]:
    for number, (step, call) in enumerate(zip(plan.steps, program.drivers[driver], strict=True)):
        name = f"{prefix}{number}"
        if isinstance(step, KernelStep):
            yield from _kernel_remarks(program, step, made[name])
        elif isinstance(step, ContractStep):
            yield from _product_remarks(plan, step.node, name, made[name].lanes)
        elif isinstance(step, DrawStep):
            yield records.Remark("threads", step.node, "threads take blocks of words", (), name)
        elif isinstance(step, LoopStep):
            assert isinstance(call, LoopCall)
            yield records.Remark("loop", step.node, "native, no Python between its steps", (), name)
            inner = plan.bodies[step.node]
            yield from _steps(program, inner, call.body, f"{name}.", made)
        else:
            yield records.Remark("call-out", step.node, why_call_out(step.node), (), name)
    for node in _aliases(plan):
        yield records.Remark("in place", node, "the same memory under another shape", (), "fusion")


def _aliases(plan: Schedule) -> Iterable[Node]:
    """Return the reshapes between the steps that move nothing."""
    found: dict[Node, None] = {}
    for step in plan.steps:
        nodes = step.inlined if isinstance(step, KernelStep) else (step.node,)
        for node in nodes:
            found |= dict.fromkeys(x for x in node.inputs if is_alias(x))
    return sorted(found, key=lambda node: node.serial)


def _kernel_remarks(
    program: Program, step: KernelStep, record: records.Kernel
) -> Iterator[records.Remark]:
    root, name = step.roots[0], record.name
    if record.lanes > 1:
        why = f"{record.lanes} elements at a time"
        yield records.Remark("vectorized", root, why, (), name)
    elif any(not D.same(d, 1) for d in root.tensor_type.shape) or "for " in record.text:
        why = (
            "each element needs the one before" if "running " in record.text else "stores may meet"
        )
        yield records.Remark("scalar", root, why, (), name)
    if record.shared:
        loop = shared_loop(program.kernels[step][1])
        extent = "" if loop is None else f"ranges of {loop.axis} < {loop.axis.extent}"
        yield records.Remark("threads", root, extent, (), name)
    else:
        yield records.Remark("one thread", root, "it is not one loop over its result", (), name)


def _product_remarks(plan: Schedule, node: Node, name: str, lanes: int) -> Iterator[records.Remark]:
    why = f"{lanes} columns at a time, a multiply-add each"
    yield records.Remark("vectorized", node, why, (), name)
    why = "panels of both operands go through scratch that stays in the caches"
    if node in plan.packed:
        why = "panels of the right operand were made before the loop"
    yield records.Remark("packed", node, why, (), name)
    yield records.Remark(
        "threads", node, "ranges of rows or columns, where it is worth it", (), name
    )


def why_call_out(node: Node) -> str:
    """Return why a node runs by its NumPy rule."""
    if node.op.name == "scan":
        if node.attrs["until"]:
            return "it may end early"
        return "a step of its body runs in Python, refuses indices, or makes sizes of its own"
    if node.op.bodies:
        return "its branches are programs of their own, run as they are needed"
    if isinstance(node.op.family, Elementwise):
        return "its scalar rule has no native form for these dtypes"
    return "the op has no native form"
