"""Loops over sequences against loops of NumPy and against unrolled graphs, on both engines."""

import numpy as np
import pytest

import symtensor as st
from symtensor.ops.scan_primitive import scan_states

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


# --- native loops --------------------------------------------------------------------------------


def native_steps(f):
    return [type(step).__name__ for step in f.executable.program.schedule.steps]


def both_engines(inputs, outputs, values):
    """Return the results of the llvm engine, which must run without call-outs, and the reference's."""
    fast = st.function(inputs, outputs, engine="llvm")
    assert "LoopStep" in native_steps(fast) and "CallStep" not in native_steps(fast)
    wanted = st.function(inputs, outputs, engine="numpy")(*values)
    for _ in range(3):
        for got, true in zip(fast(*values), wanted, strict=True):
            np.testing.assert_allclose(got, true, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("backwards", [False, True])
def test_carries_outputs_and_captured_values_run_natively(steps, backwards):
    rng = np.random.default_rng(0)
    x, h, w = (
        st.placeholder((None, 3), "float64"),
        st.placeholder((3,), "float64"),
        st.placeholder((3, 3), "float64"),
    )

    def step(row, state, older):
        new = st.tanh(st.dot(state, w) + row)
        return [new, state, new * older]

    (states, before, mixed), _ = st.scan(step, [x], [h, h * 2, None], go_backwards=backwards)
    values = rng.standard_normal((steps, 3)), rng.standard_normal(3), rng.standard_normal((3, 3))
    both_engines([x, h, w], [states, before, mixed], values)


def test_taps_and_shifted_states_run_natively():
    x = st.placeholder((None,), "float64")
    start = st.placeholder((3,), "float64")
    y, _ = st.scan(
        lambda a, b, p, q: p + 0.5 * q + a * b,
        [{"input": x, "taps": [-1, 1]}],
        [{"initial": start, "taps": [-1, -3]}],
    )
    rng = np.random.default_rng(1)
    both_engines([x, start], [y], (rng.standard_normal(9), rng.standard_normal(3)))


def test_a_loop_inside_a_loop_runs_natively():
    x = st.placeholder((None, None), "float64")

    def row_sums(row):
        inner, _ = st.scan(lambda a, s: s + a * a, [row], [st.constant(0.0)])
        return inner

    y, _ = st.scan(row_sums, [x])
    both_engines([x], [y, y[-1]], (np.random.default_rng(2).standard_normal((4, 5)),))


def test_only_the_last_state_needs_no_stack():
    x = st.placeholder((None, 100), "float64")
    (last,) = scan_states(lambda s: [st.tanh(s) + x[0]], [x[0]], 50)
    both_engines([x], [last], (np.random.default_rng(3).standard_normal((2, 100)),))


def test_gradients_through_native_loops():
    x, w = st.placeholder((None, 4, 3), "float64"), st.placeholder((3, 3), "float64")
    h, _ = st.scan(lambda row, s: st.tanh(s @ w + row), [x], [st.zeros((4, 3), "float64")])
    loss = st.sum(st.square(h))
    rng = np.random.default_rng(4)
    values = rng.standard_normal((6, 4, 3)), rng.standard_normal((3, 3))
    both_engines([x, w], [loss, *st.gradients(loss, [x, w])], values)


def test_a_size_wrong_in_the_body_is_checked_only_when_it_runs():
    x = st.placeholder((None, None))
    z, _ = st.scan(lambda row: st.specify_shape(row, (3,)) * 2, [x])
    f = st.function([x], z, engine="llvm")
    assert f(np.ones((2, 3), "f4")).shape == (2, 3)
    with pytest.raises(st.errors.ShapeError, match="3"):
        f(np.ones((2, 4), "f4"))
    assert f(np.ones((0, 4), "f4")).shape == (0, 3)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_gradients_that_read_no_value_of_an_ended_loop_still_know_its_length(engine):
    """What is left of the gradient is the number of steps, which only the loop itself finds out."""
    x = st.placeholder((None, 3), "float64")
    start = st.placeholder((3,), "float64")
    step = lambda row, h: (h + row, st.until(st.sum(h + row) > 8.0))  # noqa: E731
    sums, _ = st.scan(step, [x], [start])
    by_start, by_x = st.gradients(st.sum(sums), [start, x])
    f = st.function([x, start], by_start, engine=engine)
    np.testing.assert_array_equal(f(np.ones((9, 3)), np.ones(3)), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(f(np.ones((1, 3)), np.ones(3)), [1.0, 1.0, 1.0])
    whole = st.function([x, start], by_x, engine=engine)(np.ones((4, 3)), np.ones(3))
    np.testing.assert_array_equal(whole, np.array([2.0, 1.0, 0.0, 0.0])[:, None] * np.ones(3))


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_second_derivatives_of_a_loop_that_ends_early(engine):
    x = st.placeholder((None, 3), "float64")
    start = st.placeholder((3,), "float64")
    matrix = st.placeholder((3, 3), "float64")

    def step(row, h):
        following = st.dot(h, matrix) + row
        return following, st.until(st.sum(following * following) > 2.0)

    out, _ = st.scan(step, [x], [start])
    by_start = st.gradients(st.sum(out), [start])[0]
    norm = st.sum(by_start * by_start)
    f = st.function([x, start, matrix], [norm, st.gradients(norm, [matrix])[0]], engine=engine)
    rng = np.random.default_rng(0)
    x0, h0, m0 = rng.standard_normal((4, 3)), np.full(3, 0.1), 0.2 * rng.standard_normal((3, 3))

    def truth(m):
        h, power, total = h0, np.eye(3), np.zeros(3)
        for row in x0:
            h, power = h @ m + row, power @ m
            total = total + power @ np.ones(3)
            if h @ h > 2.0:
                break
        return total @ total

    value, slope = f(x0, h0, m0)
    np.testing.assert_allclose(value, truth(m0), rtol=1e-12)
    for at in np.ndindex(3, 3):
        move = np.zeros((3, 3))
        move[at] = 1e-6
        estimate = (truth(m0 + move) - truth(m0 - move)) / 2e-6
        np.testing.assert_allclose(slope[at], estimate, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_a_loop_as_long_as_one_that_ends_early_comes_after_it(engine):
    x = st.placeholder((None,), "float64")
    sums, _ = st.scan(lambda row, h: (h + row, st.until(h + row > 2.0)), [x], [st.constant(0.0)])
    powers, _ = st.scan(lambda h: h * 2, initial=st.constant(1.0), n_steps=sums.shape[0])
    f = st.function([x], [sums, powers], engine=engine)
    for size, wanted in ((5, [2.0, 4.0, 8.0]), (1, [2.0])):
        np.testing.assert_array_equal(f(np.ones(size))[1], wanted)
    with pytest.raises(st.MissingInputError, match="no input determines the size"):
        st.function([x], powers, engine=engine, on_unused_input="ignore")
