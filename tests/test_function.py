"""`function`: the checklist of features.md section 4.1 to 4.4, by its ids, on both engines."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.function import CACHE_SIZE, _cache


@pytest.fixture(autouse=True, params=["numpy", "llvm"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with st.config(engine=request.param):
        yield request.param


def scalar(name: str | None = None, dtype: str = "float64") -> st.Tensor:
    return st.placeholder((), dtype, name=name)


def vector(name: str | None = None, dtype: str = "float64") -> st.Tensor:
    return st.placeholder((None,), dtype, name=name)


def line_of(here: int) -> str:
    """Return ``test_function.py:<line>`` for a line relative to the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return f"test_function.py:{frame.f_back.f_lineno + here}"


# --- inputs and outputs --------------------------------------------------------------------------


def test_f1_outputs_keep_their_nesting() -> None:
    x = scalar()
    assert st.function([x], x + 1)(1) == 2.0
    assert st.function([x], [x + 1])(1) == [2.0]
    assert st.function([x], (x, [x + 1]))(1) == (1.0, [2.0])
    assert st.function([x], {"b": x, "a": {"c": (x + 1,)}})(1) == {"b": 1.0, "a": {"c": (2.0,)}}
    assert list(st.function([x], {"b": x, "a": x})(1)) == ["b", "a"]
    assert st.function([x], [x, None, [x, x]])(1) == [1.0, None, [1.0, 1.0]]
    assert st.function([], None)() is None
    assert st.function([], [])() == []
    assert st.function([], [1.5, np.arange(2)])()[0] == 1.5


def test_f1_a_0d_result_is_an_array() -> None:
    x = scalar()
    assert isinstance(st.function([x], x * 2)(1), np.ndarray)


def test_f2_unused_inputs() -> None:
    x, y, v = scalar("x"), scalar("unused"), st.variable(1.0)
    with pytest.raises(st.UnusedInputError, match="'unused'"):
        st.function([x, y], x)
    with pytest.warns(st.SymtensorWarning, match="'unused'"):
        st.function([x, y], x, on_unused_input="warn")
    assert st.function([x, y], x, on_unused_input="ignore")(1, 2) == 1
    with pytest.raises(st.AttributeValueError):
        st.function([x, y], x, on_unused_input="never")
    st.function([x, y], x, updates=[(v, v + y)])(1, 2)
    assert v.get_value() == 3


def test_f2_an_input_can_be_needed_for_its_size() -> None:
    x, y = vector("x"), st.placeholder(("n",), name="y")
    z = st.placeholder(("n",), name="z")
    assert st.function([x], x.shape[0])([1, 2, 3]) == 3
    np.testing.assert_array_equal(st.function([x], st.zeros(x.shape))([1, 2]), [0, 0])
    with pytest.raises(st.UnusedInputError, match="'z'"):  # y gives the size already
        st.function([y, z], y)


def test_f3_wrong_inputs() -> None:
    x = scalar("x")
    with pytest.raises(st.FunctionError, match="twice"):
        st.function([x, x], x)
    with pytest.raises(st.FunctionError, match="givens"):
        st.function([st.variable(1.0)], x)
    with pytest.raises(st.FunctionError, match="givens"):
        st.function([st.constant(1.0)], x)
    with pytest.raises(st.FunctionError, match="found 3"):
        st.function([3], x)  # type: ignore[list-item]
    with pytest.raises(st.FunctionError, match=r"function\(\[x\]"):
        st.function(x, x)  # type: ignore[arg-type]
    with pytest.raises(st.FunctionError, match="outputs"):
        st.function([x], [x, object()])


def test_an_intermediate_tensor_is_cut_out_and_fed() -> None:
    x = vector("x")
    hidden = st.exp(x)
    out = hidden * 2 + st.sum(hidden)
    f = st.function([hidden], out)
    np.testing.assert_array_equal(f([1.0, 2.0]), [5.0, 7.0])
    with pytest.raises(st.MissingInputError, match="'x'"):
        st.function([hidden], out + x)


def test_f4_a_missing_input_is_found_when_compiling_and_names_the_line() -> None:
    x = scalar("x")
    y = st.placeholder((), "float64", name="absent")  # this line is in the message
    with pytest.raises(st.MissingInputError, match="'absent'") as caught:
        st.function([x], x + y)
    assert line_of(-3) in str(caught.value)


def test_f4_a_size_that_nothing_determines_is_found_when_compiling() -> None:
    x = st.placeholder(("rows", 2), name="x")
    with pytest.raises(st.MissingInputError, match="rows"):
        st.function([], st.zeros(x.shape))
    with pytest.raises(st.MissingInputError, match="rows"):
        st.function([], x.shape[0])


def test_f5_wrong_calls_are_type_errors() -> None:
    x, y = scalar("x"), scalar("y")
    f = st.function([x, y], x - y, name="minus")
    assert f(3, 1) == f(3, y=1) == f(y=1, x=3) == 2
    for args, kwargs, message in [
        ((1, 2, 3), {}, "takes 2 inputs, 3 given"),
        ((1,), {}, "'y' is missing"),
        ((), {}, "'x' is missing"),
        ((1, 2), {"z": 3}, "no input named 'z'"),
        ((1, 2), {"y": 3}, "'y' is given twice"),
    ]:
        with pytest.raises(TypeError, match=message) as caught:
            f(*args, **kwargs)
        assert caught.value.message.startswith("minus: ")


def test_f5_a_keyword_of_two_inputs_is_ambiguous() -> None:
    x, y = scalar("same"), scalar("same")
    f = st.function([x, y], x - y)
    assert f(3, 1) == 2
    with pytest.raises(TypeError, match="2 inputs are named 'same'"):
        f(3, same=1)
    g = st.function([x, st.Input(y, name="other")], x - y)
    assert g(3, other=1) == g(same=3, other=1) == 2


def test_f6_defaults() -> None:
    x, y = scalar("x"), vector("y")
    default = np.array([1.0, 2.0])
    f = st.function([x, st.Input(y, default=default)], x + y)
    default[0] = 100.0
    np.testing.assert_array_equal(f(1), [2, 3])
    np.testing.assert_array_equal(f(1, [5]), [6])
    with pytest.raises(st.DTypeError):
        f("text", [1])
    np.testing.assert_array_equal(f(1), [2, 3])
    np.testing.assert_array_equal(f[y], [1, 2])
    f["y"] = [7.0]
    f[1][...] = 9.0  # a copy
    np.testing.assert_array_equal(f(1), [8])
    with pytest.raises(TypeError, match="'x' is missing"):
        f[x]
    with pytest.raises(st.DTypeError):
        st.function([st.Input(x, default="text")], x)


def test_f7_an_input_with_an_update_is_state() -> None:
    x, step = scalar("x"), scalar("step")
    f = st.function([st.Input(x, default=0.0, update=x + step), st.Input(step, default=1)], x)
    assert [f(), f(), f(step=10), f(), f(x=100), f()] == [0, 1, 2, 12, 100, 101]
    f[x] = 5
    assert f() == 5 and f[x] == 6
    with pytest.raises(st.FunctionError, match="no default"):
        st.function([st.Input(x, update=x + 1)], x)


def test_f7_the_state_of_an_input_may_change_its_size() -> None:
    log, item = vector("log"), scalar("item")
    grown = st.concatenate([log, st.reshape(item, (1,))])
    f = st.function([st.Input(log, default=[], update=grown), item], log.shape[0])
    assert [f(item=1), f(item=2), f([1, 2, 3, 4], 5), f(item=6)] == [0, 1, 4, 5]
    np.testing.assert_array_equal(f[log], [1, 2, 3, 4, 5, 6])


def test_f8_none_is_refused_at_once() -> None:
    x = scalar("x")
    with pytest.raises(TypeError, match="x: expected a value"):
        st.function([x], x)(None)
    with pytest.raises(TypeError, match="expected a value"):
        st.function([x], x)(x)


def test_f9_a_subset_of_the_outputs_still_makes_all_updates() -> None:
    x, count = scalar("x"), st.variable(0)
    f = st.function([x], [x, x + 1, x + 2], updates=[(count, count + 1)])
    assert f(1, output_subset=[2, 0]) == [3.0, 1.0]
    assert f(x=1, output_subset=[1]) == [2.0]
    assert f(1) == [1, 2, 3]
    assert count.get_value() == 3
    g = st.function([x], {"a": x, "b": [x + 1, x + 2]})
    assert g(1, output_subset=["b"]) == {"b": [2.0, 3.0]}
    with pytest.raises(TypeError, match="no outputs"):
        f(1, output_subset=[7])
    with pytest.raises(TypeError, match="list or dict"):
        st.function([x], x)(1, output_subset=[0])


def test_f9_a_subset_computes_only_what_it_needs() -> None:
    x, i = vector("x"), scalar("i", "int64")
    f = st.function([x, i], [st.sum(x), st.take(x, i)])
    assert f([1, 2], 9, output_subset=[0]) == [3.0]
    with pytest.raises(IndexError):
        f([1, 2], 9)


def test_f10_results_are_the_callers() -> None:
    x, v = vector("x"), st.variable(np.arange(3.0))
    f = st.function([x], [x, x[1:], v, v, x[::-1]])
    array = np.array([1.0, 2.0, 3.0])
    results = f(array)
    for i, a in enumerate(results):
        for b in [array, v.get_value(borrow=True), *results[i + 1 :]]:
            assert not np.shares_memory(a, b)
        a[...] = -1
    np.testing.assert_array_equal(array, [1, 2, 3])
    np.testing.assert_array_equal(v.get_value(), [0, 1, 2])


def test_f12_copies() -> None:
    v, w, x = st.variable(1.0, name="v"), st.variable(10.0), scalar("x")
    f = st.function([x], v * x, updates=[(v, v + 1)])
    shared = f.copy(name="shared")
    assert shared.name == "shared" and shared(2) == 2 and v.get_value() == 2
    private = f.copy(share_memory=False)
    assert private(2) == 4 and private(2) == 6 and v.get_value() == 2
    swapped = f.copy(swap={v: w})
    assert swapped(2) == 20 and w.get_value() == 11 and v.get_value() == 2
    pure = f.copy(delete_updates=True)
    assert pure(2) == pure(2) == 4 and v.get_value() == 2
    assert f(2) == 4 and v.get_value() == 3 and len(f.graph.updates) == 1


def test_f12_swap_is_checked() -> None:
    v, w = st.variable(1.0), st.variable(2.0)
    f = st.function([], v, updates=[(v, v + 1), (w, w + 1)])
    with pytest.raises(st.UpdateError, match="two updates"):
        f.copy(swap={v: w})
    with pytest.raises(TypeError, match="types differ"):
        f.copy(swap={v: st.variable(1)})
    with pytest.raises(TypeError, match="no variable"):
        f.copy(swap={st.variable(1.0): w})
    with pytest.raises(TypeError, match="expected variables"):
        f.copy(swap={v: st.constant(1.0)})  # type: ignore[dict-item]


def test_f12_without_updates_the_state_of_an_input_is_its_default() -> None:
    x = scalar("x")
    f = st.function([st.Input(x, default=0.0, update=x + 1)], x)
    assert [f(), f()] == [0, 1]
    pure = f.copy(delete_updates=True)
    assert [pure(), pure(), f()] == [2, 2, 2]


def test_f13_copy_shares_and_deepcopy_does_not() -> None:
    v = st.variable(np.array([1.0]))
    f = st.function([], v, updates=[(v, v + 1)])
    assert copy.copy(f)() == 1 and v.get_value() == 2
    deep = copy.deepcopy(f)
    assert deep() == 2 and deep() == 3 and v.get_value() == 2
    other, its_variable = copy.deepcopy([f, v])
    assert other() == 2 and its_variable.get_value() == 3 and v.get_value() == 2


def test_f14_the_name_is_the_callers_line() -> None:
    x = scalar()
    assert st.function([x], x).name.endswith(line_of(0))
    assert st.function([x], x, name="mine").name == "mine"


def test_f15_an_error_leaves_every_variable_as_it_was() -> None:
    a, b, i = st.variable(np.arange(3.0)), st.variable(0), scalar("i", "int64")
    f = st.function([i], updates=[(b, b + 1), (a, st.set_at(a, i, 9.0))])
    before = a.get_value(borrow=True), b.get_value(borrow=True)
    with pytest.raises(IndexError):
        f(3)
    assert a.get_value(borrow=True) is before[0] and b.get_value(borrow=True) is before[1]
    f(-1)
    np.testing.assert_array_equal(a.get_value(), [0, 1, 9])
    assert b.get_value() == 1


def test_f15_also_an_interrupt() -> None:
    def interrupt(x: Any) -> Any:
        raise KeyboardInterrupt

    stop = st.custom_op("interrupting", interrupt, replace=True)
    a, b = st.variable(1.0), st.variable(2.0)
    f = st.function([], updates=[(a, a + 1), (b, stop(b))])
    with pytest.raises(KeyboardInterrupt):
        f()
    assert a.get_value() == 1 and b.get_value() == 2


# --- conversion of arguments ---------------------------------------------------------------------


def test_c1_c2_axes_and_sizes_must_match() -> None:
    x = st.placeholder((None, 1), "float64", name="x")
    f = st.function([x], x)
    for shape in ((3,), (), (1, 1, 1), (3, 2)):
        with pytest.raises(st.ShapeError, match="x: "):
            f(np.ones(shape))
    assert f(np.ones((1, 1))).shape == (1, 1)


@pytest.mark.parametrize(
    ("found", "declared", "accepted"),
    [
        ("int64", "float64", True), ("float32", "float64", True), ("int8", "float32", True),
        ("bool", "int8", True), ("uint8", "int16", True), ("float16", "float32", True),
        ("float64", "float32", False), ("int64", "int32", False), ("int32", "float32", False),
        ("float32", "int32", False), ("uint64", "int64", False), ("int64", "bool", False),
    ],
)  # fmt: skip
def test_c3_arrays_must_promote_to_the_declared_dtype(
    found: str, declared: str, accepted: bool
) -> None:
    x = vector("x", declared)
    f = st.function([x], x)
    array = np.array([0, 1], found)
    if accepted:
        assert f(array).dtype == declared
    else:
        with pytest.raises(st.DTypeError, match="expected"):
            f(array)
        narrow = st.function([x], x, allow_downcast=True)
        np.testing.assert_array_equal(narrow(array), array.astype(declared))
    zero = st.function([scalar("z", declared)], st.constant(0), on_unused_input="ignore")
    if not accepted:
        with pytest.raises(st.DTypeError):
            zero(array[0])  # a NumPy scalar has a dtype too


def test_c4_lists_and_numbers_must_survive() -> None:
    x, i, s = vector("x", "float32"), vector("i", "int32"), scalar("s", "int8")
    f, g, h = (st.function([t], t) for t in (x, i, s))
    np.testing.assert_array_equal(f([1.0, 2.5, np.nan]), np.array([1, 2.5, np.nan], "f4"))
    np.testing.assert_array_equal(f([1, True]), [1, 1])
    np.testing.assert_array_equal(g([1, 2.0]), [1, 2])
    assert h(True) == 1 and h(-128) == -128 and h(3.0) == 3
    for bad, run in (
        ([0.1, 0.2], f), ([1.5], g), ([np.nan], g), ([2**40], g), (300, h), (2**70, h),
        (1.5, h), ("1", h), ([1, "a"], f), (1j, h),
    ):  # fmt: skip
        with pytest.raises(st.DTypeError):
            run(bad)
    with pytest.raises(st.ShapeError):
        f([[1.0], [1.0, 2.0]])


def test_c5_allow_downcast() -> None:
    x = scalar("x", "float32")
    f = {allow: st.function([x], x, allow_downcast=allow) for allow in (None, True, False)}
    assert f[None](0.1) == f[True](0.1) == np.float32(0.1)
    assert f[False](0.5) == 0.5
    with pytest.raises(st.DTypeError):
        f[False](0.1)
    for allow in (None, False):
        with pytest.raises(st.DTypeError):
            f[allow](np.float64(0.1))
    i = scalar("i", "int8")
    casts = st.function([i], i, allow_downcast=True)
    assert [int(casts(v)) for v in (1.9, 1e9, np.nan, 257)] == [1, 127, 0, 1]


def test_c6_strict_inputs_take_their_dtype_only() -> None:
    x = vector("x")
    f = st.function([st.Input(x, strict=True)], x)
    np.testing.assert_array_equal(f(np.ones(2)), [1, 1])
    for bad in (np.ones(2, "f4"), [1, 2]):
        with pytest.raises(st.DTypeError):
            f(bad)


def test_c7_memory_layouts() -> None:
    x = st.placeholder((None, None), "float64")
    f = st.function([x], st.exp(x) + st.sum(x, 0))
    base = np.linspace(-1, 1, 24).reshape(4, 6)
    raw = np.zeros(base.nbytes + 1, np.uint8)[1:]
    unaligned = raw.view("f8").reshape(4, 6)
    unaligned[...] = base
    frozen = base.copy()
    frozen.flags.writeable = False
    for a in (
        base.T, base[::-2, ::-1], np.asfortranarray(base), base.astype(">f8"), unaligned, frozen,
        np.broadcast_to(base[0], (4, 6)), base[:0], base[:, :0],
    ):  # fmt: skip
        before = a.copy()
        np.testing.assert_allclose(f(a), np.exp(a) + a.sum(0), rtol=1e-14)
        np.testing.assert_array_equal(a, before)


def test_c7_memory_mapped_files(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "data", "f8", "w+", shape=(3,))
    mapped[...] = 2.0
    x = vector()
    np.testing.assert_array_equal(st.function([x], x + 1)(mapped), [3, 3, 3])


def test_c8_subclasses_that_mean_more_are_refused() -> None:
    x = vector("x")
    f = st.function([x], x)
    with pytest.raises(st.DTypeError, match="MaskedArray"):
        f(np.ma.masked_array([1.0, 2.0], [True, False]))
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0]])
    with pytest.raises(st.DTypeError, match="matrix"):
        f(matrix)
    np.testing.assert_array_equal(f(st.variable([1.0])), [1.0])  # anything with __array__


def test_c8_empty_and_0d() -> None:
    x, s = st.placeholder((None, None), "float64"), scalar()
    f = st.function([x, s], [st.sum(x), x * s])
    total, scaled = f(np.zeros((0, 3)), np.array(2.0))
    assert total == 0 and scaled.shape == (0, 3)
    assert f(np.ones((1, 1)), np.float64(3.0))[1] == 3


# --- updates -------------------------------------------------------------------------------------


def test_u1_updates_are_simultaneous() -> None:
    a, b = st.variable(1.0), st.variable(2.0)
    st.function([], updates=[(a, b), (b, a)])()
    assert (a.get_value(), b.get_value()) == (2, 1)


def test_u2_outputs_see_old_values() -> None:
    x = st.variable(np.array([1.0, 2.0]))
    f = st.function([], [x, st.sum(x)], updates=[(x, st.add_at(x, 0, 10.0))])
    old, total = f()
    np.testing.assert_array_equal(old, [1, 2])
    assert total == 3
    np.testing.assert_array_equal(x.get_value(), [11, 2])


def test_u3_two_updates_of_one_variable() -> None:
    a = st.variable(1.0)
    with pytest.raises(ValueError, match="two updates"):
        st.function([], updates=[(a, a + 1), (a, a + 2)])
    with pytest.raises(ValueError, match="two updates"):
        st.function([], updates=[(a, a + 1), (st.ops.variables.variable_of(a.node), a)])


def test_u4_types_of_updates() -> None:
    a, i = st.variable(np.ones((2, 3), "f4")), st.variable(np.array([1, 2]))
    x = scalar("x", "float64")
    with pytest.raises(TypeError, match=r"float64(?s:.*)cast") as caught:
        st.function([x], updates=[(a, a * x)])
    assert line_of(-1) in str(caught.value)
    with pytest.raises(ValueError, match="axes"):
        st.function([], updates=[(a, st.sum(a, 0))])
    with pytest.raises(ValueError, match=r"f32\[2, 3\]"):
        st.function([], updates=[(a, st.concatenate([a, a]))])
    with pytest.raises(st.UpdateError, match="only variables"):
        st.function([x], updates=[(x, x)])
    with pytest.raises(st.UpdateError, match="pairs"):
        st.function([], updates=[a])
    with pytest.raises(TypeError):
        st.function([], updates=[(i, [0.5, 1.0])])
    st.function([], updates=[(i, [7, 8]), (a, a.astype("float16").astype("float32"))])()
    np.testing.assert_array_equal(i.get_value(), [7, 8])


def test_u4_a_size_that_can_not_be_proved_is_checked_in_the_call() -> None:
    a, x = st.variable(np.zeros(3)), vector("x")
    f = st.function([x], updates=[(a, x)])
    f(np.ones(3))
    with pytest.raises(st.ShapeError):
        f(np.ones(4))
    np.testing.assert_array_equal(a.get_value(), [1, 1, 1])


def test_u5_storages_do_not_alias() -> None:
    a, b, x = st.variable(np.zeros(3)), st.variable(np.arange(3.0)), vector("x")
    array = np.array([5.0, 6.0, 7.0])
    st.function([], updates=[(a, b)])()
    assert not np.shares_memory(a.get_value(borrow=True), b.get_value(borrow=True))
    st.function([x], updates=[(a, x)])(array)
    assert not np.shares_memory(a.get_value(borrow=True), array)
    st.function([], updates=[(a, a[::-1])])()
    np.testing.assert_array_equal(a.get_value(), [7, 6, 5])
    out = st.function([], a * 1, updates=[(a, a * 1)])()
    assert not np.shares_memory(a.get_value(borrow=True), out)


def test_u6_forms_of_updates() -> None:
    a, b = st.variable(0), st.variable(0)
    for updates in ([(a, a + 1), [b, b + 1]], {a: a + 1, b: b + 1}, iter([(a, a + 1), (b, b + 1)])):
        st.function([], updates=updates)()
    assert a.get_value() == b.get_value() == 3


def test_u7_targets_need_not_be_read() -> None:
    a, x = st.variable(0.0), scalar()
    assert st.function([x], updates=[(a, x * 2)])(4) is None
    assert a.get_value() == 8


def test_u8_default_updates() -> None:
    a, b, c = (st.variable(0, name=n) for n in "abc")
    a.default_update = a + b + 1  # reaches b
    b.default_update = b + 10
    f = st.function([], a * 1)
    assert [f(), f()] == [0, 1] and a.get_value() == 12 and b.get_value() == 20
    st.function([], c, updates=[(c, a)])()  # reached through an update
    assert c.get_value() == 12 and a.get_value() == 33
    st.function([], a, updates=[(a, a * 0)])()  # explicit wins; b is not reached
    assert a.get_value() == 0 and b.get_value() == 30
    st.function([], a, no_default_updates=True)()
    assert a.get_value() == 0 and b.get_value() == 30
    st.function([], a, no_default_updates=[a])()
    assert a.get_value() == 0 and b.get_value() == 30
    st.function([], a, no_default_updates=[b])()
    assert a.get_value() == 31 and b.get_value() == 30


def test_u8_random_numbers_move_on() -> None:
    a = st.variable(0)
    a.default_update = a + 1
    assert [int((a * 2).eval()) for _ in range(3)] == [0, 2, 4]


def test_u9_a_variable_reached_through_givens() -> None:
    x, a = scalar("x"), st.variable(1.0)
    f = st.function([], x * 3, givens={x: a}, updates=[(a, a + 1)])
    assert [f(), f()] == [3, 6]
    b = st.variable(1.0)
    b.default_update = b + 1
    g = st.function([], x * 3, givens={x: b})
    assert [g(), g()] == [3, 6]


def test_u9_a_variable_that_givens_replace_is_not_reached() -> None:
    a = st.variable(1.0)
    a.default_update = a + 1
    assert st.function([], a * 3, givens={a: 5.0})() == 15
    assert a.get_value() == 1


def test_u11_sizes_may_change() -> None:
    a = st.variable(np.zeros(1), shape=(None,))
    f = st.function([], a.shape[0], updates=[(a, st.concatenate([a, a]))])
    assert [f(), f(), f()] == [1, 2, 4]
    square = st.variable(np.zeros((2, 2)), shape=("side", "side"))
    with pytest.raises(st.ShapeError):
        st.function([], updates=[(square, st.concatenate([square, square]))])()
    doubled = st.tile(square, (2, 2))
    st.function([], updates=[(square, doubled)])()
    assert square.get_value().shape == (4, 4)


# --- givens --------------------------------------------------------------------------------------


def test_g1_givens_reach_outputs_and_updates() -> None:
    x, a = scalar("x"), st.variable(0.0)
    f = st.function([], x + 1, updates=[(a, x * 2)], givens=[(x, st.constant(4.0))])
    assert f() == 5 and a.get_value() == 8


def test_g2_an_input_can_not_be_replaced() -> None:
    x = scalar("x")
    with pytest.raises(TypeError, match="is an input"):
        st.function([x], x, givens={x: 1.0})
    with pytest.raises(TypeError, match="twice"):
        st.function([], x, givens=[(x, 1.0), (x, 2.0)])
    with pytest.raises(TypeError, match="expected a tensor"):
        st.function([x], x, givens=[("x", 1.0)])
    with pytest.raises(TypeError, match="pairs"):
        st.function([x], x, givens=[x])


def test_g3_givens_are_simultaneous() -> None:
    a, b = st.variable(1.0), st.variable(2.0)
    assert st.function([], a - 10 * b, givens={a: b, b: a})() == -8
    assert st.function([], a * 10, givens={a: a + 1})() == 20


def test_g4_types_must_agree() -> None:
    x, m = scalar("x"), st.placeholder((None, 3), name="m")
    with pytest.raises(TypeError, match="astype"):
        st.function([], x, givens={x: st.constant(1.0, "float32")})
    with pytest.raises(ValueError, match="can't become"):
        st.function([], x, givens={x: st.constant(np.zeros(2))})
    with pytest.raises(ValueError, match="can't become"):
        st.function([], m, givens={m: st.constant(np.zeros((2, 4), "f4"))})
    with pytest.raises(TypeError):
        st.function([], m, givens={m: np.full((2, 3), 0.1)})


def test_g4_sizes_come_along() -> None:
    x, w = st.placeholder((None, 3), name="x"), vector("w", "float32")
    y = st.sum(x, 0) * x.shape[0]
    f = st.function([], y, givens={x: np.ones((4, 3), "f4")})
    np.testing.assert_array_equal(f(), [16, 16, 16])
    pieces = st.reshape(w, (-1, 3))
    g = st.function([w], y, givens={x: pieces})
    np.testing.assert_array_equal(g(np.ones(6, "f4")), [4, 4, 4])
    np.testing.assert_array_equal(g(np.ones(9, "f4")), [9, 9, 9])


def test_g4_sizes_that_must_agree_are_checked() -> None:
    x, y, z = st.placeholder(("k",)), st.placeholder(("k",)), vector("z", "float32")
    f = st.function([z], x + y, givens={x: z[1:], y: np.ones(2, "f4")})
    np.testing.assert_array_equal(f([0, 1, 2]), [2, 3])
    with pytest.raises(st.ShapeError):
        f([0, 1, 2, 3])
    with pytest.raises(st.ShapeError, match="can't become"):
        st.function([], x + y, givens={x: np.ones(3, "f4"), y: np.ones(2, "f4")})


def test_g4_one_input_can_not_get_two_types() -> None:
    x, y = st.placeholder(("n",), name="x"), st.placeholder(("n",), name="y")
    grown = st.concatenate([y, y])
    with pytest.raises(st.ShapeError, match="givens"):
        st.function([y], st.sum(x) + st.sum(y), givens={x: grown})


def test_g5_a_plain_value_can_be_given() -> None:
    x, v = scalar("x", "float32"), vector("v")
    f = st.function([], [x + 1, v * 2], givens={x: 0.1, v: [1, 2]})
    assert f()[0] == np.float32(0.1) + np.float32(1)
    np.testing.assert_array_equal(f()[1], [2, 4])


def test_g6_intermediate_tensors_and_variables_can_be_replaced() -> None:
    x, v = scalar("x"), st.variable(2.0)
    middle = st.exp(x)
    out = middle * v + x
    before = out.node
    assert st.function([x], out, givens={middle: x + 1, v: st.constant(10.0)})(3) == 43
    assert out.node is before and st.function([x], out)(0) == 2


# --- inspection, sizes, threads, eval ------------------------------------------------------------


def test_one_compile_serves_all_sizes(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    from symtensor.codegen import program

    emitted: list[str] = []
    load = program.load_module
    monkeypatch.setattr(
        program, "load_module", lambda text, *rest: emitted.append(text) or load(text, *rest)
    )
    x, w = st.placeholder((None, 4), "float64"), st.variable(np.ones((4, 2)))
    loss = st.mean(st.square(st.tanh(st.dot(x, w))))
    f = st.function([x], loss, updates=[(w, w - 0.1 * st.gradients(loss, w))])
    for n in (1, 2, 7, 128, 0, 7):
        f(np.ones((n, 4)))
    assert f.compile_count == 1
    assert len(emitted) == (1 if engine == "llvm" else 0)


def test_graphs_and_explanation(engine: str) -> None:
    x = vector("x")
    f = st.function([x], st.log(st.exp(x) + 1) + 0 * 1, name="named")
    assert [n.name for n in f.graph.inputs] == ["x"]
    assert f.optimized.inputs == f.graph.inputs
    text = f.explain()
    assert text.startswith(f"function named, engine {engine}") and "pass stabilize" in text
    assert "named" in repr(f) and engine in repr(f)
    assert len(st.function([x], x + 0 * 1, passes=[]).stages) == 1


def test_a_shape_error_names_op_shapes_and_line() -> None:
    x, y = vector("x"), vector("y")
    total = x * y  # this line is in the message
    f = st.function([x, y], total)
    with pytest.raises(st.ShapeError) as caught:
        f(np.ones(3), np.ones(4))
    text = str(caught.value)
    assert "3" in text and "4" in text and line_of(-5) in text


def test_calls_from_many_threads() -> None:
    x, total = vector(), st.variable(0.0)
    f = st.function([x], st.sum(x), updates=[(total, total + st.sum(x))])
    arrays = [np.full(n % 5, float(n)) for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(f, arrays))
    assert [float(s) for s in sums] == [float(a.sum()) for a in arrays]
    assert total.get_value() == sum(a.sum() for a in arrays)


def test_functions_that_update_the_same_variables_do_not_deadlock() -> None:
    a, b = st.variable(0), st.variable(0)
    f = st.function([], updates=[(a, a + 1), (b, b - 1)])
    g = st.function([], updates=[(b, b - 1), (a, a + 1)])
    read = st.function([], a + b)
    seen: list[int] = []

    def work(run: Any) -> None:
        for _ in range(100):
            run()
            seen.append(int(read()))

    threads = [threading.Thread(target=work, args=(h,)) for h in (f, g, f, g)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads)
    assert a.get_value() == 400 and b.get_value() == -400
    assert set(seen) == {0}, "a reader saw one variable before and one after an update"


def test_eval() -> None:
    x, y = vector("x"), scalar("y")
    out = x * y
    np.testing.assert_array_equal(out.eval({x: [1, 2], y: 3}), [3, 6])
    cached = len(_cache)
    np.testing.assert_array_equal(out.eval({x: [1, 2, 3], y: 3}), [3, 6, 9])
    assert len(_cache) == cached
    assert st.constant(2.0).eval() == 2
    assert out.eval({x: [1.0], y: 2, scalar(): 5}) == 2
    with pytest.raises(st.MissingInputError):
        out.eval({x: [1.0]})
    assert y.eval({y: 1}, engine="numpy") == 1
    for i in range(CACHE_SIZE + 5):
        (y + i).eval({y: 1})
    assert len(_cache) == CACHE_SIZE
