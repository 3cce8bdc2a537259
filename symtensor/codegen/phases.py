"""Kernels in phases: which functions a kernel is, so that threads can share all that is long in it.

In: a kernel. Out: a function, over a range of rounds, for the one loop that it is, or for each of the loops
and folds that it has one after the other:

    i32 @name.0(ptr %b0, ..., ptr %partials, i64 %s0, ..., i64 %length0, i64 %parts0, ..., i64 %first, ...)

A fold is cut into parts whose lengths depend on its sizes alone. Its phase leaves the state of every part
among the partials; the phases after it join these in order, so the bits of a result do not depend on who
folded what. What stands between loops and folds is little: each phase that needs it computes it. A last
phase stores what is stored outside of loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from symtensor.codegen.emit import Emitter
from symtensor.codegen.folds import BLOCK, State, fold_of
from symtensor.codegen.kernel import Axis, Kernel, Let, Loop, Reduce, Stmt, Store
from symtensor.codegen.lanes import memory_type
from symtensor.codegen.reductions import UNROLL, emit_fold
from symtensor.codegen.sharing import Share, can_be_cut, share_of, share_of_parts
from symtensor.codegen.target import Target
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim

PART = 16_384
"""Elements of a part of a fold, at least."""
PARTS = 64
"""Parts of a fold, at most."""
WORD = 8
"""Bytes of a number among the partials."""

RANGE = (("i64", "%first"), ("i64", "%last"), ("i64", "%number"))


@dataclass(frozen=True, slots=True)
class Phase:
    """A function of a kernel."""

    suffix: str
    """What its name has that the kernel's has not."""
    share: Share | None
    """How threads share it, None for one that runs in one."""
    takes_range: bool = True


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
        return _loop(kernel, lone, name, target)
    nests = [stmt for stmt in kernel.body if isinstance(stmt, (Loop, Reduce))]
    if any(can_be_cut(stmt) and not _is_short(stmt) for stmt in nests):
        return _in_phases(kernel, name, target)
    emitter = Emitter(kernel, target)
    text = emitter.function(name, (), lambda: emitter.block(kernel.body))
    return Emitted(text, emitter.s.intrinsics, (Phase("", None, takes_range=False),))


def lone_loop(kernel: Kernel) -> Loop | None:
    """Return the loop of a kernel that is nothing but one loop and what it reads before it."""
    others = [stmt for stmt in kernel.body if not isinstance(stmt, Let)]
    return others[0] if len(others) == 1 and isinstance(others[0], Loop) else None


def _loop(kernel: Kernel, loop: Loop, name: str, target: Target) -> Emitted:
    emitter = Emitter(kernel, target, shared=loop)
    text = emitter.function(name, RANGE, lambda: emitter.block(kernel.body))
    share = share_of(loop, emitter.base, emitter.cost)
    return Emitted(text, emitter.s.intrinsics, (Phase("", share),))


def _is_short(stmt: Loop | Reduce) -> bool:
    """Return True where a loop or fold surely has so few elements that it is not worth cutting."""
    count = D.product(_extents([stmt]))
    return isinstance(count, int) and count < 2 * PART


def _extents(body: Sequence[Stmt]) -> Iterator[Dim]:
    for stmt in body:
        if isinstance(stmt, Loop):
            yield stmt.axis.extent
        if isinstance(stmt, (Loop, Reduce)):
            yield from _extents(stmt.body)


# --- phases --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cut:
    """How a fold is cut into parts."""

    number: int
    length: Dim
    """Rounds of its outer loop in a part."""
    parts: Dim
    start: int
    """Byte among the partials at which its states begin."""
    words: int
    """Numbers in the state of a part."""


def _in_phases(kernel: Kernel, name: str, target: Target) -> Emitted:
    cuts = _cuts(kernel, Emitter(kernel, target))
    texts, phases, declarations = [], [], set()
    ends: list[Stmt | None] = [s for s in kernel.body if isinstance(s, (Loop, Reduce))]
    if any(isinstance(stmt, Store) for stmt in kernel.body):
        ends.append(None)
    for number, end in enumerate(ends):
        writer = _PhaseWriter(kernel, target, cuts, end)
        texts.append(writer.function(f"{name}.{number}"))
        phases.append(Phase(f".{number}", writer.share()))
        declarations |= writer.e.s.intrinsics
    sizes = [size for cut in cuts.values() for size in (cut.length, cut.parts)]
    total = sum(PARTS * WORD * cut.words for cut in cuts.values())
    return Emitted("\n\n".join(texts), declarations, tuple(phases), tuple(sizes), total)


def _cuts(kernel: Kernel, e: Emitter) -> dict[int, _Cut]:
    """Return how the folds among the statements of a kernel are cut, by identity."""
    found: dict[int, _Cut] = {}
    start = 0
    for stmt in kernel.body:
        if isinstance(stmt, Reduce) and can_be_cut(stmt):
            words = sum(len(fold_of(e.s, x).identity(1)) for x in stmt.results)
            length, parts = _length_and_parts(stmt, e.base)
            found[id(stmt)] = _Cut(len(found), length, parts, start, words)
            start += PARTS * WORD * words
    return found


def _length_and_parts(fold: Reduce, lanes: int) -> tuple[Dim, Dim]:
    """Return the rounds of a part of a fold and the number of parts; whole blocks of vectors if it can be."""
    (nest,) = fold.body
    assert isinstance(nest, Loop)
    inner = D.product(_extents(nest.body))
    rounds = D.maximum(D.floordiv(PART, D.maximum(inner, 1)), 1)
    rounds = D.maximum(rounds, D.ceildiv(nest.axis.extent, PARTS))
    if not any(isinstance(stmt, Loop) for stmt in nest.body):
        block = BLOCK * UNROLL * lanes
        rounds = D.ceildiv(rounds, block) * block
    return rounds, D.ceildiv(nest.axis.extent, rounds)


class _PhaseWriter:
    """Writes the function of the phase that ends in one statement, or of the last."""

    def __init__(
        self, kernel: Kernel, target: Target, cuts: dict[int, _Cut], end: Stmt | None
    ) -> None:
        self.kernel = kernel
        self.cuts = cuts
        self.end = end
        self.e = Emitter(
            kernel, target, shared=end if isinstance(end, Loop) and can_be_cut(end) else None
        )

    def share(self) -> Share | None:
        """Return how threads share the phase."""
        if self.e.shared is not None:
            return share_of(self.e.shared, self.e.base, self.e.cost)
        if id(self.end) not in self.cuts:
            return None
        assert isinstance(self.end, Reduce)
        (nest,) = self.end.body
        assert isinstance(nest, Loop)
        cut = self.cuts[id(self.end)]
        return share_of_parts(nest, cut.length, cut.parts, self.e.base, self.e.cost)

    def function(self, name: str) -> str:
        """Return the function of the phase."""
        numbers = [cut.number for cut in self.cuts.values()]
        sizes = [("i64", f"%{word}{i}") for i in numbers for word in ("length", "parts")]
        pointers = [("ptr", "%partials")] if self.cuts else []
        return self.e.function(name, [*sizes, *RANGE], self._body, pointers)

    def _body(self) -> None:
        for stmt in self.kernel.body:
            if stmt is self.end:
                self._ends_in(stmt)
                return
            if isinstance(stmt, Let) or (self.end is None and isinstance(stmt, Store)):
                self.e.block([stmt])
            elif id(stmt) in self.cuts:
                assert isinstance(stmt, Reduce)
                self._join(stmt)

    def _ends_in(self, stmt: Stmt) -> None:
        if id(stmt) in self.cuts:
            assert isinstance(stmt, Reduce)
            self.e.counted(Axis("part", 0), "%first", "%last", 1, partial(self._fold, stmt))
        else:
            self.e.block([stmt])

    def _fold(self, fold: Reduce) -> None:
        """Fold a part and store its state."""
        e, cut = self.e, self.cuts[id(fold)]
        (nest,) = fold.body
        assert isinstance(nest, Loop)
        part = e.scopes[-1].index
        start = e.times(part, f"%length{cut.number}")
        end = e.bounded(start, f"%length{cut.number}", e.size(nest.axis.extent))
        states = emit_fold(e, fold, start, end)
        places = self._places(cut, part)
        for lanes in (lanes for result in fold.results for lanes in states[result]):
            e.store_at(memory_type(lanes.dtype), e.s.to_memory(lanes), next(places), lanes.dtype)

    def _join(self, fold: Reduce) -> None:
        """Join the states of all parts, in order, and define the results."""
        e, cut = self.e, self.cuts[id(fold)]
        folds = {result: fold_of(e.s, result) for result in fold.results}
        outer, e.states = e.states, {x: f.identity(1) for x, f in folds.items()}

        def one() -> None:
            places = self._places(cut, e.scopes[-1].index)
            for result, state in list(e.states.items()):
                later: State = [e.load_at(next(places), x.dtype, 1) for x in state]
                e.states[result] = folds[result].followed(state, later)

        e.counted(Axis("part", 0), "0", f"%parts{cut.number}", 1, one)
        joined, e.states = e.states, outer
        for result, state in joined.items():
            e.define(result, folds[result].finish(state))

    def _places(self, cut: _Cut, part: str) -> Iterator[str]:
        """Yield pointers to the numbers of the state of a part."""
        first = self.e.element(f"[{WORD * cut.words} x i8]", "%partials", part)
        for number in range(cut.words):
            yield self.e.element("i8", first, str(cut.start + WORD * number))
