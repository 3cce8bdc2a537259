"""Samples of linear algebra. Truth is numpy.linalg; factors are compared by what is unique in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from symtensor.ops import linalg
from symtensor.ops.contraction import matmul
from symtensor.ops.movement import swapaxes
from symtensor.testing.samples import Array, Sample

_rng = np.random.default_rng(7)
A = _rng.standard_normal((3, 3)) + 2 * np.eye(3)
SPD = A @ A.T + np.eye(3)
BATCH = np.stack([A, A.T + 0.5, A * 2])
TALL = _rng.standard_normal((4, 3))
B = _rng.standard_normal((3, 2))
BOUND: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}
SINGULAR = np.ones((3, 3))


def _symmetric(x: Any) -> Any:
    return 0.5 * (x + swapaxes(x, -1, -2))


def _symmetrized(x: Array) -> Array:
    return 0.5 * (x + np.swapaxes(x, -1, -2))


def _factorizations() -> Iterator[Sample]:
    yield Sample("cholesky", lambda x: linalg.cholesky(_symmetric(x)), (SPD,),
                 lambda x: np.linalg.cholesky(_symmetrized(x)), **BOUND)  # fmt: skip
    yield Sample("cholesky", linalg.cholesky, (SPD.astype("float32"),), np.linalg.cholesky,
                 rtol=1e-4, atol=1e-5)  # fmt: skip
    yield Sample("cholesky", linalg.cholesky, (-SPD,), raises=ValueError, note="not definite")
    yield Sample("cholesky", linalg.cholesky, (B,), raises=ValueError, note="not square")
    yield Sample("eigh", lambda x: linalg.eigh(_symmetric(x))[0], (SPD,),
                 lambda x: np.linalg.eigh(_symmetrized(x))[0], note="values", **BOUND)  # fmt: skip
    yield Sample("eigh", lambda x: _square(linalg.eigh(_symmetric(x))[1]), (SPD,),
                 lambda x: np.linalg.eigh(_symmetrized(x))[1] ** 2, note="vectors", **BOUND)  # fmt: skip
    yield Sample("svd", lambda x: linalg.svd(x, compute_uv=False), (TALL,),
                 lambda x: np.linalg.svd(x, compute_uv=False), note="values", **BOUND)  # fmt: skip
    yield Sample("svd", lambda x: [_square(p) for p in linalg.svd(x)], (TALL,),
                 lambda x: [p**2 for p in np.linalg.svd(x, full_matrices=False)], order=1,
                 note="squared factors", **BOUND)  # fmt: skip
    yield Sample("svd", _recomposed, (TALL,), lambda x: x, order=1, note="recomposed", **BOUND)
    yield Sample("qr", lambda x: linalg.qr(x)[1], (TALL,), lambda x: np.linalg.qr(x)[1],
                 note="r", **BOUND)  # fmt: skip
    yield Sample("qr", lambda x: linalg.qr(x)[0], (TALL,), lambda x: np.linalg.qr(x)[0],
                 note="q", **BOUND)  # fmt: skip


def _square(x: Any) -> Any:
    return x * x


def _recomposed(x: Any) -> Any:
    u, s, vt = linalg.svd(x)
    return matmul(u * s, vt)


def _systems() -> Iterator[Sample]:
    b = B[:, 0].copy()
    yield Sample("solve", linalg.solve, (A, B), np.linalg.solve, **BOUND)
    yield Sample("solve", linalg.solve, (A, b), np.linalg.solve, note="vector", **BOUND)
    yield Sample("solve", linalg.solve, (BATCH, np.stack([B] * 3)), np.linalg.solve, order=1,
                 **BOUND)  # fmt: skip
    yield Sample("solve", linalg.solve, (SINGULAR, B), raises=ValueError, note="singular")
    yield Sample("solve", linalg.solve, (A, B.T.copy()), raises=ValueError, note="sizes")
    for lower in (True, False):
        for trans in (False, True):
            yield Sample("solve_triangular", _triangular(lower, trans), (A, B),
                         _triangular_truth(lower, trans), note=f"{lower} {trans}", **BOUND)  # fmt: skip
    yield Sample("solve_triangular", linalg.solve_triangular, (np.zeros((2, 2)), np.ones((2, 1))),
                 raises=ValueError, note="singular")  # fmt: skip
    yield Sample("inv", linalg.inv, (A,), np.linalg.inv, **BOUND)
    yield Sample("inv", linalg.inv, (BATCH,), np.linalg.inv, order=1, **BOUND)
    yield Sample("inv", linalg.inv, (np.arange(4).reshape(2, 2) + 1,), np.linalg.inv, rtol=1e-12,
                 note="integers")  # fmt: skip
    yield Sample("inv", linalg.inv, (np.zeros((2, 2)),), raises=ValueError, note="singular")


def _triangular(lower: bool, trans: bool) -> Any:
    return lambda a, b: linalg.solve_triangular(a, b, lower=lower, trans=trans)


def _triangular_truth(lower: bool, trans: bool) -> Any:
    def truth(a: Array, b: Array) -> Array:
        part = np.tril(a) if lower else np.triu(a)
        return np.linalg.solve(part.T if trans else part, b)

    return truth


def _determinants() -> Iterator[Sample]:
    yield Sample("det", linalg.det, (A,), np.linalg.det, **BOUND)
    yield Sample("det", linalg.det, (BATCH,), np.linalg.det, order=1, **BOUND)
    yield Sample("det", linalg.det, (np.zeros((0, 0)),), np.linalg.det, wrt=(), note="empty")
    yield Sample("slogdet", linalg.slogdet, (A,), lambda x: list(np.linalg.slogdet(x)), **BOUND)
    for power in (0, 1, 3, -2):
        yield Sample("contract", lambda x, n=power: linalg.matrix_power(x, n), (A,),
                     lambda x, n=power: np.linalg.matrix_power(x, n), note=f"power {power}",
                     **BOUND)  # fmt: skip


SAMPLES = [*_factorizations(), *_systems(), *_determinants()]
