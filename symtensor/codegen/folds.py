"""Accumulators of reductions: how they begin, take an element, join across lanes, and end.

Float sums of more than a block add up blocks plainly and carry them in a compensated pair, which keeps
the error of long sums below that of pairwise summation. Combining across lanes is a fixed tree of
halves. The index of an extremum is carried beside it: the first one wins, and the first NaN wins over
all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from symtensor.codegen.cross_lane import any_lane, first_true, part
from symtensor.codegen.kernel import Value
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes, literal, splat_literal
from symtensor.ir import dims as D
from symtensor.ir.dtypes import DType, float32, int32, int64

BLOCK = 64
"""Steps that a float sum adds up plainly before the block joins the compensated pair."""

State = list[Lanes]
"""Accumulators of one reduction."""
Combine = Callable[[Lanes, Lanes], Lanes]


def fold_of(s: LaneScalars, result: Value, over_lanes: bool = False) -> Fold:
    """Return what computes a reduce value; `over_lanes` where lanes hold elements that are folded."""
    combiner = result.data.combiner
    if combiner in ("argmax", "argmin"):
        return StepFold(s, result) if over_lanes else IndexFold(s, result)
    if result.data.is_running:
        return RunningFold(s, result)
    rounding = combiner == "sum" and result.dtype.is_floating
    return SumFold(s, result) if rounding and not _is_short(result) else Fold(s, result)


def _is_short(result: Value) -> bool:
    terms = D.product(axis.extent for axis in result.data.axes)
    return isinstance(terms, int) and terms <= BLOCK


class Fold:
    """One accumulator, combined by a word of the scalar vocabulary."""

    is_blocked = False
    """True when blocks of elements are folded apart and then taken as one."""
    registers = 1
    """Accumulators of one vector, in vectors."""

    def __init__(self, s: LaneScalars, result: Value) -> None:
        self.s = s
        self.result = result.dtype
        self.dtype = _accumulator(result.args[0].dtype)
        self.combiner: str = result.data.combiner

    def identity(self, width: int) -> State:
        """Return the state that has taken nothing."""
        return [self.filled(neutral_element(self.combiner, self.dtype), self.dtype, width)]

    def filled(self, value: float | int | bool, dtype: DType, width: int) -> Lanes:
        """Return lanes that all hold a number."""
        one = Lanes(literal(value, dtype), dtype, 1)
        return Lanes(splat_literal(one, width), dtype, width)

    def taken(self, x: Lanes, mask: Lanes | None) -> Lanes:
        """Return an element, in lanes that a mask leaves out what changes no state."""
        if mask is None:
            return x
        combiner = {"argmax": "max", "argmin": "min"}.get(self.combiner, self.combiner)
        return self.s.select(mask, x, self.s.const(neutral_element(combiner, self.dtype), x.dtype))

    def update(self, state: State, x: Lanes, index: Lanes | None) -> State:
        """Return the state after one more element per lane; `index` is where it stands."""
        return [self.combine(state[0], self.widened(x)), *state[1:]]

    def widened(self, x: Lanes) -> Lanes:
        """Return an element in the accumulator's dtype."""
        return Lanes(x.text, self.dtype, x.width)

    def combine(self, x: Lanes, y: Lanes) -> Lanes:
        """Return two elements folded into one."""
        s = self.s
        words = {"sum": s.add, "prod": s.mul, "max": s.maximum, "min": s.minimum, "any": s.or_,
                 "all": s.and_}  # fmt: skip
        return words[self.combiner](x, y)

    def join(self, state: State, lanes: State) -> State:
        """Return a scalar state joined with the state of a vector."""
        total = self.total(lanes)
        if self.combiner in ("max", "min") and self.dtype.is_floating:
            return self.take_block(state, [extremum_of(self.s, total, self.combiner == "max")])
        return self.take_block(state, [across_lanes(self.s, total, self.combine)])

    def block_identity(self, width: int) -> State:
        """Return the state in which a block begins."""
        return self.identity(width)[:1]

    def take_block(self, state: State, block: State, start: Lanes | None = None) -> State:
        """Return the state after a block that was folded apart and began at index `start`."""
        return [self.combine(state[0], block[0])]

    def followed(self, state: State, later: State) -> State:
        """Return the scalar state of elements, and of others after them, that were folded apart."""
        return self.take_block(state, later)

    def total(self, state: State) -> Lanes:
        """Return the accumulated value in the accumulator's dtype."""
        return state[0]

    def finish(self, state: State) -> Lanes:
        """Return the result."""
        total = self.total(state)
        return self.s.round_to_dtype(Lanes(total.text, self.result, total.width))


class SumFold(Fold):
    """A float sum: (high, low) between blocks, one plain accumulator inside."""

    is_blocked = True

    def identity(self, width: int) -> State:
        zero = self.filled(0.0, self.dtype, width)
        return [zero, zero]

    def take_block(self, state: State, block: State, start: Lanes | None = None) -> State:
        """Return (high, low) + block without losing what rounding cuts off (Knuth, TAOCP 4.2.2)."""
        s, (high, low), value = self.s, state, block[0]
        total = s.add(high, value)
        virtual = s.sub(total, high)
        error = s.add(s.sub(high, s.sub(total, virtual)), s.sub(value, virtual))
        return [total, s.add(low, error)]

    def followed(self, state: State, later: State) -> State:
        high, low = self.take_block(state, later)
        return [high, self.s.add(low, later[1])]

    def total(self, state: State) -> Lanes:
        """Return high + low; an infinite sum has no meaningful low part."""
        high, low = state
        known = self.s.eq(low, low)
        return self.s.select(known, self.s.add(high, low), high)


class RunningFold(Fold):
    """A running sum or product: plain steps in order, as NumPy takes them."""

    def identity(self, width: int) -> State:
        """Return the state before the first element; -0 because a first element of -0 stays."""
        start = 1 if self.combiner == "prod" else -0.0 if self.dtype.is_floating else 0
        return [self.filled(start, self.dtype, width)]


class IndexFold(Fold):
    """The extremum so far and its index; inside a block the index has as few bits as the value."""

    is_blocked = True
    registers = 2

    def identity(self, width: int) -> State:
        """Return the worst value at index 0, which is right when nothing is better."""
        side = "max" if self.combiner == "argmax" else "min"
        worst = self.filled(neutral_element(side, self.dtype), self.dtype, width)
        return [worst, self.filled(0, int64, width)]

    def block_identity(self, width: int) -> State:
        return [self.identity(width)[0], self.filled(0, self.index_dtype, width)]

    @property
    def index_dtype(self) -> DType:
        """Dtype of an index counted from the start of its block."""
        return int64 if self.dtype.bits == 64 else int32

    def take_block(self, state: State, block: State, start: Lanes | None = None) -> State:
        assert start is not None
        index = self.s.add(self.s.cast(block[1], int64), start)
        return self._chosen(self._is_better(block[0], state[0]), [block[0], index], state)

    def followed(self, state: State, later: State) -> State:
        return self._chosen(self._is_better(later[0], state[0]), later, state)

    def update(self, state: State, x: Lanes, index: Lanes | None) -> State:
        """Return the state after a later element: only a better one replaces what is there."""
        assert index is not None
        x = self.widened(x)
        return self._chosen(self._is_better(x, state[0]), [x, index], state)

    def _chosen(self, condition: Lanes, one: State, other: State) -> State:
        return [self.s.select(condition, a, b) for a, b in zip(one, other, strict=True)]

    def _is_better(self, x: Lanes, best: Lanes) -> Lanes:
        s, rising = self.s, self.combiner == "argmax"
        if x.dtype.is_bool:
            return s.and_(x, s.not_(best)) if rising else s.and_(s.not_(x), best)
        if not x.dtype.is_floating:
            return s.lt(best, x) if rising else s.lt(x, best)
        beyond = s.compare("fcmp ugt" if rising else "fcmp ult", x, best)  # or one of them is NaN
        return s.and_(beyond, s.eq(best, best))

    def _first(self, one: State, other: State) -> State:
        """Return the better of two states; of equal ones that with the lower index."""
        s, (x, i), (y, j) = self.s, one, other
        worse = self._is_better(y, x)
        later = s.and_(s.not_(self._is_better(x, y)), s.lt(j, i))
        return self._chosen(s.or_(worse, later), other, one)

    def finish(self, state: State) -> Lanes:
        return state[1]


class StepFold(IndexFold):
    """The extremum of every lane and the step at which it came; a step takes as many elements as lanes."""

    is_blocked = False

    def identity(self, width: int) -> State:
        return [super().identity(width)[0], self.filled(0, self.index_dtype, width)]

    def join(self, state: State, lanes: State) -> State:
        """Find the best value first, then the earliest step at which a lane has it, then the lane."""
        s, (values, steps) = self.s, lanes
        best = self._best(values)
        missed = self._is_better(best, values)
        late = self.filled(np.iinfo(steps.dtype.numpy).max, steps.dtype, steps.width)
        steps = s.select(missed, late, steps)
        step = across_lanes(s, steps, s.minimum)
        lane = first_true(s, s.eq(steps, step))
        first = s.mul(s.cast(step, int64), s.const(values.width, int64))
        return self._first(state, [best, s.add(first, lane)])

    def _best(self, values: Lanes) -> Lanes:
        """Return the best value of lanes, NaN where there is one."""
        s = self.s
        if not values.dtype.is_floating:
            return across_lanes(s, values, lambda x, y: s.select(self._is_better(y, x), y, x))
        return extremum_of(s, values, self.combiner == "argmax")


def extremum_of(s: LaneScalars, x: Lanes, is_largest: bool) -> Lanes:
    """Return the largest or smallest of float lanes, NaN where there is one: that is asked once for all."""
    order, half = "fcmp ogt" if is_largest else "fcmp olt", x.width // 2
    best = across_lanes(s, x, lambda a, b: s.select(s.compare(order, a, b), a, b))
    unordered = s.compare("fcmp uno", part(s, x, 0, half), part(s, x, half, half))
    return s.select(any_lane(s, unordered), s.const(float("nan"), x.dtype), best)


def across_lanes(s: LaneScalars, x: Lanes, combine: Combine) -> Lanes:
    """Combine the lanes of a vector by halves."""
    width = x.width
    while width > 1:
        width //= 2
        x = combine(part(s, x, 0, width), part(s, x, width, width))
    return x


def _accumulator(dtype: DType) -> DType:
    """Return the dtype in which a reduction adds up: half and bfloat16 add up in float."""
    return float32 if dtype.is_floating and dtype.bits == 16 else dtype


def neutral_element(combiner: str, dtype: DType) -> float | int | bool:
    """Return the value that a reduction starts from."""
    if combiner in ("sum", "prod"):
        return 0 if combiner == "sum" else 1
    if combiner in ("any", "all"):
        return combiner == "all"
    if dtype.is_bool:
        return combiner == "min"
    if dtype.is_floating:
        return float("-inf") if combiner == "max" else float("inf")
    info = np.iinfo(dtype.numpy)
    return int(info.min if combiner == "max" else info.max)
