"""Functions of the Keras backend against NumPy and SciPy: values, dtypes, shapes, on both engines."""

import numpy as np
import pytest
import scipy.special

from symtensor import backend as K
from symtensor import config

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4)).astype("f4")
B = RNG.normal(size=(3, 4)).astype("f4")
CUBE = RNG.normal(size=(2, 3, 4)).astype("f4")
POSITIVE = (np.abs(A) + 0.5).astype("f4")
BOOLS = A > 0


@pytest.fixture(params=["numpy", "llvm"])
def engine(request):
    with config(engine=request.param):
        yield request.param


def run(build, *arrays):
    """Return what a K expression gives for arrays fed with unknown sizes."""
    inputs = [K.placeholder(ndim=x.ndim, dtype=str(x.dtype)) for x in arrays]
    (out,) = K.function(inputs, [build(*inputs)])(list(arrays))
    return out


CASES = {
    "square": (K.square, np.square, [A]),
    "abs": (K.abs, np.abs, [A]),
    "sqrt of negatives is 0": (K.sqrt, lambda x: np.sqrt(np.maximum(x, 0)), [A]),
    "exp": (K.exp, np.exp, [A]),
    "log": (K.log, np.log, [POSITIVE]),
    "round half to even": (K.round, np.round, [np.array([0.5, 1.5, 2.5, -0.5], "f4")]),
    "sign": (K.sign, np.sign, [np.array([-2, 0, 3], "f4")]),
    "pow": (lambda x: K.pow(x, 3), lambda x: x**3, [A]),
    "pow of a number": (lambda x: K.pow(0.9, x), lambda x: np.float32(0.9) ** x, [A]),
    "clip": (lambda x: K.clip(x, -0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5), [A]),
    "clip without a maximum": (lambda x: K.clip(x, 0, None), lambda x: np.maximum(x, 0), [A]),
    "clip of crossed bounds": (lambda x: K.clip(x, 1, -1), np.ones_like, [A]),
    "equal": (lambda x: K.equal(x, 0), lambda x: x == 0, [np.array([0, 1], "f4")]),
    "not_equal": (K.not_equal, np.not_equal, [A, B]),
    "greater": (K.greater, np.greater, [A, B]),
    "greater_equal": (K.greater_equal, np.greater_equal, [A, B]),
    "less": (K.less, np.less, [A, B]),
    "less_equal": (K.less_equal, np.less_equal, [A, B]),
    "lesser": (K.lesser, np.less, [A, B]),
    "lesser_equal": (K.lesser_equal, np.less_equal, [A, B]),
    "maximum": (lambda x: K.maximum(0.0, x), lambda x: np.maximum(0, x), [A]),
    "minimum": (K.minimum, np.minimum, [A, B]),
    "sin": (K.sin, np.sin, [A]),
    "cos": (K.cos, np.cos, [A]),
    "max": (lambda x: K.max(x, axis=1), lambda x: x.max(1), [A]),
    "min": (lambda x: K.min(x, axis=-1, keepdims=True), lambda x: x.min(-1, keepdims=True), [A]),
    "sum": (lambda x: K.sum(x, [0, -1]), lambda x: x.sum((0, -1)), [CUBE]),
    "prod": (lambda x: K.prod(x, 0), lambda x: x.prod(0), [A]),
    "cumsum": (K.cumsum, lambda x: x.cumsum(0), [A]),
    "cumprod": (lambda x: K.cumprod(x, 1), lambda x: x.cumprod(1), [A]),
    "var": (lambda x: K.var(x, 0), lambda x: x.var(0), [A]),
    "std": (lambda x: K.std(x, 0), lambda x: x.std(0), [A]),
    "mean": (lambda x: K.mean(x, 0), lambda x: x.mean(0), [A]),
    "mean of ints": (K.mean, lambda x: np.float32(1.5), [np.array([1, 2], "i4")]),
    "any": (lambda x: K.any(x, 1), lambda x: x.any(1), [BOOLS]),
    "all": (lambda x: K.all(x, 1), lambda x: x.all(1), [BOOLS]),
    "argmax": (K.argmax, lambda x: x.argmax(-1), [A]),
    "argmin": (lambda x: K.argmin(x, 0), lambda x: x.argmin(0), [A]),
    "logsumexp": (
        lambda x: K.logsumexp(x * 1000, 1),
        lambda x: scipy.special.logsumexp(x * 1000, 1),
        [A],
    ),
    "dot of more axes": (K.dot, np.dot, [A[:2, :3], RNG.normal(size=(4, 3, 5)).astype("f4")]),
    "batch_dot": (
        K.batch_dot,
        lambda x, y: np.einsum("bij,bjk->bik", x, y),
        [CUBE, RNG.normal(size=(2, 4, 5)).astype("f4")],
    ),
    "batch_dot of vectors": (
        lambda x, y: K.batch_dot(x, y, 1),
        lambda x, y: (x * y).sum(1, keepdims=True),
        [A, B],
    ),
    "batch_dot with axes": (
        lambda x, y: K.batch_dot(x, y, [1, 2]),
        lambda x, y: np.einsum("bij,bki->bjk", x, y),
        [RNG.normal(size=(4, 5, 1)).astype("f4"), RNG.normal(size=(4, 3, 5)).astype("f4")],
    ),
    "transpose": (K.transpose, np.transpose, [CUBE]),
    "gather": (K.gather, lambda x, i: x[i], [A, np.array([[2, 0], [1, 1]], "i4")]),
    "concatenate": (
        lambda x, y: K.concatenate([x, y]),
        lambda x, y: np.concatenate([x, y], -1),
        [A, B],
    ),
    "reshape by a shape": (
        lambda x, y: K.reshape(x, K.shape(y)),
        lambda x, y: x.reshape(y.shape),
        [A.reshape(12), A],
    ),
    "reshape by sizes": (
        lambda x: K.reshape(x, (K.shape(x)[0] * 3, -1)),
        lambda x: x.reshape(6, 4),
        [CUBE],
    ),
    "reshape by a product": (
        lambda x: K.reshape(x, [K.prod(K.shape(x)[:-1]), 4]),
        lambda x: x.reshape(6, 4),
        [CUBE],
    ),
    "permute_dimensions": (
        lambda x: K.permute_dimensions(x, (2, 0, 1)),
        lambda x: x.transpose(2, 0, 1),
        [CUBE],
    ),
    "repeat_elements": (lambda x: K.repeat_elements(x, 2, 1), lambda x: x.repeat(2, 1), [CUBE]),
    "repeat": (lambda x: K.repeat(x, 3), lambda x: x[:, None].repeat(3, 1), [A]),
    "tile": (lambda x: K.tile(x, 2), lambda x: np.tile(x, 2), [A]),
    "tile by a shape": (lambda x: K.tile(x, K.shape(x)), lambda x: np.tile(x, x.shape), [A]),
    "flatten": (K.flatten, np.ravel, [CUBE]),
    "batch_flatten": (K.batch_flatten, lambda x: x.reshape(2, 12), [CUBE]),
    "expand_dims": (K.expand_dims, lambda x: x[..., None], [A]),
    "squeeze": (lambda x: K.squeeze(x, 1), lambda x: x[:, 0], [A[:, :1]]),
    "temporal_padding": (
        lambda x: K.temporal_padding(x, (2, 1)),
        lambda x: np.pad(x, [(0, 0), (2, 1), (0, 0)]),
        [CUBE],
    ),
    "spatial_2d_padding": (
        lambda x: K.spatial_2d_padding(x, ((1, 0), (0, 2)), "channels_first"),
        lambda x: np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)]),
        [CUBE[None]],
    ),
    "spatial_3d_padding": (
        K.spatial_3d_padding,
        lambda x: np.pad(x, [(0, 0), *[(1, 1)] * 3, (0, 0)]),
        [CUBE[None, ..., None]],
    ),
    "stack": (lambda x, y: K.stack([x, y], -1), lambda x, y: np.stack([x, y], -1), [A, B]),
    "one_hot": (
        lambda i: K.one_hot(i, 3),
        lambda i: np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], "f4"),
        [np.array([2, 0, 7], "i4")],
    ),
    "reverse": (lambda x: K.reverse(x, [0, -1]), lambda x: x[::-1, :, ::-1], [CUBE]),
    "slice": (lambda x: K.slice(x, [1, 0], [2, -1]), lambda x: x[1:3], [A]),
    "zeros_like": (K.zeros_like, lambda x: np.zeros(x.shape, "f4"), [np.ones((2, 3), "i4")]),
    "ones_like": (lambda x: K.ones_like(x, "bool"), lambda x: np.ones(x.shape, bool), [A]),
    "relu": (K.relu, lambda x: np.maximum(x, 0), [A]),
    "relu with all options": (
        lambda x: K.relu(x, 0.1, 0.8, 0.2),
        lambda x: np.where(x > 0.2, np.minimum(x, 0.8), 0.1 * (x - 0.2)).astype("f4"),
        [A],
    ),
    "relu clipped above a negative threshold": (
        lambda x: K.relu(x, 0.1, 0.8, -0.6),
        lambda x: np.where(x > -0.6, np.clip(x, 0, 0.8), 0.1 * (x + 0.6)),
        [A],
    ),
    "relu of 0-d arrays": (
        lambda x: K.relu(x, np.array(0.1, "f4"), np.array(0.0, "f4")),
        lambda x: np.where(x > 0, 0, 0.1 * x).astype("f4"),
        [A],
    ),
    "elu": (lambda x: K.elu(x, 2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x)), [A]),
    "softmax": (lambda x: K.softmax(x, 0), lambda x: scipy.special.softmax(x, 0), [A]),
    "softplus": (K.softplus, lambda x: np.logaddexp(0, x).astype("f4"), [A * 100]),
    "softsign": (K.softsign, lambda x: x / (1 + np.abs(x)), [A]),
    "sigmoid": (K.sigmoid, scipy.special.expit, [A]),
    "hard_sigmoid": (
        K.hard_sigmoid,
        lambda x: np.clip(np.float32(0.2) * x + np.float32(0.5), 0, 1),
        [A * 3],
    ),
    "tanh": (K.tanh, np.tanh, [A]),
    "l2_normalize": (
        lambda x: K.l2_normalize(x, 1),
        lambda x: x / np.linalg.norm(x, axis=1, keepdims=True),
        [A],
    ),
    "batch_normalization": (
        lambda x, m, v: K.batch_normalization(x, m, v, None, None, axis=1),
        lambda x, m, v: (x - m[:, None]) / np.sqrt(v[:, None] + np.float32(1e-3)),
        [CUBE, CUBE.mean((0, 2)), CUBE.var((0, 2))],
    ),
    "normalize_batch_in_training": (
        lambda x: K.normalize_batch_in_training(x, None, None, [0, 2])[0],
        lambda x: (
            (x - x.mean((0, 2), keepdims=True))
            / np.sqrt(x.var((0, 2), keepdims=True) + np.float32(1e-3))
        ),
        [CUBE],
    ),
    "in_top_k": (
        lambda x, i: K.in_top_k(x, i, 1),
        lambda x, i: x.argmax(1) == i,
        [A, np.array([0, 1, 2])],
    ),
    "switch on leading axes": (
        lambda c, x, y: K.switch(c, x, y),
        lambda c, x, y: np.where(c[:, None], x, y),
        [BOOLS[:, 0], A, B],
    ),
    "bias_add": (
        lambda x, b: K.bias_add(x, b, "channels_first"),
        lambda x, b: x + b[None, :, None],
        [CUBE, A[0, :3]],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_values(case, engine):
    build, expected, arrays = CASES[case]
    found, want = run(build, *arrays), np.asarray(expected(*arrays))
    assert found.dtype == want.dtype and found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-6)


SMOOTH = ["square", "exp", "log", "pow", "sin", "cos", "sum", "prod", "cumsum", "var", "std", "mean",
          "logsumexp", "transpose", "batch_flatten", "repeat_elements", "tile", "temporal_padding",
          "reverse", "slice", "sigmoid", "tanh", "softmax", "softsign", "l2_normalize",
          "normalize_batch_in_training"]  # fmt: skip


@pytest.mark.parametrize("case", SMOOTH)
def test_gradients(case, engine):
    """The gradient along a random direction against a central difference, in float64."""
    build, _, arrays = CASES[case]
    if case == "logsumexp":
        build = lambda x: K.logsumexp(x, 1)  # noqa: E731
    value = arrays[0].astype("f8")
    direction = np.random.default_rng(1).normal(size=value.shape)
    x = K.placeholder(ndim=value.ndim, dtype="float64")
    loss = K.sum(K.exp(0.3 * build(x)))
    run = K.function([x], [loss, *K.gradients(loss, [x])])
    h = 1e-6
    difference = (run([value + h * direction])[0] - run([value - h * direction])[0]) / (2 * h)
    np.testing.assert_allclose(
        (run([value])[1] * direction).sum(), difference, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("bad", [
    lambda: K.batch_dot(K.constant(A), K.constant(B), 0),
    lambda: K.batch_dot(K.constant(A), K.constant(B[:2]), 1),
    lambda: K.repeat(K.constant(CUBE), 2),
    lambda: K.slice(K.constant(A), [0], [1]),
    lambda: K.dropout(K.constant(A), 1.0),
    lambda: K.bias_add(K.constant(CUBE[None]), K.constant(A)),
    lambda: K.switch(K.constant(A), K.constant(A[0]), K.constant(A[0])),
    lambda: K.normalize_data_format("channels_middle"),
    lambda: K.set_floatx("beerfloat"),
    lambda: K.set_learning_phase(2),
    lambda: K.is_keras_tensor(A),
    lambda: K.placeholder(),
    lambda: K.function([], [], bad_option=1),
])  # fmt: skip
def test_refusals(bad):
    with pytest.raises(ValueError):
        bad()
