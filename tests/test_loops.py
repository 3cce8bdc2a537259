"""What passes do to loops: work that needs no state leaves them, what nobody reads is dropped."""

import numpy as np
import pytest

import symtensor as st
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.testing.gradcheck import check_gradients

RNG = np.random.default_rng(5)


def loops(fn: st.Function) -> list[Node]:
    return [node for node in fn.optimized.nodes() if node.op.name == "scan"]


def count(graph: Graph, op: str) -> int:
    return sum(node.op.name == op for node in graph.nodes())


def network(steps=5, rows=3, width=4):
    x = st.placeholder((steps, rows, 2), "float64")
    w, u = (st.placeholder((n, width), "float64") for n in (2, width))
    b = st.placeholder((width,), "float64")
    states, _ = st.scan(
        lambda row, h: st.tanh(row @ w + h @ u + b), [x], [st.zeros((rows, width), "float64")]
    )
    given = [RNG.standard_normal(t.shape) for t in (x, w, u, b)]
    return x, w, u, b, states, given


def unrolled(x, w, u, b):
    h, out = np.zeros((x.shape[1], u.shape[1])), []
    for row in x:
        h = np.tanh(row @ w + h @ u + b)
        out.append(h)
    return np.stack(out)


def wide(width=9):
    x = st.placeholder((6, 3, width), "float64")
    w, u = (st.placeholder((width, width), "float64") for _ in range(2))
    states, _ = st.scan(
        lambda row, h: st.tanh(row @ w + h @ u), [x], [st.zeros((3, width), "float64")]
    )
    return x, w, u, states


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_products_of_rows_go_before_the_loop(engine):
    x, w, u, states = wide()
    fn = st.function([x, w, u], states, engine=engine)
    (loop,) = loops(fn)
    assert count(loop.attrs["body"], "contract") == 1  # the state's
    assert count(fn.optimized, "contract") == 1
    a, b, c = (RNG.standard_normal(t.shape) for t in (x, w, u))
    np.testing.assert_allclose(fn(a, b, c), unrolled(a, b, c, 0), rtol=1e-12)


def test_products_of_few_terms_stay():
    x, w, u, b, states, given = network(width=12)
    fn = st.function([x, w, u, b], states)
    assert count(loops(fn)[0].attrs["body"], "contract") == 2
    np.testing.assert_allclose(fn(*given), unrolled(*given), rtol=1e-12)


def test_gradients_of_weights_add_up_after_the_loop():
    x, w, u, b, states, given = network()
    loss = st.sum(st.square(states))
    grads = st.gradients(loss, [x, w, u, b])
    fn = st.function([x, w, u, b], grads)
    back = loops(fn)[-1]
    assert back.attrs["carries"] == 1  # the cotangent of the state, no sums
    assert count(fn.optimized, "contract") >= 2
    before = st.function([x, w, u, b], grads, passes=[], engine="numpy")(*given)
    for found, wanted in zip(fn(*given), before, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    check_gradients(lambda *xs: loss_of(*xs), given)


def loss_of(x, w, u, b):
    states, _ = st.scan(
        lambda row, h: st.tanh(row @ w + h @ u + b),
        [x],
        [st.zeros((x.shape[1], u.shape[1]), "float64")],
    )
    return st.sum(st.square(states))


def test_products_of_the_state_are_saved_not_repeated():
    x, w, u, states = wide()
    fn = st.function([x, w, u], st.gradients(st.sum(states), [w, u]))
    forward, back = loops(fn)
    products = [count(f.attrs["body"], "contract") for f in (forward, back)]
    assert products == [1, 1]  # h u, and the way back through u


def test_cotangents_that_nobody_wants_are_not_computed():
    x, w, u, states = wide()
    narrow = st.function([x, w, u], st.gradients(st.sum(states), [w]))
    both = st.function([x, w, u], st.gradients(st.sum(states), [x, w, u]))
    sizes = [len(loops(f)[-1].attrs["body"].outputs) for f in (narrow, both)]
    assert sizes[0] <= sizes[1]
    assert len(loops(narrow)[0].attrs["body"].outputs) < 5


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_outputs_state_and_operands_without_readers_are_dropped(engine):
    x, y = st.placeholder((5, 2), "float64"), st.placeholder((5, 2), "float64")
    unused = st.placeholder((2,), "float64")

    def step(a, b, s, t):
        return [s + a, t * b + unused], {}

    (sums, _), _ = st.scan(step, [x, y], [st.zeros((2,), "float64"), st.ones((2,), "float64")])
    fn = st.function([x, y, unused], sums, engine=engine)
    (loop,) = loops(fn)
    assert (loop.attrs["carries"], loop.attrs["sequences"], len(loop.inputs)) == (1, 1, 2)
    given = RNG.standard_normal((5, 2))
    np.testing.assert_allclose(fn(given, given, given[0]), given.cumsum(0), rtol=1e-12)


def test_a_sum_that_the_step_reads_stays_in_the_loop():
    x = st.placeholder((6, 3, 9), "float64")

    def step(row, total):
        return total + row.T @ row * (1 + st.sum(total))

    states, _ = st.scan(step, [x], [st.zeros((9, 9), "float64")])
    fn = st.function([x], states[-1])
    assert loops(fn)[0].attrs["carries"] == 1
    given, total = RNG.standard_normal((6, 3, 9)) / 9, np.zeros((9, 9))
    for row in given:
        total = total + row.T @ row * (1 + total.sum())
    np.testing.assert_allclose(fn(given), total, rtol=1e-9)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_no_step_one_step_and_several(engine, steps):
    x = st.placeholder((None, 3, 9), "float64")
    w = st.placeholder((9, 9), "float64")
    last = st.foldl(lambda total, row: total + row.T @ (row @ w), x, st.zeros((9, 9), "float64"))
    fn = st.function([x, w], [last, *st.gradients(st.sum(last), [x, w])], engine=engine)
    a, b = RNG.standard_normal((steps, 3, 9)), RNG.standard_normal((9, 9))
    ones = np.ones((9, 9))
    wanted = [
        np.einsum("tri,trj,jk->ik", a, a, b),
        np.einsum("trj,jk,ik->tri", a, b, ones) + np.einsum("tri,ik,jk->trj", a, ones, b),
        np.einsum("tri,trj,ik->jk", a, a, ones),
    ]
    for found, truth in zip(fn(a, b), wanted, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-12)


def test_loops_that_may_end_early_keep_their_products():
    x, w = st.placeholder((6, 3, 9), "float64"), st.placeholder((9, 9), "float64")

    def step(row, total):
        new = total + row @ w
        return new, st.until(st.max(new) > 1e9)

    states, _ = st.scan(step, [x], [st.zeros((3, 9), "float64")])
    fn = st.function([x, w], states)
    assert count(loops(fn)[0].attrs["body"], "contract") == 1
    a, b = RNG.standard_normal((6, 3, 9)), RNG.standard_normal((9, 9))
    np.testing.assert_allclose(fn(a, b), (a @ b).cumsum(0), rtol=1e-12)


def test_masks_of_rows_are_computed_for_all_steps():
    x, m = (st.placeholder((6, 3, 9), "float64") for _ in range(2))
    w = st.placeholder((9, 5), "float64")

    def step(row, mask, h):
        part = st.transpose(st.reshape(row * mask, (3, 9)))[:, 1:]
        return h + st.sum(st.transpose(part) @ w, 0)

    states, _ = st.scan(step, [x, m], [st.zeros((5,), "float64")])
    fn = st.function([x, m, w], states)
    assert count(loops(fn)[0].attrs["body"], "contract") == 0
    a, b, c = (RNG.standard_normal(t.shape) for t in (x, m, w))
    wanted = ((a * b)[:, 1:] @ c).sum(1).cumsum(0)
    np.testing.assert_allclose(fn(a, b, c), wanted, rtol=1e-12)


def test_cotangents_of_slices_are_joined():
    x = st.placeholder((4, 12), "float64")
    loss = st.sum(x[:, 3:6] * 2) + st.sum(st.exp(x[:, 6:])) + st.sum(x[:, 1:3])
    fn = st.function([x], st.gradients(loss, x))
    assert count(fn.optimized, "place") == 0
    assert count(fn.optimized, "add") == 0
    given = RNG.standard_normal((4, 12))
    wanted = np.concatenate(
        [np.zeros((4, 1)), np.ones((4, 2)), np.full((4, 3), 2.0), np.exp(given[:, 6:])], axis=1
    )
    np.testing.assert_allclose(fn(given), wanted, rtol=1e-13)


def test_cotangents_of_overlapping_slices_are_added():
    x = st.placeholder((7,), "float64")
    loss = st.sum(x[:5] * 2) + st.sum(x[3:]) + st.sum(x[::2])
    given = RNG.standard_normal(7)
    found = st.function([x], st.gradients(loss, x), on_unused_input="ignore")(given)
    np.testing.assert_array_equal(found, [3, 2, 3, 3, 4, 1, 2])


def running(z):
    """Return the states of a loop over rows."""
    return st.scan(lambda row, h: st.tanh(row + h), [z], [st.zeros((3, 9), "float64")])[0]


def test_gradients_by_what_is_added_to_the_rows_of_a_product():
    arrays = [RNG.standard_normal(shape) for shape in ((6, 3, 9), (9, 9), (9,))]
    check_gradients(lambda x, w, b: st.sum(running(x @ w + b)), arrays, order=1, engine="llvm")


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_layers_of_recurrences_run_forward_once(engine, depth):
    """The gradient's wider scan of a layer reads the wider one of the layer below: both are shared."""
    x = st.placeholder((5, 3, 4), "float64")
    weights = [st.placeholder((4, 4), "float64") for _ in range(depth)]

    def loss(x, *weights):
        for u in weights:
            step = lambda row, h, u=u: [st.tanh(row + h @ u)]  # noqa: E731
            x, _ = st.scan(step, [x], [st.zeros((3, 4), "float64")])
        return st.sum(st.square(x))

    value = loss(x, *weights)
    f = st.function([x, *weights], [value, *st.gradients(value, weights)], engine=engine)
    assert len(loops(f)) == 2 * depth
    arrays = [0.5 * RNG.standard_normal(t.shape) for t in (x, *weights)]
    y = arrays[0]
    for u in arrays[1:]:
        h, rows = np.zeros((3, 4)), []
        for row in y:
            h = np.tanh(row + h @ u)
            rows.append(h)
        y = np.stack(rows)
    np.testing.assert_allclose(f(*arrays)[0], np.sum(y * y), rtol=1e-12)
    check_gradients(loss, arrays, order=1, engine=engine)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_what_is_known_of_a_sum_is_added_before_the_loop(engine):
    """Offsets and second products join the first one, wherever the sum had them; sums of sums too."""
    x, y = st.placeholder((5, 3, 9), "float64"), st.placeholder((5, 3, 9), "float64")
    w, v, u = (st.placeholder((9, 9), "float64") for _ in range(3))
    b = st.placeholder((9,), "float64")

    def step(row, other, h):
        first = (row @ w + h @ u) + b
        second = b + (st.tanh(first) @ u + other @ v + row @ w)
        return [st.tanh(second)]

    states, _ = st.scan(step, [x, y], [st.zeros((3, 9), "float64")])
    inputs = [x, y, w, v, u, b]
    f = st.function(inputs, states, engine=engine)
    (loop,) = loops(f)
    assert loop.attrs["sequences"] == 2  # the two sums
    assert count(loop.attrs["body"], "contract") == 2
    assert count(loop.attrs["body"], "add") == 2
    arrays = [0.3 * RNG.standard_normal(t.shape) for t in inputs]
    xs, ys, w, v, u, b = arrays
    h, wanted = np.zeros((3, 9)), []
    for row, other in zip(xs, ys, strict=True):
        first = row @ w + h @ u + b
        h = np.tanh(np.tanh(first) @ u + other @ v + row @ w + b)
        wanted.append(h)
    np.testing.assert_allclose(f(*arrays), wanted, rtol=1e-12, atol=1e-13)
