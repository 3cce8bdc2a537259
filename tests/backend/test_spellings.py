"""The keywords of Keras 1 beside those of today."""

import numpy as np
import pytest

from symtensor import backend as K

X = np.arange(48.0, dtype="f4").reshape(1, 3, 4, 4)
KERNEL = np.arange(24.0, dtype="f4").reshape(2, 2, 3, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            lambda: K.conv2d(X, KERNEL, border_mode="same", dim_ordering="th", image_shape=X.shape),
            lambda: K.conv2d(X, KERNEL, padding="same", data_format="channels_first"),
        ),
        (
            lambda: K.conv2d(X, KERNEL, dim_ordering="th", filter_dilation=(2, 2)),
            lambda: K.conv2d(X, KERNEL, data_format="channels_first", dilation_rate=(2, 2)),
        ),
        (
            lambda: K.pool2d(X, (2, 2), border_mode="same", dim_ordering="tf"),
            lambda: K.pool2d(X, (2, 2), padding="same", data_format="channels_last"),
        ),
        (
            lambda: K.conv1d(X[0], KERNEL[0, :, :1].repeat(4, 1), stride=2),
            lambda: K.conv1d(X[0], KERNEL[0, :, :1].repeat(4, 1), strides=2),
        ),
        (lambda: K.one_hot([1, 0], nb_classes=3), lambda: K.one_hot([1, 0], num_classes=3)),
        (lambda: K.expand_dims(X, dim=1), lambda: K.expand_dims(X, axis=1)),
        (lambda: K.maxpool2d(X, (2, 2)), lambda: K.pool2d(X, (2, 2))),
        (lambda: K.temporal_padding(X[0], 2), lambda: K.temporal_padding(X[0], (2, 2))),
        (
            lambda: K.spatial_2d_padding(X, padding=(1, 2), dim_ordering="th"),
            lambda: K.spatial_2d_padding(X, ((1, 1), (2, 2)), "channels_first"),
        ),
        (
            lambda: K.spatial_3d_padding(X[None], padding=(1, 2, 0), dim_ordering="tf"),
            lambda: K.spatial_3d_padding(X[None], ((1, 1), (2, 2), (0, 0)), "channels_last"),
        ),
        (
            lambda: K.resize_images(X=X, height_factor=2, width_factor=2, dim_ordering="th"),
            lambda: K.resize_images(X, 2, 2, "channels_first"),
        ),
    ],
)
def test_old_keywords(old, new):
    np.testing.assert_array_equal(K.eval(old()), K.eval(new()))


def test_old_keywords_of_random_numbers():
    drawn = K.eval(K.random_uniform((50,), low=3.0, high=4.0))
    assert (drawn >= 3).all() and (drawn < 4).all()
    assert abs(K.eval(K.random_normal((2000,), std=5.0)).std() - 5) < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: K.conv2d(X, KERNEL, padding="same", border_mode="same"), "the same"),
        (lambda: K.conv2d(X, KERNEL, color="red"), "color"),
        (lambda: K.one_hot([1], 2, image_shape=(1,)), "image_shape"),
    ],
)
def test_wrong_keywords_are_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_an_unknown_ordering_is_refused():
    with pytest.raises(ValueError, match="dim_ordering: expected th, tf or default"):
        K.conv2d(X, KERNEL, dim_ordering="channels_middle")
