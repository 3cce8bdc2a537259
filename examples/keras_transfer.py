"""Keras 2.3.1 on symtensor: what was learnt from many good images helps with a few bad ones.

1. Train a network on scanned digits, and save its weights.
2. Another scanner gives dim and noisy images, and only three of each digit are labelled: load the weights
   by name, freeze them, train a new last layer.
3. Thaw all and go on with small steps. The same network from scratch learns less.
"""

import os
import tempfile

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import layers, models, optimizers
from sklearn.datasets import load_digits

FEW = 3


def build(last):
    """Return a network; layers of equal names take each other's weights."""
    return models.Sequential([
        layers.Conv2D(16, 3, activation="relu", input_shape=(8, 8, 1), name="lines"),
        layers.Conv2D(32, 3, activation="relu", name="shapes"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(48, activation="relu", name="features"),
        layers.Dense(10, activation="softmax", name=last),
    ])  # fmt: skip


def fit(model, x, y, rate, epochs):
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)


def main():
    np.random.seed(0)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("f4")
    teacher = build("old")
    fit(teacher, images[:1000], labels[:1000], 0.002, 12)

    x, y = 0.5 * images[1000:], labels[1000:]
    x = x + np.random.default_rng(0).normal(0, 0.1, x.shape)
    few = np.concatenate([np.flatnonzero(y == k)[:FEW] for k in range(10)])
    rest = np.setdiff1d(np.arange(len(y)), few)
    pupil, beginner = build("new"), build("new")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "teacher.h5")
        teacher.save_weights(path)
        pupil.load_weights(path, by_name=True)
    for layer in pupil.layers[:-1]:
        layer.trainable = False
    fit(pupil, x[few], y[few], 0.01, 60)
    frozen = pupil.evaluate(x[rest], y[rest], verbose=0)[1]
    for a, b in zip(teacher.layers[:-1], pupil.layers[:-1], strict=True):
        for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(v, w)

    for layer in pupil.layers:
        layer.trainable = True
    fit(pupil, x[few], y[few], 0.001, 30)
    thawed = pupil.evaluate(x[rest], y[rest], verbose=0)[1]
    fit(beginner, x[few], y[few], 0.002, 90)
    scratch = beginner.evaluate(x[rest], y[rest], verbose=0)[1]
    print(
        f"from {FEW} images of each digit: {frozen:.1%} right with frozen features, {thawed:.1%}"
        f" with thawed ones, {scratch:.1%} from scratch"
    )
    assert thawed > scratch + 0.03 and thawed > 0.65


if __name__ == "__main__":
    main()
