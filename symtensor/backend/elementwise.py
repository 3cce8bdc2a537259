"""Elementwise functions and comparisons; numbers take the dtype of the tensor beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.handles import weakened
from symtensor.backend.tensors import as_float, as_tensor, fresh, identity, operands


def square(x: Any) -> st.Tensor:
    """Return x * x."""
    return st.square(as_tensor(x))


def abs(x: Any) -> st.Tensor:
    """Return the absolute value; its derivative at 0 is 0."""
    return st.abs(as_tensor(x))


def sqrt(x: Any) -> st.Tensor:
    """Return the square root; of negative numbers 0."""
    return st.sqrt(st.maximum(as_float(x), 0.0))


def exp(x: Any) -> st.Tensor:
    """Return e to the power of x."""
    return st.exp(as_float(x))


def log(x: Any) -> st.Tensor:
    """Return the natural logarithm."""
    return st.log(as_float(x))


def round(x: Any) -> st.Tensor:
    """Return the nearest integers, halves to the even one."""
    x = as_tensor(x)
    return st.rint(x) if x.dtype.is_floating else identity(x)


def sign(x: Any) -> st.Tensor:
    """Return -1, 0 or 1. Its gradient is 0, as TensorFlow has it: the library's own has none."""
    x = as_tensor(x)
    steps = st.sign(x)
    # the sign of NaN is NaN: the choice changes no value, but x stays connected
    return st.where(st.isnan(x), x, steps) if x.dtype.is_floating else steps


def pow(x: Any, a: Any) -> st.Tensor:
    """Return x to the power of a number or tensor."""
    return st.power(*operands(x, a))


def clip(x: Any, min_value: Any, max_value: Any) -> st.Tensor:
    """Return x limited to an interval; None is no bound, a maximum below the minimum becomes it."""
    x = as_tensor(x)
    if all(_is_number(v) for v in (min_value, max_value)) and max_value < min_value:
        max_value = min_value
    bounds = (weakened(v, x.dtype) for v in (min_value, max_value))
    return fresh(st.clip(x, *bounds), x)


def _is_number(value: Any) -> bool:
    return value is not None and not isinstance(value, st.Tensor) and np.ndim(value) == 0


def equal(x: Any, y: Any) -> st.Tensor:
    """Return where x == y, as bool."""
    return st.equal(*operands(x, y))


def not_equal(x: Any, y: Any) -> st.Tensor:
    """Return where x != y, as bool."""
    return st.not_equal(*operands(x, y))


def greater(x: Any, y: Any) -> st.Tensor:
    """Return where x > y, as bool."""
    return st.greater(*operands(x, y))


def greater_equal(x: Any, y: Any) -> st.Tensor:
    """Return where x >= y, as bool."""
    return st.greater_equal(*operands(x, y))


def less(x: Any, y: Any) -> st.Tensor:
    """Return where x < y, as bool."""
    return st.less(*operands(x, y))


def less_equal(x: Any, y: Any) -> st.Tensor:
    """Return where x <= y, as bool."""
    return st.less_equal(*operands(x, y))


def maximum(x: Any, y: Any) -> st.Tensor:
    """Return the larger of x and y."""
    return st.maximum(*operands(x, y))


def minimum(x: Any, y: Any) -> st.Tensor:
    """Return the smaller of x and y."""
    return st.minimum(*operands(x, y))


def sin(x: Any) -> st.Tensor:
    """Return the sine."""
    return st.sin(as_float(x))


def cos(x: Any) -> st.Tensor:
    """Return the cosine."""
    return st.cos(as_float(x))
