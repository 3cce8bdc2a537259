"""A multilayer perceptron on the diabetes data, trained with Adam; one function, any batch size."""

import numpy as np
from sklearn.datasets import load_diabetes

import symtensor as st


def adam(loss, parameters, rate):
    """Return the updates of Adam (Kingma and Ba, 2015)."""
    step = st.variable(0.0, dtype="float32", name="step")
    t = step + 1
    updates = {step: t}
    for p, g in zip(parameters, st.gradients(loss, parameters), strict=True):
        m, v = (st.variable(np.zeros_like(p.get_value())) for _ in range(2))
        updates[m] = 0.9 * m + 0.1 * g
        updates[v] = 0.999 * v + 0.001 * st.square(g)
        size = st.sqrt(updates[v] / (1 - 0.999**t)) + 1e-8
        updates[p] = p - rate * updates[m] / (1 - 0.9**t) / size
    return updates


def main():
    rng = np.random.default_rng(0)
    features, target = load_diabetes(return_X_y=True)
    features = (features / features.std(0)).astype("float32")
    target = ((target - target.mean()) / target.std()).astype("float32")
    train, test = np.split(rng.permutation(len(target)), [340])

    x = st.placeholder((None, 10), name="x")
    y = st.placeholder((None,), name="y")
    sizes = [(10, 32), (32, 16), (16, 1)]
    weights = [
        st.variable((rng.standard_normal(s) / np.sqrt(s[0])).astype("float32")) for s in sizes
    ]
    biases = [st.variable(np.zeros(s[1], "float32")) for s in sizes]
    h = x
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = st.tanh(h @ w + b)
    prediction = st.squeeze(h @ weights[-1] + biases[-1], 1)
    loss = st.mean(st.square(prediction - y))
    fit = st.function([x, y], loss, updates=adam(loss, weights + biases, 0.002))
    error = st.function([x, y], loss)

    for _ in range(12):
        for batch in np.array_split(rng.permutation(train), 11):
            fit(features[batch], target[batch])
    explained = 1 - error(features[test], target[test]) / np.var(target[test])
    print(f"held-out explained variance {explained:.3f}; compiled {fit.compile_count} time")
    assert explained > 0.3 and fit.compile_count == 1


if __name__ == "__main__":
    main()
