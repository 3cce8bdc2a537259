"""Graph -> native program: kernels, driver, and the table of buffers that they work on.

    Graph -> schedule (fusion) -> kernels (loop trees) -> LLVM text -> object -> `Program`

A `Program` is what engines run. It is independent of sizes: every symbolic dim reaches the kernels
as an argument, so one compile serves all shapes. Equal kernels are compiled once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from symtensor.codegen import contraction, pool, stage, threads
from symtensor.codegen.driver import (
    NAME,
    Call,
    CallOut,
    KernelCall,
    LoopCall,
    SharedCall,
    emit_driver,
)
from symtensor.codegen.emit import emit_kernel, instructions
from symtensor.codegen.fusion import schedule
from symtensor.codegen.gemm import scratch_bytes
from symtensor.codegen.jit import LoadedCode, load_module, load_pool
from symtensor.codegen.kernel import Buffer, Kernel
from symtensor.codegen.loops import Carry, LoopPlan, Rows, emit_copy, emit_loop
from symtensor.codegen.lower import lower_kernel
from symtensor.codegen.microkernels import blocking
from symtensor.codegen.packing import Packing, declaration, emit_packing, over_panels
from symtensor.codegen.philox import emit_philox
from symtensor.codegen.repeats import form_of
from symtensor.codegen.reuse import keep_rows
from symtensor.codegen.schedule import (
    SOURCES,
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
from symtensor.codegen.sharing import Share, emit_range
from symtensor.codegen.target import Target
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, results
from symtensor.ir.types import TensorType
from symtensor.ops.slicing import needs_check

EXTREMA = ("max", "min", "argmax", "argmin")
"""Reductions that nothing has no result of."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the driver's table: where one node's elements are."""

    index: int
    node: Node
    kind: str
    """``input``, ``constant``, ``call`` (a call-out's result), ``temporary`` or ``output``; in the body
    of a loop ``kept`` (memory for the whole loop) or ``pointer`` (set by the loop)."""
    first: float = 0
    """Step that writes it."""
    last: float = 0
    """Last step that reads it."""
    packed: Dim | None = None
    """For panels of the node as matrix products read them, how many elements they have."""

    @property
    def type(self) -> TensorType:
        """Type of the elements."""
        type_ = self.node.tensor_type
        return type_ if self.packed is None else TensorType(type_.dtype, (self.packed,))


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


@dataclass(frozen=True, slots=True)
class Checks:
    """What only the sizes at a call can tell about a graph, or about a body if it runs at all."""

    guards: list[Guard]
    extrema: list[Extremum]
    slices: list[Node]
    """Slices that might leave their operand."""
    rounds: Dim
    """How often the nodes run in one call."""


@dataclass(slots=True)
class Program:
    """Compiled code with everything needed to call it."""

    graph: Graph
    target: Target
    schedule: Schedule
    slots: list[Slot]
    sizes: list[Dim]
    checks: list[Checks]
    kernels: dict[KernelStep, tuple[str, Kernel]]
    llvm_ir: str
    products: frozenset[DType]
    """Dtypes of the matrix products that it calls."""
    shared: bool
    """True when threads share some of its kernels."""
    drivers: dict[str, list[Call]]
    """Of each driver, that of the whole and those of the bodies of loops, what it does for each step."""
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
    plan, module = schedule(graph, target), _Module(target)
    builder = _Builder(graph, plan, module)
    builder.make_slots(dict.fromkeys((storage_node(root) for root in graph.roots), "output"))
    text = module.text(builder.driver(NAME))
    return Program(
        graph,
        target,
        plan,
        module.slots,
        list(module.sizes),
        module.checks,
        module.kernels,
        text,
        frozenset(module.products),
        bool(module.ranges),
        module.drivers,
        place=builder.place,
    )


def load_program(program: Program, target: Target) -> Program:
    """Compile the program's text and link it into this process."""
    libraries = []
    if program.shared or program.products:
        libraries.append(load_pool())
        threads.start()
    program.code = load_module(program.llvm_ir, [NAME], target, program.products, libraries)
    return program


READ_BY_LOOP = 0.9
"""Within the time of a loop, when its operands and results are last in use: after all of its body."""


Repeat = tuple[KernelCall, Kernel, tuple[int, ...]]
"""The call of a kernel, the kernel, and which of the nodes it touches its buffers are."""


class _Module:
    """What the graph and the bodies of its loops share: one table, one list of sizes, one text."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.slots: list[Slot] = []
        self.sizes: dict[Dim, int] = {}
        self.texts: dict[str, str] = {}
        """Kernel text with a neutral name -> its real name."""
        self.repeats: dict[Hashable, Repeat] = {}
        """Form of a kernel -> what lowering one of that form gave."""
        self.ranges: dict[str, str] = {}
        """Name of a shared kernel -> its range function."""
        self.functions: list[str] = []
        """Loops and the drivers of their bodies."""
        self.declarations: set[str] = set()
        self.products: set[DType] = set()
        self.kernels: dict[KernelStep, tuple[str, Kernel]] = {}
        self.checks: list[Checks] = []
        self.drivers: dict[str, list[Call]] = {}
        self.loops = 0

    def width(self, dtype: DType) -> int:
        """Return the columns of a panel."""
        return blocking(self.target, contraction.arithmetic(dtype)).width

    def size(self, dim: Dim) -> int:
        """Return the place of a size in the list of all sizes."""
        return self.sizes.setdefault(dim, len(self.sizes))

    def text(self, driver: str) -> str:
        """Return the module with its main driver."""
        functions = [text.replace("@kernel(", f"@{name}(", 1) for text, name in self.texts.items()]
        functions += [*self.ranges.values(), *self.functions]
        if self.loops:
            functions.append(emit_copy())
        return "\n\n".join([*sorted(self.declarations), *functions, driver])


class _Builder:
    """Builds the program of one graph: the whole, or the body of a loop.

    A body runs within the step of its loop: `start` and `unit` place its steps in the time of the
    whole, by which memory is shared out.
    """

    def __init__(
        self, graph: Graph, plan: Schedule, module: _Module, start: float = 0.0, unit: float = 1.0
    ) -> None:
        self.graph = graph
        self.schedule = plan
        self.module = module
        self.start = start
        self.unit = unit
        self.last_read = self._last_reads()
        self.place: dict[Node, int] = {}
        self.rounds: Dim = 1
        """How often it runs in one call."""
        self.bodies: dict[Node, _Builder] = {}
        self.loops: dict[Node, LoopPlan] = {}
        self.panels: dict[Node, int] = {}
        """Product of a loop's body -> place of its right operand's panels."""
        self.packings: dict[Packing, int] = {}
        """What must be packed before the loop that this is the body of, and where."""

    # --- buffers --------------------------------------------------------------------------------

    def _time(self, number: float) -> float:
        return self.start + number * self.unit

    def _last_reads(self) -> dict[Node, float]:
        """Return for each stored node when it is last read."""
        last: dict[Node, float] = {}
        for number, step in enumerate(self.schedule.steps):
            end = number + READ_BY_LOOP if isinstance(step, LoopStep) else number
            for node in _step_nodes(step):
                for x in node.inputs:
                    for read in _possibly_read(x, step):
                        last[read] = self._time(end)
        return last

    def make_slots(self, kinds: Mapping[Node, str], inputs: str = "input") -> None:
        """Give every stored node a place; `kinds` says what roots are, the others are temporary."""
        nodes = self.graph.nodes()
        for node in nodes:
            if node.op.name in SOURCES:
                self.add(node, "constant" if node.op.name == "constant" else inputs, self.start)
        present: dict[Node, list[Node]] = {}
        for node in nodes:
            if node.op is RESULT:
                present.setdefault(node.inputs[0], []).append(node)
        for number, step in enumerate(self.schedule.steps):
            time = self._time(number)
            if isinstance(step, CallStep):
                for node in present.get(step.node, [step.node]):
                    self.add(node, "call", time)
                continue
            roots = present.get(step.node, []) if isinstance(step, LoopStep) else roots_of(step)
            busy = number + READ_BY_LOOP if isinstance(step, LoopStep) else number
            for root in roots:
                kind = kinds.get(root, "temporary")
                end = len(self.schedule.steps) if kind == "kept" else busy  # copied after the round
                last = max(self._time(end), self.last_read.get(root, 0.0))
                self.add(root, kind, time, last)
            if isinstance(step, LoopStep):
                self._make_loop_slots(step, number)

    def add(self, node: Node, kind: str, first: float, last: float | None = None) -> int:
        """Make a slot for a node and return its place."""
        if last is None:
            last = max(first, self.last_read.get(node, first))
        self.place[node] = self._new_slot(node, kind, first, last)
        return self.place[node]

    def _new_slot(
        self, node: Node, kind: str, first: float, last: float, packed: Dim | None = None
    ) -> int:
        slots = self.module.slots
        slots.append(Slot(len(slots), node, kind, first, last, packed))
        return len(slots) - 1

    def _make_loop_slots(self, step: LoopStep, number: int) -> None:
        """Give a place to everything in a loop: its body's buffers and the spares of its carries."""
        plan, body = self.schedule.bodies[step.node], step.node.attrs["body"]
        unit = self.unit * 0.7 / (len(plan.steps) + 1)
        inner = _Builder(body, plan, self.module, self._time(number + 0.1), unit)
        self.bodies[step.node] = inner
        loop, direct = self._plan_loop(step.node)
        kinds = dict.fromkeys((storage_node(root) for root in body.outputs), "kept")
        inner.make_slots(kinds | dict.fromkeys(direct, "pointer"), inputs="pointer")
        first, last = self._time(number), self._time(number + READ_BY_LOOP)
        self._place_loop(step.node, loop, first, last)
        self._place_panels(step.node, first, last)

    def _plan_loop(self, node: Node) -> tuple[LoopPlan, set[Node]]:
        """Return the plan of a loop without places, and what its body writes where it belongs."""
        body, count = node.attrs["body"], node.attrs["carries"]
        loop = LoopPlan(self.module.size(node.attrs["steps"]), node.attrs["reverse"])
        stored = [storage_node(root) for root in body.outputs]
        lenders: dict[Node, int] = {}
        for i, root in enumerate(stored[count:]):
            direct = root not in lenders and root.op.name not in SOURCES
            if direct:
                lenders[root] = i
            loop.outputs.append(Rows(0, 0, 0, direct))
        written: set[Node] = set(lenders)
        for root in stored[:count]:
            carry = Carry(0, None, 0, (0, 0), None, 0)
            if root in lenders:
                carry.how, carry.lender = "borrowed", lenders[root]
            elif root not in written and root.op.name not in SOURCES:
                carry.how = "written"
                written.add(root)
            loop.carries.append(carry)
        return loop, written

    def _place_loop(self, node: Node, loop: LoopPlan, first: float, last: float) -> None:
        """Fill in where everything stands."""
        inner, body = self.bodies[node], node.attrs["body"]
        size, place = self.module.size, inner.place
        results_ = {
            x.attrs["index"]: x for x in self.place if x.op is RESULT and x.inputs[0] is node
        }
        operands = [self.place[storage_node(x)] for x in node.inputs]
        count, rows = len(loop.carries), node.attrs["sequences"]
        stored = [storage_node(root) for root in body.outputs]
        for i, carry in enumerate(loop.carries):
            carry.initial, carry.parameter = operands[i], place.get(body.inputs[i])
            carry.source = place[stored[i]]
            carry.bytes = size(_bytes_of(body.inputs[i].tensor_type))
            carry.result = self.place[results_[i]] if i in results_ else None
            kind = body.inputs[i]
            spares = [inner.add(kind, "kept", first, last) for _ in range(2)]
            carry.spares = (spares[0], spares[1])
            if carry.parameter is not None:
                place[kind] = carry.parameter
        for i, array in enumerate(operands[count : count + rows], count):
            if body.inputs[i] in place:
                bytes_ = size(_bytes_of(body.inputs[i].tensor_type))
                loop.sequences.append(Rows(array, place[body.inputs[i]], bytes_))
        for i, output in enumerate(loop.outputs, count):
            result = results_.get(i)
            array = self.place[result] if result is not None else self._unread(node, i, first, last)
            output.array, output.body = array, place[stored[i]]
            output.bytes = size(_bytes_of(stored[i].tensor_type))
        for i, array in enumerate(operands[count + rows :], count + rows):
            if body.inputs[i] in place:
                loop.captured.append((array, place[body.inputs[i]]))
        self.loops[node] = loop

    def _place_panels(self, node: Node, first: float, last: float) -> None:
        """Make memory for what is packed before a loop; products may share it."""
        inner = self.bodies[node]
        for product, packing in inner.schedule.packed.items():
            if packing not in inner.packings:
                size = packing.size(self.module.width(packing.dtype))
                slot = self._new_slot(packing.operand, "kept", first, last, size)
                inner.packings[packing] = slot
            inner.panels[product] = inner.packings[packing]

    def _unread(self, node: Node, index: int, first: float, last: float) -> int:
        """Make memory for a stacked output that nobody reads."""
        return self.add(results(node)[index], "kept", first, last)

    # --- kernels --------------------------------------------------------------------------------

    def driver(self, name: str) -> str:
        """Return the driver of this graph, after adding its kernels to the module."""
        self.module.checks.append(checks_of(self.graph.nodes(), self.rounds))
        calls = [self._lower(number, step) for number, step in enumerate(self.schedule.steps)]
        self.module.drivers[name] = calls
        return emit_driver(calls, name)

    def _lower(self, number: int, step: Step) -> Call:
        if isinstance(step, CallStep):
            return CallOut(number)
        if isinstance(step, ContractStep):
            return self._lower_contraction(step)
        if isinstance(step, DrawStep):
            return self._lower_draw(step)
        if isinstance(step, LoopStep):
            return self._lower_loop(step)
        form, touched = form_of(step)
        if form not in self.module.repeats:
            self.module.repeats[form] = self._lower_kernel(step, touched)
        call, kernel, order = self.module.repeats[form]
        self.module.kernels[step] = call.name, kernel
        return replace(call, buffers=tuple(self.place[touched[i]] for i in order))

    def _lower_kernel(self, step: KernelStep, touched: Sequence[Node]) -> Repeat:
        """Return the call of a kernel, the kernel, and the places among `touched` of its buffers."""
        buffers: dict[Node, Buffer] = {}

        def buffer(node: Node) -> Buffer:
            stored = storage_node(node)
            if stored not in buffers:
                buffers[stored] = Buffer(len(buffers), stored.tensor_type.dtype)
            return buffers[stored]

        reader = stage.Reader(lambda node: node in step.inlined, buffer)
        roots = [(root, buffer(root)) for root in step.roots]
        kernel = lower_kernel(*stage.read_kernel(roots, reader))
        keep_rows(kernel, lambda value: instructions(value, self.module.target))
        emitted = emit_kernel(kernel, "kernel", self.module.target)
        self.module.declarations |= emitted.declarations
        number = {node: i for i, node in enumerate(touched)}
        by_buffer = {b: number[node] for node, b in buffers.items()}
        order = tuple(by_buffer[b] for b in kernel.buffers)
        places = [self.place[touched[i]] for i in order]
        call = self._call(emitted.text, places, kernel.sizes, emitted.share)
        return replace(call, may_refuse=kernel.may_refuse), kernel, order

    def _lower_contraction(self, step: ContractStep) -> KernelCall:
        found, left, right = contraction.plan(step.node)
        dtype = step.node.tensor_type.dtype
        places = [self.place[storage_node(node)] for node in (left, right, step.node)]
        if step.node in self.panels:
            found = over_panels(found, self.module.width(dtype))
            places[1] = self.panels[step.node]
        text, sizes, share = contraction.emit_contraction(found, dtype, "kernel")
        self.module.declarations |= {*contraction.declarations(dtype), *pool.DECLARATIONS}
        self.module.products.add(contraction.arithmetic(dtype))
        return self._call(text, [*places, len(self.module.slots)], sizes, share)

    def _lower_draw(self, step: DrawStep) -> KernelCall:
        (state,) = step.node.inputs
        text, sizes, share = emit_philox(step.node.tensor_type.size, "kernel")
        places = [self.place[storage_node(node)] for node in (state, step.node)]
        return self._call(text, places, sizes, share)

    def _lower_loop(self, step: LoopStep) -> LoopCall:
        module, inner = self.module, self.bodies[step.node]
        call = LoopCall(f"loop{module.loops}")
        module.loops += 1
        inner.rounds = self.rounds * step.node.attrs["steps"]
        text = inner.driver(call.body)
        module.functions += [text, emit_loop(self.loops[step.node], call.name, call.body)]
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
        module = self.module
        name = module.texts.setdefault(text, f"kernel{len(module.texts)}")
        numbers = tuple(module.size(dim) for dim in sizes)
        shared = None
        if share is not None:
            module.declarations |= set(pool.DECLARATIONS)
            module.ranges[name] = emit_range(name, ["ptr"] * len(places) + ["i64"] * len(sizes))
            extent, cost = module.size(share.extent), module.size(share.cost)
            shared = SharedCall(extent, cost, share.multiple)
        return KernelCall(name, tuple(places), numbers, share=shared)


def roots_of(step: KernelStep | ContractStep | DrawStep) -> tuple[Node, ...]:
    """Return the nodes that a native step computes."""
    return step.roots if isinstance(step, KernelStep) else (step.node,)


def _step_nodes(step: Step) -> Iterable[Node]:
    return step.inlined if isinstance(step, KernelStep) else (step.node,)


def _possibly_read(node: Node, step: Step) -> Iterator[Node]:
    """Yield a node that `step` reads and those it may be read through, down to the stored one.

    A view on the way may be stored itself, where the step could not read it as strides of another.
    """
    inside = step.inlined if isinstance(step, KernelStep) else frozenset()
    yield node
    while node.inputs and node not in inside and _is_seen_through(node, step):
        node = node.inputs[0]
        yield node


def _is_seen_through(node: Node, step: Step) -> bool:
    if is_alias(node):
        return True
    through_views = isinstance(step, (ContractStep, CallStep))
    return through_views and stage.view_map(node) is not None


def _bytes_of(type_: TensorType) -> Dim:
    return type_.size * type_.dtype.itemsize


def checks_of(nodes: Iterable[Node], rounds: Dim) -> Checks:
    """Return what must be checked, when the program is called, of nodes that run `rounds` times."""
    nodes = list(nodes)
    slices = [node for node in nodes if needs_check(node)]
    return Checks(guards_of(nodes), extrema_of(nodes), slices, rounds)


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
