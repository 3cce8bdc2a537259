"""Nodes know whether they come from the formula or from its derivative; identity does not."""

import pickle

import numpy as np

import symtensor as st


def origins(graph):
    return {node.op.name: node.loc.origin for node in graph.nodes() if node.loc is not None}


def test_gradients_are_marked_and_point_at_the_line_they_differentiate():
    x = st.placeholder((3,), "float64", name="x")
    y = st.sum(st.tanh(x))
    line = y.node.loc.line
    (g,) = st.gradients(y, [x])
    f = st.function([x], [y, g])
    assert origins(f.graph)["tanh"] == "" and origins(f.graph)["sum"] == ""
    marked = [n for n in f.graph.nodes() if n.loc is not None and n.loc.origin == "gradient"]
    assert {"multiply", "subtract"} <= {n.op.name for n in marked}
    assert all(n.loc.line == line for n in marked if n.op.name in ("multiply", "subtract"))


def test_rewrites_hand_the_mark_on():
    x = st.placeholder((3,), "float64", name="x")
    (g,) = st.gradients(st.sum(st.log(1 + st.exp(x))), [x])
    f = st.function([x], g)
    new = [n for n in f.optimized.nodes() if n not in set(f.graph.nodes()) and n.loc is not None]
    assert new and {n.loc.origin for n in new if n.inputs} == {"gradient"}


def test_tangents_are_marked_too():
    x, t = st.placeholder((3,), "float64"), st.placeholder((3,), "float64")
    found = st.jvp(st.sin(x), [x], [t])
    assert found.node.loc.origin == "tangent"


def test_a_derivative_that_was_there_before_stays_what_it_was():
    x = st.placeholder((3,), "float64")
    mine = st.cos(x)
    st.gradients(st.sum(st.sin(x)), [x])
    assert mine.node.loc.origin == ""


def test_the_mark_is_kept_by_pickling():
    x = st.placeholder((3,), "float64", name="x")
    (g,) = st.gradients(st.sum(st.tanh(x)), [x])
    f = pickle.loads(pickle.dumps(st.function([x], g)))
    assert "gradient" in origins(f.graph).values()
    np.testing.assert_allclose(f(np.zeros(3)), np.ones(3))
