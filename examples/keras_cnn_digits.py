"""Keras 2.3.1 on symtensor: a convolutional network on digits, saved, loaded, and its features reused.

1. Train on the digits 0 to 4 to at least 97 % on held-out images.
2. Save the model (HDF5), load it, and get the same predictions.
3. Freeze its convolutions and train new last layers on the digits 5 to 9.
"""

import os
import tempfile
import time

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import layers, models
from sklearn.datasets import load_digits


def load_data():
    """Return training and held-out images (n, 8, 8, 1) in [0, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).reshape(-1, 8, 8, 1).astype("f4"), labels[order]
    cut = len(images) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


def only(data, first):
    """Return the images of five digits, from `first` on, and their labels from 0 on."""
    images, labels = data
    chosen = (labels >= first) & (labels < first + 5)
    return images[chosen], labels[chosen] - first


def make_model(features):
    model = models.Sequential([*features, layers.Dense(5, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    np.random.seed(0)
    training, held_out = load_data()
    features = [
        layers.Conv2D(16, 3, activation="relu", input_shape=(8, 8, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.25),
        layers.Dense(64, activation="relu"),
    ]
    model = make_model(features)
    started = time.perf_counter()
    model.fit(*only(training, 0), batch_size=32, epochs=12, verbose=0)
    accuracy = model.evaluate(*only(held_out, 0), verbose=0)[1]
    print(f"digits 0 to 4: {accuracy:.1%} right, {time.perf_counter() - started:.1f} s")
    assert accuracy >= 0.97

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "digits.h5")
        model.save(path)
        loaded = models.load_model(path)
    images = held_out[0]
    np.testing.assert_array_equal(loaded.predict(images), model.predict(images))

    for layer in features:
        layer.trainable = False
    other = make_model([*features[:-1], layers.Dense(64, activation="relu")])
    before = features[0].get_weights()[0]
    other.fit(*only(training, 5), batch_size=32, epochs=30, verbose=0)
    accuracy = other.evaluate(*only(held_out, 5), verbose=0)[1]
    print(f"digits 5 to 9 from the same features: {accuracy:.1%} right")
    np.testing.assert_array_equal(features[0].get_weights()[0], before)
    assert accuracy >= 0.85


if __name__ == "__main__":
    main()
