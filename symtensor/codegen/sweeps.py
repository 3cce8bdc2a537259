"""Sweeps: loops over rows that fold along their columns on the way, each row element by element.

    for part:                                threads share the parts
      clear the accumulators of the part
      for block of rows:
        for row: ...; for column: ...; accumulator[column] <- accumulator[column] + x
        for column: what the block has summed joins the compensated pair
    for column: join the parts in order; ...

A row of accumulators lies in scratch memory, one row for each number of a fold's state, and stays in the
nearest cache. Lengths of parts depend on sizes alone, and a column is added up in the order of its rows, so
the bits of a result depend neither on threads nor on lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

TOGETHER = 2
"""Rows that are folded at a time."""
APART = ALIGNMENT
"""Bytes between rows of accumulators: at multiples of a page they would displace each other in the caches."""
SCRATCH = 4 << 20
"""Bytes of the accumulators of all parts, about at most."""


@dataclass(frozen=True, slots=True)
class Word:
    """A row of accumulators: one number of the state of a fold, for each column."""

    start: int
    """Byte in the memory of a part."""
    dtype: DType


class Accumulators:
    """The rows of accumulators of a sweep, in the memory of one of its parts."""

    def __init__(self, e: Emitter, sweep: Reduce, start: int) -> None:
        self.e = e
        self.sweep = sweep
        self.start = start
        """Byte among the partials at which those of the first part begin."""
        self.loops = _loops_to_update(sweep)
        (folded, *_) = sweep.results
        kept = [loop.axis for loop in self.loops if loop.axis in folded.axes]
        self.rows = self.loops[: len(self.loops) - len(kept)]
        """The loops that are folded over."""
        self.column = _row_major(kept)
        self.count = _length(kept)
        """Columns."""
        self.folds: dict[Value, Fold] = {x: fold_of(e.s, x) for x in sweep.results}
        self.carried: dict[Value, list[Word]] = {}
        """Fold -> its state between blocks."""
        self.block: dict[Value, list[Word]] = {}
        """Fold that is blocked -> its state inside of one."""
        self.bytes = self._reserve()
        """Memory of a part."""
        self.open: dict[Value, State] | None = None
        """States of the current column while several rows are folded."""
        self.base = ""
        """Where the part begins that is being folded."""

    def _reserve(self) -> int:
        end = 0
        for result, fold in self.folds.items():
            states = [(self.carried, fold.identity(1))]
            if fold.is_blocked:
                states.append((self.block, fold.block_identity(1)))
            for words, state in states:
                words[result] = []
                for lanes in state:
                    words[result].append(Word(end, lanes.dtype))
                    end = aligned(end + self.count * lanes.dtype.itemsize) + APART
        return end

    @property
    def most_parts(self) -> int:
        """How many parts there are at most."""
        _, parts = self.length_and_parts()
        return parts if isinstance(parts, int) else self._limit

    @property
    def _limit(self) -> int:
        return max(min(SCRATCH // self.bytes, PARTS), 4)

    def length_and_parts(self) -> tuple[Dim, Dim]:
        """Return the rounds of a part, whole blocks, and the number of parts."""
        outer, *others = (loop.axis.extent for loop in self.rows)
        each, block = D.product(others) * self.count, 1 if others else BLOCK
        return length_and_parts(outer, each, most=self._limit, block=block)

    def of_part(self, part: str) -> str:
        """Return where the memory of a part begins."""
        first = self.e.element("i8", "%partials", str(self.start))
        return self.e.element(f"[{self.bytes} x i8]", first, part)

    # --- folding ------------------------------------------------------------------------------------

    def fold(self, part: str, first: str, last: str) -> None:
        """Emit the fold of a part, some rounds of the outermost loop."""
        self.base = self.of_part(part)
        self._for_all_columns(self._clear)
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
        elif not self.block:
            self._innermost(loop, first, last)
        else:
            self.e.counted(Axis("block", 0), first, last, BLOCK, lambda: self._block(loop, last))

    def _block(self, loop: Loop, last: str) -> None:
        first = self.e.scopes[-1].index
        end = self.e.bounded(first, BLOCK, last)
        self._innermost(loop, first, end)
        self._for_all_columns(self._end_block)

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
        for (
            stmt
        ) in begin:  # in turn, for a fold ends in what has to wait (`symtensor.codegen.strips`)
            for row in rows:
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
                self._store(self._words(result), e.offset(self.column), state)

        e.loop(last, column)

    def update(self, result: Value) -> None:
        """Have the accumulator of the current column take the current element."""
        words, at = self._words(result), self.e.offset(self.column)
        if self.open is not None and result in self.open:
            state = self.open[result]
        else:
            state = self._load(words, self.base, at)
        state = self.folds[result].update(state, self.e.value(result.args[0]), None)
        if self.open is None:
            self._store(words, at, state)
        else:
            self.open[result] = state

    def _words(self, result: Value) -> list[Word]:
        """Return where a fold takes elements."""
        return self.block.get(result, self.carried[result])

    def _clear(self, column: str) -> None:
        for result, fold in self.folds.items():
            self._store(self.carried[result], column, fold.identity(self.e.open_width))
            if fold.is_blocked:
                self._store(self.block[result], column, fold.block_identity(self.e.open_width))

    def _end_block(self, column: str) -> None:
        for result, words in self.block.items():
            fold, carried = self.folds[result], self.carried[result]
            state = self._load(carried, self.base, column)
            state = fold.take_block(state, self._load(words, self.base, column))
            self._store(carried, column, state)
            self._store(words, column, fold.block_identity(self.e.open_width))

    def _for_all_columns(self, body: Callable[[str], None]) -> None:
        """Emit what is done for each column, in lanes."""
        e, axis = self.e, Axis("column", self.count)

        def column() -> None:
            body(e.scopes[-1].index)

        end = e.in_lanes(axis, self.count, [e.base] if e.base > 1 else [], column)
        if end < self.count:
            e.counted(axis, str(end), e.plus(self.count, 0), 1, column)

    # --- results ------------------------------------------------------------------------------------

    def join(self, result: Value, parts: str) -> None:
        """Define a fold of the current column: the states of all parts joined, in order."""
        e, fold = self.e, self.folds[result]
        at = e.offset(self.column)
        outer, e.states = e.states, {result: fold.identity(self.e.open_width)}

        def one() -> None:
            later = self._load(self.carried[result], self.of_part(e.scopes[-1].index), at)
            e.states[result] = fold.followed(e.states[result], later)

        e.counted(Axis("part", 0), "0", parts, 1, one)
        state, e.states = e.states[result], outer
        e.define(result, fold.finish(state))

    # --- memory -------------------------------------------------------------------------------------

    def _load(self, words: list[Word], base: str, column: str) -> State:
        e = self.e
        return [e.load_element(e.element("i8", base, str(w.start)), column, w.dtype, self.e.open_width)
                for w in words]  # fmt: skip

    def _store(self, words: list[Word], column: str, state: State) -> None:
        for word, lanes in zip(words, state, strict=True):
            array = self.e.element("i8", self.base, str(word.start))
            self.e.store_element(array, column, lanes, self.e.open_width)


def _loops_to_update(sweep: Reduce) -> list[Loop]:
    """Return the loops from the outermost to the one in which the results are updated."""
    loops: list[Loop] = []
    body: list[Stmt] = sweep.body
    while not any(isinstance(stmt, Update) for stmt in body):
        (inner,) = (s for s in body if isinstance(s, Loop) and _updates(s, sweep.results[0]))
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
