"""Programs on disk: a graph that was compiled before runs without being planned or emitted again."""

import importlib
import pickle
import shutil

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import recall, sources
from symtensor.codegen.program import build_program
from symtensor.codegen.recall import FIELDS, Recall
from symtensor.codegen.target import host, named
from symtensor.engines import llvm
from symtensor.ir.printer import print_and_label
from symtensor.ops import registry
from symtensor.passes.pipeline import optimize
from symtensor.testing import checks, conformance

SAMPLES = conformance.samples_by_op()
RNG = np.random.default_rng(0)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The graphs that are planned and emitted from now on; the cache is empty."""
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path))
    graphs = []

    def build(graph, target):
        graphs.append(graph)
        return build_program(graph, target)

    monkeypatch.setattr(llvm, "build_program", build)
    return graphs


def step_of_a_network():
    """Return a training step of sizes that are known only at the call."""
    x, y = st.placeholder((None, 6), name="x"), st.placeholder((None,), "int32")
    w, b = st.variable(np.ones((6, 5), "f4") * 0.3), st.variable(np.arange(5, dtype="f4"))
    loss = st.mean(st.sparse_categorical_crossentropy(y, st.tanh(x @ w + b), from_logits=True))
    updates = [(v, v - 0.1 * g) for v, g in zip((w, b), st.gradients(loss, [w, b]), strict=True)]
    return st.function([x, y], loss, updates=updates, engine="llvm")


def recurrence():
    """Return a loop with its gradients."""
    xs, w = st.placeholder((None, 4, 8)), st.placeholder((8, 8))
    states, _ = st.scan(lambda x, h: st.tanh(x + h @ w), [xs], [st.zeros((4, 8))])
    loss = st.sum(st.square(states))
    return st.function([xs, w], [loss, *st.gradients(loss, [xs, w])], engine="llvm")


def calls_of_python():
    """Return what no kernel computes, of sizes that data decides."""
    x = st.placeholder((None,), "float64")
    count = st.arange(st.cast(st.sum(x), "int64"))
    return st.function([x], [st.sort(x) * 2, st.exp(st.cast(count, "float64"))], engine="llvm")


def draws():
    """Return random numbers of a seed."""
    return st.function([], st.random.RandomStream(7).normal((5, 3)), engine="llvm")


def arrays_of_its_own():
    """Return what depends on an array too long for its text."""
    x, c = st.placeholder((None, 20)), RNG.standard_normal(20).astype("f4")
    f = st.function([x], st.exp(x) * c, engine="llvm")
    f.wanted = np.exp(np.ones((2, 20), "f4")) * c
    return f


CASES = {
    step_of_a_network: [np.ones((3, 6), "f4"), np.array([1, 0, 4], "i4")],
    recurrence: [np.ones((5, 4, 8), "f4") * 0.1, np.eye(8, dtype="f4")],
    calls_of_python: [np.array([3.0, -1.0, 2.0, 0.5])],
    draws: [],
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_second_function_of_a_graph_is_not_built(make, built):
    first = make()
    count = len(built)
    wanted = [first(*CASES[make]) for _ in range(3)]
    second = make()
    found = [second(*CASES[make]) for _ in range(3)]
    assert count > 0 and len(built) == count
    for a, b in zip(wanted, found, strict=True):
        for x, y in zip(*((v if isinstance(v, list) else [v]) for v in (a, b)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_arrays_are_those_of_the_graph(built):
    first, second = arrays_of_its_own(), arrays_of_its_own()
    assert len(built) == 1
    for f in (first, second):
        np.testing.assert_allclose(f(np.ones((2, 20), "f4")), f.wanted, rtol=1e-6)
    assert abs(first.wanted - second.wanted).max() > 0.1


def test_numbers_in_the_code_are_in_the_key(built):
    for number in (2.0, 3.0, -0.0, 0.0, np.nan):
        x = st.placeholder((None,), "float64")
        f = st.function([x], st.maximum(x, number) * number, engine="llvm", passes=[])
        np.testing.assert_array_equal(f([4.0]), np.maximum([4.0], number) * number)
    assert len(built) == 5


def test_what_was_found_shows_how_it_was_made(built):
    first, second = step_of_a_network(), step_of_a_network()
    assert len(built) == 1 and second.executable.program.made is None
    shapes = [x.shape for x in CASES[step_of_a_network]]
    assert second.llvm_ir == first.llvm_ir
    assert [k.text for k in second.kernels] == [k.text for k in first.kernels]
    assert second.memory(*shapes) == first.memory(*shapes)
    assert second.executable.program.schedule.steps
    assert second.profile(*CASES[step_of_a_network]).kernels


def refused(built):
    """Return what a call with an index out of range says, and the line of the gather."""
    x, index = st.placeholder(("n",), "float64"), st.placeholder(("k",), "int64")
    y = st.take(x, index, 0)
    f = st.function([x, index], y * 2, engine="llvm")
    np.testing.assert_array_equal(f([1.0, 2.0], [1, 0]), [4.0, 2.0])
    with pytest.raises(st.IndexOutOfRange) as found:
        f([1.0, 2.0], [5])
    return str(found.value)


def test_errors_are_the_same(built):
    first = refused(built)
    assert refused(built) == first and len(built) == 1
    sizes = []
    for _ in range(2):
        a, b = st.placeholder(("n",)), st.placeholder(("m",))
        f = st.function([a, b], a + b, engine="llvm")
        with pytest.raises(st.ShapeError) as found:
            f(np.ones(2, "f4"), np.ones(3, "f4"))
        sizes.append(str(found.value))
    assert sizes[0] == sizes[1] and len(built) == 2


def test_all_ops_of_symtensor_are_its_own():
    for file in (sources._ROOT / "ops").glob("*.py"):
        importlib.import_module(f"symtensor.ops.{file.stem}")
    rules = {
        op: op.evaluate.__module__ for op in registry.OPS.values()
    }  # those of users are wrapped
    ours = [op for op, home in rules.items() if home.startswith("symtensor.ops.")
            and home != "symtensor.ops.custom"]  # fmt: skip
    assert len(ours) > 100 and all(map(registry.is_own, ours))


def test_ops_of_users_are_built_each_time(built):
    for factor in (2.0, 3.0):
        op = st.custom_op(
            "scaled_in_a_test", evaluate=lambda x, factor=factor: x * factor, replace=True
        )
        x = st.placeholder((None,), "float64")
        f = st.function([x], op(x) + 1, engine="llvm")
        np.testing.assert_array_equal(f([1.0]), [factor + 1])
    assert len(built) == 2
    assert registry.is_own(registry.get_op("exp")) and not registry.is_own(op(x).op)


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
def test_programs_of_the_catalogue_come_back(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path))
    for sample in samples:
        if sample.raises is not None:
            continue
        symbolic = sample.symbolic is None
        graph = optimize(checks.sample_graph(sample, symbolic))
        entry = Recall(graph, host())
        program = build_program(graph, host())
        entry.keep(program)
        found = Recall(graph, host()).find()
        assert found is not None and found.graph is graph
        assert [getattr(found, x) for x in FIELDS] == [getattr(program, x) for x in FIELDS]


@pytest.mark.parametrize("changed", ["ops/elementwise.py", "serialize.py"])
def test_other_sources_and_targets_have_other_keys(changed, tmp_path, monkeypatch):
    key = sources.key_of("input", host())
    assert key == sources.key_of("input", host()) != sources.key_of("inputs", host())
    assert key != sources.key_of("input", named("neon"))
    for name in (*sources.PACKAGES, *sources.FILES):
        copy = shutil.copy if name in sources.FILES else shutil.copytree
        copy(sources._ROOT / name, tmp_path / name)
    monkeypatch.setattr(sources, "_ROOT", tmp_path)
    monkeypatch.setattr(registry, "_sealed_at", np.inf)
    digest = sources._digest.__wrapped__
    assert digest() == sources._digest()
    rule = tmp_path / changed
    rule.write_text(rule.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert digest() not in (None, sources._digest())


def test_sources_newer_than_what_runs_tell_nothing(built, monkeypatch):
    monkeypatch.setattr(registry, "_sealed_at", 0.0)
    monkeypatch.setattr(sources, "_digest", sources._digest.__wrapped__)
    assert sources.key_of("input", host()) is None
    x = st.placeholder((3,))
    for _ in range(2):
        np.testing.assert_array_equal(st.function([x], x + 1, engine="llvm")([1, 2, 3]), [2, 3, 4])
    assert len(built) == 2


def test_a_program_that_knows_more_than_its_graph_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path))
    x = st.placeholder((3,))
    graph = st.Graph((x.node,), ((x + 1).node,))
    program = build_program(graph, host())
    program.call_outs = {0: st.exp(x).node}
    entry = recall.Recall(graph, host())
    entry.keep(program)
    assert entry.find() is None


@pytest.mark.parametrize("junk", [b"", b"junk", pickle.dumps([1, 2]), b"\x80\x05cnowhere\nrule\n."])
def test_what_does_not_read_back_is_written_anew(junk, built):
    x = st.placeholder((3,))
    graph = st.Graph((x.node,), ((x + 1).node,))
    entry = Recall(graph, host())
    entry.keep(build_program(graph, host()))
    entry.store.put(entry.key, junk)
    assert entry.find() is None
    f = st.function([x], x + 1, engine="llvm", passes=[])
    np.testing.assert_array_equal(f([1, 2, 3]), [2, 3, 4])
    assert len(built) == 1 and entry.find() is not None


def test_code_that_is_lost_is_not_made_of_a_stale_entry(built):
    """An entry that was kept with other code is built anew, not run with it."""
    x = st.placeholder((3,))
    graph = st.Graph((x.node,), ((x + 1).node,))
    entry = Recall(graph, host())
    program = build_program(graph, host())
    program.key = "0" * 64
    program.slots = []
    entry.keep(program)
    f = st.function([x], x + 1, engine="llvm", passes=[])
    np.testing.assert_array_equal(f([1, 2, 3]), [2, 3, 4])
    assert entry.store.get("0" * 64) is None
    kept = entry.find()
    assert kept.slots and kept.key == f.executable.program.key
    assert entry.store.get(kept.key) is not None


def test_sizes_of_sizes_do_not_double(built):
    """Each size holds the one before twice: what goes through them goes through each once."""
    x = st.placeholder((None,))
    y, wanted = x, np.arange(9, dtype="f4")
    for _ in range(40):
        y = st.concatenate([y, y[:1]])[::2]
        wanted = np.concatenate([wanted, wanted[:1]])[::2]
    for _ in range(2):
        f = st.function([x], y, engine="llvm")
        np.testing.assert_array_equal(f(np.arange(9, dtype="f4")), wanted)
    assert len(built) == 1


def test_the_text_of_a_key_tells_sizes_apart():
    def text(*dims):
        n = st.dim("n")
        return print_and_label(st.Graph((), (st.zeros([d(n) for d in dims]).node,)))[0]

    def half(n):
        return n // 2

    def third(n):
        return n // 3

    def of(f, g):
        return lambda n: f(g(n) + 1)

    cases = [(half, half), (half, third), (third, half), (of(half, third), third), (of(half, third), half),
             (of(half, third), of(half, third)), (of(third, half), of(half, third))]  # fmt: skip
    assert len({text(*case) for case in cases}) == len(cases)
