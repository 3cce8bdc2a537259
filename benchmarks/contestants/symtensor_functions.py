"""symtensor on its llvm engine; arguments are NumPy arrays."""

import functools
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

import symtensor as st
from benchmarks.contestants import contestant
from benchmarks.contestants.contestant import RATE, Contestant, Program, adam
from benchmarks.workloads.workload import Workload


def cross_entropy(scores: Any, labels: Any) -> Any:
    return st.mean(st.sparse_categorical_crossentropy(labels, scores, from_logits=True))


def scan_last(step: Any, x: Any, *start: Any) -> Any:
    (states, _), _ = st.scan(lambda row, *s: list(step(row, *s)), [x], list(start))
    return states[-1]


def vocabulary() -> Any:
    """Return the words of workloads in symtensor."""
    xp = types.SimpleNamespace(**{k: getattr(st, k) for k in st.__all__})
    xp.contiguous = lambda x: x  # results are
    xp.dense, xp.cross_entropy, xp.scan_last = contestant.dense, cross_entropy, scan_last
    for name in ("batch_norm", "attention", "lstm"):
        setattr(xp, name, functools.partial(getattr(contestant, name), xp))
    xp.conv2d = lambda x, w: st.conv(x, w, padding="same")
    xp.max_pool2d = lambda x: st.max_pool(x, 2)
    return xp


def placeholders(arrays: Sequence[Any]) -> list[Any]:
    return [st.placeholder(a.shape, str(a.dtype)) for a in arrays]


class Symtensor(Contestant):
    name = "symtensor"
    modules = ("symtensor",)

    def __init__(self, threads: int) -> None:
        self.xp = vocabulary()

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        xs = placeholders(arrays)
        f = st.function(xs, work.function(self.xp, *xs), engine="llvm")
        return Program(functools.partial(f, *arrays))

    def gradient(self, work: Workload, arrays: Sequence[Any]) -> Program:
        xs = placeholders(arrays)
        value = work.function(self.xp, *xs)
        outputs = [value, *st.gradients(value, xs[: work.parameters])]
        return Program(functools.partial(st.function(xs, outputs, engine="llvm"), *arrays))

    def train(self, work: Workload, arrays: Sequence[Any]) -> Program:
        n = work.parameters
        data, params = placeholders(arrays[n:]), [st.variable(a) for a in arrays[:n]]
        loss = work.function(self.xp, *params, *data)
        gradients = st.gradients(loss, params)
        if work.kind == "sgd":
            updates = [(p, p - RATE * g) for p, g in zip(params, gradients, strict=True)]
            moments: list[Any] = []
        else:
            updates, moments = adam_updates(params, gradients)
        f = st.function(data, loss, updates=updates, engine="llvm")
        states = [*params, *moments]
        return Program(functools.partial(f, *arrays[n:]), lambda: [p.get_value() for p in states])


def adam_updates(params: Sequence[Any], gradients: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the updates of Adam and the first moments."""
    t = st.variable(np.float32(0))
    updates, moments = [(t, t + 1)], []
    for p, g in zip(params, gradients, strict=True):
        m, v = (st.variable(np.zeros(p.shape, np.float32)) for _ in range(2))
        updates += zip((p, m, v), adam(st.sqrt, p, g, m, v, t + 1), strict=True)
        moments.append(m)
    return updates, moments
