"""CTC against the sum over all alignments, and greedy decoding by hand."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest

import symtensor as st
from symtensor import backend as K
from symtensor import config

RNG = np.random.default_rng(8)
CASES = [
    ([1, 0], 4),
    ([1, 1], 4),  # a repeated label needs a blank between
    ([1, 1], 3),  # and just enough steps
    ([0], 2),
    ([], 3),
]


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


def collapse(path, blank):
    return [k for k, _ in itertools.groupby(path) if k != blank]


def cost(probabilities, labels):
    """Return -log of the summed probability of all paths that collapse to the labels."""
    p = probabilities + 1e-7
    p = p / p.sum(-1, keepdims=True)
    time, classes = p.shape
    paths = itertools.product(range(classes), repeat=time)
    good = [path for path in paths if collapse(path, classes - 1) == labels]
    return -np.log(sum(np.prod(p[range(time), path]) for path in good))


@contextmanager
def floatx(name):
    before = K.floatx()
    K.set_floatx(name)
    yield
    K.set_floatx(before)


def batch():
    y = RNG.dirichlet(np.ones(3), (len(CASES), 4)).astype("f4")
    labels = np.full((len(CASES), 2), -1)
    for row, (label, _) in enumerate(CASES):
        labels[row, : len(label)] = label
    steps = np.array([[steps] for _, steps in CASES])
    return labels, y, steps, np.array([[len(label)] for label, _ in CASES])


def test_cost_sums_over_all_alignments():
    given = batch()
    ins = [K.placeholder(a.shape) for a in given]
    (found,) = K.function(ins, [K.ctc_batch_cost(*ins)])(list(given))
    wanted = [
        [cost(y[:steps].astype("f8"), label)]
        for (label, steps), y in zip(CASES, given[1], strict=True)
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-5)


# tf.keras.backend.ctc_batch_cost (2.21) of the numbers below, and the sum of |gradient| of each row.
TENSORFLOW = [14.25609, 15.81, 10.64947, 16.14196, 14.68899, 11.226]
TENSORFLOW_SLOPES = [104.09842, 106.86035, 75.58579, 124.30112, 103.04704, 81.51508]


def test_costs_and_gradients_are_tensorflows():
    k = np.arange(6 * 12 * 7).reshape(6, 12, 7)
    y = (np.exp(np.sin(1.7 * k)) / np.exp(np.sin(1.7 * k)).sum(-1, keepdims=True)).astype("f4")
    labels = np.array(
        [[3, 2, 1, 4], [1, 3, 1, 1], [3, 4, 3, 2], [1, 5, 5, 4], [1, 4, 3, 1], [4, 0, 3, 1]]
    )
    counts, steps = (
        np.array([[1], [2], [2], [3], [1], [4]]),
        np.array([[9], [12], [9], [12], [9], [10]]),
    )
    x = K.placeholder((None, 12, 7))
    loss = K.ctc_batch_cost(labels, x, steps, counts)
    found, slopes = K.function([x], [loss, *K.gradients(loss, [x])])([y])
    np.testing.assert_allclose(found[:, 0], TENSORFLOW, rtol=1e-5)
    np.testing.assert_allclose(abs(slopes).sum((1, 2)), TENSORFLOW_SLOPES, rtol=1e-4)
    assert not slopes[0, 9:].any()


def test_cost_with_sizes_known_at_the_call():
    given = batch()
    ins = [K.placeholder((None, None)), K.placeholder((None, None, 3)), *(
        K.placeholder((None, 1)) for _ in range(2)
    )]  # fmt: skip
    run = K.function(ins, [K.ctc_batch_cost(*ins)])
    whole = run(list(given))[0]
    for row in range(len(CASES)):
        one = run([a[row : row + 1] for a in given])[0]
        np.testing.assert_allclose(one, whole[row : row + 1], rtol=1e-6)


def test_gradient_by_finite_differences():
    labels, y, steps, lengths = batch()
    with floatx("float64"):
        x = K.placeholder(y.shape)
        loss = K.sum(K.ctc_batch_cost(labels, x, steps, lengths))
        run = K.function([x], [loss, *K.gradients(loss, [x])])
    y = y.astype("f8")
    _, found = run([y])
    assert np.isfinite(found).all()
    for at in itertools.islice(np.ndindex(y.shape), 0, None, 7):
        up, down = y.copy(), y.copy()
        up[at] += 1e-6
        down[at] -= 1e-6
        wanted = (run([up])[0] - run([down])[0]) / 2e-6
        np.testing.assert_allclose(found[at], wanted, rtol=1e-5, atol=1e-7)


def test_too_few_steps_are_an_error():
    labels, y = np.array([[1, 1]]), np.full((1, 2, 3), 1 / 3, "f4")
    x = K.placeholder(y.shape)
    run = K.function([x], [K.ctc_batch_cost(labels, x, np.array([[2]]), np.array([[2]]))])
    with pytest.raises(st.AssertionFailed, match="time steps"):
        run([y])


def test_greedy_decoding():
    best = np.array([[0, 0, 2, 0, 1, 2], [2, 2, 2, 2, 2, 2], [1, 1, 0, 1, 0, 0]])
    steps = np.array([[6], [6], [3]])
    y = np.where(best[..., None] == np.arange(3), 0.8, 0.1).astype("f4")
    x, n = K.placeholder((None, None, 3)), K.placeholder((None, 1))
    (labels,), score = K.ctc_decode(x, n)
    found, cost = K.function([x, n], [labels, score])([y, steps])
    assert found.tolist() == [[0, 0, 1], [-1, -1, -1], [1, 0, -1]]
    np.testing.assert_allclose(cost[:, 0], -np.log(0.8) * steps[:, 0], rtol=1e-5)


@pytest.mark.parametrize("merge", [False, True])
def test_beam_search_finds_the_best_labels(merge):
    """With room for every prefix the search is exact: it must rank as the sums over alignments do."""
    _, y, _, _ = batch()
    steps = np.array([[4], [4], [3], [1], [4]])
    x, n = K.placeholder(y.shape), K.placeholder(steps.shape)
    labels, scores = K.ctc_decode(x, n, False, 200, 3, merge)
    *found, logs = K.function([x, n], [*labels, scores])([y, steps])
    for row, (count,) in enumerate(steps):
        part = y[row, :count].astype("f8")
        every = itertools.chain.from_iterable(
            itertools.product(range(2), repeat=length) for length in range(count + 1)
        )
        with np.errstate(divide="ignore"):
            ranked = sorted((cost(part, list(label)), label) for label in every)[:3]
        np.testing.assert_allclose(-logs[row], [c for c, _ in ranked], rtol=1e-5)
        for path, (_, label) in enumerate(ranked):
            shown = [k for k, _ in itertools.groupby(label)] if merge else list(label)
            assert [k for k in found[path][row] if k >= 0] == shown


def test_paths_must_fit_in_the_beam():
    with pytest.raises(ValueError, match="top_paths"):
        K.ctc_decode(K.placeholder((1, 2, 3)), K.placeholder((1, 1)), False, 2, 3)
