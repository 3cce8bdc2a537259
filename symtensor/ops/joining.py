"""Joining, splitting, repeating and padding tensors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.literal import as_array
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops import creation, elementwise, indexing, movement, slicing
from symtensor.ops.attributes import as_dim, as_int, as_items, is_sequence
from symtensor.ops.build import (
    TensorLike,
    apply,
    as_tensor,
    cast_to,
    is_weak,
    normalize_axis,
    static_int,
    weak_promote,
)
from symtensor.ops.families import Assembly, Piece
from symtensor.ops.registry import define


def _infer_concatenate(*xs: TensorType, axis: int) -> TensorType:
    first = xs[0]
    if not 0 <= axis < first.ndim:
        raise AttributeValueError(f"axis {axis} is out of range for {first}", code="ST0301")
    for x in xs[1:]:
        same = x.ndim == first.ndim and all(
            a == axis or D.same(p, q)
            for a, (p, q) in enumerate(zip(x.shape, first.shape, strict=True))
        )
        if not same or x.dtype is not first.dtype:
            raise ShapeError(f"{x} can't be joined to {first} along axis {axis}", code="ST0105")
    total: Dim = 0
    for x in xs:
        total = total + x.shape[axis]
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _vjp_concatenate(g: Tensor, y: Tensor, *xs: Tensor, axis: int) -> tuple[Tensor, ...]:
    out: list[Tensor] = []
    start: Dim = 0
    for x in xs:
        starts = tuple(start if a == axis else 0 for a in range(x.ndim))
        out.append(slicing.slice_at(g, starts, (1,) * x.ndim, x.shape))
        start = start + x.shape[axis]
    return tuple(out)


def _concatenated_pieces(
    xs: Sequence[TensorType], out: TensorType, *, axis: int
) -> tuple[Piece, ...]:
    pieces = []
    start: Dim = 0
    for number, x in enumerate(xs):
        starts = [start if a == axis else 0 for a in range(x.ndim)]
        pieces.append(Piece(number, x.shape, slicing.strided_map(starts, (1,) * x.ndim)))
        start = start + x.shape[axis]
    return tuple(pieces)


CONCATENATE = define(
    "concatenate",
    infer=_infer_concatenate,
    evaluate=lambda xp, *xs, axis: xp.concatenate(xs, axis=axis),
    vjp=_vjp_concatenate,
    family=Assembly(_concatenated_pieces),
    doc="Operands one after the other along an axis.",
)


def _operands(tensors: Any, op: str) -> list[TensorLike]:
    """Return what is to be joined: tensors, and numbers that have no dtype of their own."""
    if isinstance(tensors, Tensor):
        tensors = list(tensors)
    given = as_items(tensors, op, "tensors")
    if not given:
        raise ShapeError(f"{op}: expected at least one tensor", code="ST0105")
    return [v if isinstance(v, Tensor) or is_weak(v) else as_tensor(v) for v in given]


def concatenate(tensors: Sequence[TensorLike], axis: int | None = 0) -> Tensor:
    """Return tensors joined along `axis` (flattened when None).

    Other sizes must agree (`ShapeError`, at a call where they are unknown); dtypes are promoted.
    """
    values = _operands(tensors, "concatenate")
    dtype = weak_promote(values)
    xs = [cast_to(as_tensor(v, dtype), dtype) for v in values]
    if axis is None:
        xs, axis = [movement.ravel(x) for x in xs], 0
    if xs[0].ndim == 0:
        raise ShapeError(
            "concatenate: 0-d tensors have no axis to join", help="use stack", code="ST0105"
        )
    axis = normalize_axis(axis, xs[0].ndim)
    if len(xs) == 1:
        return xs[0]
    return apply(CONCATENATE, *_agreeing(xs, axis), axis=axis)


def _agreeing(xs: list[Tensor], axis: int) -> list[Tensor]:
    """Return tensors whose sizes off `axis` are one, guarded where that can't be proved."""
    shape = list(xs[0].shape)
    for x in xs[1:]:
        if x.ndim != len(shape):
            raise ShapeError(
                f"concatenate: {xs[0].type} and {x.type} differ in rank", code="ST0105"
            )
        for a, size in enumerate(x.shape):
            if a == axis:
                continue
            agreed = unify_dims(shape[a], size)
            if agreed is None:
                raise ShapeError(
                    f"concatenate: sizes {shape[a]} and {size} differ on axis {a}, "
                    f"joining {xs[0].type} and {x.type} along axis {axis}",
                    code="ST0105",
                )
            shape[a] = agreed
    return [
        movement.specify_shape(x, [x.shape[a] if a == axis else s for a, s in enumerate(shape)])
        for x in xs
    ]


@dataclass(frozen=True, slots=True)
class _Block:
    """A tensor that is zero but for a block, which is whole on all axes but one."""

    whole: Tensor
    inner: Tensor
    axis: int
    start: int
    end: int
    size: int
    """Size of the whole along the axis."""


def total(terms: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors of one type, in order.

    Slices laid into zeros, as the gradients of slices are, are joined rather than added where they
    stand side by side.
    """
    rest: list[Tensor] = []
    beside: dict[int, list[_Block]] = {}
    for term in terms:
        block = _block(term)
        if block is None:
            rest.append(term)
        else:
            beside.setdefault(block.axis, []).append(block)
    for blocks in beside.values():
        rest += _joined(sorted(blocks, key=lambda block: block.start))
    return functools.reduce(elementwise.add, rest)


def _block(x: Tensor) -> _Block | None:
    """Return a slice laid into zeros as a block, None for other tensors."""
    attrs = x.node.attrs
    if x.node.op is not slicing.PLACE or attrs["fill"] != 0 or set(attrs["steps"]) != {1}:
        return None
    inner = Tensor(x.node.inputs[0])
    free = [axis for axis in range(x.ndim) if not D.same(inner.shape[axis], x.shape[axis])]
    if len(free) != 1:
        return None
    size, length, start = (d[free[0]] for d in (x.shape, inner.shape, attrs["starts"]))
    if not (isinstance(size, int) and isinstance(length, int) and isinstance(start, int)):
        return None
    return _Block(x, inner, free[0], start, start + length, size)


def _joined(blocks: list[_Block]) -> list[Tensor]:
    """Return blocks of one axis, first ones first, as one tensor; as they are if two overlap."""
    if len(blocks) == 1 or any(a.end > b.start for a, b in pairwise(blocks)):
        return [block.whole for block in blocks]
    pieces: list[Tensor] = []
    end = 0
    for block in blocks:
        pieces += [*_gap(block, end, block.start), block.inner]
        end = block.end
    return [concatenate([*pieces, *_gap(blocks[0], end, blocks[0].size)], blocks[0].axis)]


def _gap(block: _Block, start: int, end: int) -> list[Tensor]:
    """Return the zeros between two blocks, none where they touch."""
    shape = (*block.whole.shape[: block.axis], end - start, *block.whole.shape[block.axis + 1 :])
    return [creation.zeros(shape, block.whole.dtype)] if end > start else []


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new axis; dtypes are promoted."""
    values = _operands(tensors, "stack")
    dtype = weak_promote(values)
    xs = [as_tensor(v, dtype) for v in values]
    axis = normalize_axis(axis, xs[0].ndim + 1)
    return concatenate([movement.expand_dims(x, axis) for x in xs], axis)


def _slices(x: Tensor, cuts: Sequence[Any], axis: int) -> list[Tensor]:
    return [slicing.slice_axis(x, axis, a, b) for a, b in pairwise(cuts)]


MOST_PARTS = 1_000_000
"""Each part is a node of the graph: with more, no memory would hold it."""


def _part_count(sections: Any, what: str) -> int:
    count = as_int(sections, what, 1)
    if count > MOST_PARTS:
        raise AttributeValueError(f"{what}: expected at most {MOST_PARTS:,} parts, found {count:,}")
    return count


def split(x: TensorLike, sections: int | Sequence[Any], axis: int = 0) -> list[Tensor]:
    """Return `x` cut along `axis`: into equal parts, or before the given positions.

    An axis that does not divide is a `ShapeError`, at a call where its size is unknown.
    """
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    if is_sequence(sections):
        return _slices(x, [0, *sections, None], axis)
    count, size = _part_count(sections, "split: sections"), x.shape[axis]
    if isinstance(size, int) and size % count:
        raise ShapeError(
            f"split: axis {axis} of {x.type} does not divide into {count}", code="ST0105"
        )
    part = D.floordiv(size, count)
    x = movement.specify_shape(x, [part * count if a == axis else None for a in range(x.ndim)])
    return _slices(x, [part * i for i in range(count + 1)], axis)


def array_split(x: TensorLike, sections: int | Sequence[Any], axis: int = 0) -> list[Tensor]:
    """Return `x` cut along `axis` like `split`, the first parts one longer where it must be."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    if is_sequence(sections):
        return split(x, sections, axis)
    count, size = _part_count(sections, "array_split: sections"), x.shape[axis]
    part = D.floordiv(size, count)
    longer = size - part * count  # so many parts have one element more
    cuts = [part * i + D.minimum(longer, i) for i in range(count + 1)]
    return _slices(x, cuts, axis)


def unstack(x: TensorLike, axis: int = 0) -> list[Tensor]:
    """Return the slices of `x` along an axis of known size."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    count = static_int(x.shape[axis], f"axis {axis} to unstack")
    return [movement.squeeze(part, axis) for part in split(x, count, axis)] if count else []


def tile(x: TensorLike, reps: int | Sequence[Any]) -> Tensor:
    """Return `x` repeated whole along each axis."""
    x = as_tensor(x)
    given = reps if is_sequence(reps) else (reps,)
    counts = [as_dim(count, "tile: reps", 0) for count in given]
    rank = max(x.ndim, len(counts))
    counts = [*[1] * (rank - len(counts)), *counts]
    sizes = (1,) * (rank - x.ndim) + x.shape
    apart = [d for size in sizes for d in (1, size)]
    wide = [d for count, size in zip(counts, sizes, strict=True) for d in (count, size)]
    whole = [count * size for count, size in zip(counts, sizes, strict=True)]
    spread = movement.broadcast_to(movement.reshape(x, tuple(apart)), wide)
    return movement.reshape(spread, tuple(whole))


def repeat(x: TensorLike, repeats: Any, axis: int | None = None) -> Tensor:
    """Return `x` with each element repeated along `axis` (of the flattened tensor when None).

    `repeats` is one count, or a sequence of counts known when building.
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = movement.ravel(x), 0
    axis = normalize_axis(axis, x.ndim)
    several = is_sequence(repeats) and not isinstance(repeats, Tensor)
    given = list(repeats) if several else [repeats]
    if len(given) != 1:
        n = static_int(x.shape[axis], f"axis {axis} to repeat by a list of counts")
        counts = as_array(given, None)
        if counts.shape != (n,) or counts.dtype.kind not in "iu" or counts.min(initial=0) < 0:
            raise AttributeValueError(
                f"repeat: expected {n} counts for axis {axis} of {x.type}, found {repeats!r}"
            )
        return indexing.take(x, np.repeat(np.arange(n), counts), axis)
    count = as_dim(given[0], "repeat: repeats", 0)
    wide = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])
    spread = movement.broadcast_to(movement.expand_dims(x, axis + 1), wide)
    return movement.reshape(spread, (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]))


def roll(x: TensorLike, shift: Any, axis: Any = None) -> Tensor:
    """Return `x` with elements moved by `shift` along `axis`, those at the end to the front.

    Shifts are ints or dims; several axes take one shift each, or the same. With `axis` None the
    flattened tensor rolls.
    """
    out = as_tensor(x)
    if axis is None:
        return movement.reshape(_roll(movement.ravel(out), shift, 0), out.shape)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,)
    if not axes or not shifts:
        return out
    if len(axes) != len(shifts) and 1 not in (len(axes), len(shifts)):
        raise AttributeValueError(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    count = max(len(axes), len(shifts))
    for a, by in zip(axes * (count // len(axes)), shifts * (count // len(shifts)), strict=True):
        out = _roll(out, by, normalize_axis(a, out.ndim))
    return out


def _roll(x: Tensor, shift: Any, axis: int) -> Tensor:
    size, shift = x.shape[axis], as_dim(shift, "roll: shift")
    if not (isinstance(size, int) and isinstance(shift, int)):
        return indexing.take(x, elementwise.remainder(creation.iota(size) - shift, size), axis)
    cut = -shift % size if size else 0
    if cut == 0:
        return x
    return concatenate(_slices(x, [cut, None], axis) + _slices(x, [0, cut], axis), axis)
