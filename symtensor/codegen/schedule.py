"""Schedules: what runs in which order, over which stored nodes.

A `Schedule` is the program form between the graph and the loop trees: fused kernels, matrix products,
random draws, native loops and call-outs, each of which reads and writes nodes that have a buffer.
`symtensor.codegen.fusion` decides what they are; here they are put in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from symtensor.codegen import stage
from symtensor.codegen.packing import Packing
from symtensor.errors import LoweringError
from symtensor.ir.node import Node

SOURCES = frozenset({"placeholder", "parameter", "variable", "constant"})
"""Ops whose nodes no step computes."""


@dataclass(frozen=True, slots=True)
class KernelStep:
    """Compute `roots` in the loops of one fused kernel; `inlined` is what it computes."""

    roots: tuple[Node, ...]
    inlined: frozenset[Node]
    columns: tuple[Node, ...] = ()
    """The last of the roots, where these fold over the rows that the others have values for."""

    def in_order(self) -> list[Node]:
        """Return what it computes and what that reads, producers first."""
        order: list[Node] = []
        seen: set[Node] = set()
        stack = [(root, False) for root in reversed(self.roots)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                if node in self.inlined:
                    stack += [(x, False) for x in reversed(node.inputs)]
        return order


@dataclass(frozen=True, slots=True)
class NodeStep:
    """Compute one node by itself: it is all that such a step inlines and its only root."""

    node: Node

    @property
    def roots(self) -> tuple[Node, ...]:
        """The node."""
        return (self.node,)

    @property
    def inlined(self) -> frozenset[Node]:
        """The node."""
        return frozenset({self.node})


class CallStep(NodeStep):
    """Evaluate `node` by its NumPy rule."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ContractStep(NodeStep):
    """Compute `node`, a contraction, by native matrix products, or its sum with something else."""

    total: Node | None = None
    """The sum, where that is what it writes (`symtensor.codegen.addends`)."""

    @property
    def roots(self) -> tuple[Node, ...]:
        """What it writes."""
        return (self.node if self.total is None else self.total,)

    @property
    def inlined(self) -> frozenset[Node]:
        """The product, and the sum."""
        return frozenset({self.node, *self.roots})

    @property
    def addend(self) -> Node | None:
        """What it adds to."""
        if self.total is None:
            return None
        left, right = self.total.inputs
        return right if left is self.node else left


class DrawStep(NodeStep):
    """Write the random words that `node` draws from its state."""

    __slots__ = ()


class LoopStep(NodeStep):
    """Run the body of `node`, a scan, in a native loop."""

    __slots__ = ()


Step = KernelStep | ContractStep | DrawStep | LoopStep | CallStep


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a node: ``fused`` into kernels, ``not fused`` with one, ``read through`` as a view,
    ``stored``, or ``packed`` before the loop whose products read it."""

    kind: str
    node: Node
    into: tuple[Node, ...] = ()
    """Roots of the kernels that compute it, or do not."""
    why: str = ""
    """Why it is stored, or packed, or not fused."""


@dataclass(slots=True)
class Schedule:
    """Steps in execution order, with all decisions."""

    steps: list[Step]
    remarks: list[Decision] = field(default_factory=list)
    bodies: dict[Node, Schedule] = field(default_factory=dict)
    """Node of each `LoopStep` -> the schedule of its body."""
    packed: dict[Node, Packing] = field(default_factory=dict)
    """In the schedule of a body, the products whose right operand is packed before the loop."""


def storage_node(node: Node) -> Node:
    """Return the node whose buffer holds `node`: a reshape that is no view shares its input's."""
    while is_alias(node):
        node = node.inputs[0]
    return node


def is_alias(node: Node) -> bool:
    """Return True for a reshape that no affine map describes: the same memory, another shape."""
    return node.op.name == "reshape" and stage.view_map(node) is None


def possibly_read(step: Step) -> Iterator[Node]:
    """Yield the nodes that a step reads and those it may read them through, down to the stored ones.

    A view on the way may be stored itself, where the step could not read it as strides of another.
    """
    for node in step.inlined:
        for x in node.inputs:
            yield x
            while x.inputs and x not in step.inlined and _is_seen_through(x, step):
                x = x.inputs[0]
                yield x


def _is_seen_through(node: Node, step: Step) -> bool:
    if is_alias(node):
        return True
    through_views = isinstance(step, (ContractStep, CallStep))
    return through_views and stage.view_map(node) is not None


def ordered(step_of: Mapping[Node, Step], nodes: Sequence[Node]) -> list[Step]:
    """Return steps such that every buffer is written before it is read.

    `step_of` says for every stored node what writes it; `nodes` are all, producers first. Raises
    `LoweringError` where steps wait for each other.
    """
    needs = _dependencies(step_of)
    order: list[Step] = []
    done: set[Step] = set()
    waiting: dict[Step, None] = {}
    for node in nodes:
        stack = [(step_of[node], False)] if node in step_of else []
        while stack:
            step, ready = stack.pop()
            if step in done:
                continue
            if ready:
                done.add(step)
                order.append(step)
                del waiting[step]
            elif step in waiting:
                raise _cycle([*waiting], step)
            else:
                waiting[step] = None
                stack.append((step, True))
                stack += [(need, False) for need in needs[step] if need not in done]
    return order


def _cycle(waiting: Sequence[Step], first: Step) -> LoweringError:
    """Return the error of the last steps, from `first` on, each of which needs the next."""
    around = [*waiting[waiting.index(first) :], first]
    named = ["{" + ", ".join(map(repr, step.roots)) + "}" for step in around]
    return LoweringError(f"fusion made steps that wait for each other: {' needs '.join(named)}")


def stored_operands(step: Step, step_of: Mapping[Node, Step]) -> Iterator[tuple[Node, Node]]:
    """Yield the operands that a step finds in memory, each with the stored node that it is there."""
    for node in step.inlined:
        for x in node.inputs:
            base = x
            while base not in step_of and base not in step.inlined and base.inputs:
                base = base.inputs[0]  # through views, aliases and results
            if base in step_of:
                yield x, base


def _dependencies(step_of: Mapping[Node, Step]) -> dict[Step, list[Step]]:
    """Return what each step reads the results of, in the same order in every process."""
    out: dict[Step, dict[Step, None]] = {step: {} for step in step_of.values()}
    for step in out:
        for _, base in stored_operands(step, step_of):
            if step_of[base] is not step:
                out[step][step_of[base]] = None
    place = {step: i for i, step in enumerate(out)}  # sets have no order of their own
    return {step: sorted(needs, key=place.__getitem__) for step, needs in out.items()}
