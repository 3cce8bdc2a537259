"""An LSTM by scan: reads each digit image row by row and names it."""

import numpy as np
from sklearn.datasets import load_digits

import symtensor as st

UNITS = 32


def lstm(x, w, u, b):
    """Return the last hidden state of an LSTM over the leading axis of x (time, batch, features)."""
    projected = x @ w + b  # all time steps at once

    def step(xt, h, c):
        i, f, o, g = st.split(xt + h @ u, 4, axis=1)
        c = st.sigmoid(f) * c + st.sigmoid(i) * st.tanh(g)
        return [st.sigmoid(o) * st.tanh(c), c]

    zeros = st.zeros((x.shape[1], UNITS))
    (hidden, _), _ = st.scan(step, projected, [zeros, zeros])
    return hidden[-1]


def main():
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype("float32")
    labels = labels.astype("int32")

    def weights(*shape):
        return st.variable((rng.standard_normal(shape) / np.sqrt(shape[0])).astype("float32"))

    w, u, v = weights(8, 4 * UNITS), weights(UNITS, 4 * UNITS), weights(UNITS, 10)
    forget = np.repeat([0, 1, 0, 0], UNITS).astype("float32")
    b = st.variable(forget)
    x = st.placeholder((None, 8, 8), name="image")
    y = st.placeholder((None,), "int32", name="label")
    scores = lstm(st.transpose(x, (1, 0, 2)), w, u, b) @ v
    loss = st.mean(st.sparse_categorical_crossentropy(y, scores, from_logits=True))

    updates = []
    for p, g in zip([w, u, b, v], st.gradients(loss, [w, u, b, v]), strict=True):
        velocity = st.variable(np.zeros_like(p.get_value()))
        new = 0.9 * velocity - 0.1 * st.clip(g, -1, 1)
        updates += [(velocity, new), (p, p + new)]
    train = st.function([x, y], loss, updates=updates)
    accuracy = st.function([x, y], st.accuracy(y, scores))

    for epoch in range(12):
        for batch in np.array_split(rng.permutation(1400), 22):
            train(images[batch], labels[batch])
        found = float(accuracy(images[1400:], labels[1400:]))
        print(f"epoch {epoch + 1}: held-out accuracy {found:.3f}")
    assert found > 0.85


if __name__ == "__main__":
    main()
