"""Functions composed of ops: softmax, activations, losses, normalization.

They have no records of their own, so gradients, fusion and every engine come by themselves. All are
written to stay finite where the result is: large logits, probabilities of 0 and 1, masked classes
of logit -inf. Integer operands count as float64; targets are cast to the dtype of the outputs.
"""

from __future__ import annotations

import math
from typing import Any

from symtensor.errors import ShapeError
from symtensor.ir.dtypes import float32, int64
from symtensor.ir.tensor import Tensor
from symtensor.ops import elementwise as e
from symtensor.ops import indexing, logic, movement, reduction, selection, statistics
from symtensor.ops.attributes import as_flag
from symtensor.ops.build import TensorLike, as_tensor, cast_to, is_weak, normalize_axis
from symtensor.ops.effects import stop_gradient
from symtensor.ops.special import erf, erfc
from symtensor.ops.statistics import as_float

EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm, as Keras does."""


def _shifted(x: Tensor, axis: Any) -> Tensor:
    """Return `x` less its maximum, which has no influence on a softmax and so no gradient."""
    return e.subtract(x, stop_gradient(reduction.max(x, axis, keepdims=True)))


def softmax(x: TensorLike, axis: Any = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) along `axis`, without overflow.

    A lane of only -inf, or with +inf, gives NaN. The sum, from 1 up to the number of terms, is divided by
    once per lane: a division per element would cost as much as the exponential.
    """
    z = e.exp(_shifted(as_float(x), axis))
    return e.multiply(z, e.reciprocal(reduction.sum(z, axis, keepdims=True)))


def log_softmax(x: TensorLike, axis: Any = -1) -> Tensor:
    """Return log(softmax(x)) along `axis`, finite where softmax underflows."""
    shifted = _shifted(as_float(x), axis)
    return e.subtract(shifted, e.log(reduction.sum(e.exp(shifted), axis, keepdims=True)))


# --- activations ---------------------------------------------------------------------------------


def leaky_relu(x: TensorLike, alpha: float = 0.01) -> Tensor:
    """Return x above 0 and alpha * x elsewhere."""
    x = as_float(x)
    return logic.where(x > 0, x, alpha * x)


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x above 0 and alpha * (exp(x) - 1) elsewhere."""
    x = as_float(x)
    above = x > 0
    return logic.where(above, x, alpha * e.expm1(logic.where(above, 0, x)))


def selu(x: TensorLike) -> Tensor:
    """Return the self-normalizing ELU (Klambauer et al., 2017)."""
    return e.multiply(1.0507009873554805, elu(x, 1.6732632423543772))


def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """Return x times the normal distribution function of x, or its tanh approximation.

    (1 + tanh(u)) / 2 is sigmoid(2 u) and (1 + erf(u)) / 2 is erfc(-u) / 2, which lose no digits far below 0.
    In single precision the latter would take ten times as long; so there small results are off by 2e-7.
    """
    x = as_float(x)
    if as_flag(approximate, "approximate"):
        return e.multiply(x, e.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x)))
    u = x * math.sqrt(0.5)  # a quotient would take as long as six products
    return e.multiply(0.5 * x, 1 + erf(u) if x.dtype is float32 else erfc(-u))


def silu(x: TensorLike) -> Tensor:
    """Return x * sigmoid(x)."""
    x = as_float(x)
    return e.multiply(x, e.sigmoid(x))


def hard_sigmoid(x: TensorLike) -> Tensor:
    """Return 0.2 * x + 0.5, limited to [0, 1]."""
    return selection.clip(0.2 * as_float(x) + 0.5, 0.0, 1.0)


def softsign(x: TensorLike) -> Tensor:
    """Return `x / (1 + |x|)`."""
    x = as_float(x)
    return e.divide(x, 1 + e.abs(x))


# --- losses, one value per sample ----------------------------------------------------------------


def _target_and_output(target: TensorLike, output: TensorLike) -> tuple[Tensor, Tensor]:
    x = as_float(output)
    return cast_to(as_tensor(target, x.dtype), x.dtype), x


def _probabilities(p: Tensor) -> Tensor:
    return selection.clip(p, EPSILON, 1 - EPSILON)


def binary_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False
) -> Tensor:
    """Return the elementwise cross entropy of targets in [0, 1] and probabilities or logits."""
    y, x = _target_and_output(target, output)
    if as_flag(from_logits, "from_logits"):
        above = x >= 0  # not relu and abs: their derivatives at 0 are not those of this sum
        return logic.where(above, x, 0) - x * y + e.softplus(logic.where(above, -x, x))
    p = _probabilities(x)
    return -(y * e.log(p) + (1 - y) * e.log(1 - p))


def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return the cross entropy along `axis` of target distributions and outputs.

    Probabilities are normalized and clipped first; logits take the stable form, and a class of
    target 0 may have the logit -inf.
    """
    y, x = _target_and_output(target, output)
    if as_flag(from_logits, "from_logits"):
        return -reduction.sum(e.masked_multiply(y, log_softmax(x, axis)), axis)
    p = _probabilities(x / reduction.sum(x, axis, keepdims=True))
    return -reduction.sum(y * e.log(p), axis)


def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return the cross entropy of integer class labels and outputs with classes along `axis`.

    `target` has the shape of `output` without `axis`. Probabilities are clipped first. A label
    outside the classes is an `IndexOutOfRange` when the function runs.
    """
    labels, x = cast_to(as_tensor(target), int64), as_float(output)
    axis = normalize_axis(axis, x.ndim)
    if labels.ndim != x.ndim - 1:
        raise ShapeError(
            f"expected labels of {x.ndim - 1} axes for {x.type}, found {labels.type}", code="ST0106"
        )
    flag = as_flag(from_logits, "from_logits")
    logs = log_softmax(x, axis) if flag else e.log(_probabilities(x))
    picked = indexing.take_along_axis(logs, movement.expand_dims(labels, axis), axis)
    return -movement.squeeze(picked, axis)


def mean_squared_error(target: TensorLike, output: TensorLike, axis: Any = -1) -> Tensor:
    """Return the mean of squared differences over `axis`."""
    y, x = _target_and_output(target, output)
    return statistics.mean(e.square(x - y), axis)


def mean_absolute_error(target: TensorLike, output: TensorLike, axis: Any = -1) -> Tensor:
    """Return the mean of absolute differences over `axis`."""
    y, x = _target_and_output(target, output)
    return statistics.mean(e.abs(x - y), axis)


def huber(target: TensorLike, output: TensorLike, delta: float = 1.0) -> Tensor:
    """Return the elementwise Huber loss: quadratic up to `delta`, linear beyond."""
    y, x = _target_and_output(target, output)
    edge: Any = delta if is_weak(delta) else as_tensor(delta)
    size = e.abs(x - y)
    return logic.where(size <= edge, 0.5 * size * size, edge * (size - 0.5 * edge))


def accuracy(target: TensorLike, output: TensorLike, axis: int = -1) -> Tensor:
    """Return the share of integer labels that are the argmax of `output` along `axis`."""
    x, labels = as_float(output), as_tensor(target)
    if labels.ndim != x.ndim - 1:
        raise ShapeError(
            f"expected labels of {x.ndim - 1} axes for {x.type}, found {labels.type}", code="ST0106"
        )
    hits = logic.equal(reduction.argmax(x, axis), cast_to(labels, int64))
    return statistics.mean(cast_to(hits, x.dtype))


# --- normalization -------------------------------------------------------------------------------


def l2_normalize(x: TensorLike, axis: Any = -1, epsilon: float = 1e-12) -> Tensor:
    """Return `x` divided by its Euclidean norm along `axis`; `epsilon` bounds the squared norm."""
    x = as_float(x)
    total = reduction.sum(e.square(x), axis, keepdims=True)
    return e.multiply(x, e.rsqrt(selection.maximum(total, epsilon)))


def moments(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """Return mean and variance over `axis`."""
    x = as_float(x)
    return (
        statistics.mean(x, axis, keepdims=keepdims),
        statistics.var(x, axis, keepdims=keepdims),
    )


def layer_norm(
    x: TensorLike,
    scale: TensorLike = 1.0,
    shift: TensorLike = 0.0,
    axis: Any = -1,
    epsilon: float = 1e-5,
) -> Tensor:
    """Return `x` with mean 0 and variance 1 along `axis`, then scaled and shifted."""
    x = as_float(x)
    mean, variance = moments(x, axis, keepdims=True)
    return e.add((x - mean) * e.rsqrt(variance + epsilon) * scale, shift)


def batch_norm(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    scale: TensorLike = 1.0,
    shift: TensorLike = 0.0,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + epsilon) * scale + shift``.

    The statistics (see `moments`), scale and shift are vectors along `axis`, or numbers.
    """
    x = as_float(x)
    own = normalize_axis(axis, x.ndim)
    others = tuple(a for a in range(x.ndim) if a != own)

    def along_axis(value: TensorLike) -> Tensor:
        vector = cast_to(as_tensor(value, x.dtype), x.dtype)
        return movement.expand_dims(vector, others) if vector.ndim == 1 else vector

    factor = along_axis(scale) * e.rsqrt(along_axis(variance) + epsilon)
    return e.add((x - along_axis(mean)) * factor, along_axis(shift))


__all__ = [
    "accuracy", "batch_norm", "binary_crossentropy", "categorical_crossentropy", "elu", "gelu",
    "hard_sigmoid", "huber", "l2_normalize", "layer_norm", "leaky_relu", "log_softmax",
    "mean_absolute_error", "mean_squared_error", "moments", "selu", "silu", "softmax", "softsign",
    "sparse_categorical_crossentropy",
]  # fmt: skip
