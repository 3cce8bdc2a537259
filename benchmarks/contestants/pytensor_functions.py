"""PyTensor in its default mode, with trusted arguments (it checks nothing) and shared variables."""

import functools
import importlib
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contestants import contestant
from benchmarks.contestants.contestant import RATE, Contestant, Program, adam
from benchmarks.workloads.workload import Workload


class PyTensor(Contestant):
    name = "pytensor"
    modules = ("pytensor",)

    def __init__(self, threads: int) -> None:
        self.pytensor = importlib.import_module("pytensor")
        self.pytensor.config.floatX = "float32"
        self.pt = pt = importlib.import_module("pytensor.tensor")
        names = {k: getattr(pt, k) for k in dir(pt) if not k.startswith("_")}
        self.xp = xp = types.SimpleNamespace(**names)
        xp.contiguous, xp.relu = lambda x: x, lambda x: pt.maximum(x, 0)
        xp.transpose = lambda x, axes: x.transpose(axes)
        xp.softmax = functools.partial(pt.special.softmax, axis=-1)
        xp.dense, xp.cross_entropy = contestant.dense, self.cross_entropy
        for name in ("batch_norm", "layer_norm", "gelu", "attention", "lstm"):
            setattr(xp, name, functools.partial(getattr(contestant, name), xp))
        xp.scan_last = self.scan_last

    def cross_entropy(self, scores: Any, labels: Any) -> Any:
        logarithms = self.pt.special.log_softmax(scores, axis=-1)
        return -self.pt.mean(logarithms[self.pt.arange(labels.shape[0]), labels])

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        run = functools.partial(self.pytensor.scan, return_updates=False)
        return run(lambda row, *s: list(step(row, *s)), [x], list(start))[0][-1]

    def can_run(self, work: Workload) -> bool:
        return "CNN" not in work.name  # it has no convolution of images

    def placeholders(self, arrays: Sequence[Any]) -> list[Any]:
        return [self.pt.tensor(dtype=str(a.dtype), shape=a.shape) for a in arrays]

    def compiled(self, inputs: Any, outputs: Any, arrays: Any, **options: Any) -> Any:
        f = self.pytensor.function(inputs, outputs, trust_input=True, **options)
        return functools.partial(f, *arrays)

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        xs = self.placeholders(arrays)
        return Program(self.compiled(xs, work.function(self.xp, *xs), arrays))

    def gradient(self, work: Workload, arrays: Sequence[Any]) -> Program:
        xs = self.placeholders(arrays)
        value = work.function(self.xp, *xs)
        outputs = [value, *self.pytensor.grad(value, xs[: work.parameters])]
        return Program(self.compiled(xs, outputs, arrays))

    def train(self, work: Workload, arrays: Sequence[Any]) -> Program:
        n = work.parameters
        data, params = self.placeholders(arrays[n:]), self.shared(arrays[:n])
        loss = work.function(self.xp, *params, *data)
        gradients = self.pytensor.grad(loss, params)
        moments: list[Any] = []
        if work.kind == "sgd":
            rate = np.float32(RATE)
            updates = [(p, p - rate * g) for p, g in zip(params, gradients, strict=True)]
        else:
            updates, moments = self.adam_updates(params, gradients)
        call = self.compiled(data, loss, arrays[n:], updates=updates)
        return Program(call, lambda: [p.get_value() for p in (*params, *moments)])

    def shared(self, arrays: Sequence[Any]) -> list[Any]:
        return [self.pytensor.shared(a, shape=a.shape) for a in arrays]

    def adam_updates(self, params: Sequence[Any], gradients: Sequence[Any]) -> Any:
        """Return the updates of Adam and the first moments."""
        zeros = [np.zeros_like(p.get_value()) for p in params]
        first, second, t = self.shared(zeros), self.shared(zeros), self.pytensor.shared(0.0)
        updates = [(t, t + 1)]
        for p, g, m, v in zip(params, gradients, first, second, strict=True):
            new = adam(self.pt.sqrt, p, g, m, v, (t + 1).astype("float32"))
            updates += zip((p, m, v), (x.astype("float32") for x in new), strict=True)
        return updates, first
