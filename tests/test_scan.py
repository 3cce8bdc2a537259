"""Loops over sequences against loops of NumPy and against unrolled graphs, on both engines."""

import numpy as np
import pytest

import symtensor as st

ENGINES = ["numpy", "llvm"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_recurrent_network_is_its_unrolled_self(engine):
    xs, w = st.placeholder((4, 3), "float64"), st.placeholder((3, 3), "float64")

    def step(x, h):
        return st.tanh(x + st.dot(h, w))

    looped = st.scan(step, xs, st.zeros(3, "float64"))[0]
    h, states = st.zeros(3, "float64"), []
    for i in range(4):
        h = step(xs[i], h)
        states.append(h)
    unrolled = st.stack(states)
    losses = [st.sum(y**2) for y in (looped, unrolled)]
    first = [g for loss in losses for g in st.gradients(loss, [xs, w])]
    second = [st.gradients(st.sum(st.gradients(loss, w) ** 2), w) for loss in losses]
    f = st.function([xs, w], [*first, *second], engine=engine)
    rng = np.random.default_rng(0)
    a, b, c, d, e, g = f(rng.normal(size=(4, 3)), rng.normal(size=(3, 3)))
    for found, expected in ((a, c), (b, d), (e, g)):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_running_sums_of_any_length(engine, steps):
    x = st.placeholder((None,), "float64")
    sums = st.scan(lambda v, s: s + v * v, x, st.zeros((), "float64"))[0]
    f = st.function([x], [sums, st.gradients(st.sum(sums), x)], engine=engine)
    given = np.arange(1.0, steps + 1)
    value, slope = f(given)
    np.testing.assert_allclose(value, np.cumsum(given**2))
    np.testing.assert_allclose(slope, 2 * given * np.arange(steps, 0, -1))


@pytest.mark.parametrize("engine", ENGINES)
def test_nested_loops(engine):
    x = st.placeholder((None, 3), "float64")

    def row(r):
        return st.scan(lambda v, s: s * v + v, r, st.zeros((), "float64"))[0]

    y = st.map_(row, x)
    f = st.function([x], [y, st.gradients(st.sum(y), x)], engine=engine)
    given = np.array([[0.5, 2.0, -1.0], [1.5, 0.25, 3.0]])
    value, slope = f(given)
    a, b, c = given.T
    np.testing.assert_allclose(value, np.stack([a, a * b + b, (a * b + b) * c + c], 1))
    by_hand = np.stack([1 + b + b * c, (a + 1) * (1 + c), a * b + b + 1], 1)
    np.testing.assert_allclose(slope, by_hand)
