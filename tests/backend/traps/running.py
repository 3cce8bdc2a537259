"""Expressions of the backend on arrays: how the traps look at values and slopes."""

import numpy as np

from symtensor import backend as K

A = np.random.default_rng(0).normal(size=(3, 4)).astype("f4")
CUBE = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("f4")


def run(build, *arrays, shapes=None):
    """Return what a K expression, or a list of them, gives for arrays."""
    shapes = shapes or [np.shape(x) for x in arrays]
    xs = [
        K.placeholder(s, dtype=str(np.asarray(x).dtype))
        for s, x in zip(shapes, arrays, strict=True)
    ]
    built = build(*xs)
    several = isinstance(built, list)
    found = K.function(xs, built if several else [built])([np.asarray(x) for x in arrays])
    return found if several else found[0]


def value_and_slope(build, x):
    x = np.asarray(x, "f4")

    def both(t):
        y = build(t)
        return [y, *K.gradients(K.sum(y), [t])]

    return run(both, x)
