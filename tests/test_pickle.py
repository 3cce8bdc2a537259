"""Pickling and deep copies: definitions, sharing, depth, custom ops, other processes."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.ir.graph import Graph
from symtensor.ir.printer import print_graph
from symtensor.ops.registry import OPS
from symtensor.testing import checks, conformance


@pytest.fixture(autouse=True)
def reference_engine() -> Any:
    with st.config(engine="numpy"):
        yield


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_a_function_keeps_its_definition() -> None:
    x, y = st.placeholder((None, 3), "float64", name="x"), st.placeholder((), "float64", name="y")
    v = st.variable(np.ones(3), name="v")
    f = st.function(
        [x, st.Input(y, default=2.0, name="scale")],
        {"out": [st.dot(x, v) * y], "none": None},
        updates=[(v, v * y)],
        name="model",
        engine="numpy",
        passes="-stabilize",
    )
    f(np.ones((1, 3)))
    g = again(f)
    assert g.name == "model" and g.engine.name == "numpy" and len(g.stages) == len(f.stages)
    assert print_graph(g.graph) == print_graph(f.graph)
    out = g(x=np.ones((2, 3)), scale=3.0)
    np.testing.assert_array_equal(out["out"][0], [18, 18])
    assert out["none"] is None
    np.testing.assert_array_equal(v.get_value(), [2, 2, 2])  # the loaded one has its own
    with pytest.raises(st.ShapeError, match="x: expected"):
        g(np.ones((2, 4)))


def test_defaults_and_states_travel_as_they_are_now() -> None:
    x, y = st.placeholder((), "float64", name="x"), st.placeholder((), "float64", name="y")
    f = st.function([st.Input(x, default=0.0, update=x + 1), st.Input(y, default=1.0)], x * y)
    f["y"] = 10.0
    assert [float(f()) for _ in range(3)] == [0, 10, 20]
    g = again(f)
    assert [float(g()), float(g()), float(f())] == [30, 40, 30]


def test_what_is_pickled_together_shares_and_apart_does_not() -> None:
    v = st.variable(np.array(0.0))
    tick = st.function([], updates=[(v, v + 1)])
    read = st.function([], v)
    tick2, read2, v2 = again([tick, read, v])
    tick2()
    assert read2() == 1 and v2.get_value() == 1 and read() == 0
    apart = again(read)
    tick2()
    assert apart() == 0 and read2() == 2


def test_deepcopy_follows_the_same_rules() -> None:
    v = st.variable(np.array(0.0))
    tick = st.function([], updates=[(v, v + 1)])
    model = copy.deepcopy({"tick": tick, "v": v})
    model["tick"]()
    assert model["v"].get_value() == 1 and v.get_value() == 0


def test_tensors_pickled_together_stay_one_graph() -> None:
    x = st.placeholder(("rows", None), "float64", name="x")
    y = st.exp(x) + 1
    z = st.sum(y)
    z.history = "kept"  # type: ignore[attr-defined]
    x2, y2, z2 = again((x, y, z))
    assert z2.history == "kept" and x2.name == "x"
    assert str(x2.shape[0]) == "rows" and x2.shape[0] is x.shape[0]  # a name is one size
    assert x2.shape[1] is not x.shape[1] and x2.node is not x.node
    assert z2.node.inputs[0] is y2.node and y2.shape == x2.shape
    assert st.function([x2], [y2, z2])(np.zeros((1, 2)))[1] == 4


def test_compound_sizes_and_bodies() -> None:
    x = st.placeholder((None,), "float64")
    windows = st.concatenate([x[::2], x[:3], st.zeros((x.shape[0] // 2,), "float64")])
    total = st.cond(st.sum(x) > 0, lambda: windows, lambda: -windows)
    f = st.function([x], [total, windows.shape[0]])
    g = again(f)
    for n in (0, 1, 2, 5, 8):
        a = np.linspace(-1, 2, n)
        for value, expected in zip(g(a), f(a), strict=True):
            np.testing.assert_array_equal(value, expected)


def test_default_updates_travel_with_their_variable() -> None:
    state = st.variable(0)
    state.default_update = state + 1
    draw, state2 = again((state * 10, state))
    f = st.function([], draw)
    assert [int(f()), int(f())] == [0, 10]
    assert state2.get_value() == 2 and state.get_value() == 0


def test_a_graph_of_any_depth() -> None:
    x = st.placeholder((), "float64")
    y = x
    for _ in range(20_000):
        y = y + 1.0
    f = st.function([x], y, passes=[])
    assert again(f)(0.0) == 20_000
    assert copy.deepcopy(f)(1.0) == 20_001


@pytest.mark.parametrize("op", conformance.samples_by_op())
def test_every_op_survives(op: str) -> None:
    for sample in conformance.samples_by_op()[op][:3]:
        if sample.truth is not None:
            graph = checks.sample_graph(sample, symbolic=sample.symbolic != ())
            loaded = again(graph)
            assert isinstance(loaded, Graph)
            texts = [re.sub(r"uid = \d+", "uid", print_graph(g)) for g in (graph, loaded)]
            assert texts[0] == texts[1]


def test_custom_ops_are_found_by_name() -> None:
    twice = st.custom_op("pickled_twice", lambda x: 2 * x)
    try:
        x = st.placeholder((), "float64")
        data = pickle.dumps(st.function([x], twice(x)))
        assert pickle.loads(data)(3.0) == 6
    finally:
        OPS.pop("pickled_twice")
    with pytest.raises(st.ParseError, match=r"pickled_twice(?s:.*)import the module"):
        pickle.loads(data)


def test_an_engine_object_travels_by_name() -> None:
    x = st.placeholder((), "float64")
    f = again(st.function([x], x, engine=st.get_engine("numpy")))
    assert f.engine is st.get_engine("numpy")


def test_another_process_can_load_it() -> None:
    x = st.placeholder((None,), "float32", name="x")
    w = st.variable(np.arange(3, dtype="f4"))
    f = st.function([x], st.dot(x, w), updates=[(w, w + 1)])
    program = (
        "import pickle, sys\n"
        "import numpy as np\n"
        "f = pickle.load(sys.stdin.buffer)\n"
        "a = np.ones(3, 'f4')\n"
        "print(f(a), f(x=a))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(f), capture_output=True, check=False
    )
    assert done.stdout.split() == [b"3.0", b"6.0"], done.stderr.decode()


def test_shards_are_printed_read_back_and_pickled() -> None:
    x = st.placeholder((None, 3), name="x", shard=("batch", None))
    w = st.variable(np.ones((3, 2), "f4"), name="w", shard=[None, "model"])
    f = st.function([x], x @ w)
    text = print_graph(f.graph)
    assert '%x = placeholder {shard = ["batch", none]} : f32[d0, 3]' in text
    assert '%w = variable {shard = [none, "model"]} : f32[3, 2]' in text
    assert print_graph(st.parse_graph(text)) == text
    assert print_graph(again(f).graph) == print_graph(copy.deepcopy(f).graph) == text
    assert f(np.ones((2, 3), "f4"))[0, 0] == 3


def test_what_is_no_shard() -> None:
    for shard in ("batch", ("batch",), ("batch", "batch"), (0, None), 3, {"batch": 0}):
        with pytest.raises(st.AttributeValueError, match="mesh axis or None for each of 2 axes"):
            st.placeholder((2, 3), shard=shard)  # type: ignore[arg-type]
        with pytest.raises(st.AttributeValueError, match="mesh axis or None for each of 2 axes"):
            st.variable(np.ones((2, 3)), shard=shard)  # type: ignore[arg-type]
    text = 'graph { %x = placeholder {shard = ["batch"]} : f32[2, 3] inputs %x outputs %x }'
    with pytest.raises(st.ParseError, match="mesh axis or None"):
        st.parse_graph(text)
