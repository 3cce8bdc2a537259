"""Slots: which stored node lies where in the driver's table, and from which step to which it is needed.

In: a schedule. Out: a `Slot` per buffer in one `Table`, which the graph and the bodies of its loops
share, and for every loop a `LoopPlan` of what its code moves (`symtensor.codegen.loops`). Bytes are
dealt out later, at a call, by these lives (`symtensor.codegen.memory`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from symtensor.codegen import contraction
from symtensor.codegen.in_place import Lowering, over_operands
from symtensor.codegen.loops import Carry, LoopPlan, Rows
from symtensor.codegen.microkernels import blocking
from symtensor.codegen.packing import Packing
from symtensor.codegen.schedule import (
    SOURCES,
    CallStep,
    LoopStep,
    Schedule,
    Step,
    possibly_read,
    storage_node,
)
from symtensor.codegen.target import Target
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, results
from symtensor.ir.types import TensorType

READ_BY_LOOP = 0.9
"""Within the time of a loop, when its operands and results are last in use: after all of its body."""


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


class Table:
    """What the driver works on: a place for every buffer, and for every size."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.slots: list[Slot] = []
        self.sizes: dict[Dim, int] = {}

    def add(
        self, node: Node, kind: str, first: float, last: float, packed: Dim | None = None
    ) -> int:
        """Make a slot and return its place."""
        self.slots.append(Slot(len(self.slots), node, kind, first, last, packed))
        return len(self.slots) - 1

    def size(self, dim: Dim) -> int:
        """Return the place of a size in the list of all sizes."""
        return self.sizes.setdefault(dim, len(self.sizes))

    def width(self, dtype: DType) -> int:
        """Return the columns of a panel."""
        return blocking(self.target, contraction.arithmetic(dtype)).width


class Placement:
    """The places of the stored nodes of one graph: the whole, or the body of a loop.

    A body runs within the step of its loop: `start` and `unit` place its steps in the time of the
    whole, by which memory is shared out.
    """

    def __init__(
        self, graph: Graph, plan: Schedule, table: Table, lowering: Lowering, start: float = 0.0,
        unit: float = 1.0,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.schedule = plan
        self.table = table
        self.lowering = lowering
        self.start = start
        self.unit = unit
        self.roots = {storage_node(root) for root in graph.roots}
        self.last_read = self._last_reads()
        self.place: dict[Node, int] = {}
        self.bodies: dict[Node, Placement] = {}
        self.loops: dict[Node, LoopPlan] = {}
        self.panels: dict[Node, int] = {}
        """Product of a loop's body -> place of its right operand's panels."""
        self.packings: dict[Packing, int] = {}
        """What must be packed before the loop that this is the body of, and where."""

    def _time(self, number: float) -> float:
        return self.start + number * self.unit

    def _last_reads(self) -> dict[Node, float]:
        """Return for each stored node when it is last read."""
        last: dict[Node, float] = {}
        for number, step in enumerate(self.schedule.steps):
            end = number + READ_BY_LOOP if isinstance(step, LoopStep) else number
            last |= dict.fromkeys(possibly_read(step), self._time(end))
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
            roots = present.get(step.node, []) if isinstance(step, LoopStep) else step.roots
            self._add_roots(step, number, roots, kinds)
            if isinstance(step, LoopStep):
                self._make_loop_slots(step, number)

    def _add_roots(
        self, step: Step, number: int, roots: Sequence[Node], kinds: Mapping[Node, str]
    ) -> None:
        """Give the results of a step a place, over an operand where that may be."""
        busy = number + READ_BY_LOOP if isinstance(step, LoopStep) else number
        over = self._over_operands(step, self._time(busy))
        for root in roots:
            kind = kinds.get(root, "temporary")
            end = len(self.schedule.steps) if kind == "kept" else busy  # copied after the round
            last = max(self._time(end), self.last_read.get(root, 0.0))
            if root in over and kind == "temporary":
                self._take_over(root, over[root], last)
            else:
                self.add(root, kind, self._time(number), last)

    def add(self, node: Node, kind: str, first: float, last: float | None = None) -> int:
        """Make a slot for a node and return its place."""
        if last is None:
            last = max(first, self.last_read.get(node, first))
        self.place[node] = self.table.add(node, kind, first, last)
        return self.place[node]

    def _over_operands(self, step: Step, time: float) -> dict[Node, Node]:
        """Return the results of a step that can lie over an operand that nothing reads later."""
        body = self.schedule.bodies.get(step.roots[0])
        return {
            root: operand
            for root, operand in over_operands(step, body, self.lowering)
            if self.table.slots[self.place[operand]].kind == "temporary"
            and self.last_read[operand] <= time
            and operand not in self.roots
        }

    def _take_over(self, root: Node, operand: Node, last: float) -> None:
        """Give a result the place of an operand."""
        self.place[root] = place = self.place[operand]
        slot = self.table.slots[place]
        self.table.slots[place] = replace(slot, last=max(slot.last, last))

    # --- loops ------------------------------------------------------------------------------------

    def _make_loop_slots(self, step: LoopStep, number: int) -> None:
        """Give a place to everything in a loop: its body's buffers and the spares of its carries."""
        plan, body = self.schedule.bodies[step.node], step.node.attrs["body"]
        unit = self.unit * 0.7 / (len(plan.steps) + 1)
        start = self._time(number + 0.1)
        inner = Placement(body, plan, self.table, self.lowering, start, unit)
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
        loop = LoopPlan(self.table.size(node.attrs["steps"]), node.attrs["reverse"])
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
        size, place = self.table.size, inner.place
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
                size = packing.size(self.table.width(packing.dtype))
                slot = self.table.add(packing.operand, "kept", first, last, size)
                inner.packings[packing] = slot
            inner.panels[product] = inner.packings[packing]

    def _unread(self, node: Node, index: int, first: float, last: float) -> int:
        """Make memory for a stacked output that nobody reads."""
        return self.add(results(node)[index], "kept", first, last)


def _bytes_of(type_: TensorType) -> Dim:
    return type_.size * type_.dtype.itemsize
