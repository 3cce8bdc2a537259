"""What a sample of the Keras backend is, and how one is checked.

A `Sample` calls one K function on small arrays and names an independent truth: NumPy, SciPy, or values
recorded from TensorFlow. Its float arrays are float64; `check` runs it in float64 with sizes known and in
float32 with sizes unknown, compares values, dtypes and shapes with the truth, and gradients with central
differences of the truth in float64. A `Fact` says what holds of functions that have no numbers to compare:
names, settings, state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from symtensor import backend as K

RNG = np.random.default_rng(0)
A, B, C = (RNG.normal(size=(3, 4)) for _ in range(3))
CUBE = RNG.normal(size=(2, 3, 4))
ROW, COLUMN = RNG.normal(size=4), RNG.normal(size=3)
POSITIVE = np.abs(A) + 0.5
BOOLS = A > 0
INTS = np.array([[3, -1, 2], [0, 2, -4]], "i4")

STEP = 1e-6  # of the differences


@dataclass(frozen=True, eq=False)
class Sample:
    """One call of a K function with its truth."""

    name: str
    """The K function it shows."""
    truth: Callable[..., Any]
    """From arrays to an array, or to a tuple of them."""
    arrays: tuple[np.ndarray, ...]
    """Arrays to feed."""
    build: Callable[..., Any]
    """From placeholders to a tensor, or to several."""
    note: str = ""
    """What is special about it; part of the test's name."""
    gives: str | tuple[str, ...] = "float"
    """Dtypes of the results; "float" is that of the float arrays, in which gradients are checked."""
    slopes: bool = True
    """Whether the truth is differentiable there."""
    known: tuple[int, ...] = ()
    """Arrays whose sizes the function needs to know when it is built."""

    def __str__(self) -> str:
        return f"{self.name}: {self.note}" if self.note else self.name

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Dtype of each result."""
        return (self.gives,) if isinstance(self.gives, str) else self.gives

    @cached_property
    def floats(self) -> list[int]:
        """Which arrays hold floats."""
        return [i for i, x in enumerate(self.arrays) if x.dtype.kind == "f"]

    def true(self, arrays: Any = None) -> list[np.ndarray]:
        """Return the truth, one array per result."""
        found = self.truth(*(self.arrays if arrays is None else arrays))
        return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]

    @cached_property
    def weights(self) -> list[np.ndarray | None]:
        """Return numbers to add float results up with, so that errors don't cancel out."""
        rng = np.random.default_rng(1)
        pairs = zip(self.true(), self.kinds, strict=True)
        return [rng.normal(size=y.shape) if kind == "float" else None for y, kind in pairs]

    @cached_property
    def true_slopes(self) -> list[np.ndarray]:
        """Return the gradient of the weighted sum of the truth by each float array."""

        def total(which: int, place: Any, by: float) -> float:
            arrays = [x.copy() for x in self.arrays]
            arrays[which][place] += by
            pairs = zip(self.true(arrays), self.weights, strict=True)
            return sum(float((y * w).sum()) for y, w in pairs if w is not None)

        def slope(which: int) -> np.ndarray:
            out = np.empty(self.arrays[which].shape)
            for at in np.ndindex(out.shape):
                out[at] = (total(which, at, STEP) - total(which, at, -STEP)) / (2 * STEP)
            return out

        return [slope(which) for which in self.floats]


@dataclass(frozen=True, eq=False)
class Fact:
    """What holds of K functions: `holds` asserts it."""

    names: tuple[str, ...]
    """The K functions it shows."""
    holds: Callable[[], None]

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.holds.__name__}"


SAMPLES: list[Sample] = []
FACTS: list[Fact] = []


def sample(
    name: str, truth: Callable[..., Any], *arrays: Any, build: Any = None, note: str = "",
    gives: Any = "float", slopes: bool = True, known: Any = (), **options: Any,
) -> None:  # fmt: skip
    """Add a sample; without `build` it calls the function with the arrays and `options`.

    `known` is True where all sizes must be known, False where none must.
    """

    def call(*xs: Any) -> Any:
        return getattr(K, name)(*xs, **options)

    given = tuple(np.asarray(x) for x in arrays)
    known = tuple(range(len(given)) if known is True else known or ())
    SAMPLES.append(Sample(name, truth, given, build or call, note, gives, slopes, known))


def fact(*names: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Return a decorator that adds what a function asserts as a fact of K functions."""

    def add(holds: Callable[[], None]) -> Callable[[], None]:
        FACTS.append(Fact(names, holds))
        return holds

    return add


def check(sample: Sample, kind: str) -> None:
    """Run a sample with floats of a dtype, and compare all that it gives."""
    arrays = [x.astype(kind) if x.dtype.kind == "f" else x for x in sample.arrays]
    known = range(len(arrays)) if kind == "float64" else sample.known
    xs = [
        K.placeholder(x.shape if i in known else (None,) * x.ndim, dtype=str(x.dtype))
        for i, x in enumerate(arrays)
    ]
    built = sample.build(*xs)
    ys = list(built) if isinstance(built, (list, tuple)) else [built]
    assert len(ys) == len(sample.kinds)
    slopes = _slopes(sample, xs, ys, kind) if sample.slopes else []
    found = K.function(xs, [*ys, *slopes])(arrays)
    for y, value, true, gives in zip(ys, found, sample.true(), sample.kinds, strict=False):
        _check_type(y, value, true, kind if gives == "float" else gives)
        close(value, true, *((1e-9, 1e-12) if value.dtype == "float64" else (2e-5, 2e-6)))
    for value, true in zip(found[len(ys) :], sample.true_slopes if slopes else (), strict=True):
        assert value.dtype == kind
        close(value, true, *((1e-6, 1e-8) if kind == "float64" else (1e-4, 1e-4)))


def _slopes(sample: Sample, xs: list[Any], ys: list[Any], kind: str) -> list[Any]:
    terms = [
        K.sum(y * K.constant(w, dtype=kind))
        for y, w in zip(ys, sample.weights, strict=True)
        if w is not None
    ]
    return K.gradients(sum(terms[1:], terms[0]), [xs[i] for i in sample.floats]) if terms else []


def _check_type(y: Any, value: np.ndarray, true: np.ndarray, dtype: str) -> None:
    assert value.dtype == dtype and K.dtype(y) == dtype
    assert value.shape == true.shape and K.ndim(y) == value.ndim
    pairs = zip(K.int_shape(y), value.shape, strict=True)
    assert all(size in (None, real) for size, real in pairs)


def close(found: np.ndarray, true: np.ndarray, rtol: float, atol: float) -> None:
    """Assert that arrays agree."""
    np.testing.assert_allclose(found.astype("f8"), true.astype("f8"), rtol=rtol, atol=atol)
