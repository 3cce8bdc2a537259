"""Convolution and pooling; kernels are (spatial…, in, out) in both layouts, and not flipped."""

from __future__ import annotations

from typing import Any

import symtensor as st
from symtensor.backend.configuration import normalize_data_format
from symtensor.backend.sizes import as_dim
from symtensor.backend.spellings import old_keywords
from symtensor.backend.tensors import as_tensor, operands
from symtensor.errors import ShapeError
from symtensor.vocabulary import require_choice


def _padding(padding: str, causal: bool = False) -> str:
    allowed = ("valid", "same", "causal") if causal else ("valid", "same")
    require_choice(padding, allowed, "padding")
    return padding


def _conv(
    x: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation: Any
) -> st.Tensor:
    layout = normalize_data_format(data_format)
    x, kernel = operands(x, kernel)
    return st.conv(x, kernel, strides, padding, dilation, data_format=layout)


@old_keywords
def conv1d(
    x: Any, kernel: Any, strides: Any = 1, padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = 1,
) -> st.Tensor:  # fmt: skip
    """Return the correlation over one axis; "causal" pads in front only."""
    return _conv(x, kernel, strides, _padding(padding, True), data_format, dilation_rate)


@old_keywords
def conv2d(
    x: Any, kernel: Any, strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1),
) -> st.Tensor:  # fmt: skip
    """Return the correlation over two axes."""
    return _conv(x, kernel, strides, _padding(padding), data_format, dilation_rate)


@old_keywords
def conv3d(
    x: Any, kernel: Any, strides: Any = (1, 1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1, 1),
) -> st.Tensor:  # fmt: skip
    """Return the correlation over three axes."""
    return _conv(x, kernel, strides, _padding(padding), data_format, dilation_rate)


def _transposed(
    x: Any, kernel: Any, output_shape: Any, strides: Any, padding: str, data_format: Any,
    dilation: Any,
) -> st.Tensor:  # fmt: skip
    layout = normalize_data_format(data_format)
    sizes = output_shape[2:] if layout == "channels_first" else output_shape[1:-1]
    spatial = [as_dim(size) for size in sizes]
    x, kernel = operands(x, kernel)
    return st.conv_transpose(x, kernel, spatial, strides, _padding(padding), dilation, layout)


@old_keywords
def conv2d_transpose(
    x: Any, kernel: Any, output_shape: Any, strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1),
) -> st.Tensor:  # fmt: skip
    """Return the gradient of `conv2d` by its input; the kernel is (h, w, out, in)."""
    return _transposed(x, kernel, output_shape, strides, padding, data_format, dilation_rate)


@old_keywords
def conv3d_transpose(
    x: Any, kernel: Any, output_shape: Any, strides: Any = (1, 1, 1), padding: str = "valid",
    data_format: str | None = None,
) -> st.Tensor:  # fmt: skip
    """Return the gradient of `conv3d` by its input; the kernel is (d, h, w, out, in)."""
    return _transposed(x, kernel, output_shape, strides, padding, data_format, 1)


@old_keywords
def depthwise_conv2d(
    x: Any, depthwise_kernel: Any, strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1),
) -> st.Tensor:  # fmt: skip
    """Return each channel correlated with kernels of its own, (h, w, in, multiplier)."""
    layout = normalize_data_format(data_format)
    x, kernel = operands(x, depthwise_kernel)
    return st.depthwise_conv(x, kernel, strides, _padding(padding), dilation_rate, layout)


def _separable(
    x: Any, depthwise: Any, pointwise: Any, strides: Any, padding: str, data_format: Any,
    dilation: Any,
) -> st.Tensor:  # fmt: skip
    layout = normalize_data_format(data_format)
    x, depthwise, pointwise = operands(x, depthwise, pointwise)
    deep = st.depthwise_conv(x, depthwise, strides, _padding(padding, True), dilation, layout)
    return st.conv(deep, pointwise, data_format=layout)


@old_keywords
def separable_conv1d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = 1,
    padding: str = "valid", data_format: str | None = None, dilation_rate: Any = 1,
) -> st.Tensor:  # fmt: skip
    """Return a depthwise, then a pointwise convolution over one axis."""
    return _separable(
        x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
    )


@old_keywords
def separable_conv2d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = (1, 1),
    padding: str = "valid", data_format: str | None = None, dilation_rate: Any = (1, 1),
) -> st.Tensor:  # fmt: skip
    """Return a depthwise, then a pointwise convolution over two axes."""
    return _separable(
        x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
    )


def _pool(x: Any, sizes: Any, strides: Any, padding: str, data_format: Any, mode: str) -> st.Tensor:
    layout = normalize_data_format(data_format)
    require_choice(mode, ("max", "avg"), "pool_mode")
    pool = st.max_pool if mode == "max" else st.average_pool
    return pool(as_tensor(x), sizes, strides, _padding(padding), layout)


@old_keywords
def pool2d(
    x: Any, pool_size: Any, strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, pool_mode: str = "max",
) -> st.Tensor:  # fmt: skip
    """Return the maximum or mean of windows; padding does not count."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


@old_keywords
def pool3d(
    x: Any, pool_size: Any, strides: Any = (1, 1, 1), padding: str = "valid",
    data_format: str | None = None, pool_mode: str = "max",
) -> st.Tensor:  # fmt: skip
    """Return the maximum or mean of windows; padding does not count."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


@old_keywords
def bias_add(x: Any, bias: Any, data_format: str | None = None) -> st.Tensor:
    """Return x plus a bias: one value per channel, or of the rank of x without the batch.

    With channels_first a bias (spatial…, channels) is reshaped, not transposed. Raises ValueError
    for other ranks.
    """
    x, bias = operands(x, bias)
    first = normalize_data_format(data_format) == "channels_first"
    if bias.ndim not in (1, x.ndim - 1):
        raise ShapeError(f"bias_add: expected 1 or {x.ndim - 1} axes, found {bias.type}")
    if not first:
        return st.add(x, bias)
    if bias.ndim == 1:
        return st.add(x, st.reshape(bias, (1, bias.shape[0], *(1,) * (x.ndim - 2))))
    return st.add(x, st.reshape(bias, (1, bias.shape[-1], *bias.shape[:-1])))


def local_conv(
    inputs: Any, kernel: Any, kernel_size: Any, strides: Any, output_shape: Any,
    data_format: str | None = None,
) -> st.Tensor:  # fmt: skip
    """Return a convolution whose kernel differs from place to place.

    The kernel is (places, elements of a patch, filters); a patch is (spatial…, channels), with
    channels_first (channels, spatial…). `output_shape` holds the spatial sizes of the result.
    """
    x, kernel = operands(inputs, kernel)
    first = normalize_data_format(data_format) == "channels_first"
    n = len(kernel_size)
    axes = range(2, n + 2) if first else range(1, n + 1)
    seen = st.windows(x, tuple(kernel_size), tuple(axes), tuple(strides))
    place, within = "pqr"[:n], "hwd"[:n]
    channels = x.shape[1 if first else -1]
    patch = (channels, *kernel_size) if first else (*kernel_size, channels)
    weights = st.reshape(kernel, (*map(as_dim, output_shape), *patch, kernel.shape[-1]))
    labels = (
        f"bc{place}{within},{place}c{within}f->bf{place}"
        if first
        else f"b{place}c{within},{place}{within}cf->b{place}f"
    )
    return st.einsum(labels, seen, weights)


def local_conv1d(
    inputs: Any, kernel: Any, kernel_size: Any, strides: Any, data_format: str | None = None
) -> st.Tensor:
    """Return `local_conv` over one axis of (batch, length, channels), whatever the data format."""
    normalize_data_format(data_format)
    places = as_tensor(kernel).shape[:1]
    return local_conv(inputs, kernel, kernel_size, strides, places, "channels_last")


def local_conv2d(
    inputs: Any, kernel: Any, kernel_size: Any, strides: Any, output_shape: Any,
    data_format: str | None = None,
) -> st.Tensor:  # fmt: skip
    """Return `local_conv` over two axes."""
    return local_conv(inputs, kernel, kernel_size, strides, output_shape, data_format)
