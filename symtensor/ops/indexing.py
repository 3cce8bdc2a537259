"""Indexing: reading and writing at positions that are data.

Two records do it all: ``gather`` reads at index tensors over leading axes, ``scatter`` writes there
(set: the last of equal positions wins; add: all add up). Indices count from the end when negative
and are checked: one out of range is an `IndexOutOfRange` (an IndexError). The rest is composed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import (
    AttributeValueError,
    DTypeError,
    IndexOutOfRange,
    ShapeError,
    SymbolicValueError,
)
from symtensor.ir import dims as D
from symtensor.ir.dtypes import bool_, int64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import creation, elementwise, logic, movement
from symtensor.ops.build import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast_to,
    normalize_axis,
)
from symtensor.ops.inputs import constant, normalize_dim
from symtensor.ops.registry import define

# --- records -------------------------------------------------------------------------------------


def _check_indices(x: TensorType, indices: Sequence[TensorType]) -> None:
    if not indices or len(indices) > x.ndim:
        raise ShapeError(f"{len(indices)} indices for a tensor of {x.ndim} axes")
    for index in indices:
        if not index.dtype.is_integer:
            raise DTypeError(f"expected integer indices, found {index.dtype}")
        if not D.same_shape(index.shape, indices[0].shape):
            raise ShapeError(f"index shapes differ: {indices[0]} and {index}")


def _infer_gather(x: TensorType, *indices: TensorType) -> TensorType:
    _check_indices(x, indices)
    return x.with_shape(indices[0].shape + x.shape[len(indices) :])


def _vjp_gather(g: Tensor, y: Tensor, x: Tensor, *indices: Tensor) -> tuple[Tensor | None, ...]:
    base = creation.zeros(x.shape, x.dtype)
    return (apply(SCATTER, base, g, *indices, mode="add"), *(None for _ in indices))


GATHER = define(
    "gather",
    infer=_infer_gather,
    evaluate=lambda xp, x, *indices: x[tuple(indices)],
    vjp=_vjp_gather,
    linear=(0,),
    doc="x[i0, i1, …]: elements at index tensors over the leading axes.",
)


def _infer_scatter(
    base: TensorType, values: TensorType, *indices: TensorType, mode: str
) -> TensorType:
    _check_indices(base, indices)
    expected = indices[0].shape + base.shape[len(indices) :]
    if not D.same_shape(values.shape, expected) or values.dtype is not base.dtype:
        raise ShapeError(f"expected values {base.with_shape(expected)}, found {values}")
    return base


def _evaluate_scatter(xp: Any, base: Any, values: Any, *indices: Any, mode: str) -> Any:
    out = xp.array(base, copy=True)
    if mode == "set":
        out[tuple(indices)] = values
    else:
        xp.add.at(out, tuple(indices), values)
    return out


def _vjp_scatter(
    g: Tensor, y: Tensor, base: Tensor, values: Tensor, *indices: Tensor, mode: str
) -> tuple[Tensor | None, ...]:
    none = (None for _ in indices)
    if mode == "add":
        return (g, apply(GATHER, g, *indices), *none)
    erased = apply(SCATTER, g, creation.zeros(values.shape, g.dtype), *indices, mode="set")
    reached = apply(GATHER, g, *indices)
    winner = _last_writer(base, indices)
    return (erased, logic.where(_align(winner, reached), reached, 0), *none)


def _last_writer(base: Tensor, indices: Sequence[Tensor]) -> Tensor:
    """Return for each write whether it is the last one to its position."""
    count = len(indices)
    shape = indices[0].shape
    order = movement.reshape(creation.iota(D.product(shape)), shape)
    board = creation.zeros(base.shape[:count], int64)
    last = apply(SCATTER, board, order, *indices, mode="set")
    return logic.equal(apply(GATHER, last, *indices), order)


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
    doc="The base with values set or added at index tensors over the leading axes.",
)

SEARCHSORTED = define(
    "searchsorted",
    infer=lambda sorted_, values, *, side: values.with_dtype(int64),
    evaluate=lambda xp, sorted_, values, *, side: xp.searchsorted(sorted_, values, side=side),
    doc="Positions at which values keep a sorted vector sorted.",
)

BINCOUNT = define(
    "bincount",
    infer=lambda x, *, length: TensorType(int64, (length,)),
    evaluate=lambda xp, x, *, length: _bincount(xp, x, length),
    doc="How often each number below `length` occurs.",
)


def _bincount(xp: Any, x: Any, length: int) -> Any:
    counts = xp.bincount(x.astype(xp.int64), minlength=length)
    if counts.shape[0] > length:
        raise IndexOutOfRange(f"bincount: {int(x.max())} is not below the length {length}")
    return counts


# --- reading -------------------------------------------------------------------------------------


def _as_index(value: TensorLike) -> Tensor:
    if isinstance(value, (list, tuple)) and len(value) == 0:
        value = np.zeros(0, np.int64)
    index = as_tensor(value)
    if not index.dtype.is_integer:
        raise DTypeError(f"expected integer indices, found {index.dtype}")
    return index


def take(
    x: TensorLike, indices: TensorLike, axis: int | None = None, mode: str = "raise"
) -> Tensor:
    """Return the elements of `x` at `indices` along `axis` (of the flattened tensor when None).

    `mode`: ``raise`` for an out-of-range index, ``clip`` or ``wrap``.
    """
    x, index = as_tensor(x), _as_index(indices)
    if axis is None:
        x, axis = movement.ravel(x), 0
    axis = normalize_axis(axis, x.ndim)
    size = x.shape[axis]
    if mode == "clip":
        index = elementwise.clip(cast_to(index, int64), 0, as_tensor(size - 1))
    elif mode == "wrap":
        index = elementwise.remainder(cast_to(index, int64), size)
    elif mode != "raise":
        raise AttributeValueError(f"take: expected mode raise, clip or wrap, found {mode!r}")
    if axis == 0:
        return apply(GATHER, x, index)
    out = apply(GATHER, movement.moveaxis(x, axis, 0), index)
    order = [*range(index.ndim, index.ndim + axis), *range(index.ndim)]
    return movement.transpose(out, [*order, *range(index.ndim + axis, out.ndim)])


def gather(x: TensorLike, *indices: TensorLike) -> Tensor:
    """Return ``x[i0, i1, …]`` for index tensors over the leading axes, broadcast together."""
    return apply(GATHER, as_tensor(x), *broadcast(*map(_as_index, indices)))


def _along(x: Tensor, indices: TensorLike, axis: int) -> tuple[int, list[Tensor]]:
    """Return the index tensors that address ``x`` at `indices` along `axis`, own place elsewhere."""
    index = _as_index(indices)
    if index.ndim != x.ndim:
        raise ShapeError(f"expected indices of {x.ndim} axes, found {index.type}")
    axis = normalize_axis(axis, x.ndim)
    grid = []
    for a in range(x.ndim):
        shape = tuple(index.shape[a] if b == a else 1 for b in range(x.ndim))
        own = movement.reshape(creation.iota(index.shape[a]), shape)
        grid.append(index if a == axis else movement.broadcast_to(own, index.shape))
    return axis, grid


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int = -1) -> Tensor:
    """Return elements of `x` picked along `axis` by an index tensor of the same rank."""
    x = as_tensor(x)
    _, grid = _along(x, indices, axis)
    return apply(GATHER, x, *grid)


def put_along_axis(
    x: TensorLike, indices: TensorLike, values: TensorLike, axis: int = -1
) -> Tensor:
    """Return `x` with `values` set where `take_along_axis` would read."""
    x = as_tensor(x)
    _, grid = _along(x, indices, axis)
    fitted = movement.broadcast_to(cast_to(as_tensor(values, x.dtype), x.dtype), grid[0].shape)
    return apply(SCATTER, x, fitted, *grid, mode="set")


def one_hot(indices: TensorLike, size: Any, dtype: Any = "float32") -> Tensor:
    """Return 1 at the position each index names along a new last axis; all 0 when out of range."""
    index = _as_index(indices)
    return logic.cast(
        logic.equal(movement.expand_dims(index, -1), creation.iota(normalize_dim(size))), dtype
    )


def searchsorted(sorted_: TensorLike, values: TensorLike, side: str = "left") -> Tensor:
    """Return where `values` go into a sorted vector, before (left) or after (right) equal ones."""
    if side not in ("left", "right"):
        raise AttributeValueError(f"searchsorted: expected side left or right, found {side!r}")
    return apply(SEARCHSORTED, as_tensor(sorted_), as_tensor(values), side=side)


def bincount(x: TensorLike, length: Any) -> Tensor:
    """Return how often each of 0 … length - 1 occurs in an integer vector."""
    return apply(BINCOUNT, _as_index(x), length=normalize_dim(length))


# --- x[index] ------------------------------------------------------------------------------------


def getitem(x: Tensor, index: Any) -> Tensor:
    """Return ``x[index]`` with NumPy's rules.

    Integers, dims, slices, None, Ellipsis, integer tensors or arrays, and boolean arrays known when
    building. A symbolic boolean mask has no static shape and is refused.
    """
    items = _expand_ellipsis(list(index) if isinstance(index, tuple) else [index], x.ndim)
    x, advanced, new_axes = _basic(x, items)
    if advanced:
        x = _advanced(x, advanced)
    return movement.expand_dims(x, tuple(new_axes)) if new_axes else x


def _is_advanced(item: Any) -> bool:
    return isinstance(item, (Tensor, np.ndarray, list))


def _axes_used(item: Any) -> int:
    if item is None:
        return 0
    if isinstance(item, (np.ndarray, list)):
        array = np.asarray(item)
        return array.ndim if array.dtype == bool else 1
    return 1


def _expand_ellipsis(items: list[Any], rank: int) -> list[Any]:
    """Return items for every axis: Ellipsis and what is left out become full slices."""
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise IndexOutOfRange("an index can have only one Ellipsis")
    used = sum(_axes_used(item) for item in items if item is not Ellipsis)
    if used > rank:
        raise IndexOutOfRange(f"too many indices: {used} for a tensor of {rank} axes")
    at = places[0] if places else len(items)
    rest = items[at + 1 :] if places else []
    return [*items[:at], *[slice(None)] * (rank - used), *rest]


def _basic(x: Tensor, items: list[Any]) -> tuple[Tensor, dict[int, Tensor], list[int]]:
    """Apply slices and integers; return the result, index tensors by axis, and new axes.

    With index tensors present new axes are put in at once, as integers join the index tensors.
    """
    mixed = any(_is_advanced(item) for item in items)
    bounds: dict[int, tuple[Any, Any, int]] = {}
    dropped: list[int] = []
    advanced: dict[int, Tensor] = {}
    new_axes: list[int] = []
    axis = out_axis = 0
    for item in items:
        if item is None:
            new_axes.append(out_axis)
            out_axis += 1
            continue
        if isinstance(item, slice):
            bounds[axis] = (item.start, item.stop, 1 if item.step is None else int(item.step))
            axis, out_axis = axis + 1, out_axis + 1
        elif _is_advanced(item):
            for part in _index_tensors(item):
                advanced[axis] = part
                axis, out_axis = axis + 1, out_axis + 1
        else:
            bounds[axis] = _one_position(x, axis, item)
            dropped.append(axis)
            axis += 1
    if mixed and new_axes:
        raise IndexOutOfRange("None together with index tensors: apply them one after the other")
    x = movement.strided_slice(x, bounds)
    if mixed:  # NumPy treats an integer beside index tensors as one of them
        for a in dropped:
            advanced[a] = constant(0, int64)
        return x, advanced, []
    kept = tuple(size for a, size in enumerate(x.shape) if a not in dropped)
    return (movement.reshape(x, kept) if dropped else x), {}, new_axes


def _one_position(x: Tensor, axis: int, item: Any) -> tuple[Any, Any, int]:
    """Return the bounds of the slice that holds position `item`; refuses one out of range."""
    if isinstance(item, (bool, np.bool_, float)):
        raise IndexOutOfRange(f"expected an integer index, found {item!r}")
    position, size = normalize_dim(item), x.shape[axis]
    if isinstance(position, int) and isinstance(size, int):
        if not -size <= position < size:
            raise IndexOutOfRange(
                f"index {position} is out of bounds for axis {axis} with size {size}"
            )
        position = position % size
        return position, position + 1, 1
    if isinstance(position, int) and position < 0:
        return position, (position + 1) or None, 1
    return position, position + 1, 1


def _index_tensors(item: Any) -> list[Tensor]:
    """Return the index tensors an advanced item stands for; a boolean array gives one per axis."""
    if isinstance(item, Tensor):
        if item.dtype is bool_:
            raise SymbolicValueError(
                "a symbolic boolean mask selects an unknown number of elements",
                help="use symtensor.where, or index with a NumPy array known when building",
            )
        return [_as_index(item)]
    array = np.asarray(item)
    if array.dtype == bool:
        return [constant(part, int64) for part in np.nonzero(array)]
    return [_as_index(array if array.size else array.astype(np.int64))]


def _advanced(x: Tensor, by_axis: dict[int, Tensor]) -> Tensor:
    """Gather at index tensors; their axes come first unless the indexed axes are neighbours."""
    axes = sorted(by_axis)
    rest = [a for a in range(x.ndim) if a not in by_axis]
    indices = broadcast(*(by_axis[a] for a in axes))
    out = apply(GATHER, movement.transpose(x, [*axes, *rest]), *indices)
    neighbours = axes == list(range(axes[0], axes[-1] + 1))
    if not neighbours or axes[0] == 0:
        return out
    count = indices[0].ndim
    before = sum(a < axes[0] for a in rest)
    order = [*range(count, count + before), *range(count), *range(count + before, out.ndim)]
    return movement.transpose(out, order)


# --- writing -------------------------------------------------------------------------------------


def _write(x: TensorLike, index: Any, values: TensorLike, mode: str) -> Tensor:
    """Scatter into the flattened tensor at the flat positions that `index` addresses."""
    x = as_tensor(x)
    positions = movement.reshape(creation.iota(x.size), x.shape)
    where_ = getitem(positions, index)
    fitted = cast_to(as_tensor(values, x.dtype), x.dtype)
    fitted = broadcast(fitted, where_)[0]
    if fitted.ndim != where_.ndim:
        raise ShapeError(f"values {fitted.type} do not fit the indexed shape {where_.type}")
    flat = apply(
        SCATTER, movement.ravel(x), movement.ravel(fitted), movement.ravel(where_), mode=mode
    )
    return movement.reshape(flat, x.shape)


def set_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """Return `x` with ``x[index] = values`` done; of equal positions the last wins."""
    return _write(x, index, values, "set")


def add_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """Return `x` with `values` added at ``x[index]``; equal positions all add up."""
    return _write(x, index, values, "add")


__all__ = [
    "add_at", "bincount", "gather", "getitem", "one_hot", "put_along_axis",
    "searchsorted", "set_at", "take", "take_along_axis",
]  # fmt: skip
