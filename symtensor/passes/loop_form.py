"""Scans taken apart, for passes that change what a loop carries, reads and stacks.

A scan node numbers its operands, the parameters of its body and its results by position. `LoopForm`
holds the same as lists of named parts; `build` numbers them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from symtensor.ir.dims import Dim
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.node import RESULT, Node, make_node
from symtensor.ops.bodies import parameters

Results = Mapping[int, Node]
"""Result number of the scan that was -> the node that replaces it."""


@dataclass(slots=True)
class Carry:
    """State: what it starts as, how the body reads it, its next value."""

    initial: Node
    parameter: Node
    following: Node
    result: int | None
    """Number of its last value among the old results; None when nobody reads that."""


@dataclass(slots=True)
class Read:
    """A sequence, whose row the body reads, or a captured tensor, which it reads as it is."""

    outer: Node
    parameter: Node


@dataclass(slots=True)
class Output:
    """A value of the body, stacked over the steps."""

    value: Node
    result: int | None
    """Its number among the old results; None for one that a pass has added."""


@dataclass(slots=True)
class LoopForm:
    """A scan as parts."""

    node: Node
    carries: list[Carry]
    rows: list[Read]
    captured: list[Read]
    outputs: list[Output]
    test: Node | None
    """The condition that ends the loop early."""

    @property
    def steps(self) -> Dim:
        """How many steps there are, ended early or not."""
        steps: Dim = self.node.attrs["steps"]
        return steps

    def roots(self) -> list[Node]:
        """Return everything the body computes."""
        values = [*(c.following for c in self.carries), *(o.value for o in self.outputs)]
        return [*values, self.test] if self.test is not None else values

    def replace(self, mapping: Mapping[Node, Node]) -> None:
        """Replace nodes of the body."""
        found = iter(replace_nodes(self.roots(), mapping))
        for carry in self.carries:
            carry.following = next(found)
        for output in self.outputs:
            output.value = next(found)
        if self.test is not None:
            self.test = next(found)

    def new_parameter(self, type_of: Node) -> Node:
        """Return a parameter that the body does not have yet."""
        parts: list[Carry | Read] = [*self.carries, *self.rows, *self.captured]
        own = [x.parameter.attrs["index"] for x in parts]
        return parameters([type_of.tensor_type], 1 + max(own, default=-1))[0].node

    def build(self) -> tuple[Results, list[Node]]:
        """Return what replaces the old results, and the stacks of `outputs` in order."""
        parts: list[Carry | Read] = [*self.carries, *self.rows, *self.captured]
        old = [x.parameter for x in parts]
        new = [x.node for x in parameters([x.tensor_type for x in old])]
        roots = replace_nodes(self.roots(), dict(zip(old, new, strict=True)))
        operands = [c.initial for c in self.carries]
        operands += [x.outer for x in (*self.rows, *self.captured)]
        attrs = dict(self.node.attrs) | {
            "body": Graph(tuple(new), tuple(roots)),
            "carries": len(self.carries),
            "sequences": len(self.rows),
        }
        scan = make_node(self.node.op, operands, attrs, loc=self.node.loc, name=self.node.name)
        made = [
            make_node(RESULT, (scan,), {"index": i}, loc=self.node.loc)
            for i in range(len(self.carries) + len(self.outputs))
        ]
        owners: list[Carry | Output] = [*self.carries, *self.outputs]
        numbered = zip(owners, made, strict=True)
        found = {x.result: node for x, node in numbered if x.result is not None}
        return found, made[len(self.carries) :]


def take_apart(scan: Node, operands: tuple[Node, ...], read: Iterable[int]) -> LoopForm:
    """Return the parts of a scan on (possibly new) operands; `read` numbers the results in use."""
    attrs, body, used = scan.attrs, scan.attrs["body"], set(read)
    n, m = attrs["carries"], attrs["carries"] + attrs["sequences"]
    values = body.outputs[:-1] if attrs["until"] else body.outputs

    def result(i: int) -> int | None:
        return i if i in used else None

    return LoopForm(
        scan,
        [
            Carry(operands[i], body.inputs[i], values[i], result(i))
            for i in range(n)
        ],
        [Read(operands[i], body.inputs[i]) for i in range(n, m)],
        [Read(operands[i], body.inputs[i]) for i in range(m, len(operands))],
        [Output(values[i], i) for i in range(n, len(values)) if i in used],
        body.outputs[-1] if attrs["until"] else None,
    )  # fmt: skip


def rewrite_loops(graph: Graph, change: Callable[[LoopForm], Results | None]) -> Graph:
    """Return the graph with every scan put through `change`, which returns what replaces its
    results, or None to leave it."""
    read: dict[Node, set[int]] = {}
    for node in graph.nodes():
        if node.op is RESULT and node.inputs[0].op.name == "scan":
            read.setdefault(node.inputs[0], set()).add(node.attrs["index"])
    if not read:
        return graph
    replaced: dict[Node, Results] = {}

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in read:
            found = change(take_apart(node, inputs, read[node]))
            if found is not None:
                replaced[node] = found
                return node
        if node.op is RESULT and node.inputs[0] in replaced:
            return replaced[node.inputs[0]][node.attrs["index"]]
        return node.with_inputs(inputs)

    return graph.map(rebuild)


def reads(roots: Iterable[Node]) -> set[Node]:
    """Return the parameters that `roots` depend on."""
    return {node for node in toposort(roots) if node.op.name == "parameter"}
