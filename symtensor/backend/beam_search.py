"""Prefix beam search for CTC, as an op: labels of the best paths of a batch.

After Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
Recurrent DNNs", 2014, without a language model: a prefix keeps the probability of the alignments that
end in a blank apart from that of those that end in its last label.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from symtensor.ops.custom import custom_op

Array = np.ndarray[Any, Any]
Prefix = tuple[int, ...]


def _grow(
    prefixes: list[Prefix], on_blank: Array, on_label: Array, row: Array
) -> tuple[Array, Array, Array]:
    """Return scores of prefixes that stay, by what they end in, and of those that get one label."""
    total = np.logaddexp(on_blank, on_label)
    grown = total[:, None] + row[None, :-1]
    stay = np.full_like(total, -np.inf)
    places = {prefix: k for k, prefix in enumerate(prefixes)}
    for k, prefix in enumerate(prefixes):
        if prefix:  # only a blank between makes the label come twice
            grown[k, prefix[-1]] = on_blank[k] + row[prefix[-1]]
            stay[k] = on_label[k] + row[prefix[-1]]
    for k, prefix in enumerate(prefixes):
        parent = places.get(prefix[:-1]) if prefix else None
        if parent is not None:  # its parent grows into it
            stay[k] = np.logaddexp(stay[k], grown[parent, prefix[-1]])
            grown[parent, prefix[-1]] = -np.inf
    return total + row[-1], stay, grown


def beam_search(scores: Array, width: int) -> tuple[list[Prefix], Array]:
    """Return prefixes, best first, and their log-probabilities; `scores` (time, classes) are logs."""
    prefixes: list[Prefix] = [()]
    on_blank, on_label = np.zeros(1), np.full(1, -np.inf)
    for row in scores.astype(np.float64):
        blank, label, grown = _grow(prefixes, on_blank, on_label, row)
        none = np.full(grown.size, -np.inf)
        on_blank, on_label = np.append(blank, none), np.append(label, grown)
        total = np.logaddexp(on_blank, on_label)
        best = np.argsort(-total, kind="stable")[:width]
        best = best[total[best] > -np.inf]  # those that were counted where they stay
        n, labels = len(prefixes), grown.shape[1]
        prefixes = [
            prefixes[k] if k < n else (*prefixes[(k - n) // labels], int((k - n) % labels))
            for k in best
        ]
        on_blank, on_label = on_blank[best], on_label[best]
    return prefixes, np.logaddexp(on_blank, on_label)


def _evaluate(scores: Array, steps: Array, *, width: int, paths: int, merge: bool) -> list[Array]:
    """Labels (paths, n, time), padded with -1, and log-probabilities (n, paths)."""
    n, time, _ = scores.shape
    labels = np.full((paths, n, time), -1, np.int64)
    logs = np.full((n, paths), -np.inf, scores.dtype)
    for row in range(n):
        found, values = beam_search(scores[row, : steps[row]], width)
        for path, prefix in enumerate(found[:paths]):
            shown = [k for k, _ in itertools.groupby(prefix)] if merge else prefix
            labels[path, row, : len(shown)] = shown
            logs[row, path] = values[path]
    return [labels, logs]


def _infer(scores: Any, steps: Any, *, width: int, paths: int, merge: bool) -> list[Any]:
    n, time, _ = scores.shape
    return [("int64", (paths, n, time)), (scores.dtype, (n, paths))]


ctc_beam_search = custom_op("ctc_beam_search", _evaluate, _infer)
