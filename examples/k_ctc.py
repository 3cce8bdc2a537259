"""K functions: CTC. The cost sums over all alignments; here they are few enough to list them.

Then gradient descent on the scores alone makes both decoders read the labels.
"""

import itertools

import numpy as np

from symtensor import backend as K

STEPS, CLASSES, BLANK = 5, 3, 2
LABELS = np.array([[0, 1, 1], [1, 0, -1]])
LENGTHS = np.array([[3], [2]])


def collapsed(path):
    """Return what a path spells: repeats merged, blanks left away."""
    return [k for k, _ in itertools.groupby(path) if k != BLANK]


def main():
    scores = K.variable(np.random.default_rng(0).normal(size=(2, STEPS, CLASSES)))
    steps = K.constant(np.full((2, 1), STEPS), dtype="int32")
    labels, lengths = K.constant(LABELS, dtype="int32"), K.constant(LENGTHS, dtype="int32")
    chances = K.softmax(scores)
    cost = K.ctc_batch_cost(labels, chances, steps, lengths)

    p = K.eval(chances).astype("f8")
    listed = []
    for n in range(2):
        wanted = list(LABELS[n, : LENGTHS[n, 0]])
        paths = [
            q for q in itertools.product(range(CLASSES), repeat=STEPS) if collapsed(q) == wanted
        ]
        total = sum(np.prod([p[n, t, k] for t, k in enumerate(q)]) for q in paths)
        listed.append(-np.log(total))
    found = K.eval(cost)[:, 0]
    np.testing.assert_allclose(found, listed, rtol=1e-4)

    (g,) = K.gradients(K.sum(cost), [scores])
    train = K.function([], [K.mean(cost)], updates=[K.update_sub(scores, 0.5 * g)])
    for _ in range(200):
        (last,) = train([])
    flat = K.squeeze(steps, 1)
    (greedy,), _ = K.ctc_decode(chances, flat)
    (best, *_), _ = K.ctc_decode(chances, flat, greedy=False, beam_width=10, top_paths=2)
    read = [K.eval(t).tolist() for t in (greedy, best)]
    print(f"cost {found[0]:.4f} {found[1]:.4f}, after training {last:.3f}, read {read[0]}")
    assert last < 0.1 and read == [LABELS.tolist()] * 2


if __name__ == "__main__":
    main()
