"""Reductions.

Records reduce over the attribute ``axes``, which disappear; ``keepdims`` is a reshape afterwards.
Small integers add up in 64 bits as in NumPy. half and bfloat16 add up in float32 (NumPy adds them
up in half precision; this deviation is on purpose). Equal maxima share the gradient; the gradient
of a product is right with any number of zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.dtypes import DType, bool_, float32, int64, uint64
from symtensor.ir.node import Op
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, format_shape
from symtensor.ops import creation, logic, movement, selection, slicing
from symtensor.ops.attributes import as_flag
from symtensor.ops.build import (
    TensorLike,
    apply,
    as_tensor,
    cast_to,
    is_weak,
    normalize_axes,
    normalize_axis,
)
from symtensor.ops.families import Reduction
from symtensor.ops.registry import define


def reduced_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """Return a shape without axes."""
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def _expand(reduced: Tensor, shape: Shape, axes: tuple[int, ...]) -> Tensor:
    """Return a reduced tensor repeated back along `axes`."""
    return movement.broadcast_to(movement.reshape(reduced, _kept(shape, axes)), shape)


def _infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    return TensorType(x.dtype, reduced_shape(x.shape, axes))


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
    share = cast_to(cast_to(g, wide) / selection.maximum(count, 1), g.dtype)
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


def rows_without_own(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return `x` once per element of its last axis with a 1 in that element's place, and the mask
    of these places: an n by n matrix per lane."""
    n = x.shape[-1]
    own = creation.eye(n, dtype=bool)
    rows = movement.broadcast_to(movement.expand_dims(x, -2), (*x.shape, n))
    return logic.where(own, 1, rows), own


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
    rows, own = rows_without_own(moved)
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


def widened(x: Tensor) -> Tensor:
    """Return small integers and bools in 64 bits, as NumPy adds them up."""
    if x.dtype.is_floating:
        return x
    return cast_to(x, uint64 if x.dtype.kind == "u" else int64)


def sum(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` (all axes when None); small integers add up in 64 bits."""
    return _reduce(SUM, widened(as_tensor(x)), axis, keepdims)


def prod(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the product over `axis` (all axes when None); small integers in 64 bits."""
    return _reduce(PROD, widened(as_tensor(x)), axis, keepdims)


Number = float | int | bool


def _extremum(op: Op, x: TensorLike, axis: Any, keepdims: bool, initial: Number | None) -> Tensor:
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim)
    if initial is None:
        return _reduce(op, x, axes, keepdims)
    if axes:
        return _reduce(op, _with_initial(x, axes, initial), axes, keepdims)
    return (selection.maximum if op is MAX else selection.minimum)(x, initial)


def _with_initial(x: Tensor, axes: tuple[int, ...], initial: Number) -> Tensor:
    """Return `x` with `initial` at the end of one of `axes`, or of all that could be empty."""
    if not is_weak(initial) or (x.dtype.is_integer and isinstance(initial, float)):
        raise AttributeValueError(f"initial: expected a number of {x.dtype}, found {initial!r}")
    as_tensor(initial, x.dtype)  # refuses an integer that the dtype can't hold
    grown = [axis for axis in axes if not surely_positive(x.shape[axis])] or axes[:1]
    shape = tuple(size + (axis in grown) for axis, size in enumerate(x.shape))
    return slicing.place(x, shape, (0,) * x.ndim, (1,) * x.ndim, initial)


def surely_positive(size: Dim) -> bool:
    """Return True for a size that is positive whatever the symbols are."""
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


__all__ = [
    "accumulator", "all", "any", "argmax", "argmin", "max", "min", "prod", "reduced_shape",
    "rows_without_own", "sum", "surely_positive", "widened",
]  # fmt: skip
