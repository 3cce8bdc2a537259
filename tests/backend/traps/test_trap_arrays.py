"""Traps of Keras backends: products, reductions, elements, normalization, shapes (tables E to I)."""

import numpy as np
import pytest
from running import CUBE, A, run, value_and_slope

from symtensor import backend as K

# --- E, F: products, reductions ------------------------------------------------------------------


def test_dot_takes_the_last_axis_but_one_of_the_second():
    x, y = K.ones((2, 3)), K.ones((4, 3, 5))
    assert K.int_shape(K.dot(x, y)) == (2, 4, 5)
    x = K.placeholder((None, None, 3))
    assert K.int_shape(K.dot(x, K.ones((3, 5)))) == (None, None, 5)


@pytest.mark.parametrize(("shapes", "axes"), [
    (((32, 20), (30,)), None), (((2, 3), (2, 3)), 0), (((2, 3), (2, 3)), [1, 0]),
    (((2, 3), (4, 3)), 1), (((2, 3), (2, 4)), 1), (((2, 3), (2, 3)), [[1], [1]]),
    (((2, 3), (2, 3)), (1, 1, 1)),
])  # fmt: skip
def test_batch_dot_refuses(shapes, axes):
    with pytest.raises(ValueError):
        K.batch_dot(*map(K.placeholder, shapes), axes)


@pytest.mark.parametrize(("left", "right", "axes", "shape"), [
    ((32, 20, 1), (32, 30, 20), [1, 2], (32, 1, 30)), ((32, 20), (32, 20), 1, (32, 1)),
    ((32, 20), (32, 20, 7), None, (32, 7)), ((2, 3, 4), (2, 4), None, (2, 3)),
    ((None, 3, 4), (None, 4, 5), None, (None, 3, 5)), ((2, 3, 4), (2, 5, 4), -1, (2, 3, 5)),
    ((4, 2, 3, 5), (4, 3, 6, 7), [2, 1], (4, 2, 5, 6, 7)),
])  # fmt: skip
def test_batch_dot_has_the_shape(left, right, axes, shape):
    assert K.int_shape(K.batch_dot(K.placeholder(left), K.placeholder(right), axes)) == shape


def test_transpose_reverses_all_axes():
    assert K.int_shape(K.transpose(K.placeholder((2, None, 4)))) == (4, None, 2)


def test_gather_takes_indices_of_any_rank():
    i = K.placeholder((None, 7), dtype="int32")
    assert K.int_shape(K.gather(K.zeros((10, 4, 5)), i)) == (None, 7, 4, 5)


def test_equal_maxima_share_the_gradient():
    assert value_and_slope(K.max, [3, 1, 3])[1].tolist() == [0.5, 0, 0.5]
    assert value_and_slope(K.min, [3, 1, 1])[1].tolist() == [0, 0.5, 0.5]


def test_bools_are_summed_after_a_cast():
    assert run(lambda x: K.sum(K.cast(x, "int32")), A > 0) == (A > 0).sum()


def test_prod_takes_a_list_of_scalars():
    x = K.placeholder((None, 3, 4))
    size = K.prod([K.shape(x)[a] for a in (0, 2)])
    assert K.function([x], [K.cast(size, "float32")])([CUBE])[0] == 8


def test_running_sums_go_along_axis_0():
    assert run(K.cumsum, np.ones((2, 2), "f4")).tolist() == [[1, 1], [2, 2]]
    assert run(K.cumprod, np.full((2, 2), 2, "f4")).tolist() == [[2, 2], [4, 4]]


def test_a_variance_is_that_of_the_population():
    np.testing.assert_allclose(run(lambda x: K.var(x, 0), A), A.var(0), rtol=1e-5)


def test_the_mean_of_ints_is_a_float():
    found = run(K.mean, np.array([1, 2], "i4"))
    assert found == 1.5 and found.dtype == "float32"
    assert run(lambda x: K.mean(K.equal(x, 1)), np.array([1, 2, 1, 1])) == 0.75


def test_any_and_all_are_bools():
    found = run(lambda x: [K.any(x), K.all(x, axis=1), K.all(K.concatenate([x, x]))], A > 0)
    assert {str(y.dtype) for y in found} == {"bool"}


def test_argmax_is_the_first_maximum_in_int64():
    found = run(K.argmax, np.array([[1, 3, 3], [2, 2, 2]], "f4"))
    assert found.tolist() == [1, 0] and found.dtype == "int64"


def test_logsumexp_does_not_overflow():
    assert run(K.logsumexp, np.array([1000, 1000], "f4")) == np.float32(1000 + np.log(2))


# --- G, H: elements, normalization ---------------------------------------------------------------


def test_the_gradient_of_abs_at_0_is_0():
    assert value_and_slope(K.abs, [-2, 0, 3])[1].tolist() == [-1, 0, 1]


def test_roots_of_negatives_are_0():
    value, slope = value_and_slope(K.sqrt, [-1, 0, 4, np.inf])
    assert value.tolist() == [0, 0, 2, np.inf] and slope.tolist() == [0, np.inf, 0.25, 0]


def test_the_logarithm_of_0_is_infinite():
    found = run(K.log, np.array([0, -1], "f4"))
    assert found[0] == -np.inf and np.isnan(found[1])


def test_halves_are_rounded_to_even():
    assert run(K.round, np.array([0.5, 1.5, 2.5, -2.5], "f4")).tolist() == [0, 2, 2, -2]


def test_the_sign_of_0_is_0():
    assert run(K.sign, np.array([0, -0.0], "f4")).tolist() == [0, 0]


def test_a_power_may_be_a_tensor():
    t = K.cast(K.variable(3, dtype="int64"), "float32")
    np.testing.assert_allclose(K.eval(K.pow(0.9, t)), 0.9**3, rtol=1e-6)
    np.testing.assert_allclose(K.eval(K.pow(K.variable(0.9), t)), 0.9**3, rtol=1e-6)
    found = K.function([], [1.0 - K.pow(K.variable(0.9), t)])([])[0]
    np.testing.assert_allclose(found, 1 - 0.9**3, rtol=1e-5)


def test_bounds_of_clip():
    value, slope = value_and_slope(lambda x: K.clip(x, 0, 1), [-1, 0, 0.5, 1, 2])
    assert value.tolist() == [0, 0, 0.5, 1, 1] and slope.tolist() == [0, 1, 1, 1, 0]
    assert run(lambda x: K.clip(x, 3, 1), A).tolist() == np.full((3, 4), 3).tolist()
    assert (run(lambda x: K.clip(x, 0.25, None), A) >= 0.25).all()
    assert (run(lambda x: K.clip(x, None, 0.25), A) <= 0.25).all()
    assert run(lambda x: K.clip(x, 0, None), np.array([-3, 4], "i4")).tolist() == [0, 4]


def test_comparisons_with_numbers_and_0_d_arrays():
    x = K.placeholder((2,), dtype="int32")
    assert K.function([x], [K.equal(x, 0)])([[0, 3]])[0].tolist() == [True, False]
    smoothing = K.cast_to_floatx(0.1)
    condition = K.greater(smoothing, 0)
    assert K.is_tensor(condition)
    assert K.eval(K.switch(condition, lambda: K.constant(1.0), lambda: K.constant(2.0))) == 1


def test_ints_are_compared_with_fractions():
    found = run(lambda x: [K.greater(x, 0.5), K.maximum(x, 1.5)], np.array([0, 1, 2], "i4"))
    assert found[0].tolist() == [False, True, True] and found[1].tolist() == [1.5, 1.5, 2]


def test_unknown_sizes_take_the_known_side():
    y, target = K.placeholder((None, 10)), K.placeholder(ndim=2)
    for built in (y - target, target * y, K.square(target - y), K.equal(target, y)):
        assert K.int_shape(built) == (None, 10)
    weights = K.placeholder(ndim=1)
    assert K.ndim(K.mean(K.square(y - target), axis=-1) * weights) == 1


def test_batch_statistics_have_no_reduced_axes():
    x = K.placeholder((None, 5, 6, 3))
    normed, mean, variance = K.normalize_batch_in_training(x, None, None, [0, 1, 2])
    assert K.int_shape(normed) == (None, 5, 6, 3)
    assert K.int_shape(mean) == K.int_shape(variance) == (3,)
    _, mean, _ = K.normalize_batch_in_training(x, K.ones((5,)), K.zeros((5,)), [0, 2, 3])
    assert K.int_shape(mean) == (5,)


def test_epsilon_stands_under_the_root():
    found = K.eval(K.batch_normalization(K.constant([1.0]), 0.0, 0.0, None, None))
    np.testing.assert_allclose(found, [1e-3**-0.5], rtol=1e-5)


def test_beta_comes_before_gamma():
    x = K.constant([[1.0]])
    zero, one = K.constant([0.0]), K.constant([1.0 - 1e-3])
    beta, gamma = K.constant([10.0]), K.constant([2.0])
    np.testing.assert_allclose(K.eval(K.batch_normalization(x, zero, one, beta, gamma)), [[12]])


def test_a_vector_of_zeros_is_normalized_to_zeros():
    assert run(K.l2_normalize, np.zeros(3, "f4")).tolist() == [0, 0, 0]
    tiny = np.full(4, 1e-7, "f4")  # its squares sum up to less than TensorFlow's 1e-12
    np.testing.assert_allclose(run(K.l2_normalize, tiny), np.full(4, 0.1), rtol=1e-5)


# --- I: shapes -----------------------------------------------------------------------------------


def test_reshape_leaves_unknown_sizes_open():
    x = K.placeholder((None, 6))
    assert K.int_shape(K.reshape(x, (-1, 2, 3))) == (None, 2, 3)
    assert K.int_shape(K.reshape(x, (K.shape(x)[0], 3, 2))) == (None, 3, 2)


def test_images_are_not_shifted_by_half_a_pixel():
    x = np.arange(4, dtype="f4").reshape(1, 1, 4, 1)
    found = run(lambda a: K.resize_images(a, 1, 2, "channels_last", "bilinear"), x)
    assert found.ravel().tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]


@pytest.mark.parametrize(
    ("layout", "how"), [("channels_middle", "nearest"), ("channels_last", "cubic")]
)
def test_resizing_refuses(layout, how):
    with pytest.raises(ValueError):
        K.resize_images(K.placeholder((1, 2, 2, 1)), 2, 2, layout, how)
    with pytest.raises(ValueError):
        K.resize_volumes(K.placeholder((1, 2, 2, 2, 1)), 2, 2, 2, "channels_middle")


def test_repeated_elements_have_a_keras_shape():
    y = K.repeat_elements(K.placeholder((None, 3, 4)), 2, axis=2)
    assert y._keras_shape == K.int_shape(y) == (None, 3, 8)
    x = K.placeholder((None, None))
    assert K.repeat_elements(x, 3, axis=1)._keras_shape == (None, None)


def test_repeat_is_for_matrices():
    assert K.int_shape(K.repeat(K.placeholder((None, 4)), 3)) == (None, 3, 4)
    with pytest.raises((ValueError, AssertionError)):
        K.repeat(K.placeholder((2, 3, 4)), 3)


def test_arange_of_a_negative_bound_is_empty():
    found = K.eval(K.arange(-5))
    assert found.shape == (0,) and found.dtype == "int32"
    assert K.dtype(K.arange(0, 1, 0.5, dtype="float32")) == "float32"


def test_arange_of_a_symbolic_bound():
    x = K.placeholder((None, 2))
    found = K.function([x], [K.arange(K.shape(x)[0]), K.arange(1, K.shape(x)[0] + 1)])([A[:, :2]])
    assert [y.tolist() for y in found] == [[0, 1, 2], [1, 2, 3]]


def test_tile_counts_from_the_last_axis():
    assert run(lambda x: K.tile(x, 2), CUBE).shape == (2, 3, 8)
    assert run(lambda x: K.tile(x, (2, 1)), CUBE).shape == (2, 6, 4)
    assert run(lambda x: K.tile(x, K.constant([1, 2, 1], dtype="int32")), CUBE).shape == (2, 6, 4)


def test_expand_dims_appends():
    assert K.int_shape(K.expand_dims(K.placeholder((None, 3)))) == (None, 3, 1)
    assert K.int_shape(K.expand_dims(K.placeholder((None, 3)), -2)) == (None, 1, 3)


def test_stacks_take_numbers():
    x = K.placeholder((None, 3))
    assert K.function([x], [K.stack([1, K.shape(x)[0]])])([A[:, :3]])[0].tolist() == [1, 3]


def test_indices_outside_are_rows_of_zeros():
    found = run(lambda i: K.one_hot(i, 2), np.array([0, 2, -1], "i4"))
    assert found.tolist() == [[1, 0], [0, 0], [0, 0]] and found.dtype == "float32"


def test_reverse_takes_ints_and_lists():
    np.testing.assert_array_equal(run(lambda x: K.reverse(x, -1), A), A[:, ::-1])
    np.testing.assert_array_equal(run(lambda x: K.reverse(x, (0, -1)), A), A[::-1, ::-1])


def test_slices_have_the_rank_of_the_tensor():
    np.testing.assert_array_equal(run(lambda x: K.slice(x, [1, 0], [-1, 2]), A), A[1:, :2])
    with pytest.raises(ValueError):
        K.slice(K.placeholder((3, 4)), [0], [1])


def test_bools_and_ints_are_concatenated():
    assert run(lambda x: K.all(K.concatenate([x, x], axis=0), axis=-1), A > 9).dtype == "bool"
