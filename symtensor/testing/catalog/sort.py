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
    yield Sample("searchsorted", sort.searchsorted, (np.array([1, 3, 5]), np.array([[3, 4], [0, 9]])),
                 np.searchsorted, resize=((np.arange(9), np.zeros((1, 5), int)),))  # fmt: skip
    yield Sample("searchsorted", sort.searchsorted, (edges[:0], np.array(1.0)), np.searchsorted,
                 wrt=(), note="in nothing")  # fmt: skip
    yield Sample("searchsorted", lambda a: sort.searchsorted(a, 1.0, "middle"), (edges,),
                 raises=ValueError, note="side")  # fmt: skip
    yield Sample("searchsorted", lambda a: sort.searchsorted(a, 1.0), (edges.reshape(2, 2),),
                 raises=ValueError, note="matrix")  # fmt: skip
    for numbers in (np.array([1, 5, 1], "u1"), np.zeros(0, np.int64)):
        yield Sample("bincount", lambda i: sort.bincount(i) * 2, (numbers,),
                     lambda i: np.bincount(i) * 2, note="length of the data")  # fmt: skip
    yield Sample("bincount", sort.bincount, (np.array([0.5]),), raises=TypeError)
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
    for along in (None, 0, 1):
        yield Sample("sort", lambda v, a=along: sort.sort(v, a, descending=True), (x[::-1, ::2],),
                     lambda v, a=along: -np.sort(-v, a), resize=((x.T,),),
                     note=f"falling {along}")  # fmt: skip
        yield Sample("argsort", lambda v, a=along: sort.argsort(v, a, descending=True), (x.T,),
                     lambda v, a=along: np.argsort(-v, a, kind="stable"), wrt=(), resize=((x,),),
                     note=f"falling {along}")  # fmt: skip
    yield Sample("sort", lambda v: sort.sort(v * 2) + 1, (x,), lambda v: np.sort(v * 2) + 1,
                 note="between")  # fmt: skip
    yield Sample("argsort", sort.argsort, (edges,), lambda v: np.argsort(v, kind="stable"), wrt=(),
                 note="special values")  # fmt: skip
    for v in (np.array([True, False, True]), np.array([3, -1, 2], "i1"), x.astype("f2"),
              np.zeros((0, 3)), np.zeros((3, 0), "f4")):  # fmt: skip
        yield Sample("sort", sort.sort, (v,), np.sort)
        yield Sample("argsort", sort.argsort, (v,), lambda v: np.argsort(v, kind="stable"))
    for axis in (2, -3):
        yield Sample("sort", lambda v, a=axis: sort.sort(v, a), (x,), raises=ValueError,
                     note=f"axis {axis}")  # fmt: skip
    ties = np.array([1, 0, 1, 0, 1])
    yield Sample("argsort", sort.argsort, (ties,), lambda v: np.array([1, 3, 0, 2, 4]))
    yield Sample("argsort", lambda v: sort.argsort(v, descending=True), (ties,),
                 lambda v: np.array([0, 2, 4, 1, 3]), note="descending")  # fmt: skip
    yield Sample("gather", lambda v: sort.top_k(v, 2)[0], (x,),
                 lambda v: -np.sort(-v)[:, :2], note="top_k")  # fmt: skip
    yield Sample("gather", lambda v: sort.top_k(v, 1, 0)[0], (x,),
                 lambda v: np.max(v, 0, keepdims=True), resize=((x.T,),), note="top_k axis 0")  # fmt: skip
    yield Sample("gather", lambda v: sort.top_k(v, 2), (np.array([1.0, NAN, 3.0]),),
                 lambda v: (np.array([NAN, 3.0]), np.array([1, 2])), wrt=(), note="top_k NaN")  # fmt: skip
    long = (np.arange(120.0).reshape(3, 40) * 7) % 41
    for kind in ("f4", "f8", "i4", "u8", "i1"):
        yield Sample("top_places", lambda v: sort.top_k(v, 3)[1], (long.astype(kind),),
                     lambda v: np.argsort(-v.astype(float), 1, kind="stable")[:, :3], wrt=(),
                     note=kind)  # fmt: skip
        yield Sample("top_places", lambda v: sort.top_k(v, 3, 0)[1], (long.astype(kind).T,),
                     lambda v: np.argsort(-v.astype(float), 0, kind="stable")[:3], wrt=(),
                     note=f"{kind} axis 0")  # fmt: skip
    yield Sample("top_places", lambda v: sort.top_k(v, 3)[1], (np.floor(long / 9),),
                 lambda v: np.argsort(-v, 1, kind="stable")[:, :3], wrt=(), note="ties")  # fmt: skip
    yield Sample("top_places", lambda v: sort.top_k(v, 0)[1], (long,),
                 lambda v: np.zeros((3, 0), int), wrt=(), note="none")  # fmt: skip
    yield Sample(
        "top_places", lambda v: sort.top_k(v, -1), (x,), raises=ValueError, note="top_k -1"
    )
    yield Sample("top_places", lambda v: sort.top_k(v, 3)[1], (ties,),
                 lambda v: np.array([0, 2, 4]), note="top_k indices")  # fmt: skip
    yield Sample(
        "top_places", lambda v: sort.top_k(v, 9), (ties,), raises=ValueError, note="top_k 9"
    )


SAMPLES = [*_counts(), *_sorts()]
