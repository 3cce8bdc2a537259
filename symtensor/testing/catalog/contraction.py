"""Samples of products: contract, dot, matmul, tensordot, einsum, diagonals. Truth is NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from symtensor.ops import contraction as c
from symtensor.ops.einsum import einsum
from symtensor.testing.samples import Array, Sample

INF, NAN = np.inf, np.nan
BOUND: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}
SINGLE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def _values(shape: Sequence[int], phase: float = 0.0) -> Array:
    """Return ordinary values, different everywhere."""
    flat = np.sin(np.arange(np.prod(shape, dtype=int)) * 1.7 + phase + 0.3) * 2
    return flat.reshape(shape)


def _product(name: str, *shapes: Sequence[int], **options: Any) -> Sample:
    ours, numpys = getattr(c, name), getattr(np, name)
    inputs = tuple(_values(shape, phase) for phase, shape in enumerate(shapes))
    return Sample(name, ours, inputs, numpys, **{**BOUND, **options})


def _dots() -> Iterator[Sample]:
    for shapes in (
        ((3,), (3,)),
        ((2, 3), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3, 4), (4, 2)),
        ((2, 3), (4, 3, 2)),
        ((2, 3, 2), (2, 2, 3)),
        ((), (2, 3)),
        ((3,), ()),
        ((1, 1), (1, 1)),
    ):
        yield _product("dot", *shapes)
    yield _product(
        "dot", (2, 3), (3, 4), resize=((_values((5, 2)), _values((2, 1))),), note="resized"
    )
    for empty in (((2, 0), (0, 3)), ((0, 3), (3, 2)), ((0,), (0,)), ((2, 0, 3), (3, 2))):
        yield _product("dot", *empty, note="empty")
    yield _fails("dot", "inner sizes", (2, 3), (4, 2))
    yield _fails("dot", "vectors", (2,), (3,))


def _fails(name: str, note: str, *shapes: Sequence[int], args: Sequence[Any] = ()) -> Sample:
    ours = getattr(c, name)
    inputs = tuple(np.ones(shape) for shape in shapes)
    return Sample(name, lambda *t: ours(*t, *args), inputs, raises=ValueError, note=note)


def _matmuls() -> Iterator[Sample]:
    for shapes in (
        ((3,), (3,)),
        ((2, 3), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((4, 2, 3), (4, 3, 2)),
        ((4, 2, 3), (3, 2)),
        ((2, 3), (4, 3, 2)),
        ((4, 2, 3), (3,)),
        ((3,), (4, 3, 2)),
        ((2, 0), (0, 3)),
        ((0, 2, 3), (3, 2)),
    ):
        yield _product("matmul", *shapes)
    repeated = (((3, 1, 2, 3), (2, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((1, 2, 3), (1, 3, 2)))
    for pair in repeated:
        yield _product("matmul", *pair, symbolic=(), note="repeated batch")
    yield _fails("matmul", "inner sizes", (2, 3), (4, 2))
    yield _fails("matmul", "batch sizes", (2, 3, 3), (4, 3, 3))
    yield _fails("matmul", "0-d", (), (3,))


def _dtypes() -> Iterator[Sample]:
    numbers = (np.arange(6).reshape(2, 3) * 37 % 120, np.arange(12).reshape(3, 4) * 11 % 50)
    for name in ("dot", "matmul"):
        ours, numpys = getattr(c, name), getattr(np, name)
        for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint64", "bool", "float32"):
            inputs = tuple(x.astype(dtype) for x in numbers)
            options = SINGLE if dtype == "float32" else {}
            yield Sample(name, ours, inputs, numpys, note="ints wrap", **options)
        mixed = (numbers[0].astype("int32"), numbers[1].astype("float32"))
        yield Sample(name, ours, mixed, numpys, note="promotion", **BOUND)
    half = (np.full((1, 5000), 0.5, "float16"), np.full((5000, 1), 0.5, "float16"))
    yield Sample(
        "contract",
        lambda x, y: c.contract(x, y, "ij,jk->ik"),
        half,
        lambda x, y: np.array([[1250]], "float16"),
        note="half adds up in single",
    )


def _strict() -> Iterator[Sample]:
    """NaN and infinities are never skipped; an empty sum overwrites."""
    for note, x, y, truth in (
        ("0 * inf", [0.0, 1.0], [INF, 1.0], NAN),
        ("0 * nan", [0.0, 1.0], [NAN, 1.0], NAN),
        ("inf - inf", [INF, -INF], [1.0, 1.0], NAN),
        ("inf", [INF, 1.0], [1.0, 1.0], INF),
    ):
        for columns in (1, 9):
            yield Sample(
                "matmul",
                c.matmul,
                (np.tile(x, (columns, 1)), np.tile(y, (columns, 1)).T),
                lambda x, y, t=truth: np.full((len(x), len(x)), t),
                wrt=(),
                note=f"{note} in {columns}",
            )


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "F order": np.asfortranarray,
    "negative strides": lambda x: x[::-1, ::-1],
    "zero strides": lambda x: np.broadcast_to(x[:1], x.shape),
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
}


def _layouts() -> Iterator[Sample]:
    for note, change in LAYOUTS.items():
        inputs = (change(_values((6, 7))), change(_values((7, 5))))
        yield Sample("matmul", c.matmul, inputs, np.matmul, wrt=(), note=note, **BOUND)


VECTORS: dict[str, tuple[tuple[Sequence[int], Sequence[int]], ...]] = {
    "inner": (((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((), (3,))),
    "outer": (((3,), (2,)), ((2, 2), (3,)), ((), ())),
    "vdot": (((3,), (3,)), ((2, 3), (3, 2))),
}


def _others() -> Iterator[Sample]:
    for axes, *shapes in (
        (2, (4, 2, 3), (2, 3, 2)),
        (1, (2, 3), (3, 4)),
        (0, (2,), (3,)),
        (([0, 1], [1, 0]), (2, 3), (3, 2)),
        ((-1, 0), (2, 3), (3, 4)),
        (([2, 0], [0, 1]), (2, 3, 4), (4, 2)),
    ):
        yield Sample(
            "tensordot",
            lambda x, y, a=axes: c.tensordot(x, y, a),
            tuple(map(_values, shapes)),
            lambda x, y, a=axes: np.tensordot(x, y, a),
            note=f"axes={axes}",
            **BOUND,
        )
    yield _fails("tensordot", "too many axes", (2,), (2,), args=(2,))
    yield _fails("tensordot", "unpaired axes", (2, 3), (2, 3), args=(([0], [0, 1]),))
    yield _fails("tensordot", "sizes", (2, 3), (2, 3), args=(1,))
    for name, pairs in VECTORS.items():
        for pair in pairs:
            yield _product(name, *pair)
    yield _fails("vdot", "sizes", (3,), (4,))


EINSUMS = (
    ("ij->ji", (2, 3)), ("ji", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("ij->", (2, 3)),
    ("ij->i", (2, 3)), ("iij->j", (2, 2, 3)), ("ijij->ij", (2, 3, 2, 3)), ("...i", (2, 3)),
    ("...ii->...i", (2, 3, 3)), ("i...->...", (2, 3)), ("ij,jk", (2, 3), (3, 2)),
    ("ij,jk->ki", (2, 3), (3, 2)), ("i,i", (3,), (3,)), ("i,j", (3,), (2,)),
    ("i,i->i", (3,), (3,)), ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("ij,ij->", (2, 3), (2, 3)),
    ("ij,kl->", (2, 3), (2, 2)), ("ij,jj->i", (2, 3), (3, 3)), (",i", (), (3,)),
    ("i j , j k -> i k", (2, 3), (3, 2)), ("ij,jk->ik", (2, 0), (0, 3)), ("...,...", (2, 3), (3,)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), ("i,ij,j", (2,), (2, 3), (3,)),
    ("ab,bc,cd,da->", (2, 3), (3, 2), (2, 3), (3, 2)), ("i,j,k->kji", (2,), (1,), (3,)),
    ("ij,ik,il->jkl", (2, 3), (2, 2), (2, 1)), ("ab,ab,ab->ab", (2, 3), (2, 3), (2, 3)),
)  # fmt: skip


def _einsums() -> Iterator[Sample]:
    for spec, *shapes in EINSUMS:
        yield _einsum(spec, [_values(shape, phase) for phase, shape in enumerate(shapes)])
    yield _einsum("ij,jk->ik", [_values((2, 1)), _values((3, 2))], symbolic=())
    yield _einsum("...ij,...jk", [_values((2, 1, 2, 3)), _values((2, 3, 2))], symbolic=())
    integers = [np.arange(6, dtype="int8").reshape(2, 3) * 11, np.full((3, 2), 30, "int8")]
    yield _einsum("ij,jk", integers)
    yield _einsum("ij,jk", [x.astype(bool) for x in integers])
    for note, spec, *shapes in (
        ("labels and rank", "i", (2, 3)),
        ("count of terms", "i,j", (2,)),
        ("unknown label in the result", "ij->ijk", (2, 3)),
        ("repeated label in the result", "ij->ii", (2, 3)),
        ("sizes", "ij,jk", (2, 3), (4, 5)),
        ("sizes of a diagonal", "ii->i", (2, 3)),
        ("diagonal with size 1", "ii->i", (1, 3)),
        ("ellipsis lost", "...i->i", (2, 3)),
        ("not a label", "i.j", (2, 3)),
    ):
        yield Sample(
            "einsum",
            lambda *t, s=spec: einsum(s, *t),
            tuple(map(np.ones, shapes)),
            raises=ValueError,
            note=note,
        )


def _einsum(spec: str, inputs: list[Array], **options: Any) -> Sample:
    return Sample(
        "einsum",
        lambda *t: einsum(spec, *t),
        tuple(inputs),
        lambda *a: np.einsum(spec, *a),
        note=spec,
        **{**BOUND, **options},
    )


def _contracts() -> Iterator[Sample]:
    """The record itself, in every role a label can have."""
    for spec, *shapes in (
        ("ij,jk->ik", (2, 3), (3, 2)),
        ("ij,jk->ki", (2, 3), (3, 2)),
        ("bij,bkj->bik", (2, 2, 3), (2, 2, 3)),
        ("ibj,jb->bi", (2, 3, 2), (2, 3)),
        ("ijk,ijk->", (2, 3, 2), (2, 3, 2)),
        ("ijk,kj->i", (2, 3, 2), (2, 3)),
        ("i,i->", (0,), (0,)),
    ):
        inputs = tuple(_values(shape, phase) for phase, shape in enumerate(shapes))
        yield Sample(
            "contract",
            lambda x, y, s=spec: c.contract(x, y, s),
            inputs,
            lambda x, y, s=spec: np.einsum(s, x, y),
            note=spec,
            **BOUND,
        )


def _diagonals() -> Iterator[Sample]:
    for offset in (-3, -1, 0, 1, 4):
        for shape in ((3, 4), (4, 3), (2, 0)):
            x = _values(shape)
            for name in ("diagonal", "trace", "diag"):
                ours, numpys = getattr(c, name), getattr(np, name)
                yield Sample(
                    name,
                    lambda t, f=ours, k=offset: f(t, k),
                    (x,),
                    lambda a, f=numpys, k=offset: f(a, k),
                    note=f"offset={offset}",
                    **BOUND,
                )
        for n in (0, 3):
            yield Sample(
                "diag",
                lambda t, k=offset: c.diag(t, k),
                (_values((n,)),),
                lambda a, k=offset: np.diag(a, k),
                note=f"offset={offset}",
            )
    cube = _values((2, 3, 4))
    for axes in ((0, 1), (2, 0), (-1, 1)):
        yield Sample(
            "diagonal",
            lambda t, a=axes: c.diagonal(t, 1, *a),
            (cube,),
            lambda x, a=axes: np.diagonal(x, 1, *a),
            note=f"axes={axes}",
        )
        yield Sample(
            "trace",
            lambda t, a=axes: c.trace(t, 1, *a),
            (cube,),
            lambda x, a=axes: np.trace(x, 1, *a),
            note=f"axes={axes}",
            **BOUND,
        )
    yield Sample("trace", c.trace, (np.full((2, 2), 100, "int8"),), np.trace, note="int8 is wide")
    yield _fails("diag", "3 axes", (2, 2, 2))
    yield _fails("diagonal", "one axis twice", (2, 2), args=(0, 1, 1))


SAMPLES: list[Sample] = [
    *_dots(),
    *_matmuls(),
    *_dtypes(),
    *_strict(),
    *_layouts(),
    *_others(),
    *_einsums(),
    *_contracts(),
    *_diagonals(),
]
