"""Random numbers: new ones at every run. Without a seed one is taken from numpy.random."""

from __future__ import annotations

from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.configuration import floatx
from symtensor.backend.handles import weakened
from symtensor.backend.sizes import as_shape
from symtensor.backend.spellings import old_keywords
from symtensor.backend.tensors import as_tensor, variable
from symtensor.errors import AttributeValueError
from symtensor.ops.attributes import as_int


def _stream(seed: int | None) -> st.RandomStream:
    return st.RandomStream(int(np.random.randint(10**6)) if seed is None else as_int(seed, "seed"))


def _numbers(dtype: Any, *values: Any) -> list[Any]:
    """Return parameters of a distribution in a dtype, floatx for None, and the dtype."""
    kind = st.as_dtype(dtype or floatx())
    return [*(st.cast(v, kind) if isinstance(v, st.Tensor) else weakened(v, kind)
              for v in values), kind]  # fmt: skip


@old_keywords
def random_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> st.Tensor:
    """Return normal numbers."""
    return _stream(seed).normal(as_shape(shape), *_numbers(dtype, mean, stddev))


@old_keywords
def random_uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> st.Tensor:
    """Return numbers uniform in [minval, maxval); of an integer dtype, integers."""
    kind = st.as_dtype(dtype or floatx())
    if kind.is_integer:
        return _stream(seed).randint(as_shape(shape), int(minval), int(maxval), kind)
    return _stream(seed).uniform(as_shape(shape), *_numbers(dtype, minval, maxval))


def random_binomial(
    shape: Any, p: Any = 0.0, dtype: Any = None, seed: int | None = None
) -> st.Tensor:
    """Return 1 with probability p, else 0."""
    return _stream(seed).bernoulli(as_shape(shape), *_numbers(dtype, p))


def random_bernoulli(
    shape: Any, p: Any = 0.0, dtype: Any = None, seed: int | None = None
) -> st.Tensor:
    """Return 1 with probability p, else 0."""
    return random_binomial(shape, p, dtype, seed)


@old_keywords
def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> st.Tensor:
    """Return normal numbers within two standard deviations of the mean."""
    return _stream(seed).truncated_normal(as_shape(shape), *_numbers(dtype, mean, stddev))


@old_keywords
def random_uniform_variable(
    shape: Any, low: Any, high: Any, dtype: Any = None, name: Any = None, seed: Any = None
) -> Any:
    """Return a variable of numbers uniform in [low, high)."""
    return variable(random_uniform(shape, low, high, dtype, seed), dtype, name)


@old_keywords
def random_normal_variable(
    shape: Any, mean: Any, scale: Any, dtype: Any = None, name: Any = None, seed: Any = None
) -> Any:
    """Return a variable of normal numbers."""
    return variable(random_normal(shape, mean, scale, dtype, seed), dtype, name)


def dropout(x: Any, level: Any, noise_shape: Any = None, seed: int | None = None) -> st.Tensor:
    """Return x with elements set to 0 with probability `level`, the others scaled by 1/(1-level).

    `noise_shape` with ones broadcasts the mask. Raises ValueError for levels outside [0, 1); one that is a
    tensor is not checked.
    """
    x = as_tensor(x)
    sizes = x.shape if noise_shape is None else _noise_shape(x, noise_shape)
    if isinstance(level, st.Tensor):
        rate: Any = st.cast(level, x.dtype)
    elif 0 <= level < 1:
        rate = float(level)
    else:
        raise AttributeValueError(f"dropout: expected a level in [0, 1), found {level}")
    return st.multiply(x, _stream(seed).dropout_mask(sizes, rate, x.dtype))


def _noise_shape(x: st.Tensor, shape: Any) -> Any:
    """Return the mask's sizes; None in `shape` is the size of x."""
    if isinstance(shape, (tuple, list)):
        shape = [own if s is None else s for own, s in zip(x.shape, shape, strict=True)]
    return as_shape(shape)
