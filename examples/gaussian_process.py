"""Gaussian process regression: hyperparameters fitted through the gradient of a Cholesky factor."""

import numpy as np
from sklearn.datasets import load_diabetes

import symtensor as st


def covariance(a, b, log_scale, log_amplitude):
    """Return the squared exponential covariance of two sets of points."""
    apart = st.sum(st.square(a[:, None, :] - b[None, :, :]), axis=-1) / st.exp(2 * log_scale)
    return st.exp(2 * log_amplitude) * st.exp(-0.5 * apart)


def main():
    features, target = load_diabetes(return_X_y=True)
    features = features / features.std(0)
    target = (target - target.mean()) / target.std()
    train, test = slice(0, 150), slice(150, 300)

    x = st.placeholder((None, features.shape[1]), "float64", name="x")
    y = st.placeholder((None,), "float64", name="y")
    new = st.placeholder((None, features.shape[1]), "float64", name="new")
    logs = st.variable(np.array([1.0, 0.0, -0.5]), name="log scale, amplitude, noise")

    noise = st.exp(2 * logs[2]) + 1e-6
    matrix = covariance(x, x, logs[0], logs[1]) + noise * st.eye(x.shape[0], dtype="float64")
    factor = st.linalg.cholesky(matrix)
    white = st.linalg.solve_triangular(factor, y)
    evidence = 0.5 * st.sum(st.square(white)) + st.sum(st.log(st.diagonal(factor)))
    loss = evidence / x.shape[0]
    fit = st.function([x, y], loss, updates=[(logs, logs - 0.2 * st.gradients(loss, logs))])
    weights = st.linalg.solve_triangular(factor, white, trans=True)
    predict = st.function([x, y, new], covariance(new, x, logs[0], logs[1]) @ weights)

    losses = [float(fit(features[train], target[train])) for _ in range(60)]
    error = np.mean((predict(features[train], target[train], features[test]) - target[test]) ** 2)
    print(f"negative log evidence {losses[0]:.3f} -> {losses[-1]:.3f}, held-out error {error:.3f}")
    assert losses[-1] < losses[0] and error < 0.7


if __name__ == "__main__":
    main()
