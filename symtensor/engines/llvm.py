"""The llvm engine: whole graphs to native code on the CPU.

Fused kernels and a driver from `symtensor.codegen`; ops without native form are call-outs to their
NumPy rules, listed by `explain`. Bodies of control-flow ops compile the same way, once each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from symtensor.codegen import contraction, stage
from symtensor.codegen.execute import Executable
from symtensor.codegen.frame import Binding
from symtensor.codegen.gemm import with_needed
from symtensor.codegen.jit import emit_assembly
from symtensor.codegen.kernel_printer import format_kernel
from symtensor.codegen.layout import Shapes
from symtensor.codegen.memory import MemoryUse
from symtensor.codegen.program import Program, build_program, load_program
from symtensor.codegen.recall import Recall
from symtensor.codegen.target import Target, host, named
from symtensor.engines.base import CAPABILITIES, Array
from symtensor.engines.records import Kernel, MemoryPlan, Remark
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.printer import label_graph
from symtensor.ops.families import Draw
from symtensor.ops.interpret import RunBody
from symtensor.ops.variables import Store


class LLVMEngine:
    """Compiles graphs through LLVM for this machine."""

    name = "llvm"

    def capabilities(self) -> frozenset[str]:
        return frozenset(CAPABILITIES)

    def supports(self, node: Node) -> bool:
        draws = isinstance(node.op.family, Draw)
        return stage.is_fusible(node, host()) or contraction.is_native(node) or draws

    def compile(self, graph: Graph) -> LLVMExecutable:
        return LLVMExecutable(graph)


def _compile(graph: Graph, times: dict[str, float] | None = None, is_body: bool = False) -> Program:
    """Return the loaded program of a graph; `times` receives the seconds of both parts of the work."""
    start = time.perf_counter()
    entry = Recall(graph, host(), is_body)
    found = entry.find()
    program = found or build_program(graph, host())
    built = time.perf_counter()
    program = load_program(program, host())
    if program is not found:
        entry.keep(program)
    if times is not None:
        times |= {"kernels": built - start, "machine code": time.perf_counter() - built}
    return program


class LLVMExecutable:
    """A native program with its inspection; it owns the compiled bodies of its control flow."""

    def __init__(self, graph: Graph) -> None:
        self.compile_times: dict[str, float] = {}
        """Seconds of making the kernels' text, and of making machine code of it or finding it on disk."""
        self.program = _compile(graph, self.compile_times)
        self._bodies: dict[Graph, Executable] = {}
        self._run = Executable(self.program, self._run_body)

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        return self._run(inputs, variables)

    def bind(
        self,
        stores: Sequence[Store],
        targets: Sequence[Store],
        result: str,
        slow: Callable[..., Any],
    ) -> Callable[..., Any] | None:
        """Return a builtin that does a function's calls natively, or None; see `Executable`."""
        return self._run.bind(Binding(stores, targets, result, slow))

    def memory(self, inputs: Shapes, variables: Shapes) -> MemoryUse:
        """Return what a call on arguments of these shapes needs.

        Raises `SymbolicValueError` where a size is known only after a call-out has run.
        """
        return self._run.memory(inputs, variables)

    def _run_body(self, body: Graph, env: dict[Symbol, int]) -> Callable[..., list[Any]]:
        """Return a body graph as a callable, compiled at its first use.

        Two threads may compile the same body at once; either result serves.
        """
        found = self._bodies.get(body)
        if found is None:
            found = self._bodies.setdefault(
                body, Executable(_compile(body, is_body=True), self._run_body)
            )
        return lambda *arrays: found(arrays, (), env)

    @property
    def llvm_ir(self) -> str:
        """The LLVM text of all kernels and the driver."""
        return self.program.llvm_ir

    def assembly(self, target: Target | str | None = None, products: bool = False) -> str:
        """Return the assembly for this machine, or for another target of `codegen.target`.

        Matrix products are modules of their own, one or two for each dtype, which all programs of a
        process share: a comment names them, and with `products` they follow.
        """
        there = named(target) if isinstance(target, str) else target or host()
        program = self.program if there == host() else build_program(self.program.graph, there)
        parts = [emit_assembly(program.llvm_ir, there)]
        for own in with_needed(program.products):
            if products:
                module = emit_assembly(own.module(there), there)
                parts.append(f"/* {own} */\n{module}")
            else:
                parts.insert(0, f"/* {own}: see assembly(products=True) */")
        return "\n".join(parts)

    def kernels(self) -> dict[str, str]:
        """Return the loop tree of each distinct kernel as text."""
        sizes = label_graph(self.program.graph).symbol
        return {name: format_kernel(k, name, sizes) for name, k in self.program.kernels.values()}

    def kernel_records(self) -> tuple[Kernel, ...]:
        """Return a record per step."""
        from symtensor.engines import native_records  # here: most functions are never looked into

        return native_records.kernels_of(self.program)

    def memory_plan(self) -> MemoryPlan:
        """Return all buffers with their lives."""
        from symtensor.engines import native_records

        return native_records.memory_plan_of(self.program)

    def remarks(self) -> tuple[Remark, ...]:
        """Return what was decided, and why."""
        from symtensor.engines import native_remarks

        return native_remarks.remarks_of(self.program)

    def profiled(self) -> ProfiledExecutable:
        """Return the same program with a clock read between its steps."""
        return ProfiledExecutable(self.program, self._run_body)


class ProfiledExecutable:
    """A program with ticks; one call at a time."""

    def __init__(self, program: Program, run_body: RunBody) -> None:
        from symtensor.codegen import ticks

        with_ticks, names = ticks.with_ticks(program)
        self._clock = ticks.Clock(names)
        loaded = load_program(with_ticks, host())
        self._run = Executable(loaded, run_body, (self._clock.address,))

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        self._clock.reset()
        return self._run(inputs, variables)

    def times(self) -> dict[str, tuple[float, int]]:
        """Return by name of a kernel record seconds and runs of the last call."""
        return self._clock.read()
