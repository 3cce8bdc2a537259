"""Transposing square tiles in registers: log2(n) stages of two-operand shuffles (Eklundh, 1972)."""

from __future__ import annotations

from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import memory_type, vector_of
from symtensor.ir.dtypes import DType


def transposed(s: LaneScalars, rows: list[str], dtype: DType) -> list[str]:
    """Return the columns of a square tile, given its rows as vectors of memory elements.

    Stage `distance` exchanges the off-diagonal quarters of all blocks of twice that size. The number
    of rows is a power of two.
    """
    side = len(rows)
    out = list(rows)
    distance = side // 2
    while distance:
        low, high = _masks(side, distance)
        for r in range(side):
            if not r & distance:
                pair = out[r], out[r + distance]
                out[r] = _shuffle(s, *pair, low, dtype)
                out[r + distance] = _shuffle(s, *pair, high, dtype)
        distance //= 2
    return out


def _masks(side: int, distance: int) -> tuple[list[int], list[int]]:
    """Return the lanes of two rows, one after the other, that make up their new selves."""
    low = [lane if not lane & distance else side + lane - distance for lane in range(side)]
    return low, [lane + distance for lane in low]


def _shuffle(s: LaneScalars, a: str, b: str, mask: list[int], dtype: DType) -> str:
    side = len(mask)
    kind = memory_type(dtype, side)
    lanes = ", ".join(f"i32 {lane}" for lane in mask)
    text = f"shufflevector {kind} {a}, {kind} {b}, {vector_of('i32', side)} <{lanes}>"
    return s.emit(text, dtype, side).text
