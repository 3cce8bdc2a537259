"""PyTorch with torch.compile, which needs a C++ compiler on the machine."""

from collections.abc import Callable
from typing import Any

from benchmarks.contestants.torch_eager import Torch


class TorchCompile(Torch):
    name = "torch.compile"

    def compiled(self, f: Callable[..., Any]) -> Callable[..., Any]:
        self.torch._dynamo.reset()  # else a second size makes it compile for unknown sizes
        return self.torch.compile(f)
