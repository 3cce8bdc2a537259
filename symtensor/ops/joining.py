"""Joining, splitting, repeating and padding tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops import creation, elementwise, indexing, movement
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
from symtensor.ops.inputs import normalize_dim
from symtensor.ops.registry import define


def _infer_concatenate(*xs: TensorType, axis: int) -> TensorType:
    first = xs[0]
    for x in xs[1:]:
        same = x.ndim == first.ndim and all(
            a == axis or D.same(p, q)
            for a, (p, q) in enumerate(zip(x.shape, first.shape, strict=True))
        )
        if not same or x.dtype is not first.dtype:
            raise ShapeError(f"{x} can't be joined to {first} along axis {axis}")
    total: Dim = 0
    for x in xs:
        total = total + x.shape[axis]
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _vjp_concatenate(g: Tensor, y: Tensor, *xs: Tensor, axis: int) -> tuple[Tensor, ...]:
    out, start = [], 0  # type: list[Tensor], Dim
    for x in xs:
        out.append(movement.slice_axis(g, axis, start, start + x.shape[axis]))
        start = start + x.shape[axis]
    return tuple(movement.specify_shape(o, x.shape) for o, x in zip(out, xs, strict=True))


CONCATENATE = define(
    "concatenate",
    infer=_infer_concatenate,
    evaluate=lambda xp, *xs, axis: xp.concatenate(xs, axis=axis),
    vjp=_vjp_concatenate,
    doc="Operands one after the other along an axis.",
)


def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Return tensors joined along `axis`; other sizes must agree, dtypes are promoted."""
    if len(tensors) == 0:
        raise ShapeError("concatenate: expected at least one tensor")
    values = [v if isinstance(v, Tensor) or is_weak(v) else as_tensor(v) for v in tensors]
    dtype = weak_promote(values)
    xs = [cast_to(as_tensor(v, dtype), dtype) for v in values]
    if xs[0].ndim == 0:
        raise ShapeError("concatenate: 0-d tensors have no axis to join", help="use stack")
    axis = normalize_axis(axis, xs[0].ndim)
    if len(xs) == 1:
        return xs[0]
    return apply(CONCATENATE, *_agreeing(xs, axis), axis=axis)


def _agreeing(xs: list[Tensor], axis: int) -> list[Tensor]:
    """Return tensors whose sizes off `axis` are one, guarded where that can't be proved."""
    shape = list(xs[0].shape)
    for x in xs[1:]:
        if x.ndim != len(shape):
            raise ShapeError(f"concatenate: {xs[0].type} and {x.type} differ in rank")
        for a, size in enumerate(x.shape):
            if a == axis:
                continue
            agreed = unify_dims(shape[a], size)
            if agreed is None:
                raise ShapeError(
                    f"concatenate: sizes {shape[a]} and {size} differ on axis {a}, "
                    f"joining {xs[0].type} and {x.type} along axis {axis}"
                )
            shape[a] = agreed
    return [
        movement.specify_shape(x, [x.shape[a] if a == axis else s for a, s in enumerate(shape)])
        for x in xs
    ]


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new axis."""
    xs = [as_tensor(v) for v in tensors]
    if not xs:
        raise ShapeError("stack: expected at least one tensor")
    axis = normalize_axis(axis, xs[0].ndim + 1)
    return concatenate([movement.expand_dims(x, axis) for x in xs], axis)


def split(x: TensorLike, sections: int | Sequence[Any], axis: int = 0) -> list[Tensor]:
    """Return `x` cut along `axis`: into equal parts, or before the given positions."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    size = x.shape[axis]
    if isinstance(sections, int):
        if isinstance(size, int) and size % sections:
            raise ShapeError(f"split: axis {axis} of {x.type} does not divide into {sections}")
        part = D.floordiv(size, sections)
        x = movement.specify_shape(
            x, [part * sections if a == axis else None for a in range(x.ndim)]
        )
        cuts: list[Any] = [part * i for i in range(sections + 1)]
    else:
        cuts = [0, *sections, size]
    return [movement.slice_axis(x, axis, a, b) for a, b in pairwise(cuts)]


def unstack(x: TensorLike, axis: int = 0) -> list[Tensor]:
    """Return the slices of `x` along an axis of known size."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    count = static_int(x.shape[axis], f"axis {axis} to unstack")
    return [movement.squeeze(part, axis) for part in split(x, count, axis)] if count else []


def tile(x: TensorLike, reps: int | Sequence[Any]) -> Tensor:
    """Return `x` repeated whole along each axis."""
    x = as_tensor(x)
    counts = [normalize_dim(r) for r in (reps if isinstance(reps, (tuple, list)) else (reps,))]
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
    if isinstance(repeats, (list, tuple, np.ndarray)) and np.ndim(repeats) == 1:
        n = static_int(x.shape[axis], f"axis {axis} to repeat by a list of counts")
        return indexing.take(x, np.repeat(np.arange(n), repeats), axis)
    count = normalize_dim(repeats)
    wide = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])
    spread = movement.broadcast_to(movement.expand_dims(x, axis + 1), wide)
    return movement.reshape(spread, (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]))


def roll(x: TensorLike, shift: int, axis: int | None = None) -> Tensor:
    """Return `x` with elements moved by `shift` along `axis`, those at the end to the front."""
    x = as_tensor(x)
    if axis is None:
        return movement.reshape(roll(movement.ravel(x), shift, 0), x.shape)
    axis = normalize_axis(axis, x.ndim)
    size = x.shape[axis]
    if isinstance(size, int):
        cut = -shift % size if size else 0
        parts = [movement.slice_axis(x, axis, cut, None), movement.slice_axis(x, axis, None, cut)]
        return movement.specify_shape(concatenate(parts, axis), x.shape) if cut else x
    return indexing.take(x, elementwise.remainder(creation.iota(size) - shift, size), axis)


def pad(x: TensorLike, widths: Any, mode: str = "constant", constant_values: float = 0) -> Tensor:
    """Return `x` with elements added at both ends of its axes.

    `widths` is one count, one (before, after) pair, or a pair per axis. Modes: constant, edge,
    reflect, symmetric, wrap, as in NumPy.
    """
    out = as_tensor(x)
    pairs = _pad_widths(widths, out.ndim)
    if mode == "constant":
        shape = tuple(a + size + b for (a, b), size in zip(pairs, out.shape, strict=True))
        if all(D.same(a, 0) and D.same(b, 0) for a, b in pairs):
            return out
        starts = tuple(a for a, _ in pairs)
        return movement.place(out, shape, starts, (1,) * out.ndim, constant_values)
    if mode not in _PAD_POSITIONS:
        known = ", ".join(["constant", *_PAD_POSITIONS])
        raise AttributeValueError(f"pad: expected a mode among {known}, found {mode!r}")
    for axis, (before, after) in enumerate(pairs):
        if not (D.same(before, 0) and D.same(after, 0)):
            size = out.shape[axis]
            position = creation.iota(before + size + after) - before
            out = indexing.take(out, _PAD_POSITIONS[mode](position, size), axis)
    return out


def _pad_widths(widths: Any, rank: int) -> list[tuple[Dim, Dim]]:
    if not isinstance(widths, (tuple, list)):
        return [(normalize_dim(widths),) * 2] * rank
    if len(widths) == 2 and not isinstance(widths[0], (tuple, list)):
        return [(normalize_dim(widths[0]), normalize_dim(widths[1]))] * rank
    pairs = [(normalize_dim(a), normalize_dim(b)) for a, b in widths]
    if len(pairs) == 1:
        pairs = pairs * rank
    if len(pairs) != rank:
        raise AttributeValueError(f"pad: expected {rank} pairs of widths, found {len(pairs)}")
    return pairs


def _fold(position: Tensor, period: Dim, last: Dim) -> Tensor:
    """Return positions on a zigzag of `period`: up to `last`, then back."""
    there = elementwise.remainder(position, period)
    return elementwise.minimum(there, last - there)


_PAD_POSITIONS: dict[str, Callable[[Tensor, Dim], Tensor]] = {
    "edge": lambda position, size: elementwise.clip(position, 0, as_tensor(size - 1)),
    "wrap": lambda position, size: elementwise.remainder(position, size),
    "reflect": lambda position, size: _fold(position, 2 * (size - 1), 2 * (size - 1)),
    "symmetric": lambda position, size: _fold(position, 2 * size, 2 * size - 1),
}
