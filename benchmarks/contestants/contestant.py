"""What a contestant does, and what several of them share.

A vocabulary `xp` has NumPy's names (exp, sum, …; reductions take axis and keepdims) and those of
networks, each the library's own function where it has one:

- softmax(x) and layer_norm(x, scale, shift), over the last axis; relu, gelu; dense(x, w, b);
- batch_norm(x, scale, shift) over all axes but the last, by the statistics of the batch;
- cross_entropy(scores, labels), the mean over a batch;
- attention(q, k, v, scale=) of (batch, heads, length, width);
- lstm(x, w, u, b, state): the last output over the leading axis, gates i, f, g, o, for a shape of state;
- conv2d of NHWC images by 3x3 HWIO kernels, the size kept; max_pool2d of 2x2 blocks.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.workloads.workload import Workload

RATE = 0.05
"""Of gradient descent."""
ADAM_RATE = 1e-5
"""Small: thousands of timed steps shall not fit the data until gradients are denormal numbers."""
BETAS = 0.9, 0.999
EPSILON = 1e-8

Call = Callable[[], Any]


class Program(NamedTuple):
    """A workload made ready by a contestant."""

    call: Call
    """Computes once and returns when the results are there: outputs, or the loss of a step."""
    state: Call | None = None
    """Of a training step, returns the parameters; after them, of Adam, the first moments."""


class Contestant:
    """A library. Its arrays are made, in its own form, before anything is timed."""

    name = ""
    modules: Sequence[str] = ()

    def __init__(self, threads: int) -> None:
        """Import the library and tell it how many threads to use."""

    @classmethod
    def is_installed(cls) -> bool:
        return all(importlib.util.find_spec(m) is not None for m in cls.modules)

    def version(self) -> str:
        return str(importlib.import_module(self.modules[0]).__version__)

    def can_run(self, work: Workload) -> bool:
        """Return whether the library has this kind of work at all."""
        return True

    def prepare(self, work: Workload, arrays: Sequence[Any]) -> Program:
        """Return a workload on arrays, ready to be called."""
        makers = {"function": self.function, "gradient": self.gradient}
        return makers.get(work.kind, self.train)(work, arrays)

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        raise NotImplementedError

    def gradient(self, work: Workload, arrays: Sequence[Any]) -> Program:
        raise NotImplementedError

    def train(self, work: Workload, arrays: Sequence[Any]) -> Program:
        raise NotImplementedError


def adam(sqrt: Callable[[Any], Any], p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, ...]:
    """Return the next parameter and moments in step t, from 1 on (Kingma and Ba, 2015)."""
    m = BETAS[0] * m + (1 - BETAS[0]) * g
    v = BETAS[1] * v + (1 - BETAS[1]) * (g * g)
    unbiased = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
    return p - ADAM_RATE * unbiased[0] / (sqrt(unbiased[1]) + EPSILON), m, v


# --- what libraries without a function of their own compose --------------------------------------


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def normalized(xp: Any, x: Any, axis: Any) -> Any:
    center = x - xp.mean(x, axis=axis, keepdims=True)
    return center / xp.sqrt(xp.mean(center * center, axis=axis, keepdims=True) + 1e-5)


def layer_norm(xp: Any, x: Any, scale: Any = None, shift: Any = None) -> Any:
    found = normalized(xp, x, -1)
    return found if scale is None else found * scale + shift


def batch_norm(xp: Any, x: Any, scale: Any, shift: Any) -> Any:
    return normalized(xp, x, tuple(range(x.ndim - 1))) * scale + shift


def gelu(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1 + xp.erf(x * 0.5**0.5))


def dense(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b


def attention(xp: Any, q: Any, k: Any, v: Any, scale: float) -> Any:
    return xp.softmax(q @ xp.transpose(k, (0, 1, 3, 2)) * scale) @ v


def lstm(xp: Any, x: Any, w: Any, u: Any, b: Any, state: tuple[int, int]) -> Any:
    """Return the last output; `xp.scan_last` runs the steps and returns the last h."""
    width = state[1]

    def step(row: Any, h: Any, c: Any) -> Any:
        z = row + h @ u
        i, f, g, o = (z[:, k * width : (k + 1) * width] for k in range(4))
        c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
        return xp.sigmoid(o) * xp.tanh(c), c

    start = xp.zeros(state)
    return xp.scan_last(step, x @ w + b, start, start)
