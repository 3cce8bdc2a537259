"""Sweeps: loops over rows that fold along their columns on the way, each row element by element.

    for part:                                threads share the parts
      clear the accumulators of the part
      for block of rows:
        for row: ...; for column: ...; accumulator[column] <- accumulator[column] + x
        for column: what the block has summed joins the compensated pair
    for column: join the parts in order; ...

What is folded over all has an accumulator for each column too; when a block of rows ends, these become one.
A row of accumulators lies in scratch memory, one row for each number of a fold's state, and stays in the
nearest cache. Lengths of parts depend on sizes alone, and a column is added up in the order of its rows, so
the bits of a result depend neither on threads nor on lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from symtensor.codegen.folds import BLOCK, Fold, State, fold_of
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Let,
    Loop,
    Reduce,
    Stmt,
    Update,
    Value,
    make_affine,
)
from symtensor.codegen.memory import aligned
from symtensor.codegen.sharing import PARTS, length_and_parts
from symtensor.ir import dims as D
from symtensor.ir.alignment import ALIGNMENT
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

ROWS = 16
"""Rows of a part, at least: beginning and joining each takes as long as some rows."""
SHARED = 2
"""Parts that there are to be, rather than whole blocks."""
TOGETHER = 2
"""Rows that are folded at a time."""
APART = ALIGNMENT
"""Bytes between rows of accumulators: at multiples of a page they would displace each other in the caches."""
SCRATCH = 4 << 20
"""Bytes of the accumulators of all parts, about at most."""


@dataclass(frozen=True, slots=True)
class Word:
    """One number of the state of a fold: an accumulator, or a row of them, one for each column."""

    start: int
    """Byte in the memory of a part."""
    dtype: DType


@dataclass(frozen=True, slots=True)
class Accumulator:
    """What one fold of a sweep has in memory."""

    fold: Fold
    has_columns: bool
    """True for a fold that takes an element of each column, False for one of values of rows."""
    is_whole: bool
    """True for a fold over the columns too: a row of accumulators becomes one when a block of rows ends."""
    carried: tuple[Word, ...]
    """Its state between blocks."""
    block: tuple[Word, ...]
    """Its state inside of a block; none for a fold that knows no blocks."""

    @property
    def open(self) -> tuple[Word, ...]:
        """Where it takes elements."""
        return self.block or self.carried


class Accumulators:
    """The accumulators of a sweep, in the memory of one of its parts."""

    def __init__(self, e: Emitter, sweep: Reduce, start: int) -> None:
        self.e = e
        self.sweep = sweep
        self.start = start
        """Byte among the partials at which those of the first part begin."""
        folded = next(result for result in sweep.results if result.axes)
        loops = _loops_to_update(sweep, folded)
        kept = [loop.axis for loop in loops if loop.axis in folded.axes]
        self.rows = loops[: len(loops) - len(kept)]
        """The loops that all is folded over."""
        self.column = _row_major(kept)
        self.count = _length(kept)
        """Columns."""
        self.bytes = 0
        """Memory of a part."""
        self.folds = {x: self._reserve(x) for x in sweep.results}
        self.open: dict[Value, State] | None = None
        """States of the current column while several rows are folded."""
        self.base = ""
        """Where the part begins that is being folded."""

    def _reserve(self, result: Value) -> Accumulator:
        """Give a fold its memory."""
        fold = fold_of(self.e.s, result)
        has_columns = len(_loops_to_update(self.sweep, result)) > len(self.rows)
        is_whole = has_columns and not result.axes
        carried = self._words(fold.identity(1), self.count if result.axes else 1)
        block = fold.block_identity(1) if fold.is_blocked or is_whole else []
        rows = self._words(block, self.count if has_columns else 1)
        return Accumulator(fold, has_columns, is_whole, carried, rows)

    def _words(self, state: State, count: int) -> tuple[Word, ...]:
        words = []
        for lanes in state:
            words.append(Word(self.bytes, lanes.dtype))
            self.bytes = aligned(self.bytes + count * lanes.dtype.itemsize) + APART
        return tuple(words)

    @property
    def most_parts(self) -> int:
        """How many parts there are at most."""
        _, parts = self.length_and_parts()
        return parts if isinstance(parts, int) else self._limit

    @property
    def _limit(self) -> int:
        return max(min(SCRATCH // self.bytes, PARTS), 4)

    def length_and_parts(self) -> tuple[Dim, Dim]:
        """Return the rounds of a part and the number of parts.

        Parts are whole blocks, but of few rows some are to be for other threads.
        """
        outer, *others = (loop.axis.extent for loop in self.rows)
        cut = partial(length_and_parts, outer, D.product(others) * self.count, most=self._limit)
        if others:
            return cut()
        shared = D.floordiv(outer, SHARED * ROWS) * ROWS
        (blocks, _), (rows, _) = cut(block=BLOCK), cut(block=ROWS)
        length = D.maximum(rows, D.minimum(blocks, shared))
        return length, D.ceildiv(outer, length)

    def of_part(self, part: str) -> str:
        """Return where the memory of a part begins."""
        first = self.e.element("i8", "%partials", str(self.start))
        return self.e.element(f"[{self.bytes} x i8]", first, part)

    # --- folding ------------------------------------------------------------------------------------

    def fold(self, part: str, first: str, last: str) -> None:
        """Emit the fold of a part, some rounds of the outermost loop."""
        self.base = self.of_part(part)
        self._clear()
        self.e.folding = self
        self._rows(0, first, last)
        self.e.folding = None

    def _rows(self, depth: int, first: str, last: str) -> None:
        """Emit some rounds of a loop over rows, the innermost one in blocks."""
        loop = self.rows[depth]
        if depth + 1 < len(self.rows):
            inner = self.rows[depth + 1]

            def body() -> None:
                for stmt in loop.body:
                    if stmt is inner:
                        self._rows(depth + 1, "0", self.e.size(inner.axis.extent))
                    else:
                        self.e.block([stmt])

            self.e.counted(loop.axis, first, last, 1, body)
        elif not any(one.block for one in self.folds.values()):
            self._innermost(loop, first, last)
        else:
            self.e.counted(Axis("block", 0), first, last, BLOCK, lambda: self._block(loop, last))

    def _block(self, loop: Loop, last: str) -> None:
        first = self.e.scopes[-1].index
        end = self.e.bounded(first, BLOCK, last)
        self._innermost(loop, first, end)
        self._end_block()

    def _innermost(self, loop: Loop, first: str, last: str) -> None:
        """Emit rows, some at a time: their elements of one column then meet in registers."""
        e, count = self.e, self._rows_at_a_time(loop)
        if count > 1:
            start, first = first, e.main_end(last, count, first)
            e.counted(loop.axis, start, first, count, lambda: self._several(loop, count))
        e.counted(loop.axis, first, last, 1, lambda: e.block(loop.body))

    def _rows_at_a_time(self, loop: Loop) -> int:
        """Return how many rows go together: one where a row is no plain loop at its end."""
        last = loop.body[-1]
        if not isinstance(last, Loop) or any(isinstance(s, (Loop, Reduce)) for s in last.body):
            return 1
        return TOGETHER

    def _several(self, loop: Loop, count: int) -> None:
        """Emit `count` rows: first what each of them begins with, then their last loops as one."""
        e, (*begin, last) = self.e, loop.body
        assert isinstance(last, Loop)
        around = e.scopes.pop()
        places = [e.plus(around.index, k) for k in range(count)]
        rows = [e.round(loop.axis, place, lambda: None) for place in places]
        for stmt in begin:
            for row in rows:  # in turn, for a fold ends in what has to wait (see `strips`)
                e.scopes.append(row)
                e.block([stmt])
                e.scopes.pop()
        e.scopes.append(around)
        common = [s for s in last.body if isinstance(s, Let) and loop.axis not in s.value.axes]
        others = [s for s in last.body if s not in common]

        def column() -> None:
            e.block(common)
            self.open = {}
            for row in rows:
                e.scopes[-2] = row
                e.block(others)
            e.scopes[-2] = around
            states, self.open = self.open, None
            for result, state in states.items():
                self._store(self.folds[result].open, e.offset(self.column), state)

        e.loop(last, column)

    def update(self, result: Value) -> None:
        """Have the accumulator of the current column take the current element."""
        one = self.folds[result]
        at = self.e.offset(self.column) if one.has_columns else "0"
        if self.open is not None and result in self.open:
            state = self.open[result]
        else:
            state = self._load(one.open, self.base, at)
        state = one.fold.update(state, self.e.value(result.args[0]), None)
        if self.open is None:
            self._store(one.open, at, state)
        else:
            self.open[result] = state

    # --- blocks of rows -----------------------------------------------------------------------------

    def _clear(self) -> None:
        """Have all folds begin."""
        e = self.e

        def column() -> None:
            at, width = e.scopes[-1].index, e.open_width
            for one in self.folds.values():
                if one.has_columns and not one.is_whole:
                    self._store(one.carried, at, one.fold.identity(width))
                if one.has_columns:
                    self._begin_block(one, at)

        self._for_whole_vectors(column)
        self._for_the_rest(column)
        for one in self.folds.values():
            if one.is_whole or not one.has_columns:
                self._store(one.carried, "0", one.fold.identity(1))
            if not one.has_columns:
                self._begin_block(one, "0")

    def _end_block(self) -> None:
        """Have all folds take what a block of rows has left, those over all from each column."""
        e, whole = self.e, {x: one for x, one in self.folds.items() if one.is_whole}

        def column() -> None:
            at = e.scopes[-1].index
            for result, one in self.folds.items():
                if one.is_whole:
                    block = self._load(one.block, self.base, at)
                    e.states[result] = one.fold.take_block(e.states[result], block)
                    self._begin_block(one, at)
                elif one.has_columns and one.block:
                    self._carry(one, at)

        totals = {x: self._load(one.carried, self.base, "0") for x, one in whole.items()}
        outer, e.states = e.states, {x: one.fold.identity(e.base) for x, one in whole.items()}
        if self._for_whole_vectors(column):
            for result, one in whole.items():
                totals[result] = one.fold.join(totals[result], e.states[result])
        e.states = totals
        self._for_the_rest(column)
        for result, one in whole.items():
            self._store(one.carried, "0", e.states[result])
        e.states = outer
        for one in self.folds.values():
            if one.block and not one.has_columns:
                self._carry(one, "0")

    def _carry(self, one: Accumulator, at: str) -> None:
        """Have a fold take what a block of rows has left in a column."""
        state = self._load(one.carried, self.base, at)
        state = one.fold.take_block(state, self._load(one.block, self.base, at))
        self._store(one.carried, at, state)
        self._begin_block(one, at)

    def _begin_block(self, one: Accumulator, at: str) -> None:
        if one.block:
            self._store(one.block, at, one.fold.block_identity(self.e.open_width))

    def _for_whole_vectors(self, body: Callable[[], None]) -> int:
        """Emit what is done for each column, for whole vectors of columns; return where these end."""
        e, axis = self.e, Axis("column", self.count)
        return e.in_lanes(axis, self.count, [e.base] if e.base > 1 else [], body)

    def _for_the_rest(self, body: Callable[[], None]) -> None:
        e, axis = self.e, Axis("column", self.count)
        end = self.count // e.base * e.base if e.base > 1 else 0
        if end < self.count:  # a name: a loop between two numbers would be written out
            e.counted(axis, str(end), e.plus(self.count, 0), 1, body)

    # --- results ------------------------------------------------------------------------------------

    def join(self, result: Value, parts: str) -> None:
        """Define a fold of the current column, or of all: the states of all parts joined, in order."""
        e, one = self.e, self.folds[result]
        at = e.offset(self.column) if result.axes else "0"
        width = e.open_width if result.axes else 1
        outer, e.states = e.states, {result: one.fold.identity(width)}

        def part() -> None:
            base = self.of_part(e.scopes[-1].index)
            e.states[result] = one.fold.followed(
                e.states[result], self._load(one.carried, base, at, width)
            )

        e.counted(Axis("part", 0), "0", parts, 1, part)
        state, e.states = e.states[result], outer
        e.define(result, one.fold.finish(state))

    # --- memory -------------------------------------------------------------------------------------

    def _load(
        self, words: Sequence[Word], base: str, column: str, width: int | None = None
    ) -> State:
        e, width = self.e, width or self.e.open_width
        return [
            e.load_element(e.element("i8", base, str(word.start)), column, word.dtype, width)
            for word in words
        ]

    def _store(self, words: Sequence[Word], column: str, state: State) -> None:
        for word, lanes in zip(words, state, strict=True):
            array = self.e.element("i8", self.base, str(word.start))
            self.e.store_element(array, column, lanes, self.e.open_width)


def _loops_to_update(sweep: Reduce, result: Value) -> list[Loop]:
    """Return the loops from the outermost to the one in which a result is updated."""
    loops: list[Loop] = []
    body: list[Stmt] = sweep.body
    while not any(isinstance(stmt, Update) and stmt.result is result for stmt in body):
        (inner,) = (s for s in body if isinstance(s, Loop) and _updates(s, result))
        loops.append(inner)
        body = inner.body
    return loops


def _updates(loop: Loop, result: Value) -> bool:
    return any(
        stmt.result is result if isinstance(stmt, Update) else _updates(stmt, result)
        for stmt in loop.body
        if isinstance(stmt, (Update, Loop))
    )


def _row_major(axes: list[Axis]) -> Affine:
    """Return the place of an element among those of some loops, in order."""
    terms: list[tuple[Axis, Dim]] = []
    stride: Dim = 1
    for axis in reversed(axes):
        terms.append((axis, stride))
        stride = stride * axis.extent
    return make_affine(0, terms[::-1])


def _length(axes: list[Axis]) -> int:
    count = D.product(axis.extent for axis in axes)
    assert isinstance(count, int)
    return count
