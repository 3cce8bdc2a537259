"""Native forms of ops that move data: windows, laying out, gathering, scattering, sorting, drawing.

Each gives what the op's `evaluate` rule gives, to the last bit. Positions that data decides are
checked: a doubt is raised where one leaves its axis (see `trace`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from symtensor.engines.jax.trace import Trace, native
from symtensor.ops.effects import ASSERT
from symtensor.ops.indexing import GATHER, SCATTER
from symtensor.ops.random import RANDOM_BITS
from symtensor.ops.reduction import ARGMAX, ARGMIN
from symtensor.ops.slicing import PLACE, UPDATE_SLICE, check_positions, check_widths, strided_slices
from symtensor.ops.sort import ARGSORT, BINCOUNT, SEARCHSORTED, SORT, TOP_PLACES
from symtensor.ops.windows import OVERLAP_ADD, WINDOWS, window_count

Ints = tuple[int, ...]

# --- windows -------------------------------------------------------------------------------------


@native(WINDOWS)
def _windows(
    trace: Trace, x: Any, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> Any:
    """Slices of every place in the window, side by side."""
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        count = int(window_count(x.shape[axis], size, stride, dilation))
        span = (count - 1) * stride + 1 if count else 0
        starts = [w * dilation if count else 0 for w in range(size)]
        x = jnp.stack([lax.slice_in_dim(x, at, at + span, stride, axis) for at in starts], axis=-1)
    return x


@native(OVERLAP_ADD)
def _overlap_add(
    trace: Trace, x: Any, *, axes: Ints, shape: Ints, strides: Ints, dilations: Ints
) -> Any:
    """The places of the window, each laid into zeros, added up in the order of the rule."""
    ndim = x.ndim - len(axes)
    size = list(x.shape[:ndim])
    for axis, length in zip(axes, shape, strict=True):
        size[axis] = length
    narrow = x.dtype.itemsize == 2 and jnp.issubdtype(x.dtype, jnp.floating)
    wide = jnp.float32 if narrow else x.dtype
    out = jnp.zeros(size, wide)
    for places in itertools.product(*(range(n) for n in x.shape[ndim:])):
        starts, steps = [0] * ndim, [1] * ndim
        for axis, place, stride, dilation in zip(axes, places, strides, dilations, strict=True):
            starts[axis], steps[axis] = place * dilation, stride
        out = out + _placed(x[(..., *places)].astype(wide), size, starts, steps, 0)
    return out.astype(x.dtype)


# --- laying out ----------------------------------------------------------------------------------


def _placed(
    x: Any, shape: Sequence[int], starts: Sequence[int], steps: Sequence[int], fill: Any
) -> Any:
    """Return `x` at ``start + step * i`` of each axis in a tensor of one value."""
    value = jnp.asarray(fill, x.dtype)
    if 0 in x.shape:
        return jnp.full(tuple(shape), value)
    amounts, backwards = [], []
    for axis, (size, n, start, step) in enumerate(zip(shape, x.shape, starts, steps, strict=True)):
        last = start + step * (n - 1)
        if step < 0:
            backwards.append(axis)
        amounts.append((min(start, last), size - 1 - max(start, last), abs(step) - 1))
    return lax.pad(lax.rev(x, backwards) if backwards else x, value, amounts)


@native(PLACE)
def _place(trace: Trace, x: Any, *, shape: Ints, starts: Ints, steps: Ints, fill: Any) -> Any:
    check_widths(shape, starts, steps, x.shape)
    return _placed(x, shape, starts, steps, fill)


@native(UPDATE_SLICE)
def _update_slice(trace: Trace, x: Any, values: Any, *, starts: Ints, steps: Ints) -> Any:
    check_positions(x.shape, starts, steps, values.shape)
    if 0 in values.shape:
        return x
    if set(steps) <= {1}:
        return lax.dynamic_update_slice(x, values, [jnp.asarray(s, jnp.int32) for s in starts])
    return x.at[strided_slices(starts, steps, values.shape)].set(values)


# --- positions that are data ---------------------------------------------------------------------


def _checked(trace: Trace, index: Any, size: int) -> Any:
    """Return an index counted from the front and inside the axis; doubt what was outside."""
    unsigned = jnp.issubdtype(index.dtype, jnp.unsignedinteger)
    wide = index.astype(jnp.uint64 if unsigned else jnp.int64)
    outside = wide >= size
    if not unsigned:
        outside = outside | (wide < -size)
        wide = jnp.where(wide < 0, wide + size, wide)
    trace.doubt(jnp.any(outside))
    small = jnp.int32 if size < 2**31 else jnp.int64
    return jnp.where(outside, 0, wide).astype(small)


def _reads_nothing(shape: Sequence[int], indices: Sequence[Any]) -> bool:
    return indices[0].size == 0 or 0 in shape


@native(GATHER)
def _gather(trace: Trace, x: Any, *indices: Any, axes: Ints) -> Any:
    places = tuple(_checked(trace, i, x.shape[a]) for i, a in zip(indices, axes, strict=True))
    moved = jnp.moveaxis(x, axes, range(len(axes)))
    if _reads_nothing([x.shape[a] for a in axes], indices):
        return jnp.zeros(indices[0].shape + moved.shape[len(axes) :], x.dtype)
    return moved.at[places].get(mode="promise_in_bounds")


@native(SCATTER)
def _scatter(trace: Trace, base: Any, values: Any, *indices: Any, axes: Ints, mode: str) -> Any:
    places = tuple(_checked(trace, i, base.shape[a]) for i, a in zip(indices, axes, strict=True))
    if _reads_nothing([base.shape[a] for a in axes], indices):
        return base
    moved = jnp.moveaxis(base, axes, range(len(axes)))
    write = _last_wins if mode == "set" else _add_up
    return jnp.moveaxis(write(moved, values, places), range(len(axes)), axes)


def _add_up(target: Any, values: Any, places: tuple[Any, ...]) -> Any:
    if target.dtype == jnp.bool_:
        return target.at[places].max(values, mode="promise_in_bounds")
    return target.at[places].add(values, mode="promise_in_bounds")


def _last_wins(target: Any, values: Any, places: tuple[Any, ...]) -> Any:
    """XLA leaves open which of equal positions wins: write the number of each writer, keep the largest."""
    count, lead = places[0].size, len(places)
    number = jnp.arange(count, dtype=jnp.int64).reshape(places[0].shape)
    board = jnp.full(target.shape[:lead], -1, jnp.int64)
    winner = board.at[places].max(number, mode="promise_in_bounds")
    rows = values.reshape((count, *target.shape[lead:]))
    written = rows.at[jnp.maximum(winner, 0)].get(mode="promise_in_bounds")
    chosen = (winner >= 0).reshape(winner.shape + (1,) * (target.ndim - lead))
    return jnp.where(chosen, written, target)


@native(BINCOUNT)
def _bincount(trace: Trace, x: Any, *, length: int) -> Any:
    wide = x.astype(jnp.int64)
    outside = (wide < 0) | (wide >= length)
    trace.doubt(jnp.any(outside))
    counts = jnp.zeros(length + 1, jnp.int64)
    return counts.at[jnp.where(outside, length, wide)].add(1)[:length]


@native(ASSERT)
def _assert(trace: Trace, x: Any, condition: Any, *, message: str) -> Any:
    trace.doubt(~jnp.all(condition))
    return x


# --- order ---------------------------------------------------------------------------------------


@native(SORT)
def _sort(trace: Trace, x: Any, *, axis: int) -> Any:
    return jnp.sort(x, axis=axis, stable=True)


@native(ARGMAX)
@native(ARGMIN)
def _extremum(trace: Trace, x: Any, *, axes: Ints) -> Any:
    """Of one element there is nothing to find; XLA for GPUs fails there without its simplifier."""
    if x.shape[axes[0]] == 1:
        return jnp.zeros(x.shape[: axes[0]] + x.shape[axes[0] + 1 :], jnp.int64)
    return trace.node.op.evaluate(jnp, x, axes=axes)


@native(ARGSORT)
def _argsort(trace: Trace, x: Any, *, axis: int, descending: bool) -> Any:
    if not descending:
        return jnp.argsort(x, axis=axis, stable=True)
    backwards = jnp.argsort(jnp.flip(x, axis), axis=axis, stable=True)
    return x.shape[axis] - 1 - jnp.flip(backwards, axis)


@native(TOP_PLACES)
def _top_places(trace: Trace, x: Any, *, axis: int, count: int) -> Any:
    order = _argsort(trace, x, axis=axis, descending=True)
    return lax.slice_in_dim(order, 0, min(count, x.shape[axis]), axis=axis)


@native(SEARCHSORTED)
def _searchsorted(trace: Trace, sorted_: Any, values: Any, *, side: str) -> Any:
    return jnp.searchsorted(sorted_, values, side=side)


# --- random words --------------------------------------------------------------------------------

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def _product(x: Any, factor: int) -> tuple[Any, Any]:
    """Return the high and low words of 64 by 64 bits."""
    a, b = np.uint64(factor >> 32), np.uint64(factor & 0xFFFFFFFF)
    high, low = x >> _HALF, x & _LOW
    middle = high * b + (low * b >> _HALF)
    other = low * a + (middle & _LOW)
    return high * a + (middle >> _HALF) + (other >> _HALF), x * np.uint64(factor)


@native(RANDOM_BITS)
def _random_bits(trace: Trace, state: Any, *, shape: Ints) -> Any:
    """Philox 4x64-10 on the blocks of `symtensor.ops.random`, all of them at once."""
    count = math.prod(shape)
    blocks = jnp.arange(-(-count // 4), dtype=jnp.uint64)
    key, draw, call, high = (jnp.broadcast_to(state[i], blocks.shape) for i in range(4))
    keys = [key, jnp.zeros_like(key)]
    c = [blocks, draw, call, high]
    for _ in range(_ROUNDS):
        (h0, l0), (h1, l1) = _product(c[0], _MULTIPLIERS[0]), _product(c[2], _MULTIPLIERS[1])
        c = [h1 ^ c[1] ^ keys[0], l1, h0 ^ c[3] ^ keys[1], l0]
        keys = [k + np.uint64(w) for k, w in zip(keys, _WEYL, strict=True)]
    return jnp.stack(c, axis=-1).reshape(-1)[:count].reshape(shape)
