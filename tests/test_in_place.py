"""Results of kernels that lie over an operand: where each place is read before it is written."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.schedule import KernelStep, LoopStep, possibly_read

RNG = np.random.default_rng(3)
N = 36


def lie_over(plan, place):
    """Return for each kernel of a schedule whether a result lies where an operand does."""
    found = []
    for step in plan.steps:
        if isinstance(step, KernelStep):
            read = {place[x] for x in possibly_read(step) if x in place and x not in step.roots}
            found.append(any(place[root] in read for root in step.roots))
    return found


def halves(z):
    return z[:, : N // 2], z[:, N // 2 :]


def exchanged(z):
    a, b = halves(z)
    return st.concatenate([st.sin(b), a * b], 1)


def in_order(z):
    a, b = halves(z)
    return st.concatenate([st.sin(a) * b, st.cos(b) - a], 1)


KINDS = {
    "one by one": (lambda z: st.tanh(z) * 2, True),
    "two halves": (in_order, True),
    "two halves, exchanged": (exchanged, False),  # the first is written before it is read
    "transposed": (lambda z: st.tanh(z.T) * 2, False),
    "backwards": (lambda z: st.tanh(z[::-1]) * 2, False),
    "shifted": (lambda z: st.concatenate([st.tanh(z[1:]), z[:1]], 0), False),
    "by rows": (lambda z: st.softmax(z), False),
    "running": (lambda z: st.cumsum(z, 0), None),
    "with a neighbour": (lambda z: st.tanh(z) * z[:, :1], False),
    "padded": (lambda z: st.pad(st.tanh(z[1:]), ((1, 0), (0, 0))), False),
}


@pytest.mark.parametrize("name", KINDS)
def test_kernels_over_what_they_read(name):
    """A product, something of it, and a product again: only the first product may be written over."""
    made, wanted = KINDS[name]
    x, w = st.placeholder((N, N), "float64"), st.placeholder((N, N), "float64")
    f = st.function([x, w], made(x @ w) @ w, engine="llvm")
    program = f.executable.program
    if wanted is not None:
        assert any(lie_over(program.schedule, program.place)) == wanted
    a, b = (0.2 * RNG.standard_normal((N, N)) for _ in range(2))
    expected = st.function([x, w], made(x @ w) @ w, engine="numpy")(a, b)
    np.testing.assert_allclose(f(a, b), expected, rtol=1e-10, atol=1e-12)


def test_what_is_read_again_or_returned_stays():
    x, w = st.placeholder((N, N), "float64"), st.placeholder((N, N), "float64")
    z = x @ w
    a, b = (0.2 * RNG.standard_normal((N, N)) for _ in range(2))
    for outputs in ([st.tanh(z) @ w @ z], [st.tanh(z) @ w, z], [st.tanh(x) @ w], [st.tanh(w) @ w]):
        f = st.function([x, w], outputs, engine="llvm", on_unused_input="ignore")
        program = f.executable.program
        assert not any(lie_over(program.schedule, program.place))
        expected = st.function([x, w], outputs, engine="numpy", on_unused_input="ignore")(a, b)
        for found, one in zip(f(a, b), expected, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_gradient_of_a_recurrence_lies_over_what_forward_saved(steps):
    """Gates of a step, then their cotangents: stacks of the same memory; gradients by differences."""
    n = N // 2
    x, u = st.placeholder((steps, 5, N), "float64"), st.placeholder((n, N), "float64")
    v = st.placeholder((4, N), "float64")

    def step(row, h):
        a, b = halves(row + h @ u)
        return [st.tanh(a) * st.sigmoid(b)]

    h, _ = st.scan(step, [x[:, :, :4] @ v + x], [st.zeros((5, n), "float64")])
    loss = st.sum(h * h)
    outputs = [loss, *st.gradients(loss, [u, v])]
    f = st.function([x, u, v], outputs, engine="llvm")
    program = f.executable.program
    loops = [s.node for s in program.schedule.steps if isinstance(s, LoopStep)]
    stacks = [x for x in program.place if x.op.name == "result" and x.tensor_type.shape[-1] == N]
    assert len(loops) == 2 and len({program.place[x] for x in stacks}) == 1 and len(stacks) == 2
    arrays = [0.4 * RNG.standard_normal(t.shape) for t in (x, u, v)]
    _, *found = f(*arrays)
    for number, gradient in enumerate(found, 1):
        direction = RNG.standard_normal(gradient.shape)
        values = []
        for sign in (-1, 1):
            moved = list(arrays)
            moved[number] = arrays[number] + sign * 1e-6 * direction
            values.append(f(*moved)[0])
        slope = (values[1] - values[0]) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rows", [2, 64, 200])
def test_columns_are_stored_over_an_operand_when_all_of_them_are_folded(rows):
    """Each block of rows computes again what a later fold needs: nothing may be stored by then."""
    x = st.placeholder((rows, 1, 100), "float64")
    total = st.sum(x, 0)
    y = x * total
    scaled = st.tanh(st.sum(y, 0)) * total
    f = st.function([x], [y, st.broadcast_to(scaled, x.shape), y - st.sum(y, (0, 1))])
    a = RNG.standard_normal((rows, 1, 100))
    b = a * a.sum(0)
    for found, truth in zip(
        f(a), [b, np.tanh(b.sum(0)) * a.sum(0), b - b.sum((0, 1))], strict=True
    ):
        np.testing.assert_allclose(found, np.broadcast_to(truth, a.shape), rtol=1e-9, atol=1e-11)
