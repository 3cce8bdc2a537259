"""What is timed: each workload written once, for any contestant's names.

A workload is a function of a namespace `xp` (the names of `contestants.py`, NumPy's where there is
one) and arrays. NumPy in float64 runs it too and says what the right result is.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Workload:
    """A function of arrays, or a training step of parameters on data."""

    name: str
    function: Callable[..., Any]
    """``(xp, *arrays)``; of a training step the loss, parameters first."""
    arrays: Callable[[], Sequence[Any]]
    parameters: int = 0
    """How many of the arrays are trained."""
    optimizer: str = ""
    """"adam" or "sgd" for a training step; "gradient" for the value and the derivatives alone."""
    operations: float = 0
    """Floating-point operations of a call, where they are the limit."""
    bytes: float = 0
    """Bytes that a call must move at least, where they are the limit."""
    numexpr: str = ""
    """The function as an expression of a, b, … for numexpr."""
    without: frozenset[str] = frozenset()
    """Contestants that can't run it."""


def float32(*shape: int, scale: float = 1.0) -> Any:
    """Return normally distributed numbers."""
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def weights(*shape: int) -> Any:
    """Return weights of about unit gain."""
    return float32(*shape, scale=shape[0] ** -0.5)


# --- elementwise and reductions ------------------------------------------------------------------


def black_scholes(xp: Any, price: Any, strike: Any, years: Any) -> Any:
    rate, volatility = 0.02, 0.3
    spread = volatility * xp.sqrt(years)
    first = (xp.log(price / strike) + (rate + 0.5 * volatility**2) * years) / spread
    second = first - spread

    def cumulative(z: Any) -> Any:
        return 0.5 * (1 + xp.erf(z * 0.5**0.5))

    return price * cumulative(first) - strike * xp.exp(-rate * years) * cumulative(second)


def mixed(xp: Any, a: Any, b: Any) -> Any:
    return xp.tanh(2 * a + b) * xp.exp(-a) + xp.sin(b)


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def layer_norm(xp: Any, x: Any) -> Any:
    center = x - xp.mean(x, axis=-1, keepdims=True)
    return center / xp.sqrt(xp.mean(center * center, axis=-1, keepdims=True) + 1e-5)


def positive(*shape: int) -> Any:
    return (RNG.random(shape) + 0.5).astype(np.float32)


def elementwise() -> list[Workload]:
    n, rows, columns = 4_000_000, 4096, 1024
    two = lambda: (float32(n), float32(n))  # noqa: E731
    matrix = lambda: (float32(rows, columns),)  # noqa: E731
    size = 4 * rows * columns
    return [
        Workload("2x + 1, 10 numbers", lambda xp, x: 2 * x + 1, lambda: (float32(10),)),
        Workload(
            "sum of 10 inputs of 10 numbers",
            lambda xp, *xs: sum(xs[1:], xs[0]),
            lambda: [float32(10) for _ in range(10)],
        ),
        Workload(
            "Black-Scholes, 4M", black_scholes, lambda: tuple(positive(n) for _ in range(3)),
            bytes=16 * n,
        ),
        Workload(
            "tanh(2a+b) exp(-a) + sin b, 4M", mixed, two, bytes=12 * n,
            numexpr="tanh(2 * a + b) * exp(-a) + sin(b)",
        ),
        Workload("2a + b, 4M", lambda xp, a, b: 2 * a + b, two, bytes=12 * n, numexpr="2 * a + b"),
        Workload(
            "sum((a-b)^2), 4M", lambda xp, a, b: xp.sum((a - b) * (a - b)), two, bytes=8 * n,
            numexpr="sum((a - b) * (a - b))",
        ),
        Workload("softmax, 4096x1024", softmax, matrix, bytes=2 * size),
        Workload("layer norm, 4096x1024", layer_norm, matrix, bytes=2 * size),
        Workload("sum axis 0, 4096x1024", lambda xp, x: xp.sum(x, axis=0), matrix, bytes=size),
        Workload("var axis 0, 4096x1024", lambda xp, x: xp.var(x, axis=0), matrix, bytes=size),
        Workload("argmax axis 1, 4096x1024", lambda xp, x: xp.argmax(x, axis=1), matrix, bytes=size),
        Workload("transpose + 1, 4096x1024", lambda xp, x: xp.contiguous(x.T + 1), matrix, bytes=2 * size),
    ]  # fmt: skip


# --- matrix products -----------------------------------------------------------------------------

SIZES = [
    (64, 64, 64), (128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024),
    (2048, 2048, 2048), (12, 512, 1024), (1024, 512, 16), (128, 784, 10), (1, 1024, 1024),
    (1024, 1024, 1),
]  # fmt: skip
"""Rows, inner size, columns."""


def products() -> list[Workload]:
    def workload(m: int, k: int, n: int) -> Workload:
        return Workload(
            f"matmul {m}x{k} {k}x{n}", lambda xp, a, b: a @ b,
            lambda: (float32(m, k), float32(k, n)), operations=2.0 * m * k * n,
        )  # fmt: skip

    return [workload(*size) for size in SIZES]


# --- training steps ------------------------------------------------------------------------------


def relu(xp: Any, x: Any) -> Any:
    return xp.maximum(x, 0)


def cross_entropy(xp: Any, scores: Any, labels: Any) -> Any:
    """Return the mean cross entropy; `labels` are one-hot rows."""
    return xp.mean(xp.logsumexp(scores, axis=-1) - xp.sum(scores * labels, axis=-1))


def mlp_loss(xp: Any, *arrays: Any) -> Any:
    *layers, x, labels = arrays
    pairs = list(zip(layers[::2], layers[1::2], strict=True))
    for w, b in pairs[:-1]:
        x = relu(xp, x @ w + b)
    w, b = pairs[-1]
    return cross_entropy(xp, x @ w + b, labels)


def mlp_arrays(batch: int, *widths: int) -> list[Any]:
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [weights(a, b), np.zeros(b, np.float32)]
    labels = np.eye(widths[-1], dtype=np.float32)[RNG.integers(widths[-1], size=batch)]
    return [*layers, float32(batch, widths[0]), labels]


def lstm_loss(xp: Any, w: Any, u: Any, b: Any, x: Any, target: Any) -> Any:
    difference = xp.lstm(x, w, u, b) - target
    return xp.mean(difference * difference)


def cnn_loss(xp: Any, *arrays: Any) -> Any:
    first, second, third, dense, x, labels = arrays
    x = relu(xp, xp.conv2d(x, first))
    x = xp.max_pool2d(relu(xp, xp.conv2d(x, second)))
    x = xp.max_pool2d(relu(xp, xp.conv2d(x, third)))
    return cross_entropy(xp, xp.reshape(x, (x.shape[0], -1)) @ dense, labels)


def cnn_arrays() -> list[Any]:
    kernels = [float32(3, 3, a, b, scale=(9 * a) ** -0.5) for a, b in ((3, 32), (32, 32), (32, 64))]
    labels = np.eye(10, dtype=np.float32)[RNG.integers(10, size=32)]
    return [*kernels, weights(8 * 8 * 64, 10), float32(32, 32, 32, 3), labels]


def transformer_loss(xp: Any, *arrays: Any) -> Any:
    wq, wk, wv, wo, w1, w2, x, target = arrays
    batch, length, width, heads = 8, 128, 256, 4

    def split(z: Any) -> Any:
        return xp.transpose(xp.reshape(z, (batch, length, heads, width // heads)), (0, 2, 1, 3))

    h = layer_norm(xp, x)
    q, k, v = split(h @ wq), split(h @ wk), split(h @ wv)
    scores = q @ xp.transpose(k, (0, 1, 3, 2)) * (width // heads) ** -0.5
    mixed_values = xp.transpose(softmax(xp, scores) @ v, (0, 2, 1, 3))
    x = x + xp.reshape(mixed_values, (batch, length, width)) @ wo
    h = layer_norm(xp, x) @ w1
    x = x + (0.5 * h * (1 + xp.erf(h * 0.5**0.5))) @ w2
    difference = x - target
    return xp.mean(difference * difference)


def transformer_arrays() -> list[Any]:
    shapes = [(256, 256)] * 4 + [(256, 1024), (1024, 256)]
    return [*(weights(*s) for s in shapes), float32(8, 128, 256), float32(8, 128, 256)]


def log_density(xp: Any, means: Any, center: Any, spread: Any, noise: Any, y: Any) -> Any:
    """Return minus the log-density of groups of normal values around normal means."""

    def normal(z: Any, log_scale: Any) -> Any:
        return 0.5 * z * z * xp.exp(-2 * log_scale) + log_scale

    groups = xp.sum(normal(means - center, spread))
    values = xp.sum(normal(y - xp.reshape(means, (-1, 1)), noise))
    return groups + values + 0.5 * (center * center + spread * spread + noise * noise)


def training() -> list[Workload]:
    lstm = lambda: [  # noqa: E731
        weights(64, 512), weights(128, 512), np.zeros(512, np.float32), float32(100, 32, 64),
        float32(32, 128),
    ]  # fmt: skip
    groups = lambda: [  # noqa: E731
        RNG.standard_normal(8), *(np.array(v) for v in (0.1, 0.2, -0.3)), RNG.standard_normal((8, 250))
    ]  # fmt: skip
    mlp = 2.0 * 128 * (784 * 512 + 512 * 512 + 512 * 10)
    cell = 2.0 * 100 * 32 * (64 + 128) * 512
    convolutions = 2.0 * 32 * 9 * (32 * 32 * (3 * 32 + 32 * 32) + 16 * 16 * 32 * 64)
    block = 2.0 * 1024 * (4 * 256 * 256 + 2 * 256 * 1024) + 4.0 * 8 * 128 * 128 * 256
    return [
        Workload("MLP 784-512-512-10, batch 128, Adam step", mlp_loss,
                 lambda: mlp_arrays(128, 784, 512, 512, 10), 6, "adam", operations=3 * mlp),
        Workload("MLP 64-32-10, batch 32, Adam step", mlp_loss,
                 lambda: mlp_arrays(32, 64, 32, 10), 4, "adam"),
        Workload("LSTM 64-128, batch 32, 100 steps, SGD step", lstm_loss, lstm, 3, "sgd",
                 operations=3 * cell),
        Workload("CNN 32-32-64, batch 32 of 32x32x3, SGD step", cnn_loss, cnn_arrays, 4, "sgd",
                 operations=3 * convolutions, without=frozenset({"pytensor"})),
        Workload("transformer block, batch 8, 128 x 256, 4 heads, SGD step", transformer_loss,
                 transformer_arrays, 6, "sgd", operations=3 * block),
        Workload("hierarchical log-density and gradient, float64, n = 2000", log_density, groups,
                 4, "gradient"),
    ]  # fmt: skip


def all_workloads() -> list[Workload]:
    """Return every workload, in the order of the table."""
    return [*elementwise(), *products(), *training()]
