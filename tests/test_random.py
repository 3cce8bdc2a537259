"""Random streams: bits, distributions, state."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import jit, philox
from symtensor.codegen.target import named
from symtensor.testing.catalog.control import philox_block

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


# --- the generator -------------------------------------------------------------------------------


def test_the_truth_is_philox():
    """The known answers that the authors of Random123 publish (kat_vectors, philox4x64 10)."""
    assert philox_block((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B
    )  # fmt: skip
    ones = 2**64 - 1
    assert philox_block((ones,) * 4, (ones, ones)) == (
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_no_two_draws_or_calls_have_words_in_common(engine):
    stream = st.RandomStream(2**63 + 1)
    draws = [st.random.random_bits(stream.state(), (64,)) for _ in range(4)]
    f = st.function([], draws, engine=engine)
    words = np.concatenate([np.concatenate(f()) for _ in range(5)])
    assert len(np.unique(words)) == words.size


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,), (5,), (0,), (2, 0), (64, 130)])
def test_native_words_are_those_of_the_reference(shape):
    stream = st.RandomStream(3)
    words = st.random.random_bits(stream.state(), shape)
    (state,) = stream.states
    native, reference = (st.function([], words, engine=e) for e in ("llvm", "numpy"))
    found = [native() for _ in range(3)]
    stream.seed(3)
    for one in found:
        np.testing.assert_array_equal(one, reference())
    assert native._entry is not None  # no call-out: calls need no Python
    assert state.get_value()[2] == 3


def test_words_by_any_number_of_threads(with_threads):
    found = []
    for count in (1, 3):
        with_threads(count)
        found.append(draw(lambda s: st.random.random_bits(s.state(), (123_457,)), "llvm"))
    np.testing.assert_array_equal(*found)


def test_a_state_that_is_computed_and_sizes_that_are_symbolic():
    states, x = st.placeholder((2, 4), "uint64"), st.placeholder((None, 3))
    words = st.random.random_bits(states[1] + np.array([0, 0, 1, 0], np.uint64), x.shape)
    given = np.array([[0, 0, 0, 0], [9, 8, 7, 0]], np.uint64)
    for rows in (1, 6, 0):
        found, expected = (
            st.function([states, x], words, engine=e)(given, np.zeros((rows, 3), "f4"))
            for e in ("llvm", "numpy")
        )
        np.testing.assert_array_equal(found, expected)


def test_draws_in_a_native_loop():
    found = []
    for engine in ("llvm", "numpy"):
        draws, x = st.RandomStream(5), st.placeholder((None,))
        step = lambda e, s, draws=draws: s + draws.uniform((3,)) * e  # noqa: E731
        steps, updates = st.scan(step, [x], [st.zeros(3)])
        f = st.function([x], steps, updates=updates, engine=engine)
        assert engine == "numpy" or f._entry is not None
        found.append([f(np.arange(1, 5, dtype="f4")) for _ in range(2)])
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert len(np.unique(found[0])) == 24  # new numbers in every step and every call


@pytest.mark.parametrize("machine", ["avx512", "avx2", "sse2", "neon", "apple", "windows"])
def test_the_generator_compiles_for_every_target(machine):
    text, _, _ = philox.emit_philox(64, "words")
    assembly = jit.emit_assembly(text, named(machine))
    assert "__multi3" not in assembly  # no call per product
    assert ("umulh" if machine in ("neon", "apple") else "mul") in assembly
