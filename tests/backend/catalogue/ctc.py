"""Table O: connectionist temporal classification, against sums over all alignments."""

import itertools

import numpy as np

from symtensor import backend as K

from .sample import RNG, fact, sample

# fmt: off

CLASSES, BLANK = 3, 2
LABELS = np.array([[1, 0], [1, 1], [1, 1], [0, -1]])
COUNTS = (LABELS >= 0).sum(1, keepdims=True)
LENGTHS = np.array([[4], [4], [3], [2]])  # a repeated label needs a blank between
STEPS = LENGTHS[:, 0]
Y = RNG.dirichlet(np.ones(CLASSES), (len(LABELS), 4))
EPSILON = 1e-7


def collapsed(path):
    """Return what a path reads as: repeats merged, then blanks dropped."""
    return [k for k, _ in itertools.groupby(path) if k != BLANK]


def chances(y, steps):
    """Return the probability of each reading, by all paths of some steps."""
    p = (y[:steps] + EPSILON) / (y[:steps] + EPSILON).sum(-1, keepdims=True)
    out = {}
    for path in itertools.product(range(CLASSES), repeat=steps):
        key = tuple(collapsed(path))
        out[key] = out.get(key, 0.0) + np.prod(p[range(steps), path])
    return out


def costs(labels, y, lengths, counts):
    return np.array([
        [-np.log(chances(y[n], lengths[n, 0])[tuple(labels[n, : counts[n, 0]])])]
        for n in range(len(y))
    ])


def rows(found, pad=-1):
    """Return lists as an array as wide as the longest."""
    wide = max(map(len, found))
    return np.array([[*row, *[pad] * (wide - len(row))] for row in found])


def greedy(y, lengths):
    best = [y[n, : lengths[n]] for n in range(len(y))]
    score = [[-np.log(row.max(-1) + EPSILON).sum()] for row in best]
    return rows([collapsed(row.argmax(-1)) for row in best]), np.array(score)


def searched(paths, merge=False):
    """Return the truth of a beam wide enough for all readings: the likeliest, best first."""

    def truth(y, lengths):
        tables = [chances(y[n], lengths[n]) for n in range(len(y))]
        ranked = [sorted(t.items(), key=lambda item: -item[1])[:paths] for t in tables]
        read = [[[k for k, _ in itertools.groupby(key)] if merge else list(key)
                 for key, _ in found] for found in ranked]
        scores = np.array([[np.log(p) for _, p in found] for found in ranked])
        return (*(rows([row[path] for row in read]) for path in range(paths)), scores)

    return truth


def decode(*args, **options):
    labels, score = K.ctc_decode(*args, **options)
    return [*labels, score]


sample("ctc_batch_cost", costs, LABELS, Y, LENGTHS, COUNTS)
sample("ctc_batch_cost", costs, LABELS.astype("f4"), Y, LENGTHS.astype("i4"), COUNTS,
       note="labels that are floats", slopes=False)
sample("ctc_batch_cost", costs, LABELS * 0 - 1, Y, LENGTHS, COUNTS * 0, note="no labels")
sample("ctc_decode", greedy, Y, STEPS, build=decode, gives=("int64", "float"), slopes=False)
sample("ctc_decode", searched(1), Y, STEPS, note="beam search", gives=("int64", "float"),
       build=lambda y, n: decode(y, n, greedy=False), slopes=False)
for merge in (False, True):
    sample("ctc_decode", searched(3, merge), Y, STEPS, note=f"three paths, merged {merge}",
           gives=("int64",) * 3 + ("float",), slopes=False,
           build=lambda y, n, merge=merge: decode(
               y, n, greedy=False, beam_width=200, top_paths=3, merge_repeated=merge))
sample("ctc_label_dense_to_sparse", lambda x, n: np.where(np.arange(2) < n, x, 0), LABELS, COUNTS,
       gives="int64", build=lambda x, n: K.to_dense(K.ctc_label_dense_to_sparse(x, n)))


# tf.keras.backend.ctc_batch_cost (2.21) of the numbers below, and the sums of |gradient| by row
TENSORFLOW = [14.25609, 15.81, 10.64947, 16.14196, 14.68899, 11.226]
TENSORFLOW_SLOPES = [104.09842, 106.86035, 75.58579, 124.30112, 103.04704, 81.51508]


@fact("ctc_batch_cost")
def costs_and_gradients_are_tensorflows():
    wave = np.exp(np.sin(1.7 * np.arange(6 * 12 * 7).reshape(6, 12, 7)))
    labels = [[3, 2, 1, 4], [1, 3, 1, 1], [3, 4, 3, 2], [1, 5, 5, 4], [1, 4, 3, 1], [4, 0, 3, 1]]
    counts, steps = [[1], [2], [2], [3], [1], [4]], [[9], [12], [9], [12], [9], [10]]
    x = K.placeholder((6, 12, 7))
    given = (K.constant(v, "int32") for v in (labels, steps, counts))
    labels, steps, counts = given
    loss = K.ctc_batch_cost(labels, x, steps, counts)
    found, slopes = K.function([x], [loss, *K.gradients(loss, [x])])([wave / wave.sum(-1, keepdims=True)])
    np.testing.assert_allclose(found[:, 0], TENSORFLOW, rtol=1e-5)
    np.testing.assert_allclose(abs(slopes).sum((1, 2)), TENSORFLOW_SLOPES, rtol=1e-4)
    assert not slopes[0, 9:].any()


@fact("ctc_batch_cost")
def rows_cost_what_they_do_in_the_batch():
    given = [LABELS, Y, LENGTHS, COUNTS]
    ins = [K.placeholder(s) for s in ((None, None), (None, None, 3), (None, 1), (None, 1))]
    run = K.function(ins, [K.ctc_batch_cost(*ins)])
    (whole,) = run(given)
    for n in range(len(Y)):
        np.testing.assert_allclose(run([a[n : n + 1] for a in given])[0], whole[n : n + 1], rtol=1e-6)
