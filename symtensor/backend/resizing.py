"""Enlarging images and volumes by integer factors."""

from __future__ import annotations

from typing import Any

import symtensor as st
from symtensor.backend.configuration import normalize_data_format
from symtensor.backend.spellings import old_keywords
from symtensor.backend.tensors import as_tensor
from symtensor.vocabulary import require_choice


def _stretched(x: st.Tensor, factor: int, axis: int, interpolation: str) -> st.Tensor:
    """Return `x` enlarged along an axis; element i is sampled at i / factor, ends are held."""
    near = st.repeat(x, factor, axis)
    if interpolation == "nearest":
        return near
    rows = st.moveaxis(x, axis, 0)
    following = st.moveaxis(st.concatenate([rows[1:], rows[-1:]], 0), 0, axis)
    far = st.repeat(st.specify_shape(following, x.shape), factor, axis)
    place = st.arange(near.shape[axis]) % factor
    weight = st.reshape(st.cast(place, x.dtype) / factor, [-1, *(1,) * (x.ndim - axis - 1)])
    return st.add(near, (far - near) * weight)


def _resized(x: Any, factors: tuple[int, ...], data_format: str, interpolation: str) -> st.Tensor:
    require_choice(interpolation, ("nearest", "bilinear"), "interpolation")
    first = 2 if normalize_data_format(data_format) == "channels_first" else 1
    out = as_tensor(x)
    for axis, factor in enumerate(factors, first):
        out = _stretched(out, factor, axis, interpolation)
    return out


@old_keywords
def resize_images(
    x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest"
) -> st.Tensor:
    """Return images enlarged; "bilinear" samples at target / factor, as TensorFlow 1 does."""
    return _resized(x, (height_factor, width_factor), data_format, interpolation)


@old_keywords
def resize_volumes(
    x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str
) -> st.Tensor:
    """Return volumes enlarged by repeating elements."""
    return _resized(x, (depth_factor, height_factor, width_factor), data_format, "nearest")
