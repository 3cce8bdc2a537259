"""Samples of indexing, sorting and creation. Truth is NumPy; all of it exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symtensor.ops import creation, indexing, sort
from symtensor.testing.samples import Array, Sample

X = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
V = np.array([0.5, -1.0, 2.0, 0.25])
I2 = np.array([[0, -1], [2, 1]])
NAN = np.nan


def _takes() -> Iterator[Sample]:
    for axis in (None, 0, 1, -1):
        yield Sample("gather", lambda x, i, a=axis: indexing.take(x, i, a), (X, np.array([1, 0, -1])),
                     lambda x, i, a=axis: np.take(x, i, a), note=f"take {axis}")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take(x, i, 1), (X, I2),
                 lambda x, i: np.take(x, i, 1), note="matrix of indices")  # fmt: skip
    for mode in ("clip", "wrap"):
        yield Sample("gather", lambda x, i, m=mode: indexing.take(x, i, 0, m),
                     (V, np.array([-7, 3, 9])), lambda x, i, m=mode: np.take(x, i, 0, mode=m),
                     note=mode)  # fmt: skip
    for bad in (4, -5, 2**40):
        yield Sample("gather", lambda x, i: indexing.take(x, i, 0), (V, np.array([0, bad])),
                     raises=IndexError, note=f"index {bad}")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take(x, i, 0), (V, np.zeros(0, int)),
                 lambda x, i: x[i], note="no index")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take(x, i, 0), (np.zeros(0), np.array([0])),
                 raises=IndexError, note="from nothing")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take(x, i, 0), (V, V), raises=TypeError)
    yield Sample("gather", lambda x, i: indexing.take_along_axis(x, i, 1),
                 (X, np.array([[[0, 2, 1, 0]], [[2, 2, -1, 1]]])),
                 lambda x, i: np.take_along_axis(x, i, 1), symbolic=(), note="along axis")  # fmt: skip


INDICES: list[Any] = [
    0, -1, (0, 1, 2), (..., 0), (slice(None), 1), (None, 0), (slice(None), None, 1), (1, ..., 2),
    (slice(1, None), slice(None, None, -1)), ([0, 1], [2, 0]), ([0, 1], slice(None), [3, 0]),
    (slice(None), [2, 0, 0]), (slice(None), I2), (0, [1, 2]), (slice(None), slice(None), [1]),
    np.array([True, False]), (slice(None), np.array([True, False, True])),
    (np.array([[1], [0]]), np.array([0, 2])), (slice(0, 1), [1, 1], slice(2)), (..., [0, -1]),
]  # fmt: skip


def _getitems() -> Iterator[Sample]:
    for number, index in enumerate(INDICES):
        yield Sample("gather", lambda x, i=index: x[i], (X,), lambda x, i=index: x[i],
                     symbolic=(), note=f"index {number}")  # fmt: skip
    yield Sample("gather", lambda x, i: x[i, 1], (X, np.array(1)), lambda x, i: x[i, 1],
                 note="scalar tensor")  # fmt: skip
    for wrong in (5, (0, 0), 1.5, True):
        yield Sample("gather", lambda x, i=wrong: x[i], (V,), raises=IndexError, note=str(wrong))
    yield Sample("gather", lambda x: x[x > 0], (V,), raises=TypeError, note="symbolic mask")


def _written(index: Any, add: bool) -> Callable[[Array, Array], Array]:
    def truth(x: Array, v: Array) -> Array:
        out = x.copy()
        if add:
            np.add.at(out, index, v)
        else:
            out[index] = v
        return out

    return truth


WRITES: list[tuple[Any, tuple[int, ...]]] = [
    (1, (3, 4)), ((slice(None), 0), (2, 4)), ((slice(None), slice(None), slice(None, None, -2)),
    (2, 3, 2)), ((..., [0, 2]), (2, 3, 2)), (([0, 0, 1], [2, 2, 0]), (3, 4)),
    ((0, [1, 1]), (2, 4)),
]  # fmt: skip


def _writes() -> Iterator[Sample]:
    for number, (index, shape) in enumerate(WRITES):
        values = np.linspace(2, 3, int(np.prod(shape))).reshape(shape)
        for name, add in (("set_at", False), ("add_at", True)):
            write = getattr(indexing, name)
            yield Sample("scatter", lambda x, v, i=index, w=write: w(x, i, v), (X, values),
                         _written(index, add), symbolic=(), note=f"{name} {number}")  # fmt: skip
    yield Sample("scatter", lambda x: indexing.set_at(x, slice(1, 3), 7.0), (V,),
                 lambda x: np.array([x[0], 7, 7, x[3]]), note="scalar value")  # fmt: skip
    for bad in (9, -9):
        yield Sample("scatter", lambda x, i: indexing.add_at(x, i, 1.0), (V, np.array([bad])),
                     raises=IndexError, note=f"index {bad}")  # fmt: skip
    order = np.array([[2, 0, 1]])
    yield Sample("scatter", lambda x, v: indexing.put_along_axis(x, order, v, 1),
                 (V[None, :3], np.array([[9.0, 8.0, 7.0]])),
                 lambda x, v: np.array([[v[0, 1], v[0, 2], v[0, 0]]]), symbolic=())  # fmt: skip


def _counts() -> Iterator[Sample]:
    labels = np.array([0, 2, -1, 5])
    yield Sample("iota", lambda i: indexing.one_hot(i, 3), (labels,),
                 lambda i: (i[:, None] == np.arange(3)).astype("float32"), note="one_hot")  # fmt: skip
    edges = np.array([1.0, 2.0, 2.0, 5.0])
    for side in ("left", "right"):
        yield Sample("searchsorted", lambda a, v, s=side: indexing.searchsorted(a, v, s),
                     (edges, np.array([0.0, 2.0, 9.0, NAN])),
                     lambda a, v, s=side: np.searchsorted(a, v, s), wrt=(), note=side)  # fmt: skip
    yield Sample("bincount", lambda i: indexing.bincount(i, 4), (np.array([0, 2, 2, 3]),),
                 lambda i: np.bincount(i, minlength=4))  # fmt: skip
    for bad in (-1, 9):
        yield Sample("bincount", lambda i: indexing.bincount(i, 4), (np.array([bad]),),
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


def _creation() -> Iterator[Sample]:
    seed = np.zeros((3, 5))
    rows: dict[str, tuple[Any, Any]] = {
        "arange n": (lambda x: creation.arange(x.shape[0]), lambda x: np.arange(x.shape[0])),
        "arange step": (lambda x: creation.arange(1, x.shape[1], 3),
                        lambda x: np.arange(1, x.shape[1], 3)),
        "arange down": (lambda x: creation.arange(x.shape[1], 0, -2),
                        lambda x: np.arange(x.shape[1], 0, -2)),
        "zeros_like": (creation.zeros_like, np.zeros_like),
        "ones_like": (creation.ones_like, np.ones_like),
        "full_like": (lambda x: creation.full_like(x, 2.5), lambda x: np.full_like(x, 2.5)),
        "eye": (lambda x: creation.eye(x.shape[0], x.shape[1], 1),
                lambda x: np.eye(x.shape[0], x.shape[1], 1, "float32")),
        "tri": (lambda x: creation.tri(x.shape[0], x.shape[1], -1),
                lambda x: np.tri(x.shape[0], x.shape[1], -1, "float32")),
    }  # fmt: skip
    for note, (build, truth) in rows.items():
        more = ((np.zeros((1, 1)),), (np.zeros((6, 2)),))
        yield Sample("iota", build, (seed,), truth, wrt=(), resize=more, note=note)
    for k in (0, 1, -2):
        yield Sample("iota", lambda x, k=k: creation.tril(x, k), (X,),
                     lambda x, k=k: np.tril(x, k), note=f"tril {k}")  # fmt: skip
        yield Sample("iota", lambda x, k=k: creation.triu(x, k), (X,),
                     lambda x, k=k: np.triu(x, k), note=f"triu {k}")  # fmt: skip
    yield Sample("arange", lambda n: creation.arange(n) * 2, (np.array(5),),
                 lambda n: np.arange(n) * 2, note="tensor bound")  # fmt: skip
    yield Sample("arange", lambda a, b: creation.arange(a, b, 0.5), (np.array(1.0), np.array(3.0)),
                 lambda a, b: np.arange(a, b, 0.5), wrt=(), note="floats")  # fmt: skip
    yield Sample("constant", lambda x: x + np.array([[1.0, 2, 3]]), (np.ones((2, 3)),),
                 lambda x: x + np.array([[1.0, 2, 3]]), symbolic=())  # fmt: skip
    yield Sample("dim_value", lambda x: x * x.shape[0], (np.ones(3),), lambda x: x * len(x),
                 resize=((np.ones(7),),))  # fmt: skip
    yield Sample("constant", lambda x: x + creation.linspace(0, 1, 3), (np.ones(3),),
                 lambda x: x + np.linspace(0, 1, 3), symbolic=())  # fmt: skip
    yield Sample("iota", lambda x, y: creation.meshgrid(x, y), (np.ones(2), np.zeros(3)),
                 lambda x, y: np.meshgrid(x, y), note="meshgrid")  # fmt: skip


SAMPLES = [*_takes(), *_getitems(), *_writes(), *_counts(), *_sorts(), *_creation()]
