"""Functions composed of ops: softmax, activations, losses, normalization.

They have no records of their own, so gradients, fusion and every engine come by themselves.
"""

from __future__ import annotations

import math
from typing import Any

from symtensor.errors import ShapeError
from symtensor.ir.dtypes import int64
from symtensor.ir.tensor import Tensor
from symtensor.ops import elementwise as e
from symtensor.ops import indexing, logic, movement, reduction
from symtensor.ops.build import TensorLike, as_tensor, cast_to, normalize_axis
from symtensor.ops.effects import stop_gradient
from symtensor.ops.special import erf

EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm, as Keras does."""


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) along `axis`, without overflow."""
    x = _float(x)
    top = stop_gradient(reduction.max(x, axis, keepdims=True))
    z = e.exp(x - top)
    return z / reduction.sum(z, axis, keepdims=True)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return log(softmax(x)) along `axis`, finite where softmax underflows."""
    x = _float(x)
    top = stop_gradient(reduction.max(x, axis, keepdims=True))
    shifted = x - top
    return shifted - e.log(reduction.sum(e.exp(shifted), axis, keepdims=True))


def _float(x: TensorLike) -> Tensor:
    x = as_tensor(x)
    return x if x.dtype.is_floating else cast_to(x, e.exp(x).dtype)


# --- activations ---------------------------------------------------------------------------------


def leaky_relu(x: TensorLike, alpha: float = 0.01) -> Tensor:
    """Return x above 0 and alpha * x below."""
    x = as_tensor(x)
    return logic.where(x > 0, x, alpha * x)


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x above 0 and alpha * (exp(x) - 1) below."""
    x = as_tensor(x)
    return logic.where(x > 0, x, alpha * e.expm1(e.minimum(x, 0)))


def selu(x: TensorLike) -> Tensor:
    """Return the self-normalizing ELU (Klambauer et al., 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """Return x times the normal distribution function of x, or its tanh approximation."""
    x = as_tensor(x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + e.tanh(inner))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def silu(x: TensorLike) -> Tensor:
    """Return x * sigmoid(x)."""
    return as_tensor(x) * e.sigmoid(x)


def hard_sigmoid(x: TensorLike) -> Tensor:
    """Return 0.2 * x + 0.5, limited to [0, 1]."""
    return e.clip(0.2 * as_tensor(x) + 0.5, 0.0, 1.0)


def softsign(x: TensorLike) -> Tensor:
    """Return x / (1 + |x|)."""
    x = as_tensor(x)
    return x / (1 + e.abs(x))


# --- losses, one value per sample ----------------------------------------------------------------


def _probabilities(p: Tensor) -> Tensor:
    return e.clip(p, EPSILON, 1 - EPSILON)


def binary_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False
) -> Tensor:
    """Return the elementwise cross entropy of targets in [0, 1] and probabilities or logits."""
    y = as_tensor(target)
    if from_logits:
        x = as_tensor(output)
        return e.relu(x) - x * y + e.softplus(-e.abs(x))
    p = _probabilities(as_tensor(output))
    return -(y * e.log(p) + (1 - y) * e.log(1 - p))


def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return the cross entropy along `axis` of target distributions and outputs.

    Probabilities are normalized and clipped first; logits take the stable form.
    """
    y, x = as_tensor(target), as_tensor(output)
    if from_logits:
        return -reduction.sum(y * log_softmax(x, axis), axis)
    p = _probabilities(x / reduction.sum(x, axis, keepdims=True))
    return -reduction.sum(y * e.log(p), axis)


def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return the cross entropy of integer class labels and outputs with classes along `axis`.

    A label outside the classes is an `IndexOutOfRange` when the function runs.
    """
    labels, x = cast_to(as_tensor(target), int64), as_tensor(output)
    axis = normalize_axis(axis, x.ndim)
    if labels.ndim != x.ndim - 1:
        raise ShapeError(f"expected labels of {x.ndim - 1} axes for {x.type}, found {labels.type}")
    logs = log_softmax(x, axis) if from_logits else e.log(_probabilities(x))
    picked = indexing.take_along_axis(logs, movement.expand_dims(labels, axis), axis)
    return -movement.squeeze(picked, axis)


def mean_squared_error(target: TensorLike, output: TensorLike, axis: Any = -1) -> Tensor:
    """Return the mean of squared differences over `axis`."""
    return reduction.mean(e.square(as_tensor(output) - target), axis)


def mean_absolute_error(target: TensorLike, output: TensorLike, axis: Any = -1) -> Tensor:
    """Return the mean of absolute differences over `axis`."""
    return reduction.mean(e.abs(as_tensor(output) - target), axis)


def huber(target: TensorLike, output: TensorLike, delta: float = 1.0) -> Tensor:
    """Return the elementwise Huber loss: quadratic up to `delta`, linear beyond."""
    size = e.abs(as_tensor(output) - target)
    return logic.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))


# --- normalization -------------------------------------------------------------------------------


def l2_normalize(x: TensorLike, axis: Any = -1, epsilon: float = 1e-12) -> Tensor:
    """Return `x` divided by its Euclidean norm along `axis`."""
    x = as_tensor(x)
    total = reduction.sum(e.square(x), axis, keepdims=True)
    return x * e.rsqrt(e.maximum(total, epsilon))


def layer_norm(
    x: TensorLike,
    scale: TensorLike = 1.0,
    shift: TensorLike = 0.0,
    axis: Any = -1,
    epsilon: float = 1e-5,
) -> Tensor:
    """Return `x` with mean 0 and variance 1 along `axis`, then scaled and shifted."""
    x = as_tensor(x)
    center = x - reduction.mean(x, axis, keepdims=True)
    variance = reduction.mean(e.square(center), axis, keepdims=True)
    return center * e.rsqrt(variance + epsilon) * scale + shift


def accuracy(target: TensorLike, output: TensorLike, axis: int = -1) -> Tensor:
    """Return the share of integer labels that are the argmax of `output` along `axis`."""
    found = reduction.argmax(output, axis)
    return reduction.mean(cast_to(logic.equal(found, cast_to(as_tensor(target), int64)),
                                  as_tensor(output).dtype))  # fmt: skip
