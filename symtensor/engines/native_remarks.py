"""Why a native program is as it is: the decisions of fusion, then how each step runs, as remarks.

In: a `Program` of the llvm engine. Out: `symtensor.engines.records.Remark`s, in the order of the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from symtensor.codegen.driver import NAME, LoopCall
from symtensor.codegen.phases import lone_loop
from symtensor.codegen.program import Program
from symtensor.codegen.schedule import (
    ContractStep,
    DrawStep,
    KernelStep,
    LoopStep,
    NodeStep,
    Schedule,
    is_alias,
)
from symtensor.engines import records
from symtensor.engines.native_records import kernels_of
from symtensor.ir import dims as D
from symtensor.ir.node import Node
from symtensor.ops.families import Elementwise


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
        if isinstance(step, NodeStep):
            yield records.Remark("stored", step.roots[0], _why_stored(step), (), "fusion")
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


def _why_stored(step: NodeStep) -> str:
    """Return why no kernel computes inside what is no kernel itself."""
    if isinstance(step, ContractStep):
        return "a matrix product writes it by tiles, and kernels read it from memory"
    if isinstance(step, DrawStep):
        return "its words are drawn in order"
    if isinstance(step, LoopStep):
        return "the rounds of a loop write it"
    return "NumPy makes it"


def _aliases(plan: Schedule) -> Iterable[Node]:
    """Return the reshapes between the steps that move nothing."""
    found: dict[Node, None] = {}
    for step in plan.steps:
        for node in step.inlined:
            aliases = (x for x in node.inputs if is_alias(x) and x not in step.inlined)
            found |= dict.fromkeys(aliases)
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
        loop = lone_loop(program.kernels[step][1])
        extent = "parts of its folds and ranges of its loops, one after the other"
        if loop is not None:
            extent = f"ranges of {loop.axis} < {loop.axis.extent}"
        yield records.Remark("threads", root, extent, (), name)
    else:
        yield records.Remark(
            "one thread", root, "it is short, or its elements need those before them", (), name
        )


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
