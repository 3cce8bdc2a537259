"""Stores past the caches: loops that only read and write, over more bytes than caches hold.

In: a light loop over one contiguous store. Out: single elements up to an aligned place, whole vectors
stored past the caches (nothing reads the lines of the result first), a fence, and what is left. The rows
of tiles (`symtensor.codegen.tiles`) pass the caches where all of them begin at an aligned place. Loops
over few bytes skip all that at run time: what they write is likely to be read again soon. Every element
is computed by the same instructions as elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from symtensor.codegen.kernel import Affine, Axis, Buffer, Indirect, Let, Loop, Store
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
    store = lone_store(loop)
    return store is not None and len(store.at.terms) == 1


def lone_store(loop: Loop) -> Store | None:
    """Return the one store of a loop of plain statements, if it is contiguous and data names no place."""
    stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
    if len(stores) != 1 or not all(isinstance(stmt, (Let, Store)) for stmt in loop.body):
        return None
    (store,) = stores
    places = [store.at, *(at for _, at in _loads(loop))]
    if any(isinstance(axis, Indirect) for at in places for axis, _ in at.terms):
        return None
    return store if D.same(store.at.coefficient(loop.axis), 1) else None


def _loads(loop: Loop) -> list[tuple[Buffer, Affine]]:
    lets = [stmt.value for stmt in loop.body if isinstance(stmt, Let)]
    return [value.data for value in lets if value.kind == "load"]


def emit_streaming(emitter: Emitter, loop: Loop) -> str:
    """Emit what passes the caches; return the index from which on the usual loops go on."""
    e, axis = emitter, loop.axis
    first, last = e.bounds(loop)
    store = lone_store(loop)
    assert store is not None
    large = is_large(e, loop, store)
    start = e.bounded(first, _steps_to_alignment(e, store, first, large), last)
    e.counted(axis, first, start, 1, lambda: e.block(loop.body))
    end = chosen(e, large, e.main_end(last, e.base, start), start)
    with e.lanes(axis, e.base):
        e.past_caches = True
        e.counted(axis, start, end, e.base, lambda: e.block(loop.body))
        e.past_caches = False
    emit_fence(e, large)
    return end


def is_large(e: Emitter, loop: Loop, store: Store) -> str:
    """Return the condition that a loop and those around it move many bytes."""
    axes = [axis for axis, _ in store.at.terms]
    read = {buffer for buffer, at in _loads(loop) if all(at.coefficient(a) != 0 for a in axes)}
    total = str(sum(buffer.dtype.itemsize for buffer in read | {store.buffer}))
    for axis in axes:
        total = e.times(e.size(axis.extent), total)
    return e.s.emit(f"icmp sge i64 {total}, {LARGE}", int64, 1).text


def rows_are_aligned(e: Emitter, axis: Axis, store: Store, size: int) -> str:
    """Return the condition that each row that is written along an axis begins at a multiple of `size`."""
    width = store.buffer.dtype.itemsize
    address = e.s.emit(f"ptrtoint ptr {e.pointers[store.buffer]} to i64", int64, 1).text
    bits = e.s.emit(f"or i64 {address}, {e.times(e.size(store.at.offset), width)}", int64, 1).text
    for factor in [factor for other, factor in store.at.terms if other is not axis]:
        bits = e.s.emit(f"or i64 {bits}, {e.times(e.size(factor), width)}", int64, 1).text
    bits = e.s.emit(f"and i64 {bits}, {size - 1}", int64, 1).text
    return e.s.emit(f"icmp eq i64 {bits}, 0", int64, 1).text


def _steps_to_alignment(e: Emitter, store: Store, first: str, large: str) -> str:
    """Return how many elements come before a place at which whole vectors are aligned."""
    size = store.buffer.dtype.itemsize
    place = e.plus(first, e.size(store.at.offset))
    pointer = e.element(f"[{size} x i8]", e.pointers[store.buffer], place)
    address = e.s.emit(f"ptrtoint ptr {pointer} to i64", int64, 1).text
    gap = e.s.emit(f"sub i64 0, {address}", int64, 1).text
    gap = e.s.emit(f"and i64 {gap}, {e.base * size - 1}", int64, 1).text
    steps = e.s.emit(f"lshr exact i64 {gap}, {size.bit_length() - 1}", int64, 1).text
    return chosen(e, large, steps, "0")


def chosen(e: Emitter, condition: str, a: str, b: str) -> str:
    """Return the index `a` where the condition holds, else `b`."""
    return e.s.emit(f"select i1 {condition}, i64 {a}, i64 {b}", int64, 1).text


def emit_fence(e: Emitter, large: str) -> None:
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
