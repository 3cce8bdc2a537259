"""Slices of what is joined or padded read the pieces that they touch: nobody needs the whole.

A slice goes through elementwise ops on its way to a join. It does so where slices are all that is read of
everything on the way, and show no element more often than it has some: nothing is computed twice.

    Before: %2 = concatenate %0, %1     %3 = exp %2     %4 = slice %3
    After:  %2 = slice %0     %3 = slice %1     %4 = exp (concatenate %2, %3)
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops import creation, joining, slicing
from symtensor.ops.families import Elementwise
from symtensor.passes.rewrite import note


class _Region(NamedTuple):
    """What is read of a tensor: so many elements of each axis from a start on."""

    starts: Shape
    lengths: Shape


def cut_joins(graph: Graph, fired: Counter[str]) -> Graph:
    """Let slices read the pieces of joins that they touch."""
    cut = _Cut(graph, fired)
    return graph.map(cut.rebuild) if cut.regions else graph


class _Cut:
    def __init__(self, graph: Graph, fired: Counter[str]) -> None:
        self.fired = fired
        self.joined = _joined(graph)
        """Joins, and what is computed of them element by element."""
        self.regions: dict[Node, list[_Region]] = {}
        """What is read of nodes of which nobody reads the whole."""
        self.made: dict[tuple[Node, _Region], Tensor] = {}
        self.whole: dict[Node, Node] = {}
        if self.joined:
            self._find_regions(graph)

    def _find_regions(self, graph: Graph) -> None:
        users, roots = graph.users(), set(graph.roots)
        for node in reversed(graph.nodes()):
            if node not in self.joined or node in roots:
                continue
            found: dict[_Region, None] = {}
            for user in users[node]:
                read = self._regions_read(user, node)
                if read is None:
                    break
                found |= dict.fromkeys(read)
            else:
                if _is_worth_cutting(node, list(found)):
                    self.regions[node] = list(found)

    def _regions_read(self, user: Node, node: Node) -> list[_Region] | None:
        """Return what a user reads of an operand, None for the whole."""
        if user.op is slicing.SLICE:
            region = _shown(user)
            return None if region is None else [region]
        if user not in self.regions or not isinstance(user.op.family, Elementwise):
            return None
        return self.regions[user]

    def rebuild(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """Make what is read of a node; return the whole, or the node where nobody reads that."""
        with location.at(node.loc):
            if node in self.regions:
                for region in self.regions[node]:
                    self.made[node, region] = self._part(node, region)
                return node
            shown = _shown(node) if node.op is slicing.SLICE else None
            new = node.with_inputs(inputs)
            if shown is not None and node.inputs[0] in self.regions:
                new = self.made[node.inputs[0], shown].node
                note(self.fired, "read the pieces of a join", node, new)
        self.whole[node] = new
        return new

    def _read(self, node: Node, region: _Region) -> Tensor:
        if (node, region) in self.made:
            return self.made[node, region]
        whole = Tensor(self.whole[node])
        return slicing.slice_at(whole, region.starts, (1,) * whole.ndim, region.lengths)

    def _part(self, node: Node, region: _Region) -> Tensor:
        if isinstance(node.op.family, Elementwise):
            operands = [self._read(x, region).node for x in node.inputs]
            return Tensor(make_node(node.op, operands, node.attrs))
        if node.op is slicing.PLACE:
            return self._part_of_padded(node, region)
        return self._part_of_join(node, region)

    def _part_of_join(self, node: Node, region: _Region) -> Tensor:
        axis, end = node.attrs["axis"], 0
        parts: list[Tensor] = []
        for x in node.inputs:
            start, size = end, x.tensor_type.shape[axis]
            end = start + size
            first, length = _overlap(region, axis, start, size)
            if length > 0:
                parts.append(self._read(x, _along(region, axis, first - start, length)))
        return joining.concatenate(parts, axis) if parts else _filled(node, region, 0)

    def _part_of_padded(self, node: Node, region: _Region) -> Tensor:
        (x,) = node.inputs
        inner, starts = region, list(node.attrs["starts"])
        for axis, size in enumerate(x.tensor_type.shape):
            if _is_whole(region, axis, node.tensor_type.shape):
                inner = _along(inner, axis, 0, size)
                continue
            first, length = _overlap(region, axis, starts[axis], size)
            if length <= 0:
                return _filled(node, region, node.attrs["fill"])
            inner = _along(inner, axis, first - starts[axis], length)
            starts[axis] = first - region.starts[axis]
        part = self._read(x, inner)
        if D.same_shape(part.shape, region.lengths):
            return part
        return slicing.place(
            part, region.lengths, tuple(starts), (1,) * part.ndim, node.attrs["fill"]
        )


def _joined(graph: Graph) -> set[Node]:
    """Return joins and padded tensors, and what elementwise ops compute of them."""
    found: set[Node] = set()
    for node in graph.nodes():
        is_join = node.op is joining.CONCATENATE or node.op is slicing.PLACE
        if is_join or (
            isinstance(node.op.family, Elementwise) and not found.isdisjoint(node.inputs)
        ):
            found.add(node)
    return found


def _shown(node: Node) -> _Region | None:
    """Return the region that a slice shows, None where it skips elements or a call must check it."""
    region = _Region(node.attrs["starts"], node.attrs["lengths"])
    shape = node.inputs[0].tensor_type.shape
    known = all(
        _is_whole(region, axis, shape) or _are_known(region, axis, size)
        for axis, size in enumerate(shape)
    )
    return region if known and set(node.attrs["steps"]) <= {1} else None


def _is_whole(region: _Region, axis: int, shape: Shape) -> bool:
    return D.same(region.starts[axis], 0) and D.same(region.lengths[axis], shape[axis])


def _are_known(region: _Region, axis: int, *sizes: Dim) -> bool:
    return all(isinstance(d, int) for d in (region.starts[axis], region.lengths[axis], *sizes))


def _is_worth_cutting(node: Node, regions: list[_Region]) -> bool:
    """Return True for regions that have no more elements than the whole, and known pieces."""
    spare = node.tensor_type.size
    for region in regions:
        spare = spare - D.product(region.lengths)
    bound = D.lower_bound(spare)
    return (
        bool(regions)
        and bound is not None
        and bound >= 0
        and all(_has_known_pieces(node, region) for region in regions)
    )


def _has_known_pieces(node: Node, region: _Region) -> bool:
    if isinstance(node.op.family, Elementwise):
        return True
    if node.op is joining.CONCATENATE:
        axis = node.attrs["axis"]
        return _are_known(region, axis, *(x.tensor_type.shape[axis] for x in node.inputs))
    shape, inner = node.tensor_type.shape, node.inputs[0].tensor_type.shape
    return set(node.attrs["steps"]) == {1} and all(
        _is_whole(region, axis, shape) or _are_known(region, axis, start, inner[axis])
        for axis, start in enumerate(node.attrs["starts"])
    )


def _overlap(region: _Region, axis: int, start: Dim, size: Dim) -> tuple[int, int]:
    """Return the first position on an axis, and how many, in a region and a piece; all are known."""
    begin, length = region.starts[axis], region.lengths[axis]
    assert isinstance(start, int) and isinstance(size, int)
    assert isinstance(begin, int) and isinstance(length, int)
    first = max(begin, start)
    return first, min(begin + length, start + size) - first


def _along(region: _Region, axis: int, start: Dim, length: Dim) -> _Region:
    """Return a region with another extent along an axis."""
    starts, lengths = list(region.starts), list(region.lengths)
    starts[axis], lengths[axis] = start, length
    return _Region(tuple(starts), tuple(lengths))


def _filled(node: Node, region: _Region, fill: float) -> Tensor:
    return creation.full(region.lengths, fill, node.tensor_type.dtype)
