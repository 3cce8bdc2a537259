"""Reading and writing at places: gathers, scatters, and views by their index maps."""

from __future__ import annotations

from collections.abc import Sequence

from symtensor.errors import LoweringError
from symtensor.export.stablehlo.words import Words
from symtensor.export.stablehlo.writer import Value, Writer, integers, type_text
from symtensor.ir.dtypes import int64
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.families import IndexMap


def positions(writer: Writer, index_map: IndexMap, shape: Sequence[int]) -> Value:
    """Return, for each place of `shape`, the place that the map reads, as a last axis."""
    words = Words(writer, shape)
    columns = []
    for axis_map in index_map:
        total = words.const(int(axis_map.offset), int64)
        for axis, factor in axis_map.terms:
            step = words.mul(writer.iota(shape, axis), words.const(int(factor), int64))
            total = words.add(total, step)
        columns.append(writer.reshape(total, (*shape, 1)))
    return joined(writer, columns, len(shape))


def view(writer: Writer, node: Node, x: Value) -> Value:
    """Return a view, gathered by the index map of its op."""
    out = node.tensor_type
    index_map = node.op.family.index_map(x.type, out, **node.attrs)
    if index_map is None:
        raise LoweringError("no form for this view")
    shape = tuple(int(d) for d in out.shape)
    if x.type.ndim == 0:
        return writer.broadcast(x, shape, ())
    if 0 in x.shape or 0 in shape:
        return writer.splat(0, x.type.dtype, shape)
    places = positions(writer, index_map, shape)
    return gather(writer, x, places, tuple(range(x.type.ndim)))


def joined(writer: Writer, xs: Sequence[Value], axis: int) -> Value:
    """Return values one after the other along an axis."""
    if len(xs) == 1:
        return xs[0]
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    out = TensorType(xs[0].type.dtype, tuple(shape))
    names, types = ", ".join(x.name for x in xs), ", ".join(x.text for x in xs)
    return writer.op(
        f'"stablehlo.concatenate"({names}) <{{dimension = {axis} : i64}}> : '
        f"({types}) -> {type_text(out)}",
        out,
    )


def gather(writer: Writer, x: Value, places: Value, axes: Sequence[int]) -> Value:
    """Return elements of `x` at places over `axes`, whose coordinates are the last axis."""
    lead = places.shape[:-1]
    rest = [size for axis, size in enumerate(x.shape) if axis not in axes]
    out = TensorType(x.type.dtype, (*lead, *rest))
    offsets = range(len(lead), len(lead) + len(rest))
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return writer.op(
        f'"stablehlo.gather"({x.name}, {places.name}) <{{dimension_numbers = #stablehlo.gather<'
        f"offset_dims = {integers(offsets)}, collapsed_slice_dims = {integers(sorted(axes))}, "
        f"start_index_map = {integers(axes)}, index_vector_dim = {len(lead)}>, "
        f"slice_sizes = array<i64: {', '.join(map(str, sizes))}>, indices_are_sorted = false}}> : "
        f"({x.text}, {places.text}) -> {type_text(out)}",
        out,
    )


def scatter(
    writer: Writer, base: Value, places: Value, values: Value, axes: Sequence[int], mode: str
) -> Value:
    """Return `base` with values set or added at places over `axes`."""
    lead, scalar = places.type.ndim - 1, TensorType(base.type.dtype, ())
    windows = range(lead, lead + base.type.ndim - len(axes))
    out = Value(writer.fresh(), base.type)
    writer.line(
        f'{out.name} = "stablehlo.scatter"({base.name}, {places.name}, {values.name}) <{{'
        f"scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = {integers(windows)}, "
        f"inserted_window_dims = {integers(sorted(axes))}, "
        f"scatter_dims_to_operand_dims = {integers(axes)}, index_vector_dim = {lead}>, "
        "indices_are_sorted = false, unique_indices = false}> ({"
    )
    old, new = Value(writer.fresh(), scalar), Value(writer.fresh(), scalar)
    words = Words(writer, ())
    writer.region([old, new], lambda: [words.add(old, new) if mode == "add" else new])
    writer.line(f"}}) : ({base.text}, {places.text}, {values.text}) -> {base.text}")
    return out
