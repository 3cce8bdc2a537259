"""Reductions and running sums.

Records reduce over the attribute ``axes``, which disappear; ``keepdims`` is a reshape afterwards.
Small integers add up in 64 bits as in NumPy. half and bfloat16 add up in float32 (NumPy adds them
up in half precision; this deviation is on purpose). Equal maxima share the gradient; the gradient
of a product is right with any number of zeros.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.dtypes import DType, bool_, float32, float64, int64, uint64
from symtensor.ir.node import Op
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, format_shape, unify_dims
from symtensor.ops import creation, effects, elementwise, logic, movement, slicing
from symtensor.ops.attributes import as_flag, as_int, index_of
from symtensor.ops.build import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast_to,
    is_weak,
    normalize_axes,
    normalize_axis,
)
from symtensor.ops.families import Reduction, Running
from symtensor.ops.inputs import dim_value
from symtensor.ops.registry import define


def _reduced(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def _expand(reduced: Tensor, shape: Shape, axes: tuple[int, ...]) -> Tensor:
    """Return a reduced tensor repeated back along `axes`."""
    return movement.broadcast_to(movement.reshape(reduced, _kept(shape, axes)), shape)


def _infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    return TensorType(x.dtype, _reduced(x.shape, axes))


def _numpy_extremum(name: str) -> Callable[..., Any]:
    """Return NumPy's max, min, argmax or argmin over axes, with our error for nothing."""

    def evaluate(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
        try:
            return getattr(xp, name)(x, axis=axes[0] if name.startswith("arg") else axes)
        except ValueError:
            raise ShapeError(
                f"shape {format_shape(x.shape)} is empty over axes {axes}, and there is no "
                "extremum of nothing",
                code="ST0109",
            ) from None

    return evaluate


def _infer_extremum(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    for axis in axes:
        if D.same(x.shape[axis], 0):
            raise ShapeError(
                f"axis {axis} of {x} is empty, and there is no extremum of nothing", code="ST0109"
            )
    return _infer(x, axes=axes)


def accumulator(dtype: DType) -> DType:
    """Return the dtype in which sums of `dtype` add up: float32 for the 16-bit floats."""
    return float32 if dtype.is_floating and dtype.bits == 16 else dtype


def _adding(name: str) -> Callable[..., Any]:
    def evaluate(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
        wide = xp.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
        return getattr(xp, name)(x, axis=axes, dtype=wide).astype(x.dtype)

    return evaluate


# --- records -------------------------------------------------------------------------------------

SUM = define(
    "sum",
    infer=_infer,
    evaluate=_adding("sum"),
    vjp=lambda g, y, x, *, axes: (_expand(g, x.shape, axes),),
    linear=(0,),
    family=Reduction("sum"),
    doc="Sum over axes, in the operand's dtype.",
)

PROD = define(
    "prod",
    infer=_infer,
    evaluate=_adding("prod"),
    vjp=lambda g, y, x, *, axes: (_expand(g, x.shape, axes) * _others(x, axes),),
    family=Reduction("prod"),
    doc="Product over axes, in the operand's dtype.",
)


def _vjp_extremum(g: Tensor, y: Tensor, x: Tensor, *, axes: tuple[int, ...]) -> tuple[Tensor]:
    """Equal extrema share the cotangent, so that the weights sum to 1."""
    chosen = logic.equal(x, _expand(y, x.shape, axes))
    wide = accumulator(g.dtype)  # half precision counts to 2048 only
    count = sum(cast_to(chosen, wide), axes)
    share = cast_to(cast_to(g, wide) / elementwise.maximum(count, 1), g.dtype)
    return (logic.where(chosen, _expand(share, x.shape, axes), 0),)


MAX = define(
    "max",
    infer=_infer_extremum,
    evaluate=_numpy_extremum("max"),
    vjp=_vjp_extremum,
    family=Reduction("max"),
    doc="Maximum over axes; NaN wins.",
)

MIN = define(
    "min",
    infer=_infer_extremum,
    evaluate=_numpy_extremum("min"),
    vjp=_vjp_extremum,
    family=Reduction("min"),
    doc="Minimum over axes; NaN wins.",
)

ANY = define(
    "any",
    infer=_infer,
    evaluate=lambda xp, x, *, axes: xp.any(x, axis=axes),
    family=Reduction("any"),
    doc="True where any element over the axes is true.",
)

ALL = define(
    "all",
    infer=_infer,
    evaluate=lambda xp, x, *, axes: xp.all(x, axis=axes),
    family=Reduction("all"),
    doc="True where all elements over the axes are true.",
)


def _infer_index(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    return _infer_extremum(x, axes=axes).with_dtype(int64)


ARGMAX = define(
    "argmax",
    infer=_infer_index,
    evaluate=_numpy_extremum("argmax"),
    family=Reduction("argmax"),
    doc="Index of the first maximum along one axis; the first NaN wins.",
)

ARGMIN = define(
    "argmin",
    infer=_infer_index,
    evaluate=_numpy_extremum("argmin"),
    family=Reduction("argmin"),
    doc="Index of the first minimum along one axis; the first NaN wins.",
)


def _cumulative(name: str) -> Callable[..., Any]:
    def evaluate(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        wide = xp.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
        source = xp.flip(x, axis) if reverse else x
        out = getattr(xp, name)(source, axis=axis, dtype=wide).astype(x.dtype)
        return xp.flip(out, axis) if reverse else out

    return evaluate


def _vjp_cumsum(g: Tensor, y: Tensor, x: Tensor, *, axis: int, reverse: bool) -> tuple[Tensor]:
    return (apply(CUMSUM, g, axis=axis, reverse=not reverse),)


CUMSUM = define(
    "cumsum",
    infer=lambda x, *, axis, reverse: x,
    evaluate=_cumulative("cumsum"),
    vjp=_vjp_cumsum,
    linear=(0,),
    family=Running("sum"),
    doc="Running sum along an axis, from the end when reversed.",
)


def _rows_without_own(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return `x` once per element of its last axis with a 1 in that element's place, and the mask
    of these places: an n by n matrix per lane."""
    n = x.shape[-1]
    own = creation.eye(n, dtype=bool)
    rows = movement.broadcast_to(movement.expand_dims(x, -2), (*x.shape, n))
    return logic.where(own, 1, rows), own


def _vjp_cumprod(g: Tensor, y: Tensor, x: Tensor, *, axis: int, reverse: bool) -> tuple[Tensor]:
    """dx[i] = sum over k of g[k] * (product over j <= k, j != i), without a division by zeros."""
    moved, cotangent = movement.moveaxis(x, axis, -1), movement.moveaxis(g, axis, -1)
    rows, _ = _rows_without_own(moved)
    products = apply(CUMPROD, rows, axis=rows.ndim - 1, reverse=reverse)
    contains = creation.tri(x.shape[axis], dtype=bool)  # [i, k]: the k-th product contains x[i]
    contains = contains if reverse else movement.transpose(contains)
    terms = logic.where(contains, products * movement.expand_dims(cotangent, -2), 0)
    return (movement.moveaxis(sum(terms, -1), -1, axis),)


CUMPROD = define(
    "cumprod",
    infer=lambda x, *, axis, reverse: x,
    evaluate=_cumulative("cumprod"),
    vjp=_vjp_cumprod,
    family=Running("prod"),
    doc="Running product along an axis, from the end when reversed.",
)


def _product_before(xp: Any, x: Any, axis: int) -> Any:
    """Return for each element the product of the earlier ones along an axis."""
    lead = (slice(None),) * axis
    one, earlier = xp.ones_like(x[(*lead, slice(0, 1))]), x[(*lead, slice(0, -1))]
    return xp.cumprod(xp.concatenate([one, earlier], axis=axis), axis=axis, dtype=x.dtype)


def _product_of_others(xp: Any, x: Any, *, axis: int) -> Any:
    after = xp.flip(_product_before(xp, xp.flip(x, axis), axis), axis)
    return _product_before(xp, x, axis) * after


def _vjp_product_of_others(g: Tensor, y: Tensor, x: Tensor, *, axis: int) -> tuple[Tensor]:
    """dx[k] = sum over i != k of g[i] * (product over j != i, k)."""
    moved, cotangent = movement.moveaxis(x, axis, -1), movement.moveaxis(g, axis, -1)
    rows, own = _rows_without_own(moved)
    products = apply(PRODUCT_OF_OTHERS, rows, axis=rows.ndim - 1)
    terms = logic.where(own, 0, products * movement.expand_dims(cotangent, -1))
    return (movement.moveaxis(sum(terms, -2), -1, axis),)


PRODUCT_OF_OTHERS = define(
    "product_of_others",
    infer=lambda x, *, axis: x,
    evaluate=_product_of_others,
    vjp=_vjp_product_of_others,
    doc="For each element the product of all others along an axis: the derivative of a product.",
)


def _others(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the derivative of the product of `x` over `axes`, in the shape of `x`."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = kept + axes
    moved = movement.transpose(x, order)
    lanes = tuple(x.shape[axis] for axis in kept)
    flat = movement.reshape(moved, (*lanes, D.product(x.shape[axis] for axis in axes)))
    out = movement.reshape(apply(PRODUCT_OF_OTHERS, flat, axis=len(lanes)), moved.shape)
    return movement.transpose(out, movement.inverse_permutation(order))


# --- functions -----------------------------------------------------------------------------------


def _reduce(op: Op, x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    keepdims = as_flag(keepdims, "keepdims")
    axes = normalize_axes(axis, x.ndim)
    out = apply(op, x, axes=axes) if axes else x
    return movement.reshape(out, _kept(x.shape, axes)) if keepdims else out


def _wide(x: Tensor) -> Tensor:
    """Return small integers and bools in 64 bits, as NumPy adds them up."""
    if x.dtype.is_floating:
        return x
    return cast_to(x, uint64 if x.dtype.kind == "u" else int64)


def sum(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` (all axes when None); small integers add up in 64 bits."""
    return _reduce(SUM, _wide(as_tensor(x)), axis, keepdims)


def prod(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the product over `axis` (all axes when None); small integers in 64 bits."""
    return _reduce(PROD, _wide(as_tensor(x)), axis, keepdims)


Number = float | int | bool


def _extremum(op: Op, x: TensorLike, axis: Any, keepdims: bool, initial: Number | None) -> Tensor:
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim)
    if initial is None:
        return _reduce(op, x, axes, keepdims)
    if axes:
        return _reduce(op, _with_initial(x, axes, initial), axes, keepdims)
    return (elementwise.maximum if op is MAX else elementwise.minimum)(x, initial)


def _with_initial(x: Tensor, axes: tuple[int, ...], initial: Number) -> Tensor:
    """Return `x` with `initial` at the end of one of `axes`, or of all that could be empty."""
    if not is_weak(initial) or (x.dtype.is_integer and isinstance(initial, float)):
        raise AttributeValueError(f"initial: expected a number of {x.dtype}, found {initial!r}")
    as_tensor(initial, x.dtype)  # refuses an integer that the dtype can't hold
    grown = [axis for axis in axes if not _surely_positive(x.shape[axis])] or axes[:1]
    shape = tuple(size + (axis in grown) for axis, size in enumerate(x.shape))
    return slicing.place(x, shape, (0,) * x.ndim, (1,) * x.ndim, initial)


def _surely_positive(size: Dim) -> bool:
    bound = D.lower_bound(size)
    return bound is not None and bound > 0


def max(
    x: TensorLike, axis: Any = None, *, keepdims: bool = False, initial: Number | None = None
) -> Tensor:
    """Return the maximum over `axis`; NaN wins.

    An empty axis is a `ShapeError`, unless `initial`, a number that takes part, is given.
    """
    return _extremum(MAX, x, axis, keepdims, initial)


def min(
    x: TensorLike, axis: Any = None, *, keepdims: bool = False, initial: Number | None = None
) -> Tensor:
    """Return the minimum over `axis`; NaN wins.

    An empty axis is a `ShapeError`, unless `initial`, a number that takes part, is given.
    """
    return _extremum(MIN, x, axis, keepdims, initial)


def any(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return True where any element over `axis` is not zero."""
    return _reduce(ANY, cast_to(as_tensor(x), bool_), axis, keepdims)


def all(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return True where all elements over `axis` are not zero."""
    return _reduce(ALL, cast_to(as_tensor(x), bool_), axis, keepdims)


def _arg(op: Op, x: TensorLike, axis: int | None, keepdims: bool) -> Tensor:
    x, keepdims = as_tensor(x), as_flag(keepdims, "keepdims")
    if axis is None:
        shape = (1,) * x.ndim
        out = apply(op, movement.reshape(x, (-1,)), axes=(0,))
        return movement.reshape(out, shape) if keepdims else out
    return _reduce(op, x, normalize_axis(axis, x.ndim), keepdims)


def argmax(x: TensorLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Return the int64 index of the first maximum; of the flattened tensor when `axis` is None."""
    return _arg(ARGMAX, x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Return the int64 index of the first minimum; of the flattened tensor when `axis` is None."""
    return _arg(ARGMIN, x, axis, keepdims)


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
    return cast_to(sum(wide, axes, keepdims=keepdims) / _count(x, axes), x.dtype)


def var(x: TensorLike, axis: Any = None, *, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Return the variance over `axis` in two passes, divided by ``max(n - ddof, 0)``."""
    x, ddof = as_float(x), as_int(ddof, "ddof")
    axes = normalize_axes(axis, x.ndim)
    wide = cast_to(x, accumulator(x.dtype))
    apart = elementwise.square(wide - mean(wide, axes, keepdims=True))
    return cast_to(sum(apart, axes, keepdims=keepdims) / _count(x, axes, ddof), x.dtype)


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
    total = sum(x * w, axis, keepdims=keepdims)
    return elementwise.divide(total, sum(w, axis, keepdims=keepdims))


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
    return cast_to(_root(sum(squares, axis, keepdims=keepdims)), x.dtype)


def logsumexp(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return log(sum(exp(x))) without overflow; -inf of only -inf or of nothing."""
    x = as_float(x)
    axes = normalize_axes(axis, x.ndim)
    nonempty = builtins.all(_surely_positive(x.shape[a]) for a in axes)
    top = max(x, axes, keepdims=True, initial=None if nonempty else -math.inf)
    top = effects.stop_gradient(top)
    shift = logic.where(logic.isfinite(top), top, 0)
    total = sum(elementwise.exp(x - shift), axes, keepdims=True)
    nothing = logic.equal(total, 0)
    out = elementwise.log(logic.where(nothing, 1, total)) + shift
    out = logic.where(nothing, -math.inf, out)
    kept = as_flag(keepdims, "keepdims")
    return out if kept else movement.reshape(out, _reduced(x.shape, axes))


def count_nonzero(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return how many elements over `axis` are not zero, as int64."""
    return sum(cast_to(as_tensor(x), bool_), axis, keepdims=keepdims)


def ptp(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return maximum minus minimum over `axis`."""
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)


def _running(op: Op, x: TensorLike, axis: int | None, reverse: bool) -> Tensor:
    x = _wide(as_tensor(x))
    if axis is None:
        x, axis = movement.reshape(x, (-1,)), 0
    return apply(op, x, axis=normalize_axis(axis, x.ndim), reverse=as_flag(reverse, "reverse"))


def cumsum(x: TensorLike, axis: int | None = None, *, reverse: bool = False) -> Tensor:
    """Return running sums along `axis` (of the flattened tensor when None)."""
    return _running(CUMSUM, x, axis, reverse)


def cumprod(x: TensorLike, axis: int | None = None, *, reverse: bool = False) -> Tensor:
    """Return running products along `axis` (of the flattened tensor when None)."""
    return _running(CUMPROD, x, axis, reverse)


def diff(x: TensorLike, n: int = 1, axis: int = -1) -> Tensor:
    """Return the `n`-th differences of neighbours along `axis`; integers wrap, bools differ."""
    out = as_tensor(x)
    axis = normalize_axis(axis, out.ndim)
    count, size = as_int(n, "diff: n", 0), out.shape[axis]
    for _ in range(builtins.min(count, size) if isinstance(size, int) else count):
        earlier, later = _neighbours(out, axis)
        out = logic.logical_xor(later, earlier) if out.dtype.is_bool else later - earlier
    return out


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return all elements along an axis but the last, and all but the first."""
    count = D.maximum(x.shape[axis] - 1, 0)
    lengths = tuple(count if a == axis else size for a, size in enumerate(x.shape))
    first, second = ((0,) * x.ndim, tuple(int(a == axis) for a in range(x.ndim)))
    steps = (1,) * x.ndim
    return (
        apply(slicing.SLICE, x, starts=first, steps=steps, lengths=lengths),
        apply(slicing.SLICE, x, starts=second, steps=steps, lengths=lengths),
    )


__all__ = [
    "accumulator", "all", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod",
    "cumsum", "diff", "logsumexp", "max", "mean", "min", "norm", "prod", "ptp", "std", "sum", "var",
]  # fmt: skip
