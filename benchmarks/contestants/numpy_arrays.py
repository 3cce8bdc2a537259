"""NumPy: a peer for functions, and in float64 the judge of all."""

import functools
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contestants import contestant
from benchmarks.contestants.contestant import Contestant, Program
from benchmarks.workloads.workload import Workload


def scan_last(step: Any, x: Any, *state: Any) -> Any:
    for row in x:
        state = step(row, *state)
    return state[0]


def conv2d(x: Any, w: Any) -> Any:
    """Return the sum over kernel positions of products with shifted images."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = ((i, j) for i in range(3) for j in range(3))
    return sum(padded[:, i : i + height, j : j + width] @ w[i, j] for i, j in shifts)


def max_pool2d(x: Any) -> Any:
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def cross_entropy(scores: Any, labels: Any) -> Any:
    from scipy.special import log_softmax

    return -np.mean(np.take_along_axis(log_softmax(scores, axis=-1), labels[:, None], 1))


def vocabulary() -> Any:
    """Return the words of workloads in NumPy and SciPy."""
    from scipy import special

    xp = types.SimpleNamespace(**{k: getattr(np, k) for k in dir(np) if not k.startswith("_")})
    xp.contiguous, xp.relu = np.ascontiguousarray, lambda x: np.maximum(x, 0)
    xp.erf, xp.sigmoid = special.erf, special.expit
    xp.dense, xp.cross_entropy = contestant.dense, cross_entropy
    for name in ("batch_norm", "softmax", "layer_norm", "gelu", "attention", "lstm"):
        setattr(xp, name, functools.partial(getattr(contestant, name), xp))
    xp.scan_last, xp.conv2d, xp.max_pool2d = scan_last, conv2d, max_pool2d
    return xp


class NumPy(Contestant):
    name = "numpy"
    modules = ("numpy", "scipy")

    def __init__(self, threads: int) -> None:
        self.xp = vocabulary()

    def can_run(self, work: Workload) -> bool:
        return work.kind == "function"

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        return Program(lambda: work.function(self.xp, *arrays))
