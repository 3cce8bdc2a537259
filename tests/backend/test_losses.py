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


SATURATED = np.array([[200.0, 0.0, -200.0], [0.0, 300.0, 5.0]], "f4")


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_softmax_is_seen_through_to_its_logits(axis, sparse):
    labels = np.array([2, 0])
    z = K.placeholder((2, 3) if axis else (3, 2))
    p = K.identity(K.softmax(z, axis))
    one_hot = np.eye(3, dtype="f4")[labels]
    loss = (
        K.sparse_categorical_crossentropy(K.constant(labels), p, axis=axis)
        if sparse
        else K.categorical_crossentropy(one_hot if axis else one_hot.T, p, axis=axis)
    )
    fed = SATURATED if axis else SATURATED.T
    found, slope = K.function([z], [loss, *K.gradients(loss, [z])])([fed])
    np.testing.assert_allclose(found, [400, 300])
    wanted = scipy.special.softmax(SATURATED, 1) - one_hot
    np.testing.assert_allclose(slope, wanted if axis else wanted.T, atol=1e-6)


def test_a_softmax_along_another_axis_is_not_the_losses():
    p = K.softmax(K.constant(SATURATED), 0)
    found = value(K.categorical_crossentropy(np.eye(3, dtype="f4")[[2, 0]], p))
    assert (found < 17).all()


def test_a_sigmoid_is_seen_through_to_its_logits():
    z = K.placeholder((3,))
    loss = K.binary_crossentropy([1.0, 0.0, 1.0], K.sigmoid(z))
    found, slope = K.function([z], [loss, *K.gradients(loss, [z])])([[-200, 300, 0]])
    np.testing.assert_allclose(found, [200, 300, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(slope, [-1, 1, -0.5], rtol=1e-6)


def test_top_k_as_tensorflow_counts():
    """Ties share the better rank; targets outside and predictions not finite are misses."""
    p = np.array([[1, 3, 3], [1, 2, 3], [1, 2, 3], [1, np.nan, 0], [1, 2, np.inf], [2, 1, 0]], "f4")
    found = value(K.in_top_k(p, np.array([2, 0, 3, 0, 0, -1]), 1))
    assert found.tolist() == [True, False, False, False, False, False]
    assert value(K.in_top_k(p[:2], np.array([0, 1]), 2)).tolist() == [False, True]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="targets of the shape"):
        K.categorical_crossentropy(K.constant(LABELS), K.constant(P))
    with pytest.raises(ValueError, match="in_top_k: expected"):
        K.in_top_k(K.constant(P), K.constant(ONE_HOT), 1)


def test_an_axis_out_of_range_is_refused():
    with pytest.raises(ValueError, match="axis"):
        K.categorical_crossentropy(K.constant(ONE_HOT), K.constant(P), axis=5)
