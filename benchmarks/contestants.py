"""Who runs the workloads: one class per library, in that library's own idiom.

`prepare` returns a call that computes the result once, with arrays where the library wants them, and
does not come back before the result is there.
"""

import functools
import importlib.util
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from workloads import Workload

RATE = 0.01
BETAS = 0.9, 0.999
EPSILON = 1e-8

Call = Callable[[], Any]


def adam(sqrt: Callable[[Any], Any], p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, ...]:
    """Return the next parameter and moments (Kingma and Ba, 2015)."""
    m = BETAS[0] * m + (1 - BETAS[0]) * g
    v = BETAS[1] * v + (1 - BETAS[1]) * g * g
    step = RATE * sqrt(1 - BETAS[1] ** t) / (1 - BETAS[0] ** t)
    return p - step * m / (sqrt(v) + EPSILON), m, v


def lstm_by_scan(xp: Any, x: Any, w: Any, u: Any, b: Any) -> Any:
    """Return the last output of an LSTM over the leading axis, gates in the order i, f, g, o."""
    width = u.shape[0]

    def step(row: Any, h: Any, c: Any) -> Any:
        z = row @ w + h @ u + b
        i, f, g, o = (z[:, k * width : (k + 1) * width] for k in range(4))
        c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
        return xp.sigmoid(o) * xp.tanh(c), c

    return xp.scan_last(step, x, xp.zeros((x.shape[1], width)), xp.zeros((x.shape[1], width)))


class Contestant:
    """A library."""

    name = ""
    modules: Sequence[str] = ()

    @classmethod
    def is_installed(cls) -> bool:
        return all(importlib.util.find_spec(m) is not None for m in cls.modules)

    def version(self) -> str:
        return importlib.import_module(self.modules[0]).__version__

    def prepare(self, work: Workload, arrays: Sequence[Any]) -> Call:
        if work.optimizer:
            return self.train(work, arrays)
        return self.function(work, arrays)

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        raise NotImplementedError

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        raise NotImplementedError


class Symtensor(Contestant):
    name = "symtensor"
    modules = ("symtensor",)

    def __init__(self, threads: int) -> None:
        import symtensor as st

        self.st = st
        names = {k: getattr(st, k) for k in dir(st) if not k.startswith("_")}
        self.xp = types.SimpleNamespace(**names, contiguous=lambda x: x)
        self.xp.lstm = functools.partial(lstm_by_scan, self.xp)
        self.xp.scan_last = self.scan_last
        if hasattr(st, "conv"):
            self.xp.conv2d = lambda x, w: st.conv(x, w, padding="same")
            self.xp.max_pool2d = lambda x: st.max_pool(x, (2, 2), (2, 2))

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        (states, _), _ = self.st.scan(lambda row, *s: list(step(row, *s)), [x], list(start))
        return states[-1]

    def inputs(self, arrays: Sequence[Any]) -> list[Any]:
        return [self.st.placeholder(a.shape, str(a.dtype)) for a in arrays]

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        xs = self.inputs(arrays)
        f = self.st.function(xs, work.function(self.xp, *xs), engine="llvm")
        return functools.partial(f, *arrays)

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        st, n = self.st, work.parameters
        data = self.inputs(arrays[n:])
        if work.optimizer == "gradient":
            xs = self.inputs(arrays)
            value = work.function(self.xp, *xs)
            f = st.function(xs, [value, *st.gradients(value, xs[:n])], engine="llvm")
            return functools.partial(f, *arrays)
        params = [st.variable(a) for a in arrays[:n]]
        loss = work.function(self.xp, *params, *data)
        grads = st.gradients(loss, params)
        updates = []
        if work.optimizer == "sgd":
            updates = [(p, p - RATE * g) for p, g in zip(params, grads, strict=True)]
        else:
            t = st.variable(np.float32(0))
            updates.append((t, t + 1))
            for p, g in zip(params, grads, strict=True):
                m, v = (st.variable(np.zeros(p.shape, np.float32)) for _ in range(2))
                updates += zip((p, m, v), adam(st.sqrt, p, g, m, v, t + 1), strict=True)
        f = st.function(data, loss, updates=updates, engine="llvm")
        return functools.partial(f, *arrays[n:])


class NumPy(Contestant):
    name = "numpy"
    modules = ("numpy", "scipy")

    def __init__(self, threads: int) -> None:
        from scipy import special

        names = {k: getattr(np, k) for k in dir(np) if not k.startswith("_")}
        self.xp = types.SimpleNamespace(**names, contiguous=np.ascontiguousarray)
        self.xp.erf, self.xp.logsumexp = special.erf, special.logsumexp
        self.xp.sigmoid = special.expit
        self.xp.lstm = functools.partial(lstm_by_scan, self.xp)
        self.xp.scan_last = self.scan_last
        self.xp.conv2d, self.xp.max_pool2d = self.conv2d, self.max_pool2d

    @staticmethod
    def scan_last(step: Any, x: Any, *state: Any) -> Any:
        for row in x:
            state = step(row, *state)
        return state[0]

    @staticmethod
    def conv2d(x: Any, w: Any) -> Any:
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        return np.einsum("nhwcij,ijcf->nhwf", windows, w, optimize=True)

    @staticmethod
    def max_pool2d(x: Any) -> Any:
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        return lambda: work.function(self.xp, *arrays)

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        """Return the loss alone: NumPy has no derivatives."""
        return lambda: work.function(self.xp, *arrays)


class Jax(Contestant):
    name = "jax"
    modules = ("jax",)

    def __init__(self, threads: int) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.jax = jax
        names = {k: getattr(jnp, k) for k in dir(jnp) if not k.startswith("_")}
        self.xp = types.SimpleNamespace(**names, contiguous=lambda x: x)
        self.xp.erf, self.xp.logsumexp = jax.scipy.special.erf, jax.scipy.special.logsumexp
        self.xp.sigmoid = jax.nn.sigmoid
        self.xp.zeros = lambda shape: jnp.zeros(shape, jnp.float32)
        self.xp.lstm = functools.partial(lstm_by_scan, self.xp)
        self.xp.scan_last = self.scan_last
        self.xp.conv2d = lambda x, w: jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        window = (1, 2, 2, 1)
        self.xp.max_pool2d = lambda x: jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, window, window, "VALID"
        )

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        state, _ = self.jax.lax.scan(lambda s, row: (step(row, *s), None), start, x)
        return state[0]

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        given = [self.jax.numpy.asarray(a) for a in arrays]
        f = self.jax.jit(functools.partial(work.function, self.xp))
        return lambda: self.jax.block_until_ready(f(*given))

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        jax, n = self.jax, work.parameters
        given = [jax.numpy.asarray(a) for a in arrays]
        params, data = tuple(given[:n]), given[n:]

        def loss(params: Any) -> Any:
            return work.function(self.xp, *params, *data)

        if work.optimizer == "gradient":
            f = jax.jit(lambda params, data: jax.value_and_grad(
                lambda p: work.function(self.xp, *p, *data))(params))  # fmt: skip
            return lambda: jax.block_until_ready(f(params, data))
        moments = [jax.numpy.zeros_like(p) for p in (*params, *params)]
        state = [params, tuple(moments), jax.numpy.float32(0)]

        def step(params: Any, moments: Any, t: Any, data: Any) -> Any:
            value, grads = jax.value_and_grad(lambda p: work.function(self.xp, *p, *data))(params)
            t = t + 1
            if work.optimizer == "sgd":
                new = tuple(p - RATE * g for p, g in zip(params, grads, strict=True))
                return value, new, (), t
            parts = zip(params, grads, moments[:n], moments[n:], strict=True)
            made = [adam(jax.numpy.sqrt, *part, t) for part in parts]
            ps, ms, vs = zip(*made, strict=True)
            return value, ps, (*ms, *vs), t

        compiled = jax.jit(step, donate_argnums=(0, 1))

        def call() -> Any:
            value, *state[:] = compiled(*state, data)
            return jax.block_until_ready((value, *state))[0]

        return call


class Torch(Contestant):
    name = "torch"
    modules = ("torch",)

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        F = torch.nn.functional

        def fold(f: Any) -> Any:
            def rule(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
                return f(x) if axis is None else f(x, dim=axis, keepdim=keepdims)

            return rule

        self.xp = types.SimpleNamespace(
            exp=torch.exp, log=torch.log, sqrt=torch.sqrt, sin=torch.sin, tanh=torch.tanh,
            erf=torch.erf, sigmoid=torch.sigmoid, sum=fold(torch.sum), mean=fold(torch.mean),
            max=fold(torch.amax), argmax=fold(torch.argmax), logsumexp=fold(torch.logsumexp),
            var=lambda x, axis: torch.var(x, dim=axis, correction=0),
            contiguous=lambda x: x.contiguous(),
            maximum=lambda x, y: torch.clamp_min(x, y), reshape=torch.reshape,
            transpose=torch.permute, lstm=self.lstm,
            conv2d=lambda x, w: F.conv2d(
                x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), padding="same").permute(0, 2, 3, 1),
            max_pool2d=lambda x: F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1),
        )  # fmt: skip

    def lstm(self, x: Any, w: Any, u: Any, b: Any) -> Any:
        start = self.torch.zeros(1, x.shape[1], u.shape[0])
        args = (w.T, u.T, b, self.torch.zeros_like(b))
        out, _, _ = self.torch.lstm(x, (start, start), args, True, 1, 0.0, True, False, False)
        return out[-1]

    def wrap(self, f: Any) -> Any:
        return f

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        given = [self.torch.from_numpy(a) for a in arrays]
        f = self.wrap(functools.partial(work.function, self.xp))

        def call() -> Any:
            with self.torch.no_grad():
                return f(*given)

        return call

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        torch, n = self.torch, work.parameters
        params = [torch.from_numpy(np.array(a)).requires_grad_() for a in arrays[:n]]
        data = [torch.from_numpy(np.asarray(a)) for a in arrays[n:]]
        loss = self.wrap(functools.partial(work.function, self.xp))
        if work.optimizer == "gradient":

            def gradient() -> Any:
                value = loss(*params, *data)
                return value.detach(), *torch.autograd.grad(value, params)

            return gradient
        kinds = {"sgd": torch.optim.SGD, "adam": functools.partial(torch.optim.Adam, fused=True)}
        optimizer = kinds[work.optimizer](params, lr=RATE)

        def call() -> Any:
            optimizer.zero_grad(set_to_none=True)
            value = loss(*params, *data)
            value.backward()
            optimizer.step()
            return value.detach()

        return call


class TorchCompile(Torch):
    name = "torch.compile"

    def wrap(self, f: Any) -> Any:
        return self.torch.compile(f)


class PyTensor(Contestant):
    name = "pytensor"
    modules = ("pytensor",)

    def __init__(self, threads: int) -> None:
        import pytensor
        import pytensor.tensor as pt

        pytensor.config.floatX = "float32"
        self.pytensor, self.pt = pytensor, pt
        names = {k: getattr(pt, k) for k in dir(pt) if not k.startswith("_")}
        self.xp = types.SimpleNamespace(**names, contiguous=lambda x: x)
        self.xp.transpose = lambda x, axes: x.transpose(axes)
        self.xp.lstm = functools.partial(lstm_by_scan, self.xp)
        self.xp.scan_last = self.scan_last

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        out = self.pytensor.scan(
            lambda row, *s: list(step(row, *s)), [x], list(start), return_updates=False
        )
        return out[0][-1]

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        xs = self.inputs(arrays)
        f = self.pytensor.function(xs, work.function(self.xp, *xs), trust_input=True)
        return functools.partial(f, *arrays)

    def inputs(self, arrays: Sequence[Any]) -> list[Any]:
        return [self.pt.tensor(dtype=str(a.dtype), shape=a.shape) for a in arrays]

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        n, shared = work.parameters, self.pytensor.shared
        if work.optimizer == "gradient":
            xs = self.inputs(arrays)
            value = work.function(self.xp, *xs)
            outputs = [value, *self.pytensor.grad(value, xs[:n])]
            f = self.pytensor.function(xs, outputs, trust_input=True)
            return functools.partial(f, *arrays)
        params = [shared(a, shape=a.shape) for a in arrays[:n]]
        data = self.inputs(arrays[n:])
        loss = work.function(self.xp, *params, *data)
        grads = self.pytensor.grad(loss, params)
        updates = []
        if work.optimizer == "sgd":
            rate = np.float32(RATE)
            updates = [(p, p - rate * g) for p, g in zip(params, grads, strict=True)]
        else:
            t = shared(np.float32(0))
            updates.append((t, t + np.float32(1)))
            for p, a, g in zip(params, arrays, grads, strict=False):
                m, v = (shared(np.zeros_like(a), shape=a.shape) for _ in range(2))
                new = adam(self.pt.sqrt, p, g, m, v, t + np.float32(1))
                updates += zip((p, m, v), (x.astype("float32") for x in new), strict=True)
        f = self.pytensor.function(data, loss, updates=updates, trust_input=True)
        return functools.partial(f, *arrays[n:])


class NumExpr(Contestant):
    name = "numexpr"
    modules = ("numexpr",)

    def __init__(self, threads: int) -> None:
        import numexpr

        numexpr.set_num_threads(threads)
        self.numexpr = numexpr

    def prepare(self, work: Workload, arrays: Sequence[Any]) -> Call:
        given = dict(zip("abcdefghij", arrays, strict=False))
        return lambda: self.numexpr.evaluate(work.numexpr, local_dict=given)


class TensorFlow(Contestant):
    name = "tensorflow"
    modules = ("tensorflow",)

    def __init__(self, threads: int) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.tf = tf
        names = {k: getattr(tf.math, k) for k in dir(tf.math) if not k.startswith("_")}
        self.xp = types.SimpleNamespace(**names, contiguous=lambda x: x)
        xp = self.xp
        xp.sum, xp.mean, xp.max = tf.reduce_sum, tf.reduce_mean, tf.reduce_max
        xp.var, xp.logsumexp = tf.math.reduce_variance, tf.reduce_logsumexp
        xp.transpose, xp.reshape, xp.zeros = tf.transpose, tf.reshape, tf.zeros
        xp.lstm, xp.scan_last = functools.partial(lstm_by_scan, xp), self.scan_last
        xp.conv2d = lambda x, w: tf.nn.conv2d(x, w, 1, "SAME")
        xp.max_pool2d = lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID")

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        states = self.tf.scan(lambda s, row: step(row, *s), x, start)
        return states[0][-1]

    def function(self, work: Workload, arrays: Sequence[Any]) -> Call:
        given = [self.tf.constant(a) for a in arrays]
        f = self.tf.function(lambda *xs: work.function(self.xp, *xs))
        return lambda: f(*given)

    def train(self, work: Workload, arrays: Sequence[Any]) -> Call:
        tf, n = self.tf, work.parameters
        params, data = [tf.Variable(a) for a in arrays[:n]], [tf.constant(a) for a in arrays[n:]]
        moments = [tf.Variable(tf.zeros_like(p)) for p in (*params, *params)]
        t = tf.Variable(0.0)

        @tf.function
        def step() -> Any:
            with tf.GradientTape() as tape:
                loss = work.function(self.xp, *params, *data)
            grads = tape.gradient(loss, params)
            if work.optimizer == "gradient":
                return loss, *grads
            t.assign_add(1.0)
            for p, g, m, v in zip(params, grads, moments[:n], moments[n:], strict=True):
                if work.optimizer == "sgd":
                    p.assign_sub(RATE * g)
                    continue
                for old, new in zip((p, m, v), adam(tf.sqrt, p, g, m, v, t), strict=True):
                    old.assign(new)
            return loss

        return step


CONTESTANTS: list[type[Contestant]] = [
    Symtensor, NumPy, NumExpr, Jax, Torch, TorchCompile, PyTensor, TensorFlow,
]  # fmt: skip


def can_run(contestant: type[Contestant], work: Workload) -> bool:
    """Return True where a contestant has what a workload needs."""
    if contestant is NumPy and work.optimizer:
        return False
    if contestant is NumExpr and not work.numexpr:
        return False
    return contestant.name not in work.without
