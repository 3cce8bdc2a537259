"""Kernels in phases: which functions a kernel is, so that threads can share all that is long in it.

In: a kernel. Out: a function, over a range of rounds, for the one loop that it is, or for each of the loops
and folds that it has one after the other:

    i32 @name.0(ptr %b0, ..., ptr %partials, i64 %s0, ..., i64 %length0, i64 %parts0, ..., i64 %first, ...)

A fold to a single value, or to each of a few columns, is cut into parts (`symtensor.codegen.cuts`). One phase
leaves the state of every part among the partials, and one joins these in order, so the bits of a result do
not depend on who folded what. So is a sweep (`symtensor.codegen.sweeps`), but for its joining, which the
loops over its columns do, and the last phase for what is one for all. What stands between loops and folds is
little: each phase that needs it computes it. A last phase stores what is stored outside of loops.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from symtensor.codegen.cuts import (
    WORD,
    Cut,
    count_of,
    cuts_of,
    is_few_long_folds,
    is_short,
    nest_of,
)
from symtensor.codegen.emit import Emitter
from symtensor.codegen.folds import State, fold_of
from symtensor.codegen.kernel import (
    Axis,
    Kernel,
    Let,
    Loop,
    Reduce,
    Stmt,
    Store,
    Value,
    is_sweep,
)
from symtensor.codegen.panels import most_vectors
from symtensor.codegen.reductions import emit_fold
from symtensor.codegen.sharing import (
    INSTRUCTION,
    Share,
    can_be_cut,
    share_of,
    share_of_parts,
)
from symtensor.codegen.sweeps import Accumulators
from symtensor.codegen.target import Target
from symtensor.ir.dims import Dim

RANGE = (("i64", "%first"), ("i64", "%last"), ("i64", "%number"))


@dataclass(frozen=True, slots=True)
class Phase:
    """A function of a kernel."""

    suffix: str
    """What its name has that the kernel's has not."""
    share: Share | None
    """How threads share it, by ranges that it takes; None for one that runs in one."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A kernel as text."""

    text: str
    declarations: set[str]
    """What its module must declare."""
    phases: tuple[Phase, ...]
    """Its functions, in the order in which they are to run."""
    sizes: tuple[Dim, ...] = ()
    """What they take behind the kernel's own sizes."""
    partial_bytes: int = 0
    """Bytes of scratch for the partials, which they take behind the kernel's buffers; 0: they take none."""


def emit_kernel(kernel: Kernel, name: str, target: Target) -> Emitted:
    """Return a kernel as functions of that name."""
    lone = lone_loop(kernel)
    if lone is not None and can_be_cut(lone):
        if is_few_long_folds(lone):
            return _in_phases(kernel, lone, name, target)
        return _loop(kernel, lone, name, target)
    nests = [stmt for stmt in kernel.body if isinstance(stmt, (Loop, Reduce))]
    if any(is_sweep(x) or (can_be_cut(x) and not is_short(x)) for x in nests):
        return _in_phases(kernel, None, name, target)
    emitter = Emitter(kernel, target)
    text = emitter.function(name, (), lambda: emitter.block(kernel.body))
    return Emitted(text, emitter.s.intrinsics, (Phase("", None),))


def lone_loop(kernel: Kernel) -> Loop | None:
    """Return the loop of a kernel that is nothing but one loop and what it reads before it."""
    others = [stmt for stmt in kernel.body if not isinstance(stmt, Let)]
    return others[0] if len(others) == 1 and isinstance(others[0], Loop) else None


def _loop(kernel: Kernel, loop: Loop, name: str, target: Target) -> Emitted:
    emitter = Emitter(kernel, target, shared=loop)
    text = emitter.function(name, RANGE, lambda: emitter.block(kernel.body))
    share = share_of(loop, emitter.base, emitter.cost)
    return Emitted(text, emitter.s.intrinsics, (Phase("", share),))


def _in_phases(kernel: Kernel, columns: Loop | None, name: str, target: Target) -> Emitted:
    """Return the phases of what a kernel does one after the other, or for each of a few columns."""
    body = kernel.body if columns is None else columns.body
    cuts = cuts_of(body, columns, Emitter(kernel, target))
    texts, phases, declarations = [], [], set()
    for number, (end, joins) in enumerate(_ends(body, cuts)):
        e = Emitter(kernel, target, _loop_to_share(end))
        writer = _PhaseWriter(e, cuts, columns, end, joins)
        texts.append(writer.function(f"{name}.{number}"))
        phases.append(Phase(f".{number}", writer.share))
        declarations |= e.s.intrinsics
    sizes = [size for cut in cuts.values() for size in (cut.length, cut.parts)]
    total = max((cut.end for cut in cuts.values()), default=0)
    return Emitted("\n\n".join(texts), declarations, tuple(phases), tuple(sizes), total)


def _ends(body: Sequence[Stmt], cuts: dict[int, Cut]) -> Iterator[tuple[Stmt | None, bool]]:
    """Yield the statement that each phase ends in, None for the last, and whether it is to join that fold."""
    for stmt in body:
        if isinstance(stmt, (Loop, Reduce)):
            yield stmt, False
        if id(stmt) in cuts and not cuts[id(stmt)].is_sweep:
            yield stmt, True
    if any(isinstance(stmt, Store) for stmt in body):
        yield None, False


def _loop_to_share(end: Stmt | None) -> Loop | None:
    return end if isinstance(end, Loop) and can_be_cut(end) else None


class _PhaseWriter:
    """Writes the function of the phase that ends in one statement, or of the last.

    A fold has two phases: threads share one that folds its parts, another joins these into the first.
    """

    def __init__(
        self, e: Emitter, cuts: dict[int, Cut], columns: Loop | None, end: Stmt | None, joins: bool
    ) -> None:
        self.e = e
        self.cuts = cuts
        self.columns = columns
        self.count = count_of(columns)
        self.column = "0"
        """The first of those that are being taken."""
        self.part = ""
        """The part that is being folded."""
        self.end = end
        self.joins = joins
        self.share = self._share()
        """How threads share the phase."""

    @property
    def parts(self) -> Cut | None:
        """How the fold is cut whose parts the phase folds, None for other phases."""
        return None if self.joins else self.cuts.get(id(self.end))

    def _share(self) -> Share | None:
        e, cut = self.e, self.parts
        if e.shared is not None:
            share = share_of(e.shared, e.base, e.cost)
            return replace(share, cost=share.cost + self._cost_of_joining())
        if cut is None:
            return None
        assert isinstance(self.end, Reduce)
        nest = nest_of(self.end)
        in_lanes = nest.vector or (self.columns is not None and self.columns.vector)
        rounds = cut.length * self.count
        return share_of_parts(nest, rounds, cut.parts, e.base if in_lanes else 1, e.base, e.cost)

    def function(self, name: str) -> str:
        """Return the function of the phase."""
        numbers = [cut.number for cut in self.cuts.values()]
        sizes = [("i64", f"%{word}{i}") for i in numbers for word in ("length", "parts")]
        pointers = [("ptr", "%partials")] if self.cuts else []
        rounds = RANGE if self.share else ()
        return self.e.function(name, [*sizes, *rounds], self._body, pointers)

    def _body(self) -> None:
        body = self.e.kernel.body
        if self.columns is None:
            before, last = body, partial(self._end, self.end)
        else:
            before = [stmt for stmt in body if stmt is not self.columns]
            last = partial(self._for_columns, self.columns)
        self._before(before)
        if self.parts is None:
            last()
            return

        def part() -> None:
            self.part = self.e.scopes[-1].index
            last()

        self.e.counted(Axis("part", 0), "%first", "%last", 1, part)

    def _for_columns(self, columns: Loop) -> None:
        """Emit the phase for many columns at a time, then for fewer."""
        e = self.e

        def column() -> None:
            self.column = e.scopes[-1].index
            self._before(columns.body)
            self._end(self.end)

        end = e.in_lanes(columns.axis, self.count, self._widths(columns), column)
        e.counted(columns.axis, str(end), str(self.count), 1, column)

    def _widths(self, columns: Loop) -> Iterator[int]:
        """Yield the lanes of the loops over columns, widest first: few of them, and vectors side by side."""
        if not columns.vector:
            return
        base, left = self.e.base, self.count
        most = most_vectors(self.e, columns.body) * base
        beside = 1 << (left % most).bit_length() >> 1
        for width in dict.fromkeys([most, beside, base, base // 4]):
            if 1 < width <= left:
                yield width
                left %= width

    def _before(self, body: Sequence[Stmt]) -> None:
        """Emit what the phase needs of the statements before the one that it ends in."""
        for stmt in body:
            if stmt is self.end:
                return
            if isinstance(stmt, Let) or (self.end is None and isinstance(stmt, Store)):
                self.e.block([stmt])
            elif isinstance(stmt, Reduce) and id(stmt) in self.cuts:
                if self.cuts[id(stmt)].is_sweep:
                    self._join_on_demand(stmt)
                else:
                    self._define(self._load(stmt, "0"))

    def _end(self, stmt: Stmt | None) -> None:
        """Emit what the phase is for; the last has done all by now."""
        if isinstance(stmt, Reduce) and id(stmt) in self.cuts:
            if self.cuts[id(stmt)].is_sweep:
                self._accumulators(stmt).fold(self.part, *self._bounds(stmt))
            elif self.joins:
                self._save(stmt, "0", self._joined(stmt))
            else:
                self._save(stmt, self.part, self._folded(stmt))
        elif stmt is not None:
            self.e.block([stmt])

    # --- sweeps ----------------------------------------------------------------------------------

    def _accumulators(self, sweep: Reduce) -> Accumulators:
        return Accumulators(self.e, sweep, self.cuts[id(sweep)].start)

    def _join_on_demand(self, sweep: Reduce) -> None:
        """Have the loops over its columns join what its parts have left."""
        rows, parts = self._accumulators(sweep), f"%parts{self.cuts[id(sweep)].number}"
        for result in sweep.results:
            self.e.on_demand[result] = partial(rows.join, result, parts)

    def _cost_of_joining(self) -> Dim:
        """Return the picoseconds that the sweeps before a loop add to each of its rounds."""
        total: Dim = 0
        for stmt in filter(is_sweep, self.e.kernel.body):
            columns = sum(bool(result.axes) for result in stmt.results)
            total = total + self.cuts[id(stmt)].parts * (columns * INSTRUCTION)
        return total

    # --- states ----------------------------------------------------------------------------------

    def _bounds(self, fold: Reduce) -> tuple[str, str]:
        """Return the rounds of the part that is being folded."""
        e, length = self.e, f"%length{self.cuts[id(fold)].number}"
        first = e.times(self.part, length)
        return first, e.bounded(first, length, e.size(nest_of(fold).axis.extent))

    def _folded(self, fold: Reduce) -> dict[Value, State]:
        """Fold a part."""
        return emit_fold(self.e, fold, *self._bounds(fold))

    def _joined(self, fold: Reduce) -> dict[Value, State]:
        """Join the states of all parts, in order."""
        e = self.e
        e.states = {x: fold_of(e.s, x).identity(self.e.open_width) for x in fold.results}

        def one() -> None:
            for result, later in self._load(fold, e.scopes[-1].index).items():
                e.states[result] = fold_of(e.s, result).followed(e.states[result], later)

        e.counted(Axis("part", 0), "0", f"%parts{self.cuts[id(fold)].number}", 1, one)
        found, e.states = e.states, {}
        return found

    def _define(self, states: dict[Value, State]) -> None:
        for result, state in states.items():
            self.e.define(result, fold_of(self.e.s, result).finish(state))

    def _load(self, fold: Reduce, part: str) -> dict[Value, State]:
        """Return the states of a part."""
        e, places = self.e, self._places(fold, part)
        found: dict[Value, State] = {}
        for result in fold.results:
            dtypes = [lanes.dtype for lanes in fold_of(e.s, result).identity(1)]
            found[result] = [
                e.load_element(next(places), self.column, d, self.e.open_width) for d in dtypes
            ]
        return found

    def _save(self, fold: Reduce, part: str, states: dict[Value, State]) -> None:
        """Store the states of a part."""
        e, places = self.e, self._places(fold, part)
        for lanes in (lanes for result in fold.results for lanes in states[result]):
            e.store_element(next(places), self.column, lanes, self.e.open_width)

    def _places(self, fold: Reduce, part: str) -> Iterator[str]:
        """Yield pointers to the numbers of the state of a part, those of the first column."""
        cut = self.cuts[id(fold)]
        first = self.e.element(f"[{cut.each} x i8]", "%partials", part)
        for start in itertools.count(cut.start, WORD * self.count):
            yield self.e.element("i8", first, str(start))
