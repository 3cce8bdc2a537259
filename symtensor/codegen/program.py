"""Graph -> native program: kernels, driver, and the table of buffers that they work on.

    Graph -> schedule (fusion) -> kernels (loop trees) -> LLVM text -> object -> `Program`

A `Program` is what engines run. It is independent of sizes: every symbolic dim reaches the kernels
as an argument, so one compile serves all shapes. Equal kernels are compiled once.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from symtensor.codegen import contraction, pool, threads
from symtensor.codegen.checks import Checks, checks_of
from symtensor.codegen.domains import loops_over
from symtensor.codegen.driver import (
    NAME,
    Call,
    CallOut,
    KernelCall,
    LoopCall,
    PhaseCall,
    SharedCall,
    emit_driver,
)
from symtensor.codegen.emit import cost
from symtensor.codegen.fusion import schedule
from symtensor.codegen.gemm import Products
from symtensor.codegen.jit import LoadedCode, Text, load_module, load_pool
from symtensor.codegen.kernel import Buffer, Kernel
from symtensor.codegen.loops import emit_copy, emit_loop
from symtensor.codegen.lower import lower_kernel
from symtensor.codegen.packing import Packing, declaration, emit_packing, over_panels
from symtensor.codegen.phases import Phase, emit_kernel
from symtensor.codegen.philox import emit_philox
from symtensor.codegen.product_blocks import scratch_bytes
from symtensor.codegen.reader import Reader
from symtensor.codegen.repeats import form_of
from symtensor.codegen.reuse import keep_rows
from symtensor.codegen.root_kernels import read_kernel
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
from symtensor.codegen.sharing import Share, emit_range
from symtensor.codegen.slots import Placement, Slot, Table
from symtensor.codegen.target import Target
from symtensor.ir.dims import Dim
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node


@dataclass(frozen=True, slots=True)
class Listing:
    """How a program was made, for people to look at."""

    schedule: Schedule
    kernels: dict[KernelStep, tuple[str, Kernel]]
    llvm_ir: str
    drivers: dict[str, list[Call]]
    """Of each driver, that of the whole and those of the bodies of loops, what it does for each step."""


@dataclass(slots=True)
class Program:
    """Compiled code with everything needed to call it."""

    graph: Graph
    target: Target
    slots: list[Slot]
    sizes: list[Dim]
    checks: list[Checks]
    products: frozenset[Products]
    """The modules of matrix products that it calls."""
    partial_bytes: int
    """Bytes of the states that the folds of a kernel leave, at most."""
    shared: bool
    """True when threads share some of its kernels."""
    place: dict[Node, int]
    """Node -> index of its slot."""
    call_outs: dict[int, Node]
    """Step -> the node that Python evaluates."""
    key: str = ""
    """That of its code, where it was found without its text."""
    made: Listing | None = None
    """How it was made, None where that was not looked into yet."""
    code: LoadedCode | None = None

    @property
    def listing(self) -> Listing:
        """How it was made; worked out anew where the program was found on disk."""
        if self.made is None:
            self.made = build_program(self.graph, self.target).listing
        return self.made

    @property
    def schedule(self) -> Schedule:
        """Its steps."""
        return self.listing.schedule

    @property
    def kernels(self) -> dict[KernelStep, tuple[str, Kernel]]:
        """Name and loop tree of the kernel of each step."""
        return self.listing.kernels

    @property
    def llvm_ir(self) -> str:
        """Its text."""
        return self.listing.llvm_ir

    @property
    def drivers(self) -> dict[str, list[Call]]:
        """What each driver does for each step."""
        return self.listing.drivers

    @property
    def scratch_bytes(self) -> int:
        """Bytes that the largest matrix product packs its operands into, or folds leave their states in."""
        products = (scratch_bytes(self.target, x.dtype) for x in self.products)
        return max(self.partial_bytes, *products, 0)

    @property
    def driver(self) -> int:
        """Address of the driver."""
        assert self.code is not None
        return self.code.address(NAME)


def build_program(graph: Graph, target: Target) -> Program:
    """Return the program of a graph with its LLVM text, not yet turned into machine code."""
    plan, module = schedule(graph, target), _Module(target)
    placed = Placement(graph, plan, module.table, module.lowered)
    placed.make_slots(dict.fromkeys((storage_node(root) for root in graph.roots), "output"))
    text = module.text(_Builder(module, placed).driver(NAME))
    return Program(
        graph,
        target,
        module.table.slots,
        list(module.table.sizes),
        module.checks,
        frozenset(module.products),
        module.partial_bytes,
        bool(module.ranges),
        placed.place,
        {number: x.node for number, x in enumerate(plan.steps) if isinstance(x, CallStep)},
        made=Listing(plan, module.kernels, text, module.drivers),
    )


def load_program(program: Program, target: Target) -> Program:
    """Compile the program's text and link it into this process."""
    libraries = []
    if program.shared or program.products:
        libraries.append(load_pool())
        threads.start()
    text = Text(lambda: program.llvm_ir, key=program.key)
    program.code = load_module(text, [NAME], target, program.products, libraries)
    if program.key not in (
        "",
        text.key,
    ):  # found on disk, and its text is not what it was kept with
        return load_program(build_program(program.graph, target), target)
    program.key = text.key
    return program


class _Module:
    """What the graph and the bodies of its loops share: one table, one text."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.table = Table(target)
        self.form_of = functools.cache(form_of)
        self.texts: dict[str, str] = {}
        """Kernel text with a neutral name -> its real name."""
        self.forms: dict[Hashable, tuple[Kernel, tuple[int, ...]]] = {}
        """Form of a kernel -> one of that form, and which of the nodes it touches its buffers are."""
        self.emitted: dict[Hashable, tuple[KernelCall, bool]] = {}
        """Form of a kernel -> a call of it, and whether it takes scratch behind its buffers."""
        self.ranges: dict[str, str] = {}
        """Name of a shared kernel -> its range function."""
        self.functions: list[str] = []
        """Loops and the drivers of their bodies."""
        self.declarations: set[str] = set()
        self.products: set[Products] = set()
        self.partial_bytes = 0
        """Bytes of scratch that folds in parts need."""
        self.kernels: dict[KernelStep, tuple[str, Kernel]] = {}
        self.checks: list[Checks] = []
        self.drivers: dict[str, list[Call]] = {}
        self.loops = 0

    def lowered(self, step: KernelStep) -> tuple[Kernel, tuple[Node, ...]]:
        """Return a kernel and the stored nodes that its buffers are; those of one form are lowered once."""
        form, touched = self.form_of(step)
        if form not in self.forms:
            self.forms[form] = self._lower(step, touched)
        kernel, order = self.forms[form]
        return kernel, tuple(touched[i] for i in order)

    def _lower(self, step: KernelStep, touched: Sequence[Node]) -> tuple[Kernel, tuple[int, ...]]:
        buffers: dict[Node, Buffer] = {}

        def buffer(node: Node) -> Buffer:
            stored = storage_node(node)
            if stored not in buffers:
                buffers[stored] = Buffer(len(buffers), stored.tensor_type.dtype)
            return buffers[stored]

        reader = Reader(lambda node: node in step.inlined, buffer)
        roots = [(root, buffer(root)) for root in step.roots]
        over = loops_over(step.inlined)
        kernel = lower_kernel(*read_kernel(roots, step.columns, reader, over))
        keep_rows(kernel, lambda value: cost(value, self.target))
        number = {node: i for i, node in enumerate(touched)}
        by_buffer = {b: number[node] for node, b in buffers.items()}
        return kernel, tuple(by_buffer[b] for b in kernel.buffers)

    def text(self, driver: str) -> str:
        """Return the module with its main driver."""
        functions = [_named(text, name) for text, name in self.texts.items()]
        functions += [*self.ranges.values(), *self.functions]
        if self.loops:
            functions.append(emit_copy())
        return "\n\n".join([*sorted(self.declarations), *functions, driver])


def _named(text: str, name: str) -> str:
    """Return the functions of a kernel by its real name."""
    return text.replace("@kernel(", f"@{name}(").replace("@kernel.", f"@{name}.")


class _Builder:
    """Adds what one graph needs to the module: the whole, or the body of a loop."""

    def __init__(self, module: _Module, placed: Placement, rounds: Dim = 1) -> None:
        self.module = module
        self.placed = placed
        self.place = placed.place
        self.rounds = rounds
        """How often it runs in one call."""
        self.scratch = len(placed.table.slots)
        """The place of the scratch, behind all slots."""

    def driver(self, name: str) -> str:
        """Return the driver of this graph, after adding its kernels to the module."""
        self.module.checks.append(checks_of(self.placed.graph.nodes(), self.rounds))
        calls = [
            self._lower(number, step) for number, step in enumerate(self.placed.schedule.steps)
        ]
        self.module.drivers[name] = calls
        return emit_driver(calls, name)

    def _lower(self, number: int, step: Step) -> Call:
        match step:
            case KernelStep():
                return self._lower_kernel(step)
            case ContractStep():
                return self._lower_contraction(step)
            case DrawStep():
                return self._lower_draw(step)
            case LoopStep():
                return self._lower_loop(step)
            case CallStep():
                return CallOut(number)

    def _lower_kernel(self, step: KernelStep) -> KernelCall:
        """Return the call of a kernel; those of one form are emitted once."""
        module = self.module
        kernel, nodes = module.lowered(step)
        form, _ = module.form_of(step)
        if form not in module.emitted:
            module.emitted[form] = self._emit(kernel)
        call, takes_scratch = module.emitted[form]
        module.kernels[step] = call.name, kernel
        places = [self.place[node] for node in nodes]
        return replace(call, buffers=(*places, self.scratch) if takes_scratch else tuple(places))

    def _emit(self, kernel: Kernel) -> tuple[KernelCall, bool]:
        """Return the call of a kernel, buffers left out, and whether it takes scratch behind them."""
        module = self.module
        emitted = emit_kernel(kernel, "kernel", module.target)
        module.declarations |= emitted.declarations
        module.partial_bytes = max(module.partial_bytes, emitted.partial_bytes)
        takes_scratch = emitted.partial_bytes > 0
        sizes = (*kernel.sizes, *emitted.sizes)
        call = self._code(emitted.text, len(kernel.buffers) + takes_scratch, sizes, emitted.phases)
        return replace(call, may_refuse=kernel.may_refuse), takes_scratch

    def _lower_contraction(self, step: ContractStep) -> KernelCall:
        found, (left, right, *addend) = contraction.plan(step.node, step.addend)
        dtype = step.node.tensor_type.dtype
        touched = (left, right, *step.roots, *addend)
        places = [self.place[storage_node(node)] for node in touched]
        if step.node in self.placed.panels:
            found = over_panels(found, self.module.table.width(dtype))
            places[1] = self.placed.panels[step.node]
        text, sizes, share = contraction.emit_contraction(found, dtype, "kernel")
        products = contraction.products_of(found, dtype)
        self.module.declarations |= {*products.declarations, *pool.DECLARATIONS}
        self.module.products.add(products)
        return self._call(text, [*places, self.scratch], sizes, share)

    def _lower_draw(self, step: DrawStep) -> KernelCall:
        (state,) = step.node.inputs
        text, sizes, share = emit_philox(step.node.tensor_type.size, "kernel")
        places = [self.place[storage_node(node)] for node in (state, step.node)]
        return self._call(text, places, sizes, share)

    def _lower_loop(self, step: LoopStep) -> LoopCall:
        module, inner = self.module, self.placed.bodies[step.node]
        call = LoopCall(f"loop{module.loops}")
        module.loops += 1
        rounds = self.rounds * step.node.attrs["steps"]
        text = _Builder(module, inner, rounds).driver(call.body)
        module.functions += [text, emit_loop(self.placed.loops[step.node], call.name, call.body)]
        outside = dict(zip(step.node.attrs["body"].inputs, step.node.inputs, strict=True))
        before = [
            self._lower_packing(packing, self.place[storage_node(outside[packing.operand])], slot)
            for packing, slot in inner.packings.items()
        ]
        return replace(call, before=tuple(before))

    def _lower_packing(self, packing: Packing, source: int, panels: int) -> KernelCall:
        text, sizes = emit_packing(packing, "kernel")
        self.module.declarations.add(declaration(packing.dtype))
        return self._call(text, [source, panels], sizes, None)

    def _call(
        self, text: str, places: Sequence[int], sizes: Sequence[Dim], share: Share | None
    ) -> KernelCall:
        """Return the call of a kernel that is one function; adds its text to the module."""
        call = self._code(text, len(places), sizes, [Phase("", share)])
        return replace(call, buffers=tuple(places))

    def _code(
        self, text: str, pointers: int, sizes: Sequence[Dim], phases: Sequence[Phase]
    ) -> KernelCall:
        """Return the call of a kernel, buffers left out; adds its text and range functions."""
        module, table = self.module, self.module.table
        name = module.texts.setdefault(text, f"kernel{len(module.texts)}")
        kinds = ["ptr"] * pointers + ["i64"] * len(sizes)
        calls = []
        for phase in phases:
            shared, function = None, f"{name}{phase.suffix}"
            if phase.share is not None:
                module.declarations |= set(pool.DECLARATIONS)
                module.ranges[function] = emit_range(function, kinds)
                extent, cost = table.size(phase.share.extent), table.size(phase.share.cost)
                shared = SharedCall(extent, cost, phase.share.multiple)
            calls.append(PhaseCall(phase.suffix, shared))
        places = tuple(table.size(dim) for dim in sizes)
        return KernelCall(name, (), places, phases=tuple(calls))
