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
from symtensor.ops import cotangents, slicing
from symtensor.ops.attributes import as_int, as_items, as_sizes, is_sequence, normalize_dim
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axes, normalize_axis
from symtensor.ops.families import AxisMap, IndexMap, View
from symtensor.ops.registry import define


def _identity_map(source: TensorType, out: TensorType, **attrs: Any) -> IndexMap:
    return tuple(AxisMap(0, ((axis, 1),)) for axis in range(source.ndim))


# --- specify_shape: the run-time guard -----------------------------------------------------------


def _infer_specify(x: TensorType, *, shape: Shape) -> TensorType:
    if len(shape) != x.ndim or any(
        unify_dims(a, b) is None for a, b in zip(x.shape, shape, strict=True)
    ):
        raise ShapeError(
            f"a tensor of shape {format_shape(x.shape)} can't be {format_shape(shape)}",
            code="ST0104",
        )
    return x.with_shape(shape)


def _check_shape(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    if tuple(x.shape) != shape:
        wrong = [a for a, (n, m) in enumerate(zip(x.shape, shape, strict=True)) if n != m]
        axes = " and ".join(f"axis {a} must have {shape[a]}, not {x.shape[a]}" for a in wrong)
        raise ShapeError(
            f"expected shape {format_shape(shape)}, found {format_shape(x.shape)}",
            help=f"{axes}: what stands there needs these sizes to agree, which only the call could tell",
            code="ST0104",
        )
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
    given = as_items(shape, "specify_shape: shape", "sizes")
    if len(given) != x.ndim:
        raise ShapeError(f"expected {x.ndim} sizes, found {format_shape(given)}", code="ST0106")
    wanted = tuple(
        have if size is None else normalize_dim(size, axis)
        for axis, (have, size) in enumerate(zip(x.shape, given, strict=True))
    )
    return x if D.same_shape(wanted, x.shape) else apply(SPECIFY_SHAPE, x, shape=wanted)


# --- broadcast_to --------------------------------------------------------------------------------


def _infer_broadcast(x: TensorType, *, shape: Shape) -> TensorType:
    offset = len(shape) - x.ndim
    if offset < 0 or any(
        not (D.same(d, 1) or D.same(d, shape[offset + i])) for i, d in enumerate(x.shape)
    ):
        raise ShapeError(
            f"shape {format_shape(x.shape)} does not broadcast to {format_shape(shape)}",
            code="ST0101",
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
    summed = cotangents.sum_of_cotangent(g, broadcast_axes(x.shape, shape))
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
    sizes = as_sizes(shape)
    return x if D.same_shape(x.shape, sizes) else apply(BROADCAST_TO, x, shape=sizes)


def broadcast_into(x: Tensor, shape: Shape) -> Tensor:
    """Return `x` broadcast to a shape that is given; a call checks what can't be proved.

    Unlike operands of an elementwise op, which broadcast against each other, `x` alone gives way.
    """
    offset = len(shape) - x.ndim
    if offset < 0:
        raise ShapeError(f"{x.type} does not broadcast to {format_shape(shape)}", code="ST0101")
    own = shape[offset:]
    fitting = [
        d if D.same(d, 1) else unify_dims(d, want) for d, want in zip(x.shape, own, strict=True)
    ]
    if None in fitting:
        raise ShapeError(f"{x.type} does not broadcast to {format_shape(shape)}", code="ST0101")
    wanted = [d if D.same(d, 1) else want for d, want in zip(x.shape, own, strict=True)]
    return broadcast_to(specify_shape(x, wanted), shape)


# --- transpose -----------------------------------------------------------------------------------


def inverse_permutation(perm: Sequence[int]) -> tuple[int, ...]:
    """Return the permutation that undoes `perm`."""
    return tuple(sorted(range(len(perm)), key=lambda i: perm[i]))


def _infer_transpose(x: TensorType, *, perm: tuple[int, ...]) -> TensorType:
    if sorted(perm) != list(range(x.ndim)):
        raise AttributeValueError(f"{perm} is no permutation of {x.ndim} axes", code="ST0301")
    return x.with_shape(tuple(x.shape[axis] for axis in perm))


def _transpose_map(source: TensorType, out: TensorType, *, perm: tuple[int, ...]) -> IndexMap:
    return tuple(AxisMap(0, ((axis, 1),)) for axis in inverse_permutation(perm))


TRANSPOSE = define(
    "transpose",
    infer=_infer_transpose,
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
    given = as_items(axes, "transpose: axes", "axes")
    perm = tuple(normalize_axis(axis, x.ndim) for axis in given)
    return x if perm == tuple(range(x.ndim)) else apply(TRANSPOSE, x, perm=perm)


# --- reshape -------------------------------------------------------------------------------------


def _infer_reshape(x: TensorType, *, shape: Shape) -> TensorType:
    have, want = x.size, D.product(shape)
    if D.provably_different(have, want):
        raise ShapeError(
            f"{format_shape(x.shape)} has {have} elements, {format_shape(shape)} has {want}",
            code="ST0103",
        )
    return x.with_shape(shape)


def _check_reshape(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    try:
        return xp.reshape(x, shape)
    except ValueError:
        raise ShapeError(
            f"{format_shape(x.shape)} has {x.size} elements, which do not fill "
            f"{format_shape(shape)}",
            code="ST0103",
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
    given = tuple(shape) if is_sequence(shape) else (shape,)
    sizes = [normalize_dim(size, i) for i, size in enumerate(given)]
    unknown = [i for i, size in enumerate(sizes) if isinstance(size, int) and size == -1]
    if len(unknown) > 1:
        raise ShapeError(
            f"reshape: only one size may be -1, found {format_shape(given)}", code="ST0103"
        )
    if unknown:
        rest = D.product(size for i, size in enumerate(sizes) if i not in unknown)
        if D.same(rest, 0):
            raise ShapeError(
                f"reshape: -1 in {format_shape(given)} could be any size", code="ST0103"
            )
        sizes[unknown[0]] = D.floordiv(x.size, rest)
    target = tuple(sizes)
    return x if D.same_shape(target, x.shape) else apply(RESHAPE, x, shape=target)


# --- functions -----------------------------------------------------------------------------------


def flip(x: TensorLike, axis: Any = None) -> Tensor:
    """Return `x` reversed along axes (all when None)."""
    x = as_tensor(x)
    return slicing.strided_slice(x, {a: (None, None, -1) for a in normalize_axes(axis, x.ndim)})


def expand_dims(x: TensorLike, axis: Any) -> Tensor:
    """Return `x` with axes of size 1 inserted at positions `axis` of the result."""
    x = as_tensor(x)
    axes = _sequence(axis)
    count = len(axes)
    new = normalize_axes(axes, x.ndim + count)
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
        raise AttributeValueError(f"moveaxis: {source} can't move to {destination}", code="ST0301")
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


def rot90(x: TensorLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Return `x` turned by `k` quarters in the plane of two axes, from the first to the second."""
    x = as_tensor(x)
    plane = [normalize_axis(a, x.ndim) for a in as_items(axes, "rot90: axes", "axes")]
    if len(plane) != 2 or plane[0] == plane[1]:
        raise AttributeValueError(
            f"rot90: expected two different axes, found {tuple(axes)}", code="ST0301"
        )
    first, second = plane
    turns = as_int(k, "rot90: k") % 4
    if turns == 1:
        return swapaxes(flip(x, second), first, second)
    if turns == 2:
        return flip(x, (first, second))
    return flip(swapaxes(x, first, second), second) if turns == 3 else x


def atleast_1d(x: TensorLike) -> Tensor:
    """Return `x`, as a vector where it is 0-d."""
    x = as_tensor(x)
    return x if x.ndim else reshape(x, (1,))


def atleast_2d(x: TensorLike) -> Tensor:
    """Return `x` with at least two axes; a vector becomes a row."""
    x = atleast_1d(x)
    return x if x.ndim > 1 else expand_dims(x, 0)


def atleast_3d(x: TensorLike) -> Tensor:
    """Return `x` with at least three axes; a matrix gets its new axis last, as in NumPy."""
    x = atleast_2d(x)
    return x if x.ndim > 2 else expand_dims(x, -1)
