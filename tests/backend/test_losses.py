"""Losses see through softmax and sigmoid to logits; ranks count as in TensorFlow."""

import numpy as np
import pytest
import scipy.special

from symtensor import backend as K
from symtensor import config


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


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
    found = K.eval(K.categorical_crossentropy(np.eye(3, dtype="f4")[[2, 0]], p))
    assert (found < 17).all()


def test_top_k_as_tensorflow_counts():
    """Ties share the better rank; targets outside and predictions not finite are misses."""
    p = np.array([[1, 3, 3], [1, 2, 3], [1, 2, 3], [1, np.nan, 0], [1, 2, np.inf], [2, 1, 0]], "f4")
    found = K.eval(K.in_top_k(p, np.array([2, 0, 3, 0, 0, -1]), 1))
    assert found.tolist() == [True, False, False, False, False, False]
    assert K.eval(K.in_top_k(p[:2], np.array([0, 1]), 2)).tolist() == [False, True]
