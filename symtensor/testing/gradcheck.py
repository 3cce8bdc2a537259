"""Gradients against finite differences.

The derivative that the op rules give is compared, in float64, with central differences of three
step sizes extrapolated by Richardson's scheme (error of the order of the sixth power of the step).
Small problems compare the whole Jacobian, large ones products with random directions. The second
order differentiates the gradient itself and compares in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.autodiff.gradients import gradients
from symtensor.engines.base import Engine
from symtensor.function import Function, function
from symtensor.ir.tensor import Tensor
from symtensor.ops.elementwise import add, multiply
from symtensor.ops.inputs import placeholder
from symtensor.ops.reduction import sum as sum_

Array = np.ndarray[Any, Any]
FULL = 64
"""Most elements for which the whole Jacobian is compared."""
STEP = 2.0**-9
"""Largest step; a power of two, so that x + h is off by no more than the rounding of x."""


def check_gradients(
    build: Callable[..., Any],
    arrays: Sequence[Any],
    wrt: Sequence[int] | None = None,
    order: int = 2,
    rtol: float = 1e-6,
    engine: str | Engine | None = "numpy",
    seed: int = 0,
) -> None:
    """Raise `AssertionError` where a gradient of ``build(*tensors)`` is not the derivative.

    `arrays` are the values of the tensors; `wrt` numbers those to differentiate by (float64 ones;
    all of them when None). Results that are not float are left out. `order` 2 also checks the
    second derivative. Stay away from kinks: half a step to each side the function must be smooth.
    """
    values = [np.asarray(x) for x in arrays]
    chosen = [i for i, x in enumerate(values) if x.dtype == np.float64] if wrt is None else wrt
    for i in chosen:
        if values[i].dtype != np.float64:
            raise TypeError(f"input {i} is {values[i].dtype}; gradients are checked in float64")
    problem = _build(build, values, list(chosen), engine)
    if problem is None:
        raise TypeError("no float result to differentiate")
    rng = np.random.default_rng(seed)
    _check_first(problem, rng, rtol)
    if order > 1:
        _check_second(problem, rng, rtol)


@dataclass(slots=True)
class _Problem:
    """A function, its pullback, and the pullback's pullback, compiled."""

    values: list[Array]
    wrt: list[int]
    forward: Function
    """inputs -> float results."""
    pullback: Function
    """inputs, cotangents of the results -> cotangents of the inputs `wrt`."""
    second: Function
    """inputs, cotangents, directions -> derivative of <pullback, directions> by the inputs."""
    shapes: list[tuple[int, ...]]
    """Shapes of the float results."""

    def at(self, point: Array) -> list[Array]:
        """Return the inputs with the elements of those `wrt` taken from a flat vector."""
        out = list(self.values)
        for i, part in zip(
            self.wrt, _unflatten(point, [x.shape for x in self.chosen]), strict=True
        ):
            out[i] = part
        return out

    @property
    def chosen(self) -> list[Array]:
        """Values of the inputs `wrt`."""
        return [self.values[i] for i in self.wrt]


def _build(
    build: Callable[..., Any], values: list[Array], wrt: list[int], engine: Any
) -> _Problem | None:
    inputs = [placeholder(x.shape, x.dtype, name=f"x{i}") for i, x in enumerate(values)]
    built = build(*inputs)
    results = [y for y in _tensors(built) if y.dtype.is_floating]
    if not results or not wrt:
        return None
    sources = [inputs[i] for i in wrt]
    cotangents = [placeholder(y.shape, y.dtype, name=f"g{i}") for i, y in enumerate(results)]
    directions = [placeholder(x.shape, x.dtype, name=f"d{i}") for i, x in enumerate(sources)]
    pulled = gradients(None, sources, known=dict(zip(results, cotangents, strict=True)))
    second = gradients(_dot(pulled, directions), sources)

    def compiled(extra: list[Tensor], outputs: Any) -> Function:
        # no passes: what is checked are the rules, not what the optimizer makes of them
        return function(
            [*inputs, *extra], outputs, on_unused_input="ignore", engine=engine, passes=[]
        )

    return _Problem(
        values,
        wrt,
        compiled([], results),
        compiled(cotangents, pulled),
        compiled([*cotangents, *directions], second),
        [np.shape(y) for y in compiled([], results)(*values)],
    )


def _tensors(built: Any) -> list[Tensor]:
    return [built] if isinstance(built, Tensor) else list(built)


def _dot(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Tensor:
    total = sum_(multiply(xs[0], ys[0]))
    for x, y in zip(xs[1:], ys[1:], strict=True):
        total = add(total, sum_(multiply(x, y)))
    return total


# --- comparing -----------------------------------------------------------------------------------


def _check_first(problem: _Problem, rng: np.random.Generator, rtol: float) -> None:
    x = _flat(problem.chosen)
    results = sum(int(np.prod(shape)) for shape in problem.shapes)

    def forward(point: Array) -> Array:
        return _flat(problem.forward(*problem.at(point)))

    def pull(cotangent: Array) -> Array:
        seeds = _unflatten(cotangent, problem.shapes)
        return _flat(problem.pullback(*problem.values, *seeds))

    scale = float(np.max(np.abs(forward(x)), initial=1.0))
    if x.size <= FULL and results <= FULL:
        numeric = np.array([_derivative(forward, x, e) for e in np.eye(x.size)])
        analytic = np.array([pull(e) for e in np.eye(results)]).reshape(results, x.size)
        _compare("Jacobian", analytic, numeric.reshape(x.size, results).T, rtol, scale)
        return
    for v in rng.standard_normal((3, x.size)):
        w = rng.standard_normal(results)
        numeric = np.array([w @ _derivative(forward, x, v)])
        _compare("directional derivative", np.array([pull(w) @ v]), numeric, rtol, scale * x.size)


def _check_second(problem: _Problem, rng: np.random.Generator, rtol: float) -> None:
    x = _flat(problem.chosen)
    seeds = [np.asarray(rng.standard_normal(shape)) for shape in problem.shapes]

    def pull(point: Array) -> Array:
        return _flat(problem.pullback(*problem.at(point), *seeds))

    scale = float(np.max(np.abs(pull(x)), initial=1.0))
    for v in rng.standard_normal((2, x.size)):
        directions = _unflatten(v, [c.shape for c in problem.chosen])
        analytic = _flat(problem.second(*problem.values, *seeds, *directions))
        numeric = _derivative(pull, x, v)
        _compare("second derivative", analytic, numeric, 10 * rtol, scale)


def _derivative(f: Callable[[Array], Array], x: Array, v: Array) -> Array:
    """Return the derivative of `f` at `x` along `v` by extrapolated central differences."""
    length = float(np.max(np.abs(v), initial=1.0))

    def difference(h: float) -> Array:
        return np.asarray((f(x + h * v) - f(x - h * v)) / (2 * h))

    h = STEP / length
    coarse, middle, fine = difference(h), difference(h / 2), difference(h / 4)
    first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    return np.asarray((16 * second - first) / 15)


def _compare(what: str, analytic: Array, numeric: Array, rtol: float, scale: float) -> None:
    noise = 64 * np.finfo(np.float64).eps * scale / STEP
    error = np.abs(analytic - numeric)
    limit = rtol * np.maximum(np.abs(analytic), np.abs(numeric)) + max(noise, 1e-3 * rtol)
    wrong = np.argwhere(~(error <= limit))
    if len(wrong):
        lines = [f"{what}: {len(wrong)} of {analytic.size} elements differ"]
        for index in map(tuple, wrong[:5]):
            lines.append(
                f"  {list(map(int, index))}: analytic {analytic[index]:.12g}, "
                f"numeric {numeric[index]:.12g}"
            )
        raise AssertionError("\n".join(lines))


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.zeros(0), *(np.ravel(x) for x in arrays)])


def _unflatten(vector: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    out, start = [], 0
    for shape in shapes:
        count = int(np.prod(shape))
        out.append(np.reshape(vector[start : start + count], shape))
        start += count
    return out
