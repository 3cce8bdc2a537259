"""K functions: rnn with states, constants and a mask. A recurrent network reads digits line by line.

Lines at the bottom are covered for half of the images, and the mask says so: what it reads stays.
"""

import numpy as np
from sklearn.datasets import load_digits

from symtensor import backend as K

UNITS = 48


def main():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8).astype("f4")
    rng = np.random.default_rng(0)
    lines = np.where(rng.random(len(images)) < 0.5, 8, 7)  # how many are seen
    seen = np.arange(8) < lines[:, None]

    x, mask = K.placeholder((None, None, 8)), K.placeholder((None, None))
    label = K.placeholder((None,), dtype="int32")
    w = K.random_normal_variable((8, 3 * UNITS), 0, 0.2, seed=1)
    u = K.random_normal_variable((UNITS, 3 * UNITS), 0, 0.1, seed=2)
    v = K.random_normal_variable((UNITS, 10), 0, 0.2, seed=3)
    b = K.zeros((3 * UNITS,))

    def step(line, states):  # a gated unit, reset after the product
        h, bias = states
        given, kept = K.bias_add(K.dot(line, w), bias), K.dot(h, u)
        gates = K.sigmoid(given[:, : 2 * UNITS] + kept[:, : 2 * UNITS])
        update, reset = gates[:, :UNITS], gates[:, UNITS:]
        new = K.tanh(given[:, 2 * UNITS :] + reset * kept[:, 2 * UNITS :])
        h = update * h + (1 - update) * new
        return h, [h]

    start = K.zeros_like(K.dot(x[:, 0], w[:, :UNITS]))
    last, outputs, _ = K.rnn(step, x, [start], mask=mask, constants=[b])
    scores = K.dot(last, v)
    loss = K.mean(K.sparse_categorical_crossentropy(label, scores, from_logits=True))
    weights, updates = [w, u, v, b], []
    for p, g in zip(weights, K.gradients(loss, weights), strict=True):
        velocity = K.zeros(K.int_shape(p))
        new = 0.9 * velocity - 0.2 * K.clip(g, -1, 1)
        updates += [K.update(velocity, new), K.update_add(p, new)]
    train = K.function([x, mask, label], [loss], updates=updates)
    test = K.function([x, mask], [K.argmax(scores), outputs])

    for _ in range(12):
        for batch in np.array_split(rng.permutation(1400), 22):
            train([images[batch], seen[batch], labels[batch]])
    found, states = test([images[1400:], seen[1400:]])
    right = np.mean(found == labels[1400:])
    kept = (states[:, 7] == states[:, 6]).all(-1)
    assert (kept == (lines[1400:] == 7)).all()
    print(f"held-out digits right {right:.1%}")
    assert right >= 0.8


if __name__ == "__main__":
    main()
