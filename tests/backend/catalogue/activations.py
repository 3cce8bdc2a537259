"""Tables H and K: normalization and activations."""

import numpy as np
import scipy.special

from .sample import COLUMN, CUBE, RNG, ROW, A, B, sample

# fmt: off

EPSILON = 1e-3
POINT = RNG.normal(size=(2, 3, 2, 4))


def relu(alpha=0.0, max_value=np.inf, threshold=0.0):
    return lambda x: np.where(x > threshold, np.minimum(x, max_value), alpha * (x - threshold))


sample("relu", relu(), A)
sample("relu", relu(0.3), A, alpha=0.3, note="a slope below")
sample("relu", relu(0, 0.8), A * 2, max_value=0.8, note="a maximum")
sample("relu", relu(0.1, 0.8, 0.2), A * 2, alpha=0.1, max_value=0.8, threshold=0.2,
       note="all options")
sample("relu", lambda x: np.where(x > -0.6, np.clip(x, 0, 0.8), 0.1 * (x + 0.6)), A, alpha=0.1,
       max_value=0.8, threshold=-0.6, note="a maximum above a negative threshold")
sample("relu", relu(0, 0), A, max_value=0, note="a maximum of 0")
sample("relu", relu(0.1, 1.5, 0.2), A * 2, alpha=np.array(0.1), max_value=np.array(1.5),
       threshold=np.array(0.2), note="options that are 0-d arrays")
sample("elu", lambda x: np.where(x > 0, x, np.expm1(x)), A)
sample("elu", lambda x: np.where(x > 0, x, 2 * np.expm1(x)), A, alpha=2.0, note="a scale")
sample("softmax", lambda x: scipy.special.softmax(x, -1), A)
sample("softmax", lambda x: scipy.special.softmax(x, 1), CUBE, axis=1, note="an axis")
sample("softplus", lambda x: np.logaddexp(0, x), A)
sample("softplus", lambda x: np.logaddexp(0, x), A * 300, note="large numbers")
sample("softsign", lambda x: x / (1 + np.abs(x)), A)
sample("sigmoid", scipy.special.expit, A)
sample("hard_sigmoid", lambda x: np.clip(0.2 * x + 0.5, 0, 1), A * 3)
sample("tanh", np.tanh, A)
sample("l2_normalize", lambda x: x / np.linalg.norm(x), A)
sample("l2_normalize", lambda x: x / np.linalg.norm(x, axis=1, keepdims=True), A, axis=1,
       note="an axis")


def normalized(x, mean, variance, beta=0.0, gamma=1.0, epsilon=EPSILON):
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def in_training(axes, shape, epsilon=EPSILON):
    """Return the truth of normalize_batch_in_training; vectors are spread to `shape`."""

    def truth(x, gamma=1.0, beta=0.0):
        gamma, beta = (v if np.ndim(v) == 0 else v.reshape(shape) for v in (gamma, beta))
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        out = normalized(x, mean, variance, beta, gamma, epsilon)
        return out, mean.squeeze(axes), variance.squeeze(axes)

    return truth


THREE = ("float",) * 3
sample("normalize_batch_in_training", in_training((0, 1), (4,)), CUBE, ROW, B[0],
       reduction_axes=[0, 1], gives=THREE)
sample("normalize_batch_in_training", in_training((0, 2), (1, 3, 1)), CUBE, COLUMN, B[:, 0],
       reduction_axes=[0, 2], gives=THREE, note="another axis kept")
sample("normalize_batch_in_training", in_training((0,), (4,), 0.1), A, gamma=None, beta=None,
       reduction_axes=[0], epsilon=0.1, gives=THREE, note="neither gamma nor beta")
sample("batch_normalization", normalized, A, ROW, B[0] ** 2, B[1], B[2])
sample("batch_normalization", lambda x, m, v: normalized(x, m[:, None], v[:, None]), CUBE, COLUMN,
       B[:, 0] ** 2, axis=1, beta=None, gamma=None, note="another axis, neither beta nor gamma")
sample("batch_normalization", normalized, POINT, POINT[:1, :1, :1], POINT[1:, 1:2, :1] ** 2,
       POINT[:1, 2:, 1:], POINT[1:, :1, 1:], note="statistics of the rank of x", known=True)
sample("batch_normalization", lambda x, m, v: normalized(x, m, v, epsilon=0.1), A, ROW, B[0] ** 2,
       beta=None, gamma=None, epsilon=0.1, note="an epsilon")
