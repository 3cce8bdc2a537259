"""Keras 2.3.1 on symtensor: reading strings of handwritten digits with CTC.

A picture holds three to five digits side by side; a recurrent network reads it column by column and
nobody tells it where a digit begins. Read without an error afterwards: most of the held-out strings.
"""

import os
import time

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import backend as K
from keras import layers, models, optimizers
from sklearn.datasets import load_digits

LONGEST, WIDTH = 5, 8
STEPS = LONGEST * WIDTH


def load_strings(count, images, labels, rng):
    """Return pictures (n, columns, 8), labels padded with -1, widths and lengths (n, 1)."""
    lengths = rng.integers(3, LONGEST + 1, (count, 1))
    chosen = rng.integers(0, len(images), (count, LONGEST))
    there = np.arange(LONGEST) < lengths
    pictures = images[chosen] * there[:, :, None, None]  # (n, digit, row, column)
    pictures = pictures.transpose(0, 1, 3, 2).reshape(count, STEPS, 8)
    return [pictures.astype("f4"), np.where(there, labels[chosen], -1), lengths * WIDTH, lengths]


def make_model():
    """Return the reader and the model that trains it; the loss is computed by a layer."""
    picture = layers.Input((STEPS, 8))
    x = layers.Conv1D(48, 5, padding="same", activation="relu")(picture)
    x = layers.Bidirectional(layers.GRU(48, return_sequences=True))(x)
    reading = layers.Dense(11, activation="softmax")(x)
    labels, widths, lengths = layers.Input((LONGEST,)), layers.Input((1,)), layers.Input((1,))
    cost = layers.Lambda(lambda a: K.ctc_batch_cost(*a), output_shape=(1,))
    trainer = models.Model(
        [picture, labels, widths, lengths], cost([labels, reading, widths, lengths])
    )
    trainer.compile(optimizers.Adam(0.005), lambda target, found: found)
    return models.Model(picture, reading), trainer


def read(reader, pictures, widths):
    """Return strings of digits, by greedy decoding."""
    y, n = K.placeholder((None, STEPS, 11)), K.placeholder((None, 1))
    (labels,), _ = K.ctc_decode(y, n)
    (found,) = K.function([y, n], [labels])([reader.predict(pictures), widths])
    return ["".join(str(k) for k in row if k >= 0) for row in found]


def main():
    np.random.seed(0)
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    images, cut = (images / 16).reshape(-1, 8, 8), len(images) * 4 // 5
    training = load_strings(3000, images[:cut], labels[:cut], rng)
    held_out = load_strings(200, images[cut:], labels[cut:], rng)
    reader, trainer = make_model()
    started = time.perf_counter()
    trainer.fit(training, np.zeros((3000, 1)), batch_size=50, epochs=15, verbose=0)
    found = read(reader, held_out[0], held_out[2])
    wanted = ["".join(str(k) for k in row if k >= 0) for row in held_out[1]]
    right = np.mean([a == b for a, b in zip(found, wanted, strict=True)])
    print(f"whole strings read: {right:.0%}, {time.perf_counter() - started:.1f} s")
    print(
        "for example",
        *(f"{a} for {b}" for a, b in zip(found[:4], wanted[:4], strict=True)),
        sep="; ",
    )
    assert right >= 0.5


if __name__ == "__main__":
    main()
