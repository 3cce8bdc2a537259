"""JAX: jit, value_and_grad, lax.scan; states are donated."""

import functools
import importlib
import types
from collections.abc import Sequence
from typing import Any

from benchmarks.contestants import contestant
from benchmarks.contestants.contestant import RATE, Contestant, Program, adam
from benchmarks.workloads.workload import Workload


class Jax(Contestant):
    name = "jax"
    modules = ("jax",)

    def __init__(self, threads: int) -> None:
        self.jax = jax = importlib.import_module("jax")
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # halves what small calls cost
        self.jnp = jnp = jax.numpy
        self.xp = xp = types.SimpleNamespace(
            **{k: getattr(jnp, k) for k in dir(jnp) if not k.startswith("_")}
        )
        xp.contiguous = lambda x: x  # results are
        xp.erf, xp.sigmoid, xp.softmax = jax.scipy.special.erf, jax.nn.sigmoid, jax.nn.softmax
        xp.relu, xp.gelu = jax.nn.relu, functools.partial(jax.nn.gelu, approximate=False)
        xp.dense, xp.cross_entropy = contestant.dense, self.cross_entropy
        for name in ("batch_norm", "layer_norm", "attention", "lstm"):
            setattr(xp, name, functools.partial(getattr(contestant, name), xp))
        xp.scan_last, xp.conv2d, xp.max_pool2d = self.scan_last, self.conv2d, self.max_pool2d

    def cross_entropy(self, scores: Any, labels: Any) -> Any:
        logarithms = self.jax.nn.log_softmax(scores)
        return -self.jnp.mean(self.jnp.take_along_axis(logarithms, labels[:, None], 1))

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        state, _ = self.jax.lax.scan(lambda s, row: (step(row, *s), None), start, x)
        return state[0]

    def conv2d(self, x: Any, w: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return self.jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)

    def max_pool2d(self, x: Any) -> Any:
        lax, window = self.jax.lax, (1, 2, 2, 1)
        return lax.reduce_window(x, -self.jnp.inf, lax.max, window, window, "VALID")

    def prepare(self, work: Workload, arrays: Sequence[Any]) -> Program:
        doubles = any(a.dtype == "float64" for a in arrays)
        self.jax.config.update("jax_enable_x64", doubles)
        return super().prepare(work, [self.jnp.asarray(a) for a in arrays])

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        f = self.jax.jit(functools.partial(work.function, self.xp))
        return Program(lambda: self.jax.block_until_ready(f(*arrays)))

    def gradient(self, work: Workload, arrays: Sequence[Any]) -> Program:
        f = self.jax.jit(self.value_and_gradients(work))
        params, data = tuple(arrays[: work.parameters]), tuple(arrays[work.parameters :])

        def call() -> Any:
            value, gradients = self.jax.block_until_ready(f(params, data))
            return value, *gradients

        return Program(call)

    def value_and_gradients(self, work: Workload) -> Any:
        return self.jax.value_and_grad(lambda p, data: work.function(self.xp, *p, *data))

    def train(self, work: Workload, arrays: Sequence[Any]) -> Program:
        n = work.parameters
        data = tuple(arrays[n:])
        step = self.adam_step(work) if work.kind == "adam" else self.sgd_step(work)
        compiled = self.jax.jit(step, donate_argnums=0)
        zeros = tuple(self.jnp.zeros_like(a) for a in arrays[:n]) if work.kind == "adam" else ()
        state = [(tuple(arrays[:n]), zeros, tuple(map(self.jnp.copy, zeros)), self.jnp.float32(0))]

        def call() -> Any:
            loss, state[0] = compiled(state[0], data)
            return self.jax.block_until_ready((loss, state[0]))[0]

        return Program(call, lambda: [*state[0][0], *state[0][1]])

    def sgd_step(self, work: Workload) -> Any:
        differentiate = self.value_and_gradients(work)

        def step(state: Any, data: Any) -> Any:
            params, *rest = state
            loss, gradients = differentiate(params, data)
            new = tuple(p - RATE * g for p, g in zip(params, gradients, strict=True))
            return loss, (new, *rest)

        return step

    def adam_step(self, work: Workload) -> Any:
        differentiate = self.value_and_gradients(work)

        def step(state: Any, data: Any) -> Any:
            params, first, second, t = state
            loss, gradients = differentiate(params, data)
            parts = zip(params, gradients, first, second, strict=True)
            made = [adam(self.jnp.sqrt, *part, t + 1) for part in parts]
            return loss, (*zip(*made, strict=True), t + 1)

        return step
