"""Table M: random numbers, by their laws."""

import math

import numpy as np

from symtensor import backend as K

from .sample import fact

# fmt: off

SIZE = 200
TRUNCATED = 0.87962566  # standard deviation of a normal number known to be within two
LAWS = {
    "random_normal": (dict(mean=2.0, stddev=3.0), 2.0, 3.0, (-math.inf, math.inf)),
    "random_uniform": (dict(minval=-1.0, maxval=2.0), 0.5, 3 / 12**0.5, (-1.0, 2.0)),
    "random_binomial": (dict(p=0.25), 0.25, 0.1875**0.5, (0.0, 1.0)),
    "random_bernoulli": (dict(p=0.25), 0.25, 0.1875**0.5, (0.0, 1.0)),
    "truncated_normal": (dict(mean=1.0, stddev=2.0), 1.0, TRUNCATED * 2, (-3.0, 5.0)),
    "random_uniform_variable": (dict(low=1.0, high=3.0), 2.0, 2 / 12**0.5, (1.0, 3.0)),
    "random_normal_variable": (dict(mean=2.0, scale=3.0), 2.0, 3.0, (-math.inf, math.inf)),
}


def drawn(x, times=1):
    """Return values of a tensor, of several runs of one function."""
    run = K.function([], [x])
    return [run([])[0] for _ in range(times)]


def _law(name):
    options, mean, deviation, (low, high) = LAWS[name]
    draw = getattr(K, name)

    def moments_and_bounds():
        for dtype in (None, "float64"):
            (x,) = drawn(draw((SIZE, SIZE), dtype=dtype, seed=5, **options))
            assert x.dtype == (dtype or "float32") and x.shape == (SIZE, SIZE)
            assert abs(x.mean() - mean) < 0.02 * deviation
            assert abs(x.std() - deviation) < 0.02 * deviation
            assert x.min() >= low and x.max() <= high

    def seeds_repeat_and_runs_differ():
        variable = name.endswith("variable")
        first, second = drawn(draw((4, 4), seed=7, **options), 2)
        np.testing.assert_array_equal(first, drawn(draw((4, 4), seed=7, **options))[0])
        assert np.array_equal(first, second) == variable
        assert not np.array_equal(first, drawn(draw((4, 4), seed=8, **options))[0])

    def numpys_generator_gives_seeds():
        found = []
        for _ in range(2):
            np.random.seed(3)
            found.append(drawn(draw((4, 4), **options))[0])
        np.testing.assert_array_equal(*found)

    for holds in (moments_and_bounds, seeds_repeat_and_runs_differ, numpys_generator_gives_seeds):
        fact(name)(holds)


for name in LAWS:
    _law(name)


@fact("random_normal", "random_uniform", "random_binomial", "truncated_normal", "random_bernoulli")
def shapes_may_be_symbolic():
    x = K.placeholder((None, 3))
    draws = (K.random_normal, K.random_uniform, K.random_binomial, K.truncated_normal,
             K.random_bernoulli)
    shapes = (K.shape(x), (K.shape(x)[0], 3), (K.shape(x)[0] * 2,))
    ys = [draw(shape) for draw in draws for shape in shapes]
    found = K.function([x], ys)([np.ones((2, 3))])
    assert [y.shape for y in found] == [(2, 3), (2, 3), (4,)] * len(draws)


@fact("random_uniform", "random_binomial")
def numbers_may_be_ints():
    found = drawn(K.random_uniform((2000,), 3, 7, dtype="int32", seed=2))[0]
    assert found.dtype == "int32" and set(np.unique(found)) == {3, 4, 5, 6}
    assert abs((found == 3).mean() - 0.25) < 0.05
    found = drawn(K.random_binomial((50,), 0.5, dtype="int64", seed=2))[0]
    assert found.dtype == "int64" and set(np.unique(found)) == {0, 1}


@fact("dropout")
def the_level_may_be_a_tensor():
    level = K.variable(0.5)
    run = K.function([], [K.dropout(K.ones((SIZE, SIZE)), level, seed=3)])
    for rate in (0.5, 0.75, 0.0):
        K.set_value(level, rate)
        (found,) = run([])
        assert abs((found == 0).mean() - rate) < 0.01
        np.testing.assert_allclose(found.max(), 1 / (1 - rate), rtol=1e-6)


@fact("dropout")
def what_stays_is_scaled():
    x = K.placeholder((SIZE, SIZE))
    y = K.dropout(x, 0.25, seed=3)
    run = K.function([x], [y, *K.gradients(K.sum(y), [x])])
    for _ in range(2):
        found, slopes = run([np.full((SIZE, SIZE), 3.0)])
        assert set(np.unique(found)) == {0.0, 4.0} and abs((found > 0).mean() - 0.75) < 0.01
        np.testing.assert_allclose(slopes, found / 3, rtol=1e-6)


@fact("dropout")
def masks_are_new_at_each_run_and_one_within():
    x = K.placeholder((20, 20))
    y = K.dropout(x, 0.5)
    run = K.function([x], [y, y * 2])
    (a, twice), (b, _) = run([np.ones((20, 20))]), run([np.ones((20, 20))])
    np.testing.assert_array_equal(twice, a * 2)
    assert not np.array_equal(a, b)


@fact("dropout")
def the_noise_shape_broadcasts():
    x = K.placeholder((None, 8))
    shapes = [(K.shape(x)[0], 1), (None, 1), [1, 8], K.shape(x) * np.array([0, 1]) + [1, 0]]
    ys = K.function([x], [K.dropout(x, 0.5, noise_shape=s, seed=1) for s in shapes])([np.ones((30, 8))])
    for y in ys[:2]:
        assert (y == y[:, :1]).all() and 0 < (y[:, 0] > 0).mean() < 1
    for y in ys[2:]:
        assert (y == y[:1]).all()
