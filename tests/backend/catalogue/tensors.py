"""Tables B and C: making tensors and asking about them."""

import numpy as np
import pytest
import scipy.sparse

from symtensor import backend as K

from .sample import BOOLS, INTS, A, fact, sample

# fmt: off

SPARSE = scipy.sparse.csr_matrix(np.where(BOOLS, A, 0))

sample("zeros_like", np.zeros_like, A, dtype="float64", gives="float64", slopes=False)
sample("zeros_like", lambda x: np.zeros(x.shape), INTS, gives="float32", note="ints, in floatx")
sample("ones_like", lambda x: np.ones(x.shape), INTS, gives="float32")
sample("ones_like", lambda x: np.ones(x.shape, bool), A, dtype="bool", gives="bool", note="bools")
sample("cast", lambda x: x.astype("f8"), INTS, dtype="float64", gives="float64")
sample("cast", lambda x: x.astype("i4"), A * 3, dtype="int32", gives="int32", note="toward 0")
sample("cast", lambda x: x != 0, INTS, dtype="bool", gives="bool", note="to bool")
sample("cast", lambda x, y: x * 1.0, BOOLS, A, note="to a tensor's dtype", slopes=False,
       build=lambda x, y: K.cast(x, y.dtype))
sample("cast", lambda x: x, A, note="keeps gradients",
       build=lambda x: K.cast(K.cast(x, "float64"), x.dtype))
sample("identity", lambda x: x, A)
sample("to_dense", lambda x: x, A)
sample("shape", lambda x: np.array([3, 4]), A, gives="int32")
sample("shape", lambda x: np.array([]), np.array(2.0), gives="int32", note="of a scalar")
sample("size", lambda x: np.array(12), A, gives="int32")
sample("pattern_broadcast", lambda x: x, A[:, :1], broadcastable=(False, True))


@fact("variable", "is_variable")
def variables_hold_values():
    given = np.arange(3)
    x = K.variable(given, name="three", constraint=abs)
    given[0] = 9
    assert K.is_variable(x) and x.constraint is abs and x.trainable and "three" in x.name
    assert K.dtype(x) == "float32" and x._keras_shape == (3,) and x._uses_learning_phase is False
    assert K.get_value(x).tolist() == [0, 1, 2]
    for kind in ("int16", "bool", "float64", "int64"):
        assert K.dtype(K.variable([1, 0], dtype=kind)) == kind
    assert not K.is_variable(K.placeholder((2,))) and not K.is_variable(x * 1)


@fact("constant")
def constants_fill_and_reshape():
    run = K.function([], [K.constant([1, 2, 3, 4], shape=(2, 2)), K.constant(7, shape=(2,)),
                          K.constant([True, False]), K.constant(np.ones((2, 1)), "int32")])
    found = run([])
    assert found[0].tolist() == [[1, 2], [3, 4]] and found[1].tolist() == [7, 7]
    assert [x.dtype for x in found] == ["float32", "float32", "float32", "int32"]
    assert K.int_shape(K.constant(7, shape=(2, 3))) == (2, 3)
    with pytest.raises(ValueError):
        K.constant([1, 2, 3], shape=(2, 2))


@fact("placeholder", "is_placeholder")
def placeholders_have_shapes():
    x, y, z = K.placeholder((None, 3), 5), K.placeholder(ndim=2, dtype="int32"), K.placeholder(())
    assert [K.int_shape(v) for v in (x, y, z)] == [(None, 3), (None, None), ()]
    assert [K.dtype(v) for v in (x, y, z)] == ["float32", "int32", "float32"]
    assert x._keras_shape == (None, 3) and x._uses_learning_phase is False
    assert K.is_placeholder(x) and not K.is_placeholder(x * 1)
    assert not K.is_placeholder(K.variable(1.0))
    with pytest.raises(ValueError, match="ragged"):
        K.placeholder((None,), ragged=True)


@fact("placeholder", "is_sparse", "to_dense", "dot", "concatenate", "eval", "variable")
def sparse_matrices_are_taken():
    x, w = K.placeholder((None, 4), sparse=True), K.variable(np.ones((4, 2)))
    assert K.is_sparse(x) and K.is_placeholder(x) and K.is_sparse(K.variable(SPARSE))
    assert not K.is_sparse(K.to_dense(x)) and not K.is_sparse(w)
    both = K.concatenate([x, K.variable(SPARSE)], axis=0)
    assert K.is_sparse(both)
    product = K.dot(x, w)
    run = K.function([x], [K.to_dense(x), product, both, *K.gradients(K.sum(product), [w])])
    dense, found, joined, slope = run([SPARSE])
    np.testing.assert_allclose(dense, SPARSE.toarray(), rtol=1e-6)
    np.testing.assert_allclose(found, SPARSE @ np.ones((4, 2)), rtol=1e-5)
    np.testing.assert_allclose(joined, scipy.sparse.vstack([SPARSE, SPARSE]).toarray(), rtol=1e-6)
    np.testing.assert_allclose(slope, np.repeat(SPARSE.sum(0).T, 2, 1), rtol=1e-5)
    np.testing.assert_allclose(K.eval(K.variable(SPARSE)), SPARSE.toarray(), rtol=1e-6)


@fact("is_tensor", "is_keras_tensor")
def tensors_are_told_from_values():
    x = K.placeholder((2,))
    for tensor in (x, K.variable(1.0), K.constant(1.0), x + 1):
        assert K.is_tensor(tensor) and not K.is_keras_tensor(tensor)
    for value in (np.ones(2), 1.0, [x]):
        assert not K.is_tensor(value)
        with pytest.raises(ValueError):
            K.is_keras_tensor(value)
    x._keras_history = ()
    assert K.is_keras_tensor(x)


@fact("zeros", "ones", "eye")
def filled_variables():
    for made, true in [(K.zeros((2, 3)), np.zeros((2, 3))), (K.ones([2]), np.ones(2)),
                       (K.zeros(1), np.zeros(1)), (K.eye(2), np.eye(2)),
                       (K.eye((2, 3), "int32"), np.eye(2, 3)), (K.ones((), "int32"), 1)]:
        assert K.is_variable(made)
        np.testing.assert_array_equal(K.get_value(made), true)
    x = K.placeholder((None, 2))
    found = K.function([x], [K.zeros(K.shape(x)), K.ones((K.shape(x)[0], 1))])([np.ones((3, 2))])
    np.testing.assert_array_equal(found[0], np.zeros((3, 2)))
    np.testing.assert_array_equal(found[1], np.ones((3, 1)))
    assert found[0].dtype == found[1].dtype == "float32"


@fact("count_params", "int_shape", "get_variable_shape", "ndim", "dtype")
def questions_have_plain_answers():
    x = K.zeros((2, 3))
    assert K.count_params(x) == 6 and K.count_params(K.variable(1.0)) == 1
    assert K.int_shape(x) == K.get_variable_shape(x) == (2, 3)
    assert K.ndim(x) == 2 and K.dtype(x) == "float32" and K.dtype(K.greater(x, 0)) == "bool"
    assert K.int_shape(K.placeholder((None, 3)) * 2) == (None, 3)
    assert K.int_shape(np.ones((2, 1))) == (2, 1) and K.ndim(np.ones((2, 1))) == 2


@fact("eval")
def values_of_expressions():
    x = K.variable(A)
    found = K.eval(K.square(x))
    np.testing.assert_allclose(found, A.astype("f4") ** 2, rtol=1e-6)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(K.eval(K.in_train_phase(x, x * 0)), A * 0)
