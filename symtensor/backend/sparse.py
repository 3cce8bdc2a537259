"""Sparse matrices by coordinates.

A sparse tensor is a handle on its dense value, which `scatter` writes on demand, that also knows the
numbers and where they stand: products and joins work on those, every other function on the dense value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.handles import KerasTensor
from symtensor.errors import ShapeError
from symtensor.ir.dims import Dim

Array = np.ndarray[Any, Any]


class SparseTensor(KerasTensor):
    """A matrix of `shape` with `values` at (`rows`, `columns`), zero elsewhere; equal places add up."""

    def __init__(
        self, values: st.Tensor, rows: st.Tensor, columns: st.Tensor, shape: Sequence[Dim]
    ) -> None:
        dense = st.add_at(st.zeros(tuple(shape), values.dtype), (rows, columns), values)
        super().__init__(dense.node)
        self.values, self.rows, self.columns = values, rows, columns


class SparsePlaceholder(SparseTensor):
    """A sparse matrix to be fed. `parts` are the placeholders that stand for it."""

    def __init__(self, shape: Sequence[int | None], dtype: Any, name: str | None) -> None:
        if len(shape) != 2:
            raise ShapeError(
                f"a sparse placeholder has 2 axes, found the shape {tuple(shape)}", code="ST0106"
            )
        label = name or "sparse"
        values = st.placeholder((None,), dtype, f"{label}_values")
        rows = st.placeholder(values.shape, "int64", f"{label}_rows")
        columns = st.placeholder(values.shape, "int64", f"{label}_columns")
        # sizes of a matrix are those of inputs: two vectors carry them, one byte an element
        extents = [st.placeholder((n,), "int8", f"{label}_size{a}") for a, n in enumerate(shape)]
        super().__init__(values, rows, columns, [extent.shape[0] for extent in extents])
        self.parts, self.fixed = [values, rows, columns, *extents], tuple(shape)
        self._phase_flag = False

    def feed(self, value: Any) -> list[Any]:
        """Return values for `parts`. Raises ValueError where a known size differs."""
        data, rows, columns, shape = coordinates(value)
        if any(n not in (None, m) for n, m in zip(self.fixed, shape, strict=True)):
            raise ShapeError(
                f"a sparse input of the shape {self.fixed} is expected, found one of {shape}",
                code="ST0104",
            )
        return [data, rows, columns, *(np.zeros(n, np.int8) for n in shape)]


def coordinates(value: Any) -> tuple[Array, Array, Array, tuple[int, ...]]:
    """Return values, rows, columns and shape of a scipy.sparse matrix or a dense one."""
    if hasattr(value, "tocoo"):
        found = value.tocoo()
        data, rows, columns = found.data, found.row, found.col
    else:
        value = np.asarray(value)
        if value.ndim != 2:
            raise ShapeError(
                f"a sparse matrix has 2 axes, found the shape {value.shape}", code="ST0106"
            )
        rows, columns = np.nonzero(value)
        data = value[rows, columns]
    return data, rows.astype(np.int64), columns.astype(np.int64), tuple(value.shape)


def sparse_constant(value: Any, dtype: Any) -> SparseTensor:
    """Return a scipy.sparse matrix as a sparse tensor of a dtype."""
    data, rows, columns, shape = coordinates(value)
    numbers = st.constant(data.astype(st.as_dtype(dtype).numpy))
    return SparseTensor(numbers, st.constant(rows), st.constant(columns), shape)


def sparse_dot(x: SparseTensor, y: st.Tensor) -> st.Tensor:
    """Return the product with a dense matrix: each number of `x` takes one row of `y` along."""
    terms = st.expand_dims(x.values, 1) * st.take(y, x.columns, 0)
    total: st.Tensor = st.add_at(st.zeros((x.shape[0], y.shape[1]), terms.dtype), x.rows, terms)
    return total


def sparse_concatenate(xs: Sequence[SparseTensor], axis: int) -> SparseTensor:
    """Return sparse matrices joined along an axis, sparse."""
    axis = axis % 2
    places, before = [], st.constant(np.int64(0))
    for x in xs:
        moved = (x.rows, x.columns)[axis] + before
        places.append((moved, x.columns) if axis == 0 else (x.rows, moved))
        before = before + st.dim_value(x.shape[axis])
    rows, columns = (st.concatenate(p, 0) for p in zip(*places, strict=True))
    off = xs[0].shape[1 - axis]
    along = sum((x.shape[axis] for x in xs[1:]), xs[0].shape[axis])
    shape = (along, off) if axis == 0 else (off, along)
    return SparseTensor(st.concatenate([x.values for x in xs], 0), rows, columns, shape)
