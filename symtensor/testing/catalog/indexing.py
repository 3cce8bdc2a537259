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
    for index in (np.array([200, 3], "u1"), np.array([2**64 - 1], "u8")):
        yield Sample("gather", lambda x, i: indexing.take(x, i, 0), (V, index), raises=IndexError,
                     note="large unsigned")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take(x, i, 0), (V, np.array([3, 0], "u8")),
                 lambda x, i: x[i])  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take(x, i, 1, "nearest"), (X, I2),
                 raises=ValueError, note="mode")  # fmt: skip
    more = ((np.linspace(0, 1, 30).reshape(3, 5, 2), np.array([4, -5, 0, 2])),)
    yield Sample("gather", lambda x, i: indexing.take(x * 2, i, 1) + 1, (X, np.array([1, -1])),
                 lambda x, i: np.take(x * 2, i, 1) + 1, resize=more, note="between")  # fmt: skip
    strided = np.linspace(-1, 1, 24).reshape(6, 4)[::-2, ::2]
    yield Sample("gather", lambda x, i: indexing.take(x, i, 1), (strided, np.array([1, 0, 1])[::-1]),
                 lambda x, i: np.take(x, i, 1), note="strided")  # fmt: skip
    yield Sample("gather", indexing.gather, (X, np.array([[0], [1]]), np.array([2, -1])),
                 lambda x, i, j: x[i, j], symbolic=(0,), note="two indices")  # fmt: skip
    for axis in (0, 1, -1):
        yield Sample("gather", lambda x, i, a=axis: indexing.take_along_axis(x, i, a),
                     (X, np.argsort(-X, axis)), lambda x, i, a=axis: np.take_along_axis(x, i, a),
                     note=f"along {axis}")  # fmt: skip
    for shape in ((2, 1, 1), (1, 1, 4), (1, 2, 1)):
        index = np.arange(np.prod(shape)).reshape(shape) % 3
        yield Sample("gather", lambda x, i: indexing.take_along_axis(x, i, 1), (X, index),
                     lambda x, i: np.take_along_axis(x, i, 1), symbolic=(), note="broadcast")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take_along_axis(x, i, None), (X, np.array([5, 1])),
                 lambda x, i: np.take_along_axis(x, i, None), note="along None")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take_along_axis(x, i, 1), (X, I2),
                 raises=ValueError, note="along, rank")  # fmt: skip
    yield Sample("gather", lambda x, i: indexing.take_along_axis(x, i, 1),
                 (X, np.array([[[0, 2, 1, 0]], [[2, 2, -1, 1]]])),
                 lambda x, i: np.take_along_axis(x, i, 1), symbolic=(), note="along axis")  # fmt: skip


INDICES: list[Any] = [
    0, -1, (0, 1, 2), (..., 0), (slice(None), 1), (None, 0), (slice(None), None, 1), (1, ..., 2),
    (slice(1, None), slice(None, None, -1)), ([0, 1], [2, 0]), ([0, 1], slice(None), [3, 0]),
    (slice(None), [2, 0, 0]), (slice(None), I2), (0, [1, 2]), (slice(None), slice(None), [1]),
    np.array([True, False]), (slice(None), np.array([True, False, True])),
    (np.array([[1], [0]]), np.array([0, 2])), (slice(0, 1), [1, 1], slice(2)), (..., [0, -1]),
    (slice(None), None, [0, 1]), ([0, 1], None, [0, 1]), (None, [0, 1]), (0, None, [1, 2]),
    (slice(None), [0], None, [1, 2]), (slice(1), [0, 2], ..., [1, 1]), (..., None, I2),
    (None, np.array([True, False]), 1), np.array([[True, False, True], [False, True, True]]),
    (slice(None), np.ones((3, 4), bool)), ([], slice(None)), (0, slice(None), [1, 2]),
    (np.int8(1), np.uint8(2)), np.array(1), ([[0], [1]], 0, [0, 3, 1]),
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
    yield Sample("gather", lambda x, i: x[:, i, None, i], (X, np.array([2, 0, 0])),
                 lambda x, i: x[:, i, None, i], note="tensors around None")  # fmt: skip
    yield Sample("gather", lambda x, i: x[i, 1:, -1], (X, np.array([1, 0])),
                 lambda x, i: x[i, 1:, -1], note="tensor and number")  # fmt: skip
    for bad in (np.array([True, False]), [0.5], "a", (..., ...), ([0, 1], [0, 1, 2]), False,
                np.zeros(0)):  # fmt: skip
        yield Sample("gather", lambda x, i=bad: x[i], (V,), raises=IndexError, note=repr(bad))
    yield Sample("slice", lambda x: x[0.5:], (V,), raises=TypeError, note="bound")
    yield Sample("gather", lambda x, i: x[:, i], (X, np.array([0, 3])), raises=IndexError,
                 note="outside axis 1")  # fmt: skip


def _positions() -> Iterator[Sample]:
    """Single positions on axes of unknown size: known to be inside only when it runs."""
    more = (np.linspace(0, 1, 6).reshape(3, 2),), (np.linspace(0, 1, 12).reshape(2, 6),)
    for index in (-1, 1, (slice(None), -2), (0, None, 1), (..., 0)):
        yield Sample("slice", lambda x, i=index: x[i] * 2, (X[0],), lambda x, i=index: x[i] * 2,
                     resize=more, note=f"at {index}")  # fmt: skip
    yield Sample("slice", lambda x: x[x.shape[1] - 3 :, : x.shape[0]], (X[0],),
                 lambda x: x[x.shape[1] - 3 :, : x.shape[0]], note="dims as bounds")  # fmt: skip
    yield Sample("slice", lambda x: x[x.shape[0] - 1], (X[0],), lambda x: x[-1], resize=more[:1],
                 note="dim as position")  # fmt: skip


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
    yield Sample("update_slice", lambda x: subscript.set_at(x, (0, ...), 7.0), (X,),
                 lambda x: np.stack([np.full((3, 4), 7.0), x[1]]), note="scalar value")  # fmt: skip
    yield Sample("update_slice", lambda x, v: subscript.add_at(x, slice(None, None, 2), v), (X, X[0]),
                 lambda x, v: np.stack([x[0] + v, x[1]]), symbolic=(), note="broadcast value")  # fmt: skip
    grown = ((np.linspace(0, 1, 9), np.linspace(1, 2, 8)),)
    yield Sample("update_slice", lambda x, v: subscript.set_at(x * 1, slice(1, None), v), (V, V[:3]),
                 lambda x, v: np.concatenate([x[:1], v]), resize=grown, note="unknown size")  # fmt: skip
    yield Sample("update_slice", lambda x, v: subscript.add_at(x * 1, slice(1, None), v), (V, V[:3]),
                 lambda x, v: np.concatenate([x[:1], x[1:] + v]), resize=grown,
                 note="add, unknown size")  # fmt: skip
    yield Sample("scatter", lambda x: subscript.set_at(x, 0, 2.9), (np.arange(3),),
                 lambda x: np.array([2, 1, 2]), note="cast value")  # fmt: skip
    yield Sample("scatter", lambda x, i: subscript.add_at(x, i, True), (np.zeros(3, bool), I2 % 2),
                 lambda x, i: np.array([True, True, False]), note="bool")  # fmt: skip
    for wrong, index in ((np.ones(3), slice(0, 2)), (np.ones((2, 1)), 0), (np.ones(2), [0, 1, 2])):
        yield Sample("update_slice", lambda x, v, i=index: subscript.set_at(x, i, v), (V, wrong),
                     raises=ValueError, note=f"values at {index}")  # fmt: skip
    yield Sample("scatter", lambda x: subscript.set_at(x, 0, 300), (np.ones(2, "u1"),),
                 raises=OverflowError, note="300")  # fmt: skip
    yield Sample("scatter", lambda x, i, v: indexing.put_along_axis(x, i, v, 1),
                 (X, np.array([[[0]], [[-1]]]), np.linspace(2, 3, 8).reshape(2, 1, 4)),
                 lambda x, i, v: np.stack([np.vstack([v[0], x[0, 1:]]), np.vstack([x[1, :2], v[1]])]),
                 symbolic=(), note="put along, broadcast")  # fmt: skip
    yield Sample("scatter", lambda x: indexing.put_along_axis(x, [1, 4], 9.0, None), (X[0],),
                 lambda x: np.concatenate([x.ravel()[:1], [9], x.ravel()[2:4], [9],
                                           x.ravel()[5:]]).reshape(3, 4), note="put flat")  # fmt: skip
    order = np.array([[2, 0, 1]])
    yield Sample("scatter", lambda x, v: indexing.put_along_axis(x, order, v, 1),
                 (V[None, :3], np.array([[9.0, 8.0, 7.0]])),
                 lambda x, v: np.array([[v[0, 1], v[0, 2], v[0, 0]]]), symbolic=())  # fmt: skip


def _one_hot() -> Iterator[Sample]:
    labels = np.array([0, 2, -1, 5])
    yield Sample("iota", lambda i: indexing.one_hot(i, 3), (labels,),
                 lambda i: (i[:, None] == np.arange(3)).astype("float32"), note="one_hot")  # fmt: skip


SAMPLES = [*_takes(), *_getitems(), *_positions(), *_writes(), *_one_hot()]
