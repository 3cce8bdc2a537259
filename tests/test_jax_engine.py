"""The jax engine: what XLA means otherwise, doubts, sizes, call-outs, and variables on the device.

The whole catalogue and the contracts are checked too; a sample of them unless SYMTENSOR_TEST_ENGINES
names jax (`make test-jax`): compiling is slow.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.ops import linalg
from symtensor.testing import conformance

jax = pytest.importorskip("jax")

ALL = "jax" in os.environ.get("SYMTENSOR_TEST_ENGINES", "")
CASES = conformance.cases()
CONTRACTS = [case for case in CASES if "/" not in case.name or case.name.startswith("contract/")]
SAMPLED = [*CONTRACTS, *[case for case in CASES if case not in CONTRACTS][::20]]


def compiled(inputs: Any, outputs: Any, **options: Any) -> Any:
    return st.function(inputs, outputs, engine="jax", **options)


def program_texts(f: Any) -> str:
    return "\n".join(program.text for program in f.executable.programs.values())


# --- conformance ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES if ALL else SAMPLED, ids=str)
def test_conforms(case: conformance.Case) -> None:
    engine = st.get_engine("jax")
    if not case.applies_to(engine):
        pytest.skip("the engine does not claim what the case needs")
    case.run(engine)


def test_claims_are_few_less_than_all() -> None:
    missing = set(st.engines.CAPABILITIES) - st.get_engine("jax").capabilities()
    on_cpu = jax.default_backend() == "cpu"
    other = "denormals" if on_cpu else "deterministic"
    assert missing == {"accurate", "one_compile", "separate_rounding", other}


# --- the user's own jax --------------------------------------------------------------------------


def test_64_bits_are_for_our_calls_only() -> None:
    x = st.placeholder((3,), "float64")
    value = compiled([x], st.exp(x) * 2)(np.ones(3))
    np.testing.assert_allclose(value, 2 * np.exp(np.ones(3)), rtol=1e-15)
    assert jax.numpy.ones(3).dtype == "float32" and not jax.config.jax_enable_x64


def test_importing_symtensor_does_not_import_jax() -> None:
    import subprocess
    import sys

    code = "import sys, symtensor; symtensor.available_engines(); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- strict numbers ------------------------------------------------------------------------------


def test_what_xla_would_simplify_is_kept() -> None:
    x = st.placeholder((None,), "float64")
    a = np.array([-0.0, 0.1, np.inf, np.nan, 7.0])
    f = compiled([x], [x / 3.0, x + 0.0, x * 0.0, x - x, st.log(st.exp(x))], passes=[])
    third, plus, times, minus, back = f(a)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(third, a / 3.0)
        assert not np.signbit(plus[0])
        np.testing.assert_array_equal(times, a * 0.0)
        np.testing.assert_array_equal(minus, a - a)
    np.testing.assert_array_equal(back, np.log(np.exp(a)))


def test_integers_divide_shift_and_cast_as_ours() -> None:
    i, s = st.placeholder((4,), "int32"), st.placeholder((4,), "int32")
    x = st.placeholder((4,), "float64")
    f = compiled(
        [i, s, x], [i // s, i % s, i << s, i >> s, st.cast(x, "int8"), st.cast(x, "uint64")]
    )
    a, b = np.array([7, -7, -(2**31), 5], "i4"), np.array([0, -2, -1, 40], "i4")
    out = f(a, b, np.array([np.nan, 300.0, -1.0, 1e30]))
    np.testing.assert_array_equal(out[0], [0, 3, -(2**31), 0])
    np.testing.assert_array_equal(out[1], [0, -1, 0, 5])
    np.testing.assert_array_equal(out[2], [7, 0, 0, 0])
    np.testing.assert_array_equal(out[3], [7, -1, -1, 0])
    np.testing.assert_array_equal(out[4], [0, 127, -1, 127])
    np.testing.assert_array_equal(out[5], [0, 300, 0, 2**64 - 1])


def test_random_bits_are_those_of_the_reference() -> None:
    def draw(engine: str) -> Any:
        stream = st.RandomStream(2**63 + 11)
        outputs = [stream.uniform((5, 3)), stream.permutation(9), stream.bernoulli((7,), 0.5)]
        f = st.function([], outputs, engine=engine)
        return [*f(), *f()]

    for a, b in zip(draw("jax"), draw("numpy"), strict=True):
        np.testing.assert_array_equal(a, b)


# --- what the programs are -----------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_and_pools_reach_xla_as_such(groups: int) -> None:
    x = st.placeholder((None, 9, 9, 4))
    w = st.variable(np.random.default_rng(0).standard_normal((3, 3, 4 // groups, 6)).astype("f4"))
    y = st.max_pool(st.relu(st.conv(x, w, strides=2, padding="same", groups=groups)), 2)
    f = compiled([x], [y, *st.gradients(st.sum(y * y), [w, x])])
    reference = st.function([x], [y, *st.gradients(st.sum(y * y), [w, x])],
                            engine="numpy")  # fmt: skip
    a = np.random.default_rng(1).standard_normal((2, 9, 9, 4)).astype("f4")
    for value, wanted in zip(f(a), reference(a), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=2e-4, atol=2e-5)
    text = program_texts(f)
    assert "stablehlo.reduce_window" in text and "stablehlo.gather" not in text
    if groups == 1:
        assert text.count("stablehlo.convolution") >= 2 and "dot_general" not in text


def test_a_loop_is_one_loop() -> None:
    x, w = st.placeholder((None, 3), "float64"), st.placeholder((3, 3), "float64")
    step = lambda row, state: st.tanh(state @ w + row)  # noqa: E731
    states, _ = st.scan(step, [x], [st.zeros((3,), "float64")])
    f = compiled([x, w], [states[-1], st.gradients(st.sum(states), w)])
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((50, 3)), rng.standard_normal((3, 3))
    reference = st.function([x, w], [states[-1], st.gradients(st.sum(states), w)], engine="numpy")
    for value, wanted in zip(f(a, b), reference(a, b), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9)
    assert program_texts(f).count("stablehlo.while") == 2


def test_large_constants_are_no_part_of_the_program() -> None:
    table = np.random.default_rng(3).standard_normal((300, 40))
    x = st.placeholder((None, 300), "float64")
    fixed = st.constant(table)
    f = compiled([x], [st.dot(x, fixed), fixed])
    a = np.ones((2, 300))
    for _ in range(2):
        product, same = f(a)
        np.testing.assert_allclose(product, a @ table, rtol=1e-12)
        np.testing.assert_array_equal(same, table)
        same[...] = 0.0  # the caller's own
    v = st.variable(np.zeros_like(table))
    reset, grow = (
        compiled([], fixed, updates=[(v, fixed)]),
        compiled([], None, updates=[(v, v + 1)]),
    )
    for _ in range(2):  # what grows is not the constant itself
        np.testing.assert_array_equal(reset(), table)
        grow()
        np.testing.assert_array_equal(v.get_value(), table + 1)
    assert len(program_texts(f)) < 10_000
    assert f.executable.transfers.to_device_bytes == table.nbytes + 2 * a.nbytes


# --- sizes ---------------------------------------------------------------------------------------


def test_each_combination_of_sizes_is_compiled_once_and_explained() -> None:
    x = st.placeholder(("rows", 3))
    f = compiled([x], st.sum(x, 0))
    for n in (2, 5, 2, 0, 5):
        np.testing.assert_array_equal(f(np.ones((n, 3), "f4")), np.full(3, n))
    assert f.compile_count == 3
    text = f.explain()
    assert "rows = 2: " in text and "rows = 5: " in text and text.count("called 2 time(s)") == 2


def test_programs_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from symtensor.engines.jax import execute

    monkeypatch.setattr(execute, "PROGRAMS", 2)
    x = st.placeholder((None,))
    f = compiled([x], st.sum(x))
    for n in (1, 2, 3, 1):
        assert f(np.ones(n, "f4")) == n
    assert len(f.executable.programs) == 2 and f.compile_count == 4


def test_sizes_that_data_decides_cut_the_program() -> None:
    n, x = st.placeholder((), "int64"), st.placeholder((None,), "float64")
    steps = st.arange(n)
    f = compiled([n, x], [st.cumsum(steps * 2), st.sum(x) + st.sum(steps)])
    for count in (4, 0, 4):
        sums, total = f(count, np.ones(3))
        np.testing.assert_array_equal(sums, np.cumsum(2 * np.arange(count)))
        assert total == 3 + np.arange(count).sum()
    assert "on the host, for its size: arange" in f.explain()
    assert len(f.executable.stages) == 2


def test_wrong_sizes_name_the_callers_line() -> None:
    x, y = st.placeholder((None,)), st.placeholder((None,))
    f = compiled([x, y], x + y)
    with pytest.raises(st.ShapeError) as caught:
        f(np.ones(2, "f4"), np.ones(3, "f4"))
    assert caught.value.location is not None and "test_jax_engine.py" in str(caught.value)
    assert "site-packages" not in str(caught.value)


# --- doubts --------------------------------------------------------------------------------------


def test_a_failed_call_keeps_variables_whose_memory_was_taken() -> None:
    v, i = st.variable(np.arange(3.0)), st.placeholder((None,), "int64")
    f = compiled([i], st.take(v, i), updates=[(v, v + st.sum(st.take(v, i)))])
    np.testing.assert_array_equal(f([0, 2]), [0.0, 2.0])
    with pytest.raises(st.IndexOutOfRange, match="index 3 is out of range") as caught:
        f([1, 3])
    assert caught.value.op == "gather" and caught.value.location is not None
    np.testing.assert_array_equal(v.get_value(), [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(f([-1, 1]), [4.0, 3.0])
    assert "checked by each call: gather" in f.explain() and "updated in place" in f.explain()


def test_a_doubt_without_reason_gives_the_reference_result() -> None:
    x = st.placeholder((2, 2), "float64")
    v = st.variable(np.array(1.0))
    f = compiled([x], linalg.solve(x, x), updates=[(v, v + 1.0)])
    bad = np.array([[np.nan, 1.0], [0.0, 1.0]])  # no error for NumPy, but not finite
    np.testing.assert_array_equal(f(bad), np.linalg.solve(bad, bad))
    assert v.get_value() == 2.0


def test_doubts_come_out_of_loops_and_branches() -> None:
    x, rows = st.placeholder((3,), "float64"), st.placeholder((None,), "int64")
    read = lambda i, total: total + st.take(x, i)  # noqa: E731
    sums, _ = st.scan(read, [rows], [st.constant(0.0)])
    chosen = st.cond(st.sum(rows) > 2, st.take(x, rows[0]), st.sum(x))
    count = st.while_loop(lambda i: st.take(x, i) < 2.5, lambda i: i + 1, rows[0])
    for y, bad in ((sums[-1], [1, 3]), (chosen, [3, 0]), (count, [0])):
        f = compiled([x, rows], y)
        with pytest.raises(st.IndexOutOfRange):
            f(np.arange(3.0) / 2, bad)


# --- call-outs -----------------------------------------------------------------------------------


@pytest.fixture
def halve() -> Any:
    def rule(x: Any) -> Any:
        if (x < 0).any():
            raise ValueError("only what is not negative")
        return x / 2

    return st.custom_op("halve_for_jax", rule, replace=True)


def test_call_outs_keep_all_bits_and_are_explained(halve: Any) -> None:
    x = st.placeholder((None,), "float64")
    f = compiled([x], halve(x) + 1.0)
    for n in (3, 300_000):  # large operands reach the callback on another thread
        a = np.full(n, 1 / 3)
        np.testing.assert_array_equal(f(a), a / 2 + 1)
    assert "call-out to NumPy: halve_for_jax f64" in f.explain()
    assert not f.engine.supports(halve(x).node) and f.engine.supports((x * 2).node)


def test_a_loop_over_sizes_worked_out_from_the_batch_is_no_call_out() -> None:
    x = st.placeholder((None, 2), "float64")
    rows = st.reshape(x, (-1, 4, 2))  # floordiv(2 * d0, 8) of them: no input has that size itself
    sums = st.scan(lambda row, h: h + row, st.swapaxes(rows, 0, 1), [st.zeros_like(rows[:, 0])])[0]
    f = st.function([x], st.gradients(st.sum(sums**2), x), engine="jax")
    f(np.ones((8, 2)))
    assert "call-out" not in f.explain()


def test_errors_of_call_outs_name_the_users_line(halve: Any) -> None:
    x = st.placeholder((2,), "float64")
    v = st.variable(np.array(0.0))
    f = compiled([x], halve(x), updates=[(v, v + 1.0)])
    with pytest.raises(ValueError, match="only what is not negative"):
        f(np.array([1.0, -1.0]))
    assert v.get_value() == 0.0


# --- variables -----------------------------------------------------------------------------------


def test_variables_stay_on_the_device_and_are_updated_in_place() -> None:
    w = st.variable(np.ones((100, 10), "f4"), name="weights")
    x = st.placeholder((None, 100))
    f = compiled([x], st.sum(x @ w), updates=[(w, w * 0.5)])
    a = np.ones((2, 100), "f4")
    assert f(a) == 2000.0
    before = f.executable.transfers.to_device_bytes
    old = w.store.elsewhere_or_array().array  # type: ignore[union-attr]
    assert [f(a) for _ in range(3)] == [1000.0, 500.0, 250.0]
    assert old.is_deleted()
    assert f.executable.transfers.to_device_bytes - before == 3 * a.nbytes
    assert f.executable.transfers.to_host == 4
    np.testing.assert_array_equal(w.get_value(), np.full((100, 10), 1 / 16))
    assert f.executable.transfers.to_host == 5
    assert "updated in place: weights" in f.explain() and "transfers: " in f.explain()


def test_engines_share_variables() -> None:
    v = st.variable(np.array([1.0, 2.0]))
    on = {e: st.function([], v * 1.0, updates=[(v, v + 1.0)], engine=e) for e in ("jax", "llvm")}
    total = np.array([1.0, 2.0])
    for engine in ("jax", "llvm", "llvm", "jax", "jax", "llvm"):
        np.testing.assert_array_equal(on[engine](), total)
        total = total + 1.0
        np.testing.assert_array_equal(v.get_value(), total)
    on["jax"]()
    v.set_value(np.zeros(2))
    np.testing.assert_array_equal(on["jax"](), [0.0, 0.0])
    with pytest.raises(ValueError, match="read-only"):
        v.get_value(borrow=True)[0] = 5.0


def test_swapped_variables_have_memory_of_their_own() -> None:
    a, b = st.variable(np.zeros(3)), st.variable(np.ones(3))
    swap = compiled([], [a, b], updates=[(a, b), (b, a)])
    grow = compiled([], None, updates=[(a, a + 1.0)])
    swap()
    grow()
    np.testing.assert_array_equal(swap(), [np.full(3, 2.0), np.zeros(3)])
    np.testing.assert_array_equal(a.get_value(), np.zeros(3))


def test_readers_and_writers_on_many_threads() -> None:
    v = st.variable(np.zeros(1000))
    step = compiled([], None, updates=[(v, v + 1.0)])
    read = compiled([], [st.min(v), st.max(v)])
    step()
    read()
    seen: list[Any] = []

    def write() -> None:
        for _ in range(50):
            step()

    def look() -> None:
        for _ in range(50):
            seen.append(read())
            seen.append([v.get_value().min(), v.get_value(borrow=True).max()][:1] * 2)

    threads = [threading.Thread(target=job) for job in (write, write, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert v.get_value()[0] == 101.0 and len(seen) == 200
    assert all(low == high for low, high in seen)


def test_an_interrupted_call_out_keeps_variables() -> None:
    def interrupt(x: Any) -> Any:
        raise KeyboardInterrupt

    stop = st.custom_op("interrupt_for_jax", interrupt, replace=True)
    v = st.variable(np.array(1.0))
    f = compiled([], stop(v), updates=[(v, v + 1.0)])
    with pytest.raises(KeyboardInterrupt):
        f()
    assert v.get_value() == 1.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_fork_is_told_that_it_cannot_compute() -> None:
    f = st.function([], st.variable(np.ones(3), name="v") * 2.0, engine="jax")
    f()
    child = os.fork()
    if not child:
        try:
            f()
        except st.EngineError as error:
            os._exit(3 if "spawn" in str(error) else 4)
        finally:
            os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
