"""Profiles: where time goes, by kernel, line and part; and what they cost the function: nothing."""

import json
import sys
import threading
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import jit, ticks
from symtensor.codegen.target import named
from symtensor.inspect.limits import Limits, machine_limits, multiply_add_text
from symtensor.inspect.profile import Profile, phases_of

RNG = np.random.default_rng(8)


@pytest.fixture(autouse=True)
def known_limits(monkeypatch):
    """Measuring takes half a second; one test does."""
    fixed = Limits(1, 1e11, ((1 << 20, 1e11), (1 << 30, 1e10)))
    monkeypatch.setattr(
        "symtensor.inspect.profile.machine_limits", lambda threads, again=False: fixed
    )


def training_step(engine="llvm"):
    x = st.placeholder((None, 32), name="x")
    y = st.placeholder((None, 4), name="y")
    w = st.variable(RNG.standard_normal((32, 4)).astype("f4"), name="w")
    loss = st.mean(st.square(st.tanh(x @ w) - y))
    (g,) = st.gradients(loss, [w])
    f = st.function([x, y], loss, updates=[(w, w - 0.1 * g)], engine=engine)
    return f, (np.ones((64, 32), "f4"), np.ones((64, 4), "f4")), w


def loop(engine="llvm"):
    x = st.placeholder((None, 8), name="x")
    h = st.scan(lambda row, s: st.tanh(s + row), [x], [st.zeros((8,))])[0]
    loss = st.sum(h * h)
    f = st.function([x], [loss, st.gradients(loss, x)], engine=engine)
    return f, (np.ones((10, 8), "f4"),)


@pytest.mark.parametrize("engine", ["llvm", "numpy"])
def test_every_kernel_is_timed(engine):
    f, args, _ = training_step(engine)
    p = f.profile(*args, repeat=3)
    assert isinstance(p, Profile) and p.repeat == 3
    assert [row.kernel.name for row in p.kernels] == [k.name for k in f.kernels]
    assert all(row.seconds >= 0 and row.runs == 1 for row in p.kernels)
    assert 0 < p.seconds and 0 < p.call
    cost = f.cost(*args)
    assert sum(row.flops for row in p.kernels) == cost.flops
    assert sum(row.bytes for row in p.kernels) == cost.bytes


def test_steps_inside_a_loop_are_timed_and_counted():
    f, args = loop()
    p = f.profile(*args, repeat=2)
    runs = {row.kernel.name: row.runs for row in p.kernels}
    inside = [name for name in runs if "." in name]
    assert inside and all(runs[name] == 10 for name in inside)
    assert all(runs[k.name] == 1 for k in f.kernels if k.kind == "loop")


def test_a_call_out_is_timed():
    x = st.placeholder((None,), "float64")
    f = st.function([x], st.exp(st.polygamma(1, x)), engine="llvm")
    by_kind = {row.kernel.kind: row for row in f.profile(np.ones(100) + 1).kernels}
    assert by_kind["call-out"].seconds > 0 and by_kind["kernel"].runs == 1


def test_lines_and_parts_add_up():
    f, args, _ = training_step()
    p = f.profile(*args, repeat=3)
    assert set(p.phases) == {"forward", "backward", "update"}
    assert sum(p.phases.values()) == pytest.approx(p.seconds)
    assert sum(line.seconds for line in p.lines) == pytest.approx(p.seconds)
    assert all(line.line.startswith(__file__) for line in p.lines)
    assert any("tanh" in line.source for line in p.lines)


def test_parts_of_a_graph():
    f, _, _ = training_step()
    parts = phases_of(f.optimized)
    assert {parts[n] for n in f.optimized.outputs} == {"forward"}
    assert [parts[new] for _, new in f.optimized.updates] == ["update"]
    assert "backward" in parts.values()
    g, _ = loop()
    parts = phases_of(g.optimized)
    scans = [parts[n] for n in g.optimized.nodes() if n.op.name == "scan"]
    assert sorted(scans) == ["backward", "forward"]


def test_profiling_changes_nothing():
    """The entry is the same object before and after, variables keep their values."""
    f, args, w = training_step()
    before, program, value = f._entry, f.executable.program, w.get_value()
    text = f.llvm_ir
    f.profile(*args, repeat=2)
    assert f._entry is before and f.executable.program is program and f.llvm_ir == text
    np.testing.assert_array_equal(w.get_value(), value)
    assert ticks.TICK not in text
    f(*args)
    assert not np.array_equal(w.get_value(), value)


def test_looking_is_lazy():
    """Nothing of the inspection is loaded or made for a function that is only called."""
    import subprocess

    code = """
import sys, numpy as np, symtensor as st
x = st.placeholder((3,))
f = st.function([x], x * 2, engine="llvm")
f(np.ones(3, "f4"))
late = ("engines.native_records", "engines.native_remarks", "codegen.ticks",
        "inspect.profile", "inspect.costs", "inspect.limits")
assert not [n for n in late if f"symtensor.{n}" in sys.modules]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_forms_of_a_profile(tmp_path):
    f, args, _ = training_step()
    p = f.profile(*args, repeat=2)
    text = p.text()
    assert str(p) == text
    for word in ("GFLOP/s", "of limit", "forward", "backward", "stabilize", "engine llvm", "tanh"):
        assert word in text
    found = json.loads(json.dumps(p.to_dict()))
    assert len(found["kernels"]) == len(p.kernels) and found["memory"]
    p.plot(tmp_path / "p.svg")
    root = ET.parse(tmp_path / "p.svg").getroot()
    bars = [e for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(bars) == len(p.kernels)


def test_hostile_names_are_escaped(tmp_path):
    x = st.placeholder((3,), name="</svg><script>")
    p = st.function([x], x * 2, name="<b>&", engine="llvm").profile(np.ones(3, "f4"))
    p.plot(tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    ET.fromstring(text)
    assert "<b>" not in text and "<script" not in text


def test_floors_follow_the_limits():
    limits = Limits(1, 1e11, ((10**6, 1e11), (10**8, 1e10)))
    assert limits.floor(2 * 10**9, 1000) == (0.02, "compute")
    assert limits.floor(2 * 10**9, 1000, itemsize=8) == (0.04, "compute")
    assert limits.floor(1, 10**8) == (0.01, "memory")
    assert limits.bytes_per_second(1000) == 1e11 and limits.bytes_per_second(1 << 40) == 1e10
    assert limits.bytes_per_second(10**7) == pytest.approx(5.5e10)


def test_the_machine_is_measured_once():
    found = machine_limits(1)
    assert found is machine_limits(1)
    assert found.flops > 1e8 and all(speed > 1e7 for _, speed in found.bandwidth)
    assert "GFLOP/s" in str(found)
    again = machine_limits(1, again=True)
    assert again.flops >= found.flops and machine_limits(1) is again
    assert all(b >= a for (_, a), (_, b) in zip(found.bandwidth, again.bandwidth, strict=True))


def test_limits_that_a_kernel_beats_are_measured_again(monkeypatch):
    measured = []

    def limits(threads, again=False):
        measured.append(again)
        speed = 1e12 if again else 1.0  # a byte a second: anything beats that
        return Limits(threads, speed, ((1 << 30, speed),))

    monkeypatch.setattr("symtensor.inspect.profile.machine_limits", limits)
    f, args, _ = training_step()
    p = f.profile(*args, repeat=1)
    assert measured[-1] and p.limits.flops == 1e12


def test_machines_without_fused_multiply_adds_are_measured_too():
    text = multiply_add_text(named("sse2"), 4)
    assert "llvm.fma(" in text.rpartition("declare")[2] and "fmul" in text
    assert "callq" not in jit.emit_assembly(text, named("sse2"))


def test_engines_without_a_clock_give_the_whole_call():
    class Plain:
        name = "plain"

        def capabilities(self):
            return frozenset()

        def supports(self, node):
            return True

        def compile(self, graph):
            return lambda inputs, variables: [inputs[0] * 2]

    x = st.placeholder((None,))
    p = st.function([x], x * 2, engine=Plain()).profile(np.ones(10, "f4"))
    (row,) = p.kernels
    assert row.kernel.name == "call" and row.flops == 10 and row.seconds > 0
    assert "call" in p.text()


def test_keywords_defaults_and_bad_arguments():
    x, y = st.placeholder((3,), name="x"), st.placeholder((), name="y")
    f = st.function([x, st.Input(y, default=2.0)], x * y, engine="llvm")
    assert f.profile(x=np.ones(3, "f4"), repeat=1).kernels
    with pytest.raises(TypeError):
        f.profile()
    with pytest.raises(st.AttributeValueError, match="repeat"):
        f.profile(np.ones(3, "f4"), repeat=0)


def test_a_failing_call_fails_in_the_profile_too():
    x, i = st.placeholder((3,)), st.placeholder((2,), "int32")
    f = st.function([x, i], x[i], engine="llvm")
    with pytest.raises(st.IndexOutOfRange):
        f.profile(np.ones(3, "f4"), np.array([0, 7], "i4"))


def test_ticks_measure_what_passes():
    """A kernel that works a thousand times more takes longer, by this clock as by any."""
    x = st.placeholder((None,), "float64")
    f = st.function([x], st.sin(x), engine="llvm")
    few, many = (f.profile(np.ones(n), repeat=5).kernels[0].seconds for n in (100, 1_000_000))
    assert few < many


def test_a_function_may_be_profiled_while_others_call_it():
    f, args, _ = training_step()
    stop = threading.Event()

    def calls():
        while not stop.is_set():
            f(*args)

    thread = threading.Thread(target=calls)
    thread.start()
    try:
        assert f.profile(*args, repeat=5).kernels
    finally:
        stop.set()
        thread.join()
