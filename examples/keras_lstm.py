"""Keras 2.3.1 on symtensor: an LSTM learns to write as the descriptions of data sets are written.

It guesses the next letter from those before. On text it has not seen it must need fewer bits for a letter
than the best guess from the one letter before does.
"""

import os
import time

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import layers, models, optimizers
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

LENGTH = 50


def load_text():
    """Return the text as numbers and the letters these stand for."""
    parts = [
        load() for load in (load_breast_cancer, load_wine, load_iris, load_diabetes, load_digits)
    ]
    text = " ".join(" ".join(part.DESCR.lower().split()) for part in parts)
    letters = sorted(set(text))
    return np.array([letters.index(c) for c in text]), letters


def bits_of_pairs(training, held_out, count):
    """Return the bits for a letter when one letter before is known: smoothed counts of pairs."""
    pairs = np.full((count, count), 0.1)
    np.add.at(pairs, (training[:-1], training[1:]), 1)
    chances = pairs / pairs.sum(1, keepdims=True)
    return -np.log2(chances[held_out[:-1], held_out[1:]]).mean()


def windows(numbers, stride):
    starts = range(0, len(numbers) - LENGTH - 1, stride)
    rows = np.array([numbers[i : i + LENGTH + 1] for i in starts])
    return rows[:, :-1], rows[:, 1:, None]


def write(model, letters, start, count):
    """Return `start` and the likeliest letters that follow."""
    known = [letters.index(c) for c in start]
    for _ in range(count):
        chances = model.predict(np.array([known[-LENGTH:]]))[0, -1]
        known.append(int(chances.argmax()))
    return "".join(letters[k] for k in known)


def main():
    np.random.seed(0)
    numbers, letters = load_text()
    cut = len(numbers) * 9 // 10
    model = models.Sequential([
        layers.Embedding(len(letters), 24, input_shape=(None,)),
        layers.LSTM(96, return_sequences=True, dropout=0.1),
        layers.TimeDistributed(layers.Dense(len(letters), activation="softmax")),
    ])  # fmt: skip
    model.compile(optimizers.Adam(0.01, clipnorm=1.0), "sparse_categorical_crossentropy")
    started = time.perf_counter()
    model.fit(*windows(numbers[:cut], 20), batch_size=32, epochs=12, verbose=0)
    bits = model.evaluate(*windows(numbers[cut:], LENGTH), verbose=0) / np.log(2)
    wanted = bits_of_pairs(numbers[:cut], numbers[cut:], len(letters))
    print(
        f"{len(numbers)} letters; {bits:.2f} bits for a new one, {wanted:.2f} from pairs,"
        f" {time.perf_counter() - started:.1f} s"
    )
    print(write(model, letters, "the data", 60))
    assert bits < wanted


if __name__ == "__main__":
    main()
