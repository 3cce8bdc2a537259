"""The record of a workload, and the numbers it works on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Workload:
    """A function of arrays, the derivatives of one, or a training step of parameters on data."""

    name: str
    function: Callable[..., Any]
    """``(xp, *arrays)``: `xp` is a contestant's vocabulary. Of a training step, the loss."""
    arrays: Callable[[], Sequence[Any]]
    """Makes the arguments, parameters first."""
    parameters: int = 0
    """How many of the arrays are trained, or are differentiated by."""
    kind: str = "function"
    """"function"; "gradient" for value and derivatives; "sgd" or "adam" for a training step."""
    operations: float = 0
    """Floating-point operations of a call, where they are the limit."""
    bytes: float = 0
    """Bytes that a call must move at least, where they are the limit."""
    tolerance: float = 1e-4
    """Largest error of the results that counts as right, relative to the largest element."""

    @property
    def is_training(self) -> bool:
        return self.kind in ("sgd", "adam")


def float32(*shape: int, scale: float = 1.0) -> Any:
    """Return normally distributed numbers."""
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def positive(*shape: int) -> Any:
    """Return numbers from 0.5 to 1.5."""
    return (RNG.random(shape) + 0.5).astype(np.float32)


def weights(*shape: int) -> Any:
    """Return weights of about unit gain; the last axis is the result's."""
    return float32(*shape, scale=float(np.prod(shape[:-1])) ** -0.5)
