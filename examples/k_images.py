"""K functions: shapes, padding, resizing. Digits made larger, mirrored, cut and put together again.

Every line undoes something, so the images that come out are those that went in.
"""

import numpy as np
from sklearn.datasets import load_digits

from symtensor import backend as K


def main():
    images = load_digits().images[:10, ..., None].astype("f4")
    x = K.placeholder((None, 8, 8, 1))

    large = K.resize_images(x, 3, 2, "channels_last")
    small = K.pool2d(large, (3, 2), (3, 2), pool_mode="avg")
    framed = K.spatial_2d_padding(small, ((1, 2), (3, 0)))
    inside = K.slice(framed, (0, 1, 3, 0), (-1, 8, 8, 1))
    turned = K.permute_dimensions(K.reverse(inside, 1), (0, 2, 1, 3))  # by 90 degrees
    back = K.reverse(K.permute_dimensions(turned, (0, 2, 1, 3)), 1)
    halves = [back[:, :4], back[:, 4:]]
    whole = K.concatenate(halves, axis=1)
    again = K.reshape(K.batch_flatten(whole), (-1, 8, 8, 1))
    smooth = K.resize_images(x, 2, 2, "channels_last", interpolation="bilinear")

    shapes = [K.int_shape(t) for t in (large, framed, turned, smooth)]
    run = K.function([x], [again, framed, smooth])
    found, with_frame, smoothed = run([images])
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(smoothed[:, ::2, ::2], images)
    print(f"shapes {shapes}; the same images: {(found == images).all()}, sum {found.sum():.0f}")
    assert with_frame.sum() == images.sum()


if __name__ == "__main__":
    main()
