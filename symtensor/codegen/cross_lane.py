"""Operations between the lanes of vectors: parts, joins, and what a whole mask says."""

from __future__ import annotations

from collections.abc import Sequence

from symtensor.codegen.lanes import LaneBuilder, Lanes, register_type, vector_of
from symtensor.ir.dtypes import bool_, int64


def part(s: LaneBuilder, x: Lanes, start: int, count: int) -> Lanes:
    """Return `count` lanes of a vector, from lane `start` on."""
    if count == x.width:
        return x
    kind = register_type(x.dtype, x.width)
    if count == 1:
        return s.emit(f"extractelement {kind} {x.text}, i64 {start}", x.dtype, 1)
    picked = ", ".join(f"i32 {start + i}" for i in range(count))
    mask = f"{vector_of('i32', count)} <{picked}>"
    return s.emit(f"shufflevector {kind} {x.text}, {kind} poison, {mask}", x.dtype, count)


def joined(s: LaneBuilder, xs: Sequence[Lanes]) -> Lanes:
    """Return the lanes of vectors of one width, a power of two of them, as one vector."""
    parts = list(xs)
    while len(parts) > 1:
        kind, width = register_type(parts[0].dtype, parts[0].width), 2 * parts[0].width
        mask = f"{vector_of('i32', width)} <{', '.join(f'i32 {i}' for i in range(width))}>"
        parts = [
            s.emit(f"shufflevector {kind} {a.text}, {kind} {b.text}, {mask}", a.dtype, width)
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def first_lanes(s: LaneBuilder, x: Lanes, count: int) -> Lanes:
    """Return a vector of `count` lanes that begins with the lanes of x; the others are anything."""
    kind, wide = register_type(x.dtype, x.width), register_type(x.dtype, count)
    if x.width == count:
        return x
    if x.width == 1:
        return s.emit(f"insertelement {wide} poison, {kind} {x.text}, i64 0", x.dtype, count)
    picked = ", ".join(f"i32 {min(i, x.width)}" for i in range(count))
    mask = f"{vector_of('i32', count)} <{picked}>"
    return s.emit(f"shufflevector {kind} {x.text}, {kind} poison, {mask}", x.dtype, count)


def any_lane(s: LaneBuilder, mask: Lanes) -> Lanes:
    """Return whether some lane of a mask is true."""
    if mask.width == 1:
        return mask
    kind = vector_of("i1", mask.width)
    call = s.intrinsic(f"llvm.vector.reduce.or.v{mask.width}i1", "i1", [(kind, mask.text)])
    return s.emit(call, bool_, 1)


def first_true(s: LaneBuilder, mask: Lanes) -> Lanes:
    """Return the number of the first true lane of a mask that has one."""
    bits = f"i{mask.width}"
    whole = s.emit(f"bitcast {vector_of('i1', mask.width)} {mask.text} to {bits}", bool_, 1)
    call = s.intrinsic(f"llvm.cttz.{bits}", bits, [(bits, whole.text), ("i1", "true")])
    count = s.emit(call, bool_, 1).text
    if mask.width == 64:
        return Lanes(count, int64, 1)
    return s.emit(f"{'zext' if mask.width < 64 else 'trunc'} {bits} {count} to i64", int64, 1)
