"""Convolution and pooling against loops over windows."""

import itertools

import numpy as np
import pytest

from symtensor import backend as K
from symtensor import config

RNG = np.random.default_rng(5)


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


def run(build, *arrays):
    inputs = [K.placeholder(x.shape) for x in arrays]
    return K.function(inputs, [build(*inputs)])(list(arrays))[0]


def correlate(x, kernel, strides, dilation):
    """Return the valid correlation of (batch, spatial..., channels), window by window."""
    sizes = kernel.shape[:-2]
    axes = range(len(sizes))
    out = [(x.shape[a + 1] - (sizes[a] - 1) * dilation - 1) // strides + 1 for a in axes]
    result = np.zeros((x.shape[0], *out, kernel.shape[-1]))
    for at in itertools.product(*map(range, out)):
        part = x[(slice(None), *(
            slice(at[a] * strides, at[a] * strides + (sizes[a] - 1) * dilation + 1, dilation)
            for a in axes
        ))]  # fmt: skip
        n = len(sizes) + 1
        result[(slice(None), *at)] = np.tensordot(part, kernel, (range(1, n + 1), range(n)))
    return result


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_convolution(rank, strides, dilation, layout):
    x = RNG.normal(size=(2, *(6, 5, 7)[:rank], 3)).astype("f4")
    kernel = RNG.normal(size=(*(2, 3, 2)[:rank], 3, 4)).astype("f4")
    conv = {1: K.conv1d, 2: K.conv2d, 3: K.conv3d}[rank]
    given = x if layout == "channels_last" else np.moveaxis(x, -1, 1)
    found = run(lambda a, k: conv(a, k, strides, "valid", layout, dilation), given, kernel)
    found = found if layout == "channels_last" else np.moveaxis(found, 1, -1)
    np.testing.assert_allclose(found, correlate(x, kernel, strides, dilation), rtol=1e-4, atol=1e-5)


def test_same_padding_puts_the_odd_element_last():
    x, kernel = np.arange(5.0).reshape(1, 5, 1), np.array([1.0, 10.0]).reshape(2, 1, 1)
    found = run(lambda a, k: K.conv1d(a, k, padding="same"), x, kernel)
    assert found.ravel().tolist() == [10, 21, 32, 43, 4]
    found = run(lambda a, k: K.conv1d(a, k, padding="causal"), x, kernel)
    assert found.ravel().tolist() == [0, 10, 21, 32, 43]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_transposed_convolution_is_the_adjoint(padding, strides):
    x, kernel = RNG.normal(size=(2, 6, 5, 3)), RNG.normal(size=(3, 2, 3, 4))
    pair = (strides, strides)
    forward = run(lambda a, k: K.conv2d(a, k, pair, padding), x, kernel)
    y = RNG.normal(size=forward.shape)
    back = run(lambda a, k: K.conv2d_transpose(a, k, x.shape, pair, padding), y, kernel)
    np.testing.assert_allclose((forward * y).sum(), (back * x).sum(), rtol=1e-4)


def test_transposed_convolution_of_volumes_is_the_adjoint():
    x, kernel = RNG.normal(size=(1, 4, 5, 3, 2)), RNG.normal(size=(2, 2, 2, 2, 3))
    forward = run(lambda a, k: K.conv3d(a, k), x, kernel)
    y = RNG.normal(size=forward.shape)
    back = run(lambda a, k: K.conv3d_transpose(a, k, x.shape), y, kernel)
    np.testing.assert_allclose((forward * y).sum(), (back * x).sum(), rtol=1e-4)


def test_depthwise_and_separable():
    x, deep = RNG.normal(size=(2, 5, 4, 3)), RNG.normal(size=(2, 2, 3, 2))
    point = RNG.normal(size=(1, 1, 6, 4))
    each = [correlate(x[..., c : c + 1], deep[:, :, c : c + 1], 1, 1) for c in range(3)]
    expected = np.concatenate(each, -1)
    found = run(K.depthwise_conv2d, x, deep)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    found = run(K.separable_conv2d, x, deep, point)
    np.testing.assert_allclose(found, expected @ point[0, 0], rtol=1e-4, atol=1e-5)
    found = run(K.separable_conv1d, x[:, :, 0], deep[:, 0], point[0])
    each = [correlate(x[:, :, 0, c : c + 1], deep[:, 0, c : c + 1], 1, 1) for c in range(3)]
    np.testing.assert_allclose(found, np.concatenate(each, -1) @ point[0, 0], rtol=1e-4, atol=1e-5)


def test_pooling_ignores_padding():
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    found = run(lambda a: K.pool2d(a, (2, 2), (2, 2), "same", pool_mode="avg"), x)
    assert found.ravel().tolist() == [2, 3.5, 6.5, 8]
    found = run(lambda a: K.pool2d(-a, (2, 2), (2, 2), "same"), x)
    assert found.ravel().tolist() == [0, -2, -6, -8]
    found = run(lambda a: K.pool3d(a, (2, 2, 2)), np.arange(8.0).reshape(1, 2, 2, 2, 1))
    assert found.ravel().tolist() == [7]


def test_names_of_keras_1():
    x, kernel = RNG.normal(size=(1, 5, 5, 2)), RNG.normal(size=(2, 2, 2, 3))
    found = run(lambda a, k: K.atrous_conv2d(a, k, 2), x, kernel)
    np.testing.assert_allclose(found, correlate(x, kernel, 1, 2), rtol=1e-4, atol=1e-5)
    assert run(lambda a: K.asymmetric_temporal_padding(a, 2, 1), x[0]).shape == (5, 8, 2)
    assert run(lambda a: K.asymmetric_spatial_2d_padding(a, 1, 2, 3, 4), x).shape == (1, 8, 12, 2)
    y = run(lambda a, k: K.deconv2d(a, k, (1, 6, 6, 3)), x, kernel.swapaxes(2, 3))
    assert y.shape == (1, 6, 6, 3)


def test_resizing():
    x = RNG.normal(size=(2, 3, 4, 5)).astype("f4")
    found = run(lambda a: K.resize_images(a, 2, 3, "channels_last"), x)
    np.testing.assert_array_equal(found, x.repeat(2, 1).repeat(3, 2))
    found = run(lambda a: K.resize_volumes(a, 1, 2, 2, "channels_first"), x[None])
    np.testing.assert_array_equal(found, x[None].repeat(2, 3).repeat(2, 4))
    found = run(lambda a: K.resize_images(a, 2, 3, "channels_first", "bilinear"), x)
    for axis, factor in ((2, 2), (3, 3)):
        n = x.shape[axis]
        at = np.arange(n * factor) / factor
        x = np.apply_along_axis(lambda v: np.interp(at, np.arange(n), v), axis, x)  # noqa: B023
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bad", [
    lambda x: K.pool2d(x, (2, 2), pool_mode="median"),
    lambda x: K.conv2d(x, x, padding="full"),
    lambda x: K.resize_images(x, 2, 2, "channels_last", "cubic"),
    lambda x: K.pool2d(x, (2, 2), data_format="channels_middle"),
])  # fmt: skip
def test_refusals(bad):
    with pytest.raises(ValueError):
        bad(K.placeholder((1, 3, 3, 3)))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_local_convolution(layout, strides):
    x = RNG.normal(size=(2, 6, 5, 3)).astype("f4")
    rows, columns = (6 - 3) // strides[0] + 1, (5 - 2) // strides[1] + 1
    kernel = RNG.normal(size=(rows * columns, 3 * 2 * 3, 4)).astype("f4")
    wanted = np.zeros((2, rows, columns, 4), "f4")
    for row, column in itertools.product(range(rows), range(columns)):
        top, left = row * strides[0], column * strides[1]
        patch = x[:, top : top + 3, left : left + 2]
        patch = patch if layout == "channels_last" else np.moveaxis(patch, -1, 1)
        wanted[:, row, column] = patch.reshape(2, -1) @ kernel[row * columns + column]
    given = x if layout == "channels_last" else np.moveaxis(x, -1, 1)
    found = run(
        lambda a, k: K.local_conv2d(a, k, (3, 2), strides, (rows, columns), layout), given, kernel
    )
    found = found if layout == "channels_last" else np.moveaxis(found, 1, -1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_local_convolution_over_one_axis():
    x = RNG.normal(size=(2, 7, 3)).astype("f4")
    kernel = RNG.normal(size=(3, 2 * 3, 4)).astype("f4")
    found = run(lambda a, k: K.local_conv1d(a, k, (2,), (2,)), x, kernel)
    wanted = np.stack([x[:, 2 * o : 2 * o + 2].reshape(2, -1) @ kernel[o] for o in range(3)], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
