"""K functions: variables, gradients, updates. Linear regression of the progress of diabetes.

Gradient descent with momentum, as a list of updates of one K.function, ends where the normal equations do.
"""

import numpy as np
from sklearn.datasets import load_diabetes

from symtensor import backend as K


def main():
    features, target = load_diabetes(return_X_y=True)
    features = (features / features.std(0)).astype("f4")
    target = ((target - target.mean()) / target.std()).astype("f4")

    x, y = K.placeholder((None, 10)), K.placeholder((None,))
    w = K.zeros((10, 1), name="w")
    velocity = K.zeros(K.int_shape(w))
    steps = K.variable(0, dtype="int64")
    loss = K.mean(K.square(K.squeeze(K.dot(x, w), 1) - y))
    (g,) = K.gradients(loss, [w])
    push = 0.9 * velocity - 0.05 * g
    train = K.function(
        [x, y], [loss],
        updates=[K.update(velocity, push), K.update_add(w, push), K.update_add(steps, 1)],
    )  # fmt: skip
    for _ in range(2000):
        (last,) = train([features, target])

    best = np.linalg.lstsq(features, target, rcond=None)[0]
    difference = abs(K.get_value(w)[:, 0] - best).max()
    print(
        f"{K.get_value(steps)} steps, loss {last:.4f}, from the normal equations {difference:.4f}"
    )
    assert difference < 0.01


if __name__ == "__main__":
    main()
