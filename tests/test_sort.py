"""What the samples of sorting can't say: stability, gradients through ties, unknown sizes."""

import hypothesis.extra.numpy as hn
import hypothesis.strategies as hs
import numpy as np
import pytest
from hypothesis import given, settings

import symtensor as st
from symtensor.ops.interpret import run_graph

floats = hs.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan])
vectors = hn.arrays(np.float64, hs.integers(0, 12), elements=floats)


def run(build, *arrays):
    inputs = [st.placeholder([None] * a.ndim, a.dtype) for a in arrays]
    built = build(*inputs)
    outputs = [built] if isinstance(built, st.Tensor) else list(built)
    graph = st.Graph(tuple(x.node for x in inputs), tuple(y.node for y in outputs))
    return run_graph(graph, arrays)


def key(value):
    """Rising order with NaN last, in which equal values are equal."""
    return (np.isnan(value), 0.0 if np.isnan(value) else value)


@settings(max_examples=200, deadline=None)
@given(vectors)
def test_argsort_is_pythons_stable_sort(v):
    (order,) = run(st.argsort, v)
    assert order.tolist() == sorted(range(len(v)), key=lambda i: key(v[i]))


@settings(max_examples=200, deadline=None)
@given(vectors)
def test_falling_order_is_stable_too(v):
    (order,) = run(lambda x: st.argsort(x, descending=True), v)
    assert order.tolist() == sorted(range(len(v)), key=lambda i: key(v[i]), reverse=True)


@settings(max_examples=100, deadline=None)
@given(vectors, hs.integers(0, 12))
def test_top_k_is_the_head_of_falling_order(v, k):
    if k > len(v):
        with pytest.raises(ValueError):
            run(lambda x: st.top_k(x, k), v)
        return
    values, indices = run(lambda x: st.top_k(x, k), v)
    falling = sorted(range(len(v)), key=lambda i: key(v[i]), reverse=True)
    assert indices.tolist() == falling[:k]
    np.testing.assert_array_equal(values, v[indices])
    np.testing.assert_array_equal(np.signbit(values), np.signbit(v[indices]))


@settings(max_examples=100, deadline=None)
@given(vectors, vectors, hs.sampled_from(["left", "right"]))
def test_searchsorted_is_numpys(a, v, side):
    a = np.sort(a)
    (found,) = run(lambda x, y: st.searchsorted(x, y, side), a, v)
    np.testing.assert_array_equal(found, np.searchsorted(a, v, side))


def test_gradients_follow_the_permutation_and_ties_keep_their_place():
    x = st.placeholder((None,), "float64")
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    values = np.array([2.0, 1.0, 2.0, 0.5])
    (g,) = st.gradients(st.sum(st.sort(x) * weights), [x])
    np.testing.assert_array_equal(g.eval({x: values}), [100.0, 10.0, 1000.0, 1.0])
    top, _ = st.top_k(x, 2)
    (g,) = st.gradients(st.sum(top * weights[:2]), [x])
    np.testing.assert_array_equal(g.eval({x: values}), [1.0, 0.0, 10.0, 0.0])


def test_a_k_known_to_be_too_large_is_refused_when_built():
    with pytest.raises(ValueError, match="k = 4 exceeds the size 3"):
        st.top_k(st.placeholder((2, 3)), 4)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_a_length_that_the_data_tell(engine):
    x = st.placeholder((None,), "int64")
    counts = st.bincount(x)
    f = st.function([x], [counts, counts + 1, st.sum(counts)], engine=engine)
    for values in ([3, 1, 1], [], [7]):
        got = f(np.array(values, "int64"))
        wanted = np.bincount(np.array(values, "int64"))
        for value, want in zip(got, (wanted, wanted + 1, wanted.sum()), strict=True):
            np.testing.assert_array_equal(value, want)


def test_what_can_not_be_counted_is_named():
    x = st.placeholder((None,), "int64")
    with pytest.raises(st.IndexOutOfRange, match="9 is not below the length 4"):
        st.bincount(x, 4).eval({x: np.array([1, 9])})
    with pytest.raises(st.ShapeError, match="vector of integers"):
        st.bincount(st.placeholder((2, 2), "int64"))
    with pytest.raises(st.AttributeValueError, match="left or right"):
        st.searchsorted(x, x, "middle")


@settings(max_examples=200, deadline=None)
@given(hn.arrays(np.float64, (2, 24), elements=floats), hs.integers(0, 6), hs.booleans())
def test_the_largest_of_long_rows_are_the_head_of_falling_order(v, k, single):
    v = v.astype("f4") if single else v
    _, places = run(lambda x: st.top_k(x, k), v)
    _, whole = run(lambda x: (x, st.argsort(x, descending=True)), v)
    assert places.tolist() == whole[:, :k].tolist()


@pytest.mark.parametrize("dtype", ["bool", "i1", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
@pytest.mark.parametrize("most", [3, 1 << 40])
def test_sorts_are_stable_for_every_dtype_and_any_range(dtype, most):
    rng = np.random.default_rng(3)
    v = rng.integers(0, min(most, 2000) if dtype == "f2" else most, (5, 60, 2))
    if dtype[0] in "iu":
        info = np.iinfo(dtype)
        v = v.astype(dtype)
        v[0, 7], v[0, 20] = info.min, info.max
    elif dtype[0] == "f":
        v = (v - 1).astype(dtype) * -1  # of both zeros
        v[1, 3:7], v[2, 9], v[3, 3] = np.nan, -np.nan, -np.inf
    v = v.astype(dtype)
    order, values = run(lambda x: (st.argsort(x, 1), st.sort(x, 1)), v)
    np.testing.assert_array_equal(order, np.argsort(v, axis=1, kind="stable"))
    wanted = np.sort(v, axis=1, kind="stable")
    np.testing.assert_array_equal(values, wanted)
    if dtype[0] == "f":
        known = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(values)[known], np.signbit(wanted)[known])
