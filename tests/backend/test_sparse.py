"""Sparse matrices against scipy.sparse."""

import numpy as np
import pytest
import scipy.sparse as sp

from symtensor import backend as K
from symtensor import config

RNG = np.random.default_rng(9)


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


def matrix(rows, columns, kind=sp.csr_matrix):
    dense = RNG.normal(size=(rows, columns)) * (RNG.random((rows, columns)) < 0.3)
    return kind(dense.astype("f4"))


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix])
def test_variables_are_sparse_and_evaluate_dense(kind):
    a = matrix(5, 7, kind)
    x = K.variable(a)
    assert K.is_sparse(x) and not K.is_sparse(K.to_dense(x)) and not K.is_sparse(K.variable([1.0]))
    assert K.is_tensor(x) and K.int_shape(x) == (5, 7) and K.dtype(x) == "float32"
    np.testing.assert_array_equal(K.eval(x), a.toarray())
    np.testing.assert_array_equal(K.eval(K.to_dense(x)), a.toarray())
    np.testing.assert_array_equal(K.get_value(x), a.toarray())


@pytest.mark.parametrize("shape", [(5, 7), (None, 7), (None, None)])
def test_products_with_dense_matrices(shape):
    x, w = K.placeholder(shape, sparse=True), K.placeholder((7, 3))
    assert K.is_sparse(x) and K.is_placeholder(x) and K.int_shape(x) == shape
    product = K.dot(x, w)
    (slope,) = K.gradients(K.sum(K.square(product)), [w])
    run = K.function([x, w], [product, slope, x])
    rows = [5] if shape[0] else [5, 1, 0, 12]
    for count in rows:
        a, b = matrix(count, 7), RNG.normal(size=(7, 3)).astype("f4")
        found, gradient, dense = run([a, b])
        np.testing.assert_allclose(found, a @ b, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradient, 2 * a.T @ (a @ b), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(dense, a.toarray())


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_joining(axis):
    a = [matrix(4, 4), matrix(4, 4), matrix(4, 4)]
    x = K.placeholder((None, None), sparse=True)
    joined = K.concatenate([x, *map(K.variable, a[1:])], axis=axis)
    assert K.is_sparse(joined)
    wanted = (sp.vstack if axis == 0 else sp.hstack)(a).toarray()
    run = K.function([x], [joined, K.dot(joined, K.variable(np.eye(wanted.shape[1])))])
    for found in run([a[0]]):
        np.testing.assert_array_equal(found, wanted)
    mixed = K.concatenate([K.variable(a[0]), K.variable(a[1].toarray())], axis=axis)
    assert not K.is_sparse(mixed)
    np.testing.assert_array_equal(
        K.eval(mixed), np.concatenate([a[0].toarray(), a[1].toarray()], axis)
    )


def test_other_functions_see_the_dense_value():
    a = matrix(4, 6)
    x = K.placeholder((4, 6), sparse=True)
    found = K.function([x], [K.sum(K.square(x), axis=1)])([a])[0]
    np.testing.assert_allclose(found, (a.toarray() ** 2).sum(1), rtol=1e-6)
    np.testing.assert_allclose(K.function([x], [x + 1.0])([a.toarray()])[0], a.toarray() + 1)


def test_wrong_sparse_inputs_are_refused():
    x = K.placeholder((None, 6), sparse=True)
    run = K.function([x], [K.dot(x, K.variable(np.eye(6)))])
    with pytest.raises(ValueError, match=r"\(None, 6\).*\(4, 5\)"):
        run([matrix(4, 5)])
    with pytest.raises(ValueError, match="2 axes"):
        run([np.zeros(3)])
    with pytest.raises(ValueError, match="expected 1 inputs, found 2"):
        run([matrix(4, 6), matrix(4, 6)])
    with pytest.raises(ValueError, match="2 axes"):
        K.placeholder((2, 3, 4), sparse=True)
    assert run([matrix(4, 6)])[0].shape == (4, 6)


def test_labels_of_ctc_as_a_sparse_matrix():
    labels = np.array([[3, 1, -1], [2, 2, 5], [-1, -1, -1]])
    lengths = np.array([[2], [3], [0]])
    x, n = K.placeholder((None, 3), dtype="int32"), K.placeholder((None, 1), dtype="int32")
    out = K.ctc_label_dense_to_sparse(x, n)
    assert K.is_sparse(out)
    dense, values = K.function([x, n], [out, out.values])([labels, lengths])
    assert dense.tolist() == [[3, 1, 0], [2, 2, 5], [0, 0, 0]]
    assert values.tolist() == [3, 1, 2, 2, 5]
