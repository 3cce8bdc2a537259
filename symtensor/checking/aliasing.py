"""Whether calls leave alone what is not theirs.

A call may write new arrays for outputs and updated variables, and nothing else: not its arguments, not
other variables, not results that earlier calls handed out. What it returns shares memory with none of
these. `Memory` looks at all of it before and after a call.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symtensor.errors import CheckError, SymtensorError
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, describe_operand
from symtensor.ops.interpret import Array, run_graph

KEPT = 8
"""Results of earlier calls that are watched."""


def same_bytes(a: Array, b: Array) -> bool:
    """Return True for arrays of the same shape and bits."""
    return a.shape == b.shape and a.tobytes() == b.tobytes()


class Memory:
    """The arrays around the calls of one function."""

    def __init__(self) -> None:
        self._handed: list[weakref.ref[Array]] = []

    def before(self, arguments: Sequence[Array], variables: Sequence[Array]) -> Snapshot:
        """Return copies of all that the coming call must not change."""
        handed = [x for x in (ref() for ref in self._handed) if x is not None]
        return Snapshot(
            [(x, x.copy()) for x in arguments],
            [(x, x.copy()) for x in variables],
            [(x, x.copy()) for x in handed],
        )

    def hand_out(self, results: Sequence[Array]) -> None:
        """Watch the results of a call from now on."""
        self._handed = (self._handed + [weakref.ref(x) for x in results])[-KEPT:]


class Snapshot:
    """Arrays with the values that they had before a call."""

    def __init__(
        self,
        arguments: list[tuple[Array, Array]],
        variables: list[tuple[Array, Array]],
        handed: list[tuple[Array, Array]],
    ) -> None:
        self.arguments = arguments
        self.variables = variables
        self.handed = handed

    def check_unchanged(self, graph: Graph) -> None:
        """Raise `CheckError` when a call changed an argument, a variable's old array or a result."""
        for position, (now, then) in enumerate(self.arguments):
            if not same_bytes(now, then):
                label = graph.inputs[position].name or position
                raise self._blame(graph, f"the call changed its argument {label!r}")
        for node, (now, then) in zip(graph.variables(), self.variables, strict=True):
            if not same_bytes(now, then):
                raise self._blame(
                    graph, f"the call wrote into the array of the variable {node.name!r}"
                )
        for now, then in self.handed:
            if not same_bytes(now, then):
                raise CheckError(
                    "the call wrote over a result that an earlier call had returned", code="ST1503"
                )

    def check_apart(self, results: Sequence[Array], stored: Sequence[Array]) -> None:
        """Raise `CheckError` for results that share memory with what is not theirs."""
        others = [("an argument", x) for x, _ in self.arguments]
        others += [("a variable", x) for x in stored]
        others += [("a result of an earlier call", x) for x, _ in self.handed]
        for number, result in enumerate(results):
            later = [(f"output {number + 1 + i}", x) for i, x in enumerate(results[number + 1 :])]
            for what, other in others + later:
                if result is not other and np.may_share_memory(result, other):
                    raise CheckError(f"output {number} shares memory with {what}", code="ST1503")
                if result is other and what != "a result of an earlier call":
                    raise CheckError(f"output {number} is {what}", code="ST1503")

    def _blame(self, graph: Graph, fact: str) -> CheckError:
        """Return the error, with the node whose rule changes its operands if one does."""
        for node in _writers(graph, [x for _, x in self.arguments], [x for _, x in self.variables]):
            return _writing(node, f"{fact}: ")
        return CheckError(fact, code="ST1503")


def check_rules(graph: Graph, inputs: Sequence[Array], variables: Sequence[Array]) -> None:
    """Raise `CheckError` when an op's rule writes into its operands, which others may read later.

    The reference runs the same rule, so that comparing results does not find it.
    """
    try:
        node = next(_writers(graph, inputs, variables), None)
    except SymtensorError:
        return  # the reference may refuse values that nothing needs, and passes have dropped
    if node is not None:
        raise _writing(node)


def _writing(node: Node, fact: str = "") -> CheckError:
    error = CheckError(f"{fact}the rule of {node.op.name} writes into its operands", code="ST1503")
    error.add_context(node.op.name, [describe_operand(x) for x in node.inputs], node.loc)
    return error


def _writers(graph: Graph, inputs: Sequence[Array], variables: Sequence[Array]) -> Iterator[Node]:
    """Yield the nodes whose `evaluate` rules change what they are given."""
    found: list[Node] = []
    known: dict[int, Array] = {}

    def watch(node: Node, operands: Sequence[Any], value: Any) -> Any:
        for x in operands:
            if isinstance(x, np.ndarray) and id(x) in known and not same_bytes(x, known[id(x)]):
                found.append(node)
                known[id(x)] = x.copy()
        alive.append(value)
        if isinstance(value, np.ndarray):
            known[id(value)] = value.copy()
        return value

    alive: list[Any] = [x.copy() for x in inputs]
    state = [x.copy() for x in variables]
    known |= {id(x): x.copy() for x in (*alive, *state)}
    run_graph(graph, list(alive), dict(zip(graph.variables(), state, strict=True)), None, watch)
    yield from found
