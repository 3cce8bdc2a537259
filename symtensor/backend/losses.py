"""Losses; the order of arguments is that of Keras 2: target, output."""

from __future__ import annotations

from typing import Any

import symtensor as st
from symtensor.backend.configuration import epsilon as fuzz
from symtensor.backend.tensors import as_tensor


def _clipped(p: st.Tensor) -> st.Tensor:
    return st.clip(p, fuzz(), 1 - fuzz())


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> st.Tensor:
    """Return the cross entropy along `axis`; probabilities are normalized, then clipped."""
    x = as_tensor(output)
    y = st.cast(as_tensor(target), x.dtype)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"categorical_crossentropy: there is no axis {axis} in {x.type}")
    if from_logits:
        return st.categorical_crossentropy(y, x, True, axis)
    p = _clipped(x / st.sum(x, axis, keepdims=True))
    return -st.sum(y * st.log(p), axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> st.Tensor:
    """Return the cross entropy of class numbers; probabilities are clipped, then normalized."""
    x = as_tensor(output)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"sparse_categorical_crossentropy: there is no axis {axis} in {x.type}")
    logits = x if from_logits else st.log(_clipped(x))
    logits = st.moveaxis(logits, axis, -1)
    labels = st.reshape(st.cast(as_tensor(target), "int64"), logits.shape[:-1])
    return st.sparse_categorical_crossentropy(labels, logits, True)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> st.Tensor:
    """Return the elementwise cross entropy; probabilities are clipped."""
    x = as_tensor(output)
    y = st.cast(as_tensor(target), x.dtype)
    if from_logits:
        return st.binary_crossentropy(y, x, True)
    p = _clipped(x)
    return -(y * st.log(p + fuzz()) + (1 - y) * st.log(1 - p + fuzz()))


def in_top_k(predictions: Any, targets: Any, k: int) -> st.Tensor:
    """Return where the target class is among the k largest predictions, as bool."""
    x = as_tensor(predictions)
    labels = st.expand_dims(st.cast(as_tensor(targets), "int64"), -1)
    score = st.take_along_axis(x, labels, -1)
    return st.sum(st.cast(x > score, "int64"), -1) < k
