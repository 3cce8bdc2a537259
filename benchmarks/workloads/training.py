"""Training steps of networks, and the derivatives of a density."""

import itertools
from typing import Any

import numpy as np

from benchmarks.workloads.workload import RNG, Workload, float32, weights

# --- networks: the loss, parameters first --------------------------------------------------------


def mlp_loss(xp: Any, *arrays: Any) -> Any:
    *layers, x, labels = arrays
    pairs = list(zip(layers[::2], layers[1::2], strict=True))
    for w, b in pairs[:-1]:
        x = xp.relu(xp.dense(x, w, b))
    return xp.cross_entropy(xp.dense(x, *pairs[-1]), labels)


def mlp_arrays(batch: int, *widths: int) -> list[Any]:
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [weights(a, b), float32(b, scale=0.1)]
    return [*layers, float32(batch, widths[0]), RNG.integers(widths[-1], size=batch)]


def lstm_loss(xp: Any, w: Any, u: Any, b: Any, x: Any, target: Any) -> Any:
    difference = xp.lstm(x, w, u, b, (32, 128)) - target
    return xp.mean(difference * difference)


def lstm_arrays() -> list[Any]:
    """Weights of x and h, offsets, x as (time, batch, features), target of the last output."""
    kernels = [weights(64, 512), weights(128, 512), float32(512, scale=0.1)]
    return [*kernels, float32(100, 32, 64), float32(32, 128)]


def cnn_loss(xp: Any, *arrays: Any) -> Any:
    first, second, third, dense, x, labels = arrays
    x = xp.relu(xp.conv2d(x, first))
    x = xp.max_pool2d(xp.relu(xp.conv2d(x, second)))
    x = xp.max_pool2d(xp.relu(xp.conv2d(x, third)))
    return xp.cross_entropy(xp.reshape(x, (32, 8 * 8 * 64)) @ dense, labels)


def cnn_arrays() -> list[Any]:
    kernels = [weights(3, 3, a, b) for a, b in ((3, 32), (32, 32), (32, 64))]
    images, labels = float32(32, 32, 32, 3), RNG.integers(10, size=32)
    return [*kernels, weights(8 * 8 * 64, 10), images, labels]


def transformer_loss(xp: Any, *arrays: Any) -> Any:
    """A block that normalizes first, with exact gelu; the mean squared distance to a target."""
    wq, wk, wv, wo, w1, w2, x, target = arrays
    batch, length, width, heads = 8, 128, 256, 4

    def split(z: Any) -> Any:
        return xp.transpose(xp.reshape(z, (batch, length, heads, width // heads)), (0, 2, 1, 3))

    h = xp.layer_norm(x)
    q, k, v = split(h @ wq), split(h @ wk), split(h @ wv)
    found = xp.attention(q, k, v, scale=(width // heads) ** -0.5)
    x = x + xp.reshape(xp.transpose(found, (0, 2, 1, 3)), (batch, length, width)) @ wo
    x = x + xp.gelu(xp.layer_norm(x) @ w1) @ w2
    difference = x - target
    return xp.mean(difference * difference)


def transformer_arrays() -> list[Any]:
    shapes = [(256, 256)] * 4 + [(256, 1024), (1024, 256)]
    return [*(weights(*s) for s in shapes), float32(8, 128, 256), float32(8, 128, 256)]


# --- a density -----------------------------------------------------------------------------------


def log_density(xp: Any, means: Any, center: Any, spread: Any, noise: Any, y: Any) -> Any:
    """Return minus the log-density of groups of normal values around normal means."""

    def normal(z: Any, log_scale: Any) -> Any:
        return 0.5 * z * z * xp.exp(-2 * log_scale) + log_scale

    groups = xp.sum(normal(means - center, spread))
    values = xp.sum(normal(y - xp.reshape(means, (8, 1)), noise))
    return groups + values + 0.5 * (center * center + spread * spread + noise * noise)


def density_arrays() -> list[Any]:
    scalars = [np.array(v) for v in (0.1, 0.2, -0.3)]
    return [RNG.standard_normal(8), *scalars, RNG.standard_normal((8, 250))]


# --- the list ------------------------------------------------------------------------------------

# Operations of products alone. What meets the data takes as many again in a step, for its weights'
# gradient; what comes later takes twice as many again, for that of its operand too.


def step_operations(first: float, later: float) -> float:
    return 2.0 * (2 * first + 3 * later)


MLP = step_operations(128 * 784 * 512, 128 * (512 * 512 + 512 * 10))
LSTM = step_operations(3200 * 64 * 512, 3200 * 128 * 512)
CNN = step_operations(32 * 9 * 32 * 32 * 3 * 32, 32 * 9 * (32 * 32 * 32 * 32 + 16 * 16 * 32 * 64))
TRANSFORMER = step_operations(
    1024 * 3 * 256 * 256, 1024 * (256 * 256 + 2 * 256 * 1024) + 2 * 8 * 128 * 128 * 256
)


def workloads() -> list[Workload]:
    return [
        Workload("MLP 784-512-512-10, batch 128, Adam step", mlp_loss,
                 lambda: mlp_arrays(128, 784, 512, 512, 10), 6, "adam", operations=MLP),
        Workload("MLP 64-32-10, batch 32, Adam step", mlp_loss,
                 lambda: mlp_arrays(32, 64, 32, 10), 4, "adam"),
        Workload("LSTM 64-128, batch 32, 100 steps, SGD step", lstm_loss, lstm_arrays,
                 3, "sgd", operations=LSTM),
        Workload("CNN 32-32-64, batch 32 of 32x32x3, SGD step", cnn_loss, cnn_arrays,
                 4, "sgd", operations=CNN),
        Workload("transformer block, batch 8, 128 x 256, 4 heads, SGD step", transformer_loss,
                 transformer_arrays, 6, "sgd", operations=TRANSFORMER),
        Workload("hierarchical log-density and gradient, float64, n = 2000", log_density,
                 density_arrays, 4, "gradient"),
    ]  # fmt: skip
