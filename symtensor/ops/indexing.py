"""Indexing: reading and writing at positions that are data.

Two records do it all: ``gather`` reads at index tensors over some axes, ``scatter`` writes there
(set: the last of equal positions wins; add: all add up). Indices count from the end when negative
and are checked: one out of range is an `IndexOutOfRange` (an IndexError). The rest is composed:
``x[index]`` is a slice, a reshape and a gather, and writing there is the way back.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
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
from symtensor.ir.dims import Dim, DimExpr, Shape
from symtensor.ir.dtypes import bool_, int64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_shapes
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
            raise DTypeError(f"expected integer indices, found {index.dtype}")
        if not D.same_shape(index.shape, indices[0].shape):
            raise ShapeError(f"index shapes differ: {indices[0]} and {index}")


def _selected(x: TensorType, index: TensorType, axes: Sequence[int]) -> Shape:
    rest = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return index.shape + rest


def _out_of_range(shape: Sequence[int], axes: Sequence[int], indices: Sequence[Any]) -> Exception:
    """Return the error that names the first index outside its axis."""
    for axis, index in zip(axes, indices, strict=True):
        size = shape[axis]
        for value in np.ravel(index):
            if not -size <= int(value) < size:
                return IndexOutOfRange(
                    f"index {value} is out of range for axis {axis} of size {size}"
                )
    return IndexOutOfRange(f"no element of shape {tuple(shape)} can be indexed")


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
    doc="Elements at index tensors over `axes`; the axes of the index tensors come first.",
)


def _infer_scatter(
    base: TensorType, values: TensorType, *indices: TensorType, axes: Axes, mode: str
) -> TensorType:
    _check_indices(base, indices, axes)
    if mode not in ("set", "add"):
        raise AttributeValueError(f"expected mode set or add, found {mode!r}")
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
    doc="The base with values set or added where `gather` would read; in order, so the last wins.",
)


# --- reading -------------------------------------------------------------------------------------


def as_index(value: TensorLike) -> Tensor:
    """Return a tensor of integers; an empty list is one."""
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
    x, index = as_tensor(x), as_index(indices)
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
    out = apply(GATHER, x, index, axes=(axis,))
    return _put_back(out, index.ndim, axis)


def _put_back(out: Tensor, count: int, before: int) -> Tensor:
    """Return a gathered tensor with the `count` axes of the indices behind `before` others."""
    rest = range(count, out.ndim)
    return movement.transpose(out, [*rest[:before], *range(count), *rest[before:]])


def gather(x: TensorLike, *indices: TensorLike) -> Tensor:
    """Return ``x[i0, i1, …]`` for index tensors over the leading axes, broadcast together."""
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
        logic.equal(movement.expand_dims(index, -1), creation.iota(normalize_dim(size))), dtype
    )


# --- x[index] ------------------------------------------------------------------------------------


class _Plan:
    """What an index stands for: a strided part, seen under another shape, read at index tensors.

    An integer is a slice of length 1 whose axis goes away; beside index tensors it is, as in NumPy,
    one of them.
    """

    def __init__(self, x: Tensor, items: Sequence[Any]) -> None:
        self.sizes = x.shape
        self.starts: list[Dim] = [0] * x.ndim
        self.steps = [1] * x.ndim
        self.lengths: list[Dim] = list(x.shape)
        self.shape: list[Dim] = []  # of the part, without dropped and with new axes
        self.indices: dict[int, Tensor] = {}  # axis of `shape` -> index tensor
        self.axis = 0
        self.mixed = any(map(_is_advanced, items))
        for item in items:
            self._add(item)

    def _add(self, item: Any) -> None:
        if item is None:
            self.shape.append(1)
        elif isinstance(item, slice):
            step = 1 if item.step is None else _integer(item.step)
            bounds = movement.slice_bounds(self.sizes[self.axis], item.start, item.stop, step)
            self.steps[self.axis] = step
            self.starts[self.axis], self.lengths[self.axis] = bounds
            self._keep()
        elif _is_advanced(item):
            for part in _index_tensors(item):
                self._read(part)
        else:
            self.starts[self.axis] = _position(self.sizes[self.axis], self.axis, item)
            self.lengths[self.axis] = 1
            if self.mixed:
                self._read(constant(0, int64))
            else:
                self.axis += 1

    def _read(self, index: Tensor) -> None:
        self.indices[len(self.shape)] = index
        self._keep()

    def _keep(self) -> None:
        self.shape.append(self.lengths[self.axis])
        self.axis += 1


@dataclass(frozen=True, slots=True)
class _Selection:
    """The parts of ``x[index]``: ``part`` is strided, ``view`` has its final axes."""

    x: Tensor
    starts: tuple[Dim, ...]
    steps: tuple[int, ...]
    part: Tensor
    view: Tensor
    axes: Axes
    """The axes of `view` that index tensors read."""
    indices: list[Tensor]
    before: int
    """How many axes of the result stand before those of the index tensors."""

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        if not self.indices:
            return self.view.shape
        rest = tuple(d for a, d in enumerate(self.view.shape) if a not in self.axes)
        return rest[: self.before] + self.indices[0].shape + rest[self.before :]


def _select(x: Tensor, index: Any) -> _Selection:
    items = [_plain(item) for item in (index if isinstance(index, tuple) else (index,))]
    together = _stand_together(items)
    items = _expand_ellipsis(items, x.ndim)
    x = _fit_masks(x, items)
    plan = _Plan(x, items)
    starts, steps = tuple(plan.starts), tuple(plan.steps)
    part = movement.slice_at(x, starts, steps, tuple(plan.lengths))
    return _Selection(
        x,
        starts,
        steps,
        part,
        movement.reshape(part, tuple(plan.shape)),
        tuple(plan.indices),
        _broadcast_indices(list(plan.indices.values())),
        min(plan.indices, default=0) if together else 0,
    )


def getitem(x: TensorLike, index: Any) -> Tensor:
    """Return ``x[index]`` with NumPy's rules.

    Integers, dims, slices, None, Ellipsis, integer tensors or arrays, and boolean arrays known when
    building. Slices clamp; any other position outside its axis is an `IndexOutOfRange`. Integers
    count from the end when negative; dims are positions and do not. A symbolic boolean mask is
    refused: how much it selects is not known before it runs.
    """
    found = _select(as_tensor(x), index)
    if not found.indices:
        return found.view
    out = apply(GATHER, found.view, *found.indices, axes=found.axes)
    return _put_back(out, found.indices[0].ndim, found.before)


def _plain(item: Any) -> Any:
    """Return an item of an index with sequences as arrays and 0-d arrays as integers."""
    if isinstance(item, (list, tuple, np.ndarray)):
        array = np.asarray(item)
        if array.ndim == 0:
            return array[()]
        if array.size or isinstance(item, np.ndarray):
            return array
        return array.astype(np.int64)  # of an empty list NumPy makes floats
    return item


def _is_advanced(item: Any) -> bool:
    return isinstance(item, (Tensor, np.ndarray))


def _axes_used(item: Any) -> int:
    if item is None:
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1


def _stand_together(items: Sequence[Any]) -> bool:
    """Return True when only integers stand between index tensors: their axes stay in place then."""
    basic = [item is None or item is Ellipsis or isinstance(item, slice) for item in items]
    places = [i for i, item in enumerate(items) if not basic[i]]
    return not any(basic[min(places, default=0) : max(places, default=0)])


def _expand_ellipsis(items: list[Any], rank: int) -> list[Any]:
    """Return items for every axis: Ellipsis and what is left out become full slices."""
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise IndexOutOfRange("an index can have only one Ellipsis")
    used = sum(_axes_used(item) for item in items if item is not Ellipsis)
    if used > rank:
        raise IndexOutOfRange(f"too many indices: {used} for a tensor of {rank} axes")
    at = places[0] if places else len(items)
    return [*items[:at], *[slice(None)] * (rank - used), *items[at + 1 :]]


def _fit_masks(x: Tensor, items: Sequence[Any]) -> Tensor:
    """Return `x` with the sizes that boolean arrays say it has, guarded where they are unknown."""
    sizes, axis = list(x.shape), 0
    for item in items:
        count = _axes_used(item)
        if isinstance(item, np.ndarray) and item.dtype == bool:
            for a, n in enumerate(item.shape, axis):
                if D.provably_different(sizes[a], n):
                    raise IndexOutOfRange(
                        f"a boolean index of size {n} does not fit axis {a} of size {sizes[a]}"
                    )
                sizes[a] = n
        axis += count
    return movement.specify_shape(x, sizes)


def _integer(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise IndexOutOfRange(f"expected an integer, found {value!r}") from None


def _position(size: Dim, axis: int, item: Any) -> Dim:
    """Return the position that an integer or a dim names; refuses one known to be out of range."""
    if isinstance(item, DimExpr):
        return item
    if isinstance(item, (bool, np.bool_)):
        raise IndexOutOfRange(
            f"expected an integer index, found {item!r}",
            help="use symtensor.where, or None for a new axis",
        )
    index = _integer(item)
    if isinstance(size, int) and not -size <= index < size:
        raise IndexOutOfRange(f"index {index} is out of range for axis {axis} of size {size}")
    return index if index >= 0 else index + size


def _index_tensors(item: Any) -> list[Tensor]:
    """Return the index tensors an advanced item stands for; a boolean array gives one per axis."""
    if isinstance(item, Tensor) and item.dtype is bool_:
        raise SymbolicValueError(
            "a symbolic boolean mask selects an unknown number of elements",
            help="use symtensor.where, or index with a NumPy array known when building",
        )
    if isinstance(item, np.ndarray) and item.dtype == bool:
        return [constant(part, int64) for part in np.nonzero(item)]
    try:
        return [as_index(item)]
    except DTypeError as error:  # an IndexError for NumPy
        raise IndexOutOfRange(error.message) from None


def _broadcast_indices(indices: list[Tensor]) -> list[Tensor]:
    if not indices:
        return []
    try:
        return broadcast(*indices)
    except ShapeError as error:  # an IndexError for NumPy
        raise IndexOutOfRange(f"index tensors: {error.message}") from None


# --- writing -------------------------------------------------------------------------------------


def _fit(values: TensorLike, found: _Selection) -> Tensor:
    """Return values in the dtype and shape of a selection; leading axes of size 1 may be missing
    or too many, as in an assignment."""
    fitted = cast_to(as_tensor(values, found.x.dtype), found.x.dtype)
    extra = max(fitted.ndim - len(found.shape), 0)
    if extra and all(D.same(d, 1) for d in fitted.shape[:extra]):
        fitted = movement.reshape(fitted, fitted.shape[extra:])
    return movement.broadcast_into(fitted, found.shape)


def _write(x: TensorLike, index: Any, values: TensorLike, mode: str) -> Tensor:
    """Write into the strided part that `index` reads from, and put the part back into `x`."""
    found = _select(as_tensor(x), index)
    new = _fit(values, found)
    if found.indices:
        count, before = found.indices[0].ndim, found.before
        order = [*range(before, before + count), *range(before), *range(before + count, new.ndim)]
        new = apply(
            SCATTER, found.view, movement.transpose(new, order), *found.indices,
            axes=found.axes, mode=mode,
        )  # fmt: skip
    elif mode == "add":
        new = found.view + new
    new = movement.reshape(new, found.part.shape)
    if found.part is found.x:
        return new
    return apply(movement.UPDATE_SLICE, found.x, new, starts=found.starts, steps=found.steps)


def set_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """Return `x` with ``x[index] = values`` done; of equal positions the last wins."""
    return _write(x, index, values, "set")


def add_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """Return `x` with `values` added at ``x[index]``; equal positions all add up."""
    return _write(x, index, values, "add")


__all__ = [
    "add_at", "gather", "getitem", "one_hot", "put_along_axis", "set_at", "take",
    "take_along_axis",
]  # fmt: skip
