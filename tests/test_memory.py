"""Memory: reported before a call runs, and none of it taken anew once a function is warm."""

import tracemalloc

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.memory import Arenas

RNG = np.random.default_rng(11)


def chain(n=6):
    """Return a function of many products, each of which needs only the one before it."""
    x, w = st.placeholder((None, 64)), st.placeholder((64, 64))
    y = x
    for _ in range(n):
        y = st.softmax(y @ w)
    return st.function([x, w], y, engine="llvm")


def test_a_report_counts_every_byte():
    f = chain()
    use = f.memory((100, 64), (64, 64))
    assert use.arguments == 4 * (100 * 64 + 64 * 64)
    assert use.results == 4 * 100 * 64
    assert use.temporaries < use.unshared  # what is no longer needed makes room
    assert use.peak == use.arguments + use.constants + use.results + use.temporaries + use.scratch
    assert f.memory(np.zeros((200, 64)), np.zeros((64, 64))).temporaries == 2 * use.temporaries
    assert "temporaries" in str(use) and "peak" in str(use)


def test_a_report_says_what_it_can_not_know():
    f = chain()
    with pytest.raises(st.ShapeError, match="expected 2 shapes, found 1"):
        f.memory((100, 64))
    with pytest.raises(st.ShapeError):
        f.memory((100, 63), (64, 64))
    x = st.placeholder((None,))
    with pytest.raises(st.EngineError, match="does not plan its memory"):
        st.function([x], x + 1, engine="numpy").memory((3,))
    sums, _ = st.scan(lambda v, s: (s + v, st.until(s > 9)), [x], [st.zeros(())])
    found = st.function([x], st.exp(sums) * 2, engine="llvm")
    with pytest.raises(st.SymbolicValueError, match="depends on data"):
        found.memory((3,))


def training_step():
    x, y = st.placeholder((None, 32)), st.placeholder((None, 8))
    layers = [st.variable(RNG.standard_normal(s).astype("float32") * 0.1)
              for s in ((32, 64), (64,), (64, 8), (8,))]  # fmt: skip
    w1, b1, w2, b2 = layers
    loss = st.mean(st.square(st.tanh(x @ w1 + b1) @ w2 + b2 - y))
    updates = [(p, p - 0.1 * g) for p, g in zip(layers, st.gradients(loss, layers), strict=True)]
    return st.function([x, y], loss, updates=updates, engine="llvm")


def test_warm_calls_take_no_memory():
    """Temporaries live in one arena, results and next values in memory that was let go of."""
    f = training_step()
    a = RNG.standard_normal((256, 32)).astype("float32")
    b = RNG.standard_normal((256, 8)).astype("float32")
    use = f.memory(a.shape, b.shape)
    assert use.temporaries > 10_000
    for _ in range(5):
        f(a, b)
    tracemalloc.start()
    for _ in range(50):
        f(a, b)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4096  # a 0-d result and Python's own bookkeeping


def test_calls_in_python_and_native_ones_use_one_arena():
    f = training_step()
    few, many = [(RNG.standard_normal((n, 32)).astype("float32"),
                  RNG.standard_normal((n, 8)).astype("float32")) for n in (3, 4096)]  # fmt: skip
    use = f.memory(many[0].shape, many[1].shape)
    f(*few)
    tracemalloc.start()
    for _ in range(3):  # the first goes through Python
        f(*many)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert use.temporaries > 1 << 20
    assert peak < use.temporaries + use.scratch + 3 * use.results + (64 << 10)


def test_arenas_are_handed_on():
    arenas = Arenas()
    small, large = arenas.take(100), arenas.take(1000)
    assert small.nbytes >= 100 and not np.shares_memory(small, large)
    arenas.give_back(large)
    arenas.give_back(small)
    assert arenas.take(500) is large  # what is too small is dropped
    assert arenas.take(10) is not small


def test_large_results_begin_at_a_cache_line():
    x = st.placeholder((None, None))
    w = st.variable(np.zeros((300, 301), "float32"))
    f = st.function([x], x + 1, updates=[(w, w + x)], engine="llvm")
    given = np.ones((300, 301), "float32")
    held = [
        f(given) for _ in range(5)
    ]  # of the first call in Python, of the others by the native entry
    assert all(r.ctypes.data % 64 == 0 and r.flags.c_contiguous and r.flags.writeable for r in held)
    assert len({r.ctypes.data for r in held}) == 5
    np.testing.assert_array_equal(held, np.full((5, 300, 301), 2.0))
    np.testing.assert_array_equal(w.get_value(), np.full((300, 301), 5.0))


def test_large_values_of_variables_begin_at_a_cache_line():
    """Whatever they are given: values of another dtype, in another order, of part of an array."""
    whole = np.arange(8200.0)
    given = [whole[i : i + 4096].astype(dtype) for i in range(4) for dtype in ("f4", "f8", "i4")]
    given += [given[0].reshape(64, 64).T, given[0][::-1], given[0].tolist()]
    for value in given:
        wanted = np.asarray(value, "float32")
        w = st.variable(value, "float32", shape=(None,) * wanted.ndim)
        held = [w.get_value(borrow=True)]
        w.set_value(value)
        held.append(w.get_value(borrow=True))
        for array in held:
            assert array.ctypes.data % 64 == 0 and array.flags.c_contiguous
            np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("hold", [lambda r: r[3:5], lambda r: r.base, memoryview, lambda r: r.T])
def test_memory_of_a_large_result_is_taken_again_when_nobody_holds_it(hold):
    x = st.placeholder((None, None))
    f = st.function([x], x + 1, engine="llvm")
    given = np.zeros((300, 301), "float32")
    assert len({f(given).ctypes.data for _ in range(9)}) <= 2
    result = f(given)
    place, held = result.ctypes.data, hold(result)
    del result
    assert all(f(given).ctypes.data != place for _ in range(4))
    assert np.count_nonzero(np.asarray(held).view("float32") == 1) >= 2 * 301


@pytest.mark.parametrize("loose", [False, True])
def test_a_checked_value_keeps_its_memory(loose):
    """`assert_` hands its operand on: what comes later must not write over it."""
    x = st.placeholder((None if loose else 6,))
    checked = st.assert_(st.exp(x), st.all(x < 100), "x: expected values below 100")
    runs = st.cumsum(st.sort(st.exp(x) * 2))
    given = np.linspace(0, 1, 6, dtype="f4")
    for engine in ("numpy", "llvm"):
        outputs = [checked, runs, st.flip(st.cumsum(runs * 3), 0), checked]
        found = st.function([x], outputs, engine=engine)(given)
        np.testing.assert_allclose(found[0], np.exp(given), rtol=1e-6)
        np.testing.assert_allclose(found[3], np.exp(given), rtol=1e-6)
        assert not np.shares_memory(found[0], found[3])


def test_results_of_call_outs_count():
    """NumPy makes them outside the arena, and they live until the call ends."""
    x = st.placeholder((None,), "float64")
    f = st.function([x], st.sum(st.sort(x)), engine="llvm")
    use = f.memory((1000,))
    assert use.call_outs == 8000 and "call-outs" in str(use)
    assert use.peak >= use.arguments + use.results + use.call_outs
