"""What Keras's layers compute, in NumPy and float64: the truth that `layer_catalog` names.

Arrays are (samples, …, channels), kernels as Keras stores them. Functions of layers take the layer's
weights first. Nothing here is fast.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def each(value, rank):
    """Return one value per axis."""
    return value if isinstance(value, tuple) else (value,) * rank


def padded(x, size, strides, dilation, padding, fill):
    """Return `x` with what the padding adds: "same" puts the odd element at the end."""
    if padding == "valid":
        return x
    pairs = [(0, 0)]
    for n, k, s, d in zip(x.shape[1:], size, strides, dilation, strict=False):
        reach = d * (k - 1) + 1
        total = reach - 1 if padding == "causal" else max((-(-n // s) - 1) * s + reach - n, 0)
        before = total if padding == "causal" else total // 2
        pairs.append((before, total - before))
    return np.pad(x, [*pairs, (0, 0)], constant_values=fill)


def windows(x, size, strides=1, padding="valid", dilation=1, fill=0.0):
    """Return what each place of the output sees: (samples, *places, channels, *size)."""
    rank = x.ndim - 2
    size, strides, dilation = (each(v, rank) for v in (size, strides, dilation))
    x = padded(np.asarray(x, "f8"), size, strides, dilation, padding, fill)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True))
    seen = sliding_window_view(x, reach, tuple(range(1, rank + 1)))
    places = tuple(slice(None, None, s) for s in strides)
    taps = tuple(slice(None, None, d) for d in dilation)
    return seen[(slice(None), *places, slice(None), *taps)]


def convolved(x, kernel, bias=0.0, **options):
    rank = kernel.ndim - 2
    seen = windows(x, kernel.shape[:rank], **options)
    return np.tensordot(seen, np.moveaxis(kernel, -2, 0), rank + 1) + bias


def by_depth(x, kernel, **options):
    """Return every channel convolved with kernels of its own, channel by channel."""
    rank = kernel.ndim - 2
    seen = windows(x, kernel.shape[:rank], **options)
    parts = [
        np.tensordot(seen[(..., c, *(slice(None),) * rank)], kernel[..., c, :], rank)
        for c in range(x.shape[-1])
    ]
    return np.concatenate(parts, -1)


def separable(weights, x, **options):
    deep, point, bias = weights
    return convolved(by_depth(x, deep, **options), point, bias)


def transposed(x, kernel, bias=0.0, strides=1, padding="valid"):
    """Return what a convolution hands back to its input; the kernel is (*size, out, in)."""
    rank = kernel.ndim - 2
    size, strides = kernel.shape[:rank], each(strides, rank)
    length = [n * s + max(k - s, 0) for n, k, s in zip(x.shape[1:], size, strides, strict=False)]
    whole = np.zeros((len(x), *length, kernel.shape[-2]))
    for place in np.ndindex(*x.shape[1:-1]):
        spread = np.tensordot(x[(slice(None), *place)], kernel, ((1,), (rank + 1,)))
        at = tuple(slice(p * s, p * s + k) for p, s, k in zip(place, strides, size, strict=True))
        whole[(slice(None), *at)] += spread
    if padding == "same":
        for axis, (n, s, k) in enumerate(zip(x.shape[1:], strides, size, strict=False), 1):
            first = max(k - s, 0) // 2
            whole = whole.take(range(first, first + n * s), axis)
    return whole + bias


def unshared(weights, x, size, strides=1):
    """Return a convolution with a kernel of its own at every place."""
    kernel, bias = weights
    seen = windows(x, size, strides)
    rank = x.ndim - 2
    seen = np.moveaxis(seen, rank + 1, -1)  # channels last in a patch
    places = seen.shape[1 : rank + 1]
    patches = seen.reshape(len(x), np.prod(places), -1)
    out = np.einsum("npi,pio->npo", patches, kernel)
    return out.reshape(len(x), *places, -1) + bias


def pooled(x, fold, size=2, strides=None, padding="valid"):
    """Return `fold`, np.nanmax or np.nanmean, of windows: padding is NaN, it does not count."""
    seen = windows(x, size, size if strides is None else strides, padding, fill=np.nan)
    return fold(seen, tuple(range(x.ndim, seen.ndim)))


def stretched(x, factor, axis):
    """Return `x` longer along an axis, by straight lines from each element to the next."""
    places = np.arange(x.shape[axis] * factor) / factor
    known = np.arange(x.shape[axis])
    return np.apply_along_axis(lambda line: np.interp(places, known, line), axis, x)


def first_channels(function):
    """Return the function for arrays (samples, channels, …)."""
    return lambda x, *rest, **options: np.moveaxis(
        function(np.moveaxis(x, 1, -1), *rest, **options), -1, 1
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


# --- recurrent layers: (weights, x) to all outputs, (samples, time, units) -------------------------


def looped(step, x, *states):
    """Return the outputs of all time steps; the first state is the output."""
    outputs = []
    for t in range(x.shape[1]):
        states = step(x[:, t], *states)
        outputs.append(states[0])
    return np.stack(outputs, 1)


def simple_rnn(weights, x):
    kernel, recurrent, bias = weights
    step = lambda xt, h: (np.tanh(xt @ kernel + h @ recurrent + bias),)  # noqa: E731
    return looped(step, x, np.zeros((len(x), len(recurrent))))


def lstm(weights, x):
    kernel, recurrent, bias = weights

    def step(xt, h, c):
        i, f, g, o = np.split(xt @ kernel + h @ recurrent + bias, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    zeros = np.zeros((len(x), len(recurrent)))
    return looped(step, x, zeros, zeros)


def gru(weights, x, reset_after=False):
    kernel, recurrent, bias = weights
    bias = bias if reset_after else np.stack([bias, 0 * bias])
    units = len(recurrent)

    def step(xt, h):
        given, kept = xt @ kernel + bias[0], h @ recurrent + bias[1]
        z, r = (sigmoid(given[:, k : k + units] + kept[:, k : k + units]) for k in (0, units))
        last = r * kept[:, -units:] if reset_after else (r * h) @ recurrent[:, -units:]
        return (z * h + (1 - z) * np.tanh(given[:, -units:] + last),)

    return looped(step, x, np.zeros((len(x), units)))


def conv_lstm(weights, x, padding="valid"):
    kernel, recurrent, bias = weights

    def step(xt, h, c):
        given = convolved(xt, kernel, bias, padding=padding)
        i, f, g, o = np.split(given + convolved(h, recurrent, padding="same"), 4, -1)
        c = hard_sigmoid(f) * c + hard_sigmoid(i) * np.tanh(g)
        return hard_sigmoid(o) * np.tanh(c), c

    zeros = 0 * convolved(x[:, 0], kernel, padding=padding)[..., : recurrent.shape[-2]]
    return looped(step, x, zeros, zeros)


def both_ways(step, weights, x):
    """Return the outputs of a layer read forwards and of one read backwards, side by side."""
    half = len(weights) // 2
    back = step(weights[half:], x[:, ::-1])[:, ::-1]
    return np.concatenate([step(weights[:half], x), back], -1)
