"""Calls, elementwise work and reductions."""

from typing import Any

from benchmarks.workloads.workload import Workload, float32, positive

N, ROWS, COLUMNS = 4_000_000, 4096, 1024
MATRIX = 4 * ROWS * COLUMNS
"""Bytes of a matrix."""
IMAGES = 32, 32, 32, 64
"""Batch, rows, columns, channels."""


def black_scholes(xp: Any, price: Any, strike: Any, years: Any) -> Any:
    """Return prices of European calls."""
    rate, volatility = 0.02, 0.3
    spread = volatility * xp.sqrt(years)
    first = (xp.log(price / strike) + (rate + 0.5 * volatility**2) * years) / spread
    second = first - spread

    def cumulative(z: Any) -> Any:
        return 0.5 * (1 + xp.erf(z * 0.5**0.5))

    return price * cumulative(first) - strike * xp.exp(-rate * years) * cumulative(second)


def mixed(xp: Any, a: Any, b: Any) -> Any:
    return xp.tanh(2 * a + b) * xp.exp(-a) + xp.sin(b)


def two_vectors() -> Any:
    return float32(N), float32(N)


def matrix() -> Any:
    return (float32(ROWS, COLUMNS),)


def layer_norm_loss(xp: Any, x: Any, scale: Any, shift: Any, cotangent: Any) -> Any:
    return xp.mean(xp.layer_norm(x, scale, shift) * cotangent)


def layer_norm_arrays() -> Any:
    scale, shift = positive(COLUMNS), float32(COLUMNS)
    return float32(ROWS, COLUMNS), scale, shift, float32(ROWS, COLUMNS)


def batch_norm_loss(xp: Any, x: Any, scale: Any, shift: Any, cotangent: Any) -> Any:
    return xp.mean(xp.batch_norm(x, scale, shift) * cotangent)


def batch_norm_arrays() -> Any:
    return float32(*IMAGES), positive(IMAGES[-1]), float32(IMAGES[-1]), float32(*IMAGES)


def workloads() -> list[Workload]:
    return [*calls(), *vectors(), *matrices(), *gradients()]


def calls() -> list[Workload]:
    """What a call costs: the work itself is nothing."""
    return [
        Workload("2x + 1, 10 numbers", lambda xp, x: 2 * x + 1, lambda: (float32(10),)),
        Workload(
            "sum of 10 inputs of 10 numbers",
            lambda xp, *xs: sum(xs[1:], xs[0]),
            lambda: [float32(10) for _ in range(10)],
        ),
    ]


def vectors() -> list[Workload]:
    return [
        Workload(
            "Black-Scholes, 4M",
            black_scholes,
            lambda: tuple(positive(N) for _ in range(3)),
            bytes=16 * N,
        ),
        Workload("tanh(2a+b) exp(-a) + sin b, 4M", mixed, two_vectors, bytes=12 * N),
        Workload("2a + b, 4M", lambda xp, a, b: 2 * a + b, two_vectors, bytes=12 * N),
        Workload(
            "sum((a-b)^2), 4M",
            lambda xp, a, b: xp.sum((a - b) * (a - b)),
            two_vectors,
            bytes=8 * N,
        ),
    ]


def matrices() -> list[Workload]:
    return [
        Workload("softmax, 4096x1024", lambda xp, x: xp.softmax(x), matrix, bytes=2 * MATRIX),
        Workload("layer norm, 4096x1024", lambda xp, x: xp.layer_norm(x), matrix, bytes=2 * MATRIX),
        Workload("sum axis 0, 4096x1024", lambda xp, x: xp.sum(x, axis=0), matrix, bytes=MATRIX),
        Workload("var axis 0, 4096x1024", lambda xp, x: xp.var(x, axis=0), matrix, bytes=MATRIX),
        Workload(
            "argmax axis 1, 4096x1024",
            lambda xp, x: xp.argmax(x, axis=1),
            matrix,
            bytes=MATRIX,
            tolerance=0.0,
        ),
        Workload(
            "transpose + 1, 4096x1024",
            lambda xp, x: xp.contiguous(x.T + 1),
            matrix,
            bytes=2 * MATRIX,
        ),
    ]


def gradients() -> list[Workload]:
    """Norms with what is learned of them, and the derivatives by all that goes in."""
    return [
        Workload("layer norm with gradients, 4096x1024", layer_norm_loss, layer_norm_arrays,
                 3, "gradient"),
        Workload("batch norm with gradients, 32x32x32x64", batch_norm_loss, batch_norm_arrays,
                 3, "gradient"),
    ]  # fmt: skip
