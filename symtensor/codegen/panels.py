"""Folds over columns: reductions whose operand lies contiguously across their loop.

Rows are read in blocks, and of a block long stretches at a time, in the order of memory. Inside a block
the accumulators of a stretch are in registers; between blocks those of a panel of columns lie on the
stack. The order of the operations of one column is that of a plain loop over its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symtensor.codegen.folds import BLOCK, Fold, State, fold_of
from symtensor.codegen.kernel import Axis, Let, Loop, Reduce, Stmt, Update, Value
from symtensor.codegen.memory import aligned
from symtensor.codegen.reductions import UNROLL, fold_block
from symtensor.ir.dtypes import DType

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

PANEL = 16 << 10
"""Bytes of accumulators on the stack."""


def takes_panels(loop: Loop) -> bool:
    """Return True for a loop over columns that holds plain reductions, one after the other."""
    reductions = [stmt for stmt in loop.body if isinstance(stmt, Reduce)]
    return bool(reductions) and all(map(_is_plain, reductions))


def _is_plain(stmt: Reduce) -> bool:
    (nest,) = stmt.body
    running = any(result.data.is_running for result in stmt.results)
    simple = isinstance(nest, Loop) and all(isinstance(s, (Let, Update)) for s in nest.body)
    return simple and not running


def emit_panels(emitter: Emitter, loop: Loop) -> str:
    """Emit the loop for whole vectors of columns; return the column it ends at."""
    panels = _Panels(emitter, loop)
    panels.run()
    return panels.end


def most_vectors(e: Emitter, body: list[Stmt]) -> int:
    """Return how many vectors of columns are folded at a time, a power of two.

    Accumulators take up to half of the registers; a body of many instructions needs the others.
    """
    if not e.is_light(body):
        return 1
    taken = max(_registers(e, stmt) for stmt in body if isinstance(stmt, Reduce))
    most = max(e.s.target.vector_registers // 2 // taken, UNROLL)
    return 1 << (most.bit_length() - 1)


def _registers(e: Emitter, stmt: Reduce) -> int:
    return sum(fold_of(e.s, result).registers for result in stmt.results)


class _Panels:
    def __init__(self, emitter: Emitter, loop: Loop) -> None:
        self.e = emitter
        self.loop = loop
        most = most_vectors(emitter, loop.body)
        counts = dict.fromkeys([most, UNROLL, 1] if most > 1 else [1])
        self.widths = widths = [count * emitter.base for count in counts]
        """Lanes of the loops over columns that are folded, widest first."""
        self.begin, last = emitter.bounds(loop)
        self.end = emitter.main_end(last, widths[-1], self.begin)
        self.folds: dict[Value, Fold] = {}
        self.places: dict[Value, list[str]] = {}
        """Result -> the arrays of its accumulators, an element per column."""
        self.size = self._reserve()
        """Columns of a panel."""

    def _reserve(self) -> int:
        dtypes: list[tuple[Value, DType]] = []
        for stmt in self.loop.body:
            for result in stmt.results if isinstance(stmt, Reduce) else ():
                self.folds[result] = fold_of(self.e.s, result)
                dtypes += [(result, x.dtype) for x in self.folds[result].identity(1)]
        bytes_each = sum(dtype.itemsize for _, dtype in dtypes)
        size = max(PANEL // bytes_each // self.widths[0], 1) * self.widths[0]
        start = 0
        for result, dtype in dtypes:
            self.places.setdefault(result, []).append(self.e.panel(start))
            start = aligned(start + size * dtype.itemsize)
        self.e.panel_bytes = max(self.e.panel_bytes, start)
        return size

    def run(self) -> None:
        self.e.counted(Axis("panel", 0), self.begin, self.end, self.size, self._panel)

    def _panel(self) -> None:
        self.first = self.e.scopes[-1].index
        self.last = self.e.bounded(self.first, self.size, self.end)
        for number, stmt in enumerate(self.loop.body):
            if isinstance(stmt, Reduce):
                # each block computes again what it needs: nothing may be stored before all is folded
                before: list[Stmt] = [
                    s for s in self.loop.body[:number] if isinstance(s, (Let, Reduce))
                ]
                self._fold(stmt, before)
        self._columns(self.widths[-1:], lambda: self._known(self.loop.body))

    def _columns(self, widths: list[int], body: Callable[[], None]) -> None:
        """Emit `body` over the columns of the panel."""
        end, count = self.first, self.e.difference(self.last, self.first)
        for width in widths:
            start, end = end, self.e.plus(self.first, self.e.main_end(count, width))
            with self.e.lanes(self.loop.axis, width):
                self.e.counted(self.loop.axis, start, end, width, body)

    def _fold(self, stmt: Reduce, before: list[Stmt]) -> None:
        """Emit one reduction of the panel, block by block."""
        (nest,) = stmt.body
        assert isinstance(nest, Loop)
        rows = self.e.size(nest.axis.extent)

        def begin() -> None:
            for result in stmt.results:
                self._put(result, self.folds[result].identity(self.e.width))

        def block() -> None:
            start = self.e.scopes[-1].index
            stop = self.e.bounded(start, BLOCK, rows)
            self._columns(self.widths, lambda: self._stretch(stmt, before, start, stop))

        self._columns(self.widths[-1:], begin)
        self.e.counted(Axis("block", 0), "0", rows, BLOCK, block)

    def _stretch(self, stmt: Reduce, before: list[Stmt], start: str, stop: str) -> None:
        """Fold the rows of a block for as many columns as there are lanes."""
        (nest,) = stmt.body
        assert isinstance(nest, Loop)
        self._known(before)
        states = {result: self._get(result) for result in stmt.results}
        for result, state in fold_block(self.e, nest, states, start, stop).items():
            self._put(result, state)

    def _known(self, body: list[Stmt]) -> None:
        """Emit statements whose reductions are done: these are read from the stack."""
        for stmt in body:
            if isinstance(stmt, Reduce):
                for result in stmt.results:
                    self.e.define(result, self.folds[result].finish(self._get(result)))
            else:
                self.e.block([stmt])

    # --- accumulators -----------------------------------------------------------------------------

    def _get(self, result: Value) -> State:
        dtypes = [x.dtype for x in self.folds[result].identity(1)]
        pairs, column = zip(self.places[result], dtypes, strict=True), self._column()
        return [self.e.load_element(place, column, d, self.e.width) for place, d in pairs]

    def _put(self, result: Value, state: State) -> None:
        column = self._column()
        for place, lanes in zip(self.places[result], state, strict=True):
            self.e.store_element(place, column, lanes, self.e.width)

    def _column(self) -> str:
        return self.e.offset_from(self.first)
