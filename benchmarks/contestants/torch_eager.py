"""PyTorch, eager: torch.nn.functional, autograd and its own fused optimizers."""

import functools
import importlib
import types
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.contestants.contestant import ADAM_RATE, RATE, Contestant, Program
from benchmarks.workloads.workload import Workload


def reduction(f: Any) -> Any:
    """Return a reduction with NumPy's arguments."""

    def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return f(x) if axis is None else f(x, dim=axis, keepdim=keepdims)

    return reduce


class Torch(Contestant):
    name = "torch"
    modules = ("torch",)

    def __init__(self, threads: int) -> None:
        self.torch = torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        F = torch.nn.functional
        self.xp = types.SimpleNamespace(
            exp=torch.exp, log=torch.log, sqrt=torch.sqrt, sin=torch.sin, tanh=torch.tanh,
            erf=torch.erf, sum=reduction(torch.sum), mean=reduction(torch.mean),
            argmax=reduction(torch.argmax), var=functools.partial(torch.var, correction=0),
            contiguous=lambda x: x.contiguous(), reshape=torch.reshape, transpose=torch.permute,
            softmax=functools.partial(torch.softmax, dim=-1),
            layer_norm=lambda x, *learned: F.layer_norm(x, x.shape[-1:], *learned),
            batch_norm=self.batch_norm,
            relu=torch.relu, gelu=F.gelu, dense=lambda x, w, b: torch.addmm(b, x, w),
            cross_entropy=F.cross_entropy, attention=F.scaled_dot_product_attention,
            lstm=self.lstm, conv2d=self.conv2d, max_pool2d=self.max_pool2d,
        )  # fmt: skip

    def lstm(self, x: Any, w: Any, u: Any, b: Any, state: tuple[int, int]) -> Any:
        """Return the last output of the LSTM beneath torch.nn.LSTM."""
        start = self.torch.zeros(1, *state)
        weights = (w.T, u.T, b, self.torch.zeros_like(b))
        return self.torch.lstm(x, (start, start), weights, True, 1, 0.0, True, False, False)[0][-1]

    def conv2d(self, x: Any, w: Any) -> Any:
        """Convolve in the memory format channels_last, which is NHWC."""
        images, kernels = x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1)
        return self.torch.nn.functional.conv2d(images, kernels, padding=1).permute(0, 2, 3, 1)

    def max_pool2d(self, x: Any) -> Any:
        pooled = self.torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 2)
        return pooled.permute(0, 2, 3, 1)

    def batch_norm(self, x: Any, scale: Any, shift: Any) -> Any:
        """Normalize in the memory format channels_last, which is NHWC."""
        F = self.torch.nn.functional
        images = x.permute(0, 3, 1, 2)
        found = F.batch_norm(images, None, None, scale, shift, training=True)
        return found.permute(0, 2, 3, 1)

    def compiled(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return f

    def prepare(self, work: Workload, arrays: Sequence[Any]) -> Program:
        self.loss = self.compiled(functools.partial(work.function, self.xp))
        return super().prepare(work, [self.torch.tensor(a) for a in arrays])

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        f, without_gradient = self.loss, self.torch.inference_mode

        def call() -> Any:
            with without_gradient():
                return f(*arrays)

        return Program(call)

    def gradient(self, work: Workload, arrays: Sequence[Any]) -> Program:
        loss, params = self.loss, [a.requires_grad_() for a in arrays[: work.parameters]]

        def call() -> Any:
            value = loss(*arrays)
            return value.detach(), *self.torch.autograd.grad(value, params)

        return Program(call)

    def train(self, work: Workload, arrays: Sequence[Any]) -> Program:
        loss, params = self.loss, [a.requires_grad_() for a in arrays[: work.parameters]]
        kind, rate = {"sgd": ("SGD", RATE), "adam": ("Adam", ADAM_RATE)}[work.kind]
        optimizer = getattr(self.torch.optim, kind)(params, lr=rate, fused=True)

        def call() -> Any:
            optimizer.zero_grad()
            value = loss(*arrays)
            value.backward()
            optimizer.step()
            return value.detach()

        def state() -> list[Any]:
            moments = [optimizer.state[p]["exp_avg"] for p in params if work.kind == "adam"]
            return [p.detach().clone() for p in (*params, *moments)]

        return Program(call, state)
