"""Stores past the caches: loops that only read and write, over more bytes than caches hold.

In: a light loop over one contiguous store. Out: single elements up to an aligned place, whole vectors
stored past the caches (nothing reads the lines of the result first), a fence, and what is left. Loops over
few bytes skip all that at run time: what they write is likely to be read again soon. Every element is
computed by the same instructions as elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from symtensor.codegen.kernel import Affine, Buffer, Indirect, Let, Loop, Store
from symtensor.ir import dims as D
from symtensor.ir.dtypes import int64

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

LARGE = 32 << 20
"""Bytes read and written from which on stores pass the caches."""
METADATA = "!0 = !{i32 1}"
"""What LLVM wants to see beside a store to mark it."""


def takes_streaming(loop: Loop) -> bool:
    """Return True for a loop of plain statements whose one store moves on by one element."""
    stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
    if len(stores) != 1 or not all(isinstance(stmt, (Let, Store)) for stmt in loop.body):
        return False
    terms = stores[0].at.terms
    return (
        len(terms) == 1
        and terms[0][0] is loop.axis
        and D.same(terms[0][1], 1)
        and not any(isinstance(a, Indirect) for x in _loads(loop) for a, _ in x.terms)
    )


def _loads(loop: Loop) -> list[Affine]:
    lets = [stmt.value for stmt in loop.body if isinstance(stmt, Let)]
    return [value.data[1] for value in lets if value.kind == "load"]


def emit_streaming(emitter: Emitter, loop: Loop) -> str:
    """Emit what passes the caches; return the index from which on the usual loops go on."""
    e, axis = emitter, loop.axis
    first, last = e.bounds(loop)
    (store,) = (stmt for stmt in loop.body if isinstance(stmt, Store))
    large = _is_large(e, loop, store.buffer)
    start = e.bounded(first, _steps_to_alignment(e, store, first, large), last)
    e.counted(axis, first, start, 1, lambda: e.block(loop.body))
    end = _chosen(e, large, e.main_end(last, e.base, start), start)
    with e.lanes(axis, e.base):
        e.past_caches = True
        e.counted(axis, start, end, e.base, lambda: e.block(loop.body))
        e.past_caches = False
    _fence(e, large)
    return end


def _is_large(e: Emitter, loop: Loop, written: Buffer) -> str:
    lets = [stmt.value for stmt in loop.body if isinstance(stmt, Let)]
    read = {v.data[0] for v in lets if v.kind == "load" and loop.axis in v.axes}
    each = sum(buffer.dtype.itemsize for buffer in read | {written})
    total = e.s.emit(f"mul nsw i64 {e.size(loop.axis.extent)}, {each}", int64, 1).text
    return e.s.emit(f"icmp sge i64 {total}, {LARGE}", int64, 1).text


def _steps_to_alignment(e: Emitter, store: Store, first: str, large: str) -> str:
    """Return how many elements come before a place at which whole vectors are aligned."""
    size = store.buffer.dtype.itemsize
    place = e.plus(first, e.size(store.at.offset))
    pointer = e.element(f"[{size} x i8]", e.pointers[store.buffer], place)
    address = e.s.emit(f"ptrtoint ptr {pointer} to i64", int64, 1).text
    gap = e.s.emit(f"sub i64 0, {address}", int64, 1).text
    gap = e.s.emit(f"and i64 {gap}, {e.base * size - 1}", int64, 1).text
    steps = e.s.emit(f"lshr exact i64 {gap}, {size.bit_length() - 1}", int64, 1).text
    return _chosen(e, large, steps, "0")


def _chosen(e: Emitter, condition: str, a: str, b: str) -> str:
    return e.s.emit(f"select i1 {condition}, i64 {a}, i64 {b}", int64, 1).text


def _fence(e: Emitter, large: str) -> None:
    """Make other threads see what passed the caches, where the processor does not by itself."""
    fence = e.s.target.store_fence
    if fence is None:
        return
    name = e.s.fresh("fence")[1:]
    e.s.out += [
        f"br i1 {large}, label %{name}, label %{name}.end",
        f"{name}:",
        e.s.intrinsic(fence, "void", []),
        f"br label %{name}.end",
        f"{name}.end:",
    ]
