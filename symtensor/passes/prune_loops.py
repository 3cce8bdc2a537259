"""Loops without what nobody reads: outputs, the state they alone needed, and equal parts.

Before: %1 = scan … of which only result 2 is read     After: a scan that computes result 2 alone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.passes.loop_form import LoopForm, Output, Read, Results, reads, rewrite_loops


def prune_loops(graph: Graph, fired: Counter[str]) -> Graph:
    """Drop the results, carries, sequences and captured tensors that no result in use needs."""

    def change(loop: LoopForm) -> Results | None:
        before = _sizes(loop), len(loop.node.attrs["body"].outputs)
        _merge_reads(loop, loop.rows)
        _merge_reads(loop, loop.captured)
        twins = _merge_outputs(loop)
        _drop_unread(loop)
        after = _sizes(loop), len(loop.roots())
        if before == after:
            return None
        fired["prune a loop"] += 1
        found, _ = loop.build()
        return dict(found) | {twin: found[kept] for twin, kept in twins.items()}

    return rewrite_loops(graph, change)


def _sizes(loop: LoopForm) -> tuple[int, ...]:
    return len(loop.carries), len(loop.rows), len(loop.captured)


def _merge_reads(loop: LoopForm, parts: list[Read]) -> None:
    """Let the body read a tensor that it gets twice once."""
    first: dict[Node, Read] = {}
    same: dict[Node, Node] = {}
    for part in parts:
        kept = first.setdefault(part.outer, part)
        if kept is not part:
            same[part.parameter] = kept.parameter
    if same:
        loop.replace(same)
        parts[:] = first.values()


def _merge_outputs(loop: LoopForm) -> dict[int, int]:
    """Drop outputs equal to earlier ones; return number of result -> number of its equal."""
    first: dict[Node, Output] = {}
    same: dict[int, int] = {}
    for output in loop.outputs:
        kept = first.setdefault(output.value, output)
        if kept is not output and output.result is not None and kept.result is not None:
            same[output.result] = kept.result
    loop.outputs = list(first.values())
    return same


def _drop_unread(loop: LoopForm) -> None:
    """Keep the carries that something in use depends on, and what those read."""
    wanted = [o.value for o in loop.outputs] + ([loop.test] if loop.test is not None else [])
    wanted += [c.following for c in loop.carries if c.result is not None]
    read = reads(wanted)
    while True:
        needed = [c for c in loop.carries if c.result is not None or c.parameter in read]
        found = reads([*wanted, *(c.following for c in needed)])
        if found == read:
            break
        read = found
    dropped = [Read(c.initial, c.parameter) for c in loop.carries if c not in needed]
    dropped += [x for x in (*loop.rows, *loop.captured) if x.parameter not in read]
    loop.carries = needed
    loop.rows = [x for x in loop.rows if x.parameter in read]
    loop.captured = [x for x in loop.captured if x.parameter in read]
    _keep_sizes(loop, dropped)


def _keep_sizes(loop: LoopForm, dropped: Sequence[Read]) -> None:
    """Keep operands that nothing else tells a size of: a size found at run time needs its tensor."""
    operands = [c.initial for c in loop.carries]
    operands += [x.outer for x in (*loop.rows, *loop.captured)]
    told = _symbols(operands)
    for part in dropped:
        if not _symbols([part.outer]) <= told:
            loop.captured.append(Read(part.outer, loop.new_parameter(part.outer)))
            told |= _symbols([part.outer])


def _symbols(nodes: Iterable[Node]) -> set[D.Symbol]:
    return {s for n in nodes for size in n.tensor_type.shape for s in D.symbols_in(size)}
