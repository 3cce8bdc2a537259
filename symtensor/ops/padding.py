"""Padding: a tensor laid into one value, or read beyond its ends by positions that come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.tensor import Tensor
from symtensor.ops import creation, elementwise, indexing, joining, selection, slicing
from symtensor.ops.attributes import as_dim
from symtensor.ops.build import TensorLike, as_tensor
from symtensor.vocabulary import require_choice


def pad(x: TensorLike, widths: Any, mode: str = "constant", constant_values: Any = 0) -> Tensor:
    """Return `x` with elements added at both ends of its axes.

    `widths` is one count, one (before, after) pair, or a pair per axis; `constant_values` likewise.
    Modes: constant, edge, reflect, symmetric, wrap, as in NumPy.
    """
    out = as_tensor(x)
    require_choice(mode, ("constant", *_PAD_POSITIONS), "pad: mode")
    given = _pairs(widths, out.ndim, "widths")
    pairs = [(as_dim(a, "pad: widths", 0), as_dim(b, "pad: widths", 0)) for a, b in given]
    if mode == "constant":
        return _pad_constant(out, pairs, _pairs(constant_values, out.ndim, "constant values"))
    for axis, (before, after) in enumerate(pairs):
        size = out.shape[axis]
        if D.same(before, 0) and D.same(after, 0):
            continue
        if D.same(size, 0):
            raise ShapeError(f"pad: mode {mode} has nothing to repeat on axis {axis} of {out.type}")
        out = indexing.take(out, _PAD_POSITIONS[mode](_around(before, size, after), size), axis)
    return out


def _around(before: Dim, size: Dim, after: Dim) -> Tensor:
    """Return positions from `before` elements before an axis to `after` behind it.

    Widths that only a call knows are sizes of tensors, where a negative one is refused.
    """
    if D.provably_nonnegative(before) and D.provably_nonnegative(after):
        return creation.iota(before + size + after) - before
    parts = [creation.iota(before) - before, creation.iota(size), creation.iota(after) + size]
    return joining.concatenate(parts)


def _pairs(given: Any, rank: int, what: str) -> list[tuple[Any, Any]]:
    """Return a (before, after) pair per axis of one value, one pair, or a value or pair per axis."""
    rows = given.tolist() if isinstance(given, np.ndarray) else given
    if not isinstance(rows, (tuple, list)):
        rows = [(rows,)]
    elif not any(isinstance(row, (tuple, list)) for row in rows):
        rows = [rows]
    if len(rows) == 1:
        rows = [*rows] * rank
    if len(rows) != rank or any(len(row) not in (1, 2) for row in rows):
        raise AttributeValueError(f"pad: expected {rank} pairs of {what}, found {given!r}")
    return [(row[0], row[-1]) for row in rows]


def _pad_constant(
    x: Tensor, widths: list[tuple[Dim, Dim]], values: list[tuple[Any, Any]]
) -> Tensor:
    """Lay `x` into one value at once; else each side of each axis in turn, so that later win."""
    fills = [value for pair in values for value in pair]
    if all(fill == fills[0] for fill in fills):
        return _surround(x, widths, fills[0]) if fills else x
    for axis, ((before, after), (first, last)) in enumerate(zip(widths, values, strict=True)):
        for sides, fill in (((before, 0), first), ((0, after), last)):
            x = _surround(x, [sides if a == axis else (0, 0) for a in range(x.ndim)], fill)
    return x


def _surround(x: Tensor, widths: Sequence[tuple[Dim, Dim]], fill: Any) -> Tensor:
    if all(D.same(a, 0) and D.same(b, 0) for a, b in widths):
        return x
    shape = tuple(a + size + b for (a, b), size in zip(widths, x.shape, strict=True))
    return slicing.place(x, shape, tuple(a for a, _ in widths), (1,) * x.ndim, fill)


def _fold(position: Tensor, period: Dim, last: Dim) -> Tensor:
    """Return positions on a zigzag of `period`: up to `last`, then back."""
    there = elementwise.remainder(position, period)
    return selection.minimum(there, last - there)


_PAD_POSITIONS: dict[str, Callable[[Tensor, Dim], Tensor]] = {
    "edge": lambda position, size: selection.clip(position, 0, as_tensor(size - 1)),
    "wrap": lambda position, size: elementwise.remainder(position, size),
    "reflect": lambda position, size: _fold(position, 2 * (size - 1), 2 * (size - 1)),
    "symmetric": lambda position, size: _fold(position, 2 * size, 2 * size - 1),
}
