"""Windows: what convolution and pooling see of a tensor, and the way back.

    windows      out[…, o, …, w] = x[…, stride * o + dilation * w, …]      a view
    overlap_add  out[…, p, …] = sum of x[…, o, …, w] where stride * o + dilation * w = p

`o` counts along the axis itself, `w` along a new axis at the end, one per windowed axis. Each op is
the other's transpose, so both have derivatives of every order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import movement
from symtensor.ops.attributes import as_dim, as_items, index_of
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axis
from symtensor.ops.families import AxisMap, IndexMap, View
from symtensor.ops.registry import define

Ints = tuple[int, ...]


def window_count(size: Dim, window: int, stride: int, dilation: int) -> Dim:
    """Return how many windows fit in `size` elements."""
    return D.maximum(D.floordiv(size - (window - 1) * dilation - 1, stride) + 1, 0)


def _check(ndim: int, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints) -> None:
    if not len(axes) == len(sizes) == len(strides) == len(dilations):
        raise AttributeValueError(
            f"expected a size, stride and dilation for each of {len(axes)} axes"
        )
    if len(set(axes)) != len(axes) or not all(0 <= axis < ndim for axis in axes):
        raise AttributeValueError(f"expected distinct axes below {ndim}, found {axes}")
    for what, values in (("size", sizes), ("stride", strides), ("dilation", dilations)):
        if any(value < 1 for value in values):
            raise AttributeValueError(f"a window's {what} must be at least 1, found {values}")


def _infer_windows(
    x: TensorType, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> TensorType:
    _check(x.ndim, axes, sizes, strides, dilations)
    shape = list(x.shape)
    for axis, *window in zip(axes, sizes, strides, dilations, strict=True):
        shape[axis] = window_count(x.shape[axis], *window)
    return x.with_shape((*shape, *sizes))


def _evaluate_windows(
    xp: Any, x: Any, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> Any:
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        count = window_count(x.shape[axis], size, stride, dilation)
        at = xp.arange(count)[:, None] * stride + xp.arange(size)[None, :] * dilation
        x = xp.moveaxis(xp.take(x, at, axis=axis), axis + 1, -1)
    return x


def _windows_map(
    source: TensorType, out: TensorType, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> IndexMap:
    maps = [AxisMap(0, ((axis, 1),)) for axis in range(source.ndim)]
    for number, (axis, stride, dilation) in enumerate(zip(axes, strides, dilations, strict=True)):
        maps[axis] = AxisMap(0, ((axis, stride), (source.ndim + number, dilation)))
    return tuple(maps)


def _vjp_windows(
    g: Tensor, y: Tensor, x: Tensor, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> tuple[Tensor]:
    shape = tuple(x.shape[axis] for axis in axes)
    return (apply(OVERLAP_ADD, g, axes=axes, shape=shape, strides=strides, dilations=dilations),)


WINDOWS = define(
    "windows",
    infer=_infer_windows,
    evaluate=_evaluate_windows,
    vjp=_vjp_windows,
    linear=(0,),
    family=View(_windows_map),
    doc="Windows of some axes: element w of window o is at stride * o + dilation * w.",
)


def _infer_overlap(
    x: TensorType, *, axes: Ints, shape: Shape, strides: Ints, dilations: Ints
) -> TensorType:
    ndim = x.ndim - len(axes)
    sizes = x.shape[ndim:]
    known = tuple(size for size in sizes if isinstance(size, int))
    if len(known) != len(sizes):
        raise ShapeError(f"window sizes must be known, found {x}")
    _check(ndim, axes, known, strides, dilations)
    out = list(x.shape[:ndim])
    for axis, size, *window in zip(axes, shape, known, strides, dilations, strict=True):
        count = window_count(size, *window)
        if D.provably_different(count, x.shape[axis]):
            raise ShapeError(
                f"{count} windows fit in {size} elements, found {x.shape[axis]} on axis {axis}",
                code="ST0107",
            )
        out[axis] = size
    return x.with_shape(tuple(out))


def _evaluate_overlap(
    xp: Any, x: Any, *, axes: Ints, shape: Ints, strides: Ints, dilations: Ints
) -> Any:
    ndim = x.ndim - len(axes)
    counts = [x.shape[axis] for axis in axes]
    size = list(x.shape[:ndim])
    for axis, length in zip(axes, shape, strict=True):
        size[axis] = length
    wide = xp.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
    out = xp.zeros(size, wide)
    for places in itertools.product(*(range(n) for n in x.shape[ndim:])):
        index = [slice(None)] * ndim
        for axis, place, *step in zip(axes, places, counts, strides, dilations, strict=True):
            count, stride, dilation = step
            first = place * dilation
            index[axis] = slice(first, first + stride * (count - 1) + 1 if count else first, stride)
        out[tuple(index)] += x[(..., *places)].astype(wide)
    return out.astype(x.dtype)


def _vjp_overlap(
    g: Tensor, y: Tensor, x: Tensor, *, axes: Ints, shape: Shape, strides: Ints, dilations: Ints
) -> tuple[Tensor]:
    sizes = tuple(int(size) for size in x.shape[g.ndim :])
    return (apply(WINDOWS, g, axes=axes, sizes=sizes, strides=strides, dilations=dilations),)


OVERLAP_ADD = define(
    "overlap_add",
    infer=_infer_overlap,
    evaluate=_evaluate_overlap,
    vjp=_vjp_overlap,
    linear=(0,),
    doc="Windows laid over each other and added: the transpose of windows.",
)


def per_axis(value: int | Sequence[int], count: int, what: str) -> Ints:
    """Return a number for each of `count` axes, given one for all of them or one each."""
    given: Any = list(value) if np.iterable(value) else [value] * count
    values = tuple(n for n in map(index_of, given) if n is not None and n >= 1)
    if not len(values) == len(given) == count:
        raise AttributeValueError(f"expected one {what} of at least 1, or {count}, found {value!r}")
    return values


def _axes(axes: int | Sequence[int], ndim: int) -> Ints:
    """Return axes counted from the front, in the order given: sizes belong to them by position."""
    given: Any = axes if np.iterable(axes) else (axes,)
    return tuple(normalize_axis(axis, ndim) for axis in given)


def windows(
    x: TensorLike,
    sizes: int | Sequence[int],
    axes: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    dilations: int | Sequence[int] = 1,
) -> Tensor:
    """Return the windows of `x` along `axes`: their counts there, their elements on new last axes.

    Window o of an axis holds the elements at ``stride * o + dilation * w`` for ``w < size``; only
    windows that lie inside count. A view: nothing is copied.
    """
    x = as_tensor(x)
    chosen = _axes(axes, x.ndim)
    n = len(chosen)
    return apply(
        WINDOWS, x, axes=chosen, sizes=per_axis(sizes, n, "size"),
        strides=per_axis(strides, n, "stride"), dilations=per_axis(dilations, n, "dilation"),
    )  # fmt: skip


def overlap_add(
    x: TensorLike,
    shape: Sequence[Any],
    axes: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    dilations: int | Sequence[int] = 1,
) -> Tensor:
    """Return windows added up where they overlap, `shape` long on `axes`; see `windows`.

    The last axes of `x` hold the elements of the windows. There must be as many windows as fit; where
    that can't be proved, a call checks it (`ShapeError`).
    """
    x = as_tensor(x)
    n = len(axes) if np.iterable(axes) else 1
    chosen = _axes(axes, x.ndim - n)
    steps, gaps = per_axis(strides, n, "stride"), per_axis(dilations, n, "dilation")
    sizes = [
        as_dim(size, "overlap_add: shape", 0)
        for size in as_items(shape, "overlap_add: shape", "sizes")
    ]
    if len(sizes) != n:
        raise ShapeError(f"overlap_add: expected {n} sizes, found {sizes}", code="ST0106")
    attrs: dict[str, Any] = {
        "axes": chosen,
        "shape": tuple(sizes),
        "strides": steps,
        "dilations": gaps,
    }
    added = apply(OVERLAP_ADD, x, **attrs)
    fitting = windows(added, x.shape[-n:], chosen, steps, gaps).shape
    return apply(OVERLAP_ADD, movement.specify_shape(x, fitting), **attrs)


__all__ = ["OVERLAP_ADD", "WINDOWS", "overlap_add", "per_axis", "window_count", "windows"]
