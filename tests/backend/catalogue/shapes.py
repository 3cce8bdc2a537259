"""Table I: joining, reshaping, repeating, padding, slicing; enlarging images."""

import numpy as np

from symtensor import backend as K

from .sample import BOOLS, CUBE, INTS, RNG, A, B, fact, sample

# fmt: off

IMAGES = RNG.normal(size=(2, 3, 4, 2))
VOLUMES = RNG.normal(size=(1, 2, 3, 2, 2))

sample("concatenate", lambda x, y: np.concatenate([x, y], -1), A, B,
       build=lambda x, y: K.concatenate([x, y]))
for axis in (0, 1, -2):
    sample("concatenate", lambda *xs, axis=axis: np.concatenate(xs, axis), CUBE, CUBE, CUBE,
           build=lambda *xs, axis=axis: K.concatenate(xs, axis=axis), note=f"axis {axis}")
for given, kind in ((BOOLS, "bool"), (INTS, "int32")):
    sample("concatenate", lambda x, y: np.concatenate([x, y], 0), given, given, gives=kind,
           note=kind, build=lambda x, y: K.concatenate([x, y], 0))
sample("reshape", lambda x: x.reshape(4, 6), CUBE, shape=(4, 6))
sample("reshape", lambda x: x.reshape(2, 12), CUBE, shape=[2, -1], note="an open size")
sample("reshape", lambda x, y: x.reshape(y.shape), A.reshape(12), A, slopes=False, note="a shape",
       build=lambda x, y: K.reshape(x, K.shape(y)))
sample("reshape", lambda x: x.reshape(6, 4), CUBE, note="a product of sizes",
       build=lambda x: K.reshape(x, [K.prod(K.shape(x)[:-1]), -1]))
sample("reshape", lambda x: x.reshape(6, 2, 2), CUBE, note="sizes reckoned with",
       build=lambda x: K.reshape(x, (K.shape(x)[0] * 3, 2, K.shape(x)[-1] // 2)))
sample("reshape", lambda x: x.reshape(3, 4, 2), CUBE, note="joined shapes",
       build=lambda x: K.reshape(x, K.concatenate([K.shape(x)[1:], K.shape(x)[:1]])))
sample("permute_dimensions", lambda x: x.transpose(2, 0, 1), CUBE, pattern=(2, 0, 1))
sample("permute_dimensions", lambda x: x.transpose(0, 2, 1), CUBE, pattern=[0, 2, 1], note="a list")
sample("repeat_elements", lambda x: x.repeat(2, 1), CUBE, rep=2, axis=1)
sample("repeat_elements", lambda x: x.repeat(3, -1), A, rep=3, axis=-1, note="the last axis")
sample("repeat", lambda x: x[:, None].repeat(3, 1), A, n=3)
sample("repeat", lambda x: x[:, None].repeat(3, 1), A, note="as often as there are rows",
       build=lambda x: K.repeat(x, K.shape(x)[0]))
sample("tile", lambda x: np.tile(x, 2), A, n=2)
sample("tile", lambda x: np.tile(x, (2, 1, 3)), CUBE, n=[2, 1, 3], note="a list")
sample("tile", lambda x: np.tile(x, (3, 4)), A, slopes=False, note="a shape",
       build=lambda x: K.tile(x, K.shape(x)))
sample("flatten", np.ravel, CUBE)
sample("batch_flatten", lambda x: x.reshape(2, 12), CUBE)
sample("expand_dims", lambda x: x[..., None], A)
sample("expand_dims", lambda x: x[:, None], A, axis=1, note="an axis")
sample("squeeze", lambda x: x[:, 0], A[:, :1], axis=1, known=True)
sample("squeeze", lambda x: x[..., 0], A[:, :1], axis=-1, known=True, note="the last axis")
sample("temporal_padding", lambda x: np.pad(x, [(0, 0), (1, 1), (0, 0)]), CUBE)
sample("temporal_padding", lambda x: np.pad(x, [(0, 0), (2, 0), (0, 0)]), CUBE, padding=(2, 0),
       note="a pair")
sample("spatial_2d_padding", lambda x: np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), IMAGES)
sample("spatial_2d_padding", lambda x: np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)]), IMAGES,
       padding=((1, 0), (0, 2)), data_format="channels_first", note="pairs, channels first")
sample("spatial_3d_padding", lambda x: np.pad(x, [(0, 0), *[(1, 1)] * 3, (0, 0)]), VOLUMES)
sample("spatial_3d_padding", lambda x: np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2), (1, 1)]), VOLUMES,
       padding=((1, 0), (0, 2), (1, 1)), data_format="channels_first", note="pairs, channels first")
sample("stack", lambda x, y: np.stack([x, y]), A, B, build=lambda x, y: K.stack([x, y]))
sample("stack", lambda x, y: np.stack([x, y], -1), A, B, note="the last axis",
       build=lambda x, y: K.stack([x, y], axis=-1))
sample("stack", lambda x: np.array([1, 3]), A, gives="int32", note="a number and a size",
       build=lambda x: K.stack([1, K.shape(x)[0]]))
sample("one_hot", lambda i: np.eye(3)[i], np.array([2, 0, 1], "i4"), num_classes=3, gives="float32")
sample("one_hot", lambda i: np.eye(5)[i], np.array([[2, 0], [4, 1]], "i8"), num_classes=5,
       gives="float32", note="indices of 2 axes")
sample("one_hot", lambda i: np.array([[0, 1], [0, 0], [0, 0]]), np.array([1, 2, -1], "i4"),
       num_classes=2, gives="float32", note="indices outside")
sample("one_hot", lambda x, i: np.eye(3)[i], A, np.array([2, 0], "i4"), gives="float32",
       note="as many classes as rows", build=lambda x, i: K.one_hot(i, K.shape(x)[0]))
sample("reverse", lambda x: x[:, ::-1], CUBE, axes=1)
sample("reverse", lambda x: x[::-1, :, ::-1], CUBE, axes=[0, -1], note="axes")
sample("slice", lambda x: x[1:3, 0:2], A, start=[1, 0], size=[2, 2])
sample("slice", lambda x: x[1:, 1:3], A, start=(1, 1), size=(-1, 2), note="to the end")
sample("slice", lambda x: x[1:, 1:], A, note="sizes reckoned with",
       build=lambda x: K.slice(x, [1, 1], K.shape(x) - 1))
sample("arange", lambda: np.arange(5), start=5, gives="int32")
sample("arange", lambda: np.arange(7, 1, -2), start=7, stop=1, step=-2, gives="int32",
       note="steps back")
sample("arange", lambda: np.arange(1, 3, 0.5), start=1, stop=3, step=0.5, dtype="float32",
       gives="float32", note="floats")
sample("arange", lambda: np.arange(0), start=-3, gives="int32", note="a negative bound")
sample("arange", lambda x: np.arange(len(x)), A, gives="int32", note="a size",
       build=lambda x: K.arange(K.shape(x)[0]))
sample("resize_images", lambda x: x.repeat(2, 1).repeat(3, 2), IMAGES, height_factor=2,
       width_factor=3, data_format="channels_last")
sample("resize_images", lambda x: x.repeat(2, 2).repeat(3, 3), IMAGES, height_factor=2,
       width_factor=3, data_format="channels_first", note="channels first")


def bilinear(x, axes, factors):
    """Return images sampled at target / factor, with the ends held: TensorFlow 1's rule."""
    for axis, factor in zip(axes, factors, strict=True):
        n = x.shape[axis]
        at = np.arange(n * factor) / factor
        x = np.apply_along_axis(lambda v: np.interp(at, np.arange(n), v), axis, x)  # noqa: B023
    return x


for axes, layout in (((1, 2), "channels_last"), ((2, 3), "channels_first")):
    sample("resize_images", lambda x, axes=axes: bilinear(x, axes, (2, 3)), IMAGES, height_factor=2,
           width_factor=3, data_format=layout, interpolation="bilinear",
           note=f"bilinear, {layout}")
sample("resize_volumes", lambda x: x.repeat(2, 1).repeat(1, 2).repeat(3, 3), VOLUMES, depth_factor=2,
       height_factor=1, width_factor=3, data_format="channels_last")
sample("resize_volumes", lambda x: x.repeat(2, 2).repeat(1, 3).repeat(3, 4), VOLUMES, depth_factor=2,
       height_factor=1, width_factor=3, data_format="channels_first", note="channels first")


# tf.image.resize(…, "bilinear", half_pixel_centers=False), TensorFlow 2.21, of the numbers below
TENSORFLOW = [0, 2.5, 5, 5, 2.5, 2.75, 3, 3, 5, 3, 1, 1, 5, 3, 1, 1]


@fact("resize_images")
def bilinear_resizing_is_that_of_tensorflow_1():
    x = K.constant([[[[0.0], [5.0]], [[5.0], [1.0]]]])
    found = K.function([], [K.resize_images(x, 2, 2, "channels_last", "bilinear")])([])[0]
    np.testing.assert_allclose(found.ravel(), TENSORFLOW)
