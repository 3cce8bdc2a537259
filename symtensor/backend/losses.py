"""Losses; the order of arguments is that of Keras 2: target, output.

Probabilities that come straight from `softmax` or `sigmoid` are not clipped: as in TensorFlow the loss
is computed from the logits behind them, which stays exact and keeps a slope where they saturate.
"""

from __future__ import annotations

from typing import Any

import symtensor as st
from symtensor.backend.configuration import epsilon as fuzz
from symtensor.backend.tensors import as_tensor, logits_of
from symtensor.errors import ShapeError


def _clipped(p: st.Tensor) -> st.Tensor:
    return st.clip(p, fuzz(), 1 - fuzz())


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> st.Tensor:
    """Return the cross entropy along `axis`; probabilities are normalized, then clipped."""
    x = as_tensor(output)
    y = st.cast(as_tensor(target), x.dtype)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(
            f"categorical_crossentropy: there is no axis {axis} in {x.type}", code="ST0301"
        )
    if y.ndim != x.ndim:
        raise ShapeError(
            f"categorical_crossentropy: expected targets of the shape of {x.type}, found {y.type}"
        )
    logits = x if from_logits else logits_of(x, axis)
    if logits is not None:
        return st.categorical_crossentropy(y, logits, True, axis)
    p = _clipped(x / st.sum(x, axis, keepdims=True))
    return -st.sum(y * st.log(p), axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> st.Tensor:
    """Return the cross entropy of class numbers; probabilities are clipped, then normalized.

    `target` has the shape of `output` without `axis`, or with a size of 1 there.
    """
    x = as_tensor(output)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(
            f"sparse_categorical_crossentropy: there is no axis {axis} in {x.type}", code="ST0301"
        )
    logits = x if from_logits else logits_of(x, axis)
    logits = st.log(_clipped(x)) if logits is None else logits
    logits = st.moveaxis(logits, axis, -1)
    labels = st.reshape(st.cast(as_tensor(target), "int64"), logits.shape[:-1])
    return st.sparse_categorical_crossentropy(labels, logits, True)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> st.Tensor:
    """Return the elementwise cross entropy; probabilities are clipped."""
    x = as_tensor(output)
    y = st.cast(as_tensor(target), x.dtype)
    logits = x if from_logits else _behind_sigmoid(x)
    if logits is not None:
        return st.binary_crossentropy(y, logits, True)
    p = _clipped(x)
    return -(y * st.log(p + fuzz()) + (1 - y) * st.log(1 - p + fuzz()))


def _behind_sigmoid(x: st.Tensor) -> st.Tensor | None:
    return st.Tensor(x.node.inputs[0]) if x.op.name == "sigmoid" else None


def in_top_k(predictions: Any, targets: Any, k: int) -> st.Tensor:
    """Return where the target class is among the k largest predictions, as bool.

    Equal predictions share the better rank. False for a target outside the classes and for samples
    with a prediction that is not finite.
    """
    x = as_tensor(predictions)
    labels = st.cast(as_tensor(targets), "int64")
    if x.ndim != 2 or labels.ndim != 1:
        raise ShapeError(
            "in_top_k: expected predictions (samples, classes) and targets (samples,), found "
            f"{x.type} and {labels.type}"
        )
    hits = st.equal(st.expand_dims(labels, -1), st.arange(x.shape[1]))
    score = st.sum(st.where(hits, x, 0), -1, keepdims=True)
    certain = st.logical_and(st.any(hits, -1), st.all(st.isfinite(x), -1))
    return st.logical_and(certain, st.sum(st.cast(x > score, "int64"), -1) < k)
