"""Samples of reading and writing at indices. Truth is NumPy; all of it exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symtensor.ops import indexing, subscript
from symtensor.testing.samples import Array, Sample

X = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
V = np.array([0.5, -1.0, 2.0, 0.25])
I2 = np.array([[0, -1], [2, 1]])


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


WRITES: list[tuple[str, Any, tuple[int, ...]]] = [
    ("update_slice", 1, (3, 4)), ("update_slice", (slice(None), 0), (2, 4)),
    ("update_slice", (slice(None), slice(None), slice(None, None, -2)), (2, 3, 2)),
    ("update_slice", (slice(1, 1), 0), (0, 4)), ("update_slice", (..., 2, None), (2, 3, 1)),
    ("scatter", (..., [0, 2]), (2, 3, 2)), ("scatter", ([0, 0, 1], [2, 2, 0]), (3, 4)),
    ("scatter", (0, [1, 1]), (2, 4)), ("scatter", (slice(1, None), [1, 0], slice(1, 3)), (1, 2, 2)),
    ("scatter", ([0, 1], None, slice(None), [0, 3]), (2, 1, 3)), ("scatter", ([], 0), (0, 4)),
    ("scatter", (slice(None), [-1, 0], None, [[1, -1]]), (1, 2, 2, 1)),
    ("scatter", np.array([[True, False, True], [False, True, True]]), (4, 4)),
]  # fmt: skip


def _writes() -> Iterator[Sample]:
    for number, (op, index, shape) in enumerate(WRITES):
        values = np.linspace(2, 3, int(np.prod(shape))).reshape(shape)
        for name, add in (("set_at", False), ("add_at", True)):
            write = getattr(subscript, name)
            yield Sample(op, lambda x, v, i=index, w=write: w(x, i, v), (X, values),
                         _written(index, add), symbolic=(), note=f"{name} {number}")  # fmt: skip
    yield Sample("scatter", lambda x: subscript.set_at(x, slice(1, 3), 7.0), (V,),
                 lambda x: np.array([x[0], 7, 7, x[3]]), note="scalar value")  # fmt: skip
    for bad in (9, -9):
        yield Sample("scatter", lambda x, i: subscript.add_at(x, i, 1.0), (V, np.array([bad])),
                     raises=IndexError, note=f"index {bad}")  # fmt: skip
    order = np.array([[2, 0, 1]])
    yield Sample("scatter", lambda x, v: indexing.put_along_axis(x, order, v, 1),
                 (V[None, :3], np.array([[9.0, 8.0, 7.0]])),
                 lambda x, v: np.array([[v[0, 1], v[0, 2], v[0, 0]]]), symbolic=())  # fmt: skip


def _one_hot() -> Iterator[Sample]:
    labels = np.array([0, 2, -1, 5])
    yield Sample("iota", lambda i: indexing.one_hot(i, 3), (labels,),
                 lambda i: (i[:, None] == np.arange(3)).astype("float32"), note="one_hot")  # fmt: skip


SAMPLES = [*_takes(), *_getitems(), *_writes(), *_one_hot()]
