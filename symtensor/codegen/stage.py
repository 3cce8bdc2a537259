"""What kernels make of graph nodes: which they compute, which are views, which have loops of their own.

In: a node and the target. Out: answers that hold wherever the node stands. A node that is none of these
becomes a call-out.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterable
from typing import NamedTuple

from symtensor.codegen.costs import time_of
from symtensor.codegen.kernel import Scalar
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes, Unsupported
from symtensor.codegen.target import Target
from symtensor.ir import dims as D
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, freeze
from symtensor.ir.types import TensorType
from symtensor.ops.families import (
    Assembly,
    Elementwise,
    Gather,
    Index,
    IndexMap,
    Piece,
    Running,
    Scatter,
    View,
    composed,
)
from symtensor.ops.families import Reduction as ReductionFamily

NATIVE_COMBINERS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")


class Cost(NamedTuple):
    """What an elementwise op takes per vector."""

    instructions: int
    time: int
    """In instructions of those that take no longer than most."""


_costs: dict[object, Cost | None] = {}


def elementwise_cost(node: Node, target: Target) -> Cost | None:
    """Return what an elementwise op takes; None: not native."""
    if not isinstance(node.op.family, Elementwise):
        return None
    key = (node.op, target, tuple(x.tensor_type.dtype for x in node.inputs), attribute_key(node))
    if key not in _costs:
        _costs[key] = _try_rule(node, target)
    return _costs[key]


def is_elementwise(node: Node, target: Target) -> bool:
    """Return True for an elementwise op whose scalar rule has native code for these dtypes."""
    return elementwise_cost(node, target) is not None


def attribute_key(node: Node) -> object:
    """Return the attributes of a node as a key for dictionaries."""
    if not node.attrs:
        return ()
    return tuple((k, freeze(v)) for k, v in sorted(node.attrs.items()))


def _try_rule(node: Node, target: Target) -> Cost | None:
    """Try the rule on dummy lanes; it either speaks the vocabulary or raises `Unsupported`."""
    scalars = LaneScalars(target)
    dtypes = [x.tensor_type.dtype for x in node.inputs]
    try:
        for dtype in (*dtypes, node.tensor_type.dtype):
            scalars.to_memory(scalars.from_memory("%m", dtype, 1))
        operands = [Lanes(f"%x{i}", d, 1) for i, d in enumerate(dtypes)]
        start = len(scalars.out)
        result = node.op.family.scalar(scalars, *operands, **node.attrs)
    except Unsupported:
        return None
    if result.dtype is not node.tensor_type.dtype:
        return None
    return Cost(len(scalars.out) - start, time_of(scalars.out[start:]))


_view_maps: weakref.WeakKeyDictionary[Node, IndexMap | None] = weakref.WeakKeyDictionary()


def view_map(node: Node) -> IndexMap | None:
    """Return the index map of a view node, or None for what is no affine view."""
    family = node.op.family
    if not isinstance(family, View):
        return None
    if node not in _view_maps:
        types = node.inputs[0].tensor_type, node.tensor_type
        _view_maps[node] = family.index_map(*types, **node.attrs)
    return _view_maps[node]


def is_repeating(node: Node) -> bool:
    """Return True for a view that shows all of its operand again along an axis."""
    index_map = view_map(node)
    if index_map is None:
        return False
    shown = {axis for place in index_map for axis, _ in place.terms}
    shape = node.tensor_type.shape
    return any(axis not in shown and not D.same(size, 1) for axis, size in enumerate(shape))


def is_reduction(node: Node) -> bool:
    """Return True for a reduction with native loops."""
    family = node.op.family
    return isinstance(family, ReductionFamily) and family.combiner in NATIVE_COMBINERS


def folds_columns(node: Node) -> bool:
    """Return True for a reduction that keeps the last axis of what it folds."""
    return is_reduction(node) and node.inputs[0].tensor_type.ndim - 1 not in node.attrs["axes"]


def outer_folds(roots: Iterable[Node], is_inline: Callable[[Node], bool]) -> list[Node]:
    """Return the reductions that a kernel computes its roots from, but not those that they fold."""
    found: dict[Node, None] = {}
    pending, seen = list(roots), set(roots)
    while pending:
        node = pending.pop()
        if is_reduction(node):
            found[node] = None
            continue
        new = [x for x in node.inputs if x not in seen and is_inline(x)]
        seen.update(new)
        pending += new
    return list(found)


def is_gather(node: Node) -> bool:
    """Return True for elements read at positions that are data."""
    return isinstance(node.op.family, Gather)


def is_assembled(node: Node) -> bool:
    """Return True for results that are written piece by piece."""
    return isinstance(node.op.family, (Assembly, Scatter))


def is_running(node: Node) -> bool:
    """Return True for results that hold every step of a fold along an axis."""
    return isinstance(node.op.family, Running)


def has_own_kernel(node: Node) -> bool:
    """Return True for results whose loops no consumer can take over."""
    return is_assembled(node) or is_running(node)


def checks_indices(node: Node) -> bool:
    """Return True for nodes that refuse an index out of range."""
    return isinstance(node.op.family, (Gather, Scatter))


def index_operands(node: Node) -> tuple[Node, ...]:
    """Return the index tensors of a gather or scatter."""
    return node.inputs[1:] if is_gather(node) else node.inputs[2:]


def pieces_of(node: Node) -> tuple[Piece, ...]:
    """Return the pieces of an assembly."""
    types = [x.tensor_type for x in node.inputs]
    found: tuple[Piece, ...] = node.op.family.pieces(types, node.tensor_type, **node.attrs)
    return found


def pieces_within(node: Node, is_nested: Callable[[Node], bool]) -> list[tuple[Node | None, Piece]]:
    """Return what an assembly is written of, in order, with what each piece holds, None for a number.

    Of an operand that is an assembly itself, written within this one, those are its own pieces.
    """
    found: list[tuple[Node | None, Piece]] = []
    pending = [(node, piece) for piece in reversed(pieces_of(node))]
    while pending:
        owner, piece = pending.pop()
        source = None if piece.operand is None else owner.inputs[piece.operand]
        if source is None or not is_nested(source):
            found.append((source, piece))
            continue
        for inner in reversed(pieces_of(source)):
            places = composed(piece.places, inner.places)
            pending.append((source, dataclasses.replace(inner, places=places)))
    return found


def is_index(node: Node) -> bool:
    """Return True for a vector of its own positions."""
    return isinstance(node.op.family, Index)


def is_scalar_source(node: Node) -> bool:
    """Return True for values written into the code: one-element constants and sizes."""
    if node.op.name == "constant":
        return bool(node.attrs["value"].array.size == 1)
    return node.op.name == "dim_value"


def scalar_of(value: Literal) -> Scalar:
    """Return the one element of a literal as a Python number."""
    one = value.array.reshape(())[()]
    return float(one) if value.dtype.is_floating else one.item()


def is_fusible(node: Node, target: Target) -> bool:
    """Return True for nodes that a kernel can compute."""
    return (
        is_scalar_source(node)
        or is_elementwise(node, target)
        or is_reduction(node)
        or is_index(node)
        or is_gather(node)
        or has_own_kernel(node)
        or view_map(node) is not None
    )


def parts_of(node: Node) -> TensorType | None:
    """Return the type of the operand of a reshape that only joins axes, None for other nodes."""
    if node.op.name != "reshape" or view_map(node) is not None:
        return None
    parts = node.inputs[0].tensor_type
    return parts if splitting_map(node) is not None else None


def splitting_map(node: Node) -> IndexMap | None:
    """Return for each axis of a reshape the axes of its operand that it joins, or None."""
    found: IndexMap | None = node.op.family.index_map(node.tensor_type, node.inputs[0].tensor_type)
    return found
