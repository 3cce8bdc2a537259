"""TensorFlow: tf.function and GradientTape."""

import functools
import importlib
import types
from collections.abc import Sequence
from typing import Any

from benchmarks.contestants import contestant
from benchmarks.contestants.contestant import RATE, Contestant, Program, adam
from benchmarks.workloads.workload import Workload


class TensorFlow(Contestant):
    name = "tensorflow"
    modules = ("tensorflow",)

    def __init__(self, threads: int) -> None:
        self.tf = tf = importlib.import_module("tensorflow")
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        names = {k: getattr(tf.math, k) for k in dir(tf.math) if not k.startswith("_")}
        self.xp = xp = types.SimpleNamespace(**names)
        xp.contiguous = lambda x: x  # results are
        xp.sum, xp.mean, xp.var = tf.reduce_sum, tf.reduce_mean, tf.math.reduce_variance
        xp.max, xp.transpose, xp.reshape = tf.reduce_max, tf.transpose, tf.reshape
        xp.softmax, xp.relu, xp.gelu = tf.nn.softmax, tf.nn.relu, tf.nn.gelu
        xp.dense, xp.cross_entropy, xp.zeros = contestant.dense, self.cross_entropy, tf.zeros
        for name in ("batch_norm", "layer_norm", "attention", "lstm"):
            setattr(xp, name, functools.partial(getattr(contestant, name), xp))
        xp.scan_last = self.scan_last
        xp.conv2d = lambda x, w: tf.nn.conv2d(x, w, 1, "SAME")
        xp.max_pool2d = lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID")

    def cross_entropy(self, scores: Any, labels: Any) -> Any:
        each = self.tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
        return self.tf.reduce_mean(each)

    def scan_last(self, step: Any, x: Any, *start: Any) -> Any:
        return self.tf.scan(lambda s, row: step(row, *s), x, start)[0][-1]

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        given = [self.tf.constant(a) for a in arrays]
        f = self.tf.function(functools.partial(work.function, self.transposing()))
        return Program(lambda: f(*given))

    def transposing(self) -> Any:
        """Return the vocabulary; x.T is not TensorFlow's, so tensors get it while tracing."""
        self.tf.experimental.numpy.experimental_enable_numpy_behavior()
        return self.xp

    def gradient(self, work: Workload, arrays: Sequence[Any]) -> Program:
        given = [self.tf.constant(a) for a in arrays]

        @self.tf.function
        def value_and_gradients(*xs: Any) -> Any:
            with self.tf.GradientTape() as tape:
                tape.watch(xs[: work.parameters])
                value = work.function(self.xp, *xs)
            return value, *tape.gradient(value, xs[: work.parameters])

        return Program(lambda: value_and_gradients(*given))

    def train(self, work: Workload, arrays: Sequence[Any]) -> Program:
        tf, n = self.tf, work.parameters
        params, data = [tf.Variable(a) for a in arrays[:n]], [tf.constant(a) for a in arrays[n:]]
        first, second = ([tf.Variable(tf.zeros_like(p)) for p in params] for _ in range(2))
        t = tf.Variable(0.0)

        def update(gradients: Sequence[Any]) -> None:
            if work.kind == "sgd":
                for p, g in zip(params, gradients, strict=True):
                    p.assign_sub(RATE * g)
                return
            t.assign_add(1.0)
            for p, g, m, v in zip(params, gradients, first, second, strict=True):
                for old, new in zip((p, m, v), adam(tf.sqrt, p, g, m, v, t), strict=True):
                    old.assign(new)

        @tf.function
        def step(*xs: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = work.function(self.xp, *params, *xs)
            update(tape.gradient(loss, params))
            return loss

        moments = first if work.kind == "adam" else []
        return Program(lambda: step(*data), lambda: [p.numpy() for p in (*params, *moments)])
