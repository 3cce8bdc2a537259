"""What is right: NumPy in float64.

Results are compared with the same function of the same arguments. Derivatives are compared with
differences of the loss along random directions, a few for every parameter: independent of anyone's
rules. A step of gradient descent tells its gradient by what it changed, one of Adam by its moments.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contestants.contestant import ADAM_RATE, BETAS, EPSILON, RATE, Program
from benchmarks.contestants.numpy_arrays import vocabulary
from benchmarks.workloads.workload import Workload

DIRECTIONS = 2
STEP = 1e-7
"""Short: a kink of relu within it is an error of the difference, and double precision has digits to spare."""
GRADIENT_TOLERANCE = 1e-2
"""Of a derivative along a random normal direction, relative to the length of the gradient."""


class WrongResult(Exception):
    """A contestant computed something else than NumPy."""


class Reference:
    """The right results of one workload on its arrays."""

    def __init__(self, work: Workload, arrays: Sequence[Any]) -> None:
        self.work, self.xp = work, vocabulary()
        self.arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
        self.value = np.asarray(work.function(self.xp, *self.arrays))
        rng = np.random.default_rng(1)
        params = self.arrays[: work.parameters]
        self.directions = [
            [rng.standard_normal(p.shape) for _ in range(DIRECTIONS)] for p in params
        ]
        self.slopes = [
            [self.slope(i, d) for d in directions] for i, directions in enumerate(self.directions)
        ]

    def slope(self, index: int, direction: Any) -> float:
        """Return the derivative of the loss along a direction of one parameter."""

        def loss(step: float) -> Any:
            moved = [a + step * direction if i == index else a for i, a in enumerate(self.arrays)]
            return self.work.function(self.xp, *moved)

        return float((loss(STEP) - loss(-STEP)) / (2 * STEP))

    def check(self, program: Program) -> None:
        """Raise WrongResult unless the first call of a program is right."""
        result = program.call()
        if self.work.kind == "function":
            self.check_value(result)
        elif self.work.kind == "gradient":
            self.check_value(result[0])
            self.check_gradients([np.asarray(g) for g in result[1:]])
        else:
            assert program.state is not None
            self.check_value(result)
            self.check_gradients(self.gradients_of_step([np.asarray(a) for a in program.state()]))

    def check_value(self, result: Any) -> None:
        while isinstance(result, (list, tuple)):
            (result,) = result
        found = np.asarray(result)
        if found.shape != self.value.shape:
            raise WrongResult(f"shape {found.shape} instead of {self.value.shape}")
        scale = max(float(np.abs(self.value).max()), 1e-30)
        error = float(np.abs(found.astype(np.float64) - self.value).max()) / scale
        if not error <= self.work.tolerance:
            raise WrongResult(f"the result is off by {error:.1e}")

    def gradients_of_step(self, state: Sequence[Any]) -> list[Any]:
        """Return the gradients by which a step got to its state from the arrays given."""
        n = self.work.parameters
        moved = [old - new for old, new in zip(self.arrays, state[:n], strict=False)]
        if self.work.kind == "sgd":
            return [m / RATE for m in moved]
        gradients = [m.astype(np.float64) / (1 - BETAS[0]) for m in state[n:]]
        for change, g in zip(moved, gradients, strict=True):
            right = ADAM_RATE * g / (np.abs(g) + EPSILON)
            if not np.allclose(change, right, rtol=0, atol=0.02 * ADAM_RATE):
                raise WrongResult("the step is not Adam's")
        return gradients

    def check_gradients(self, gradients: Sequence[Any]) -> None:
        parts = zip(gradients, self.directions, self.slopes, strict=True)
        for number, (gradient, directions, slopes) in enumerate(parts):
            allowed = GRADIENT_TOLERANCE * float(np.linalg.norm(gradient))
            for direction, slope in zip(directions, slopes, strict=True):
                error = abs(float(np.vdot(gradient, direction)) - slope)
                if not error <= allowed:
                    text = f"gradient {number} is off by {error:.1e}, allowed {allowed:.1e}"
                    raise WrongResult(text)
