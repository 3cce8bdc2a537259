"""Shapes: joining, reshaping, repeating, padding, slicing. Sizes may be tensors from `shape`."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.configuration import normalize_data_format
from symtensor.backend.sizes import as_dim, as_shape
from symtensor.backend.sparse import SparseTensor, sparse_concatenate
from symtensor.backend.spellings import old_keywords
from symtensor.backend.tensors import as_tensor, fresh, operands
from symtensor.errors import ShapeError
from symtensor.ir.dims import DimExpr, product

Pair = Sequence[int]


def concatenate(tensors: Sequence[Any], axis: int = -1) -> st.Tensor:
    """Return tensors joined along an axis; sparse ones stay sparse among themselves."""
    xs = list(operands(*tensors))
    sparse = [x for x in xs if isinstance(x, SparseTensor)]
    return sparse_concatenate(sparse, axis) if xs == sparse else st.concatenate(xs, axis)


def reshape(x: Any, shape: Any) -> st.Tensor:
    """Return x under another shape; one size may be -1."""
    x = as_tensor(x)
    return fresh(st.reshape(x, as_shape(shape)), x)


def permute_dimensions(x: Any, pattern: Sequence[int]) -> st.Tensor:
    """Return x with its axes in another order."""
    x = as_tensor(x)
    return fresh(st.transpose(x, tuple(pattern)), x)


def repeat_elements(x: Any, rep: int, axis: int) -> st.Tensor:
    """Return x with each element repeated along an axis, as numpy.repeat does."""
    return st.repeat(as_tensor(x), rep, axis)


def repeat(x: Any, n: Any) -> st.Tensor:
    """Return (samples, dim) as (samples, n, dim)."""
    x = as_tensor(x)
    if x.ndim != 2:
        raise ShapeError(f"repeat: expected 2 axes, found {x.type}", code="ST0106")
    return st.broadcast_to(st.expand_dims(x, 1), (x.shape[0], as_dim(n), x.shape[1]))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> st.Tensor:
    """Return evenly spaced values; a negative single bound gives none."""
    return st.arange(start, stop, step, dtype)


def tile(x: Any, n: Any) -> st.Tensor:
    """Return x repeated as a whole; too few repetitions count for the last axes."""
    x = as_tensor(x)
    sizes = as_shape(n)
    sizes = (1,) * (x.ndim - len(sizes)) + sizes
    if not any(isinstance(size, DimExpr) for size in sizes):
        return st.tile(x, [as_dim(size) for size in sizes])
    for axis, count in enumerate(sizes):
        x = _tile_axis(x, count, axis)
    return as_tensor(x)


def _tile_axis(x: st.Tensor, count: Any, axis: int) -> st.Tensor:
    spread = st.expand_dims(x, axis)
    wide = st.broadcast_to(spread, (*x.shape[:axis], count, *x.shape[axis:]))
    return st.reshape(wide, (*x.shape[:axis], count * x.shape[axis], *x.shape[axis + 1 :]))


def flatten(x: Any) -> st.Tensor:
    """Return x as one axis."""
    return reshape(x, (-1,))


def batch_flatten(x: Any) -> st.Tensor:
    """Return x with all axes but the first made one."""
    x = as_tensor(x)
    return reshape(x, (x.shape[0], product(x.shape[1:])))


@old_keywords
def expand_dims(x: Any, axis: int = -1) -> st.Tensor:
    """Return x with an axis of size 1 put in."""
    return st.expand_dims(as_tensor(x), axis)


def squeeze(x: Any, axis: int) -> st.Tensor:
    """Return x without an axis of size 1."""
    return st.squeeze(as_tensor(x), axis)


def _pair(padding: int | Pair) -> tuple[int, int]:
    """Return (before, after); one number, as in Keras 1, is both."""
    before, after = np.broadcast_to(padding, 2).tolist()
    return before, after


def temporal_padding(x: Any, padding: int | Pair = (1, 1)) -> st.Tensor:
    """Return (batch, time, channels) with zeros before and after axis 1."""
    return st.pad(as_tensor(x), [(0, 0), _pair(padding), (0, 0)])


def _spatial_padding(x: Any, padding: Sequence[Any], data_format: str | None) -> st.Tensor:
    pairs = [_pair(p) for p in padding]
    if normalize_data_format(data_format) == "channels_first":
        return st.pad(as_tensor(x), [(0, 0), (0, 0), *pairs])
    return st.pad(as_tensor(x), [(0, 0), *pairs, (0, 0)])


@old_keywords
def spatial_2d_padding(
    x: Any, padding: Sequence[int | Pair] = ((1, 1), (1, 1)), data_format: str | None = None
) -> st.Tensor:
    """Return images with zeros around: ((top, bottom), (left, right))."""
    return _spatial_padding(x, padding, data_format)


@old_keywords
def spatial_3d_padding(
    x: Any, padding: Sequence[int | Pair] = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> st.Tensor:
    """Return volumes with zeros around, a pair per axis."""
    return _spatial_padding(x, padding, data_format)


def stack(x: Sequence[Any], axis: int = 0) -> st.Tensor:
    """Return tensors joined along a new axis; numbers may be among them."""
    return st.stack(operands(*x), axis)


@old_keywords
def one_hot(indices: Any, num_classes: int) -> st.Tensor:
    """Return float32 vectors with a 1 at each index; an index outside gives zeros."""
    labels = st.cast(as_tensor(indices, "int64"), "int64")
    hits = st.equal(st.expand_dims(labels, -1), st.arange(as_dim(num_classes)))
    return st.cast(hits, "float32")


def reverse(x: Any, axes: Any) -> st.Tensor:
    """Return x reversed along axes."""
    return st.flip(as_tensor(x), tuple(axes) if np.ndim(axes) else axes)


def slice(x: Any, start: Any, size: Any) -> st.Tensor:
    """Return the part of x from `start` of `size`, one of each per axis; -1 means to the end."""
    x = as_tensor(x)
    starts, sizes = as_shape(start), as_shape(size)
    if not len(starts) == len(sizes) == x.ndim:
        raise ShapeError(f"slice: expected {x.ndim} starts and sizes for {x.type}")
    for axis, (first, count) in enumerate(zip(starts, sizes, strict=True)):
        end = None if isinstance(count, int) and count == -1 else first + count
        x = x[(*[builtins.slice(None)] * axis, builtins.slice(first, end))]
    return as_tensor(x)


def pattern_broadcast(x: Any, broadcastable: Sequence[bool]) -> st.Tensor:
    """Return x with axes that broadcast, of size 1, where `broadcastable` is true.

    Their sizes are checked when the function is called; the other axes stay as they are.
    """
    x = as_tensor(x)
    if len(broadcastable) != x.ndim:
        raise ShapeError(f"pattern_broadcast: expected {x.ndim} flags for {x.type}")
    sizes = [1 if one else n for one, n in zip(broadcastable, x.shape, strict=True)]
    return fresh(st.specify_shape(x, sizes), x)
