"""Logistic regression on the breast cancer data, by gradient descent."""

import numpy as np
from sklearn.datasets import load_breast_cancer

import symtensor as st


def main():
    features, target = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    order = np.random.default_rng(0).permutation(len(target))
    train, test = order[:400], order[400:]

    x = st.placeholder((None, features.shape[1]), "float64", name="x")
    y = st.placeholder((None,), "float64", name="y")
    w = st.variable(np.zeros(features.shape[1]), name="w")
    b = st.variable(0.0, name="b")
    logit = x @ w + b
    penalty = 0.01 * st.sum(st.square(w))
    loss = st.mean(st.binary_crossentropy(y, logit, from_logits=True)) + penalty
    gw, gb = st.gradients(loss, [w, b])
    step = st.function([x, y], loss, updates=[(w, w - 0.5 * gw), (b, b - 0.5 * gb)])
    predict = st.function([x], st.sigmoid(logit))

    for _ in range(300):
        last = step(features[train], target[train].astype(float))
    accuracy = np.mean((predict(features[test]) > 0.5) == target[test])
    print(f"loss {last:.4f}, held-out accuracy {accuracy:.3f}")
    assert accuracy > 0.95


if __name__ == "__main__":
    main()
