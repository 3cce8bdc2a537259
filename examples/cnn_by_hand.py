"""A small convolutional network from slices, a matrix product and a maximum."""

import numpy as np
from sklearn.datasets import load_digits

import symtensor as st


def convolve(x, kernel):
    """Return a valid 2-D convolution of images (batch, h, w, channels) with (kh, kw, in, out)."""
    kh, kw, channels, out = kernel.shape
    height, width = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    patches = [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]
    columns = st.concatenate(patches, axis=3)
    return columns @ st.reshape(kernel, (kh * kw * channels, out))


def max_pool(x):
    """Return the maxima of 2 by 2 blocks."""
    _, height, width, channels = x.shape
    blocks = st.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
    return st.max(blocks, axis=(2, 4))


def main():
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) / 16).astype("float32")
    labels = labels.astype("int32")

    def weights(*shape):
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        return st.variable((rng.standard_normal(shape) * scale).astype("float32"))

    kernel, dense = weights(3, 3, 1, 16), weights(3 * 3 * 16, 10)
    x = st.placeholder((None, 8, 8, 1), name="image")
    y = st.placeholder((None,), "int32", name="label")
    features = max_pool(st.relu(convolve(x, kernel)))
    scores = st.reshape(features, (-1, 3 * 3 * 16)) @ dense
    loss = st.mean(st.sparse_categorical_crossentropy(y, scores, from_logits=True))
    gradients = st.gradients(loss, [kernel, dense])
    updates = [(p, p - 0.2 * g) for p, g in zip([kernel, dense], gradients, strict=True)]
    train = st.function([x, y], loss, updates=updates)
    accuracy = st.function([x, y], st.accuracy(y, scores))

    for _ in range(20):
        for batch in np.array_split(rng.permutation(1400), 44):
            train(images[batch], labels[batch])
    found = float(accuracy(images[1400:], labels[1400:]))
    print(f"held-out accuracy {found:.3f}")
    assert found > 0.9


if __name__ == "__main__":
    main()
