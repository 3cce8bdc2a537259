"""Samples of sorting, searching and counting. Truth is NumPy; all of it exact."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from symtensor.ops import sort
from symtensor.testing.samples import Sample

NAN = np.nan


def _counts() -> Iterator[Sample]:
    edges = np.array([1.0, 2.0, 2.0, 5.0])
    for side in ("left", "right"):
        yield Sample("searchsorted", lambda a, v, s=side: sort.searchsorted(a, v, s),
                     (edges, np.array([0.0, 2.0, 9.0, NAN])),
                     lambda a, v, s=side: np.searchsorted(a, v, s), wrt=(), note=side)  # fmt: skip
    yield Sample("bincount", lambda i: sort.bincount(i, 4), (np.array([0, 2, 2, 3]),),
                 lambda i: np.bincount(i, minlength=4))  # fmt: skip
    for bad in (-1, 9):
        yield Sample("bincount", lambda i: sort.bincount(i, 4), (np.array([bad]),),
                     raises=(ValueError if bad < 0 else IndexError), note=str(bad))  # fmt: skip


def _sorts() -> Iterator[Sample]:
    x = np.array([[3.0, 1.0, 2.5, -1.0], [0.5, 4.0, -2.0, 0.25]])
    edges = np.array([2.0, NAN, -0.0, 0.0, np.inf, -np.inf, 2.0])
    for axis in (-1, 0):
        yield Sample("sort", lambda v, a=axis: sort.sort(v, a), (x,),
                     lambda v, a=axis: np.sort(v, a), note=f"axis {axis}")  # fmt: skip
        yield Sample("argsort", lambda v, a=axis: sort.argsort(v, a), (x,),
                     lambda v, a=axis: np.argsort(v, a, kind="stable"), wrt=(),
                     note=f"axis {axis}")  # fmt: skip
    yield Sample("sort", sort.sort, (edges,), lambda v: np.sort(v, kind="stable"), wrt=())
    ties = np.array([1, 0, 1, 0, 1])
    yield Sample("argsort", sort.argsort, (ties,), lambda v: np.array([1, 3, 0, 2, 4]))
    yield Sample("argsort", lambda v: sort.argsort(v, descending=True), (ties,),
                 lambda v: np.array([0, 2, 4, 1, 3]), note="descending")  # fmt: skip
    yield Sample("gather", lambda v: sort.top_k(v, 2)[0], (x,),
                 lambda v: -np.sort(-v)[:, :2], note="top_k")  # fmt: skip
    yield Sample("argsort", lambda v: sort.top_k(v, 3)[1], (ties,),
                 lambda v: np.array([0, 2, 4]), note="top_k indices")  # fmt: skip
    yield Sample("argsort", lambda v: sort.top_k(v, 9), (ties,), raises=ValueError, note="top_k 9")


SAMPLES = [*_counts(), *_sorts()]
