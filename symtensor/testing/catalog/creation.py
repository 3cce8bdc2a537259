"""Samples of tensors made from sizes. Truth is NumPy; all of it exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from symtensor.ops import creation
from symtensor.testing.samples import Sample

X = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)


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
        "eye far": (lambda x: creation.eye(x.shape[0], k=9, dtype=bool),
                    lambda x: np.eye(x.shape[0], k=9, dtype=bool)),
        "full": (lambda x: creation.full(x.shape[::-1], 7), lambda x: np.full(x.shape[::-1], 7)),
        "full of a row": (lambda x: creation.full((4, *x.shape), x[0]),
                          lambda x: np.full((4, *x.shape), x[0])),
        "zeros": (lambda x: creation.zeros(x.shape[0], "int8"),
                  lambda x: np.zeros(x.shape[0], "int8")),
        "ones": (lambda x: creation.ones((2, x.shape[1])) * 3,
                 lambda x: np.ones((2, x.shape[1]), "float32") * 3),
        "indices": (lambda x: creation.indices(x.shape), lambda x: np.indices(x.shape)),
        "arange dtype": (lambda x: creation.arange(x.shape[0], dtype="float32"),
                         lambda x: np.arange(x.shape[0], dtype="float32")),
        "arange between": (lambda x: creation.arange(x.shape[0], 2 * x.shape[1], 2),
                           lambda x: np.arange(x.shape[0], 2 * x.shape[1], 2)),
    }  # fmt: skip
    for note, (build, truth) in rows.items():
        more = ((np.zeros((1, 1)),), (np.zeros((6, 2)),))
        yield Sample("iota", build, (seed,), truth, wrt=(), resize=more, note=note)
    for k in (0, 1, -2):
        yield Sample("iota", lambda x, k=k: creation.tril(x, k), (X,),
                     lambda x, k=k: np.tril(x, k), note=f"tril {k}")  # fmt: skip
        yield Sample("iota", lambda x, k=k: creation.triu(x, k), (X,),
                     lambda x, k=k: np.triu(x, k), note=f"triu {k}")  # fmt: skip
    yield Sample("iota", lambda x: creation.tril(x), (np.ones(3),), np.tril, note="vector")
    yield Sample("iota", lambda x: creation.triu(x), (np.ones((2, 3), bool),), np.triu)
    yield Sample("iota", lambda x: creation.tril(x), (np.full((2, 2), np.nan),), np.tril, wrt=())
    yield Sample("iota", creation.tril, (np.array(1.0),), raises=ValueError)


def _ranges() -> Iterator[Sample]:
    one = np.ones(1)
    for bounds in ((5,), (2, 7, 2), (7, 2, -2), (2, 7, -1), (0, 1, 0.3), (1.0, 2.0, 0.1), (3, 3)):
        yield Sample("constant", lambda x, b=bounds: x * 0 + creation.arange(*b), (one,),
                     lambda x, b=bounds: np.arange(*b) * 1.0, symbolic=(),
                     note=f"arange {bounds}")  # fmt: skip
    halves: Any = (0, 3, 0.5, "int32")  # the step counts as 0
    yield Sample("constant", lambda x: creation.arange(*halves), (one,),
                 lambda x: np.arange(*halves), wrt=(), note="arange dtype")  # fmt: skip
    for bounds in ((0, 5, 0), (0.0, 1.0, 0.0)):
        yield Sample("constant", lambda x, b=bounds: creation.arange(*b), (one,),
                     raises=ValueError, note=f"arange {bounds}")  # fmt: skip
    yield Sample("arange", lambda s: creation.arange(0, 5, s), (np.array(0),), raises=ValueError)
    yield Sample("arange", lambda s: creation.arange(s), (one,), raises=ValueError)
    yield Sample("iota", lambda x: creation.arange(0, x.shape[0], 0.5), (one,),
                 lambda x: np.arange(0, 1, 0.5), symbolic=(), note="floats to a size")  # fmt: skip
    for n, m, s in ((7, 3, 2), (7, 3, -2), (0, 6, 4)):
        yield Sample("arange", lambda a, b, c: creation.arange(a, b, c) + 1,
                     (np.array(n), np.array(m), np.array(s)), lambda a, b, c: np.arange(a, b, c) + 1,
                     note=f"{n} {m} {s}")  # fmt: skip
    for num, end in ((5, True), (1, True), (0, True), (4, False), (1, False)):
        yield Sample("constant", lambda x, n=num, e=end: x * 0 + creation.linspace(-1, 2, n, e),
                     (one,), lambda x, n=num, e=end: np.linspace(-1, 2, n, e), symbolic=(),
                     note=f"linspace {num} {end}")  # fmt: skip
        yield Sample("iota", lambda a, b, n=num, e=end: creation.linspace(a, b, n, e),
                     (np.array(0.1), np.array(0.7)), lambda a, b, n=num, e=end: np.linspace(a, b, n, e),
                     needs=frozenset({"separate_rounding"}), note=f"linspace {num} {end}")  # fmt: skip
    yield Sample("iota", lambda a: creation.linspace(a, 1, 4, dtype="int32"), (np.array(-1),),
                 lambda a: np.linspace(-1, 1, 4, dtype="int32"), note="linspace rounds down")  # fmt: skip
    yield Sample("iota", lambda a: creation.linspace(a, 1, -1), (np.array(0.0),),
                 raises=ValueError, note="linspace -1")  # fmt: skip


def _constants() -> Iterator[Sample]:
    yield Sample("constant", lambda x: creation.full((2, 3), [1, 2, 3]), (X,),
                 lambda x: np.full((2, 3), [1, 2, 3]), wrt=(), note="full of a list")  # fmt: skip
    yield Sample("constant", lambda x: creation.full((2,), 300, "int8"), (X,),
                 raises=OverflowError, note="full 300")  # fmt: skip
    yield Sample("constant", lambda x: creation.zeros((-1,)), (X,), raises=ValueError,
                 note="negative size")  # fmt: skip
    yield Sample("arange", lambda n: creation.arange(n) * 2, (np.array(5),),
                 lambda n: np.arange(n) * 2, note="tensor bound")  # fmt: skip
    yield Sample("arange", lambda a, b: creation.arange(a, b, 0.5), (np.array(1.0), np.array(3.0)),
                 lambda a, b: np.arange(a, b, 0.5), wrt=(), note="floats")  # fmt: skip
    yield Sample("arange", lambda a, s: creation.arange(a, 2.8, s), (np.array(1.0), np.array(0.5)),
                 lambda a, s: np.arange(a, 2.8, s), note="between its elements")  # fmt: skip
    yield Sample("constant", lambda x: x + np.array([[1.0, 2, 3]]), (np.ones((2, 3)),),
                 lambda x: x + np.array([[1.0, 2, 3]]), symbolic=())  # fmt: skip
    yield Sample("dim_value", lambda x: x * x.shape[0], (np.ones(3),), lambda x: x * len(x),
                 resize=((np.ones(7),),))  # fmt: skip
    yield Sample("constant", lambda x: x + creation.linspace(0, 1, 3), (np.ones(3),),
                 lambda x: x + np.linspace(0, 1, 3), symbolic=())  # fmt: skip
    three = (np.arange(2.0), np.arange(3), np.arange(4.0))
    for style in ("xy", "ij"):
        yield Sample("iota", lambda *v, s=style: creation.meshgrid(*v, indexing=s), three,
                     lambda *v, s=style: np.meshgrid(*v, indexing=s), note=f"meshgrid {style}")  # fmt: skip
    yield Sample("iota", lambda *v: creation.meshgrid(*v, indexing="yx"), three, raises=ValueError)
    yield Sample("iota", lambda x, y: creation.meshgrid(x, y), (np.ones(2), np.zeros(3)),
                 lambda x, y: np.meshgrid(x, y), note="meshgrid")  # fmt: skip


SAMPLES = [*_creation(), *_ranges(), *_constants()]
