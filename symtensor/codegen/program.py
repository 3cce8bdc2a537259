"""Graph -> native program: kernels, driver, and the table of buffers that they work on.

    Graph -> schedule (fusion) -> kernels (loop trees) -> LLVM text -> object -> `Program`

A `Program` is what engines run. It is independent of sizes: every symbolic dim reaches the kernels
as an argument, so one compile serves all shapes. Equal kernels are compiled once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from symtensor.codegen import contraction, pool, stage, threads
from symtensor.codegen.driver import NAME, CallOut, KernelCall, SharedCall, emit_driver
from symtensor.codegen.emit import emit_kernel
from symtensor.codegen.fusion import (
    SOURCES,
    CallStep,
    ContractStep,
    KernelStep,
    Schedule,
    Step,
    is_alias,
    schedule,
    storage_node,
)
from symtensor.codegen.gemm import scratch_bytes
from symtensor.codegen.jit import LoadedCode, emit_object, load_gemm, load_pool
from symtensor.codegen.kernel import Buffer, Kernel
from symtensor.codegen.lower import lower_kernel
from symtensor.codegen.sharing import Share, emit_range
from symtensor.codegen.target import Target
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node
from symtensor.ir.types import TensorType
from symtensor.ops.slicing import positions_known

EXTREMA = ("max", "min", "argmax", "argmin")
"""Reductions that nothing has no result of."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the driver's table: where one node's elements are."""

    index: int
    node: Node
    kind: str
    """``input``, ``constant``, ``call`` (a call-out's result), ``temporary`` or ``output``."""
    first: int = 0
    """Step that writes it."""
    last: int = 0
    """Last step that reads it."""

    @property
    def type(self) -> TensorType:
        """Type of the elements."""
        return self.node.tensor_type


@dataclass(frozen=True, slots=True)
class Guard:
    """Two sizes that must agree when the program runs."""

    node: Node
    left: Dim
    right: Dim


@dataclass(frozen=True, slots=True)
class Extremum:
    """A max or min, which has no result where `reduced` elements are none and `kept` are some."""

    node: Node
    reduced: Dim
    kept: Dim


@dataclass(slots=True)
class Program:
    """Compiled code with everything needed to call it."""

    graph: Graph
    target: Target
    schedule: Schedule
    slots: list[Slot]
    sizes: list[Dim]
    guards: list[Guard]
    extrema: list[Extremum]
    slices: list[Node]
    """Slices of which only the sizes at a call tell whether they stay inside their operand."""
    kernels: dict[KernelStep, tuple[str, Kernel]]
    llvm_ir: str
    products: frozenset[DType]
    """Dtypes of the matrix products that it calls."""
    shared: bool
    """True when threads share some of its kernels."""
    code: LoadedCode | None = None
    place: dict[Node, int] = field(default_factory=dict)
    """Node -> index of its slot."""

    @property
    def scratch_bytes(self) -> int:
        """Bytes that the largest matrix product packs its operands into."""
        return max((scratch_bytes(self.target, dtype) for dtype in self.products), default=0)

    @property
    def driver(self) -> int:
        """Address of the driver."""
        assert self.code is not None
        return self.code.address(NAME)


def build_program(graph: Graph, target: Target) -> Program:
    """Return the program of a graph with its LLVM text, not yet turned into machine code."""
    return _Builder(graph, target).build()


def load_program(program: Program, target: Target) -> Program:
    """Compile the program's text and link it into this process."""
    libraries = [load_gemm(target, dtype) for dtype in program.products]
    if program.shared or program.products:
        libraries.append(load_pool())
        threads.start()
    program.code = LoadedCode(emit_object(program.llvm_ir, target), [NAME], libraries)
    return program


class _Builder:
    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph = graph
        self.target = target
        self.schedule = schedule(graph, target)
        self.last_read = self._last_reads()
        self.slots: list[Slot] = []
        self.place: dict[Node, int] = {}
        self.sizes: dict[Dim, int] = {}
        self.texts: dict[str, str] = {}
        """Kernel text with a neutral name -> its real name."""
        self.ranges: dict[str, str] = {}
        """Name of a shared kernel -> its range function."""
        self.declarations: set[str] = set()
        self.products: set[DType] = set()
        self.kernels: dict[KernelStep, tuple[str, Kernel]] = {}

    def build(self) -> Program:
        self._make_slots()
        calls = [self._lower(number, step) for number, step in enumerate(self.schedule.steps)]
        functions = [text.replace("@kernel(", f"@{name}(", 1) for text, name in self.texts.items()]
        functions += self.ranges.values()
        module = "\n\n".join([*sorted(self.declarations), *functions, emit_driver(calls)])
        return Program(
            self.graph,
            self.target,
            self.schedule,
            self.slots,
            list(self.sizes),
            guards_of(self.graph.nodes()),
            extrema_of(self.graph.nodes()),
            [n for n in self.graph.nodes() if n.op.name == "slice" and not positions_known(n)],
            self.kernels,
            module,
            frozenset(self.products),
            bool(self.ranges),
            place=self.place,
        )

    # --- buffers --------------------------------------------------------------------------------

    def _last_reads(self) -> dict[Node, int]:
        """Return for each stored node the last step that reads it."""
        last: dict[Node, int] = {}
        for number, step in enumerate(self.schedule.steps):
            for node in _step_nodes(step):
                for x in node.inputs:
                    last[_stored_behind(x, step)] = number
        return last

    def _make_slots(self) -> None:
        outputs = {storage_node(root) for root in self.graph.roots}
        nodes = self.graph.nodes()
        for node in nodes:
            if node.op.name in SOURCES:
                self._add(node, "constant" if node.op.name == "constant" else "input", 0)
        results: dict[Node, list[Node]] = {}
        for node in nodes:
            if node.op is RESULT:
                results.setdefault(node.inputs[0], []).append(node)
        for number, step in enumerate(self.schedule.steps):
            if isinstance(step, (KernelStep, ContractStep)):
                for root in roots_of(step):
                    self._add(root, "output" if root in outputs else "temporary", number)
            else:
                for node in results.get(step.node, [step.node]):
                    self._add(node, "call", number)

    def _add(self, node: Node, kind: str, first: int) -> None:
        last = self.last_read.get(node, first)
        self.place[node] = len(self.slots)
        self.slots.append(Slot(len(self.slots), node, kind, first, max(first, last)))

    # --- kernels --------------------------------------------------------------------------------

    def _lower(self, number: int, step: Step) -> KernelCall | CallOut:
        if isinstance(step, CallStep):
            return CallOut(number)
        if isinstance(step, ContractStep):
            return self._lower_contraction(step)
        buffers: dict[Node, Buffer] = {}

        def buffer(node: Node) -> Buffer:
            stored = storage_node(node)
            if stored not in buffers:
                buffers[stored] = Buffer(len(buffers), stored.tensor_type.dtype)
            return buffers[stored]

        reader = stage.Reader(lambda node: node in step.inlined, buffer)
        roots = [(root, buffer(root)) for root in step.roots]
        kernel = lower_kernel(stage.read_kernel(roots, reader, step.roots[0].tensor_type))
        emitted = emit_kernel(kernel, "kernel", self.target)
        self.declarations |= emitted.declarations
        by_buffer = {b: node for node, b in buffers.items()}
        places = [self.place[by_buffer[b]] for b in kernel.buffers]
        call = self._call(emitted.text, places, kernel.sizes, emitted.share)
        call = replace(call, may_refuse=kernel.may_refuse)
        self.kernels[step] = call.name, kernel
        return call

    def _lower_contraction(self, step: ContractStep) -> KernelCall:
        found, left, right = contraction.plan(step.node)
        dtype = step.node.tensor_type.dtype
        text, sizes, share = contraction.emit_contraction(found, dtype, "kernel")
        self.declarations |= {contraction.declaration(dtype), *pool.DECLARATIONS}
        self.products.add(contraction.arithmetic(dtype))
        places = [self.place[storage_node(node)] for node in (left, right, step.node)]
        return self._call(text, [*places, len(self.slots)], sizes, share)

    def _call(
        self, text: str, places: Sequence[int], sizes: Sequence[Dim], share: Share | None
    ) -> KernelCall:
        name = self.texts.setdefault(text, f"kernel{len(self.texts)}")
        numbers = tuple(self._size(dim) for dim in sizes)
        shared = None
        if share is not None:
            self.declarations |= set(pool.DECLARATIONS)
            self.ranges[name] = emit_range(name, ["ptr"] * len(places) + ["i64"] * len(sizes))
            extent, cost = self._size(share.extent), self._size(share.cost)
            shared = SharedCall(extent, cost, share.multiple)
        return KernelCall(name, tuple(places), numbers, share=shared)

    def _size(self, dim: Dim) -> int:
        return self.sizes.setdefault(dim, len(self.sizes))


def roots_of(step: KernelStep | ContractStep) -> tuple[Node, ...]:
    """Return the nodes that a native step computes."""
    return step.roots if isinstance(step, KernelStep) else (step.node,)


def _step_nodes(step: Step) -> Iterable[Node]:
    return step.inlined if isinstance(step, KernelStep) else (step.node,)


def _stored_behind(node: Node, step: Step) -> Node:
    """Return the stored node that `step` touches when it reads `node`."""
    inside = step.inlined if isinstance(step, KernelStep) else frozenset()
    while node.inputs and node not in inside and _is_seen_through(node, step):
        node = node.inputs[0]
    return node


def _is_seen_through(node: Node, step: Step) -> bool:
    if is_alias(node):
        return True
    return not isinstance(step, KernelStep) and stage.view_map(node) is not None


def guards_of(nodes: Iterable[Node]) -> list[Guard]:
    """Return the equalities of sizes that the nodes assume and nothing proves."""
    guards = []
    for node in nodes:
        if node.op.name == "specify_shape":
            (x,) = node.inputs
            pairs = list(zip(x.tensor_type.shape, node.attrs["shape"], strict=True))
        elif node.op.name == "reshape":
            pairs = [(node.inputs[0].tensor_type.size, node.tensor_type.size)]
        else:
            continue
        guards += [Guard(node, a, b) for a, b in pairs if not D.same(a, b)]
    return guards


def extrema_of(nodes: Iterable[Node]) -> list[Extremum]:
    """Return the native maxima and minima whose operands may turn out empty."""
    found = []
    for node in nodes:
        if stage.is_reduction(node) and node.op.family.combiner in EXTREMA:
            shape = node.inputs[0].tensor_type.shape
            reduced = D.product(shape[axis] for axis in node.attrs["axes"])
            if not isinstance(reduced, int):
                found.append(Extremum(node, reduced, node.tensor_type.size))
    return found
