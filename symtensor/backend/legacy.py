"""Names of Keras 1."""

from __future__ import annotations

from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend import convolution, shapes
from symtensor.backend.elementwise import less, less_equal
from symtensor.backend.spellings import layout_of
from symtensor.errors import AttributeValueError

_weight_ordering = [False]

lesser = less
lesser_equal = less_equal
pack = shapes.stack
maxpool2d = convolution.pool2d


def asymmetric_temporal_padding(x: Any, left_pad: int = 1, right_pad: int = 1) -> st.Tensor:
    """Return `temporal_padding` by (left_pad, right_pad)."""
    return shapes.temporal_padding(x, (left_pad, right_pad))


def asymmetric_spatial_2d_padding(
    x: Any, top_pad: int = 1, bottom_pad: int = 1, left_pad: int = 1, right_pad: int = 1,
    dim_ordering: str = "default",
) -> st.Tensor:  # fmt: skip
    """Return `spatial_2d_padding` by four amounts."""
    pads = ((top_pad, bottom_pad), (left_pad, right_pad))
    return shapes.spatial_2d_padding(x, pads, layout_of(dim_ordering))


def deconv2d(
    x: Any, kernel: Any, output_shape: Any, strides: Any = (1, 1), border_mode: str = "valid",
    dim_ordering: str = "default", image_shape: Any = None, filter_shape: Any = None,
) -> st.Tensor:  # fmt: skip
    """Return `conv2d_transpose`; the two last arguments were hints."""
    layout = layout_of(dim_ordering)
    return convolution.conv2d_transpose(x, kernel, output_shape, strides, border_mode, layout)


def atrous_conv2d(
    x: Any, kernel: Any, rate: int = 1, border_mode: str = "valid",
    dim_ordering: str = "default", image_shape: Any = None, filter_shape: Any = None,
) -> st.Tensor:  # fmt: skip
    """Return `conv2d` with a dilation."""
    layout = layout_of(dim_ordering)
    return convolution.conv2d(x, kernel, 1, border_mode, layout, rate)


def is_explicit_shape(shape: Any) -> bool:
    """Return whether a shape is a list or tuple of ints, without unknown or symbolic sizes."""
    return isinstance(shape, (list, tuple)) and all(
        isinstance(size, (int, np.integer)) for size in shape
    )


def legacy_weight_ordering() -> bool:
    """Return the flag that `set_legacy_weight_ordering` set, False at first."""
    return _weight_ordering[0]


def set_legacy_weight_ordering(value: bool) -> None:
    """Keep a flag for programs that read weights of the first Keras; the backend reads none.

    Raises ValueError for anything but True and False.
    """
    if value not in (True, False):
        raise AttributeValueError(
            f"legacy_weight_ordering: expected True or False, found {value!r}"
        )
    _weight_ordering[:] = [bool(value)]
