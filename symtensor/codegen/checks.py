"""What only the sizes at a call can tell about a graph: negative sizes, equal ones, maxima of nothing,
elements of nothing, slices out of range.

In: the nodes of a graph, or of the body of a loop. Out: `Checks`, which the layout of a call goes
through (`symtensor.codegen.layout`).
"""

from __future__ import annotations

import functools
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
    """A max or min, which has no result where `reduced` elements are none."""

    node: Node
    reduced: Dim


@dataclass(frozen=True, slots=True)
class Indexing:
    """A gather or scatter, which refuses all of its `count` indices where an axis is empty."""

    node: Node
    axes: tuple[tuple[int, Dim], ...]
    """The axes that may be, with their sizes."""
    count: Dim


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice that might leave its operand."""

    node: Node


@dataclass(frozen=True, slots=True)
class Sizes:
    """A node of which a size, or the number of steps, might be negative."""

    node: Node


Check = Guard | Extremum | Indexing | Slice | Sizes


@dataclass(frozen=True, slots=True)
class Checks:
    """What only the sizes at a call can tell about a graph, or about a body if it runs at all."""

    checks: list[Check]
    """In the order in which the reference would come upon them."""
    rounds: Dim
    """How often the nodes run in one call."""


def checks_of(nodes: Iterable[Node], rounds: Dim) -> Checks:
    """Return what must be checked, when the program is called, of nodes that run `rounds` times."""
    unsure = functools.cache(lambda dim: not D.provably_nonnegative(dim))
    found: list[Check] = []
    for node in nodes:
        if needs_check(node):
            found.append(Slice(node))
        if any(map(unsure, _sizes_of(node))):
            found.append(Sizes(node))
        found += _guards(node)
        found += _extremum(node)
        found += _indexing(node)
    return Checks(found, rounds)


def _guards(node: Node) -> list[Guard]:
    """Return the equalities of sizes that a node assumes and nothing proves."""
    pairs: list[tuple[Dim, Dim]] = []
    if node.op.name == "specify_shape":
        (x,) = node.inputs
        pairs = list(zip(x.tensor_type.shape, node.attrs["shape"], strict=True))
    elif node.op.name == "reshape":
        pairs = [(node.inputs[0].tensor_type.size, node.tensor_type.size)]
    return [Guard(node, a, b) for a, b in pairs if not D.same(a, b)]


def _extremum(node: Node) -> list[Extremum]:
    """Return a native maximum or minimum if its operand may turn out empty."""
    if not (stage.is_reduction(node) and node.op.family.combiner in EXTREMA):
        return []
    shape = node.inputs[0].tensor_type.shape
    reduced = D.product(shape[axis] for axis in node.attrs["axes"])
    return [] if isinstance(reduced, int) else [Extremum(node, reduced)]


def _indexing(node: Node) -> list[Indexing]:
    """Return a gather or scatter if there may be nothing to index."""
    if not stage.checks_indices(node):
        return []
    shape = node.inputs[0].tensor_type.shape
    axes = [
        (axis, shape[axis]) for axis in node.attrs["axes"] if (D.lower_bound(shape[axis]) or 0) < 1
    ]
    count = stage.index_operands(node)[0].tensor_type.size
    return [Indexing(node, tuple(axes), count)] if axes else []


def _sizes_of(node: Node) -> Iterable[Dim]:
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    steps = (node.attrs["steps"],) if node.op is SCAN else ()
    return itertools.chain(steps, *(t.shape for t in types))
