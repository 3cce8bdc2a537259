"""Slices and what goes back: reading, laying out and replacing every step-th element of axes.

    slice         out[i] = x[start + step * i]             a view
    place         out[start + step * i] = x[i], else one value
    update_slice  x with other values at start + step * i

Positions are counted from the front and lie inside the tensor: what sizes known when building do
not prove is checked at each call (`IndexOutOfRange`). Clamping, as Python's slices do it, is worked
out in dims by `slice_bounds`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from symtensor.errors import AttributeValueError, DTypeError, IndexOutOfRange, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr, Shape, Symbol
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import creation
from symtensor.ops.attributes import as_number
from symtensor.ops.build import apply, as_tensor
from symtensor.ops.families import Assembly, AxisMap, IndexMap, Piece, View
from symtensor.ops.registry import define

Starts = tuple[Dim, ...]
Steps = tuple[int, ...]


def check_positions(shape: Shape, starts: Starts, steps: Steps, lengths: Shape) -> None:
    """Raise `IndexOutOfRange` where ``start + step * i``, i < length, is known to leave an axis."""
    if not len(shape) == len(starts) == len(steps) == len(lengths):
        raise ShapeError(f"expected a start, a step and a length for each of {len(shape)} axes")
    for axis, (size, start, step, length) in enumerate(
        zip(shape, starts, steps, lengths, strict=True)
    ):
        if isinstance(size, int) and size < 0:
            raise ShapeError(
                f"a size must not be negative, found shape {list(shape)}", code="ST0110"
            )
        if step == 0:
            raise AttributeValueError("a slice step must not be 0")
        if not (isinstance(size, int) and isinstance(start, int) and isinstance(length, int)):
            continue
        for position in (start, start + step * (length - 1)) if length > 0 else ():
            if not 0 <= position < size:
                index = position if position >= 0 else position - size
                raise IndexOutOfRange(
                    f"index {index} is out of range for axis {axis} of size {size}", code="ST0401"
                )


def check_widths(shape: Shape, starts: Starts, steps: Steps, lengths: Shape) -> None:
    """Raise for an operand that is known to stick out of what it is laid into.

    Where it lies there in one block, what is around it are the widths that the user gave to `pad`:
    `ShapeError` names them. Nothing fits everywhere.
    """
    if set(steps) <= {1} and 0 not in lengths:
        for axis, (size, start, length) in enumerate(zip(shape, starts, lengths, strict=False)):
            widths = (start, size - start - length)
            if any(isinstance(width, int) and width < 0 for width in widths):
                raise ShapeError(
                    f"a width must not be negative, found {widths[0]} before and {widths[1]} after "
                    f"axis {axis} of size {length}",
                    code="ST0110",
                )
    check_positions(shape, starts, steps, lengths)


Positions = tuple[Shape, Starts, Steps, Shape]
"""Arguments of `check_positions`."""


def positions_of(node: Node) -> Positions | None:
    """Return what a slice, or what goes back, reads or writes; None for other nodes."""
    if node.op not in (SLICE, PLACE, UPDATE_SLICE):
        return None
    attrs, shapes = node.attrs, [x.tensor_type.shape for x in node.inputs]
    if node.op is SLICE:
        return shapes[0], attrs["starts"], attrs["steps"], attrs["lengths"]
    if node.op is PLACE:
        return attrs["shape"], attrs["starts"], attrs["steps"], shapes[0]
    return shapes[0], attrs["starts"], attrs["steps"], shapes[1]


def needs_check(node: Node) -> bool:
    """Return True where only a call tells the sizes that `check_positions` needs."""
    found = positions_of(node)
    if found is None:
        return False
    shape, starts, _, lengths = found
    return not all(isinstance(d, int) for d in (*shape, *starts, *lengths))


def check_node(node: Node, env: Mapping[Symbol, int]) -> None:
    """Raise where a slice, or what goes back, leaves its tensor with the sizes of a call."""
    found = positions_of(node)
    assert found is not None
    shape, starts, steps, lengths = found
    known = [tuple(D.substitute(d, env) for d in dims) for dims in (shape, starts, lengths)]
    check = check_widths if node.op is PLACE else check_positions
    check(known[0], known[1], steps, known[2])


def strided_slices(
    starts: Sequence[int], steps: Sequence[int], lengths: Sequence[int]
) -> tuple[slice, ...]:
    """Return Python slices for ``start + step * i``, i < length."""
    out = []
    for start, step, length in zip(starts, steps, lengths, strict=True):
        if length == 0:
            out.append(slice(0, 0))
            continue
        stop = start + step * length
        out.append(slice(start, None if stop < 0 else stop, step))
    return tuple(out)


# --- records -------------------------------------------------------------------------------------


def _infer_slice(x: TensorType, *, starts: Starts, steps: Steps, lengths: Shape) -> TensorType:
    check_positions(x.shape, starts, steps, lengths)
    return x.with_shape(lengths)


def _evaluate_slice(
    xp: Any, x: Any, *, starts: tuple[int, ...], steps: Steps, lengths: tuple[int, ...]
) -> Any:
    check_positions(x.shape, starts, steps, lengths)
    return x[strided_slices(starts, steps, lengths)]


def strided_map(starts: Sequence[Dim], steps: Sequence[int]) -> IndexMap:
    """Return the map of position i of each axis to ``start + step * i``."""
    return tuple(
        AxisMap(start, ((axis, step),))
        for axis, (start, step) in enumerate(zip(starts, steps, strict=True))
    )


def _slice_map(
    source: TensorType, out: TensorType, *, starts: Starts, steps: Steps, lengths: Shape
) -> IndexMap:
    return strided_map(starts, steps)


SLICE = define(
    "slice",
    infer=_infer_slice,
    evaluate=_evaluate_slice,
    vjp=lambda g, y, x, *, starts, steps, lengths: (place(g, x.shape, starts, steps),),
    linear=(0,),
    family=View(_slice_map),
    doc="Elements start + step * i of each axis; positions are inside the operand.",
)


def _infer_place(
    x: TensorType, *, shape: Shape, starts: Starts, steps: Steps, fill: float
) -> TensorType:
    check_widths(shape, starts, steps, x.shape)
    return x.with_shape(shape)


def _evaluate_place(
    xp: Any, x: Any, *, shape: tuple[int, ...], starts: tuple[int, ...], steps: Steps, fill: Any
) -> Any:
    check_widths(shape, starts, steps, x.shape)
    out = xp.full(shape, fill, dtype=x.dtype)
    out[strided_slices(starts, steps, x.shape)] = x
    return out


def _placed_pieces(
    xs: Sequence[TensorType],
    out: TensorType,
    *,
    shape: Shape,
    starts: Starts,
    steps: Steps,
    fill: float,
) -> tuple[Piece, ...]:
    """Fill around the operand where it surely lies in one block, else everywhere before it."""
    inner = xs[0].shape
    ends = [n - start - size for n, start, size in zip(shape, starts, inner, strict=True)]
    whole = [(0, n) for n in shape]
    operand = Piece(0, inner, strided_map(starts, steps))
    if set(steps) - {1} or not all(_surely_not_negative(d) for d in (*starts, *ends)):
        return _filled(whole, fill), operand
    pieces = [operand]
    for axis, (start, size, end) in enumerate(zip(starts, inner, ends, strict=True)):
        for border in ((0, start), (start + size, end)):
            within = list(zip(starts[:axis], inner[:axis], strict=True))
            if not D.same(border[1], 0):
                pieces.append(_filled([*within, border, *whole[axis + 1 :]], fill))
    return tuple(pieces)


def _filled(box: Sequence[tuple[Dim, Dim]], fill: float) -> Piece:
    """Return a piece of one value over (start, length) of each axis."""
    starts = [start for start, _ in box]
    return Piece(None, tuple(n for _, n in box), strided_map(starts, (1,) * len(box)), fill)


def _surely_not_negative(size: Dim) -> bool:
    bound = D.lower_bound(size)
    return bound is not None and bound >= 0


PLACE = define(
    "place",
    infer=_infer_place,
    evaluate=_evaluate_place,
    vjp=lambda g, y, x, *, shape, starts, steps, fill: (
        apply(SLICE, g, starts=starts, steps=steps, lengths=x.shape),
    ),
    family=Assembly(_placed_pieces),
    doc="The operand laid into a tensor of one value, at start + step * i of each axis.",
)


def place(
    x: Tensor, shape: Shape, starts: Starts, steps: Steps, fill: float | int | bool = 0
) -> Tensor:
    """Return a tensor of `shape` filled with `fill` that holds `x` at ``start + step * i``.

    `fill` is cast to the dtype of `x`, which must be able to hold it.
    """
    number = as_number(fill, "the value around")
    if x.dtype.is_integer:
        if not math.isfinite(number):
            raise AttributeValueError(f"{x.dtype} can't hold the value {fill}")
        fill = int(fill)
        as_tensor(fill, x.dtype)  # refuses what does not fit
    value = bool(fill) if x.dtype.is_bool else number if x.dtype.is_floating else fill
    return apply(PLACE, x, shape=tuple(shape), starts=starts, steps=steps, fill=value)


def _infer_update(x: TensorType, values: TensorType, *, starts: Starts, steps: Steps) -> TensorType:
    if values.dtype is not x.dtype:
        raise DTypeError(f"expected values of {x.dtype}, found {values.dtype}")
    check_positions(x.shape, starts, steps, values.shape)
    return x


def _evaluate_update(xp: Any, x: Any, values: Any, *, starts: tuple[int, ...], steps: Steps) -> Any:
    check_positions(x.shape, starts, steps, values.shape)
    out = xp.array(x, copy=True)
    out[strided_slices(starts, steps, values.shape)] = values
    return out


def _vjp_update(
    g: Tensor, y: Tensor, x: Tensor, values: Tensor, *, starts: Starts, steps: Steps
) -> tuple[Tensor, Tensor]:
    erased = creation.zeros(values.shape, g.dtype)
    return (
        apply(UPDATE_SLICE, g, erased, starts=starts, steps=steps),
        apply(SLICE, g, starts=starts, steps=steps, lengths=values.shape),
    )


def _updated_pieces(
    xs: Sequence[TensorType], out: TensorType, *, starts: Starts, steps: Steps
) -> tuple[Piece, ...]:
    x, values = xs
    own = strided_map((0,) * x.ndim, (1,) * x.ndim)
    return Piece(0, x.shape, own), Piece(1, values.shape, strided_map(starts, steps))


UPDATE_SLICE = define(
    "update_slice",
    infer=_infer_update,
    evaluate=_evaluate_update,
    vjp=_vjp_update,
    linear=(0, 1),
    family=Assembly(_updated_pieces),
    doc="The operand with other values at start + step * i of each axis.",
)

# --- as in Python --------------------------------------------------------------------------------

Bounds = Mapping[int, tuple[Any, Any, int]]
"""axis -> (start, stop, step), as in a Python slice."""


def slice_bounds(size: Dim, start: Any, stop: Any, step: int) -> tuple[Dim, Dim]:
    """Return (first position, length) of ``start:stop:step`` over an axis, clamped as in Python.

    Only ints count from the end when negative; a dim is a position. Each bound is clamped on the
    side on which it could leave the axis with elements still selected: past the other side the
    length is 0, and then the start does not matter.
    """
    if step == 0:
        raise AttributeValueError("a slice step must not be 0")
    first, last = _position(start, size), _position(stop, size)
    if step > 0:
        first = 0 if first is None else D.maximum(first, 0)
        last = size if last is None else D.minimum(last, size)
        span = last - first
    else:
        first = size - 1 if first is None else D.minimum(first, size - 1)
        last = -1 if last is None else D.maximum(last, -1)
        span = first - last
    return first, D.maximum(D.ceildiv(span, abs(step)), 0)


def _position(bound: Any, size: Dim) -> Dim | None:
    if bound is None or isinstance(bound, DimExpr):
        return bound
    try:
        position = operator.index(bound)
    except TypeError as error:
        raise DTypeError(
            f"a slice bound must be an int or a dim, found {bound!r}",
            help="read at positions that are data with symtensor.take",
            code="ST0403",
        ) from error
    return position if position >= 0 else position + size


def slice_axis(x: Tensor, axis: int, start: Any, stop: Any, step: int = 1) -> Tensor:
    """Return ``x[start:stop:step]`` along one axis."""
    return strided_slice(x, {axis: (start, stop, step)})


def strided_slice(x: Tensor, bounds: Bounds) -> Tensor:
    """Return `x` sliced along the axes of `bounds`."""
    return slice_at(x, *slice_attributes(x.shape, bounds))


def slice_attributes(shape: Shape, bounds: Bounds) -> tuple[Starts, Steps, Shape]:
    """Return starts, steps and lengths over all axes for slices of some."""
    starts: list[Dim] = [0] * len(shape)
    steps, lengths = [1] * len(shape), list(shape)
    for axis, (start, stop, step) in bounds.items():
        starts[axis], lengths[axis] = slice_bounds(shape[axis], start, stop, step)
        steps[axis] = step
    return tuple(starts), tuple(steps), tuple(lengths)


def slice_at(x: Tensor, starts: Starts, steps: Steps, lengths: Shape) -> Tensor:
    """Return elements ``start + step * i``, i < length, of each axis; a call checks positions."""
    unchanged = all(D.same(s, 0) for s in starts) and set(steps) <= {1}
    if unchanged and D.same_shape(lengths, x.shape):
        return x
    return apply(SLICE, x, starts=starts, steps=steps, lengths=lengths)
