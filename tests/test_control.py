"""Conditionals, loops, random streams inside loops: behaviour on both engines."""

import numpy as np
import pytest

import symtensor as st
from symtensor.passes import sizes

ENGINES = ["numpy", "llvm"]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_branch_taken_runs(engine, capsys):
    x = st.placeholder((), "float64")
    loud = st.print_(x * 2, "taken ")
    f = st.function([x], st.cond(x > 0, loud, x), engine=engine)
    assert f(-1.0) == -1 and capsys.readouterr().err == ""
    assert f(2.0) == 4 and capsys.readouterr().err == "taken 4.\n"


WRONG_FOR_FIVE = {
    "negative size": lambda v: st.sum(st.ones((v.shape[0] - 7,)) * v[0]),
    "negative width": lambda v: st.sum(st.pad(v, v.shape[0] - 7)),
    "sizes that differ": lambda v: st.sum(st.specify_shape(v, (7,))),
    "position out of range": lambda v: v[6],
    "negative steps": lambda v: st.sum(st.scan(lambda h: h, None, [v], n_steps=v.shape[0] - 7)[0]),
    "two branches deep": lambda v: st.cond(v[1] > 0, lambda: v[6], lambda: v[0]),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", WRONG_FOR_FIVE)
def test_sizes_are_wrong_only_in_the_branch_taken(case, engine):
    v = st.placeholder((None,), name="v")
    f = st.function(
        [v], st.cond(v[0] > 0, lambda: WRONG_FOR_FIVE[case](v), lambda: v[4]), engine=engine
    )
    assert f(np.arange(-3.0, 2.0, dtype="f")) == 1
    with pytest.raises((st.ShapeError, st.IndexOutOfRange, st.AttributeValueError)) as caught:
        f(np.arange(1.0, 6.0, dtype="f"))
    assert caught.value.place.file == __file__
    assert np.isfinite(f(np.arange(1.0, 8.0, dtype="f")))


@pytest.mark.parametrize("engine", ENGINES)
def test_nested_results_and_closures(engine):
    x, y = st.placeholder((3,), "float64"), st.placeholder((), "float64")
    outside = st.exp(x)

    def then(v):
        return {"a": [v + outside, v], "b": st.cond(y > 5, lambda: v * 2, lambda: outside)}

    f = st.function([x, y], st.cond(y > 0, then, lambda v: {"a": [v, v], "b": v}, x), engine=engine)
    given = np.arange(3.0)
    np.testing.assert_allclose(f(given, 1.0)["a"][0], given + np.exp(given))
    np.testing.assert_allclose(f(given, 9.0)["b"], given * 2)
    np.testing.assert_allclose(f(given, -1.0)["b"], given)


def test_known_predicates_are_inlined():
    x = st.placeholder((3,), "float64")
    f = st.function([x], st.cond(True, lambda: x * 2, lambda: x), engine="numpy")
    assert not any(n.op.name == "cond" for n in f.optimized.nodes())
    assert f([1.0, 2, 3]).tolist() == [2, 4, 6]


def test_bodies_are_closed_and_equal_traces_are_one_node():
    x, w = st.placeholder((None, 3), "float64"), st.placeholder((3,), "float64")

    def build():
        return st.scan(lambda row, s: st.tanh(row * st.exp(w) + s), x, st.zeros(3, "float64"))[0]

    first, second = build(), build()
    assert first.node is second.node
    scan = first.node.inputs[0]
    body = scan.attrs["body"]
    assert all(n.op.name == "parameter" for n in body.inputs)
    assert not any(n.op.name == "exp" for n in body.nodes()), "exp(w) does not change: hoisted"


@pytest.mark.parametrize("engine", ENGINES)
def test_scan_with_updates_and_symbolic_steps(engine):
    total = st.variable(0.0, name="total")
    x = st.placeholder((None,), "float64")

    def step(v):
        return v * total, {total: total + v}

    outputs, updates = st.scan(step, x)
    f = st.function([x], outputs, updates=updates, engine=engine)
    np.testing.assert_allclose(f([1.0, 2, 3]), [0, 2, 9])
    assert total.get_value() == 6
    np.testing.assert_allclose(f([1.0]), [6])
    assert f(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("engine", ENGINES)
def test_draws_in_a_loop_are_new_each_step_and_each_call(engine):
    stream = st.RandomStream(5)
    draws, _ = st.scan(lambda: stream.uniform((2,), dtype="float64"), n_steps=4)
    f = st.function([], draws, engine=engine)
    first, second = f(), f()
    assert len(np.unique(np.concatenate([first, second]))) == 16
    again = st.RandomStream(5)
    draws, _ = st.scan(lambda: again.uniform((2,), dtype="float64"), n_steps=4)
    np.testing.assert_array_equal(st.function([], draws, engine="numpy")(), first)


@pytest.mark.parametrize("engine", ENGINES)
def test_until_has_a_length_known_only_when_it_ran(engine):
    x = st.placeholder((), "float64")
    powers, _ = st.scan(lambda s: (s * 2, st.until(s * 2 > 100)), None, x, n_steps=50)
    f = st.function([x], [powers, st.sum(powers * 0 + 1), powers[::-1] + 1], engine=engine)
    for start in (1.0, 60.0, 1e-9):
        found, count, back = f(start)
        assert len(found) == count == len(back) and (found[:-1] <= 100).all()
        np.testing.assert_allclose(back, found[::-1] + 1)


def test_truncated_gradients():
    x = st.placeholder((4,), "float64")
    states, _ = st.scan(lambda v, s: s + v, x, 0.0, truncate_gradient=2)
    found = st.gradients(states[-1], x).eval({x: np.ones(4)}, engine="numpy")
    assert found.tolist() == [0, 0, 1, 1]


def test_gradient_of_a_loop_runs_it_once_forward():
    x = st.placeholder((5, 3), "float64")
    states, _ = st.scan(lambda v, s: st.tanh(v + s), x, st.zeros(3, "float64"))
    f = st.function([x], [states, st.gradients(st.sum(states), x)], engine="numpy")
    assert sum(n.op.name == "scan" for n in f.optimized.nodes()) == 2


def test_friendly_errors():
    x = st.placeholder((4,), "float64")
    with pytest.raises(st.ShapeError, match="initial value"):
        st.scan(lambda v, s: st.stack([v, v]), x, st.constant(0.0))
    with pytest.raises(ValueError, match="n_steps"):
        st.scan(lambda: 1.0)
    with pytest.raises(ValueError, match="exceeds"):
        st.scan(lambda v: v, x, n_steps=5)
    with pytest.raises(ValueError, match=r"n_steps.* at least 0, found -1"):
        st.scan(lambda v: v, x, n_steps=-1)
    with pytest.raises(st.GradientError, match="max_steps"):
        st.gradients(st.while_loop(lambda s: s < 3, lambda s: s + x[0], x[1]), x)
    with pytest.raises(st.DTypeError, match="state"):
        st.while_loop(lambda s: s < 3, lambda s: st.cast(s, "int32"), x[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_branch_that_holds_the_one_before_is_read_once(engine):
    """40 branches, each inside the next: 2**40 paths lead to the innermost."""
    p, x = st.placeholder((), "bool"), st.placeholder((2,), "float64")
    y = x
    for _ in range(40):
        y = st.cond(p, y + 1, y * 2)
    f = st.function([p, x], y, engine=engine)
    assert f(True, [0, 1]).tolist() == [40, 41]
    assert f(False, [0, 1]).tolist() == [0, 2.0**40]


def test_sizes_that_data_decides_inside_branches_are_looked_for_once_per_branch(monkeypatch):
    """30 branches, each inside the next, in the innermost a loop that ends early: 2**30 paths to it."""
    visits = []
    walk = sizes.walk_sizes

    def counting(graph, known=()):
        visits.append(graph)
        return walk(graph, known)

    monkeypatch.setattr(sizes, "walk_sizes", counting)
    p, x = st.placeholder((), "bool"), st.placeholder((None,), "float64")

    def sum_until(limit):
        sums, _ = st.scan(
            lambda row, h: (h + row, st.until(h + row > limit)), [x], [st.constant(0.0)]
        )
        return st.sum(sums)

    y = st.cond(p, lambda: sum_until(2.0), lambda: sum_until(3.0))
    for _ in range(30):
        y = st.cond(p, y + 1, y * 2)
    assert sizes.has_late_sizes(graph_of(p, x, y))
    assert sizes.sizes_are_decided(graph_of(p, x, y))
    assert len(visits) < 300


def graph_of(*nodes):
    *inputs, output = (tensor.node for tensor in nodes)
    return st.Graph(tuple(inputs), (output,))


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_inside_bodies_name_the_users_line(engine):
    x, i = st.placeholder((3,), "float64"), st.placeholder((None,), "int64")
    f = st.function([x, i], st.map_(lambda k: st.take(x, k), i), engine=engine)
    assert f(np.arange(3.0), [2, 0]).tolist() == [2, 0]
    with pytest.raises(IndexError, match=r"out of (bounds|range)") as caught:
        f(np.arange(3.0), [0, 7])
    assert __file__ in str(caught.value)
