"""Products and gathers."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.sparse import SparseTensor, sparse_dot
from symtensor.backend.tensors import as_tensor, operands
from symtensor.errors import AttributeValueError, ShapeError


def dot(x: Any, y: Any) -> st.Tensor:
    """Return the product over the last axis of x and the last but one of y.

    The shape is ``x.shape[:-1] + y.shape[:-2] + y.shape[-1:]``: (2, 3) with (4, 3, 5) gives (2, 4, 5).
    """
    x, y = operands(x, y)
    if isinstance(x, SparseTensor) and y.ndim == 2:
        return sparse_dot(x, y)
    return st.dot(x, y)


def _contracted_axes(x: st.Tensor, y: st.Tensor, axes: Any) -> tuple[int, int]:
    if axes is None:
        axes = (x.ndim - 1, y.ndim - 1 if y.ndim == 2 else y.ndim - 2)
    pair = np.broadcast_to(axes, 2) if np.ndim(axes) == 0 else np.asarray(axes)
    if pair.shape != (2,) or pair.dtype.kind not in "iu":
        raise AttributeValueError(f"batch_dot: expected one axis of each operand, found {axes!r}")
    first, second = int(pair[0]) % x.ndim, int(pair[1]) % y.ndim
    if 0 in (first, second):
        raise AttributeValueError("batch_dot: axis 0 is the batch and can't be contracted")
    return first, second


def batch_dot(x: Any, y: Any, axes: Any = None) -> st.Tensor:
    """Return the product of each pair of samples over one axis of each.

    The result has x's axes without ``axes[0]``, then y's without the batch and ``axes[1]``; of rank 1
    it becomes (batch, 1). Raises ValueError for ranks below 2, axis 0 and sizes that differ.
    """
    x, y = operands(x, y)
    if x.ndim < 2 or y.ndim < 2:
        raise ShapeError(f"batch_dot: expected at least 2 axes, found {x.type} and {y.type}")
    first, second = _contracted_axes(x, y, axes)
    for a, b in ((x.shape[0], y.shape[0]), (x.shape[first], y.shape[second])):
        if isinstance(a, int) and isinstance(b, int) and a != b:
            raise ShapeError(
                f"batch_dot: {x.type} and {y.type} do not agree: {a} and {b}", code="ST0102"
            )
    left = list(string.ascii_letters[: x.ndim])
    right = list(string.ascii_letters[x.ndim : x.ndim + y.ndim])
    right[0], right[second] = left[0], left[first]
    kept = [*(s for i, s in enumerate(left) if i != first),
            *(s for i, s in enumerate(right) if i not in (0, second))]  # fmt: skip
    out = st.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x, y)
    return st.expand_dims(out, -1) if out.ndim == 1 else out


def transpose(x: Any) -> st.Tensor:
    """Return x with all axes reversed."""
    return st.transpose(as_tensor(x))


def gather(reference: Any, indices: Any) -> st.Tensor:
    """Return rows of `reference` at integer indices of any rank."""
    return st.take(as_tensor(reference), st.cast(as_tensor(indices, "int64"), "int64"), 0)
