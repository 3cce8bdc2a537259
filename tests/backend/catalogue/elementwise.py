"""Table G: functions of each element, and comparisons."""

import numpy as np

from symtensor import backend as K

from .sample import BOOLS, INTS, POSITIVE, ROW, A, B, fact, sample

# fmt: off

sample("square", np.square, A)
sample("abs", np.abs, A)
sample("sqrt", np.sqrt, POSITIVE)
sample("sqrt", lambda x: np.sqrt(np.maximum(x, 0)), A, note="of negatives is 0")
sample("exp", np.exp, A)
sample("log", np.log, POSITIVE)
sample("round", np.round, A * 3, slopes=False)
sample("round", np.round, [0.5, 1.5, 2.5, -0.5, -1.5], slopes=False, note="halves to even")
sample("sign", np.sign, A)
sample("sign", np.sign, [-2.0, 0.0, 3.0], slopes=False, note="of 0")
sample("pow", lambda x: x**3, A, a=3)
sample("pow", lambda x: x**-0.5, POSITIVE, a=-0.5, note="a fraction")
sample("pow", np.power, POSITIVE, B, note="a tensor")
sample("pow", lambda x: 0.9**x, A, build=lambda x: K.pow(0.9, x), note="of a number")
sample("clip", lambda x: np.clip(x, -0.5, 0.5), A, min_value=-0.5, max_value=0.5)
sample("clip", lambda x: np.maximum(x, 0), A, min_value=0, max_value=None, note="no maximum")
sample("clip", lambda x: np.minimum(x, 0.2), A, min_value=None, max_value=0.2, note="no minimum")
sample("clip", np.ones_like, A, min_value=1, max_value=-1, note="crossed bounds")
sample("clip", lambda x, low, high: np.minimum(np.maximum(x, low), high), A, B - 1, B + 1,
       note="bounds that are tensors")
sample("maximum", np.maximum, A, B)
sample("maximum", lambda x: np.maximum(0, x), A, build=lambda x: K.maximum(0.0, x), note="a number")
sample("maximum", np.maximum, A, ROW, note="broadcast")
sample("minimum", np.minimum, A, B)
sample("minimum", lambda x: np.minimum(x, 0.1), A, build=lambda x: K.minimum(x, 0.1),
       note="a number")
sample("sin", np.sin, A)
sample("cos", np.cos, A)

COMPARISONS = {
    "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "lesser": np.less, "lesser_equal": np.less_equal,
}
for name, truth in COMPARISONS.items():
    sample(name, truth, np.round(A), np.round(B), gives="bool")
    sample(name, lambda x, truth=truth: truth(x, 2), INTS, gives="bool", y=2, note="ints")
sample("equal", np.equal, BOOLS, ~BOOLS, gives="bool", note="bools")


@fact("exp", "log", "square", "abs", "sqrt", "sin", "cos", "maximum", "pow", "greater")
def python_numbers_are_taken():
    found = [K.exp(2.0), K.log(2.0), K.square(2.0), K.abs(-2.0), K.sqrt(2.0), K.sin(2.0),
             K.cos(2.0), K.maximum(1.0, 2.0), K.pow(2.0, 3.0), K.greater(np.array(1.0), 0)]
    assert all(map(K.is_tensor, found))
    wanted = [np.exp(2), np.log(2), 4, 2, 2**0.5, np.sin(2), np.cos(2), 2, 8, True]
    np.testing.assert_allclose([K.eval(x) for x in found], wanted, rtol=1e-6)
