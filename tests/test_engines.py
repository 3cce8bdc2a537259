"""Finding engines: by name, by object, by entry point; and what happens when one is broken."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.engines import CAPABILITIES, Engine, base, bind_sizes, get_engine
from symtensor.engines.numpy import NumpyEngine


class Counting(NumpyEngine):
    """A reference engine that counts its compiles."""

    name = "counting"

    def __init__(self) -> None:
        self.compiles = 0

    def compile(self, graph: st.Graph) -> Any:
        self.compiles += 1
        return super().compile(graph)


class NoEngine:
    """What a broken plugin may offer."""


@pytest.fixture(autouse=True)
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(base, "_engines", dict(base._engines))
    yield
    base._entry_points.cache_clear()
    base._warn_once.cache_clear()


def offer(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Pretend that installed packages offer engines."""
    points = [importlib.metadata.EntryPoint(n, v, base.GROUP) for n, v in values.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    base._entry_points.cache_clear()


def test_built_in_engines_are_found_and_made_once() -> None:
    assert {"llvm", "numpy"} <= set(st.available_engines())
    for name in ("numpy", "llvm"):
        engine = get_engine(name)
        assert isinstance(engine, Engine) and engine.name == name
        assert get_engine(name) is engine and get_engine(engine) is engine
        assert engine.capabilities() <= set(CAPABILITIES)


def test_unknown_names_suggest_a_near_one() -> None:
    with pytest.raises(st.EngineError, match="did you mean numpy"):
        get_engine("nunpy")
    with pytest.raises(st.EngineError, match=r"engines: .*llvm, numpy"):
        get_engine("quantum")
    with pytest.raises(st.EngineError, match="expected an engine"):
        get_engine(3)  # type: ignore[arg-type]


def test_a_registered_engine_runs_functions() -> None:
    counting = st.register_engine(Counting())
    assert "counting" in st.available_engines()
    x = st.placeholder((None,))
    with st.config(engine="counting"):
        f = st.function([x], x * 2)
        np.testing.assert_array_equal(f(np.ones(2, "f4")), [2, 2])
        np.testing.assert_array_equal(f(np.ones(3, "f4")), [2, 2, 2])
    assert counting.compiles == 1 and f.engine is counting  # type: ignore[attr-defined]
    newer = Counting()
    st.register_engine(newer)
    assert get_engine("counting") is newer


def test_an_entry_point_is_loaded_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, extra=f"{__name__}:Counting", numpy="nowhere:Nothing")
    assert {"extra", "llvm", "numpy"} <= set(st.available_engines())
    assert isinstance(get_engine("extra"), Counting)
    assert get_engine("extra") is get_engine("extra")
    assert isinstance(get_engine("numpy"), NumpyEngine)  # ours can't be taken over this way


@pytest.mark.parametrize("value", ["no_such_module:Engine", f"{__name__}:Absent",
                                   f"{__name__}:NoEngine"])  # fmt: skip
def test_a_broken_plugin_warns_once(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, broken=value)
    assert "broken" in st.available_engines()
    with (
        pytest.warns(st.SymtensorWarning, match="broken") as caught,
        pytest.raises(st.EngineError, match="does not load"),
    ):
        get_engine("broken")
    assert len(caught) == 1
    with pytest.raises(st.EngineError, match="does not load"):
        get_engine("broken")  # and no second warning: warnings are errors here
    assert get_engine("numpy").name == "numpy"


def test_a_built_in_engine_that_can_not_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._BUILTIN, "exotic", "symtensor.engines.exotic:Engine")
    with pytest.raises(st.EngineError, match="'exotic' does not load"):
        get_engine("exotic")


def test_an_engine_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)  # as if it were not there
    for name in [name for name in sys.modules if name.startswith("symtensor.engines.jax")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(base._engines, "jax", raising=False)
    with pytest.raises(st.EngineError, match=r"pip install 'symtensor\[jax\]'"):
        get_engine("jax")
    with pytest.raises(ImportError, match=r"pip install 'symtensor\[jax\]'"):
        importlib.import_module("symtensor.engines.jax")


def test_sizes_of_arguments() -> None:
    x, y = st.placeholder(("n", 3), name="x"), st.placeholder((None,))
    nodes = [x.node, y.node]
    sizes = bind_sizes(nodes, [np.zeros((5, 3)), np.zeros(2)])
    assert sorted(sizes.values()) == [2, 5]
    with pytest.raises(st.ShapeError, match="x: expected"):
        bind_sizes(nodes, [np.zeros((5, 4)), np.zeros(2)])
    with pytest.raises(st.ShapeError, match="input 1: expected 1 axes"):
        bind_sizes(nodes, [np.zeros((5, 3)), np.zeros((2, 2))])


def test_the_reference_engine_runs_a_graph_as_it_is() -> None:
    x = st.placeholder((2,), "float64")
    v = st.variable(np.array([1.0, 2.0]))
    graph = st.Graph((x.node,), ((x * v).node,), ((v.node, (v + x).node),))
    executable = get_engine("numpy").compile(graph)
    out, new = executable([np.array([3.0, 4.0])], [np.array([10.0, 20.0])])
    np.testing.assert_array_equal(out, [30, 80])
    np.testing.assert_array_equal(new, [13, 24])
    assert executable.explain() == "interpreted: 4 nodes, one NumPy call each"  # type: ignore[attr-defined]
