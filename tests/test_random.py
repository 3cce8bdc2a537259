"""Random streams: bits, distributions, state."""

import numpy as np
import pytest

import symtensor as st

stats = pytest.importorskip("scipy.stats")
COUNT = 20_000


def draw(make, engine="numpy"):
    stream = st.RandomStream(17)
    return st.function([], make(stream), engine=engine)()


DISTRIBUTIONS = {
    "uniform": (lambda s: s.uniform((COUNT,), -2, 3, "float64"), stats.uniform(-2, 5)),
    "normal": (lambda s: s.normal((COUNT,), 1, 2, "float64"), stats.norm(1, 2)),
    "truncated": (lambda s: s.truncated_normal((COUNT,), 0, 1, "float64"), stats.truncnorm(-2, 2)),
    "exponential": (lambda s: s.exponential((COUNT,), 3, "float64"), stats.expon(0, 3)),
    "gumbel": (lambda s: s.gumbel((COUNT,), "float64"), stats.gumbel_r()),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_pass_kolmogorov_smirnov(name):
    make, law = DISTRIBUTIONS[name]
    assert stats.kstest(draw(make), law.cdf).pvalue > 0.01


def test_discrete_distributions():
    heads = draw(lambda s: s.bernoulli((COUNT,), 0.3))
    assert set(np.unique(heads)) == {0, 1} and abs(heads.mean() - 0.3) < 0.02
    counts = draw(lambda s: s.binomial((COUNT,), 10, 0.4))
    expected = stats.binom(10, 0.4).pmf(np.arange(11)) * COUNT
    kept = expected > 5
    found = np.bincount(counts, minlength=11)
    assert (
        stats.chisquare(
            found[kept], expected[kept] * found[kept].sum() / expected[kept].sum()
        ).pvalue
        > 0.01
    )
    dice = draw(lambda s: s.randint((COUNT,), -1, 5))
    assert dice.min() == -1 and dice.max() == 4
    assert stats.chisquare(np.bincount(dice + 1)).pvalue > 0.01
    assert sorted(draw(lambda s: s.permutation(50))) == list(range(50))
    mask = draw(lambda s: s.dropout_mask((COUNT,), 0.25))
    assert set(np.unique(mask)) == {0, np.float32(1 / 0.75)} and abs(mask.mean() - 1) < 0.02


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_stays_below_its_upper_bound(dtype):
    low, high = 1.0, 1.0 + 4 * np.finfo(dtype).eps
    values = draw(lambda s: s.uniform((COUNT,), low, high, dtype))
    assert (values >= low).all() and (values < np.dtype(dtype).type(high)).all()
    assert values.dtype == dtype


def test_engines_draw_the_same_bits():
    make = lambda s: [s.uniform((100,)), s.permutation(20), s.bernoulli((50,), 0.5)]  # noqa: E731
    for a, b in zip(draw(make, "numpy"), draw(make, "llvm"), strict=True):
        np.testing.assert_array_equal(a, b)
    normals = [draw(lambda s: s.normal((100,)), engine) for engine in ("numpy", "llvm")]
    np.testing.assert_allclose(*normals, rtol=2e-6, atol=1e-6)


def test_state_moves_once_per_call_and_per_draw():
    stream = st.RandomStream(1)
    u, v = stream.uniform((3,)), stream.uniform((3,))
    both = st.function([], [u, u + 0, v], engine="numpy")
    only_u = st.function([], u, engine="numpy")
    first = both()
    np.testing.assert_array_equal(first[0], first[1])  # one draw, used twice
    assert (first[0] != first[2]).all()
    second = only_u()
    third = both()
    assert (second != first[0]).all() and (third[0] != second).all()
    stream.seed(1)
    np.testing.assert_array_equal(both()[2], first[2])
    frozen = st.function([], u, engine="numpy", no_default_updates=True)
    np.testing.assert_array_equal(frozen(), frozen())


def test_symbolic_sizes_and_gradients_to_parameters():
    x = st.placeholder((None, 2), "float64")
    mean = st.placeholder((), "float64")
    noise = st.RandomStream(2).normal(x.shape, mean, 3.0, "float64")
    f = st.function([x, mean], [noise, st.gradients(st.sum(noise), mean)], engine="numpy")
    values, slope = f(np.zeros((4, 2)), 5.0)
    assert values.shape == (4, 2) and slope == 8
    assert f(np.zeros((0, 2)), 5.0)[0].shape == (0, 2)


def test_wrong_arguments():
    stream = st.RandomStream(0)
    for call in (
        lambda: st.RandomStream(-1),
        lambda: stream.randint((2,), 5, 5),
        lambda: stream.uniform((2,), dtype="int32"),
        lambda: stream.binomial((2,), n=-1),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()
