"""Reductions over axes: an int, a list of ints with negative ones, or None for all."""

from __future__ import annotations

from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.tensors import as_float, as_tensor


def _axes(axis: Any) -> Any:
    return tuple(axis) if np.ndim(axis) else axis


def max(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the maximum; equal maxima share the gradient."""
    return st.max(as_tensor(x), _axes(axis), keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the minimum; equal minima share the gradient."""
    return st.min(as_tensor(x), _axes(axis), keepdims=keepdims)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the sum, in the dtype of x."""
    x = as_tensor(x)
    total = st.sum(x, _axes(axis), keepdims=keepdims)
    return total if x.dtype.is_bool else st.cast(total, x.dtype)


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the product, in the dtype of x."""
    x = as_tensor(x)
    total = st.prod(x, _axes(axis), keepdims=keepdims)
    return total if x.dtype.is_bool else st.cast(total, x.dtype)


def cumsum(x: Any, axis: int = 0) -> st.Tensor:
    """Return the running sum."""
    x = as_tensor(x)
    return st.cast(st.cumsum(x, axis), x.dtype)


def cumprod(x: Any, axis: int = 0) -> st.Tensor:
    """Return the running product."""
    x = as_tensor(x)
    return st.cast(st.cumprod(x, axis), x.dtype)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the variance of the population."""
    return st.var(as_float(x), _axes(axis), keepdims=keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the standard deviation of the population."""
    return st.sqrt(var(x, axis, keepdims))


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return the mean; bools and ints count as floatx."""
    return st.mean(as_float(x), _axes(axis), keepdims=keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return whether any element is not 0, as bool."""
    return st.any(st.cast(as_tensor(x), "bool"), _axes(axis), keepdims=keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return whether all elements are not 0, as bool."""
    return st.all(st.cast(as_tensor(x), "bool"), _axes(axis), keepdims=keepdims)


def argmax(x: Any, axis: int = -1) -> st.Tensor:
    """Return the int64 index of the first maximum."""
    return st.argmax(as_tensor(x), axis)


def argmin(x: Any, axis: int = -1) -> st.Tensor:
    """Return the int64 index of the first minimum."""
    return st.argmin(as_tensor(x), axis)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> st.Tensor:
    """Return log(sum(exp(x))) without overflow."""
    return st.logsumexp(as_float(x), _axes(axis), keepdims=keepdims)
