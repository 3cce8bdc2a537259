"""Activations and normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.elementwise import clip
from symtensor.backend.handles import weakened
from symtensor.backend.tensors import as_float, as_operand, as_tensor, remember_logits
from symtensor.errors import ShapeError


def relu(x: Any, alpha: Any = 0.0, max_value: Any = None, threshold: Any = 0.0) -> st.Tensor:
    """Return x above `threshold`, and alpha * (x - threshold) elsewhere.

    With `max_value` what is above a negative threshold is clipped to [0, max_value].
    """
    x = as_tensor(x)
    flat = not isinstance(alpha, st.Tensor) and alpha == 0
    if flat and max_value is None and not isinstance(threshold, st.Tensor) and threshold == 0:
        return st.relu(x)
    edge = as_tensor(threshold, x.dtype)
    below = 0 if flat else as_tensor(alpha, x.dtype) * (x - edge)  # 0 for -inf too
    above = x if max_value is None else clip(x, 0, max_value)
    return st.where(x <= edge, below, above)  # NaN stays NaN


def elu(x: Any, alpha: Any = 1.0) -> st.Tensor:
    """Return x above 0 and alpha * (exp(x) - 1) elsewhere."""
    x = as_float(x)
    return st.elu(x, weakened(alpha, x.dtype))


def softmax(x: Any, axis: int = -1) -> st.Tensor:
    """Return exp(x) / sum(exp(x)) along an axis, without overflow.

    The result remembers x: cross entropies of it are computed from the logits.
    """
    x = as_float(x)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"softmax: there is no axis {axis} in {x.type}", code="ST0301")
    out = st.softmax(x, axis)
    remember_logits(out, x, axis)
    return out


def softplus(x: Any) -> st.Tensor:
    """Return log(1 + exp(x)), without overflow."""
    return st.softplus(as_float(x))


def softsign(x: Any) -> st.Tensor:
    """Return x / (1 + |x|)."""
    return st.softsign(as_float(x))


def sigmoid(x: Any) -> st.Tensor:
    """Return 1 / (1 + exp(-x))."""
    return st.sigmoid(as_float(x))


def hard_sigmoid(x: Any) -> st.Tensor:
    """Return 0.2 * x + 0.5, limited to [0, 1]."""
    return st.hard_sigmoid(as_float(x))


def tanh(x: Any) -> st.Tensor:
    """Return the hyperbolic tangent."""
    return st.tanh(as_float(x))


def l2_normalize(x: Any, axis: Any = None) -> st.Tensor:
    """Return x divided by its Euclidean norm along axes, all of them for None."""
    return st.l2_normalize(as_float(x), tuple(axis) if np.ndim(axis) else axis)


def normalize_batch_in_training(
    x: Any, gamma: Any, beta: Any, reduction_axes: Any, epsilon: float = 1e-3
) -> tuple[st.Tensor, st.Tensor, st.Tensor]:
    """Return x normalized over `reduction_axes`, and the mean and biased variance used.

    The statistics have the other axes only; gamma and beta, of their shape, may be None.
    """
    x = as_tensor(x)
    axes = tuple(a % x.ndim for a in reduction_axes)
    mean, variance = st.moments(x, axes)

    def spread(value: Any) -> Any:
        return None if value is None else st.expand_dims(_fit(value, mean), axes)

    normed = _normalized(x, spread(mean), spread(variance), spread(beta), spread(gamma), epsilon)
    return normed, mean, variance


def _fit(value: Any, like: st.Tensor) -> st.Tensor:
    given = as_operand(value, like.dtype)
    return given if given.ndim == like.ndim else st.reshape(given, like.shape)


def _normalized(
    x: st.Tensor, mean: Any, variance: Any, beta: Any, gamma: Any, epsilon: float
) -> st.Tensor:
    scale = st.rsqrt(variance + weakened(epsilon, x.dtype))
    out: st.Tensor = (x - mean) * (scale if gamma is None else scale * gamma)
    return out if beta is None else st.add(out, beta)


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> st.Tensor:
    """Return ``(x - mean) / sqrt(var + epsilon) * gamma + beta``.

    Statistics are vectors along `axis`, or broadcast against x; beta and gamma may be None.
    """
    x = as_tensor(x)
    others = tuple(a for a in range(x.ndim) if a != axis % x.ndim)

    def along_axis(value: Any) -> Any:
        if value is None:
            return None
        value = as_operand(value, x.dtype)
        return st.expand_dims(value, others) if value.ndim == 1 and x.ndim > 1 else value

    return _normalized(
        x, along_axis(mean), along_axis(var), along_axis(beta), along_axis(gamma), epsilon
    )
