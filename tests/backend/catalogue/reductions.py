"""Table F: reductions."""

import numpy as np
import scipy.special

from symtensor import backend as K

from .sample import BOOLS, CUBE, INTS, POSITIVE, A, sample

# fmt: off

for name in ("max", "min", "sum", "prod", "mean", "var", "std"):
    truth = getattr(np, name)
    sample(name, truth, A)
    sample(name, lambda x, f=truth: f(x, 1), A, axis=1, note="an axis")
    sample(name, lambda x, f=truth: f(x, (0, 2)), CUBE, axis=[0, -1], note="a list of axes")
    sample(name, lambda x, f=truth: f(x, -1, keepdims=True), CUBE, axis=-1, keepdims=True,
           note="axes kept")
for name in ("max", "min", "sum", "prod"):
    truth = getattr(np, name)
    sample(name, lambda x, f=truth: f(x, 0), INTS, axis=0, gives="int32", note="ints")
for name in ("mean", "var", "std"):
    truth = getattr(np, name)
    sample(name, lambda x, f=truth: f(x, 0), INTS, axis=0, gives="float32", note="ints in floatx")
    sample(name, lambda x, f=truth: f(x, 0), BOOLS, axis=0, gives="float32", note="bools in floatx")
sample("prod", lambda x: x.size, A, gives="int32", note="a list of sizes",
       build=lambda x: K.prod([K.shape(x)[0], K.shape(x)[1]]))
sample("cumsum", lambda x: np.cumsum(x, 0), A)
sample("cumsum", lambda x: np.cumsum(x, 2), CUBE, axis=-1, note="the last axis")
sample("cumsum", lambda x: np.cumsum(x, 0), INTS, gives="int32", note="ints")
sample("cumprod", lambda x: np.cumprod(x, 0), A)
sample("cumprod", lambda x: np.cumprod(x, 1), POSITIVE, axis=1, note="an axis")
for name in ("any", "all"):
    truth = getattr(np, name)
    sample(name, truth, BOOLS, gives="bool")
    sample(name, lambda x, f=truth: f(x, 1), BOOLS, axis=1, gives="bool", note="an axis")
    sample(name, lambda x, f=truth: f(x != 0, (0, 1), keepdims=True), INTS, axis=[0, 1],
           keepdims=True, gives="bool", note="numbers, axes kept")
for name in ("argmax", "argmin"):
    truth = getattr(np, name)
    sample(name, lambda x, f=truth: f(x, -1), A, gives="int64")
    sample(name, lambda x, f=truth: f(x, 0), CUBE, axis=0, gives="int64", note="an axis")
    sample(name, lambda x, f=truth: f(x, 1), INTS * 0, axis=1, gives="int64", note="the first")
sample("logsumexp", scipy.special.logsumexp, A)
sample("logsumexp", lambda x: scipy.special.logsumexp(x, (0, 2)), CUBE, axis=[0, 2], note="axes")
sample("logsumexp", lambda x: scipy.special.logsumexp(x, 1, keepdims=True), A * 1000, axis=1,
       keepdims=True, note="large numbers", slopes=False)
