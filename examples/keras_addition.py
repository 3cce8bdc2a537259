"""Keras 2.3.1 on symtensor: an LSTM learns to add, from text to text.

"27+5 " goes in letter by letter, "32 " comes out; the network has never seen the questions it is asked
at the end.
"""

import os
import time

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import layers, models, optimizers

LETTERS = "0123456789+ "
QUESTION, ANSWER = 5, 3


def encode(texts, length):
    """Return texts as (n, length, letters), one hot."""
    numbers = [[LETTERS.index(c) for c in text.ljust(length)] for text in texts]
    return np.eye(len(LETTERS), dtype="f4")[np.array(numbers)]


def main():
    np.random.seed(0)
    pairs = np.random.default_rng(0).permutation([(a, b) for a in range(100) for b in range(100)])
    x = encode([f"{a}+{b}" for a, b in pairs], QUESTION)
    y = encode([str(a + b) for a, b in pairs], ANSWER)
    model = models.Sequential([
        layers.LSTM(96, input_shape=(QUESTION, len(LETTERS))),
        layers.RepeatVector(ANSWER),
        layers.LSTM(96, return_sequences=True),
        layers.TimeDistributed(layers.Dense(len(LETTERS), activation="softmax")),
    ])  # fmt: skip
    model.compile(optimizers.Adam(0.005), "categorical_crossentropy", metrics=["accuracy"])
    started = time.perf_counter()
    model.fit(x[:9000], y[:9000], batch_size=128, epochs=30, verbose=0)
    accuracy = model.evaluate(x[9000:], y[9000:], verbose=0)[1]
    seconds = time.perf_counter() - started
    print(f"letters of new sums right: {accuracy:.1%}, {seconds:.1f} s")
    for question, answer in zip(pairs[9000:9003], model.predict(x[9000:9003]), strict=True):
        text = "".join(LETTERS[k] for k in answer.argmax(-1))
        print(f"{question[0]}+{question[1]} = {text}")
    assert accuracy >= 0.75


if __name__ == "__main__":
    main()
