"""Convolution and pooling over any number of spatial axes: compositions of windows.

    conv(x, kernel)   contract(windows(pad(x)), kernel)      "n hw c ij, ij c f -> n hw f"
    max_pool(x)       max(windows(pad(x, -inf)))

Kernels are not flipped (correlation, as in every library of neural networks). Since windows are views,
a convolution is a contraction that reads its operand at strides; the pass `fold_windows` turns the
gradient by the input into a convolution too.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import int64
from symtensor.ir.tensor import Tensor
from symtensor.ops import creation, movement, reduction, selection, slicing
from symtensor.ops.attributes import as_dim, as_int, as_items
from symtensor.ops.build import TensorLike, apply, as_tensor, cast_to, weak_promote
from symtensor.ops.contraction import CONTRACT
from symtensor.ops.inputs import constant
from symtensor.ops.windows import overlap_add, per_axis, windows
from symtensor.vocabulary import require_choice

Ints = tuple[int, ...]
Padding = str | int | Sequence[Any]
Pairs = list[tuple[Dim, Dim]]

# --- arguments -----------------------------------------------------------------------------------


def padding_pairs(
    padding: Padding, sizes: Sequence[Dim], windows: Ints, strides: Ints, dilations: Ints
) -> Pairs:
    """Return (before, after) for each axis.

    "valid" pads nothing; "same" so that ceil(size / stride) windows fit, the odd element after, as
    TensorFlow does; "causal" all before; else one number, or a number or a pair per axis.
    """
    n = len(sizes)
    if not isinstance(padding, str):
        given = list(padding) if np.iterable(padding) else [padding] * n
        if len(given) != n:
            raise AttributeValueError(f"padding: expected amounts for {n} axes, found {given}")
        return [_pair(amount) for amount in given]
    spans = [(w - 1) * d + 1 for w, d in zip(windows, dilations, strict=True)]
    if padding == "valid":
        return [(0, 0)] * n
    if padding == "causal":
        return [(span - 1, 0) for span in spans]
    if padding == "same":
        out: Pairs = []
        for size, span, stride in zip(sizes, spans, strides, strict=True):
            total = D.maximum((D.ceildiv(size, stride) - 1) * stride + span - size, 0)
            before = D.floordiv(total, 2)
            out.append((before, total - before))
        return out
    raise AttributeValueError(
        f"padding: expected valid, same, causal or amounts, found {padding!r}", code="ST0302"
    )


def _pair(amount: Any) -> tuple[Dim, Dim]:
    sides = list(amount) if np.iterable(amount) else [amount, amount]
    if len(sides) != 2:
        raise AttributeValueError(f"padding: expected an amount or a pair, found {amount!r}")
    before, after = (as_dim(side, "padding", 0) for side in sides)
    return before, after


def _channels_last(x: Tensor, data_format: str) -> Tensor:
    require_choice(data_format, ("channels_last", "channels_first"), "data_format")
    return x if data_format == "channels_last" else movement.moveaxis(x, 1, -1)


def _as_given(x: Tensor, data_format: str) -> Tensor:
    return x if data_format == "channels_last" else movement.moveaxis(x, -1, 1)


def _surrounded(x: Tensor, pairs: Pairs, value: float) -> Tensor:
    """Return `x` with its spatial axes, which follow that of the batch, padded."""
    if all(D.same(a, 0) and D.same(b, 0) for a, b in pairs):
        return x
    whole = [(0, 0), *pairs, *[(0, 0)] * (x.ndim - len(pairs) - 1)]
    starts = tuple(a for a, _ in whole)
    shape = tuple(size + a + b for size, (a, b) in zip(x.shape, whole, strict=True))
    return slicing.place(x, shape, starts, (1,) * x.ndim, value)


def _operands(x: TensorLike, kernel: TensorLike, what: str) -> tuple[Tensor, Tensor]:
    values = [as_tensor(x), as_tensor(kernel)]
    dtype = weak_promote(values)
    x, kernel = (cast_to(v, dtype) for v in values)
    if x.ndim < 3 or kernel.ndim != x.ndim:
        raise ShapeError(
            f"{what}: expected x (batch, spatial…, channels) and a kernel (spatial…, in, out) of the "
            f"same rank, found {x.type} and {kernel.type}",
            code="ST0106",
        )
    return x, kernel


def _window_sizes(kernel: Tensor, what: str) -> Ints:
    sizes = kernel.shape[:-2]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ShapeError(
            f"{what}: expected a kernel of known, positive sizes, found {kernel.type}",
            code="ST0107",
        )
    return tuple(int(size) for size in sizes)


# --- convolution ---------------------------------------------------------------------------------


def _labels(spatial: int) -> tuple[str, str]:
    """Return labels for positions and for places in a window."""
    return string.ascii_uppercase[:spatial], string.ascii_uppercase[spatial : 2 * spatial]


def conv(
    x: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> Tensor:
    """Return the correlation of `x` (batch, spatial…, channels) with `kernel` (spatial…, in, out).

    ``out[n, o, f] = sum over w and c of x[n, stride * o + dilation * w - before, c] kernel[w, c, f]``
    for one to three (or more) spatial axes. With `groups`, output channel f reads the input channels
    of its group only, and the kernel has in = channels / groups. `padding`: "valid", "same"
    (TensorFlow's), "causal", or amounts. `data_format` "channels_first" means (batch, channels,
    spatial…) for x and the result; the kernel's axes stay. Errors: `ShapeError` for ranks, channels
    or groups that do not fit.
    """
    x, kernel = _operands(x, kernel, "conv")
    x = _channels_last(x, data_format)
    n, groups = x.ndim - 2, as_int(groups, "conv: groups", 1)
    sizes = _window_sizes(kernel, "conv")
    steps, gaps = per_axis(strides, n, "stride"), per_axis(dilation, n, "dilation")
    pairs = padding_pairs(padding, x.shape[1:-1], sizes, steps, gaps)
    x = _checked_channels(x, kernel, groups)
    if groups > 1:  # before the windows: their gradient is then that of a product, nothing between
        x = movement.reshape(x, (*x.shape[:-1], groups, kernel.shape[-2]))
    seen = windows(_surrounded(x, pairs, 0.0), sizes, range(1, n + 1), steps, gaps)
    return _as_given(_correlate(seen, kernel, n, groups), data_format)


def _checked_channels(x: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """Return `x` with as many channels as the kernel is for; a call checks what is not known."""
    channels, inner, filters = x.shape[-1], kernel.shape[-2], kernel.shape[-1]
    if D.provably_different(channels, inner * groups):
        raise ShapeError(
            f"conv: the kernel {kernel.type} is for {inner * groups} input channels"
            f"{f' in {groups} groups' if groups > 1 else ''}, found {channels} in {x.type}",
            code="ST0107",
        )
    if isinstance(filters, int) and filters % groups:
        raise ShapeError(
            f"conv: {filters} output channels do not divide into {groups} groups", code="ST0107"
        )
    return _with_last(x, inner * groups)


def _with_last(x: Tensor, size: Dim) -> Tensor:
    return movement.specify_shape(x, [*x.shape[:-1], size])


def _correlate(seen: Tensor, kernel: Tensor, spatial: int, groups: int) -> Tensor:
    """Contract windows (batch, positions…, [groups,] channels, window…) with a kernel."""
    at, inside = _labels(spatial)
    if groups == 1:
        return apply(CONTRACT, seen, kernel, spec=f"n{at}c{inside},{inside}cf->n{at}f")
    filters = kernel.shape[-1]
    split = movement.reshape(kernel, (*kernel.shape[:-1], groups, D.floordiv(filters, groups)))
    out = apply(CONTRACT, seen, split, spec=f"n{at}gc{inside},{inside}cgf->n{at}gf")
    return movement.reshape(out, (*out.shape[:-2], filters))


def conv_transpose(
    x: TensorLike,
    kernel: TensorLike,
    output_shape: Sequence[Any],
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    data_format: str = "channels_last",
) -> Tensor:
    """Return the transpose of `conv`: what its gradient by the input is.

    `x` is (batch, spatial…, filters) and `kernel` (spatial…, channels, filters), as the convolution
    from the result to `x` would have it; `output_shape` are the spatial sizes of the result, which
    must be those of an input of that convolution (`ShapeError`).
    """
    x, kernel = _operands(x, kernel, "conv_transpose")
    x = _channels_last(x, data_format)
    n = x.ndim - 2
    sizes = _window_sizes(kernel, "conv_transpose")
    steps, gaps = per_axis(strides, n, "stride"), per_axis(dilation, n, "dilation")
    given = as_items(output_shape, "conv_transpose: output_shape", "sizes")
    shape = [as_dim(size, "conv_transpose: output_shape", 0) for size in given]
    if len(shape) != n:
        raise ShapeError(
            f"conv_transpose: expected {n} spatial sizes, found {given}", code="ST0106"
        )
    if D.provably_different(x.shape[-1], kernel.shape[-1]):
        raise ShapeError(
            f"conv_transpose: the kernel {kernel.type} is for {kernel.shape[-1]} channels, "
            f"found {x.shape[-1]} in {x.type}",
            code="ST0107",
        )
    pairs = padding_pairs(padding, shape, sizes, steps, gaps)
    x = _with_last(x, kernel.shape[-1])
    at, inside = _labels(n)
    spread = apply(CONTRACT, x, kernel, spec=f"n{at}f,{inside}cf->n{at}c{inside}")
    whole = [size + a + b for size, (a, b) in zip(shape, pairs, strict=True)]
    added = overlap_add(spread, whole, range(1, n + 1), steps, gaps)
    starts = (0, *(a for a, _ in pairs), 0)
    inner = slicing.slice_at(added, starts, (1,) * x.ndim, (x.shape[0], *shape, added.shape[-1]))
    return _as_given(inner, data_format)


def depthwise_conv(
    x: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    data_format: str = "channels_last",
) -> Tensor:
    """Return each channel of `x` correlated with kernels of its own.

    `kernel` is (spatial…, channels, multiplier); output channel ``c * multiplier + m`` is channel c
    with kernel m of it.
    """
    x, kernel = _operands(x, kernel, "depthwise_conv")
    x = _channels_last(x, data_format)
    n = x.ndim - 2
    sizes = _window_sizes(kernel, "depthwise_conv")
    steps, gaps = per_axis(strides, n, "stride"), per_axis(dilation, n, "dilation")
    if D.provably_different(x.shape[-1], kernel.shape[-2]):
        raise ShapeError(
            f"depthwise_conv: the kernel {kernel.type} is for {kernel.shape[-2]} channels, "
            f"found {x.shape[-1]} in {x.type}",
            code="ST0107",
        )
    pairs = padding_pairs(padding, x.shape[1:-1], sizes, steps, gaps)
    x = _with_last(x, kernel.shape[-2])
    seen = windows(_surrounded(x, pairs, 0.0), sizes, range(1, n + 1), steps, gaps)
    at, inside = _labels(n)
    out = apply(CONTRACT, seen, kernel, spec=f"n{at}c{inside},{inside}cm->n{at}cm")
    out = movement.reshape(out, (*out.shape[:-2], out.shape[-2] * out.shape[-1]))
    return _as_given(out, data_format)


# --- pooling -------------------------------------------------------------------------------------


def _pooled(
    x: TensorLike, sizes: Any, strides: Any, padding: Padding, data_format: str, fill: float | None
) -> tuple[Tensor, Tensor, Ints, Ints, Pairs]:
    """Return x (channels last), its windows, and what they are."""
    x = _channels_last(as_tensor(x), data_format)
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(f"expected x (batch, spatial…, channels), found {x.type}", code="ST0106")
    window = per_axis(sizes, n, "window size")
    steps = window if strides is None else per_axis(strides, n, "stride")
    pairs = padding_pairs(padding, x.shape[1:-1], window, steps, (1,) * n)
    if fill is None:
        fill = -np.inf if x.dtype.is_floating else 0 if x.dtype.is_bool else _least(x)
    return (
        x,
        windows(_surrounded(x, pairs, fill), window, range(1, n + 1), steps),
        window,
        steps,
        pairs,
    )


def _least(x: Tensor) -> int:
    return 0 if x.dtype.kind == "u" else -(1 << (x.dtype.bits - 1))


def max_pool(
    x: TensorLike,
    sizes: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    data_format: str = "channels_last",
) -> Tensor:
    """Return the maximum of each window; `strides` are the window's sizes unless given.

    Padding counts for nothing and NaN wins. In gradients, equal maxima of a window share equally,
    as everywhere in this library.
    """
    x, seen, _, _, _ = _pooled(x, sizes, strides, padding, data_format, None)
    return _as_given(reduction.max(seen, tuple(range(x.ndim, seen.ndim))), data_format)


def average_pool(
    x: TensorLike,
    sizes: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    data_format: str = "channels_last",
) -> Tensor:
    """Return the mean of each window over the elements of `x` in it: padding does not count."""
    x, seen, window, steps, pairs = _pooled(x, sizes, strides, padding, data_format, 0.0)
    total = reduction.sum(seen, tuple(range(x.ndim, seen.ndim)))
    out = total / _counts(x, total, window, steps, pairs)
    return _as_given(out, data_format)


def _counts(x: Tensor, total: Tensor, window: Ints, steps: Ints, pairs: Pairs) -> Any:
    """Return how many elements of x each window holds, 1 where there is none."""
    if all(D.same(a, 0) and D.same(b, 0) for a, b in pairs):
        return int(np.prod(window))
    counts: Tensor = constant(1, int64)
    for axis, (size, step, (before, _)) in enumerate(zip(window, steps, pairs, strict=True), 1):
        start = creation.arange(total.shape[axis]) * step - before
        inside = selection.minimum(start + size, x.shape[axis]) - selection.maximum(start, 0)
        shape = [1] * x.ndim
        shape[axis] = -1
        counts = counts * movement.reshape(selection.maximum(inside, 0), shape)
    return cast_to(selection.maximum(counts, 1), total.dtype)


__all__ = [
    "average_pool", "conv", "conv_transpose", "depthwise_conv", "max_pool", "overlap_add",
    "padding_pairs", "windows",
]  # fmt: skip
