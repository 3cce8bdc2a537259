"""What only the sizes at a call can tell about a graph: negative sizes, equal ones, empty maxima, slices
out of range.

In: the nodes of a graph, or of the body of a loop. Out: `Checks`, which the layout of a call goes
through (`symtensor.codegen.layout`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from symtensor.codegen import stage
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.scan_primitive import SCAN
from symtensor.ops.slicing import needs_check

EXTREMA = ("max", "min", "argmax", "argmin")
"""Reductions that nothing has no result of."""


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
    sizes: list[Node]
    """Nodes of which a size, or the number of steps, might be negative."""
    rounds: Dim
    """How often the nodes run in one call."""


def checks_of(nodes: Iterable[Node], rounds: Dim) -> Checks:
    """Return what must be checked, when the program is called, of nodes that run `rounds` times."""
    nodes = list(nodes)
    slices = [node for node in nodes if needs_check(node)]
    return Checks(guards_of(nodes), extrema_of(nodes), slices, unsure_sizes(nodes), rounds)


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


def unsure_sizes(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes of which a size, or the number of steps, is not known to be 0 or more."""
    known: dict[Dim, bool] = {}

    def unsure(dim: Dim) -> bool:
        if dim not in known:
            known[dim] = D.provably_nonnegative(dim)
        return not known[dim]

    return [node for node in nodes if any(map(unsure, _sizes_of(node)))]


def _sizes_of(node: Node) -> Iterable[Dim]:
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    steps = (node.attrs["steps"],) if node.op is SCAN else ()
    return itertools.chain(steps, *(t.shape for t in types))
