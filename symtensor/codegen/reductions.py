"""Reductions -> LLVM text: nests of loops that fold, the innermost one in blocks and in lanes.

In come a reduction and what is open around it; its results are defined there. A float sum adds up
blocks of `BLOCK` steps and carries them in a compensated pair, whatever the width, which is why
lanes and remainders agree (`symtensor.codegen.folds`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from symtensor.codegen.folds import BLOCK, Fold, IndexFold, State, StepFold, fold_of
from symtensor.codegen.kernel import Axis, Loop, Reduce, Stmt, Update, Value
from symtensor.codegen.lanes import Lanes

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

UNROLL = 4
"""Vectors that a light reduction takes at a time."""
FEW = 3
"""Rounds of a light loop, within a vector loop, that are written out: windows of pooling."""


def emit_reduce(e: Emitter, stmt: Reduce) -> None:
    """Emit a reduction and define its results."""
    for result, state in emit_fold(e, stmt).items():
        e.define(result, fold_of(e.s, result).finish(state))


def emit_fold(e: Emitter, stmt: Reduce, first: str = "0", last: str = "") -> dict[Value, State]:
    """Emit a reduction over some rounds of its outer loop, else all; return the states that it ends in."""
    outer, e.states = e.states, {}
    for result in stmt.results:
        e.states[result] = fold_of(e.s, result).identity(_state_width(e, result))
    (nest,) = stmt.body
    assert isinstance(nest, Loop)
    _reduce_loop(e, nest, first, last)
    found, e.states = e.states, outer
    return found


def _widths(e: Emitter, body: list[Stmt]) -> list[int]:
    """Return the lanes of the loops of a reduction, widest first.

    A light body is taken several vectors at a time: that hides the latency of the additions.
    """
    return [UNROLL * e.base, e.base] if e.is_light(body) else [e.base]


def _state_width(e: Emitter, result: Value) -> int:
    return e.width if e.vector_axis in result.axes else 1


def _reduce_loop(e: Emitter, loop: Loop, first: str = "0", last: str = "") -> None:
    """Emit a loop of a reduction nest; the innermost one goes through in blocks."""
    extent = str(loop.axis.extent) if is_written_out(e, loop) else e.size(loop.axis.extent)
    last = last or extent
    innermost = any(isinstance(s, Update) for s in loop.body)
    if not innermost:
        e.counted(loop.axis, first, last, 1, lambda: _reduce_body(e, loop))
        return
    if not loop.vector or e.width == 1 or e.vector_axis is not None:
        _blocks(e, loop, first, last, 1)
        return
    end, before = first, 0
    for width in _widths(e, loop.body):
        start, end = end, e.main_end(last, width, first)
        rest = last if width == e.base and e.takes_masks(loop) else end
        fold = partial(_fold_lanes, e, loop, start, end, width, rest)
        end = rest
        if before:  # less than a step of those is left, often nothing
            e.counted(Axis("rest", 0), start, end, before, fold)
        else:
            fold()
        before = width
    _blocks(e, loop, end, last, 1)


def _fold_lanes(e: Emitter, loop: Loop, start: str, end: str, width: int, last: str) -> None:
    """Fold whole vectors, then what is left up to `last`; join them with the scalar states."""
    scalar = e.states
    with e.lanes(loop.axis, width):
        folds = {result: _fold(e, result) for result in scalar}
        e.states = {result: fold.identity(width) for result, fold in folds.items()}
        _blocks(e, loop, start, end, width)
        if last != end:
            e.rest_in_lanes(loop.axis, end, last, lambda: _rest(e, loop, end))
    wide, e.states = e.states, {}
    for result, state in scalar.items():
        e.states[result] = folds[result].join(state, wide[result])


def is_written_out(e: Emitter, loop: Loop) -> bool:
    """Return True for a short and light loop inside of a vector loop."""
    extent = loop.axis.extent
    few = isinstance(extent, int) and 0 < extent <= FEW
    return few and e.vector_axis is not None and e.is_light(loop.body)


def _reduce_body(e: Emitter, loop: Loop) -> None:
    for stmt in loop.body:
        if isinstance(stmt, Loop):
            _reduce_loop(e, stmt)
        else:
            e.block([stmt])


def _blocks(e: Emitter, loop: Loop, start: str, end: str, step: int) -> None:
    """Run the innermost loop in blocks: float sums start each block from zero."""
    if not any(_fold(e, result).is_blocked for result in e.states):
        e.counted(loop.axis, start, end, step, lambda: e.block(loop.body))
        return
    e.counted(Axis("block", 0), start, end, BLOCK * step, lambda: _one_block(e, loop, end, step))


def _rest(e: Emitter, loop: Loop, start: str) -> None:
    """Take one vector of which some lanes hold elements."""
    e.states = fold_block(e, loop, e.states, start, "", e.width)


def _one_block(e: Emitter, loop: Loop, end: str, step: int) -> None:
    first = e.scopes[-1].index
    last = e.bounded(first, BLOCK * step, end)
    e.states = fold_block(e, loop, e.states, first, last, step)


def fold_block(
    e: Emitter,
    loop: Loop,
    states: dict[Value, State],
    first: str,
    last: str,
    step: int = 1,
) -> dict[Value, State]:
    """Return the states after the indices from `first` to `last`; some fold a block apart."""
    folds = {result: _fold(e, result) for result in states}
    apart = [result for result in states if folds[result].is_blocked]
    outer, e.states = e.states, dict(states)
    for result in apart:
        e.states[result] = folds[result].block_identity(states[result][0].width)
    around, e.block_start = e.block_start, first  # the body of another block may hold this one
    if last:
        e.counted(loop.axis, first, last, step, lambda: e.block(loop.body))
    else:
        e.round(loop.axis, first, lambda: e.block(loop.body))
    done, e.states = e.states, outer
    e.block_start = around
    for result in apart:
        start = e.i64(first)
        done[result] = folds[result].take_block(states[result], done[result], start)
    return done


def emit_update(e: Emitter, result: Value) -> None:
    """Emit that an open accumulator takes the current element."""
    if e.folding is not None and result in e.folding.folds:
        e.folding.update(result)
        return
    state = e.states[result]
    fold = _fold(e, result)
    index = _index(e, fold) if isinstance(fold, IndexFold) else None
    e.states[result] = fold.update(state, fold.taken(e.value(result.args[0]), e.mask), index)
    if result.data.is_running:
        e.define(result, fold.finish(e.states[result]))


def _fold(e: Emitter, result: Value) -> Fold:
    return fold_of(e.s, result, over_lanes=e.vector_axis in result.data.axes)


def _index(e: Emitter, fold: IndexFold) -> Lanes:
    """Return where the current element stands, counted from the start of the block; or the step."""
    place = e.i64(e.offset_from(e.block_start))
    if isinstance(fold, StepFold):
        index = e.i64(e.scopes[-1].index)
        place = e.s.binary("lshr", index, e.s.const(e.width.bit_length() - 1, index.dtype))
    return e.s.cast(place, fold.index_dtype)
