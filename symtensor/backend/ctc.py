"""Connectionist temporal classification; the blank is the last class.

The cost is the forward recursion of Graves et al., "Connectionist Temporal Classification", 2006, in
logarithms, over labels with blanks between them; its gradient comes from differentiating the scan.
"""

from __future__ import annotations

from typing import Any

import symtensor as st
from symtensor.backend.beam_search import ctc_beam_search
from symtensor.backend.configuration import epsilon
from symtensor.backend.sparse import SparseTensor
from symtensor.backend.tensors import as_tensor
from symtensor.errors import AttributeValueError

_NEVER = -1e30  # the logarithm of 0: finite, for differences of two of them are taken


def _counts(x: Any) -> st.Tensor:
    return st.ravel(st.cast(as_tensor(x), "int64"))


def _logits(y_pred: Any) -> st.Tensor:
    """Return logarithms of probabilities (n, time, classes), in float32 at least."""
    x = as_tensor(y_pred)
    return st.log(st.cast(x, st.promote(x.dtype, st.float32)) + epsilon())


def _alive(logits: st.Tensor, input_length: Any) -> st.Tensor:
    """Return which time steps count, (n, time)."""
    return st.arange(logits.shape[1]) < st.expand_dims(_counts(input_length), 1)


def _with_blanks(labels: st.Tensor, lengths: st.Tensor, blank: Any) -> st.Tensor:
    """Return (n, 2 m + 1): blank, label, blank, …, label, blank; blanks beyond the length."""
    n, m = labels.shape
    inside = st.arange(m) < st.expand_dims(lengths, 1)
    blanks = st.full((n, m), blank, "int64")
    pairs = st.stack([blanks, st.where(inside, labels, blanks)], 2)
    return st.concatenate([st.reshape(pairs, (n, 2 * m)), st.full((n, 1), blank, "int64")], 1)


def ctc_label_dense_to_sparse(labels: Any, label_lengths: Any) -> SparseTensor:
    """Return labels (n, m) as a sparse matrix of those before each row's length."""
    x = as_tensor(labels)
    n, m = x.shape
    inside = st.ravel(st.arange(m) < st.expand_dims(_counts(label_lengths), 1))
    beyond = st.cast(st.logical_not(inside), "int64")
    count = st.sum(st.cast(inside, "int64"))
    kept = st.take(st.argsort(beyond), st.arange(count), 0)
    values = st.take(st.ravel(x), kept, 0)
    return SparseTensor(values, kept // m, kept % m, (n, m))


def _shifted(x: st.Tensor, by: int) -> st.Tensor:
    """Return x moved to later places along axis 1, `_NEVER` put in front."""
    front = st.full((x.shape[0], by), _NEVER, x.dtype)
    return st.concatenate([front, x[:, :-by]], 1)


def _skips(states: st.Tensor, blank: Any, dtype: Any) -> st.Tensor:
    """Return 0 where a state may follow the one two before it: another label, and no blank."""
    later = states[:, 2:]
    free = st.logical_and(st.not_equal(later, states[:, :-2]), st.not_equal(later, blank))
    never = st.full((states.shape[0], 2), _NEVER, dtype)
    return st.concatenate([never, st.cast(st.where(free, 0.0, _NEVER), dtype)], 1)


def _paths(emission: st.Tensor, alive: st.Tensor, skips: st.Tensor) -> st.Tensor:
    """Return log-probabilities of all paths that end in each state, (n, states)."""

    def step(scores: st.Tensor, live: st.Tensor, before: st.Tensor) -> st.Tensor:
        stay = st.logaddexp(before, _shifted(before, 1))
        after = scores + st.logaddexp(stay, _shifted(before, 2) + skips)
        return st.where(live, after, before)

    n, states = skips.shape
    start = st.concatenate(
        [st.zeros((n, 1), skips.dtype), st.full((n, states - 1), _NEVER, skips.dtype)], 1
    )
    times = [st.moveaxis(emission, 1, 0), st.expand_dims(st.transpose(alive), 2)]
    ends: st.Tensor = st.reduce(step, times, start)
    return ends


def _feasible(
    cost: st.Tensor, states: st.Tensor, blank: Any, input_length: Any, lengths: st.Tensor
) -> st.Tensor:
    """Return the cost; AssertionFailed at run time where labels need more steps than there are."""
    label = states[:, 3::2]
    twins = st.logical_and(st.equal(label, states[:, 1:-2:2]), st.not_equal(label, blank))
    needed = lengths + st.sum(st.cast(twins, "int64"), 1)
    return st.assert_(
        cost,
        st.all(needed <= _counts(input_length)),
        "ctc_batch_cost: expected at least as many time steps as labels and repeated labels",
    )


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> st.Tensor:
    """Return -log of the probability of the labels, (n, 1).

    `y_true` (n, labels) of any dtype, `y_pred` (n, time, classes) probabilities, lengths (n, 1). As
    TensorFlow's backend does, log(y_pred + epsilon) is normalized again. A sequence too short for its
    labels raises AssertionFailed when the function is called.
    """
    scores = st.log_softmax(_logits(y_pred), -1)
    blank, lengths = scores.shape[-1] - 1, _counts(label_length)
    n, time, _ = scores.shape
    labels = st.cast(as_tensor(y_true), "int64")
    states = _with_blanks(st.specify_shape(labels, (n, labels.shape[1])), lengths, blank)
    at = st.broadcast_to(st.expand_dims(states, 1), (n, time, states.shape[1]))
    emission = st.take_along_axis(scores, at, 2)
    ends = _paths(emission, _alive(scores, input_length), _skips(states, blank, scores.dtype))
    last = st.expand_dims(2 * lengths, 1)
    on_blank = st.take_along_axis(ends, last, 1)
    on_label = st.take_along_axis(ends, st.maximum(last - 1, 0), 1)
    total = st.logaddexp(on_blank, st.where(last > 0, on_label, _NEVER))
    return _feasible(st.cast(-total, as_tensor(y_pred).dtype), states, blank, input_length, lengths)


def _greedy(logits: st.Tensor, alive: st.Tensor) -> st.Tensor:
    """Return best classes without repeats and blanks, -1 behind them, as wide as the longest."""
    best = st.argmax(logits, 2)
    n, time = best.shape
    before = st.concatenate([st.full((n, 1), -1, best.dtype), best[:, :-1]], 1)
    fresh = st.logical_and(st.not_equal(best, before), st.not_equal(best, logits.shape[2] - 1))
    keep = st.logical_and(alive, fresh)
    place = st.where(keep, st.cumsum(st.cast(keep, "int64"), 1) - 1, time)
    empty = st.full((n, time + 1), -1, "int64")
    packed = st.put_along_axis(empty, place, st.where(keep, best, -1), 1)
    return _trimmed(packed)


def _trimmed(labels: st.Tensor) -> st.Tensor:
    """Return labels (n, width) without the columns that are padding in every row."""
    longest = st.max(st.sum(st.cast(labels >= 0, "int64"), 1))
    return st.take(labels, st.arange(longest), 1)


def ctc_decode(
    y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100,
    top_paths: int = 1, merge_repeated: bool = False,
) -> tuple[list[st.Tensor], st.Tensor]:  # fmt: skip
    """Return ([labels (n, longest), padded with -1, of each path], scores).

    Greedy: the best class of each time step, repeats merged, blanks dropped; the score (n, 1) is -log
    of its probability. Otherwise the `top_paths` best prefixes of a beam search, and their
    log-probabilities (n, top_paths); `merge_repeated` drops repeats from the prefixes found.
    """
    logits = _logits(y_pred)
    alive = _alive(logits, input_length)
    if greedy:
        score = st.sum(st.where(alive, st.max(logits, 2), 0.0), 1, keepdims=True)
        return [_greedy(logits, alive)], -score
    if not 1 <= top_paths <= beam_width:
        raise AttributeValueError(
            f"top_paths: expected 1 to beam_width = {beam_width}, found {top_paths}"
        )
    labels, scores = ctc_beam_search(
        st.log_softmax(logits, -1), _counts(input_length), width=beam_width, paths=top_paths,
        merge=merge_repeated,
    )  # fmt: skip
    return [_trimmed(labels[path]) for path in range(top_paths)], scores
