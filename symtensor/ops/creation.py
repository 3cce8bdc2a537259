"""Tensors made from sizes: ranges, constants of a shape, identity and triangular matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr
from symtensor.ir.dtypes import DType, as_dtype, float32, int64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import logic, movement
from symtensor.ops.build import TensorLike, apply, as_tensor, cast_to, operands
from symtensor.ops.families import Index
from symtensor.ops.inputs import constant, normalize_dim
from symtensor.ops.registry import define

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


ARANGE = define(
    "arange",
    infer=lambda start, stop, step, *, length: TensorType(start.dtype, (length,)),
    evaluate=lambda xp, start, stop, step, *, length: xp.arange(start, stop, step, start.dtype),
    doc="start, start + step, … before stop; its length is known only when it runs.",
)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """Return evenly spaced values from `start` (0 when only one bound is given) before `stop`.

    Bounds are numbers, dims, or scalar tensors; with tensors the length is a fresh dimension.
    """
    if stop is None:
        start, stop = 0, start
    if not any(isinstance(v, (Tensor, DimExpr)) for v in (start, stop, step)):
        if step == 0:
            raise AttributeValueError("arange: the step must not be 0")
        return constant(np.arange(start, stop, step), dtype)
    if any(isinstance(v, Tensor) for v in (start, stop, step)):
        return _arange_of_tensors(start, stop, step, dtype)
    length = D.maximum(D.ceildiv(stop - start, step) if step > 0 else
                       D.ceildiv(start - stop, -step), 0)  # fmt: skip
    out = iota(length)
    out = out if D.same(step, 1) else out * step
    out = out if D.same(start, 0) else out + start
    return out if dtype is None else cast_to(out, as_dtype(dtype))


def _arange_of_tensors(start: Any, stop: Any, step: Any, dtype: Any) -> Tensor:
    bounds = operands((start, stop, step))
    if dtype is not None:
        bounds = [cast_to(b, as_dtype(dtype)) for b in bounds]
    if any(b.ndim for b in bounds):
        raise AttributeValueError("arange: expected scalar bounds")
    return apply(ARANGE, *bounds, length=D.symbol())


def full(shape: Sequence[Any] | Any, value: TensorLike, dtype: Any = None) -> Tensor:
    """Return a tensor of `shape` that holds `value` everywhere."""
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    one = as_tensor(value)
    one = one if dtype is None else cast_to(one, as_dtype(dtype))
    return movement.broadcast_to(one, [normalize_dim(s, i) for i, s in enumerate(sizes)])


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


def _relation(rows: Dim, columns: Dim) -> tuple[Tensor, Tensor]:
    """Return row and column numbers, shaped to broadcast against each other."""
    return movement.reshape(iota(rows), (rows, 1)), movement.reshape(iota(columns), (1, columns))


def eye(n: Any, m: Any = None, k: int = 0, dtype: Any = float32) -> Tensor:
    """Return an n by m matrix with ones on diagonal `k`."""
    rows, columns = _relation(normalize_dim(n), normalize_dim(n if m is None else m))
    return logic.cast(logic.equal(rows + k, columns), dtype)


def tri(n: Any, m: Any = None, k: int = 0, dtype: Any = float32) -> Tensor:
    """Return an n by m matrix with ones at and below diagonal `k`."""
    rows, columns = _relation(normalize_dim(n), normalize_dim(n if m is None else m))
    return logic.cast(logic.less_equal(columns, rows + k), dtype)


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """Return `x` with zeros above diagonal `k` of its last two axes."""
    x = as_tensor(x)
    rows, columns = x.shape[-2:]
    return logic.where(tri(rows, columns, k, bool), x, 0)


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """Return `x` with zeros below diagonal `k` of its last two axes."""
    x = as_tensor(x)
    rows, columns = x.shape[-2:]
    return logic.where(tri(rows, columns, k - 1, bool), 0, x)


def linspace(start: TensorLike, stop: TensorLike, num: int = 50, dtype: Any = None) -> Tensor:
    """Return `num` evenly spaced values from `start` to `stop`, both included."""
    if not isinstance(start, Tensor) and not isinstance(stop, Tensor):
        return constant(np.linspace(start, stop, num), dtype)
    a, b = operands((start, stop), lambda d: d if d.is_floating else as_dtype("float64"))
    steps = cast_to(iota(num), a.dtype) / max(num - 1, 1)
    out = a + (b - a) * steps
    return out if dtype is None else cast_to(out, as_dtype(dtype))


def meshgrid(*vectors: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Return coordinate tensors of a grid; ``xy`` swaps the first two axes, as in NumPy."""
    tensors = [as_tensor(v) for v in vectors]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    elif indexing not in ("xy", "ij"):
        raise AttributeValueError(f"meshgrid: expected indexing xy or ij, found {indexing!r}")
    shape = tuple(tensors[order.index(axis)].shape[0] for axis in range(len(tensors)))
    out = []
    for axis, x in zip(order, tensors, strict=True):
        ones_ = tuple(x.shape[0] if a == axis else 1 for a in range(len(tensors)))
        out.append(movement.broadcast_to(movement.reshape(x, ones_), shape))
    return out
