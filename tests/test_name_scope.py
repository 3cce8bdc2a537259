"""Name scopes: they travel with the user's line and change no graph."""

import copy
import pickle
import threading

import numpy as np

import symtensor as st


def scopes(graph):
    return {n.op.name: n.loc.scope for n in graph.nodes()}


def test_scopes_nest_and_end():
    x = st.placeholder((3,))
    with st.name_scope("model") as outer, st.name_scope("dense/") as inner:
        y = st.exp(x)
    z = st.tanh(y)
    assert (outer, inner) == ("model", "model/dense")
    assert [t.loc.scope for t in (x, y, z)] == ["", "model/dense", ""]


def test_an_exception_ends_a_scope():
    try:
        with st.name_scope("broken"):
            raise KeyError
    except KeyError:
        pass
    assert st.placeholder((2,)).loc.scope == ""


def test_scopes_are_of_a_thread():
    seen = []
    with st.name_scope("here"):
        other = threading.Thread(target=lambda: seen.append(st.placeholder((2,)).loc.scope))
        other.start()
        other.join()
    assert seen == [""]


def test_scopes_are_outside_identity():
    x = st.placeholder((3,))
    with st.name_scope("a"):
        first = st.sin(x)
    with st.name_scope("b"):
        second = st.sin(x)
    assert first.node is second.node and first.loc.scope == "a"


def test_gradients_and_passes_stay_in_scope():
    x = st.placeholder((3,), dtype="float64")
    with st.name_scope("loss"):
        loss = st.sum(st.log(st.exp(x) + 1.0))
    f = st.function([x], [loss, st.gradients(loss, x)])
    # a node of constants alone may be one that others built first: equal nodes are one
    inner = [n for n in f.optimized.nodes() if any(i.op.name != "constant" for i in n.inputs)]
    assert inner and {n.loc.scope for n in inner} == {"loss"}
    assert np.allclose(f(np.zeros(3))[1], 0.5)


def test_scopes_are_pickled_and_copied():
    x = st.placeholder((3,))
    with st.name_scope("part"):
        y = st.exp(x) * 2
    f = st.function([x], y)
    for g in (pickle.loads(pickle.dumps(f)), copy.copy(f)):
        assert scopes(g.graph)["exp"] == "part"


def test_the_scopes_of_keras_are_scopes():
    from symtensor import backend as K

    with K.name_scope("layer"), K.name_scope("inner"):
        y = K.exp(K.placeholder((2, 2)))
    assert y.loc.scope == "layer/inner"
