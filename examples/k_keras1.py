"""K functions under the names and keywords of Keras 1. Edges of digits, found the old way and today's."""

import numpy as np
from sklearn.datasets import load_digits

from symtensor import backend as K

SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


def main():
    images = load_digits().images[:100].astype("f4")
    kernel = K.variable(SOBEL[:, :, None, None])

    x = K.placeholder((None, 1, 8, 8))  # Theano's ordering
    edges = K.conv2d(x, kernel, border_mode="same", dim_ordering="th")
    strong = K.cast(K.lesser(K.abs(edges), 20.0), "float32")
    small = K.maxpool2d(edges, (2, 2), strides=(2, 2), border_mode="valid", dim_ordering="th")
    framed = K.asymmetric_spatial_2d_padding(small, 1, 0, 2, 0, dim_ordering="th")
    both = K.pack([K.batch_flatten(edges), K.batch_flatten(strong)])
    old = K.function([x], [edges, framed, both])([images[:, None]])

    y = K.placeholder((None, 8, 8, 1))
    today = K.conv2d(y, kernel, padding="same", data_format="channels_last")
    pooled = K.pool2d(today, (2, 2), strides=(2, 2))
    padded = K.spatial_2d_padding(pooled, ((1, 0), (2, 0)))
    new = K.function([y], [today, padded])([images[..., None]])

    for a, b in zip(old, new, strict=False):
        np.testing.assert_array_equal(np.moveaxis(a, 1, -1), b)
    weak = old[2][1].mean()
    print(f"framed {old[1].shape}, weak edges {weak:.1%}, the same as today's")
    assert 0 < weak < 1


if __name__ == "__main__":
    main()
