"""How ops that are not elementwise are written.

`LOWERINGS` maps the name of an op to ``(lowering, node, *values) -> value`` or a tuple of values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from symtensor.errors import LoweringError
from symtensor.export.onnx.writer import DTYPES, Value, Words, Writer
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType, float32, int32, int64
from symtensor.ir.node import Node
from symtensor.ops.contraction import split_spec
from symtensor.ops.families import IndexMap
from symtensor.ops.slicing import strided_map
from symtensor.ops.windows import WINDOWS

if TYPE_CHECKING:
    from symtensor.export.onnx.lowering import Lowering, Values

LEAST = np.iinfo(np.int64).min


def _same(lower: Lowering, node: Node, x: Value, *others: Value) -> Value:
    return x


def _constant(lower: Lowering, node: Node) -> Value:
    return lower.writer.constant(node.attrs["value"].array, node.tensor_type.dtype)


def _dim_value(lower: Lowering, node: Node) -> Value:
    return lower.writer.reshape(lower.writer.size(node.attrs["dim"]), ())


def _broadcast(lower: Lowering, node: Node, x: Value) -> Value:
    return lower.writer.expand(x, node.tensor_type.shape)


def _reshape(lower: Lowering, node: Node, x: Value) -> Value:
    return lower.writer.reshape(x, node.tensor_type.shape)


def _transpose(lower: Lowering, node: Node, x: Value) -> Value:
    return lower.writer.transpose(x, node.attrs["perm"])


def _concatenate(lower: Lowering, node: Node, *xs: Value) -> Value:
    return lower.writer.concatenate(xs, node.attrs["axis"])


def _range(writer: Writer, length: Dim) -> Value:
    zero, one = writer.constant(0, int64), writer.constant(1, int64)
    end = writer.reshape(writer.size(length), ())
    return writer.op("Range", [zero, end, one], int64, 1)


def _iota(lower: Lowering, node: Node) -> Value:
    positions = _range(lower.writer, node.attrs["length"])
    return lower.writer.cast(positions, node.tensor_type.dtype)


# --- slices --------------------------------------------------------------------------------------


def _slice(lower: Lowering, node: Node, x: Value) -> Value:
    """An end before the front is the least int64: -1 would mean the last element."""
    writer, attrs = lower.writer, node.attrs
    if x.ndim == 0:
        return x
    ends: list[Value] = []
    words = Words(writer)
    for start, step, length in zip(attrs["starts"], attrs["steps"], attrs["lengths"], strict=True):
        end = start + step * length
        if isinstance(end, int):
            ends.append(writer.constant([end if end >= 0 else LEAST], int64))
        elif step > 0:
            ends.append(writer.size(end))
        else:
            value = writer.size(end)
            before = words.lt(value, words.const(0, int64))
            ends.append(words.select(before, words.const(int(LEAST), int64), value))
    operands = [
        x,
        writer.vector(attrs["starts"]),
        writer.concatenate(ends, 0),
        writer.constant(np.arange(x.ndim), int64),
        writer.constant(np.array(attrs["steps"], np.int64), int64),
    ]
    return writer.op("Slice", operands, x.dtype, x.ndim)


def _place(lower: Lowering, node: Node, x: Value) -> Value:
    writer, attrs = lower.writer, node.attrs
    fill, inner = writer.constant(attrs["fill"], x.dtype), node.inputs[0].tensor_type.shape
    starts = attrs["starts"]
    if any(step != 1 for step in attrs["steps"]):
        base = writer.expand(fill, attrs["shape"])
        places = _positions(writer, strided_map(starts, attrs["steps"]), inner)
        return _scatter_nd(writer, base, places, x, "none")
    ends = [n - start - size for n, start, size in zip(attrs["shape"], starts, inner, strict=True)]
    return writer.op("Pad", [x, writer.vector([*starts, *ends]), fill], x.dtype, x.ndim)


def _update_slice(lower: Lowering, node: Node, x: Value, values: Value) -> Value:
    index_map = strided_map(node.attrs["starts"], node.attrs["steps"])
    places = _positions(lower.writer, index_map, node.inputs[1].tensor_type.shape)
    return _scatter_nd(lower.writer, x, places, values, "none")


# --- places --------------------------------------------------------------------------------------


def _positions(writer: Writer, index_map: IndexMap, shape: Sequence[Dim]) -> Value:
    """Return, for each place of `shape`, the place that the map reads, as a last axis."""
    words = Words(writer)
    columns = []
    for axis_map in index_map:
        total = writer.size(axis_map.offset)
        for axis, factor in axis_map.terms:
            steps = words.mul(_range(writer, shape[axis]), writer.size(factor))
            row = [shape[axis] if a == axis else 1 for a in range(len(shape))]
            total = words.add(total, writer.reshape(steps, row))
        whole = writer.expand(total, shape)
        columns.append(writer.reshape(whole, (*shape, 1)))
    return writer.concatenate(columns, len(shape))


def view(writer: Writer, node: Node, x: Value) -> Value:
    """Return a view, gathered by the index map of its op."""
    source, out = node.inputs[0].tensor_type, node.tensor_type
    index_map = node.op.family.index_map(source, out, **node.attrs)
    if index_map is None:
        raise LoweringError("no form for this view")
    if x.ndim == 0:
        return writer.expand(x, out.shape)
    places = _positions(writer, index_map, out.shape)
    return writer.op("GatherND", [x, places], x.dtype, out.ndim)


def _axes_first(axes: Sequence[int], ndim: int) -> list[int]:
    return [*axes, *(axis for axis in range(ndim) if axis not in axes)]


def _coordinates(writer: Writer, node: Node, x: Value, indices: Sequence[Value]) -> Value:
    """Return index tensors side by side on a last axis; those below 0 count from the end."""
    words, columns = Words(writer), []
    shape = node.inputs[-1].tensor_type.shape
    for index, axis in zip(indices, node.attrs["axes"], strict=True):
        wide = writer.cast(index, int64)
        size = writer.size(node.inputs[0].tensor_type.shape[axis])
        below = words.lt(wide, words.const(0, int64))
        counted = words.select(below, words.add(wide, size), wide)
        columns.append(writer.reshape(counted, (*shape, 1)))
    return writer.concatenate(columns, len(shape))


def _gather(lower: Lowering, node: Node, x: Value, *indices: Value) -> Value:
    writer, axes = lower.writer, node.attrs["axes"]
    front = writer.transpose(x, _axes_first(axes, x.ndim))
    ndim = node.tensor_type.ndim
    if len(axes) == 1:
        index = writer.cast(indices[0], int64)
        return writer.op("Gather", [front, index], x.dtype, ndim, axis=0)
    places = _coordinates(writer, node, x, indices)
    return writer.op("GatherND", [front, places], x.dtype, ndim)


def _scatter_nd(writer: Writer, base: Value, places: Value, values: Value, how: str) -> Value:
    operands = [base, places, values]
    return writer.op("ScatterND", operands, base.dtype, base.ndim, reduction=how)


def _scatter(lower: Lowering, node: Node, base: Value, values: Value, *indices: Value) -> Value:
    writer, order = lower.writer, _axes_first(node.attrs["axes"], base.ndim)
    how = "add" if node.attrs["mode"] == "add" else "none"
    places = _coordinates(writer, node, base, indices)
    found = _scatter_nd(writer, writer.transpose(base, order), places, values, how)
    return writer.transpose(found, [order.index(axis) for axis in range(base.ndim)])


def _overlap_add(lower: Lowering, node: Node, x: Value) -> Value:
    """Add each element to where `windows` would have read it."""
    writer, source = lower.writer, node.inputs[0].tensor_type
    attrs = {name: node.attrs[name] for name in ("axes", "strides", "dilations")}
    attrs["sizes"] = source.shape[node.tensor_type.ndim :]
    index_map = WINDOWS.family.index_map(node.tensor_type, source, **attrs)
    base = writer.expand(writer.constant(0, x.dtype), node.tensor_type.shape)
    return _scatter_nd(writer, base, _positions(writer, index_map, source.shape), x, "add")


# --- folds and products --------------------------------------------------------------------------


def _wide(dtype: DType) -> DType:
    """Return the dtype in which ONNX folds: it has no sums and products of narrow integers."""
    if dtype.is_floating:
        return float32 if dtype.bits == 16 else dtype
    return dtype if dtype.bits == 64 else int64


def reduction(writer: Writer, node: Node, x: Value) -> Value:
    """Return what a reduction op makes of `x`."""
    combiner, axes = node.op.family.combiner, node.attrs["axes"]
    ndim = node.tensor_type.ndim
    if combiner in ("argmax", "argmin"):
        name = {"argmax": "ArgMax", "argmin": "ArgMin"}[combiner]
        source = writer.cast(x, int32) if x.dtype.is_bool else x
        return writer.op(name, [source], int64, ndim, axis=axes[0], keepdims=0)
    if combiner in ("any", "all"):
        return _any(writer, x, axes, ndim, combiner == "all")
    name = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}[
        combiner
    ]
    found = _fold(writer, name, writer.cast(x, _wide(x.dtype)), axes, ndim)
    return writer.cast(found, x.dtype)


def _fold(writer: Writer, name: str, x: Value, axes: Sequence[int], ndim: int) -> Value:
    operands = [x, writer.constant(np.array(axes, np.int64), int64)]
    return writer.op(name, operands, x.dtype, ndim, keepdims=0, noop_with_empty_axes=1)


def _any(writer: Writer, x: Value, axes: Sequence[int], ndim: int, is_all: bool) -> Value:
    """Count what is true, or for `all` what is not."""
    words = Words(writer)
    counted = writer.cast(words.not_(x) if is_all else x, int64)
    count = _fold(writer, "ReduceSum", counted, axes, ndim)
    zero = words.const(0, int64)
    return words.eq(count, zero) if is_all else words.lt(zero, count)


def _cumsum(lower: Lowering, node: Node, x: Value) -> Value:
    writer = lower.writer
    axis = writer.constant(node.attrs["axis"], int64)
    operands, reverse = [writer.cast(x, _wide(x.dtype)), axis], int(node.attrs["reverse"])
    found = writer.op("CumSum", operands, operands[0].dtype, x.ndim, reverse=reverse)
    return writer.cast(found, x.dtype)


def _contract(lower: Lowering, node: Node, left: Value, right: Value) -> Value:
    """A MatMul where the labels are those of one, else an Einsum."""
    writer, dtype, ndim = lower.writer, left.dtype, node.tensor_type.ndim
    operands = [writer.cast(x, _wide(dtype)) for x in (left, right)]
    a, b, out = split_spec(node.attrs["spec"])
    batch = a[:-2]
    is_product = len(a) == len(b) == len(out) >= 2 and a[-1] == b[-2] != out[-1]
    if is_product and b[:-2] == batch and out == batch + a[-2] + b[-1]:
        found = writer.op("MatMul", operands, operands[0].dtype, ndim)
    else:
        equation = node.attrs["spec"]
        found = writer.op("Einsum", operands, operands[0].dtype, ndim, equation=equation)
    return writer.cast(found, dtype)


# --- control flow --------------------------------------------------------------------------------


def _outputs(lower: Lowering, node: Node) -> list[Value]:
    types = node.type if isinstance(node.type, tuple) else (node.type,)
    return [Value(lower.writer.fresh(), t.dtype, t.ndim) for t in types]


def _branch(lower: Lowering, node: Node, predicate: Value, *operands: Value) -> tuple[Value, ...]:
    outputs = _outputs(lower, node)
    bodies = {}
    for side in ("then", "else"):
        body = node.attrs[f"{side}_body"]
        given = dict(zip(body.inputs, operands, strict=True))
        bodies[f"{side}_branch"] = lower.body(body, given)
    lower.writer.add("If", [predicate], [x.name for x in outputs], **bodies)
    return tuple(outputs)


def _scan(lower: Lowering, node: Node, *xs: Value) -> tuple[Value, ...]:
    writer, attrs = lower.writer, node.attrs
    carries, rows, body = attrs["carries"], attrs["sequences"], attrs["body"]
    outputs = _outputs(lower, node)
    outer = dict(zip(body.inputs[carries + rows :], xs[carries + rows :], strict=True))
    sequences = list(xs[carries : carries + rows])
    extra: list[onnx.ValueInfoProto] = []
    if not rows:  # ONNX counts steps by a sequence
        sequences = [_range(writer, attrs["steps"])]
        extra = [helper.make_tensor_value_info(writer.fresh("step"), DTYPES["int64"], [])]
    if attrs["reverse"]:  # by flips: not every reader knows the directions of Scan
        sequences = [writer.flip(x) for x in sequences]
    inner = lower.body(body, outer)
    inner.input.extend(extra)
    names = [x.name for x in outputs]
    operands = [*xs[:carries], *sequences]
    writer.add("Scan", operands, names, body=inner, num_scan_inputs=len(sequences))
    if attrs["reverse"]:
        outputs[carries:] = [writer.flip(x) for x in outputs[carries:]]
    return tuple(outputs)


def _while(lower: Lowering, node: Node, *xs: Value) -> tuple[Value, ...]:
    """A Loop tests at its end: the test before the first round is written before it."""
    writer, count = lower.writer, node.attrs["count"]
    condition, body = node.attrs["condition"], node.attrs["body"]
    state, outer = xs[:count], xs[count:]
    given: Values = {n: (x,) for n, x in zip(condition.inputs, xs, strict=True)}
    (start,) = lower.graph(condition, given)
    outputs = _outputs(lower, node)
    extra = [
        helper.make_tensor_value_info(writer.fresh("round"), DTYPES["int64"], []),
        helper.make_tensor_value_info(writer.fresh("go"), DTYPES["bool"], []),
    ]

    def test(inner: Lowering, found: list[Value]) -> list[Any]:
        now: Values = {n: (x,) for n, x in zip(condition.inputs, [*found, *outer], strict=True)}
        (go_on,) = inner.graph(condition, now)
        return [inner.output(go_on, condition.outputs[0].tensor_type, writer.fresh("go"))]

    captured = dict(zip(body.inputs[count:], outer, strict=True))
    inner = lower.body(body, captured, extra, test)
    names = [x.name for x in outputs]
    writer.add("Loop", [None, start, *state], names, body=inner)
    return tuple(outputs)


LOWERINGS: dict[str, Callable[..., Any]] = {
    "constant": _constant, "dim_value": _dim_value, "iota": _iota,
    "specify_shape": _same, "stop_gradient": _same, "grad_scale": _same, "grad_clip": _same,
    "steered": _same,
    "broadcast_to": _broadcast, "reshape": _reshape, "transpose": _transpose,
    "concatenate": _concatenate, "slice": _slice, "place": _place, "update_slice": _update_slice,
    "gather": _gather, "scatter": _scatter, "overlap_add": _overlap_add,
    "contract": _contract, "cumsum": _cumsum, "cond": _branch, "while": _while, "scan": _scan,
}  # fmt: skip
"""Name of an op -> how it is written."""
