"""Samples of windows, convolution and pooling. Truth is loops over windows in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symtensor.ops import convolution as c
from symtensor.testing.samples import Array, Sample

BOUND: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11, "symbolic": (0,)}
INF, NAN = np.inf, np.nan
Ints = Sequence[int]
Pairs = Sequence[tuple[int, int]]


def _values(shape: Ints, phase: float = 0.0) -> Array:
    """Return ordinary values, different everywhere."""
    flat = np.sin(np.arange(np.prod(shape, dtype=int)) * 1.7 + phase + 0.3) * 2
    return flat.reshape(shape)


def _distinct(shape: Ints) -> Array:
    """Return values that are well apart: maxima stay where they are."""
    order = np.random.default_rng(0).permutation(np.prod(shape, dtype=int))
    return order.reshape(shape) / 16


def _amounts(padding: Any, sizes: Ints, window: Ints, strides: Ints, gaps: Ints) -> Pairs:
    """Return (before, after) per axis by TensorFlow's formulas."""
    out: list[tuple[int, int]] = []
    for n, k, s, d in zip(sizes, window, strides, gaps, strict=True):
        span = (k - 1) * d + 1
        total = max((-(-n // s) - 1) * s + span - n, 0)
        named = {"valid": (0, 0), "causal": (span - 1, 0), "same": (total // 2, total - total // 2)}
        out.append(named[padding] if isinstance(padding, str) else padding[len(out)])
    return out


def _padded(x: Array, pairs: Pairs, value: float) -> Array:
    return np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=value)


def _each_window(x: Array, window: Ints, strides: Ints, gaps: Ints) -> Iterator[tuple[Any, Array]]:
    """Yield (position, window of x) over the spatial axes; a window keeps the outer axes."""
    sizes = x.shape[1:-1]
    counts = [max((n - (k - 1) * d - 1) // s + 1, 0)
              for n, k, s, d in zip(sizes, window, strides, gaps, strict=True)]  # fmt: skip
    for at in itertools.product(*map(range, counts)):
        index = tuple(slice(o * s, o * s + (k - 1) * d + 1, d)
                      for o, k, s, d in zip(at, window, strides, gaps, strict=True))  # fmt: skip
        yield at, x[(slice(None), *index)]


def _gathered(found: Iterator[tuple[Any, Array]], one: Any, counts: Ints) -> Array:
    pairs = [(at, one(seen)) for at, seen in found]
    batch, channels = pairs[0][1].shape
    out = np.zeros((batch, *counts, channels))
    for at, value in pairs:
        out[(slice(None), *at)] = value
    return out


def _counts(x: Array, window: Ints, strides: Ints, gaps: Ints) -> list[int]:
    return [max((n - (k - 1) * d - 1) // s + 1, 0)
            for n, k, s, d in zip(x.shape[1:-1], window, strides, gaps, strict=True)]  # fmt: skip


def _conv(x: Array, kernel: Array, strides: Ints, padding: Any, gaps: Ints, groups: int) -> Array:
    window = kernel.shape[:-2]
    x = _padded(x, _amounts(padding, x.shape[1:-1], window, strides, gaps), 0)
    inner, each = kernel.shape[-2], kernel.shape[-1] // groups

    def one(seen: Array) -> Array:
        parts = []
        for g in range(groups):
            part = seen[..., g * inner : (g + 1) * inner].reshape(len(seen), -1)
            parts.append(part @ kernel[..., g * each : (g + 1) * each].reshape(-1, each))
        return np.concatenate(parts, axis=1)

    return _gathered(_each_window(x, window, strides, gaps), one, _counts(x, window, strides, gaps))


SETTINGS = [
    (3, 1, "valid", 1, 1), (3, 1, "same", 1, 1), (3, 2, "same", 1, 1), (2, 2, "same", 1, 1),
    (2, 3, "valid", 1, 1), (3, 1, "same", 2, 1), (3, 2, "valid", 2, 1), (1, 1, "valid", 1, 1),
    (1, 2, "valid", 1, 1), (3, 1, "same", 1, 2), (3, 2, "same", 1, 4), (4, 3, "same", 1, 1),
]  # fmt: skip
"""Window, stride, padding, dilation, groups."""


def _convolutions() -> Iterator[Sample]:
    sizes = (7, 6, 5)
    for n, (k, s, padding, d, groups) in itertools.product((1, 2, 3), SETTINGS):
        if n == 3 and (k, s) not in ((3, 1), (2, 2)):
            continue
        options: dict[str, Any] = {
            "strides": s, "padding": padding, "dilation": d, "groups": groups,
        }  # fmt: skip
        kernel = _values((*[k] * n, 4 // groups, 8), 1.0)
        truth = [s] * n, padding, [d] * n, groups
        yield Sample(
            "conv",
            lambda x, w, options=options: c.conv(x, w, **options),
            (_values((2, *sizes[:n], 4)), kernel),
            lambda x, w, truth=truth: _conv(x, w, *truth),
            note=f"{n}-D {options}", **BOUND,
        )  # fmt: skip
    pairs = ((1, 2), (0, 1))
    yield Sample(
        "conv", lambda x, w: c.conv(x, w, padding=pairs), (_values((1, 4, 3, 2)), _values((2, 3, 2, 3))),
        lambda x, w: _conv(x, w, (1, 1), pairs, (1, 1), 1), note="amounts", **BOUND,
    )  # fmt: skip
    yield Sample(
        "conv", lambda x, w: c.conv(x, w, padding="causal", dilation=2),
        (_values((2, 6, 3)), _values((3, 3, 2))),
        lambda x, w: _conv(x, w, (1,), "causal", (2,), 1), note="causal", **BOUND,
    )  # fmt: skip
    yield Sample(
        "conv", lambda x, w: c.conv(x, w, padding="same", data_format="channels_first"),
        (_values((2, 3, 5, 4)), _values((3, 2, 3, 4))),
        lambda x, w: np.moveaxis(_conv(np.moveaxis(x, 1, -1), w, (1, 1), "same", (1, 1), 1), -1, 1),
        note="channels first", **BOUND,
    )  # fmt: skip
    yield Sample(
        "conv", lambda x, w: c.conv(x, w), (np.zeros((0, 5, 2)), _values((3, 2, 4))),
        lambda x, w: np.zeros((0, 3, 4)), note="empty batch", symbolic=(0,),
    )  # fmt: skip
    ones = np.ones((1, 5, 3))
    for kernel, options, note in (
        (np.ones((3, 2, 4)), {}, "channels"), (np.ones((3, 3)), {}, "rank"),
        (np.ones((3, 1, 4)), {"groups": 2}, "groups"), (np.ones((3, 3, 4)), {"strides": 0}, "stride"),
        (np.ones((3, 3, 4)), {"padding": "full"}, "padding"),
    ):  # fmt: skip
        yield Sample(
            "conv", lambda x, w, options=options: c.conv(x, w, **options), (ones, kernel),
            raises=ValueError, note=note, symbolic=(),
        )  # fmt: skip


def _transposed(x: Array, kernel: Array, shape: Ints, strides: Ints, padding: Any) -> Array:
    """Add each element's kernel into the padded result."""
    window = kernel.shape[:-2]
    ones = [1] * len(window)
    pairs = _amounts(padding, shape, window, strides, ones)
    whole = [n + a + b for n, (a, b) in zip(shape, pairs, strict=True)]
    out = np.zeros((len(x), *whole, kernel.shape[-2]))
    for at in itertools.product(*map(range, x.shape[1:-1])):
        index: list[Any] = [slice(None)]
        index += [slice(o * s, o * s + k) for o, s, k in zip(at, strides, window, strict=True)]
        here: list[Any] = [slice(None), *at]
        out[tuple(index)] += np.tensordot(x[tuple(here)], kernel, (-1, -1))
    inner: list[Any] = [slice(a, a + n) for n, (a, _) in zip(shape, pairs, strict=True)]
    found: Array = out[tuple([slice(None), *inner])]
    return found


def _transposes() -> Iterator[Sample]:
    for size, k, s, padding in ((7, 3, 2, "same"), (8, 3, 2, "same"), (7, 3, 2, "valid"), (6, 2, 3, "same"),
                                (5, 3, 1, "valid")):  # fmt: skip
        counts = -(-size // s) if padding == "same" else (size - k) // s + 1
        options: dict[str, Any] = {"strides": s, "padding": padding}
        yield Sample(
            "conv_transpose",
            lambda x, w, size=size, options=options: c.conv_transpose(x, w, (size, size), **options),
            (_values((2, counts, counts, 3)), _values((k, k, 2, 3), 1.0)),
            lambda x, w, size=size, s=s, p=padding: _transposed(x, w, (size, size), (s, s), p),
            note=f"{size} {k} {options}", **BOUND,
        )  # fmt: skip


def _depthwise(x: Array, kernel: Array, strides: Ints, padding: Any, gaps: Ints) -> Array:
    window = kernel.shape[:-2]
    x = _padded(x, _amounts(padding, x.shape[1:-1], window, strides, gaps), 0)

    def one(seen: Array) -> Any:
        product = np.einsum("nwc,wcm->ncm", seen.reshape(len(seen), -1, seen.shape[-1]),
                            kernel.reshape(-1, *kernel.shape[-2:]))  # fmt: skip
        return product.reshape(len(seen), -1)

    return _gathered(_each_window(x, window, strides, gaps), one, _counts(x, window, strides, gaps))


def _depthwises() -> Iterator[Sample]:
    for k, s, padding, d, multiplier in (
        (3, 1, "same", 1, 1),
        (3, 2, "valid", 1, 2),
        (2, 1, "same", 2, 1),
    ):
        options: dict[str, Any] = {"strides": s, "padding": padding, "dilation": d}
        yield Sample(
            "depthwise_conv", lambda x, w, options=options: c.depthwise_conv(x, w, **options),
            (_values((2, 6, 5, 3)), _values((k, k, 3, multiplier), 1.0)),
            lambda x, w, t=((s, s), padding, (d, d)): _depthwise(x, w, *t),
            note=f"{k} {options} {multiplier}", **BOUND,
        )  # fmt: skip


def _pool(x: Array, window: Ints, strides: Ints, padding: Any, mean: bool) -> Array:
    ones = [1] * len(window)
    padded = _padded(x, _amounts(padding, x.shape[1:-1], window, strides, ones), NAN)

    def one(seen: Array) -> Any:
        rows = seen.reshape(len(seen), -1, seen.shape[-1])
        return np.nanmean(rows, 1) if mean else np.nanmax(rows, 1)

    found = _each_window(padded, window, strides, ones)
    return _gathered(found, one, _counts(padded, window, strides, ones))


def _pools() -> Iterator[Sample]:
    for n, k, s, padding in (
        (1, 2, 2, "valid"), (2, 2, 2, "valid"), (2, 2, 2, "same"), (2, 3, 2, "same"), (2, 3, 1, "same"),
        (2, 2, 3, "valid"), (3, 2, 2, "valid"),
    ):  # fmt: skip
        for name in ("max_pool", "average_pool"):
            function = getattr(c, name)
            yield Sample(
                name, lambda x, f=function, k=k, s=s, p=padding: f(x, k, s, p),
                (_distinct((2, *(7, 6, 5)[:n], 3)),),
                lambda x, t=([k] * n, [s] * n, padding, name == "average_pool"): _pool(x, *t),
                note=f"{n}-D {k} {s} {padding}", **BOUND,
            )  # fmt: skip
    special = np.array([1.0, NAN, -INF, -INF, INF, 2.0, -0.0, 0.0]).reshape(1, 8, 1)
    wanted = np.array([NAN, -INF, INF, 0.0]).reshape(1, 4, 1)
    yield Sample("max_pool", lambda x: c.max_pool(x, 2), (special,), lambda x: wanted, note="edges",
                 order=0)  # fmt: skip
    yield Sample(
        "max_pool", lambda x: c.max_pool(x, 2, padding="same"), (np.array([[[3], [-9], [-7]]], np.int8),),
        lambda x: np.array([[[3], [-7]]], np.int8), note="int8",
    )  # fmt: skip


def _windows() -> Iterator[Sample]:
    def seen(x: Array) -> Any:
        return np.lib.stride_tricks.sliding_window_view(x, (2, 3), (0, 2))[::2]

    x = _values((5, 2, 6))
    yield Sample("windows", lambda x: c.windows(x, (2, 3), (0, 2), (2, 1)), (x,), seen, **BOUND)
    yield Sample(
        "windows", lambda x: c.windows(x, 4, 0), (_values((3, 2)),), lambda x: np.zeros((0, 2, 4)),
        note="too long",
    )  # fmt: skip

    def added(x: Array) -> Array:
        out = np.zeros((6, 2))
        for o, w in itertools.product(range(2), range(3)):
            out[2 * o + w] += x[o, :, w]
        return out

    yield Sample("overlap_add", lambda x: c.overlap_add(x, (6,), 0, 2), (_values((2, 2, 3)),), added,
                 **BOUND | {"symbolic": ()})  # fmt: skip
    for build, note in (
        (lambda x: c.windows(x, 0, 0), "empty window"), (lambda x: c.windows(x, (2, 2), (0, 0)), "twice"),
        (lambda x: c.windows(x, (2, 2, 2), (0, 1)), "three sizes"),
    ):  # fmt: skip
        yield Sample("windows", build, (np.ones((3, 3)),), raises=ValueError, note=note)
    yield Sample("overlap_add", lambda x: c.overlap_add(x, (9,), 0, 2), (np.ones((2, 2, 3)),),
                 raises=ValueError, note="count", symbolic=())  # fmt: skip


SAMPLES = [*_windows(), *_convolutions(), *_transposes(), *_depthwises(), *_pools()]
