"""Newton's method with an exact hessian: the Rosenbrock function, and logistic regression."""

import numpy as np
from sklearn.datasets import load_breast_cancer

import symtensor as st


def newton(loss, w, inputs=()):
    """Return a function that takes one Newton step for the variable w."""
    gradient, hessian = st.gradients(loss, w), st.hessian(loss, w)
    return st.function(list(inputs), loss, updates=[(w, w - st.linalg.solve(hessian, gradient))])


def main():
    w = st.variable(np.array([-1.2, 1.0]))
    rosenbrock = 100 * st.square(w[1] - st.square(w[0])) + st.square(1 - w[0])
    step = newton(rosenbrock, w)
    for _ in range(8):
        step()
    print("minimum of the Rosenbrock function:", w.get_value())
    assert np.allclose(w.get_value(), 1, atol=1e-8)

    features, target = load_breast_cancer(return_X_y=True)
    features = ((features - features.mean(0)) / features.std(0))[:, :10]
    x = st.placeholder((None, 10), "float64")
    y = st.placeholder((None,), "float64")
    v = st.variable(np.zeros(10))
    loss = st.mean(st.binary_crossentropy(y, x @ v, from_logits=True)) + 1e-2 * st.sum(st.square(v))
    step = newton(loss, v, [x, y])
    losses = [float(step(features, target.astype(float))) for _ in range(9)]
    print("logistic regression, loss per Newton step:", np.round(losses, 6))
    assert abs(losses[-1] - losses[-2]) < 1e-9


if __name__ == "__main__":
    main()
