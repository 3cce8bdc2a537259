"""What a sample of an op is.

A `Sample` says: build this expression from these inputs, and this independent NumPy/SciPy
computation is the truth. Every generic check (values on each engine, symbolic sizes, gradients,
types, text round trip) is driven by samples, so an op is tested everywhere as soon as it has some.
The catalogue lives in `symtensor.testing.catalog`, one module per theme of ops.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One use of an op with its truth."""

    op: str
    """Name of the op record it covers."""
    build: Callable[..., Any]
    """``(*tensors) -> tensor`` or a sequence of tensors, written with public functions."""
    inputs: tuple[Array, ...]
    """One array per tensor; dtypes and layouts as the test wants them."""
    truth: Callable[..., Any] | None = None
    """``(*arrays) -> array`` or a sequence: NumPy or SciPy, never symtensor."""
    raises: type[Exception] | None = None
    """The exception that running (or building) must end in, instead of `truth`."""
    wrt: tuple[int, ...] | None = None
    """Inputs whose gradients are checked; None: every float64 input; (): none."""
    order: int = 2
    """Highest order of derivative to check."""
    ulp: float = 0.0
    """Allowed error in units in the last place of the truth; 0 with `rtol` 0 means exact."""
    rtol: float = 0.0
    """Allowed relative error, for sums and contractions."""
    atol: float = 0.0
    """Allowed absolute error."""
    symbolic: tuple[int, ...] | None = None
    """Inputs whose sizes may all be unknown at build time; None: all of them; (): none."""
    resize: Sequence[tuple[Array, ...]] = field(default=())
    """Further inputs of other sizes, for the function compiled with symbolic sizes."""
    needs: frozenset[str] = frozenset()
    """Capabilities without which an engine may give another value."""
    note: str = ""
    """What is special about it; part of the test id."""

    @property
    def id(self) -> str:
        """Test id: op, note, dtypes and shapes of the inputs."""
        shapes = "-".join(f"{x.dtype.name}{list(x.shape)}".replace(" ", "") for x in self.inputs)
        return "/".join(part for part in (self.op, self.note, shapes) if part)


def all_samples() -> list[Sample]:
    """Return the samples of every catalogue module, in a fixed order."""
    from symtensor.testing import catalog

    found: list[Sample] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(catalog.__path__)):
        found += importlib.import_module(f"{catalog.__name__}.{module}").SAMPLES
    return found
