"""Every engine we know goes through the public conformance kit, a third-party one included."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.engines import CAPABILITIES, Executable
from symtensor.engines.numpy import NumpyEngine, NumpyExecutable
from symtensor.testing import conformance

EXAMPLE = Path(__file__).parent.parent / "examples" / "toy_engine.py"


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_engine", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ENGINES: dict[str, Any] = {
    "numpy": st.get_engine("numpy"),
    "llvm": st.get_engine("llvm"),
    "toy": load_example().ToyEngine(),
}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("case", conformance.cases(), ids=str)
def test_conforms(case: conformance.Case, engine: Any) -> None:
    if not case.applies_to(engine):
        pytest.skip("the engine does not claim what the case needs")
    case.run(engine)


def test_toy_engine_is_short_and_says_what_it_runs() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 150
    x = st.placeholder((None,), name="x")
    f = st.function([x], st.sum(st.tanh(x) * 2.0), engine=ENGINES["toy"])
    assert "say.call('tanh', a0)" in f.explain()
    assert "del a0" in f.explain()


# --- the kit itself: each fault must be found ----------------------------------------------------


class FaultyExecutable(NumpyExecutable):
    def __init__(self, graph: Any, fault: str) -> None:
        super().__init__(graph)
        self.fault = fault

    def __call__(self, inputs: Any, variables: Any) -> list[Any]:
        if self.fault == "writes an input" and inputs and inputs[0].flags.writeable:
            inputs[0][...] = 0
        if self.fault == "reads raw memory":
            inputs = [np.ascontiguousarray(x[::-1]) if x.ndim and x.strides[0] < 0 else x
                      for x in inputs]  # fmt: skip
        try:
            values = super().__call__(inputs, variables)
        except IndexError:
            if self.fault != "clamps indices":
                raise
            return [np.zeros([d if isinstance(d, int) else 1 for d in r.tensor_type.shape])
                    for r in self.graph.roots]  # fmt: skip
        if self.fault == "returns the state" and variables:
            values[-1] = variables[-1]
        if self.fault == "returns Fortran order":
            values = [np.asfortranarray(v) for v in values]
        if self.fault == "loses precision":
            values = [v.astype("f4").astype(v.dtype) if v.dtype == "f8" else v for v in values]
        if self.fault == "drops signs of zeros":
            values = [v + v.dtype.type(0) if v.dtype.kind == "f" else v for v in values]
        if self.fault == "swaps results":
            values = values[::-1]
        return values


class FaultyEngine(NumpyEngine):
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def compile(self, graph: Any) -> Any:
        return FaultyExecutable(graph, self.fault)


FAULTS = {
    "writes an input": "contract/inputs are never written",
    "reads raw memory": "contract/memory layouts",
    "clamps indices": "contract/indices are checked",
    "returns the state": "contract/updates are simultaneous",
    "returns Fortran order": "contract/results are plain arrays",
    "loses precision": "values/exp",
    "drops signs of zeros": "values/tanh",
    "swaps results": "contract/results in order",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_kit_finds_fault(fault: str) -> None:
    case = {c.name: c for c in conformance.cases()}[FAULTS[fault]]
    case.run(NumpyEngine())
    with pytest.raises((AssertionError, ValueError)):
        case.run(FaultyEngine(fault))


def test_report_lists_what_failed_and_what_does_not_apply() -> None:
    class Modest(NumpyEngine):
        name = "modest"

        def capabilities(self) -> frozenset[str]:
            return frozenset()

        def compile(self, graph: Any) -> Executable:  # type: ignore[override]
            raise RuntimeError("no")

    names = {"contract/results are fresh", "contract/indices are checked"}
    report = conformance.run(Modest(), [c for c in conformance.cases() if c.name in names])
    assert list(report.failed) == ["contract/results are fresh"]
    assert report.skipped == ["contract/indices are checked"]
    assert "modest: 0 passed, 1 failed, 1 do not apply" in str(report)


def test_one_table_tells_of_several_engines(capsys: pytest.CaptureFixture[str]) -> None:
    class Rough(NumpyEngine):
        name = "rough"

        def capabilities(self) -> frozenset[str]:
            return frozenset({"symbolic"})

    chosen = [c for c in conformance.cases() if c.name.endswith("/gather")]
    reports = [conformance.run(engine, chosen) for engine in (NumpyEngine(), Rough())]
    lines = conformance.table(reports).splitlines()
    assert lines[0] == "|  | numpy | rough |"
    assert "| errors | 1 of 1 | 0 of 0 (1 do not apply) |" in lines
    assert any(line.startswith("| claims `denormals`") and "yes | no" in line for line in lines)


def test_engines_without_denormals_are_asked_about_zeros() -> None:
    class Flushing(NumpyEngine):
        """Takes subnormal numbers as zeros, in and out."""

        claims = frozenset(CAPABILITIES) - {"denormals"}

        def capabilities(self) -> frozenset[str]:
            return self.claims

        def compile(self, graph: Any) -> Any:
            run = super().compile(graph)
            return lambda xs, vs: [flush(y) for y in run([flush(x) for x in xs], vs)]

    case = {c.name: c for c in conformance.cases()}["values/sqrt"]
    case.run(Flushing())
    Flushing.claims = frozenset(CAPABILITIES)
    with pytest.raises(AssertionError):
        case.run(Flushing())


def flush(x: Any) -> Any:
    if x.dtype.kind != "f":
        return x
    return np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, np.copysign(0, x), x).astype(
        x.dtype
    )


def test_the_table_is_all_that_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printing = [case for case in conformance.cases() if "print" in case.name]
    monkeypatch.setattr(conformance, "cases", lambda: printing)
    assert conformance.main(["numpy"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("|  | numpy |") and "| values | 1 of 1 |" in out
    assert err == ""
