"""The native entry of calls: what it takes itself, what it leaves to Python, and whose memory it uses."""

import gc
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.memory import Arenas


def compiled(inputs, outputs, **options):
    f = st.function(inputs, outputs, engine="llvm", **options)
    assert f._entry is not None
    return f


class Counted:
    """Counts the calls of a function that go through Python."""

    def __init__(self, f, monkeypatch):
        self.count = 0
        inner = type(f)._call

        def call(function, args, kwargs):
            self.count += 1
            return inner(function, args, kwargs)

        monkeypatch.setattr(type(f), "_call", call)


def test_only_calls_with_new_shapes_go_through_python(monkeypatch):
    x, y = st.placeholder((None,)), st.placeholder((None, None))
    f = compiled([x, y], [st.sum(x) + y, x * 2])
    slow = Counted(f, monkeypatch)
    rng = np.random.default_rng(0)
    for n, wanted in ((3, 1), (3, 1), (5, 2), (5, 2), (3, 3), (3, 3)):
        a, b = rng.standard_normal(n).astype("f4"), rng.standard_normal((n, 2)).astype("f4")
        first, second = f(a, b)
        np.testing.assert_allclose(first, a.sum() + b, rtol=1e-5)
        np.testing.assert_array_equal(second, a * 2)
        assert slow.count == wanted


@pytest.mark.parametrize(
    "argument",
    [
        [1.0, 2.0, 3.0],
        (1, 2, 3),
        np.array([1, 2, 3], "int8"),
        np.array([3, 2, 1], "float32")[::-1],
        np.array([1, 2, 3], ">f4"),
        np.broadcast_to(np.float32(1), (3,)),
        np.frombuffer(b"\0" + np.arange(3, dtype="f4").tobytes(), "u1")[1:].view("f4"),
    ],
    ids=["list", "tuple", "int8", "reversed", "big-endian", "broadcast", "unaligned"],
)
def test_other_arguments_are_converted_as_ever(argument):
    x = st.placeholder((None,))
    f = compiled([x], x * 2)
    f(np.ones(3, "f4"))
    for _ in range(2):
        np.testing.assert_array_equal(f(argument), np.asarray(argument, "f4") * 2)
        np.testing.assert_array_equal(f(np.full(3, 5, "f4")), np.full(3, 10, "f4"))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "bool", "uint16"])
def test_unpickled_arrays_go_straight_through(monkeypatch, dtype):
    x, v = st.placeholder((None,), dtype), st.variable(np.zeros(3, "f8"))
    f = compiled([x], st.cast(x, "float64") + 1, updates=[(v, v + x)])
    array = np.array([1, 0, 1], dtype)
    own = pickle.loads(pickle.dumps(array))
    assert own.dtype == array.dtype and own.dtype is not array.dtype
    f(array)
    slow = Counted(f, monkeypatch)
    np.testing.assert_array_equal(f(own), array + 1.0)
    assert slow.count == 0
    np.testing.assert_array_equal(v.get_value(), array * 2.0)
    for k, other in enumerate((array.astype(array.dtype.newbyteorder()), array.astype("longlong"))):
        if other.dtype != array.dtype:  # the same bytes are other numbers
            g = compiled([x], st.cast(x, "float64") + 1, allow_downcast=True)
            g(array)
            np.testing.assert_array_equal(g(other), array + 1.0)
            assert slow.count > k


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (([1.0, 2.0],), {}),
        ((np.array([1, 2], "int16"),), {}),
        ((np.array([1, 2], ">f4"),), {}),
        ((), {"x": np.array([1, 2], "f4")}),
    ],
    ids=["list", "int16", "big-endian", "keyword"],
)
def test_converted_arguments_go_through_the_entry(monkeypatch, args, kwargs):
    x, v = st.placeholder((None,), name="x"), st.variable(np.zeros(2, "f4"))
    f = compiled([x], x * 2, updates=[(v, v + x)])
    f(np.zeros(2, "f4"))
    runs = []
    inner = type(f)._run
    monkeypatch.setattr(type(f), "_run", lambda *given: (runs.append(1), inner(*given))[1])
    np.testing.assert_array_equal(f(*args, **kwargs), [2, 4])
    np.testing.assert_array_equal(v.get_value(), [1, 2])
    assert not runs
    with pytest.raises(st.ShapeError):
        f([3.0, 4.0, 5.0])
    np.testing.assert_array_equal(v.get_value(), [1, 2])


def test_wrong_arguments_raise_as_ever_and_lose_nothing():
    x = st.placeholder((None, 3), name="x")
    w = st.variable(np.zeros(3, "f4"))
    f = compiled([x], None, updates=[(w, w + st.sum(x, 0))])
    good = np.ones((2, 3), "f4")
    f(good)
    f(good)
    with pytest.raises(st.errors.ShapeError, match="x"):
        f(np.ones((2, 4), "f4"))
    with pytest.raises(st.errors.DTypeError, match="x"):
        f(np.ones((2, 3), "f8"))
    with pytest.raises(st.errors.FunctionError, match="missing"):
        f()
    with pytest.raises(st.errors.FunctionError, match="2 given"):
        f(good, good)
    assert f(good) is None
    np.testing.assert_array_equal(w.get_value(), [6, 6, 6])


def test_results_belong_to_the_caller():
    x = st.placeholder((None,))
    f = compiled([x], x + 1)
    kept = [f(np.full(4, i, "f4")) for i in range(6)]
    assert len({r.ctypes.data for r in kept}) == 6
    for i, r in enumerate(kept):
        np.testing.assert_array_equal(r, np.full(4, i + 1))
        r[:] = -1  # writing to a result changes nothing else
    np.testing.assert_array_equal(f(np.zeros(4, "f4")), np.ones(4))


def test_results_that_were_let_go_are_used_again():
    x = st.placeholder((None,))
    f = compiled([x], x + 1)
    a = np.ones(1000, "f4")
    f(a)
    places = set()
    for _ in range(20):
        r = f(a)
        places.add(r.ctypes.data)
    assert len(places) <= 2


def change_shape(r):
    r.shape = (2, 5)


def change_dtype(r):
    r.dtype = "int32"


def change_metadata(r):
    r.dtype = np.dtype("f4", metadata={"unit": "m"})


def change_flags(r):
    r.flags.writeable = False


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")
@pytest.mark.parametrize("change", [change_shape, change_dtype, change_metadata, change_flags])
def test_a_result_changed_by_its_owner_is_not_used_again(change):
    x = st.placeholder((None,))
    f = compiled([x], x + 1)
    a = np.arange(10, dtype="f4")
    for _ in range(5):
        r = f(a)
        assert r.shape == (10,) and r.dtype == np.float32 and r.flags.writeable
        assert r.dtype.metadata is None
        np.testing.assert_array_equal(r, a + 1)
        change(r)


def test_views_and_weak_references_keep_a_result_alone():
    x = st.placeholder((None,))
    f = compiled([x], x + 1)
    f(np.zeros(8, "f4"))
    views, references = [], []
    for i in range(5):
        r = f(np.full(8, i, "f4"))
        views.append(r[2:4])
        del r
    assert [v[0] for v in views] == [1, 2, 3, 4, 5]
    r = f(np.zeros(8, "f4"))
    references.append(weakref.ref(r))
    place = r.ctypes.data
    del r
    assert f(np.zeros(8, "f4")).ctypes.data != place or references[0]() is None


def test_updates_are_simultaneous_and_borrowed_values_stay():
    a, b = st.variable(np.zeros(3, "f4")), st.variable(np.ones(3, "f4"))
    f = compiled([], [a - b], updates=[(a, 2 * b), (b, a + b)])
    values = [(0, 1)]
    held = []
    for _ in range(12):
        f()
        values.append((2 * values[-1][1], sum(values[-1])))
        held.append(a.get_value(borrow=True))
        assert (a.get_value()[0], b.get_value()[0]) == values[-1]
    assert [h[0] for h in held] == [v[0] for v in values[1:]]


def test_a_variable_set_between_calls_is_read():
    w = st.variable(np.zeros(3, "f4"), shape=(None,))
    f = compiled([], w * 2)
    for value in ([1, 2, 3], [4, 5, 6], [7, 8], [9, 10]):
        w.set_value(np.array(value, "f4"))
        np.testing.assert_array_equal(f(), np.array(value, "f4") * 2)


def test_references_are_neither_lost_nor_kept():
    x = st.placeholder((None,))
    w = st.variable(np.zeros(50, "f4"))
    f = compiled([x], [x * 2, st.sum(w)], updates=[(w, w + x)])
    a = np.ones(50, "f4")
    f(a)
    before = sys.getrefcount(a), sys.getrefcount(None), sys.getrefcount(w.store)
    for _ in range(1000):
        f(a)
    after = sys.getrefcount(a), sys.getrefcount(None), sys.getrefcount(w.store)
    assert all(abs(p - q) < 20 for p, q in zip(before, after, strict=True))
    r = weakref.ref(w.get_value(borrow=True))
    del f, w
    gc.collect()
    assert r() is None


def test_many_threads_share_one_function():
    x = st.placeholder((None, None))
    f = compiled([x], st.sum(st.tanh(x), 1))  # 400 x 400: other threads run meanwhile
    arrays = [np.full((400, 400), i / 10, "f4") for i in range(8)]
    wanted = [f(a) for a in arrays]
    wrong = []

    def work(i):
        for _ in range(60):
            if not np.array_equal(f(arrays[i]), wanted[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_two_threads_with_different_shapes_do_not_fill_one_frame_together(monkeypatch):
    x = st.placeholder((None, 4))
    f = compiled([x], [x * 2, st.sum(x, 0)])
    few, many = np.ones((3, 4), "f4"), np.ones((50, 4), "f4")
    others = [threading.Thread(target=f, args=(few,))]

    class Interrupted(Arenas):
        def take(self, size):
            if others:
                other = others.pop()
                other.start()
                other.join()
            return super().take(size)

    monkeypatch.setattr(f.executable._run._frame, "arenas", Interrupted())
    f(many)
    assert not others
    for given in (few, many, few, few):
        doubled, total = f(given)
        np.testing.assert_array_equal(doubled, 2 * given)
        np.testing.assert_array_equal(total, given.sum(0))


def test_no_update_is_lost_between_threads():
    w = st.variable(np.zeros(40_000, "f4"))
    f = compiled([], None, updates=[(w, w + 1)])
    g = compiled([], st.sum(w), updates=[(w, w + 1)])

    def work(h):
        for _ in range(200):
            h()

    threads = [threading.Thread(target=work, args=(h,)) for h in (f, g, f, g)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(w.get_value()) == {800.0}


def test_a_function_called_while_it_runs_serves_both():
    """An array whose owner calls the function again when it is dropped."""
    x = st.placeholder((None,))
    w = st.variable(np.zeros(4, "f4"))
    f = compiled([x], st.sum(w), updates=[(w, w + x)])
    ones = np.ones(4, "f4")
    f(ones)
    f(ones)
    seen = []

    class Owner:
        def __init__(self):
            self.memory = np.zeros(4, "f4")
            self.__array_interface__ = self.memory.__array_interface__

        def __del__(self):
            seen.append(f(ones))

    w.set_value(np.asarray(Owner()), borrow=True)
    f(ones)
    assert len(seen) == 1
    np.testing.assert_array_equal(w.get_value(), [2, 2, 2, 2])


@pytest.mark.parametrize("outputs", ["none", "one", "list", "tuple", "dict"])
def test_every_nesting_of_results(outputs):
    x = st.placeholder((None,))
    y, z = x + 1, x * 2
    nest = {"none": None, "one": y, "list": [y, z], "tuple": (y, z), "dict": {"y": y, "z": z}}
    f = st.function([x], nest[outputs], engine="llvm", on_unused_input="ignore")
    a = np.ones(3, "f4")
    for _ in range(3):
        got = f(a)
        assert type(got) is {"none": type(None), "one": np.ndarray}.get(
            outputs, type(nest[outputs])
        )
    if outputs == "dict":
        np.testing.assert_array_equal(got["z"], a * 2)


def test_scalars_come_as_arrays_without_axes():
    x = st.placeholder(())
    f = compiled([x], x * 2)
    for _ in range(3):
        r = f(np.array(3, "f4"))
        assert type(r) is np.ndarray and r.shape == () and r == 6
    assert f(2.5) == 5


def test_keywords_and_defaults_still_work():
    x, y = st.placeholder((None,), name="x"), st.placeholder((None,), name="y")
    f = compiled([x, st.Input(y, default=np.ones(3, "f4"))], x + st.specify_shape(y, x.shape))
    a = np.arange(3, dtype="f4")
    for _ in range(3):
        np.testing.assert_array_equal(f(a), a + 1)
        np.testing.assert_array_equal(f(x=a, y=a), 2 * a)
        np.testing.assert_array_equal(f(a, a), 2 * a)
