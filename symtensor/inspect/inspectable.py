"""What a compiled function shows of itself; `symtensor.function.Function` inherits it.

Everything here is worked out when it is first asked for, from the graph and from what the executable
tells (`symtensor.engines.records`), and kept; calls of the function know nothing of it. Where an engine
has nothing to tell, `EngineError` says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symtensor.errors import EngineError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Naming, Symbol
from symtensor.ir.graph import Graph
from symtensor.passes.pipeline import Stage

if TYPE_CHECKING:
    from symtensor.arguments import Arguments
    from symtensor.engines.base import Engine, Executable
    from symtensor.engines.records import Kernel, MemoryPlan, Remark
    from symtensor.inspect.costs import CostTable
    from symtensor.inspect.profile import Profile
    from symtensor.ops.variables import Store

Shape = tuple[int, ...]


class Explanation(str):
    """Remarks as text; `remarks` has them as objects."""

    __slots__ = ("remarks",)
    remarks: tuple[Remark, ...]


class Assembly(str):
    """The assembly for this machine. Called with a target, it returns that for another."""

    __slots__ = ("_emit",)
    _emit: Any

    def __call__(self, target: Any = None, products: bool = False) -> str:
        """Return the assembly for `target`: a name (avx512, avx2, sse2, neon, apple, windows), a
        `symtensor.codegen.target.Target`, or None for this machine. With `products` the matrix
        products that it calls follow, which functions share."""
        if products:
            return str(self._emit(target, products=True))
        return str(self) if target is None else str(self._emit(target))


class Inspectable:
    """The inspection side of a function."""

    name: str
    graph: Graph
    optimized: Graph
    passes: list[Stage]
    engine: Engine
    executable: Executable
    arguments: Arguments
    _stores: list[Store]

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The graph as defined, then after each pass that changed something, with what fired."""
        count = len(self.graph.nodes())
        definition = Stage("definition", self.graph, False, count, count, 0.0)
        return (definition, *(stage for stage in self.passes if stage.changed))

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The steps of a call in order, with members, loops, operations and bytes moved."""
        naming = self._naming()
        told = self._ask("kernel_records", "does not tell its kernels")
        return tuple(replace(kernel, naming=naming) for kernel in told)

    @cached_property
    def memory_plan(self) -> MemoryPlan:
        """All buffers of a call with their lives, and the peak as a formula in the sizes."""
        plan: MemoryPlan = self._ask("memory_plan", "does not plan its memory")
        naming = self._naming()
        buffers = tuple(replace(buffer, naming=naming) for buffer in plan.buffers)
        return replace(plan, buffers=buffers, naming=naming)

    @cached_property
    def remarks(self) -> tuple[Remark, ...]:
        """What was decided, and why: by the passes, then by the engine."""
        from symtensor.inspect.remarks import remarks_of_stages

        naming, told = self._naming(), getattr(self.executable, "remarks", None)
        with D.named(naming):
            found = (*remarks_of_stages(self.passes), *(told() if told is not None else ()))
        return tuple(replace(remark, naming=naming) for remark in found)

    def explain(self) -> Explanation:
        """Return what the passes did and how the engine runs the result, as text with `remarks`."""
        from symtensor.inspect.remarks import explain_passes

        lines = [f"function {self.name}, engine {self.engine.name}", *explain_passes(self.passes)]
        explain, remarks = getattr(self.executable, "explain", None), self.remarks
        if explain is not None:
            lines.append(explain())
        elif hasattr(self.executable, "kernel_records"):
            lines += map(str, self.kernels)
        text = Explanation("\n".join([*lines, *map(str, remarks)]))
        text.remarks = remarks
        return text

    @property
    def llvm_ir(self) -> str:
        """The LLVM text of all kernels and the driver."""
        return str(self._ask("llvm_ir", "makes no LLVM code"))

    @cached_property
    def assembly(self) -> Assembly:
        """The assembly for this machine; ``f.assembly("avx2")`` is that for another target."""
        emit = self._ask("assembly", "makes no machine code", call=False)
        text = Assembly(emit())
        text._emit = emit
        return text

    def cost(self, *inputs: Any) -> CostTable:
        """Return operations and bytes moved, in all and of each kernel.

        `inputs` are arrays, or shapes, by position: the costs are numbers. Without them they are
        formulas in the sizes. Engines that do not tell their kernels are counted node by node.
        """
        from symtensor.inspect.costs import cost_table

        kernels = self.kernels if hasattr(self.executable, "kernel_records") else None
        return cost_table(self.optimized, kernels, self.sizes(*inputs) if inputs else None)

    def profile(self, *args: Any, repeat: int = 10, **kwargs: Any) -> Profile:
        """Return where the time of a call goes: a `Profile` with `text()`, `to_dict()`, `plot(path)`.

        Takes arguments as a call does, but variables keep their values. Each kernel's time is the
        median over `repeat` calls of a program with a clock between its kernels (see
        `symtensor.inspect.profile`), held against what this machine can do, which is measured once.
        The function itself is not changed and not slowed down.
        """
        from symtensor.inspect.profile import profile_function

        given = self.arguments.arrange(args, kwargs)
        pairs = zip(self.arguments.converters, given, strict=True)
        return profile_function(self, [convert(value) for convert, value in pairs], repeat)

    def memory(self, *inputs: Any) -> Any:
        """Return what a call needs, worked out without running it: an object with `peak` in bytes.

        `inputs` are arrays, or shapes, by position. The llvm engine gives a `MemoryUse`: arguments,
        results, temporaries (which later calls use again) and scratch. Not counted are results that
        you dropped, of which the function keeps up to two each for later calls. Raises `EngineError` where
        the engine can't tell, `ShapeError` for shapes that do not fit, `SymbolicValueError` where
        a size depends on data.
        """
        report = self._ask("memory", "does not plan its memory", call=False)
        return report(self._shapes(inputs), self._variable_shapes())

    def explore(
        self, path: str | os.PathLike[str], *inputs: Any, profile: Profile | None = None
    ) -> Path:
        """Write the explorer to an HTML file and return its path.

        The page shows the graph after each pass with what the pass changed, and leads from your lines
        to nodes, kernels, loops, LLVM text and assembly; with remarks, memory, costs, and the times
        of a `profile`. It is one file that works offline. `inputs` are arrays, or shapes, by
        position: the page begins with their sizes, which can be changed in it.
        """
        from symtensor.explorer import write_page

        return write_page(self, path, *inputs, profile=profile)

    def sizes(self, *inputs: Any) -> dict[Symbol, int]:
        """Return the sizes that arrays or shapes for the inputs, and the variables, determine."""
        from symtensor.ir.binding import bind_shapes

        arguments = [*self.optimized.inputs, *self.optimized.variables()]
        labels = [node.name or f"input {i}" for i, node in enumerate(arguments)]
        found: dict[Symbol, int] = {}
        shapes = (*self._shapes(inputs), *self._variable_shapes())
        bind_shapes([node.tensor_type for node in arguments], shapes, labels, found)
        return found

    def _naming(self) -> Naming:
        """Return what ``print_graph`` of the optimized graph calls sizes; all texts do."""
        from symtensor.ir.printer import label_graph

        return label_graph(self.optimized).symbol

    def _shapes(self, inputs: Sequence[Any]) -> tuple[Shape, ...]:
        arity = len(self.optimized.inputs)
        if len(inputs) != arity:
            raise ShapeError(f"{self.name}: expected {arity} shapes, found {len(inputs)}")
        return tuple(tuple(x) if isinstance(x, (tuple, list)) else np.shape(x) for x in inputs)

    def _variable_shapes(self) -> tuple[Shape, ...]:
        return tuple(store.array.shape for store in self._stores)

    def _ask(self, name: str, otherwise: str, call: bool = True) -> Any:
        """Return what the executable says, or raise an error that says what it does not."""
        found = getattr(self.executable, name, None)
        if found is None:
            raise EngineError(
                f"the engine {self.engine.name} {otherwise}",
                help='compile with engine="llvm" to see it',
            )
        return found() if call and callable(found) else found
