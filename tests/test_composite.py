"""What the samples of composed functions can't say: gradients at kinks and extremes, refusals."""

import math

import numpy as np
import pytest

import symtensor as st


def value(tensor, feeds=None):
    return tensor.eval(feeds or {}, engine="numpy")


def derivative(build, x):
    t = st.placeholder(np.shape(x), "float64")
    return value(st.gradients(st.sum(build(t)), t), {t: np.asarray(x, dtype=float)})


def test_softmax_ignores_a_shift():
    x = np.array([0.5, 1.0, -2.0])
    t = st.placeholder((3,), "float64")
    plain, shifted = st.softmax(t), st.softmax(t + 1000)
    np.testing.assert_allclose(value(plain, {t: x}), value(shifted, {t: x}), rtol=1e-12)


def test_softmax_sums_to_one_in_half_precision():
    t = st.placeholder((2, 1000), "float16")
    total = value(st.sum(st.softmax(t), 1), {t: np.zeros((2, 1000), "float16")})
    np.testing.assert_allclose(total, [1.0, 1.0], rtol=2e-3)


@pytest.mark.parametrize("from_logits", [True, False])
def test_gradient_of_the_loss_by_logits_is_softmax_less_target(from_logits):
    x, y = np.array([[1.0, 2.0, 0.5]]), np.array([1])

    def loss(t):
        out = t if from_logits else st.softmax(t)
        return st.sparse_categorical_crossentropy(y, out, from_logits)

    softmax = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(derivative(loss, x), softmax - [[0, 1, 0]], rtol=1e-12)


def test_gradient_of_a_certain_wrong_class_is_finite():
    def loss(t):
        return st.sparse_categorical_crossentropy(np.array([1]), t, from_logits=True)

    np.testing.assert_array_equal(derivative(loss, [[1000.0, -1000.0]]), [[1.0, -1.0]])


def test_gradient_with_a_masked_class_is_finite():
    def loss(t):
        return st.categorical_crossentropy(np.array([[0.0, 1.0, 0.0]]), t, from_logits=True)

    found = derivative(loss, [[-np.inf, 0.0, 0.0]])
    np.testing.assert_allclose(found, [[0.0, -0.5, 0.5]], rtol=1e-15)


@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_binary_loss_at_logit_zero(y):
    """Zero logits are where training starts: the derivative there is sigmoid(0) - y."""
    found = derivative(lambda t: st.binary_crossentropy(y, t, from_logits=True), [0.0])
    np.testing.assert_array_equal(found, [0.5 - y])


@pytest.mark.parametrize("x", [-800.0, -40.0, 40.0, 800.0])
def test_binary_loss_of_large_logits_is_exact(x):
    t = st.placeholder((), "float64")
    y = 1.0 if x > 0 else 0.0
    loss = value(st.binary_crossentropy(y, t, from_logits=True), {t: np.array(x)})
    assert loss == pytest.approx(np.exp(-abs(x)), rel=1e-12)


@pytest.mark.parametrize(
    ("build", "expected"),
    [(st.elu, 1.0), (st.leaky_relu, 0.01), (st.silu, 0.5), (st.gelu, 0.5), (st.softsign, 1.0)],
)
def test_derivatives_at_zero(build, expected):
    np.testing.assert_allclose(derivative(build, [0.0]), [expected], rtol=1e-15)


@pytest.mark.parametrize("build", [st.elu, st.selu, st.gelu, st.silu, st.log_softmax, st.softmax])
def test_gradients_stay_finite_for_large_operands(build):
    assert np.all(np.isfinite(derivative(build, [1e4, -1e4, 0.0])))


def test_normalizing_zero_is_finite():
    assert np.all(np.isfinite(derivative(st.l2_normalize, [0.0, 0.0])))
    assert np.all(np.isfinite(derivative(st.layer_norm, [3.0, 3.0])))


def test_targets_do_not_widen_the_loss():
    x = st.placeholder((None, 3))
    labels, one_hot = st.placeholder((None,), "int64"), st.placeholder((None, 3), "float64")
    assert st.sparse_categorical_crossentropy(labels, x).dtype is st.float32
    assert st.categorical_crossentropy(one_hot, x, from_logits=True).dtype is st.float32
    assert st.binary_crossentropy(one_hot, x).dtype is st.float32
    assert st.mean_squared_error(one_hot, x).dtype is st.float32
    assert st.accuracy(labels, x).dtype is st.float32


def test_labels_of_the_wrong_rank_are_refused():
    x, labels = st.placeholder((None, 3)), st.placeholder((None, 1), "int32")
    for loss in (st.sparse_categorical_crossentropy, st.accuracy):
        with pytest.raises(st.ShapeError, match="expected labels of 1 axes"):
            loss(labels, x)


def test_batch_norm_takes_vectors_along_its_axis():
    x = st.placeholder((2, 3, 4), "float64")
    mean = np.array([1.0, 2.0, 3.0])
    out = st.batch_norm(x, mean, 1.0, axis=1, epsilon=0.0)
    a = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(value(out, {x: a}), a - mean[:, None])


def numbers(build, *points):
    """Return values and slopes in double precision."""
    x = st.placeholder((None,), "float64")
    y = build(x)
    return st.function([x], [y, st.gradients(st.sum(y), [x])[0]])(np.array(points))


def test_gelu_far_below_zero():
    """1 + erf(u) and 1 + tanh(u) would be 0 there."""
    special = pytest.importorskip("scipy.special")
    x = np.array([-3.0, -8.0, -12.0, -30.0])
    value, slope = numbers(st.gelu, *x)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(value, x * special.ndtr(x), 1e-12)
    np.testing.assert_allclose(slope, special.ndtr(x) + x * density, 1e-12)
    value, _ = numbers(lambda x: st.gelu(x, approximate=True), *x[:3])
    twice = 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    np.testing.assert_allclose(value, x[:3] * special.expit(twice[:3]), 1e-12)


def test_erfinv_beside_one():
    special = pytest.importorskip("scipy.special")
    x = np.array([1e-300, -0.3, 0.4999, 0.5001, -0.999, 1 - 1e-9, 1e-12 - 1, 1 - 1e-15])
    value, slope = numbers(st.erfinv, *x)
    exact = special.erfinv(x)
    np.testing.assert_allclose(value, exact, 2e-15)
    np.testing.assert_allclose(slope, math.sqrt(math.pi) / 2 * np.exp(exact**2), 2e-14)
    single = x.astype(np.float32)
    single = single[abs(single) < 1]
    given = st.placeholder((None,))
    found = st.function([given], st.erfinv(given))(single)
    np.testing.assert_allclose(found, special.erfinv(single.astype(np.float64)), 5e-7)
    np.testing.assert_array_equal(numbers(st.erfinv, 1, -1, 0)[0], [np.inf, -np.inf, 0])
    assert np.isnan(numbers(st.erfinv, 1.1, -2)[0]).all()


def test_slopes_whose_squares_leave_the_range():
    y, x = st.placeholder((None,)), st.placeholder((None,))
    given = [np.array([1e-30, 3e25, -4e25], "f4"), np.array([2e-30, 4e25, 3e25], "f4")]
    far = np.hypot(*(p.astype("f8") for p in given))
    found = st.function([y, x], st.gradients(st.sum(st.arctan2(y, x)), [y, x]))(*given)
    for slope, top in zip(found, (given[1], -given[0]), strict=True):
        np.testing.assert_allclose(slope, top / far / far, 1e-6)
    for build in (st.arcsinh, st.arccosh):
        slope = st.function([x], st.gradients(st.sum(build(x)), [x])[0])
        np.testing.assert_allclose(slope(np.array([3.0, 1e25], "f4"))[1], 1e-25, 1e-6)
