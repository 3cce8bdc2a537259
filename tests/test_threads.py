"""The thread pool: the same bits with any number of threads, forks, other threads, nested work."""

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import execute, jit, pool, target

RANGE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *[ctypes.c_int64] * 3)


def parallel(function, extent, cost, multiple=1):
    kinds = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3]
    run = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(jit.load_pool().address(pool.PARALLEL))
    return run(ctypes.cast(function, ctypes.c_void_p), None, extent, cost, multiple)


@pytest.mark.parametrize("extent", [1, 2, 7, 1000, 12345])
@pytest.mark.parametrize("multiple", [1, 64])
@pytest.mark.parametrize("cost", [1, 10**6, 10**8])
def test_ranges_cover_everything_once(with_threads, extent, multiple, cost):
    with_threads(4)
    seen, numbers = [], set()

    @RANGE
    def note(_, first, last, number):
        seen.append((first, last))
        numbers.add(number)
        return 0

    for _ in range(20):
        seen.clear()
        assert parallel(note, extent, cost, multiple) == 0
        covered = sorted(seen)
        assert covered[0][0] == 0 and covered[-1][1] == extent
        assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))
        assert all(first % multiple == 0 for first, _ in covered)
    assert numbers <= set(range(4))
    if extent * cost < pool.WORTH // 2:
        assert numbers == {0}


def test_the_largest_code_is_returned(with_threads):
    with_threads(3)

    @RANGE
    def code(_, first, last, number):
        return first

    assert parallel(code, 50, 10**8) == 49


def test_work_inside_work_runs_alone(with_threads):
    with_threads(3)
    inner_numbers = set()

    @RANGE
    def inner(_, first, last, number):
        inner_numbers.add(number)
        return 0

    @RANGE
    def outer(_, first, last, number):
        return parallel(inner, 100, 10**8)

    assert parallel(outer, 50, 10**8) == 0
    assert inner_numbers == {0}


def programs():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((700, 700)).astype("f4") for _ in range(2))
    x, y = st.placeholder((None, None)), st.placeholder((None, None))
    yield "product", [x, y], st.matmul(x, y), (a, b)
    yield "transposed product", [x, y], st.matmul(st.transpose(x), st.transpose(y)), (a, b)
    yield "product and sums", [x, y], st.exp(x @ y * 0.01 + (y + x @ y + y[0])), (a, b)
    yield "row", [x, y], st.matmul(x[:1], y), (a, b)
    yield "column", [x, y], st.matmul(x, y[:, :1]), (a, b)
    for dtype in ("float32", "float64"):
        u, v = st.placeholder((1, None), dtype), st.placeholder((None, None), dtype)
        row, matrix = rng.standard_normal((1, 5000)), rng.standard_normal((5000, 300))
        yield f"long row, {dtype}", [u, v], u @ v, (row.astype(dtype), matrix.astype(dtype))
        few = row[:, :90], rng.standard_normal((90, 5001))  # a sum of one piece: columns are shared
        yield f"wide matrix, {dtype}", [u, v], u @ v, [x.astype(dtype) for x in few]
        ragged = row[:, :1003], rng.standard_normal((1003, 517))
        yield f"ragged matrix, {dtype}", [u, v], u @ v + v[1], [x.astype(dtype) for x in ragged]
    z = st.placeholder((None, 7, None, 10))
    c = rng.standard_normal((70, 7, 100, 10)).astype("f4")
    yield "elementwise", [x, y], st.tanh(x) * 2 + y, (a, b)
    yield "rows", [x], st.softmax(x), (a,)
    yield "columns", [x], [st.sum(x, 0), st.max(x, 0)], (a,)
    yield "turned", [x, y], st.transpose(x) + y, (a, b)
    yield "sums", [x, y], [st.sum(x * y), st.mean(x), st.max(y)], (a, b)
    yield "padded", [z], st.pad(z, ((0, 0), (1, 2), (0, 3), (0, 0))) + 1, (c,)
    yield "padded on all sides", [x], st.pad(x, ((1, 2), (3, 4)), constant_values=2), (a,)
    kernel = st.placeholder((3, 5, 4, 8))
    images = st.placeholder((None, 12, 11, 4))
    pictures = rng.standard_normal((40, 12, 11, 4)).astype("f4")
    window = rng.standard_normal(kernel.shape).astype("f4")
    loss = st.sum(st.conv(images, kernel, padding="same") ** 2)
    yield "kernel", [images, kernel], st.gradients(loss, [kernel]), (pictures, window)
    yield "batched", [z], st.einsum("bhik,bhjk->bhij", z, z), (c,)


@pytest.mark.parametrize("name", [name for name, *_ in programs()])
def test_results_have_the_same_bits_with_any_number_of_threads(with_threads, name):
    inputs, output, values = next(p[1:] for p in programs() if p[0] == name)
    f = st.function(inputs, output, engine="llvm")
    with_threads(1)
    wanted = f(*values)
    for count in (2, 3, 7):
        with_threads(count)
        for _ in range(3):
            np.testing.assert_equal(f(*values), wanted)


def test_python_threads_share_the_pool(with_threads):
    with_threads(3)
    x = st.placeholder((None, None))
    f = st.function([x], st.matmul(x, x), engine="llvm")
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((300, 300)).astype("f4") for _ in range(6)]
    wanted = [f(a) for a in given]
    wrong = []

    def work(i):
        for _ in range(30):
            if not np.array_equal(f(given[i]), wanted[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORK = """
    import os, numpy as np, symtensor as st
    x = st.placeholder((None, None))
    f = st.function([x], st.matmul(x, x), engine="llvm")
    a = np.ones((400, 400), "f4")
    assert f(a)[0, 0] == 400
    child = os.fork()
    if child == 0:
        g = st.function([x], st.matmul(x, x) + 1, engine="llvm")
        good = f(a)[0, 0] == 400 and g(a)[0, 0] == 401 and f(a)[0, 0] == 400
        os._exit(0 if good else 1)
    for _ in range(20):
        assert f(a)[0, 0] == 400
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_process_computes_too():
    environment = {**os.environ, "SYMTENSOR_NUM_THREADS": "3"}
    script = textwrap.dedent(FORK)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)


def test_settings_choose_the_number(monkeypatch):
    monkeypatch.delenv("SYMTENSOR_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert target.threads_wanted() == 3
    monkeypatch.setenv("SYMTENSOR_NUM_THREADS", "5")
    assert target.threads_wanted() == 5
    monkeypatch.delenv("SYMTENSOR_NUM_THREADS")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= target.threads_wanted() <= (os.cpu_count() or 1)
    monkeypatch.setenv("SYMTENSOR_NUM_THREADS", "-1")
    with pytest.raises(st.errors.ConfigError, match="num_threads"):
        target.threads_wanted()


@pytest.mark.parametrize("machine", ["avx2", "neon", "apple", "windows"])
def test_the_pool_compiles_for_every_system(machine):
    there = target.named(machine)
    text = jit.emit_assembly(pool.pool_module(there), there)
    function = {"apple": "__ulock_wait", "windows": "WaitOnAddress"}.get(machine, "syscall")
    assert function in text


BUSY_FORK = """
    import os, signal, threading, time, numpy as np, symtensor as st
    x = st.placeholder((None, None))
    w = st.variable(np.ones((200, 200), "f4"))
    step = st.function([x], None, updates=[(w, st.tanh(x @ w))], engine="llvm")
    a = np.ones((200, 200), "f4")
    step(a)
    over = threading.Event()

    def train():
        while not over.is_set():
            step(a)

    def build():
        y = st.placeholder((None,))
        for factor in range(1, 100_000):
            if over.is_set():
                return
            st.function([y], y * factor, engine="llvm")

    def child():
        signal.alarm(20)  # what waits for a thread that is not there ends here
        w.set_value(np.ones((200, 200), "f4"))
        step(a)
        y = st.placeholder((None,))
        f = st.function([y], y * 0.5 + w[0, 0], engine="llvm")
        os._exit(0 if f(np.ones(3, "f4"))[0] == 1.5 else 1)

    threads = [threading.Thread(target=target) for target in (train, train, build)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(20):
        number = os.fork()
        if number == 0:
            child()
        codes.append(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))
        if codes[-1]:
            break
    over.set()
    for thread in threads:
        thread.join()
    assert not any(codes), codes
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_waits_for_no_lock_of_a_thread_that_it_does_not_have():
    script = textwrap.dedent(BUSY_FORK)
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


class Signal(Exception):
    pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("count", [1, 12])
def test_an_interrupted_call_keeps_no_lock_and_tears_no_update(count):
    variables = [st.variable(np.zeros(5, "f4")) for _ in range(count)]
    step = st.function([], None, updates=[(w, w + 1) for w in variables], engine="llvm")

    def interrupt(*_):
        raise Signal

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(30):
            with pytest.raises(Signal):
                signal.setitimer(signal.ITIMER_REAL, 0.005)
                while True:
                    step()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    other = threading.Thread(target=step, daemon=True)
    other.start()
    other.join(20)
    assert not other.is_alive()
    values = {float(w.get_value()[0]) for w in variables}
    assert len(values) == 1 and values.pop() > 30


def test_a_call_out_that_does_not_say_that_it_is_done_ends_the_call():
    x = st.placeholder((None,))
    f = st.function([x], st.sort(x) + 1, engine="llvm")
    values = np.array([3, 1, 2], "f4")
    np.testing.assert_array_equal(f(values), [2, 3, 4])
    run = f.executable._run
    right = run._callback_address
    for answer in (0, 1, -1):  # whatever ctypes leaves of a callback that a signal ended at once
        wrong = execute._CALLBACK(lambda *_, answer=answer: answer)
        run._callback_address = ctypes.cast(wrong, ctypes.c_void_p).value
        with pytest.raises(KeyboardInterrupt, match="sort was interrupted"):
            f(values)
    run._callback_address = right
    np.testing.assert_array_equal(f(values), [2, 3, 4])
