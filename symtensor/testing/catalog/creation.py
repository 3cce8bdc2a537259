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


SAMPLES = [*_creation()]
