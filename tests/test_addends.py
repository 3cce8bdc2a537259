"""Sums that matrix products compute, and results written over operands that nothing reads later."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.schedule import ContractStep, KernelStep, LoopStep
from symtensor.testing.gradcheck import check_gradients

RNG = np.random.default_rng(7)


def steps(fn):
    return fn.executable.program.schedule.steps


def body_steps(fn, number=0):
    """Return the steps of a loop, counted from the first."""
    plan = fn.executable.program.schedule
    loops = [step.node for step in plan.steps if isinstance(step, LoopStep)]
    return plan.bodies[loops[number]].steps


def sums(found):
    return [step.total for step in found if isinstance(step, ContractStep) and step.total]


def given(*inputs):
    return [RNG.standard_normal(t.shape).astype(t.dtype.name) for t in inputs]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 5, 130])
@pytest.mark.parametrize(
    "shape", [(70,), (1, 70), "full", "transposed", "part", (1, 1), "column"], ids=str
)
def test_something_added_to_a_product(dtype, rows, shape):
    """Rows and what lies as the result does are added by the product, the others by a kernel."""
    x, w = st.placeholder((rows, 33), dtype), st.placeholder((33, 70), dtype)
    forms = {"full": (rows, 70), "transposed": (70, rows), "part": (rows, 140), "column": (rows, 1)}
    d = st.placeholder(forms.get(shape, shape), dtype)
    views = {"transposed": lambda z: z.T, "part": lambda z: z[:, 70:]}
    view = views.get(shape, lambda z: z)
    f = st.function([x, w, d], view(d) + x @ w, engine="llvm")
    if shape in ((70,), (1, 70), "full", "part"):
        assert [type(step) for step in steps(f)] == [ContractStep]
    a, b, c = given(x, w, d)
    wanted = a.astype(np.float64) @ b + view(c)
    np.testing.assert_allclose(
        f(a, b, c), wanted, rtol=0, atol=1e-4 if dtype == "float32" else 1e-12
    )


def test_whole_numbers_and_sizes_known_at_the_call():
    n = st.placeholder((None, None), "int64")
    w, b = st.placeholder((None, 6), "int64"), st.placeholder((6,), "int64")
    f = st.function([n, w, b], n @ w + b, engine="llvm")
    assert [type(step) for step in steps(f)] == [ContractStep]
    for rows, depth in ((3, 4), (40, 9), (1, 5), (7, 0), (0, 3)):
        x, y, z = (RNG.integers(-9, 9, shape) for shape in ((rows, depth), (depth, 6), (6,)))
        np.testing.assert_array_equal(f(x, y, z), x @ y + z)


@pytest.mark.parametrize("columns", [1, 5])
def test_a_product_added_to_itself(columns):
    x = st.placeholder((None, columns))
    product = x @ x.T @ x
    f = st.function([x], [product + product, x + (product + product)], engine="llvm")
    a = RNG.standard_normal((4, columns)).astype("f4")
    wanted = 2 * (a @ a.T @ a)
    for value, truth in zip(f(a), (wanted, a + wanted), strict=True):
        np.testing.assert_allclose(value, truth, rtol=1e-4, atol=1e-5)


def test_a_sum_of_products_is_a_chain_of_them():
    xs = [st.placeholder((40, n)) for n in (8, 16, 24)]
    ws = [st.placeholder((n, 32)) for n in (8, 16, 24)]
    total = xs[0] @ ws[0] + xs[1] @ ws[1] + xs[2] @ ws[2]
    f = st.function([*xs, *ws], st.exp(total * 0.01), engine="llvm")
    assert [type(step) for step in steps(f)] == [ContractStep] * 3 + [KernelStep]
    assert (
        len({f.executable.program.place[root] for root in sums(steps(f))}) == 1
    )  # one memory for all
    arrays = given(*xs, *ws)
    wanted = sum(x.astype("d") @ w for x, w in zip(arrays[:3], arrays[3:], strict=True))
    np.testing.assert_allclose(f(*arrays), np.exp(wanted * 0.01), rtol=1e-5)


def test_batches_and_convolutions_with_offsets():
    x, w, b = st.placeholder((4, 5, 6)), st.placeholder((4, 6, 7)), st.placeholder((4, 5, 7))
    f = st.function([x, w, b], x @ w + b, engine="llvm")
    assert [type(step) for step in steps(f)] == [ContractStep]
    a, c, d = given(x, w, b)
    np.testing.assert_allclose(f(a, c, d), a @ c + d, rtol=1e-5, atol=1e-5)
    images, kernels = st.placeholder((2, 9, 9, 3)), st.placeholder((3, 3, 3, 8))
    offset = st.placeholder((8,))
    convolved = [st.conv(images, kernels, padding="same") + z for z in (offset, 0.0)]
    f = st.function([images, kernels, offset], convolved, engine="llvm", on_unused_input="ignore")
    assert len(sums(steps(f))) == 0  # the convolution is read by both
    arrays = given(images, kernels, offset)
    alone = st.function([images, kernels, offset], convolved[0], engine="llvm")
    assert len(sums(steps(alone))) == 1
    np.testing.assert_allclose(alone(*arrays), f(*arrays)[1] + arrays[2], rtol=1e-5, atol=1e-5)


def test_what_is_read_later_is_not_written_over():
    x, w, v = st.placeholder((30, 20)), st.placeholder((20, 20)), st.placeholder((20, 20))
    first = x @ w
    second = first + st.tanh(x) @ v
    arrays = [a * 0.2 for a in given(x, w, v)]
    a, b, c = (z.astype(np.float64) for z in arrays)
    for outputs, wanted in (
        (second, a @ b + np.tanh(a) @ c),
        ([second, first], [a @ b + np.tanh(a) @ c, a @ b]),
        (second * st.sin(first), (a @ b + np.tanh(a) @ c) * np.sin(a @ b)),
        (first + first @ v, a @ b + (a @ b) @ c),
        (st.exp(first + first @ v), np.exp(a @ b + (a @ b) @ c)),
        (x + st.tanh(x) @ v, a + np.tanh(a) @ c),
    ):
        f = st.function([x, w, v], outputs, engine="llvm", on_unused_input="ignore")
        before = [z.copy() for z in arrays]
        for found, one in zip(np.atleast_3d(f(*arrays)).T, np.atleast_3d(wanted).T, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-5)
        for z, old in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(z, old)


SHAPES = (6, 5, 4), (4, 7), (7, 7), (7,)


def recurrence(x, w, u, b, kind):
    """Return the results of a loop that adds a product of its state to the rows of another."""
    rows = x @ w + b

    def step(row, h):
        z = row + h @ u
        again = st.sin(row) if kind == "read again" else 0.0
        return [st.tanh(z) * st.cos(z) + again, z]

    (states, sums), _ = st.scan(step, [rows], [st.zeros((5, 7), "float64"), None])
    return [states, st.exp(sums), *([st.exp(rows)] if kind == "read later" else [])]


def unrolled(x, w, u, b, kind):
    rows, h, states, found = x @ w + b, np.zeros((5, 7)), [], []
    for row in rows:
        found.append(row + h @ u)
        h = np.tanh(found[-1]) * np.cos(found[-1])
        h = h + np.sin(row) if kind == "read again" else h
        states.append(h)
    return [np.array(states), np.exp(found), *([np.exp(rows)] if kind == "read later" else [])]


@pytest.mark.parametrize("kind", ["states", "read again", "read later"])
def test_rows_are_written_over_where_nothing_reads_them_again(kind):
    inputs = [st.placeholder(shape, "float64") for shape in SHAPES]
    f = st.function(inputs, recurrence(*inputs, kind), engine="llvm")
    (total,) = sums(body_steps(f))
    place, plan = f.executable.program.place, f.executable.program.schedule
    (loop,) = (step.node for step in plan.steps if isinstance(step, LoopStep))
    stack = next(n for n in place if n.op.name == "result" and n.attrs["index"] == 2)
    assert loop.attrs["body"].outputs[2] is total
    assert (place[stack] == place[loop.inputs[1]]) == (kind == "states")
    arrays = given(*inputs)
    for found, wanted in zip(f(*arrays), unrolled(*arrays, kind), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["states", "read again", "read later"])
def test_gradients_through_rows_that_are_written_over(kind):
    arrays = [0.3 * RNG.standard_normal(shape) for shape in SHAPES]

    def loss(*tensors):
        squares = [st.sum(st.square(x)) for x in recurrence(*tensors, kind)]
        return sum(squares[1:], squares[0])

    check_gradients(loss, arrays, order=1, engine="llvm")


def test_backward_reads_the_sum_that_forward_stored():
    """A step of the LSTM saves what its gates are functions of, not a product that it is one term of."""
    x, u = st.placeholder((6, 5, 28)), st.placeholder((7, 28))

    def step(row, h, c):
        z = row + h @ u
        i, f, g, o = (z[:, k * 7 : (k + 1) * 7] for k in range(4))
        c = st.sigmoid(f) * c + st.sigmoid(i) * st.tanh(g)
        return [st.sigmoid(o) * st.tanh(c), c]

    (h, _), _ = st.scan(step, [x], [st.zeros((5, 7)), st.zeros((5, 7))])
    f = st.function([x, u], st.gradients(st.sum(h), [x, u]), engine="llvm")
    loops = [n for n in f.optimized.nodes() if n.op.name == "scan"]
    back = loops[-1]
    assert x.node not in back.inputs
    wide = [s for s in back.attrs["body"].inputs if s.tensor_type.shape == (5, 28)]
    assert len(wide) == 1
