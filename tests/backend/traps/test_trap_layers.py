"""Traps of Keras backends: activations, losses, random numbers, convolution, CTC (tables K to O)."""

import numpy as np
import pytest
from running import A, run, value_and_slope

from symtensor import backend as K

# --- K, L: activations and losses ----------------------------------------------------------------


def test_relu_at_its_threshold_is_0():
    assert run(lambda x: K.relu(x, threshold=1.0), np.array([1, 1.5], "f4")).tolist() == [0, 1.5]


def test_relu_below_its_threshold_starts_there():
    assert run(lambda x: K.relu(x, 0.5, threshold=1.0), np.array([-1], "f4")).tolist() == [-1]


def test_relu_takes_a_maximum_of_0_and_0_d_arrays():
    assert not run(lambda x: K.relu(x, max_value=0.0), A).any()
    alpha = K.cast_to_floatx(0.5)
    assert run(lambda x: K.relu(x, alpha=alpha), np.array([-2], "f4")).tolist() == [-1]


def test_relu_of_infinities_and_nan():
    x = np.array([-np.inf, np.inf, np.nan], "f4")
    found = run(lambda v: [K.relu(v, max_value=6), K.relu(v, threshold=1.0)], x)
    np.testing.assert_array_equal(found, [[0, 6, np.nan], [0, np.inf, np.nan]])


def test_the_slope_at_the_maximum_of_relu_is_1():
    assert value_and_slope(lambda x: K.relu(x, max_value=1.0), [0.5, 1, 2])[1].tolist() == [1, 1, 0]


def test_softplus_and_softmax_do_not_overflow():
    x = np.array([1000, -1000], "f4")
    assert run(K.softplus, x).tolist() == [1000, 0] and run(K.softmax, x).tolist() == [1, 0]


def test_hard_sigmoid_is_flat_beyond_two_and_a_half():
    found = run(K.hard_sigmoid, np.array([-3, -2.5, 0, 2.5, 3], "f4"))
    assert found.tolist() == [0, 0, 0.5, 1, 1]


def test_the_target_comes_first():
    target, output = K.constant([[0.0, 1.0]]), K.constant([[0.25, 0.75]])
    for loss in (K.categorical_crossentropy, K.binary_crossentropy):
        np.testing.assert_allclose(K.eval(loss(target, output)).max(), -np.log(0.75), rtol=1e-5)


def test_probabilities_are_scaled_to_sum_to_1():
    found = K.eval(K.categorical_crossentropy(K.constant([[0.0, 1]]), K.constant([[2.0, 6]])))
    np.testing.assert_allclose(found, -np.log(0.75), rtol=1e-6)


def test_the_class_axis_is_gone():
    y, p = K.placeholder((None, 5, 3)), K.placeholder((None, 5, 3))
    assert K.int_shape(K.categorical_crossentropy(y, p)) == (None, 5)
    labels = K.placeholder((None, 5, 1))
    assert K.int_shape(K.sparse_categorical_crossentropy(labels, p)) == (None, 5)
    with pytest.raises(ValueError):
        K.categorical_crossentropy(y, p, axis=3)


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64", "uint8"])
def test_labels_of_any_dtype(kind):
    p = K.constant([[0.25, 0.75], [0.5, 0.5]])
    found = K.eval(K.sparse_categorical_crossentropy(K.constant([1, 0], dtype=kind), p))
    np.testing.assert_allclose(found, -np.log([0.75, 0.5]), rtol=1e-5)


def test_sparse_probabilities_are_clipped_first_and_scaled_after():
    p = np.array([[0.0, 2.0, 2.0]], "f4")
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    found = K.eval(K.sparse_categorical_crossentropy(K.constant([0]), K.constant(p)))
    np.testing.assert_allclose(found, -np.log(clipped[0, :1] / clipped.sum()), rtol=1e-5)


def test_a_saturated_binary_loss_is_that_of_tensorflow():
    found = K.eval(K.binary_crossentropy(K.constant([1.0]), K.constant([0.0])))
    np.testing.assert_allclose(found, [15.42495], rtol=1e-5)  # recorded, TensorFlow 2.21


def test_losses_see_through_softmax_and_sigmoid():
    z = K.placeholder((1, 2))
    target = K.constant([[1.0, 0.0]])
    for loss in (K.categorical_crossentropy(target, K.softmax(z)),
                 K.sparse_categorical_crossentropy(K.constant([0]), K.softmax(z)),
                 K.binary_crossentropy(target, K.sigmoid(z))[:, 0]):  # fmt: skip
        found, slope = K.function([z], [loss, *K.gradients(loss, [z])])([[[-200.0, 0.0]]])
        np.testing.assert_allclose(found, [200], rtol=1e-5)
        np.testing.assert_allclose(slope[0, 0], -1, rtol=1e-5)


def test_ties_count_among_the_top():
    p = np.array([[1, 3, 3], [1, 2, 3]], "f4")
    assert run(lambda a, i: K.in_top_k(a, i, 1), p, np.array([2, 1])).tolist() == [True, False]


# --- M: random numbers ---------------------------------------------------------------------------


def test_numbers_are_new_at_every_run():
    draw = K.function([], [K.random_normal((4,))])
    assert not np.array_equal(draw([])[0], draw([])[0])


def test_truncated_numbers_are_redrawn_and_not_clipped():
    (x,) = K.function([], [K.truncated_normal((200, 200), 0.0, 1.0, seed=3)])([])
    assert abs(x).max() <= 2 and (abs(x) == 2).mean() < 1e-3 and abs(x.std() - 0.8796) < 0.01


@pytest.mark.parametrize("level", [-0.1, 1.0, 1.5])
def test_dropout_refuses_a_level(level):
    with pytest.raises(ValueError):
        K.dropout(K.placeholder((2,)), level)


def test_dropout_asks_for_no_phase():
    x = K.placeholder((50, 50))
    y = K.dropout(x, 0.5, seed=1)
    assert not y._uses_learning_phase
    assert 0.3 < (K.function([x], [y])([np.ones((50, 50))])[0] == 0).mean() < 0.7


def test_dropout_of_one_node_has_one_mask():
    x = K.placeholder((50,))
    y = K.dropout(x, 0.5)
    a, b = K.function([x], [y + 0, y * 3])([np.ones(50)])
    np.testing.assert_array_equal(a * 3, b)


# --- N, O: convolution, CTC ----------------------------------------------------------------------


def test_kernels_are_not_flipped():
    x = np.array([1, 0, 0], "f4").reshape(1, 3, 1)
    kernel = np.array([1, 2, 3], "f4").reshape(3, 1, 1)
    assert run(lambda a, k: K.conv1d(a, k), x, kernel).tolist() == [[[1]]]


def test_the_odd_padding_goes_to_the_end():
    x, kernel = np.arange(5, dtype="f4").reshape(1, 5, 1), np.array([1, 10], "f4").reshape(2, 1, 1)
    found = run(lambda a, k: K.conv1d(a, k, padding="same"), x, kernel)
    assert found.ravel().tolist() == [10, 21, 32, 43, 4]


def test_causal_padding_is_in_front():
    x, kernel = np.arange(5, dtype="f4").reshape(1, 5, 1), np.array([1, 10], "f4").reshape(2, 1, 1)
    found = run(lambda a, k: K.conv1d(a, k, padding="causal", dilation_rate=2), x, kernel)
    assert found.ravel().tolist() == [0, 10, 20, 31, 42]
    with pytest.raises(ValueError):
        K.conv2d(K.placeholder((1, 4, 4, 1)), K.ones((2, 2, 1, 1)), padding="causal")


def test_the_batch_of_a_transposed_convolution_may_be_unknown():
    x, kernel = K.placeholder((None, 3, 3, 2)), K.ones((2, 2, 5, 2))
    for batch in (None, K.shape(x)[0]):
        y = K.conv2d_transpose(x, kernel, (batch, 6, 6, 5), (2, 2))
        assert K.int_shape(y) == (None, 6, 6, 5)
    y = K.conv2d_transpose(x, kernel, (None, K.shape(x)[1] * 2, 6, 5), (2, 2))
    assert K.function([x], [y])([np.ones((4, 3, 3, 2))])[0].shape == (4, 6, 6, 5)


def test_depthwise_channels_are_in_the_order_of_the_input():
    x = np.array([1, 10], "f4").reshape(1, 1, 1, 2)
    kernel = np.array([[1, 2], [3, 4]], "f4").reshape(1, 1, 2, 2)
    assert run(K.depthwise_conv2d, x, kernel).ravel().tolist() == [1, 2, 30, 40]


def test_means_leave_the_padding_out():
    x = np.full((1, 3, 3, 1), 4, "f4")
    found = run(lambda a: K.pool2d(a, (2, 2), (2, 2), "same", pool_mode="avg"), x)
    assert found.ravel().tolist() == [4, 4, 4, 4]
    found = run(lambda a: K.pool2d(-a, (2, 2), (2, 2), "same"), x)
    assert found.ravel().tolist() == [-4, -4, -4, -4]


@pytest.mark.parametrize("option", [
    {"pool_mode": "median"}, {"padding": "full"}, {"data_format": "channels_middle"},
])  # fmt: skip
def test_pooling_refuses(option):
    with pytest.raises(ValueError):
        K.pool2d(K.placeholder((1, 4, 4, 1)), (2, 2), **option)
    with pytest.raises(ValueError):
        K.pool3d(K.placeholder((1, 4, 4, 4, 1)), (2, 2, 2), **option)


def test_a_bias_of_another_rank_is_refused():
    with pytest.raises(ValueError):
        K.bias_add(K.placeholder((1, 4, 4, 2)), K.ones((4, 2)))
    with pytest.raises(ValueError):
        K.bias_add(K.placeholder((1, 4, 2)), K.ones((2,)), data_format="channels_middle")


def test_a_full_bias_is_reshaped_for_channels_first():
    bias = np.arange(6, dtype="f4").reshape(3, 2)
    found = run(lambda x, b: K.bias_add(x, b, "channels_first"), np.zeros((1, 2, 3), "f4"), bias)
    assert found[0].tolist() == bias.reshape(2, 3).tolist()


def test_zeros_made_anew_are_kernels():
    """ConvLSTM makes its initial state by a convolution with a new variable of zeros."""
    x = K.placeholder((None, 5, 5, 2))
    y = K.conv2d(
        K.sum(K.zeros_like(K.expand_dims(x, 1)), axis=1), K.zeros((3, 3, 2, 4)), padding="same"
    )
    assert K.int_shape(y) == (None, 5, 5, 4)


def test_labels_are_padded_with_anything():
    y = K.constant(np.full((2, 4, 3), 1 / 3))
    lengths, counts = K.constant([[4], [4]]), K.constant([[1], [1]])
    found = K.eval(K.ctc_batch_cost(K.constant([[1, -1], [1, 7]]), y, lengths, counts))
    assert found.shape == (2, 1) and found[0] == found[1]


def test_more_labels_than_steps_are_an_error():
    y, one = K.constant(np.full((1, 2, 3), 1 / 3)), K.constant([[2]])
    cost = K.function([], [K.ctc_batch_cost(K.constant([[1, 1]]), y, one, one)])
    with pytest.raises(Exception, match="time steps"):
        cost([])
