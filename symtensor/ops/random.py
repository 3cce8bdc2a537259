"""Random numbers: counter-based, so that the same seed gives the same bits on every engine.

The generator is Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
A state is uint64[4]: key, draw number, call number, 0. The block with counter (b, draw, call, 0) under
key (key, 0) gives four 64-bit words; word i of a draw is word i % 4 of block i // 4. That is
``numpy.random.Philox(key=(key, 0), counter=...)`` one block on, word for word.

A float in [0, 1) is the top 53 bits of a word times 2**-53 (24 bits and 2**-24 for float32). All other
distributions are ordinary ops on such floats, so they fuse, and gradients flow to their parameters.

Each call of a `RandomStream` method is a draw with a state variable of its own, whose default update
raises the call number. A function that reaches the draw advances it once per call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, DTypeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.dtypes import DType, as_dtype, float32, float64, int64, uint64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import (
    elementwise,
    indexing,
    logic,
    reduction,
    rounding,
    selection,
    sort,
    trigonometry,
)
from symtensor.ops.attributes import as_int, as_number, index_of, normalize_dim
from symtensor.ops.build import TensorLike, apply, as_tensor, broadcast, cast_to, normalize_axis
from symtensor.ops.families import Draw
from symtensor.ops.registry import define
from symtensor.ops.variables import Variable, variable

# --- the primitive -------------------------------------------------------------------------------


def _infer_bits(state: TensorType, *, shape: Shape) -> TensorType:
    if state.dtype is not uint64 or not D.same_shape(state.shape, (4,)):
        raise DTypeError(f"expected a random state u64[4], found {state}")
    return TensorType(uint64, shape)


def _philox_words(xp: Any, state: Any, *, shape: tuple[int, ...]) -> Any:
    count = int(np.prod(shape, dtype=np.int64))
    key, draw, call, high = (int(v) for v in state)
    # NumPy steps the counter before a block: start one below, over all 256 bits
    start = (draw << 64 | call << 128 | high << 192) - 1
    # arrays, not lists: NumPy reads a list with a word above 2**63 as floats
    counter = np.array([(start >> 64 * i) & (2**64 - 1) for i in range(4)], np.uint64)
    generator = np.random.Philox(key=np.array([key, 0], np.uint64), counter=counter)
    return xp.asarray(generator.random_raw(count)).reshape(shape)


RANDOM_BITS = define(
    "random_bits",
    infer=_infer_bits,
    evaluate=_philox_words,
    vjp=lambda g, y, state, *, shape: (None,),
    family=Draw(),
    doc="Uniform 64-bit words from a Philox state.",
)


def random_bits(state: Tensor, shape: Sequence[Any]) -> Tensor:
    """Return uint64 words; the same state gives the same words."""
    return apply(RANDOM_BITS, state, shape=_shape(shape))


def _shape(shape: Any) -> Shape:
    if isinstance(shape, str):
        raise AttributeValueError(f"expected a shape, found {shape!r}", code="ST0306")
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(normalize_dim(size, axis) for axis, size in enumerate(sizes))


# --- pure functions of a state -------------------------------------------------------------------


def _float_type(dtype: Any) -> DType:
    found = as_dtype(dtype)
    if not found.is_floating:
        raise DTypeError(f"expected a float dtype, found {found}", code="ST0202")
    return found


def unit_floats(state: Tensor, shape: Sequence[Any], dtype: Any = float32) -> Tensor:
    """Return floats in [0, 1), every multiple of 2**-24 (2**-53 for float64) equally likely."""
    kind = _float_type(dtype)
    bits = 53 if kind is float64 else 11 if kind.bits == 16 else 24
    wide = kind if kind.bits >= 32 else float32
    words = logic.right_shift(random_bits(state, shape), np.uint64(64 - bits))
    return cast_to(cast_to(words, wide) * 2.0**-bits, kind)


def uniform(
    state: Tensor, shape: Any, low: TensorLike = 0.0, high: TensorLike = 1.0, dtype: Any = float32
) -> Tensor:
    """Return floats uniform in [low, high)."""
    kind = _float_type(dtype)
    a, b = as_tensor(low, kind), as_tensor(high, kind)
    value = a + unit_floats(state, _shape(shape), kind) * (b - a)
    # rounding may reach `high`: step back below it
    return logic.where(value < b, value, rounding.nextafter(*broadcast(b, a)))


def normal(
    state: Tensor, shape: Any, mean: TensorLike = 0.0, std: TensorLike = 1.0, dtype: Any = float32
) -> Tensor:
    """Return normal floats by Box and Muller's transform of two uniform floats per value."""
    kind = _float_type(dtype)
    sizes = _shape(shape)
    wide = kind if kind.bits >= 32 else float32
    u = unit_floats(state, (2, *sizes), wide)
    radius = elementwise.sqrt(-2.0 * elementwise.log1p(-u[0]))
    z = radius * trigonometry.cos((2 * math.pi) * u[1])
    return cast_to(z, kind) * as_tensor(std, kind) + as_tensor(mean, kind)


def truncated_normal(
    state: Tensor, shape: Any, mean: TensorLike = 0.0, std: TensorLike = 1.0, dtype: Any = float32
) -> Tensor:
    """Return normal floats within two standard deviations, by inverting the distribution."""
    kind = _float_type(dtype)
    edge = math.erf(2 / math.sqrt(2))
    u = unit_floats(state, _shape(shape), float64)
    z = math.sqrt(2) * erfinv((2 * u - 1) * edge)
    z = selection.clip(z, -2.0, 2.0)
    return cast_to(z, kind) * as_tensor(std, kind) + as_tensor(mean, kind)


_CENTRAL = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
         -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


_TAIL_END = 1.05
"""Where the second polynomial ends: w is 16.4, beyond what single precision has beside 1."""


def erfinv(x: TensorLike) -> Tensor:
    """Return the inverse error function: infinite at -1 and 1, NaN beyond.

    Giles' single-precision polynomials ("Approximating the erfinv function", 2012), beyond their end a
    line, and one of Halley's steps, which triple the correct digits, or two in double precision. Beside
    1 these compare erfc with 1 - x, which is exact.
    """
    from symtensor.ops.special import erf, erfc

    x = as_tensor(x)
    size, sign = elementwise.abs(x), elementwise.sign(x)
    w = -elementwise.log((1 - size) * (1 + size))
    near, whole = w - 2.5, elementwise.sqrt(selection.maximum(w, 5.0)) - 3.0
    far = selection.minimum(whole, _TAIL_END)
    p, q = as_tensor(_CENTRAL[0], x.dtype), as_tensor(_TAIL[0], x.dtype)
    for a, b in zip(_CENTRAL[1:], _TAIL[1:], strict=True):
        p, q = p * near + a, q * far + b
    y: Tensor = logic.where(w < 5.0, p, q + 1.01 * (whole - far)) * x
    for _ in range(2 if x.dtype is float64 else 1):
        missing = logic.where(size < 0.5, x - erf(y), sign * (erfc(sign * y) - (1 - sign * x)))
        step = missing * (math.sqrt(math.pi) / 2 * elementwise.exp(y * y))
        y = y + step / (1 - y * step)
    return logic.where(logic.equal(size, 1), sign * math.inf, y)


def bernoulli(state: Tensor, shape: Any, p: TensorLike = 0.5, dtype: Any = float32) -> Tensor:
    """Return 1 with probability `p`, else 0."""
    u = unit_floats(state, _shape(shape), float32)
    return logic.cast(u < as_tensor(p, float32), dtype)


def binomial(
    state: Tensor, shape: Any, n: int = 1, p: TensorLike = 0.5, dtype: Any = int64
) -> Tensor:
    """Return the number of successes in `n` trials of probability `p`; work grows with `n`."""
    n = as_int(n, "binomial: n", 0)
    trials = bernoulli(state, (n, *_shape(shape)), p, int64)
    return logic.cast(reduction.sum(trials, 0), dtype)


def randint(state: Tensor, shape: Any, low: int, high: int, dtype: Any = int64) -> Tensor:
    """Return integers uniform in [low, high); the bias is below (high - low) / 2**64."""
    low, high = as_int(low, "randint: low"), as_int(high, "randint: high")
    if high <= low:
        raise AttributeValueError(f"randint: expected low < high, found {low} and {high}")
    words = random_bits(state, _shape(shape))
    inside = elementwise.remainder(words, as_tensor(np.uint64(high - low)))
    return logic.cast(logic.cast(inside, int64) + low, dtype)


def exponential(state: Tensor, shape: Any, scale: TensorLike = 1.0, dtype: Any = float32) -> Tensor:
    """Return exponentially distributed floats of mean `scale`."""
    kind = _float_type(dtype)
    return -elementwise.log1p(-unit_floats(state, _shape(shape), kind)) * as_tensor(scale, kind)


def gumbel(state: Tensor, shape: Any, dtype: Any = float32) -> Tensor:
    """Return standard Gumbel floats: -log of exponential ones."""
    return -elementwise.log(exponential(state, shape, 1.0, dtype))


def permutation(state: Tensor, n: Any) -> Tensor:
    """Return 0 … n - 1 in random order, as int64."""
    return sort.argsort(random_bits(state, (normalize_dim(n),)), 0)


def shuffle(state: Tensor, x: TensorLike, axis: int = 0) -> Tensor:
    """Return `x` with its slices along `axis` in random order."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    return indexing.take(x, permutation(state, x.shape[axis]), axis)


# --- streams -------------------------------------------------------------------------------------

_ADVANCE = np.array([0, 0, 1, 0], np.uint64)


def _seed(seed: Any) -> int:
    number = index_of(seed)
    if number is None or not 0 <= number < 2**64:
        raise AttributeValueError(f"expected a seed from 0 to 2**64 - 1, found {seed!r}")
    return number


class RandomStream:
    """A source of draws from one seed; its methods are the functions of this module, less the state.

    Draws are numbered in the order they are made, so a program draws the same numbers each time it
    is built with the same seed.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed_value = _seed(seed)
        self.states: list[Variable] = []

    def state(self) -> Variable:
        """Return the state of a new draw, which advances with every call that reads it."""
        number = len(self.states)
        start = np.array([self.seed_value, number, 0, 0], np.uint64)
        state = variable(start, name=f"rng{number}")
        state.default_update = elementwise.add(state, _ADVANCE)
        self.states.append(state)
        return state

    def seed(self, seed: int) -> None:
        """Start all draws anew from another seed."""
        self.seed_value = _seed(seed)
        for number, state in enumerate(self.states):
            state.set_value(np.array([self.seed_value, number, 0, 0], np.uint64))

    def uniform(
        self, shape: Any = (), low: TensorLike = 0.0, high: TensorLike = 1.0, dtype: Any = float32
    ) -> Tensor:
        """Return floats uniform in [low, high)."""
        return uniform(self.state(), shape, low, high, dtype)

    def normal(
        self, shape: Any = (), mean: TensorLike = 0.0, std: TensorLike = 1.0, dtype: Any = float32
    ) -> Tensor:
        """Return normal floats."""
        return normal(self.state(), shape, mean, std, dtype)

    def truncated_normal(
        self, shape: Any = (), mean: TensorLike = 0.0, std: TensorLike = 1.0, dtype: Any = float32
    ) -> Tensor:
        """Return normal floats within two standard deviations."""
        return truncated_normal(self.state(), shape, mean, std, dtype)

    def bernoulli(self, shape: Any = (), p: TensorLike = 0.5, dtype: Any = float32) -> Tensor:
        """Return 1 with probability `p`, else 0."""
        return bernoulli(self.state(), shape, p, dtype)

    def binomial(
        self, shape: Any = (), n: int = 1, p: TensorLike = 0.5, dtype: Any = int64
    ) -> Tensor:
        """Return the number of successes in `n` trials."""
        return binomial(self.state(), shape, n, p, dtype)

    def randint(self, shape: Any, low: int, high: int, dtype: Any = int64) -> Tensor:
        """Return integers uniform in [low, high)."""
        return randint(self.state(), shape, low, high, dtype)

    def exponential(self, shape: Any = (), scale: TensorLike = 1.0, dtype: Any = float32) -> Tensor:
        """Return exponentially distributed floats."""
        return exponential(self.state(), shape, scale, dtype)

    def gumbel(self, shape: Any = (), dtype: Any = float32) -> Tensor:
        """Return standard Gumbel floats."""
        return gumbel(self.state(), shape, dtype)

    def permutation(self, n: Any) -> Tensor:
        """Return 0 … n - 1 in random order."""
        return permutation(self.state(), n)

    def shuffle(self, x: TensorLike, axis: int = 0) -> Tensor:
        """Return `x` with its slices along `axis` in random order."""
        return shuffle(self.state(), x, axis)

    def dropout_mask(self, shape: Any, rate: float, dtype: Any = float32) -> Tensor:
        """Return 1 / (1 - rate) with probability 1 - rate, else 0."""
        keep = 1.0 - (rate if isinstance(rate, Tensor) else as_number(rate, "dropout_mask: rate"))
        return bernoulli(self.state(), shape, keep, dtype) / keep


__all__ = [
    "RandomStream", "bernoulli", "binomial", "erfinv", "exponential", "gumbel",
    "normal", "permutation", "randint", "random_bits", "shuffle", "truncated_normal",
    "uniform", "unit_floats",
]  # fmt: skip
