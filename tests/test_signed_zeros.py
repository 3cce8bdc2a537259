"""Zeros have signs: what `docs/numerics.md` promises, beyond the catalogue's edge values.

Rewrites that hold for numbers need not hold for zeros, so every case runs with passes and without.
"""

import numpy as np
import pytest

import symtensor as st

VALUES = [[0.0, -0.0], [-0.0, -0.0], [-0.0, 0.0], [1.0, -1.0], [-0.25, 0.25]]
ROWS = np.array([1, 2, 0, 1])
SAME = {
    "x + 0": lambda x: x + 0.0,
    "x - 0": lambda x: x - 0.0,
    "0 - x": lambda x: 0.0 - x,
    "x - x": lambda x: x - x,
    "x * 0": lambda x: x * 0.0,
    "x * 1": lambda x: x * 1.0,
    "x / -1": lambda x: x / -1.0,
    "x ** 3": lambda x: x**3,
    "-(a - b)": lambda x: -(x - x[::-1]),
    "-(a + b)": lambda x: -(x + x[::-1]),
    "-(a * b)": lambda x: -(x * x[::-1]),
    "a + -b": lambda x: x + -x[::-1],
    "a - -b": lambda x: x - -x[::-1],
    "-a * b": lambda x: -x * x[::-1],
    "x % 2": lambda x: x % 2.0,
    "x // 2": lambda x: x // 2.0,
    "rows": lambda x: x[ROWS],
    "backwards": lambda x: x[::-1, ::-1].T,
}
"""What means the same of tensors and of arrays."""
CASES = {name: (build, build) for name, build in SAME.items()} | {
    "x + -0": (lambda x: x + -0.0, lambda x: x),
    "x - -0": (lambda x: x - -0.0, lambda x: x - -np.zeros_like(x)),
    "x * -0": (lambda x: x * -0.0, lambda x: x * -np.zeros_like(x)),
    "relu": (st.relu, lambda x: np.where(x > 0, x, np.zeros_like(x))),
    "sign": (st.sign, np.sign),
    "round": (st.round, np.round),
    "ceil": (st.ceil, np.ceil),
    "trunc": (st.trunc, np.trunc),
    "fmod": (lambda x: st.fmod(x, -0.125), lambda x: np.fmod(x, np.full_like(x, -0.125))),
    "where": (lambda x: st.where(x > 0, x, -0.0), lambda x: np.where(x > 0, x, -np.zeros_like(x))),
    "pad": (
        lambda x: st.pad(x, 1, constant_values=-0.0),
        lambda x: np.pad(x, 1, constant_values=-0.0),
    ),
    "concatenate": (lambda x: st.concatenate([x, -x]), lambda x: np.concatenate([x, -x])),
    "two constants": (
        lambda x: st.stack([x * 0 + st.zeros_like(x), x * 0 - st.zeros_like(x)]),
        lambda x: np.stack([x * 0 + 0, x * 0 - 0]),
    ),
    "prod": (lambda x: st.prod(x, 1), lambda x: np.prod(x, 1)),
    "cumprod": (lambda x: st.cumprod(x, 1), lambda x: np.cumprod(x, 1)),
    "sum to nothing": (lambda x: st.sum(x - x, 1), lambda x: np.zeros(len(x), x.dtype)),
}
"""How a case is built, and its truth in NumPy."""


def same(value, truth):
    equal = np.array_equal(value, truth) and value.dtype == truth.dtype
    return equal and np.array_equal(np.signbit(value), np.signbit(truth))


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("passes", [None, []], ids=["passes", "no passes"])
def test_zeros_have_the_signs_of_numpy(engine, dtype, passes):
    array = np.array(VALUES, dtype)
    x = st.placeholder((None, 2), dtype)
    f = st.function([x], [build(x) for build, _ in CASES.values()], engine=engine, passes=passes)
    found = dict(zip(CASES, f(array), strict=True))
    wrong = [name for name, (_, truth) in CASES.items() if not same(found[name], truth(array))]
    assert not wrong
