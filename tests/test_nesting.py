"""Bodies within bodies, deeper than Python's stack: everything that goes through them comes back."""

import copy
import pickle
import threading

import numpy as np
import pytest

import symtensor as st
from symtensor.ir import location
from symtensor.ir.verify import verify_graph
from symtensor.nesting import LEVELS, nestable
from symtensor.ops.cost import graph_cost

DEPTH = 300


def switches(depth):
    """Return a vector, and it put through switches, each within a branch of the next."""
    x = st.placeholder((3,), "float64")
    y = x
    for k in range(depth):
        y = st.cond(st.sum(x) > k, y * 1.01, x * k)
    return x, y


def wanted(value, depth=DEPTH):
    """Return the values and the gradient of their sum."""
    y, slope = value, 1.0
    for k in range(depth):
        above = value.sum() > k
        y, slope = (y * 1.01, slope * 1.01) if above else (value * k, float(k))
    return y, np.full(3, slope)


@pytest.mark.parametrize("total", [-1.0, 150.5, 1e4])
def test_switches_are_computed_at_any_depth(total):
    x, y = switches(DEPTH)
    value = np.full(3, total / 3)
    f = st.function([x], [y, *st.gradients(st.sum(y), [x])], engine="numpy")
    for found, right in zip(f(value), wanted(value), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


def test_switches_are_compiled_at_any_depth():
    x, y = switches(110)
    value = np.full(3, 1e3)
    f = st.function([x], y, engine="llvm")
    for _ in range(2):
        np.testing.assert_allclose(f(value), wanted(value, 110)[0], rtol=1e-12)


def test_deep_graphs_are_shown_checked_and_pickled(capsys):
    x, y = switches(DEPTH)
    f = st.function([x], y, engine="llvm")
    verify_graph(f.graph)
    st.debugprint(f)
    assert "cond" in capsys.readouterr().out and "cond" in f.explain()
    assert len(st.print_graph(f.graph).splitlines()) > 3 * DEPTH
    value = np.full(3, 1e3)
    for again in (pickle.loads(pickle.dumps(f.graph)), copy.deepcopy(f.graph)):
        assert len(again.nodes()) == len(f.graph.nodes())
        again = st.function([st.Tensor(x) for x in again.inputs], st.Tensor(again.outputs[0]),
                            engine="numpy")  # fmt: skip
        np.testing.assert_allclose(again(value), wanted(value)[0], rtol=1e-12)


def test_costs_of_shared_bodies_are_asked_once():
    x = st.placeholder((3,))
    y = x
    for _ in range(60):  # both branches hold all switches before them
        y = st.cond(st.sum(x) > 0, y * 1.5, y + 1)
    assert graph_cost(st.Graph((x.node,), (y.node,))).flops == 60 * (3 + 3)


def test_an_error_within_comes_out():
    x = st.placeholder((None,), "float64")
    y = st.take(x, 5, 0)
    for k in range(DEPTH):
        y = st.cond(st.sum(x) > k, y * 1.01, st.sum(x))
    f = st.function([x], y, engine="numpy")
    with pytest.raises(st.IndexOutOfRange):
        f(np.full(3, 1e3))


def test_calls_go_on_in_new_threads_with_what_holds_around_them():
    threads, places = set(), set()

    @nestable
    def down(levels):
        threads.add(threading.get_ident())
        places.add(location.current())
        return down(levels - 1) + 1 if levels else 0

    here = st.placeholder(()).loc
    with location.at(here):
        assert down(5 * LEVELS) == 5 * LEVELS
    assert len(threads) == 6 and places == {here}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_end_all_threads(error):
    @nestable
    def down(levels):
        if not levels:
            raise error("below")
        return down(levels - 1)

    before = threading.active_count()
    with pytest.raises(error, match="below"):
        down(3 * LEVELS)
    assert threading.active_count() <= before + 1
