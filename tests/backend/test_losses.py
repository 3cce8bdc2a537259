"""Losses against formulas worked out in float64."""

import numpy as np
import pytest
import scipy.special

from symtensor import backend as K

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(size=(5, 3))
P = scipy.special.softmax(LOGITS, 1)
LABELS = np.array([0, 2, 1, 1, 0])
ONE_HOT = np.eye(3)[LABELS]
LOGS = -np.log(P)[np.arange(5), LABELS]


def value(x):
    return K.eval(x)


@pytest.mark.parametrize("from_logits", [True, False])
def test_categorical(from_logits):
    x = K.constant(LOGITS if from_logits else P * 2, "float64")
    found = value(K.categorical_crossentropy(K.constant(ONE_HOT), x, from_logits))
    np.testing.assert_allclose(found, LOGS, rtol=1e-6)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("column", [True, False])
def test_sparse(from_logits, column):
    x = K.constant(LOGITS if from_logits else P, "float64")
    labels = K.constant(LABELS[:, None] if column else LABELS)
    found = value(K.sparse_categorical_crossentropy(labels, x, from_logits))
    np.testing.assert_allclose(found, LOGS, rtol=1e-6)


def test_sparse_along_another_axis():
    x = K.constant(P.T, "float64")
    found = value(K.sparse_categorical_crossentropy(K.constant(LABELS), x, axis=0))
    np.testing.assert_allclose(found, LOGS, rtol=1e-6)


@pytest.mark.parametrize("from_logits", [True, False])
def test_binary(from_logits):
    y = (LOGITS > 0.3).astype("f8")
    p = scipy.special.expit(LOGITS)
    x = K.constant(LOGITS if from_logits else p, "float64")
    found = value(K.binary_crossentropy(K.constant(y, "float64"), x, from_logits))
    np.testing.assert_allclose(found, -(y * np.log(p) + (1 - y) * np.log(1 - p)), rtol=1e-5)


def test_a_saturated_binary_loss_is_tensorflows():
    found = value(K.binary_crossentropy(K.constant([1.0]), K.constant([0.0])))
    np.testing.assert_allclose(found, [15.42495], rtol=1e-5)


def test_an_axis_out_of_range_is_refused():
    with pytest.raises(ValueError, match="axis"):
        K.categorical_crossentropy(K.constant(ONE_HOT), K.constant(P), axis=5)
