"""Tensors made from sizes: ranges, constants of a shape, identity and triangular matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, DTypeError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr
from symtensor.ir.dtypes import DType, as_dtype, float32, float64, int64
from symtensor.ir.literal import as_array
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import joining, logic, movement, reduction, rounding
from symtensor.ops.attributes import (
    as_dim,
    as_flag,
    as_int,
    as_number,
    as_sizes,
    index_of,
    is_sequence,
    normalize_dim,
)
from symtensor.ops.build import TensorLike, apply, as_tensor, cast_to, operands
from symtensor.ops.families import Index
from symtensor.ops.inputs import constant
from symtensor.ops.registry import define
from symtensor.vocabulary import require_choice

IOTA = define(
    "iota",
    infer=lambda *, length, dtype: TensorType(dtype, (length,)),
    evaluate=lambda xp, *, length, dtype: xp.arange(length, dtype=dtype.numpy),
    family=Index(),
    doc="The vector 0, 1, 2, … of a length.",
)


def iota(length: Dim, dtype: DType = int64) -> Tensor:
    """Return 0, 1, …, length - 1 as a vector."""
    return apply(IOTA, length=length, dtype=dtype)


# --- ranges --------------------------------------------------------------------------------------


def _infer_arange(*bounds: TensorType, length: Dim) -> TensorType:
    first = bounds[0]
    if any(b.ndim or b.dtype is not first.dtype for b in bounds):
        raise ShapeError("expected scalars of one dtype")
    return TensorType(first.dtype, (length,))


def _evaluate_arange(xp: Any, start: Any, stop: Any, step: Any, *, length: int | None) -> Any:
    if step == 0:
        raise AttributeValueError("the step must not be 0")
    return xp.arange(start, stop, step, start.dtype)


def _vjp_arange(
    g: Tensor, y: Tensor, start: Tensor, stop: Tensor, step: Tensor, *, length: Dim
) -> tuple[Tensor, None, Tensor]:
    steps = iota(y.shape[0], g.dtype)
    return reduction.sum(g), None, reduction.sum(g * steps)


ARANGE = define(
    "arange",
    infer=_infer_arange,
    evaluate=_evaluate_arange,
    vjp=_vjp_arange,
    doc="start, start + step, … before stop; its length is known only when it runs.",
)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """Return evenly spaced values from `start` (0 when only one bound is given) before `stop`.

    Bounds are numbers, dims, or scalar tensors; with tensors the length is a fresh dimension. Dims
    go with ints: then the values are int64 unless `dtype` says otherwise.
    """
    if stop is None:
        start, stop = 0, start
    bounds = (start, stop, step)
    if any(isinstance(v, Tensor) for v in bounds):
        return _arange_of_tensors(bounds, dtype)
    if isinstance(step, (int, float, np.number)) and step == 0:
        raise AttributeValueError("arange: the step must not be 0")
    out_dtype = None if dtype is None else as_dtype(dtype)
    if not any(isinstance(v, DimExpr) for v in bounds):
        return constant(_evenly_spaced(bounds, None if out_dtype is None else out_dtype.numpy))
    out = _arange_of_dims(*bounds)
    return out if out_dtype is None else cast_to(out, out_dtype)


def _evenly_spaced(bounds: Sequence[Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Return what `arange` makes of numbers: what NumPy does."""
    for what, bound in zip(("start", "stop", "step"), bounds, strict=True):
        as_number(bound, f"arange: {what}")
    try:
        return np.arange(*bounds, dtype=dtype)
    except (ValueError, OverflowError, MemoryError) as error:  # NaN, or too many
        start, stop, step = bounds
        raise AttributeValueError(
            f"arange: expected a range that memory can hold, found {start} to {stop} by {step}: {error}"
        ) from None


def _arange_of_dims(start: Any, stop: Any, step: Any) -> Tensor:
    start, stop, step = (v if isinstance(v, DimExpr) else index_of(v) for v in (start, stop, step))
    if not isinstance(step, int) or start is None or stop is None:
        raise DTypeError(
            "arange: dims go with ints, and with a step whose sign is known",
            help="turn a dim into a tensor with symtensor.dim_value",
        )
    span = stop - start if step > 0 else start - stop
    out = iota(D.maximum(D.ceildiv(span, abs(step)), 0))
    out = out if step == 1 else out * step
    return out if D.same(start, 0) else out + start


def _arange_of_tensors(bounds: Sequence[Any], dtype: Any) -> Tensor:
    tensors = operands(bounds, lambda d: int64 if d.is_bool else d)
    if any(t.ndim for t in tensors):
        raise ShapeError("arange: expected scalar bounds", code="ST0106")
    if dtype is not None:
        tensors = [cast_to(t, as_dtype(dtype)) for t in tensors]
    return apply(ARANGE, *tensors, length=D.symbol())


def linspace(
    start: TensorLike, stop: TensorLike, num: int = 50, endpoint: bool = True, dtype: Any = None
) -> Tensor:
    """Return `num` evenly spaced values from `start` to `stop`, the last one included if asked.

    Bounds are numbers or scalar tensors; an integer `dtype` rounds down, as in NumPy.
    """
    num = as_int(num, "linspace: num", 0)
    endpoint = as_flag(endpoint, "endpoint")
    if not any(isinstance(bound, (Tensor, DimExpr)) for bound in (start, stop)):
        start, stop = as_array(start, None), as_array(stop, None)
        wanted = None if dtype is None else as_dtype(dtype).numpy
        try:
            values = np.linspace(start, stop, num, endpoint, dtype=wanted)
        except (ValueError, MemoryError) as error:  # too many, or shapes that differ
            raise AttributeValueError(
                f"linspace: {num} values from {start} to {stop}: {error}"
            ) from None
        return constant(values)
    a, b = operands((start, stop), lambda d: d if d.is_floating else float64)
    if a.ndim:
        raise ShapeError("linspace: expected scalar bounds", code="ST0106")
    position, gaps = iota(num), num - 1 if endpoint else num
    out = cast_to(position, a.dtype) * ((b - a) / max(gaps, 1)) + a
    if endpoint and gaps > 0:  # exactly, whatever rounding did
        out = logic.where(logic.equal(position, gaps), b, out)
    if dtype is None:
        return out
    return cast_to(rounding.floor(out) if as_dtype(dtype).is_integer else out, as_dtype(dtype))


# --- one value -----------------------------------------------------------------------------------


def full(shape: Sequence[Any] | Any, value: TensorLike, dtype: Any = None) -> Tensor:
    """Return a tensor of `shape` that holds `value` everywhere."""
    sizes = as_sizes(shape if is_sequence(shape) else (shape,))
    wanted = None if dtype is None else as_dtype(dtype)
    one = as_tensor(value, wanted)
    one = one if wanted is None else cast_to(one, wanted)
    return movement.broadcast_to(one, sizes)


def zeros(shape: Sequence[Any] | Any, dtype: Any = "float32") -> Tensor:
    """Return zeros of `shape`."""
    return full(shape, constant(0, dtype))


def ones(shape: Sequence[Any] | Any, dtype: Any = "float32") -> Tensor:
    """Return ones of `shape`."""
    return full(shape, constant(1, dtype))


def full_like(x: TensorLike, value: TensorLike, dtype: Any = None) -> Tensor:
    """Return a tensor of the shape (and dtype) of `x` that holds `value` everywhere."""
    x = as_tensor(x)
    return full(x.shape, value, x.dtype if dtype is None else dtype)


def zeros_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Return zeros of the shape (and dtype) of `x`."""
    return full_like(x, 0, dtype)


def ones_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Return ones of the shape (and dtype) of `x`."""
    return full_like(x, 1, dtype)


# --- by row and column ---------------------------------------------------------------------------


def _relation(n: Any, m: Any, k: Any) -> tuple[Tensor, Tensor]:
    """Return where diagonal `k` is in each row, and column numbers, to broadcast against each other."""
    rows, columns = normalize_dim(n), normalize_dim(m)
    shift = k if isinstance(k, Tensor) else as_dim(k, "the diagonal k")
    down = movement.reshape(iota(rows), (rows, 1)) + shift
    return down, movement.reshape(iota(columns), (1, columns))


def eye(n: Any, m: Any = None, k: int = 0, dtype: Any = float32) -> Tensor:
    """Return an n by m matrix with ones on diagonal `k`."""
    rows, columns = _relation(n, n if m is None else m, k)
    return logic.cast(logic.equal(rows, columns), dtype)


def tri(n: Any, m: Any = None, k: int = 0, dtype: Any = float32) -> Tensor:
    """Return an n by m matrix with ones at and below diagonal `k`."""
    rows, columns = _relation(n, n if m is None else m, k)
    return logic.cast(logic.less_equal(columns, rows), dtype)


def _below(x: Tensor, k: int) -> Tensor:
    """Return where the last two axes are at or below diagonal `k`; a vector counts as all rows."""
    if x.ndim == 0:
        raise ShapeError("a 0-d tensor has no diagonal", code="ST0106")
    return tri(x.shape[max(x.ndim - 2, 0)], x.shape[-1], k, bool)


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """Return `x` with zeros above diagonal `k` of its last two axes."""
    x = as_tensor(x)
    return logic.where(_below(x, k), x, constant(0, x.dtype))


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """Return `x` with zeros below diagonal `k` of its last two axes."""
    x = as_tensor(x)
    return logic.where(_below(x, as_int(k, "triu: k") - 1), constant(0, x.dtype), x)


# --- grids ---------------------------------------------------------------------------------------


def meshgrid(*vectors: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Return coordinate tensors of a grid; ``xy`` swaps the first two axes, as in NumPy."""
    require_choice(indexing, ("xy", "ij"), "meshgrid: indexing")
    tensors = [movement.ravel(v) for v in vectors]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    shape = tuple(tensors[order.index(axis)].shape[0] for axis in range(len(tensors)))
    out = []
    for axis, x in zip(order, tensors, strict=True):
        ones_ = tuple(x.shape[0] if a == axis else 1 for a in range(len(tensors)))
        out.append(movement.broadcast_to(movement.reshape(x, ones_), shape))
    return out


def indices(shape: Sequence[Any], dtype: Any = int64) -> Tensor:
    """Return the position of each element of `shape` along each axis, as a new first axis."""
    sizes = as_sizes(shape)
    if not sizes:
        return zeros((0,), dtype)
    return joining.stack(meshgrid(*(iota(n, as_dtype(dtype)) for n in sizes), indexing="ij"))
