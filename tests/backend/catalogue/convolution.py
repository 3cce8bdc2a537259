"""Table N: convolution and pooling, against loops over windows.

The truths work on (batch, spatial…, channels); for channels_first arrays are moved there and back.
"""

import itertools

import numpy as np

from symtensor import backend as K

from .sample import CUBE, RNG, ROW, A, fact, sample

# fmt: off

LENGTH = RNG.normal(size=(2, 6, 2))
IMAGE = RNG.normal(size=(2, 5, 4, 2))
VOLUME = RNG.normal(size=(1, 3, 4, 3, 2))
INPUTS = {1: LENGTH, 2: IMAGE, 3: VOLUME}
KERNELS = {1: RNG.normal(size=(3, 2, 3)), 2: RNG.normal(size=(3, 2, 2, 3)),
           3: RNG.normal(size=(2, 2, 2, 2, 2))}


def padded(x, sizes, strides, dilation, padding, fill=0.0):
    """Return `x` with what "same" or "causal" puts around it; the odd element goes to the end."""
    pads = [(0, 0)]
    for n, k in zip(x.shape[1:-1], sizes, strict=True):
        reach = (k - 1) * dilation + 1
        total = max((-(-n // strides) - 1) * strides + reach - n, 0) if padding == "same" else 0
        before = reach - 1 if padding == "causal" else total // 2
        pads.append((before, total - total // 2))
    return np.pad(x, [*pads, (0, 0)], constant_values=fill)


def patches(x, sizes, strides=1, dilation=1):
    """Yield (place, window) for all windows that fit."""
    steps = np.broadcast_to(strides, len(sizes))
    counts = [
        (n - (k - 1) * dilation - 1) // s + 1
        for n, k, s in zip(x.shape[1:-1], sizes, steps, strict=True)
    ]
    for place in itertools.product(*map(range, counts)):
        cut = [
            slice(p * s, p * s + (k - 1) * dilation + 1, dilation)
            for p, k, s in zip(place, sizes, steps, strict=True)
        ]
        yield place, x[(slice(None), *cut)]


def of_windows(found):
    """Return results of places, (batch, …) each, as one array (batch, spatial…, …)."""
    found = list(found)
    counts = [1 + max(place[a] for place, _ in found) for a in range(len(found[0][0]))]
    stacked = np.stack([value for _, value in found], 1)
    return stacked.reshape(stacked.shape[0], *counts, *stacked.shape[2:])


def correlated(x, kernel, strides=1, padding="valid", dilation=1):
    sizes = kernel.shape[:-2]
    axes = range(len(sizes) + 1)
    x = padded(x, sizes, strides, dilation, padding)
    return of_windows(
        (place, np.tensordot(part, kernel, ([a + 1 for a in axes], list(axes))))
        for place, part in patches(x, sizes, strides, dilation)
    )


def depthwise(x, kernel, strides=1, padding="valid", dilation=1):
    each = [correlated(x[..., c : c + 1], kernel[..., c : c + 1, :], strides, padding, dilation)
            for c in range(x.shape[-1])]
    return np.concatenate(each, -1)


def adjoint(y, kernel, shape, strides=1, padding="valid", dilation=1):
    """Return the transpose of `correlated` as a linear map on arrays of `shape`."""
    unit = np.eye(int(np.prod(shape[1:]))).reshape(-1, *shape[1:])
    image = correlated(unit, kernel, strides, padding, dilation)
    return np.tensordot(y.reshape(len(y), -1), image.reshape(len(unit), -1), (1, 1)).reshape(shape)


def pooled(x, sizes, strides, padding, mode):
    fold = np.nanmax if mode == "max" else np.nanmean
    x = padded(x, sizes, strides, 1, padding, np.nan)
    axes = tuple(range(1, len(sizes) + 1))
    return of_windows((place, fold(part, axes)) for place, part in patches(x, sizes, strides))


def first(truth):
    """Return a truth for arrays with channels first."""

    def moved(x, *rest):
        return np.moveaxis(truth(np.moveaxis(x, 1, -1), *rest), -1, 1)

    return moved


def in_layout(truth, x, layout):
    """Return the truth and the array for a layout."""
    return (truth, x) if layout == "channels_last" else (first(truth), np.moveaxis(x, -1, 1))


WAYS = {
    "plain": {}, "strides": {"strides": 2}, "dilated": {"dilation_rate": 2},
    "same": {"padding": "same"}, "same, strides": {"padding": "same", "strides": 2},
    "causal": {"padding": "causal", "dilation_rate": 2},
}
LAYOUTS = ("channels_last", "channels_first")


def _wide(options, rank):
    """Return options of a function of several axes."""
    given = {
        key: (value,) * rank if isinstance(value, int) else value for key, value in options.items()
    }
    return options if rank == 1 else given


def _plain(options):
    """Return the truth's keywords."""
    return {"dilation" if key == "dilation_rate" else key: value for key, value in options.items()}


def convolution(name, truth, *arrays):
    """Add samples of a function that slides a window, one way and one layout each."""
    rank = int(name[-2]) if name[-2].isdigit() else 2
    for (note, options), layout in itertools.product(WAYS.items(), LAYOUTS):
        if note == "causal" and (rank > 1 or layout == "channels_first"):
            continue  # one axis, channels last: as TensorFlow
        if rank == 3 and (note == "dilated" or layout == "channels_first") and note != "plain":
            continue  # the volume is small
        expected = lambda *a, o=options: truth(*a, **_plain(o))  # noqa: E731
        expected, x = in_layout(expected, arrays[0], layout)
        sample(name, expected, x, *arrays[1:], note=f"{note}, {layout}", known=True,
               data_format=layout, **_wide(options, rank))


for rank in (1, 2, 3):
    convolution(f"conv{rank}d", correlated, INPUTS[rank], KERNELS[rank])
DEEP, POINT = RNG.normal(size=(2, 2, 2, 2)), RNG.normal(size=(1, 1, 4, 3))
convolution("depthwise_conv2d", depthwise, IMAGE, DEEP)
convolution(
    "separable_conv2d", lambda x, d, p, **o: depthwise(x, d, **o) @ p[0, 0], IMAGE, DEEP, POINT
)
convolution(
    "separable_conv1d", lambda x, d, p, **o: depthwise(x, d, **o) @ p[0], LENGTH, DEEP[0], POINT[0]
)
sample("conv2d", correlated, IMAGE, KERNELS[2], known=(1,), note="an image of unknown sizes")

for strides, padding in itertools.product((1, 2), ("valid", "same")):
    for layout in LAYOUTS:
        back = KERNELS[2]  # (h, w, out, in) of the transposed convolution
        y = correlated(IMAGE, back, strides, padding)
        truth = lambda y, k, s=strides, p=padding: adjoint(y, k, IMAGE.shape, s, p)  # noqa: E731
        truth, y = in_layout(truth, y, layout)
        shape = np.moveaxis(IMAGE, -1, 1).shape if layout == "channels_first" else IMAGE.shape
        sample("conv2d_transpose", truth, y, back, output_shape=shape, strides=(strides, strides),
               padding=padding, data_format=layout, known=True,
               note=f"{strides} {padding} {layout}")
sample("conv2d_transpose", lambda y, k: adjoint(y, k, IMAGE.shape, dilation=2),
       RNG.normal(size=(2, 1, 2, 3)), KERNELS[2], output_shape=IMAGE.shape, dilation_rate=(2, 2),
       known=True, note="dilated")
sample("conv2d_transpose", lambda y, k: adjoint(y, k, IMAGE.shape), correlated(IMAGE, KERNELS[2]),
       KERNELS[2],
       build=lambda y, k: K.conv2d_transpose(y, k, (K.shape(y)[0], 5, K.shape(y)[2] + 1, 2)),
       known=True, note="a reckoned shape")
for strides, padding in ((1, "valid"), (2, "same")):
    y = correlated(VOLUME, KERNELS[3], strides, padding)
    sample("conv3d_transpose", lambda y, k, s=strides, p=padding: adjoint(y, k, VOLUME.shape, s, p),
           y, KERNELS[3], output_shape=VOLUME.shape, strides=(strides,) * 3, padding=padding,
           known=True, note=f"{strides} {padding}")

for rank, mode, padding in itertools.product((2, 3), ("max", "avg"), ("valid", "same")):
    for layout in LAYOUTS if rank == 2 else LAYOUTS[:1]:
        truth = lambda x, r=rank, m=mode, p=padding: pooled(x, (2,) * r, 2, p, m)  # noqa: E731
        truth, x = in_layout(truth, INPUTS[rank], layout)
        sample(f"pool{rank}d", truth, x, pool_size=(2,) * rank, strides=(2,) * rank, padding=padding,
               pool_mode=mode, data_format=layout, known=True, note=f"{mode} {padding} {layout}")
    truth = lambda x, r=rank, m=mode: pooled(x, (2,) * r, 1, "valid", m)  # noqa: E731
    if padding == "valid":
        sample(f"pool{rank}d", truth, INPUTS[rank], pool_size=(2,) * rank, pool_mode=mode,
               note=f"{mode}, sizes unknown, steps of 1")


def unshared(sizes, strides, channels_first=False):
    """Return the truth of a convolution with kernels (places, patch, filters)."""

    def truth(x, kernel):
        found = []
        for number, (place, part) in enumerate(patches(x, sizes, strides)):
            part = np.moveaxis(part, -1, 1) if channels_first else part
            found.append((place, part.reshape(len(x), -1) @ kernel[number]))
        return of_windows(found)

    return truth


for layout in LAYOUTS:
    truth, x = in_layout(unshared((2, 3), 1, layout == "channels_first"), IMAGE, layout)
    kernel = RNG.normal(size=(4 * 2, 2 * 3 * 2, 3))
    options = {
        "kernel_size": (2, 3),
        "strides": (1, 1),
        "output_shape": (4, 2),
        "data_format": layout,
    }
    for name in ("local_conv2d", "local_conv"):
        sample(name, truth, x, kernel, known=True, note=layout, **options)
sample("local_conv1d", unshared((2,), 2), LENGTH, RNG.normal(size=(3, 4, 3)), kernel_size=(2,),
       strides=(2,), known=True)
sample("local_conv", unshared((2,), 2), LENGTH, RNG.normal(size=(3, 4, 3)), kernel_size=(2,),
       strides=(2,), output_shape=(3,), known=True, note="one axis")

sample("bias_add", np.add, A, ROW)
sample("bias_add", np.add, CUBE, ROW, note="one value a channel")
sample("bias_add", lambda x, b: x + b[:, None], CUBE, CUBE[0, :, 0], data_format="channels_first",
       note="channels first")
sample("bias_add", np.add, CUBE, A, note="a value a place")
sample("bias_add", lambda x, b: x + b.reshape(1, 3, 4), CUBE, RNG.normal(size=(4, 3)),
       data_format="channels_first", known=True, note="a value a place, reshaped")
sample("bias_add", lambda x, b: x + b[:, None, None], np.moveaxis(IMAGE, -1, 1), A[0, :2],
       data_format="channels_first", note="images, channels first")


@fact("conv1d")
def same_padding_puts_the_odd_element_at_the_end():
    x, kernel = K.constant(np.arange(5.0).reshape(1, 5, 1)), K.constant([[[1.0]], [[10.0]]])
    found = K.function(
        [], [K.conv1d(x, kernel, padding="same"), K.conv1d(x, kernel, padding="causal")]
    )
    assert [y.ravel().tolist() for y in found([])] == [[10, 21, 32, 43, 4], [0, 10, 21, 32, 43]]
