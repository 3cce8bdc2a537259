"""How ops that are not elementwise, nor plain views or reductions, are written.

`LOWERINGS` maps the name of an op to ``(lowering, node, *values) -> value`` or a tuple of values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from symtensor.export.stablehlo.places import gather, joined, positions, scatter
from symtensor.export.stablehlo.reductions import neutral
from symtensor.export.stablehlo.words import Words
from symtensor.export.stablehlo.writer import Value, Writer, integers, type_text
from symtensor.ir.dtypes import bool_, float32, int64
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.contraction import split_spec
from symtensor.ops.windows import WINDOWS

if TYPE_CHECKING:
    from symtensor.export.stablehlo.lowering import Lowering

Shape = tuple[int, ...]


def _shape(node: Node) -> Shape:
    return tuple(int(d) for d in node.tensor_type.shape)


def _same(lower: Lowering, node: Node, x: Value, *others: Value) -> Value:
    return x


def _constant(lower: Lowering, node: Node) -> Value:
    return lower.writer.constant(node.attrs["value"].array, node.tensor_type.dtype)


def _dim_value(lower: Lowering, node: Node) -> Value:
    return lower.writer.constant(int(node.attrs["dim"]), int64)


def _broadcast(lower: Lowering, node: Node, x: Value) -> Value:
    shape = _shape(node)
    return lower.writer.broadcast(x, shape, range(len(shape) - x.type.ndim, len(shape)))


def _reshape(lower: Lowering, node: Node, x: Value) -> Value:
    return lower.writer.reshape(x, _shape(node))


def _transpose(lower: Lowering, node: Node, x: Value) -> Value:
    return lower.writer.transpose(x, node.attrs["perm"])


def _iota(lower: Lowering, node: Node) -> Value:
    return lower.writer.iota(_shape(node), 0, node.tensor_type.dtype)


def _concatenate(lower: Lowering, node: Node, *xs: Value) -> Value:
    return joined(lower.writer, xs, node.attrs["axis"])


# --- slices --------------------------------------------------------------------------------------


def _reversed(writer: Writer, x: Value, steps: Sequence[int]) -> Value:
    axes = [axis for axis, step in enumerate(steps) if step < 0]
    if not axes:
        return x
    return writer.op(f"stablehlo.reverse {x.name}, dims = {integers(axes)} : {x.text}", x.type)


def _block(start: int, step: int, length: int) -> tuple[int, int]:
    """Return where a slice of an axis begins and ends when it is walked upwards."""
    if length == 0:
        return 0, 0
    last = start + step * (length - 1)
    return min(start, last), max(start, last) + 1


def _slice(lower: Lowering, node: Node, x: Value) -> Value:
    starts, steps, lengths = node.attrs["starts"], node.attrs["steps"], _shape(node)
    parts = []
    for start, step, length in zip(starts, steps, lengths, strict=True):
        low, high = _block(int(start), step, length)
        parts.append(f"{low}:{high}:{abs(step)}")
    out = node.tensor_type
    text = f"stablehlo.slice {x.name} [{', '.join(parts)}] : ({x.text}) -> {type_text(out)}"
    return _reversed(lower.writer, lower.writer.op(text, out), steps)


def _laid_out(
    writer: Writer, x: Value, shape: Shape, starts: Sequence[Any], steps: Sequence[int], fill: Value
) -> Value:
    """Return `x` with its elements at start + step * i of each axis of `shape`, else `fill`."""
    if 0 in x.shape:
        return writer.broadcast(fill, shape, ())
    x = _reversed(writer, x, steps)
    blocks = [
        _block(int(start), step, n) for start, step, n in zip(starts, steps, x.shape, strict=True)
    ]
    low = [block[0] for block in blocks]
    high = [size - block[1] for size, block in zip(shape, blocks, strict=True)]
    between = [abs(step) - 1 for step in steps]
    out = TensorType(x.type.dtype, shape)
    return writer.op(
        f"stablehlo.pad {x.name}, {fill.name}, low = {integers(low)}, high = {integers(high)}, "
        f"interior = {integers(between)} : ({x.text}, {fill.text}) -> {type_text(out)}",
        out,
    )


def _place(lower: Lowering, node: Node, x: Value) -> Value:
    fill = lower.writer.constant(node.attrs["fill"], x.type.dtype)
    starts, steps = node.attrs["starts"], node.attrs["steps"]
    return _laid_out(lower.writer, x, _shape(node), starts, steps, fill)


def _update_slice(lower: Lowering, node: Node, x: Value, values: Value) -> Value:
    """Lay the values out, and a mask of where they are, and choose."""
    writer, where = lower.writer, (node.attrs["starts"], node.attrs["steps"])
    zero, false = writer.constant(0, values.type.dtype), writer.constant(False, bool_)
    mask = writer.splat(True, bool_, values.shape)
    new = _laid_out(writer, values, x.shape, *where, zero)
    here = _laid_out(writer, mask, x.shape, *where, false)
    return Words(writer, x.shape).select(here, new, x)


# --- indexing ------------------------------------------------------------------------------------


def _coordinates(writer: Writer, x: Value, indices: Sequence[Value], axes: Sequence[int]) -> Value:
    """Return index tensors side by side on a last axis; those below 0 count from the end."""
    columns = []
    for index, axis in zip(indices, axes, strict=True):
        words = Words(writer, index.shape)
        wide = words.cast(index, int64)
        size = words.const(x.shape[axis], int64)
        counted = words.select(words.lt(wide, words.const(0, int64)), words.add(wide, size), wide)
        columns.append(writer.reshape(counted, (*index.shape, 1)))
    return joined(writer, columns, indices[0].type.ndim)


def _gather_op(lower: Lowering, node: Node, x: Value, *indices: Value) -> Value:
    axes = node.attrs["axes"]
    return gather(lower.writer, x, _coordinates(lower.writer, x, indices, axes), axes)


def _scatter_op(lower: Lowering, node: Node, base: Value, values: Value, *indices: Value) -> Value:
    axes, mode = node.attrs["axes"], node.attrs["mode"]
    places = _coordinates(lower.writer, base, indices, axes)
    return scatter(lower.writer, base, places, values, axes, mode)


def _overlap_add(lower: Lowering, node: Node, x: Value) -> Value:
    """Add each element to where `windows` would have read it."""
    attrs = {name: node.attrs[name] for name in ("axes", "strides", "dilations")}
    attrs["sizes"] = x.shape[node.tensor_type.ndim :]
    index_map = WINDOWS.family.index_map(node.tensor_type, x.type, **attrs)
    writer = lower.writer
    base = writer.splat(0, x.type.dtype, _shape(node))
    places = positions(writer, index_map, x.shape)
    return scatter(writer, base, places, x, range(base.type.ndim), "add")


# --- products, sums along an axis ----------------------------------------------------------------


def _contract(lower: Lowering, node: Node, left: Value, right: Value) -> Value:
    """A dot_general gives batch labels, then rows, then columns; a transpose puts them in order."""
    writer, dtype = lower.writer, left.type.dtype
    a, b, out = split_spec(node.attrs["spec"])
    batch = [x for x in out if x in a and x in b]
    inner = [x for x in a if x in b and x not in out]
    labels = [*batch, *(x for x in a if x not in b), *(x for x in b if x not in a)]
    size = dict(zip(a + b, left.shape + right.shape, strict=True))
    if dtype.is_floating and dtype.bits == 16:
        left, right = (Words(writer, x.shape).convert(x, float32) for x in (left, right))
    found = TensorType(left.type.dtype, tuple(size[x] for x in labels))

    def axes(operand: str, chosen: list[str]) -> str:
        return integers([operand.index(x) for x in chosen])

    value = writer.op(
        f"stablehlo.dot_general {left.name}, {right.name}, "
        f"batching_dims = {axes(a, batch)} x {axes(b, batch)}, "
        f"contracting_dims = {axes(a, inner)} x {axes(b, inner)} : "
        f"({left.text}, {right.text}) -> {type_text(found)}",
        found,
    )
    value = writer.transpose(value, [labels.index(x) for x in out])
    return value if value.type.dtype is dtype else Words(writer, value.shape).convert(value, dtype)


def _running(word: str, fold: str) -> Callable[..., Value]:
    def lower_running(lower: Lowering, node: Node, x: Value) -> Value:
        """A window over all that came before, padded with the neutral element."""
        writer, axis, dtype = lower.writer, node.attrs["axis"], x.type.dtype
        if x.shape[axis] == 0:
            return x
        narrow = dtype.is_floating and dtype.bits == 16
        wide = Words(writer, x.shape).convert(x, float32) if narrow else x
        start = writer.constant(neutral(fold, wide.type.dtype), wide.type.dtype)
        sizes = [n if a == axis else 1 for a, n in enumerate(x.shape)]
        before = [(n - 1) if a == axis else 0 for a, n in enumerate(x.shape)]
        padding = [[0, n] if node.attrs["reverse"] else [n, 0] for n in before]
        out = Value(writer.fresh(), wide.type)
        writer.line(
            f'{out.name} = "stablehlo.reduce_window"({wide.name}, {start.name}) <{{'
            f"window_dimensions = array<i64: {', '.join(map(str, sizes))}>, "
            f"padding = dense<{padding}> : tensor<{len(sizes)}x2xi64>}}> ({{"
        )
        scalar = TensorType(wide.type.dtype, ())
        a, b = Value(writer.fresh(), scalar), Value(writer.fresh(), scalar)
        writer.region([a, b], lambda: [getattr(Words(writer, ()), word)(a, b)])
        writer.line(f"}}) : ({wide.text}, {start.text}) -> {out.text}")
        return Words(writer, x.shape).convert(out, dtype) if narrow else out

    return lower_running


# --- control flow --------------------------------------------------------------------------------


def _branch(lower: Lowering, node: Node, predicate: Value, *operands: Value) -> tuple[Value, ...]:
    writer = lower.writer
    name, types = writer.fresh(), result_types(node)
    writer.line(f'{name}:{len(types)} = "stablehlo.if"({predicate.name}) ({{')
    writer.region([], lambda: lower.body(node.attrs["then_body"], operands))
    writer.line("}, {")
    writer.region([], lambda: lower.body(node.attrs["else_body"], operands))
    writer.line(f"}}) : ({predicate.text}) -> ({', '.join(map(type_text, types))})")
    return tuple(Value(f"{name}#{i}", t) for i, t in enumerate(types))


Body = Callable[[list[Value]], Sequence[Value]]


def _loop(writer: Writer, state: Sequence[Value], condition: Body, body: Body) -> list[Value]:
    """Append a loop over a state and return the state after it."""
    types = ", ".join(x.text for x in state)
    name = writer.fresh()
    names = ", ".join(x.name for x in state)
    writer.line(f'{name}:{len(state)} = "stablehlo.while"({names}) ({{')
    for number, part in enumerate((condition, body)):
        arguments = [Value(writer.fresh(), x.type) for x in state]
        writer.region(arguments, lambda part=part, arguments=arguments: part(arguments))  # type: ignore[misc]
        writer.line("}, {" if number == 0 else f"}}) : ({types}) -> ({types})")
    return [Value(f"{name}#{i}", x.type) for i, x in enumerate(state)]


def _while(lower: Lowering, node: Node, *xs: Value) -> tuple[Value, ...]:
    count = node.attrs["count"]
    state, outer = xs[:count], xs[count:]
    found = _loop(
        lower.writer,
        state,
        lambda now: lower.body(node.attrs["condition"], [*now, *outer]),
        lambda now: lower.body(node.attrs["body"], [*now, *outer]),
    )
    return tuple(found)


def _row(writer: Writer, x: Value, at: Value) -> Value:
    """Return ``x[at]``."""
    zero = writer.constant(0, int64)
    places = ", ".join([at.name] + [zero.name] * (x.type.ndim - 1))
    out = TensorType(x.type.dtype, (1, *x.shape[1:]))
    kinds = ", ".join([x.text] + [at.text] * x.type.ndim)
    row = writer.op(
        f"stablehlo.dynamic_slice {x.name}, {places}, sizes = {integers(_ints(out))} : "
        f"({kinds}) -> {type_text(out)}",
        out,
    )
    return writer.reshape(row, x.shape[1:])


def result_types(node: Node) -> tuple[TensorType, ...]:
    """Return the types of all results of a node."""
    return node.type if isinstance(node.type, tuple) else (node.type,)


def _ints(type_: TensorType) -> list[int]:
    return [int(d) for d in type_.shape]


def _with_row(writer: Writer, x: Value, row: Value, at: Value) -> Value:
    """Return `x` with another ``x[at]``."""
    zero = writer.constant(0, int64)
    row = writer.reshape(row, (1, *row.shape))
    places = [at] + [zero] * (x.type.ndim - 1)
    names = ", ".join(v.name for v in (x, row, *places))
    kinds = ", ".join(v.text for v in (x, row, *places))
    return writer.op(f"stablehlo.dynamic_update_slice {names} : ({kinds}) -> {x.text}", x.type)


def _scan(lower: Lowering, node: Node, *xs: Value) -> tuple[Value, ...]:
    """A loop over a counter, the carries, and the stacked outputs, written row by row."""
    writer, attrs = lower.writer, node.attrs
    carries, rows = attrs["carries"], attrs["sequences"]
    steps = int(attrs["steps"])
    sequences, outer = xs[carries : carries + rows], xs[carries + rows :]
    stacked = [writer.splat(0, t.dtype, _ints(t)) for t in result_types(node)[carries:]]

    def go_on(now: list[Value]) -> list[Value]:
        return [Words(writer, ()).lt(now[0], writer.constant(steps, int64))]

    def step(now: list[Value]) -> list[Value]:
        words, one = Words(writer, ()), writer.constant(1, int64)
        number, state, outputs = now[0], now[1 : 1 + carries], now[1 + carries :]
        last = writer.constant(steps - 1, int64)
        at = words.sub(last, number) if attrs["reverse"] else number
        slices = [_row(writer, x, at) for x in sequences]
        found = lower.body(attrs["body"], [*state, *slices, *outer])
        written = [
            _with_row(writer, x, row, at) for x, row in zip(outputs, found[carries:], strict=True)
        ]
        return [words.add(number, one), *found[:carries], *written]

    first = [writer.constant(0, int64), *xs[:carries], *stacked]
    return tuple(_loop(writer, first, go_on, step)[1:])


LOWERINGS: dict[str, Callable[..., Any]] = {
    "constant": _constant, "dim_value": _dim_value, "iota": _iota,
    "specify_shape": _same, "stop_gradient": _same, "grad_scale": _same, "grad_clip": _same,
    "steered": _same,
    "broadcast_to": _broadcast, "reshape": _reshape, "transpose": _transpose,
    "concatenate": _concatenate, "slice": _slice, "place": _place, "update_slice": _update_slice,
    "gather": _gather_op, "scatter": _scatter_op, "overlap_add": _overlap_add,
    "contract": _contract, "cumsum": _running("add", "sum"), "cumprod": _running("mul", "prod"),
    "cond": _branch, "while": _while, "scan": _scan,
}  # fmt: skip
