"""Indexing: reading and writing at positions that are data.

Two records do it all: ``gather`` reads at index tensors over some axes, ``scatter`` writes there
(set: the last of equal positions wins; add: all add up). Indices count from the end when negative
and are checked: one out of range is an `IndexOutOfRange` (an IndexError). The rest is composed;
``x[index]`` is in `subscript`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import (
    ArgumentError,
    AttributeValueError,
    DTypeError,
    IndexOutOfRange,
    ShapeError,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.dtypes import int64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_shapes
from symtensor.ops import creation, elementwise, logic, movement, selection
from symtensor.ops.attributes import as_dim
from symtensor.ops.build import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast_to,
    normalize_axis,
)
from symtensor.ops.families import Gather, Scatter
from symtensor.ops.registry import define
from symtensor.vocabulary import require_choice

Axes = tuple[int, ...]

# --- records -------------------------------------------------------------------------------------


def _check_indices(x: TensorType, indices: Sequence[TensorType], axes: Sequence[int]) -> None:
    if not indices or len(indices) != len(axes):
        raise ShapeError(
            f"expected an index tensor per axis of {tuple(axes)}, found {len(indices)}"
        )
    if len(set(axes)) != len(axes) or not all(0 <= axis < x.ndim for axis in axes):
        raise AttributeValueError(f"{tuple(axes)} are no axes of {x}")
    for index in indices:
        if not index.dtype.is_integer:
            raise DTypeError(f"expected integer indices, found {index.dtype}", code="ST0205")
        if not D.same_shape(index.shape, indices[0].shape):
            raise ShapeError(f"index shapes differ: {indices[0]} and {index}")


def _selected(x: TensorType, index: TensorType, axes: Sequence[int]) -> Shape:
    rest = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return index.shape + rest


def nothing_to_index(axis: int) -> Exception:
    """Return the error of any index into an axis without elements."""
    return IndexOutOfRange(f"axis {axis} has size 0: any index is out of range", code="ST0401")


def _out_of_range(shape: Sequence[int], axes: Sequence[int], indices: Sequence[Any]) -> Exception:
    """Return the error that names the first index outside its axis."""
    for axis, index in zip(axes, indices, strict=True):
        size = shape[axis]
        if size == 0 and index.size:
            return nothing_to_index(axis)
        for value in np.ravel(index):
            if not -size <= int(value) < size:
                return IndexOutOfRange(
                    f"index {value} is out of range for axis {axis} of size {size}", code="ST0401"
                )
    return IndexOutOfRange(f"no element of shape {tuple(shape)} can be indexed", code="ST0401")


def _check_wide(shape: Sequence[int], axes: Sequence[int], indices: Sequence[Any]) -> None:
    """Refuse what NumPy would wrap around when it turns uint64 indices into int64."""
    for index in indices:
        if index.dtype == np.uint64 and index.size and index.max() > np.iinfo(np.int64).max:
            raise _out_of_range(shape, axes, indices)


def _infer_gather(x: TensorType, *indices: TensorType, axes: Axes) -> TensorType:
    _check_indices(x, indices, axes)
    return x.with_shape(_selected(x, indices[0], axes))


def _evaluate_gather(xp: Any, x: Any, *indices: Any, axes: Axes) -> Any:
    _check_wide(x.shape, axes, indices)
    try:
        return xp.moveaxis(x, axes, range(len(axes)))[indices]
    except IndexError:
        raise _out_of_range(x.shape, axes, indices) from None


def _vjp_gather(
    g: Tensor, y: Tensor, x: Tensor, *indices: Tensor, axes: Axes
) -> tuple[Tensor | None, ...]:
    base = creation.zeros(x.shape, x.dtype)
    none = (None for _ in indices)
    return (apply(SCATTER, base, g, *indices, axes=axes, mode="add"), *none)


GATHER = define(
    "gather",
    infer=_infer_gather,
    evaluate=_evaluate_gather,
    vjp=_vjp_gather,
    linear=(0,),
    family=Gather(),
    doc="Elements at index tensors over `axes`; the axes of the index tensors come first.",
)


def _infer_scatter(
    base: TensorType, values: TensorType, *indices: TensorType, axes: Axes, mode: str
) -> TensorType:
    _check_indices(base, indices, axes)
    if mode not in ("set", "add"):
        raise AttributeValueError(f"expected mode set or add, found {mode!r}", code="ST0302")
    expected = base.with_shape(_selected(base, indices[0], axes))
    if not D.same_shape(values.shape, expected.shape) or values.dtype is not base.dtype:
        raise ShapeError(f"expected values {expected}, found {values}")
    return base


def _evaluate_scatter(xp: Any, base: Any, values: Any, *indices: Any, axes: Axes, mode: str) -> Any:
    _check_wide(base.shape, axes, indices)
    out = xp.array(base, copy=True)
    target = xp.moveaxis(out, axes, range(len(axes)))
    try:
        if mode == "set":
            target[indices] = values
        else:
            xp.add.at(target, indices, values)
    except IndexError:
        raise _out_of_range(base.shape, axes, indices) from None
    return out


def _vjp_scatter(
    g: Tensor, y: Tensor, base: Tensor, values: Tensor, *indices: Tensor, axes: Axes, mode: str
) -> tuple[Tensor | None, ...]:
    none = (None for _ in indices)
    reached = apply(GATHER, g, *indices, axes=axes)
    if mode == "add":
        return (g, reached, *none)
    zeros = creation.zeros(values.shape, g.dtype)
    erased = apply(SCATTER, g, zeros, *indices, axes=axes, mode="set")
    winner = _last_writer(base, indices, axes)
    return (erased, logic.where(_align(winner, reached), reached, 0), *none)


def _last_writer(base: Tensor, indices: Sequence[Tensor], axes: Axes) -> Tensor:
    """Return for each write whether it is the last one to its position."""
    shape = indices[0].shape
    order = movement.reshape(creation.iota(D.product(shape)), shape)
    board = creation.zeros(tuple(base.shape[axis] for axis in axes), int64)
    own = tuple(range(len(axes)))
    last = apply(SCATTER, board, order, *indices, axes=own, mode="set")
    return logic.equal(apply(GATHER, last, *indices, axes=own), order)


def _align(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask over leading axes, repeated over the rest of `like`."""
    ones = (1,) * (like.ndim - mask.ndim)
    return movement.broadcast_to(movement.reshape(mask, mask.shape + ones), like.shape)


SCATTER = define(
    "scatter",
    infer=_infer_scatter,
    evaluate=_evaluate_scatter,
    vjp=_vjp_scatter,
    linear=(0, 1),
    family=Scatter(),
    doc="The base with values set or added where `gather` would read; in order, so the last wins.",
)


# --- reading -------------------------------------------------------------------------------------


def as_index(value: TensorLike) -> Tensor:
    """Return a tensor of integers; an empty list is one."""
    if isinstance(value, (list, tuple)) and len(value) == 0:
        value = np.zeros(0, np.int64)
    index = as_tensor(value)
    if not index.dtype.is_integer:
        raise DTypeError(f"expected integer indices, found {index.dtype}", code="ST0205")
    return index


def take(
    x: TensorLike, indices: TensorLike, axis: int | None = None, mode: str = "raise"
) -> Tensor:
    """Return the elements of `x` at `indices` along `axis` (of the flattened tensor when None).

    `mode`: ``raise`` for an out-of-range index, ``clip`` or ``wrap``.
    """
    require_choice(mode, ("raise", "clip", "wrap"), "take: mode")
    x, index = as_tensor(x), as_index(indices)
    if axis is None:
        x, axis = movement.ravel(x), 0
    axis = normalize_axis(axis, x.ndim)
    size = x.shape[axis]
    if mode == "clip":
        index = selection.clip(cast_to(index, int64), 0, as_tensor(size - 1))
    elif mode == "wrap":
        index = elementwise.remainder(cast_to(index, int64), size)
    out = apply(GATHER, x, index, axes=(axis,))
    return put_back(out, index.ndim, axis)


def put_back(out: Tensor, count: int, before: int) -> Tensor:
    """Return a gathered tensor with the `count` axes of the indices behind `before` others."""
    rest = range(count, out.ndim)
    return movement.transpose(out, [*rest[:before], *range(count), *rest[before:]])


def gather(x: TensorLike, *indices: TensorLike) -> Tensor:
    """Return ``x[i0, i1, …]`` for index tensors over the leading axes, broadcast together."""
    if not indices:
        raise ArgumentError("gather: expected an index tensor for each leading axis, found none")
    tensors = broadcast(*map(as_index, indices))
    return apply(GATHER, as_tensor(x), *tensors, axes=tuple(range(len(tensors))))


def _check_along(x: Tensor, index: Tensor) -> None:
    if index.ndim != x.ndim:
        raise ShapeError(f"expected indices of {x.ndim} axes, found {index.type}")


def _grid(index: Tensor, axis: int) -> list[Tensor]:
    """Return index tensors that say: at `index` along `axis`, at the own place elsewhere."""
    out = []
    for a in range(index.ndim):
        shape = tuple(index.shape[a] if b == a else 1 for b in range(index.ndim))
        own = movement.reshape(creation.iota(index.shape[a]), shape)
        out.append(index if a == axis else movement.broadcast_to(own, index.shape))
    return out


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = -1) -> Tensor:
    """Return elements of `x` picked along `axis` by an index tensor of the same rank.

    Other axes broadcast against each other. With `axis` None `x` is flattened first.
    """
    x, index = as_tensor(x), as_index(indices)
    if axis is None:
        x, axis = movement.ravel(x), 0
    _check_along(x, index)
    axis = normalize_axis(axis, x.ndim)
    lead, last = slice(0, axis), slice(axis + 1, None)
    common = unify_shapes([t.shape[lead] + (1,) + t.shape[last] for t in (x, index)]).shape
    x, index = (
        movement.broadcast_into(t, (*common[lead], t.shape[axis], *common[last]))
        for t in (x, index)
    )
    return apply(GATHER, x, *_grid(index, axis), axes=tuple(range(x.ndim)))


def put_along_axis(
    x: TensorLike, indices: TensorLike, values: TensorLike, axis: int | None = -1
) -> Tensor:
    """Return `x` with `values` set where `take_along_axis` would read."""
    x, index = as_tensor(x), as_index(indices)
    if axis is None:
        flat = put_along_axis(movement.ravel(x), index, values, 0)
        return movement.reshape(flat, x.shape)
    _check_along(x, index)
    axis = normalize_axis(axis, x.ndim)
    fitting = (*x.shape[:axis], index.shape[axis], *x.shape[axis + 1 :])
    grid = _grid(movement.broadcast_into(index, fitting), axis)
    fitted = movement.broadcast_into(cast_to(as_tensor(values, x.dtype), x.dtype), fitting)
    return apply(SCATTER, x, fitted, *grid, axes=tuple(range(x.ndim)), mode="set")


def one_hot(indices: TensorLike, size: Any, dtype: Any = "float32") -> Tensor:
    """Return 1 at the position each index names along a new last axis; all 0 when out of range."""
    index = as_index(indices)
    return logic.cast(
        logic.equal(
            movement.expand_dims(index, -1), creation.iota(as_dim(size, "one_hot: size", 0))
        ),
        dtype,
    )


__all__ = ["gather", "one_hot", "put_along_axis", "take", "take_along_axis"]
