"""Roots -> what computes them into their buffers: loops, and what each stores in every round.

Most roots take one loop over their elements, which roots of one shape share. Assemblies are written
piece by piece, scatters over their values, running folds along their axis. `lower_kernel` makes loop
trees of it (`symtensor.codegen.lower`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symtensor.codegen.domains import (
    Loops,
    is_whole_axis,
    linear_offset,
    map_positions,
    named_positions,
    offset_at,
    running_loops,
    with_ones,
    without_ones,
)
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    KernelSpec,
    Reduction,
    Rule,
    Value,
    axis_position,
)
from symtensor.codegen.reader import Reader
from symtensor.codegen.stage import has_own_kernel, is_running, outer_folds, pieces_within
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.families import Assembly, AxisMap, Piece, Scatter

ElementStore = tuple[Buffer, Affine, Value]
"""Where an element goes, and its value."""
Written = tuple[Node | None, Piece]
"""A piece and what it holds, None for its number."""


def loop_type(node: Node, is_nested: Callable[[Node], bool]) -> TensorType | None:
    """Return the type over whose elements one loop computes a node, None where that takes several.

    An assembly of pieces that one loop can write runs over the shape of a piece. `is_nested` tells of an
    operand that is an assembly too whether it is written within.
    """
    if not has_own_kernel(node):
        return node.tensor_type
    if isinstance(node.op.family, Assembly) and len(groups := _piece_groups(node, is_nested)) == 1:
        return node.tensor_type.with_shape(groups[0][0][1].shape)
    return None


def read_kernel(
    roots: Sequence[tuple[Node, Buffer]], columns: Sequence[Node], reader: Reader, over: Loops
) -> list[KernelSpec]:
    """Return what computes `roots`, all of one `loop_type`, into their buffers, in order.

    Roots of fewer axes than the first one are results of its rows: its loops over the first axes store them.
    Those among `columns` fold over the rows. `over` gives the loops over all elements of a type.
    """
    if columns:
        return [_sweep(roots, columns, reader, over)]
    node, buffer = roots[0]
    if is_running(node):
        return [_running(node, buffer, reader)]
    if isinstance(node.op.family, Scatter):
        return [_copy(node.inputs[0], buffer, reader, over), _scattered(node, buffer, reader, over)]
    type_ = loop_type(node, reader.writes_within)
    if type_ is None:
        return _written_in_turn(node, buffer, reader, over)
    axes, positions = over(type_)
    stores: list[ElementStore] = []
    rows: list[ElementStore] = []
    for node, buffer in roots:
        if isinstance(node.op.family, Assembly):
            (group,) = _piece_groups(node, reader.writes_within)
            here = _among_ones(positions, group[0][1].shape)
            stores += _piece_stores(node, group, buffer, reader, here)
        else:
            found = stores if is_whole(node, type_) else rows
            found.append(_element_store(node, buffer, reader, positions))
    return [KernelSpec(tuple(axes), tuple(stores), tuple(rows))]


def _sweep(
    roots: Sequence[tuple[Node, Buffer]], columns: Sequence[Node], reader: Reader, over: Loops
) -> KernelSpec:
    """Return the loops over what `columns` fold, which compute for elements and for rows what others are.

    Of what is folded some may be values of rows: those of the first loops.
    """
    folds = outer_folds(columns, reader.computes)
    operands = [fold.inputs[0].tensor_type for fold in folds]
    types = [node.tensor_type for node, _ in roots if node not in columns]
    whole = max(operands + types, key=lambda type_: len(without_ones(type_.shape)))
    axes, positions = over(whole)
    varying = [at for at in positions if at.terms]
    for fold, operand in zip(folds, operands, strict=True):
        here = _among_ones(positions, operand.shape)
        reader.fold_over(fold, here[: len(fold.attrs["axes"])])
    stores: list[ElementStore] = []
    rows: list[ElementStore] = []
    folding: list[ElementStore] = []
    for node, buffer in roots:
        if node in columns:
            first = len(varying) - len(without_ones(node.tensor_type.shape))
            folding.append(_element_store(node, buffer, reader, varying[first:]))
        else:
            found = stores if is_whole(node, whole) else rows
            found.append(_element_store(node, buffer, reader, positions))
    return KernelSpec(tuple(axes), tuple(stores), tuple(rows), tuple(folding))


def _element_store(
    node: Node, buffer: Buffer, reader: Reader, positions: Sequence[Affine]
) -> ElementStore:
    """Return what stores a node at the first of some positions, but for axes of one element."""
    shape = node.tensor_type.shape
    here = _among_ones(positions, shape)
    return buffer, linear_offset(shape, here), reader.read(node, here)


def _among_ones(positions: Sequence[Affine], shape: Shape) -> list[Affine]:
    """Return the first of some positions on the axes of a shape, which differ in those of one element."""
    return with_ones((at for at in positions if at.terms), shape)


def is_whole(node: Node, whole: TensorType) -> bool:
    """Return True for a root that loops over all elements of a type store, not over its rows."""
    return len(without_ones(node.tensor_type.shape)) == len(without_ones(whole.shape))


def _piece_groups(node: Node, is_nested: Callable[[Node], bool]) -> list[list[Written]]:
    """Return the pieces of an assembly, those together that one loop can write.

    They have one shape and touch no common element, so their order does not matter.
    """
    groups: list[list[Written]] = []
    for source, piece in pieces_within(node, is_nested):
        if any(D.same(size, 0) for size in piece.shape):
            continue
        last = groups[-1] if groups else []
        if last and all(_are_apart(piece, other) for _, other in last):
            last.append((source, piece))
        else:
            groups.append([(source, piece)])
    return groups


def _are_apart(a: Piece, b: Piece) -> bool:
    """Return True for operands of one shape that surely lie side by side along some axis."""
    if a.operand is None or b.operand is None or not D.same_shape(a.shape, b.shape):
        return False
    for p, q in zip(a.places, b.places, strict=True):
        if p.terms != q.terms or len(p.terms) != 1 or p.terms[0][1] != 1:
            continue
        size = a.shape[p.terms[0][0]]
        room = [D.lower_bound(d - size) for d in (p.offset - q.offset, q.offset - p.offset)]
        if any(d is not None and d >= 0 for d in room):
            return True
    return False


def _written_in_turn(node: Node, buffer: Buffer, reader: Reader, over: Loops) -> list[KernelSpec]:
    """Return the loops that write pieces of several shapes: one after the other, or within a loop along
    the first axis where all pieces lie along all of it."""
    groups, size = _piece_groups(node, reader.writes_within), node.tensor_type.shape[0]
    domains = [over(node.tensor_type.with_shape(group[0][1].shape)) for group in groups]
    whole = all(is_whole_axis(positions[0], size) for _, positions in domains)
    along = all(p.places[0] == AxisMap(0, ((0, 1),)) for group in groups for _, p in group)
    if whole and along and not D.same(size, 1):
        first = Axis("first", size)
        for axes, positions in domains:
            axes[0], positions[0] = first, axis_position(first)
    return [
        KernelSpec(tuple(axes), _piece_stores(node, group, buffer, reader, positions))
        for group, (axes, positions) in zip(groups, domains, strict=True)
    ]


def _piece_stores(
    node: Node, pieces: Sequence[Written], buffer: Buffer, reader: Reader, positions: list[Affine]
) -> tuple[ElementStore, ...]:
    stores = []
    for source, piece in pieces:
        if source is None:
            value = reader.table.const(piece.fill, buffer.dtype)
        else:
            value = reader.read(source, positions)
        at = offset_at(node.tensor_type.shape, map_positions(piece.places, positions))
        stores.append((buffer, at, value))
    return tuple(stores)


def _copy(node: Node, buffer: Buffer, reader: Reader, over: Loops) -> KernelSpec:
    axes, positions = over(node.tensor_type)
    at = linear_offset(node.tensor_type.shape, positions)
    return KernelSpec(tuple(axes), ((buffer, at, reader.read(node, positions)),))


_ADD = Rule("add", lambda s, x, y: s.add(x, y), {}, "add")


def _scattered(node: Node, buffer: Buffer, reader: Reader, over: Loops) -> KernelSpec:
    """Return the loop over the values of a scatter; equal places meet in the order of the values."""
    _, values, *indices = node.inputs
    axes, positions = over(values.tensor_type)
    rank = indices[0].tensor_type.ndim
    names = reader.names(node, [reader.read(x, positions[:rank]) for x in indices])
    at = offset_at(node.tensor_type.shape, named_positions(node, positions, names))
    value = reader.after_checks(reader.read(values, positions), names)
    if node.attrs["mode"] == "add":
        value = reader.table.apply(_ADD, (reader.table.load(buffer, at), value), buffer.dtype)
    return KernelSpec(tuple(axes), ((buffer, at, value),))


def _running(node: Node, buffer: Buffer, reader: Reader) -> KernelSpec:
    axes, axis, positions = running_loops(node)
    reduction = Reduction(node.op.family.combiner, (axis,), is_running=True)
    arg = reader.read(node.inputs[0], positions)
    value = reader.table.reduce(reduction, arg, node.tensor_type.dtype)
    at = linear_offset(node.tensor_type.shape, positions)
    return KernelSpec(tuple(axes), ((buffer, at, value),))
