"""Rows that are no whole vectors: their rests are right for every length and write nothing beside them."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.kernel_parser import parse_kernel
from symtensor.codegen.phases import emit_kernel
from symtensor.codegen.target import named

RNG = np.random.default_rng(43)
LENGTHS = [*range(1, 36), 63, 64, 65, 79, 130]
DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int32", "uint16", "bool"]
SCALED = """kernel(b0: f32*, b1: f32*, b2: f32*) sizes 10
  for i0 < 300:
    vector i1 < 10:
      t0 = load b1[i1 + 10*i0]: f32
      t1 = load b2[i0]: f32
      t2 = multiply(t0, t1): f32
      b0[i1 + 10*i0] <- t2"""


def rows(count, length, dtype):
    numbers = RNG.integers(0 if dtype.startswith(("u", "b")) else -9, 9, (count, length))
    return numbers.astype(st.as_dtype(dtype).numpy)


def both(inputs, outputs):
    return [st.function(inputs, outputs, engine=engine) for engine in ("llvm", "numpy")]


@pytest.mark.parametrize("dtype", DTYPES)
def test_folds_of_rows_of_every_length(dtype):
    x = st.placeholder((None, None), dtype, name="x")
    found = [
        st.max(x, axis=1),
        st.argmax(x, axis=1),
        st.argmin(x, axis=1),
        st.any(st.not_equal(x, 0), axis=1),
    ]
    if dtype != "bool":
        found += [st.sum(x, axis=1), st.min(x, axis=1)]
    if dtype in ("float32", "float64", "int32"):
        found.append(st.prod(st.cast(st.where(x > 0, 2, -1), dtype), axis=1))
    ours, reference = both([x], found)
    for length in LENGTHS:
        data = rows(9, length, dtype)
        for got, wanted in zip(ours(data), reference(data), strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=f"{length}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_are_folded_and_needed_again(dtype):
    x = st.placeholder((None, None), dtype, name="x")
    for length in LENGTHS:
        data = RNG.standard_normal((19, length)).astype(dtype)
        f = st.function(
            [x], [st.softmax(x), st.log_softmax(x), x / st.sum(x * x, axis=1, keepdims=True)]
        )
        truth = data.astype("longdouble")
        shifted = truth - truth.max(1, keepdims=True)
        total = np.exp(shifted).sum(1, keepdims=True)
        wanted = [
            np.exp(shifted) / total,
            shifted - np.log(total),
            truth / (truth**2).sum(1, keepdims=True),
        ]
        for got, true in zip(f(data), wanted, strict=True):
            np.testing.assert_allclose(
                got, true, rtol=2e-6 if dtype == "float32" else 4e-15, atol=1e-7
            )


def test_the_first_nan_of_a_rest_wins_and_its_lanes_beyond_do_not_count():
    x = st.placeholder((None, None), "float32", name="x")
    ours, reference = both([x], [st.argmax(x, axis=1), st.max(x, axis=1), st.argmin(x, axis=1)])
    data = np.full((4, 21), -np.inf, "f4")
    data[1, 17:19] = np.nan
    data[2] = np.inf
    data[3, 20] = 0
    for got, wanted in zip(ours(data), reference(data), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("length", [3, 10, 17, 31])
def test_nothing_beside_a_rest_is_written(length):
    x = st.placeholder((None, length), "float32", name="x")
    y = st.placeholder((None, 5), "float32", name="y")
    f = st.function([x, y], st.concatenate([y, st.softmax(x), y], axis=1))
    a, b = RNG.standard_normal((40, length)).astype("f4"), RNG.standard_normal((40, 5)).astype("f4")
    got = f(a, b)
    np.testing.assert_array_equal(got[:, :5], b)
    np.testing.assert_array_equal(got[:, -5:], b)
    np.testing.assert_allclose(got[:, 5:-5].sum(1), 1, rtol=1e-6)


def test_integers_of_a_rest_divide_by_no_zero_of_theirs():
    x = st.placeholder((None, 10), "int32", name="x")
    y = st.placeholder((None, 1), "int32", name="y")
    f = st.function([x, y], [y // x, st.sum(y // x, axis=1)])
    a = RNG.integers(1, 9, (33, 10)).astype("i4")
    b = RNG.integers(0, 99, (33, 1)).astype("i4")
    quotients, sums = f(a, b)
    np.testing.assert_array_equal(quotients, b // a)
    np.testing.assert_array_equal(sums, (b // a).sum(1))


@pytest.mark.parametrize(("target", "masked"), [("avx512", True), ("avx2", False), ("neon", False)])
def test_only_where_masks_are_cheap(target, masked):
    text = emit_kernel(parse_kernel(SCALED), "kernel0", named(target)).text
    assert ("llvm.masked.store" in text and "llvm.masked.load" in text) == masked


def test_rests_that_are_written_without_a_mask_are_read_back_from_there():
    x = st.placeholder((None, None), "float32", name="x")
    f = st.function([x], st.softmax(x[:, ::2]))
    for length in (6, 20, 70):
        data = RNG.standard_normal((21, length)).astype("f4")
        powers = np.exp(data[:, ::2].astype("f8"))
        np.testing.assert_allclose(f(data), powers / powers.sum(1, keepdims=True), rtol=2e-6)
