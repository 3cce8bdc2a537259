"""Means, variances, norms and other functions that reductions compose."""

from __future__ import annotations

import math
from typing import Any

from symtensor.errors import ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import bool_, float64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import unify_dims
from symtensor.ops import effects, elementwise, logic, movement, reduction
from symtensor.ops.attributes import as_flag, as_int, index_of
from symtensor.ops.build import (
    TensorLike,
    as_tensor,
    broadcast,
    cast_to,
    normalize_axes,
    normalize_axis,
)
from symtensor.ops.inputs import dim_value
from symtensor.ops.reduction import accumulator, reduced_shape, surely_positive


def _count(x: Tensor, axes: tuple[int, ...], less: int = 0) -> TensorLike:
    """Return the number of elements over `axes`, less `less` but not below 0, as an operand."""
    size: Dim = D.maximum(D.product(x.shape[axis] for axis in axes) - less, 0)
    return size if isinstance(size, int) else cast_to(dim_value(size), accumulator(x.dtype))


def as_float(x: TensorLike) -> Tensor:
    """Return `x`, as float64 where it holds integers or bools."""
    x = as_tensor(x)
    return x if x.dtype.is_floating else cast_to(x, float64)


def mean(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the arithmetic mean over `axis`; integers give float64, nothing gives NaN."""
    x = as_float(x)
    axes = normalize_axes(axis, x.ndim)
    wide = cast_to(x, accumulator(x.dtype))
    return cast_to(reduction.sum(wide, axes, keepdims=keepdims) / _count(x, axes), x.dtype)


def var(x: TensorLike, axis: Any = None, *, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Return the variance over `axis` in two passes, divided by ``reduction.max(n - ddof, 0)``."""
    x, ddof = as_float(x), as_int(ddof, "ddof")
    axes = normalize_axes(axis, x.ndim)
    wide = cast_to(x, accumulator(x.dtype))
    apart = elementwise.square(wide - mean(wide, axes, keepdims=True))
    return cast_to(reduction.sum(apart, axes, keepdims=keepdims) / _count(x, axes, ddof), x.dtype)


def average(
    x: TensorLike, axis: Any = None, weights: TensorLike = None, *, keepdims: bool = False
) -> Tensor:
    """Return the weighted mean over `axis`; plain without `weights`.

    `weights` has the shape of `x`, or is a vector along a single `axis`.
    """
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    x, w = as_float(x), as_tensor(weights)
    if w.ndim == 1 and x.ndim > 1 and index_of(axis) is not None:
        own = normalize_axis(axis, x.ndim)
        w = movement.expand_dims(w, tuple(a for a in range(x.ndim) if a != own))
        x, w = broadcast(x, w)
    sizes = [None] if w.ndim != x.ndim else map(unify_dims, w.shape, x.shape)
    if None in sizes:
        raise ShapeError(f"average: weights {w.type} do not fit {x.type} over axis {axis}")
    w = movement.specify_shape(w, x.shape)
    total = reduction.sum(x * w, axis, keepdims=keepdims)
    return elementwise.divide(total, reduction.sum(w, axis, keepdims=keepdims))


def _root(x: Tensor) -> Tensor:
    """Return the square root of a sum of squares, with derivative 0 at 0."""
    zero = logic.equal(x, 0)
    return logic.where(zero, 0, elementwise.sqrt(logic.where(zero, 1, x)))


def std(x: TensorLike, axis: Any = None, *, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Return the standard deviation over `axis`; its derivative at equal elements is 0."""
    return _root(var(x, axis, keepdims=keepdims, ddof=ddof))


def norm(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the Euclidean norm over `axis`; its derivative at 0 is 0."""
    x = as_float(x)
    squares = elementwise.square(cast_to(x, accumulator(x.dtype)))
    return cast_to(_root(reduction.sum(squares, axis, keepdims=keepdims)), x.dtype)


def logsumexp(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return log(sum(exp(x))) without overflow; -inf of only -inf or of nothing."""
    x = as_float(x)
    axes = normalize_axes(axis, x.ndim)
    nonempty = all(surely_positive(x.shape[a]) for a in axes)
    top = reduction.max(x, axes, keepdims=True, initial=None if nonempty else -math.inf)
    top = effects.stop_gradient(top)
    shift = logic.where(logic.isfinite(top), top, 0)
    total = reduction.sum(elementwise.exp(x - shift), axes, keepdims=True)
    nothing = logic.equal(total, 0)
    out = elementwise.log(logic.where(nothing, 1, total)) + shift
    out = logic.where(nothing, -math.inf, out)
    kept = as_flag(keepdims, "keepdims")
    return out if kept else movement.reshape(out, reduced_shape(x.shape, axes))


def count_nonzero(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return how many elements over `axis` are not zero, as int64."""
    return reduction.sum(cast_to(as_tensor(x), bool_), axis, keepdims=keepdims)


def ptp(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return maximum minus minimum over `axis`."""
    return reduction.max(x, axis, keepdims=keepdims) - reduction.min(x, axis, keepdims=keepdims)
