"""Movement ops: the same elements, re-read under another shape or order.

Views (broadcast_to, transpose, …) carry an index map, so compilers move nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, format_shape, unify_dims
from symtensor.ops import reduction
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axes, normalize_axis
from symtensor.ops.families import AxisMap, IndexMap, View
from symtensor.ops.inputs import normalize_dim
from symtensor.ops.registry import define


def _identity_map(source: TensorType, out: TensorType, **attrs: Any) -> IndexMap:
    return tuple(AxisMap(0, ((axis, 1),)) for axis in range(source.ndim))


# --- specify_shape: the run-time guard -----------------------------------------------------------


def _infer_specify(x: TensorType, *, shape: Shape) -> TensorType:
    if len(shape) != x.ndim or any(
        unify_dims(a, b) is None for a, b in zip(x.shape, shape, strict=True)
    ):
        raise ShapeError(
            f"a tensor of shape {format_shape(x.shape)} can't be {format_shape(shape)}"
        )
    return x.with_shape(shape)


def _check_shape(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    if tuple(x.shape) != shape:
        raise ShapeError(f"expected shape {format_shape(shape)}, found {format_shape(x.shape)}")
    return x


SPECIFY_SHAPE = define(
    "specify_shape",
    infer=_infer_specify,
    evaluate=_check_shape,
    vjp=lambda g, y, x, *, shape: (specify_shape(g, x.shape),),
    linear=(0,),
    family=View(_identity_map),
    doc="The operand, checked at run time to have the given shape.",
)


def specify_shape(x: TensorLike, shape: Sequence[Any]) -> Tensor:
    """Return `x` with its shape declared; None keeps a size. A call checks it (`ShapeError`)."""
    x = as_tensor(x)
    if len(shape) != x.ndim:
        raise ShapeError(f"expected {x.ndim} sizes, found {format_shape(shape)}")
    wanted = tuple(
        have if size is None else normalize_dim(size, axis)
        for axis, (have, size) in enumerate(zip(x.shape, shape, strict=True))
    )
    return x if D.same_shape(wanted, x.shape) else apply(SPECIFY_SHAPE, x, shape=wanted)


# --- broadcast_to --------------------------------------------------------------------------------


def _infer_broadcast(x: TensorType, *, shape: Shape) -> TensorType:
    offset = len(shape) - x.ndim
    if offset < 0 or any(
        not (D.same(d, 1) or D.same(d, shape[offset + i])) for i, d in enumerate(x.shape)
    ):
        raise ShapeError(
            f"shape {format_shape(x.shape)} does not broadcast to {format_shape(shape)}"
        )
    return x.with_shape(shape)


def broadcast_axes(source: Shape, shape: Shape) -> tuple[int, ...]:
    """Return the axes of `shape` along which `source` is repeated."""
    offset = len(shape) - len(source)
    return tuple(
        axis
        for axis, size in enumerate(shape)
        if axis < offset or (D.same(source[axis - offset], 1) and not D.same(size, 1))
    )


def _broadcast_map(source: TensorType, out: TensorType, **attrs: Any) -> IndexMap:
    offset = out.ndim - source.ndim
    repeated = broadcast_axes(source.shape, out.shape)
    return tuple(
        AxisMap(0, () if offset + axis in repeated else ((offset + axis, 1),))
        for axis in range(source.ndim)
    )


def _vjp_broadcast(g: Tensor, y: Tensor, x: Tensor, *, shape: Shape) -> tuple[Tensor]:
    summed = reduction.sum(g, broadcast_axes(x.shape, shape))
    return (reshape(summed, x.shape),)


BROADCAST_TO = define(
    "broadcast_to",
    infer=_infer_broadcast,
    evaluate=lambda xp, x, *, shape: xp.broadcast_to(x, shape),
    vjp=_vjp_broadcast,
    linear=(0,),
    family=View(_broadcast_map),
    doc="The operand repeated along axes of size 1 and along new leading axes.",
)


def broadcast_to(x: TensorLike, shape: Sequence[Any]) -> Tensor:
    """Return `x` expanded to `shape` by repeating along axes of size 1, as in NumPy."""
    x = as_tensor(x)
    sizes = tuple(normalize_dim(size, axis) for axis, size in enumerate(shape))
    return x if D.same_shape(x.shape, sizes) else apply(BROADCAST_TO, x, shape=sizes)


# --- transpose -----------------------------------------------------------------------------------


def inverse_permutation(perm: Sequence[int]) -> tuple[int, ...]:
    """Return the permutation that undoes `perm`."""
    return tuple(sorted(range(len(perm)), key=lambda i: perm[i]))


def _transpose_map(source: TensorType, out: TensorType, *, perm: tuple[int, ...]) -> IndexMap:
    return tuple(AxisMap(0, ((axis, 1),)) for axis in inverse_permutation(perm))


TRANSPOSE = define(
    "transpose",
    infer=lambda x, *, perm: x.with_shape(tuple(x.shape[axis] for axis in perm)),
    evaluate=lambda xp, x, *, perm: xp.transpose(x, perm),
    vjp=lambda g, y, x, *, perm: (transpose(g, inverse_permutation(perm)),),
    linear=(0,),
    family=View(_transpose_map),
    doc="Axes in another order: axis i of the result is axis perm[i] of the operand.",
)


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Return `x` with its axes permuted; reversed when `axes` is None."""
    x = as_tensor(x)
    if axes is None:
        axes = range(x.ndim)[::-1]
    perm = tuple(normalize_axis(axis, x.ndim) for axis in axes)
    if sorted(perm) != list(range(x.ndim)):
        raise AttributeValueError(f"transpose: {tuple(axes)} is no permutation of {x.ndim} axes")
    return x if perm == tuple(range(x.ndim)) else apply(TRANSPOSE, x, perm=perm)


# --- reshape -------------------------------------------------------------------------------------


def _infer_reshape(x: TensorType, *, shape: Shape) -> TensorType:
    have, want = x.size, D.product(shape)
    if D.provably_different(have, want):
        raise ShapeError(
            f"{format_shape(x.shape)} has {have} elements, {format_shape(shape)} has {want}"
        )
    return x.with_shape(shape)


def _check_reshape(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    try:
        return xp.reshape(x, shape)
    except ValueError:
        raise ShapeError(
            f"{format_shape(x.shape)} has {x.size} elements, which do not fill "
            f"{format_shape(shape)}"
        ) from None


def _reshape_map(source: TensorType, out: TensorType, **attrs: Any) -> IndexMap | None:
    """Return a map where each input axis is a group of consecutive output axes, else None."""
    maps: list[AxisMap] = []
    axis = 0
    for size in source.shape:
        if D.same(size, 1):
            maps.append(AxisMap(0, ()))
            continue
        group: list[int] = []
        covered: Dim = 1
        while not D.same(covered, size):
            if axis == out.ndim:
                return None
            group.append(axis)
            covered = covered * out.shape[axis]
            axis += 1
        terms: list[tuple[int, Dim]] = []
        stride: Dim = 1
        for a in reversed(group):
            if not D.same(out.shape[a], 1):
                terms.insert(0, (a, stride))
            stride = stride * out.shape[a]
        maps.append(AxisMap(0, tuple(terms)))
    return tuple(maps) if all(D.same(d, 1) for d in out.shape[axis:]) else None


RESHAPE = define(
    "reshape",
    infer=_infer_reshape,
    evaluate=_check_reshape,
    vjp=lambda g, y, x, *, shape: (reshape(g, x.shape),),
    linear=(0,),
    family=View(_reshape_map),
    doc="The elements in C order under another shape of equal size.",
)


def reshape(x: TensorLike, shape: Any) -> Tensor:
    """Return `x` under another shape of the same size; one size may be -1 and is worked out."""
    x = as_tensor(x)
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    unknown = [i for i, size in enumerate(given) if isinstance(size, int) and size == -1]
    if len(unknown) > 1:
        raise ShapeError(f"reshape: only one size may be -1, found {format_shape(given)}")
    sizes = [1 if i in unknown else normalize_dim(size, i) for i, size in enumerate(given)]
    if unknown:
        rest = D.product(sizes)
        if D.same(rest, 0):
            raise ShapeError(f"reshape: -1 in {format_shape(given)} could be any size")
        sizes[unknown[0]] = D.floordiv(x.size, rest)
    target = tuple(sizes)
    return x if D.same_shape(target, x.shape) else apply(RESHAPE, x, shape=target)


# --- slice and its inverse -----------------------------------------------------------------------

Starts = tuple[Dim, ...]
Steps = tuple[int, ...]


def _infer_slice(x: TensorType, *, starts: Starts, steps: Steps, lengths: Shape) -> TensorType:
    return x.with_shape(lengths)


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


def _evaluate_slice(
    xp: Any, x: Any, *, starts: tuple[int, ...], steps: Steps, lengths: tuple[int, ...]
) -> Any:
    return x[strided_slices(starts, steps, lengths)]


def _slice_map(
    source: TensorType, out: TensorType, *, starts: Starts, steps: Steps, lengths: Shape
) -> IndexMap:
    return tuple(
        AxisMap(start, ((axis, step),))
        for axis, (start, step) in enumerate(zip(starts, steps, strict=True))
    )


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
    return x.with_shape(shape)


def _evaluate_place(
    xp: Any, x: Any, *, shape: tuple[int, ...], starts: tuple[int, ...], steps: Steps, fill: Any
) -> Any:
    out = xp.full(shape, fill, dtype=x.dtype)
    out[strided_slices(starts, steps, x.shape)] = x
    return out


PLACE = define(
    "place",
    infer=_infer_place,
    evaluate=_evaluate_place,
    vjp=lambda g, y, x, *, shape, starts, steps, fill: (
        apply(SLICE, g, starts=starts, steps=steps, lengths=x.shape),
    ),
    doc="The operand laid into a tensor of one value, at start + step * i of each axis.",
)


def place(
    x: Tensor, shape: Shape, starts: Starts, steps: Steps, fill: float | int | bool = 0
) -> Tensor:
    """Return a tensor of `shape` filled with `fill` that holds `x` at ``start + step * i``."""
    value = bool(fill) if x.dtype.is_bool else fill
    value = int(fill) if x.dtype.is_integer else value
    value = float(fill) if x.dtype.is_floating else value
    return apply(PLACE, x, shape=tuple(shape), starts=starts, steps=steps, fill=value)


def slice_bounds(size: Dim, start: Any, stop: Any, step: int) -> tuple[Dim, Dim]:
    """Return (first position, length) of ``start:stop:step`` over an axis, clamped as in Python."""
    if step == 0:
        raise AttributeValueError("a slice step must not be 0")
    low, high = (0, size) if step > 0 else (-1, size - 1)

    def bound(value: Any, default: Dim) -> Dim:
        if value is None:
            return default
        position = normalize_dim(value)
        if isinstance(position, int) and position < 0:
            position = position + size
        return D.minimum(D.maximum(position, low), high)

    first = bound(start, low if step > 0 else high)
    last = bound(stop, high if step > 0 else low)
    span = last - first if step > 0 else first - last
    return first, D.maximum(D.ceildiv(span, abs(step)), 0)


def slice_axis(x: Tensor, axis: int, start: Any, stop: Any, step: int = 1) -> Tensor:
    """Return ``x[start:stop:step]`` along one axis."""
    return strided_slice(x, {axis: (start, stop, step)})


def strided_slice(x: Tensor, bounds: dict[int, tuple[Any, Any, int]]) -> Tensor:
    """Return `x` sliced along the axes of `bounds`: axis -> (start, stop, step)."""
    starts: list[Dim] = [0] * x.ndim
    steps, lengths = [1] * x.ndim, list(x.shape)
    for axis, (start, stop, step) in bounds.items():
        starts[axis], lengths[axis] = slice_bounds(x.shape[axis], start, stop, step)
        steps[axis] = step
    unchanged = all(D.same(s, 0) for s in starts) and set(steps) <= {1}
    if unchanged and D.same_shape(tuple(lengths), x.shape):
        return x
    return apply(SLICE, x, starts=tuple(starts), steps=tuple(steps), lengths=tuple(lengths))


# --- functions -----------------------------------------------------------------------------------


def flip(x: TensorLike, axis: Any = None) -> Tensor:
    """Return `x` reversed along axes (all when None)."""
    x = as_tensor(x)
    return strided_slice(x, {a: (None, None, -1) for a in normalize_axes(axis, x.ndim)})


def expand_dims(x: TensorLike, axis: Any) -> Tensor:
    """Return `x` with axes of size 1 inserted at positions `axis` of the result."""
    x = as_tensor(x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    new = normalize_axes(axis, x.ndim + count)
    old = iter(x.shape)
    return reshape(x, tuple(1 if a in new else next(old) for a in range(x.ndim + count)))


def squeeze(x: TensorLike, axis: Any = None) -> Tensor:
    """Return `x` without axes of size 1: those of `axis`, or all that are known to be 1."""
    x = as_tensor(x)
    if axis is None:
        axes = tuple(a for a, size in enumerate(x.shape) if D.same(size, 1))
    else:
        axes = normalize_axes(axis, x.ndim)
        wrong = [a for a in axes if D.provably_different(x.shape[a], 1)]
        if wrong:
            raise ShapeError(f"squeeze: axis {wrong[0]} of {x.type} is not 1")
        x = specify_shape(x, [1 if a in axes else None for a in range(x.ndim)])
    return reshape(x, tuple(size for a, size in enumerate(x.shape) if a not in axes))


def moveaxis(x: TensorLike, source: Any, destination: Any) -> Tensor:
    """Return `x` with axes moved to other positions, the rest in order."""
    x = as_tensor(x)
    from_ = [normalize_axis(a, x.ndim) for a in _sequence(source)]
    to = [normalize_axis(a, x.ndim) for a in _sequence(destination)]
    if len(from_) != len(to) or len(set(from_)) != len(from_) or len(set(to)) != len(to):
        raise AttributeValueError(f"moveaxis: {source} can't move to {destination}")
    order = [a for a in range(x.ndim) if a not in from_]
    for place_, axis in sorted(zip(to, from_, strict=True)):
        order.insert(place_, axis)
    return transpose(x, order)


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (tuple, list)) else (value,)


def swapaxes(x: TensorLike, first: int, second: int) -> Tensor:
    """Return `x` with two axes exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = normalize_axis(first, x.ndim), normalize_axis(second, x.ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


def ravel(x: TensorLike) -> Tensor:
    """Return `x` as a vector in C order."""
    return reshape(x, (-1,))
