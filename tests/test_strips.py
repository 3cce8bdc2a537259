"""Rows that go step by step in strips: right for all shapes, and each row as if it were alone."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.emit import Emitter
from symtensor.codegen.kernel import Loop
from symtensor.codegen.kernel_parser import parse_kernel
from symtensor.codegen.strips import LONG_STRIP, ROWS, STRIP, takes_strips
from symtensor.codegen.target import named

RNG = np.random.default_rng(41)
COUNTS = [0, 1, 2, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 2]
LENGTHS = [1, 15, 64, 200, STRIP // 8 + 3, LONG_STRIP]
CENTRED = """kernel(b0: f32*, b1: f32*) sizes 300
  for i0 < 300:
    t0 = max over r0: f32
      vector r0 < 300:
        t1 = load b1[r0 + 300*i0]: f32
        t0 (+)= t1
    vector i1 < 300:
      t2 = load b1[i1 + 300*i0]: f32
      t3 = subtract(t2, t0): f32
      b0[i1 + 300*i0] <- t3"""
ALONE = """kernel(b0: f32*, b1: f32*) sizes 300
  for i0 < 300:
    t0 = max over r0: f32
      vector r0 < 300:
        t1 = load b1[r0 + 300*i0]: f32
        t0 (+)= t1
    b0[i0] <- t0"""


def compiled(inputs, outputs):
    return st.function(inputs, outputs, engine="llvm")


def normalized(x):
    centred = x - st.mean(x, axis=-1, keepdims=True)
    scale = st.sqrt(st.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    y = centred / scale
    dx = st.gradients(st.sum(y * y * y), x)
    return [y, dx, scale, st.softmax(x), x > st.max(x, axis=-1, keepdims=True) - 1]


def goes_in_strips(text):
    kernel = parse_kernel(text)
    (loop,) = (stmt for stmt in kernel.body if isinstance(stmt, Loop))
    return takes_strips(Emitter(kernel, named("avx512")), loop)


def softmax(dtype):
    x = st.placeholder((None, None), dtype, name="x")
    return compiled([x], st.softmax(x))


def test_rows_that_are_needed_again_go_in_strips():
    assert goes_in_strips(CENTRED)
    assert f"alloca [{ROWS} x float]" in softmax("float32").llvm_ir


def test_rows_that_are_folded_once_need_none():
    assert not goes_in_strips(ALONE)


def test_rows_that_are_long_are_taken_one_by_one():
    heavy = CENTRED.replace("subtract", "power")
    for text, longest in ((CENTRED, STRIP // 16), (heavy, LONG_STRIP // 16)):
        assert goes_in_strips(text.replace("300", str(longest)))
        assert not goes_in_strips(text.replace("300", str(longest + 1)))


def test_rows_that_may_write_one_place_keep_their_order():
    x = st.placeholder((None, 40), "float32", name="x")
    places = st.placeholder((None,), "int32", name="places")
    values = x / st.sum(x, axis=1, keepdims=True)
    f = compiled([x, places], st.set_at(st.zeros((5, 40)), places, values))
    rows = RNG.random((30, 40)).astype("f4")
    found = f(rows, np.arange(30, dtype="i4") % 5)
    expected = (rows / rows.sum(1, keepdims=True))[-5:]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_each_row_is_as_if_it_were_alone(dtype):
    x = st.placeholder((None, None), dtype, name="x")
    f = compiled([x], normalized(x))
    for length in LENGTHS:
        rows = RNG.standard_normal((max(COUNTS), length)).astype(dtype)
        alone = [f(rows[i : i + 1]) for i in range(len(rows))]
        for count in COUNTS:
            for number, found in enumerate(f(rows[:count])):
                expected = [one[number] for one in alone[:count]]
                np.testing.assert_array_equal(found, np.concatenate(expected or [found]))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softmax_is_that_of_long_doubles(dtype, length):
    f = softmax(dtype)
    for count in COUNTS:
        rows = (3 * RNG.standard_normal((count, length))).astype(dtype)
        wide = np.exp(rows.astype(np.longdouble))
        expected = wide / wide.sum(1, keepdims=True)
        np.testing.assert_allclose(f(rows), expected, rtol=30 * np.finfo(dtype).eps)


def test_rows_of_special_values_do_not_touch_their_neighbours():
    rows = RNG.standard_normal((20, 70)).astype("f4")
    expected = softmax("float32")(rows)
    special = [3, 4, 8, 19]
    rows[3, 5], rows[4], rows[8, 0], rows[19, 69] = np.nan, -np.inf, np.inf, -np.nan
    found = softmax("float32")(rows)
    assert np.isnan(found[special]).all()
    others = [i for i in range(20) if i not in special]
    np.testing.assert_array_equal(found[others], expected[others])


def test_an_index_out_of_range_is_refused():
    x = st.placeholder((None, None), "float32", name="x")
    labels = st.placeholder((None,), "int32", name="labels")
    loss = st.sparse_categorical_crossentropy(labels, x, from_logits=True)
    f = compiled([x, labels], [loss, st.gradients(st.sum(loss), x)])
    rows = RNG.standard_normal((20, 50)).astype("f4")
    good = (np.arange(20) % 50).astype("i4")
    assert all(np.isfinite(part).all() for part in f(rows, good))
    for place in (0, 7, 8, 19):
        bad = good.copy()
        bad[place] = 50
        with pytest.raises(st.IndexOutOfRange):
            f(rows, bad)


def test_a_fold_that_is_the_same_in_all_lanes_of_the_loop_around_it_stays_one():
    """What its elements are computed from is not spread over those lanes."""
    x, b = st.placeholder((2, 33, 33), "float64"), st.placeholder((2, 1, 33), "float64")
    e = st.exp(x - st.max(x, 2, keepdims=True))
    outputs = [b + st.sum(x, 0), e / st.sum(e, 2, keepdims=True)]
    f = st.function([x, b], outputs, engine="llvm")
    a, c = RNG.standard_normal((2, 33, 33)), RNG.standard_normal((2, 1, 33))
    shares = np.exp(a - a.max(2, keepdims=True))
    shares /= shares.sum(2, keepdims=True)
    for found, truth in zip(f(a, c), [c + a.sum(0), shares], strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-12)


def test_rows_that_are_joined_and_need_one_fold_twice():
    """Each piece folds the row; the second does so after the first has needed the result."""
    x = st.placeholder((100, 64), "float64")
    y = x * (st.sum(x, 1, keepdims=True) * 0.1)
    f = st.function([x], st.roll(y, 1, 1), engine="llvm")
    a = RNG.standard_normal((100, 64))
    truth = np.roll(a * a.sum(1, keepdims=True) * 0.1, 1, 1)
    np.testing.assert_allclose(f(a), truth, rtol=1e-11)
