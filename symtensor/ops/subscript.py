"""``x[index]``: NumPy's rules of reading and writing, as slices, reshapes and gathers.

An index is taken apart once (`_select`): into a strided part of the operand, seen under another
shape, read at index tensors. `getitem` reads there; `set_at` and `add_at` write there and put the
part back. What an index can't mean raises an IndexError, as in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.errors import DTypeError, IndexOutOfRange, ShapeError, SymbolicValueError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr, Shape
from symtensor.ir.dtypes import bool_, int64
from symtensor.ir.tensor import Tensor
from symtensor.ops import movement, slicing
from symtensor.ops.build import TensorLike, apply, as_tensor, broadcast, cast_to
from symtensor.ops.indexing import GATHER, SCATTER, Axes, as_index, put_back
from symtensor.ops.inputs import constant


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
            bounds = slicing.slice_bounds(self.sizes[self.axis], item.start, item.stop, step)
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
    part = slicing.slice_at(x, starts, steps, tuple(plan.lengths))
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


def _plain(item: Any) -> Any:
    """Return an item of an index with sequences as arrays and 0-d arrays as integers."""
    if isinstance(item, (list, tuple, np.ndarray)):
        try:
            array = np.asarray(item)
        except ValueError:
            raise DTypeError(
                f"an index must be an array of integers or bools, found {item!r}", code="ST0403"
            ) from None
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
        raise IndexOutOfRange("an index can have only one Ellipsis", code="ST0402")
    used = sum(_axes_used(item) for item in items if item is not Ellipsis)
    if used > rank:
        raise IndexOutOfRange(
            f"too many indices: {used} for a tensor of {rank} axes", code="ST0402"
        )
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
                        f"a boolean index of size {n} does not fit axis {a} of size {sizes[a]}",
                        code="ST0405",
                    )
                sizes[a] = n
        axis += count
    return movement.specify_shape(x, sizes)


def _integer(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise IndexOutOfRange(f"expected an integer, found {value!r}", code="ST0403") from None


def _position(size: Dim, axis: int, item: Any) -> Dim:
    """Return the position that an integer or a dim names; refuses one known to be out of range."""
    if isinstance(item, DimExpr):
        return item
    if isinstance(item, (bool, np.bool_)):
        raise IndexOutOfRange(
            f"expected an integer index, found {item!r}",
            help="use symtensor.where, or None for a new axis",
            code="ST0403",
        )
    index = _integer(item)
    if isinstance(size, int) and not -size <= index < size:
        raise IndexOutOfRange(
            f"index {index} is out of range for axis {axis} of size {size}", code="ST0401"
        )
    return index if index >= 0 else index + size


def _index_tensors(item: Any) -> list[Tensor]:
    """Return the index tensors an advanced item stands for; a boolean array gives one per axis."""
    if isinstance(item, Tensor) and item.dtype is bool_:
        raise SymbolicValueError(
            "a symbolic boolean mask selects an unknown number of elements",
            help="use symtensor.where, or index with a NumPy array known when building",
            code="ST0404",
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


# --- reading and writing -------------------------------------------------------------------------


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
    return put_back(out, found.indices[0].ndim, found.before)


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
    return apply(slicing.UPDATE_SLICE, found.x, new, starts=found.starts, steps=found.steps)


def set_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """Return `x` with ``x[index] = values`` done; of equal positions the last wins."""
    return _write(x, index, values, "set")


def add_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """Return `x` with `values` added at ``x[index]``; equal positions all add up."""
    return _write(x, index, values, "add")
