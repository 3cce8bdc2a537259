"""K functions: reductions, comparisons, gather, one_hot. Lloyd's k-means on irises.

One K.function assigns every flower to its nearest centre and moves the centres; the sum of squares it ends
with is scikit-learn's.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from symtensor import backend as K


def main():
    flowers = load_iris().data.astype("f4")
    start = flowers[[0, 75, 149]]
    x, centres = K.placeholder((None, 4)), K.variable(start)

    offsets = K.expand_dims(x, 1) - K.expand_dims(centres, 0)  # (flower, centre, feature)
    squares = K.sum(K.square(offsets), axis=-1)
    nearest = K.argmin(squares, axis=-1)
    member = K.one_hot(nearest, 3)
    counts = K.expand_dims(K.maximum(K.sum(member, axis=0), 1))
    moved = K.dot(K.transpose(member), x) / counts
    still = K.all(K.equal(moved, centres))
    step = K.function(
        [x], [K.sum(K.min(squares, axis=-1)), still, nearest], updates=[K.update(centres, moved)]
    )
    rounds, done = 0, False
    while not done:
        inertia, done, groups = step([flowers])
        rounds += 1

    own = K.eval(K.gather(centres, K.constant(groups, dtype="int32")))
    assert np.isclose(((flowers - own) ** 2).sum(), inertia, rtol=1e-5)
    wanted = KMeans(3, init=start, n_init=1, tol=0).fit(flowers).inertia_
    print(f"{rounds} rounds, sum of squares {inertia:.2f}, of scikit-learn {wanted:.2f}")
    assert abs(inertia - wanted) < 0.01


if __name__ == "__main__":
    main()
