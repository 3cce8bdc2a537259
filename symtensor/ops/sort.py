"""Sorting, searching, counting.

NaN sorts last, equal elements keep their order, gradients follow the permutation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, IndexOutOfRange, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import int64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import creation, indexing, movement
from symtensor.ops.attributes import as_flag, as_int, normalize_dim
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axis
from symtensor.ops.registry import define
from symtensor.vocabulary import require_choice

# --- records -------------------------------------------------------------------------------------


def _check_axis(x: TensorType, axis: int) -> None:
    if not 0 <= axis < x.ndim:
        raise AttributeValueError(f"axis {axis} is out of range for {x}", code="ST0301")


def _infer_argsort(x: TensorType, *, axis: int, descending: bool) -> TensorType:
    _check_axis(x, axis)
    return x.with_dtype(int64)


def _argsort(xp: Any, x: Any, *, axis: int, descending: bool) -> Any:
    """Descending order is the reverse of the ascending order of the reverse: ties stay stable."""
    if not descending:
        return _order(x, axis)
    backwards = _order(np.flip(x, axis), axis)
    return x.shape[axis] - 1 - np.flip(backwards, axis)


def _order(x: Any, axis: int) -> Any:
    """Return the stable order by sorts that need not be stable, which are done in vectors.

    Numbers of 32 bits are sorted with their places below them, so none are equal; of doubles it is tried
    whether any are. NumPy has no such sorts of shorter numbers.
    """
    ranks = _ranks(x) if 0 < x.shape[axis] < 1 << 31 else None
    if ranks is not None:
        places = np.arange(x.shape[axis]).reshape(-1, *[1] * (x.ndim - 1 - axis))
        return np.sort(ranks << 32 | places, axis=axis) & 0xFFFF_FFFF
    if x.dtype == np.float64:
        order = np.argsort(x, axis=axis)
        found = np.moveaxis(np.take_along_axis(x, order, axis), axis, -1)
        if (found[..., 1:] > found[..., :-1]).all():
            return order
    return np.argsort(x, axis=axis, kind="stable")


def _ranks(x: Any) -> Any:
    """Return int64 numbers of 32 bits that are in the order of the elements, NaN last; None: too many."""
    if x.dtype == np.float32:
        bits = (np.where(np.isnan(x), np.float32(np.nan), x) + np.float32(0)).view(np.int32)
        return (bits ^ (bits >> 31 & 0x7FFF_FFFF)).astype(np.int64)  # of one NaN and one zero
    if x.dtype.kind not in "iu" or x.dtype.itemsize < 4 or x.size == 0:
        return None
    middle = int(x.min()) // 2 + int(x.max()) // 2
    if int(x.max()) - int(x.min()) >= (1 << 32) - 2:
        return None
    return (x - x.dtype.type(middle)).astype(np.int64)


def _sorted(xp: Any, x: Any, *, axis: int) -> Any:
    """Equal numbers can't be told apart, but for zeros: where -0 is about, their order is kept."""
    negative_zeros = x.dtype.kind in "fV" and bool(np.any((x == 0) & np.signbit(x)))
    return np.sort(x, axis=axis, kind="stable" if negative_zeros else None)


ARGSORT = define(
    "argsort",
    infer=_infer_argsort,
    evaluate=_argsort,
    doc="The stable permutation that sorts along an axis.",
)


def _infer_top_places(x: TensorType, *, axis: int, count: int) -> TensorType:
    _check_axis(x, axis)
    size = x.shape[axis]
    found = size - D.maximum(size - count, 0)
    return TensorType(int64, (*x.shape[:axis], found, *x.shape[axis + 1 :]))


def _top_places(xp: Any, x: Any, *, axis: int, count: int) -> Any:
    rows = np.moveaxis(x, axis, -1)
    *outer, size = rows.shape
    places = _places_in_rows(rows.reshape(math.prod(outer), size), count)
    return np.moveaxis(places.reshape(*outer, places.shape[1]), -1, axis)


def _places_in_rows(rows: Any, count: int) -> Any:
    """Return where the largest of each row are; rows are sorted where the last of those has equals."""
    size = rows.shape[1]
    if not 0 < count <= size // 4 or rows.dtype.itemsize < 4 or len(rows) == 0:
        return _argsort(np, rows, axis=1, descending=True)[:, :count]
    least = np.partition(rows, size - count, axis=1)[:, size - count, None]
    taken = ~(rows < least)  # NaN is among the largest
    plain = np.count_nonzero(taken, axis=1) == count
    places = np.empty((len(rows), count), np.int64)
    some = np.flatnonzero(taken[plain] if not plain.all() else taken) % size
    places[plain] = _falling(rows[plain], some.reshape(-1, count))
    if not plain.all():
        places[~plain] = _argsort(np, rows[~plain], axis=1, descending=True)[:, :count]
    return places


def _falling(rows: Any, places: Any) -> Any:
    """Return rising places in rows in the order of what is there, the largest first."""
    order = _argsort(np, np.take_along_axis(rows, places, 1), axis=1, descending=True)
    return np.take_along_axis(places, order, 1)


TOP_PLACES = define(
    "top_places",
    infer=_infer_top_places,
    evaluate=_top_places,
    doc="The places of the largest along an axis, in falling order; all where there are fewer.",
)


def _infer_sort(x: TensorType, *, axis: int) -> TensorType:
    _check_axis(x, axis)
    return x


def _vjp_sort(g: Tensor, y: Tensor, x: Tensor, *, axis: int) -> tuple[Tensor]:
    none = creation.zeros_like(g)
    return (indexing.put_along_axis(none, argsort(x, axis), g, axis),)


SORT = define(
    "sort",
    infer=_infer_sort,
    evaluate=_sorted,
    vjp=_vjp_sort,
    doc="Elements in rising order along an axis.",
)


def _infer_searchsorted(sorted_: TensorType, values: TensorType, *, side: str) -> TensorType:
    if sorted_.ndim != 1:
        raise ShapeError(f"expected a sorted vector, found {sorted_}", code="ST0106")
    require_choice(side, ("left", "right"), "side")
    return values.with_dtype(int64)


SEARCHSORTED = define(
    "searchsorted",
    infer=_infer_searchsorted,
    evaluate=lambda xp, sorted_, values, *, side: xp.searchsorted(sorted_, values, side=side),
    doc="Positions at which values keep a sorted vector sorted.",
)


def _infer_bincount(x: TensorType, *, length: Dim) -> TensorType:
    if x.ndim != 1 or not x.dtype.is_integer:
        raise ShapeError(f"expected a vector of integers, found {x}", code="ST0106")
    return TensorType(int64, (length,))


def _bincount(xp: Any, x: Any, *, length: int | None) -> Any:
    counts = xp.bincount(x.astype(xp.int64), minlength=length or 0)
    if length is not None and counts.shape[0] > length:
        raise IndexOutOfRange(f"{int(x.max())} is not below the length {length}", code="ST0401")
    return counts


BINCOUNT = define(
    "bincount",
    infer=_infer_bincount,
    evaluate=_bincount,
    doc="How often each number below `length` occurs; a length not known comes from the largest.",
)


# --- functions -----------------------------------------------------------------------------------


def _along(x: TensorLike, axis: int | None) -> tuple[Tensor, int]:
    """Return the tensor and a counted axis; flattened when `axis` is None."""
    x = as_tensor(x)
    return (movement.ravel(x), 0) if axis is None else (x, normalize_axis(axis, x.ndim))


def argsort(x: TensorLike, axis: int | None = -1, *, descending: bool = False) -> Tensor:
    """Return the int64 permutation that sorts `x` along `axis`; ties keep their order.

    NaN comes last, first when descending. With `axis` None `x` is flattened.
    """
    x, axis = _along(x, axis)
    return apply(ARGSORT, x, axis=axis, descending=as_flag(descending, "descending"))


def sort(x: TensorLike, axis: int | None = -1, *, descending: bool = False) -> Tensor:
    """Return `x` sorted along `axis`, NaN last (first when descending); flattened when None."""
    x, axis = _along(x, axis)
    out = apply(SORT, x, axis=axis)
    return movement.flip(out, axis) if as_flag(descending, "descending") else out


def top_k(x: TensorLike, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Return the `k` largest elements along `axis` in falling order, and their int64 indices.

    Of equal elements the first comes first; NaN counts as the largest. An axis shorter than `k` is
    a ValueError, when building or when it runs.
    """
    x, axis = _along(x, axis)
    k = as_int(k, "top_k: k", 0)
    if D.provably_different(D.maximum(x.shape[axis], k), x.shape[axis]):
        raise AttributeValueError(f"top_k: k = {k} exceeds the size {x.shape[axis]} of the axis")
    indices = apply(TOP_PLACES, x, axis=axis, count=k)
    indices = movement.specify_shape(indices, [k if a == axis else None for a in range(x.ndim)])
    return indexing.take_along_axis(x, indices, axis), indices


def searchsorted(sorted_: TensorLike, values: TensorLike, side: str = "left") -> Tensor:
    """Return where `values` go into a sorted vector, before (left) or after (right) equal ones."""
    return apply(SEARCHSORTED, as_tensor(sorted_), as_tensor(values), side=side)


def bincount(x: TensorLike, length: Any = None) -> Tensor:
    """Return how often each of 0 … length - 1 occurs in an integer vector.

    Without `length` it is one more than the largest number, a size known only when it runs. A
    number that is not below `length` is an `IndexOutOfRange`, a negative one a `ShapeError`.
    """
    return apply(BINCOUNT, indexing.as_index(x), length=normalize_dim(length))
