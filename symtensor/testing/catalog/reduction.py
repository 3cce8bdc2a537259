"""Samples of reductions, statistics and running sums. Truth is NumPy, or SciPy for logsumexp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symtensor.ops import reduction as r
from symtensor.ops import running, statistics
from symtensor.testing.samples import Array, Sample

INF, NAN = np.inf, np.nan
MATRIX = np.array([[0.5, -1.25, 2.0], [3.5, 0.75, -0.25]])
CUBE = np.linspace(-2.0, 2.1, 24).reshape(2, 3, 4)[:, ::-1] * np.array([1.0, -1.5, 0.5, 2.0])
LARGER = (np.linspace(-1.5, 2.5, 20).reshape(4, 5) ** 3,)
FLOAT_BOUND: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}
SINGLE_BOUND: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
AXES: tuple[Any, ...] = (None, 0, 1, -1, (0, 1), ())


def _array(values: Any, dtype: str = "float64") -> Array:
    return np.array(values, dtype=dtype)


def _plain(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return symtensor's and NumPy's function of one name."""
    return _ours(name), getattr(np, name)


def _ours(name: str) -> Callable[..., Any]:
    """Return symtensor's function of a name, whichever module has it."""
    found = [getattr(m, name) for m in (r, statistics, running) if hasattr(m, name)]
    return found[0]  # type: ignore[no-any-return]


def _over_axes(name: str, **options: Any) -> Iterator[Sample]:
    """All axis forms of a reduction, with and without keepdims, on a matrix and a cube."""
    ours, numpys = _plain(name)
    bound = {**FLOAT_BOUND, **options}
    for axis in AXES:
        for keepdims in (False, True):
            yield Sample(
                name,
                lambda x, a=axis, k=keepdims: ours(x, a, keepdims=k),
                (MATRIX,),
                lambda x, a=axis, k=keepdims: numpys(x, axis=a, keepdims=k),
                resize=(LARGER,),
                note=f"axis={axis} keepdims={keepdims}",
                **bound,
            )
    for axis in ((0, 2), (2, 1), -2):
        yield Sample(
            name,
            lambda x, a=axis: ours(x, a),
            (CUBE,),
            lambda x, a=axis: numpys(x, axis=a),
            note=f"axis={axis}",
            **bound,
        )
    yield Sample(name, ours, (_array(1.5),), numpys, note="0-d", **bound)


def _over_dtypes(name: str, dtypes: tuple[str, ...], **options: Any) -> Iterator[Sample]:
    ours, numpys = _plain(name)
    for dtype in dtypes:
        x = np.array([[3, 1, 2, 0], [5, 1, 5, 4]]).astype(dtype)
        for axis in (None, 1):
            yield Sample(
                name,
                lambda x, a=axis: ours(x, a),
                (x,),
                lambda x, a=axis: numpys(x, axis=a),
                note=f"axis={axis}",
                **options,
            )


def _edge(name: str, note: str, x: Array, truth: Any, axis: Any = None, **options: Any) -> Sample:
    """A row of the edge table: the result is written down, not computed."""
    ours = _ours(name)
    return Sample(
        name,
        lambda t: ours(t, axis),
        (x,),
        lambda _: np.array(truth),
        wrt=(),
        note=note,
        **options,
    )


def _fails(name: str, note: str, x: Array, raises: type[Exception], *args: Any) -> Sample:
    ours = _ours(name)
    return Sample(name, lambda t: ours(t, *args), (x,), raises=raises, note=note)


def _layouts(name: str) -> Iterator[Sample]:
    """Memory layouts that an engine must read right."""
    ours, numpys = _plain(name)
    base = np.linspace(-1.0, 1.3, 48).reshape(6, 8)
    for note, x in {
        "F order": np.asfortranarray(base),
        "negative strides": base[::-1, ::-1],
        "zero strides": np.broadcast_to(base[:1], (6, 8)),
        "every other": base[::2, 1::3],
    }.items():
        yield Sample(
            name,
            lambda t: ours(t, 1),
            (x,),
            lambda a: numpys(a, axis=1),
            wrt=(),
            note=note,
            **FLOAT_BOUND,
        )


def _sums() -> Iterator[Sample]:
    yield from _over_axes("sum")
    yield from _over_axes("prod")
    yield from _layouts("sum")
    for name in ("sum", "prod"):
        yield from _over_dtypes(name, (*INTEGERS, "bool"))
        yield from _over_dtypes(name, ("float32", "float16"), **SINGLE_BOUND)
    empty = np.zeros((0, 3))
    yield _edge("sum", "empty", empty, 0.0)
    yield _edge("sum", "empty axis", empty, np.zeros(3), 0)
    yield _edge("sum", "empty result", empty, np.zeros(0), 1)
    yield _edge("prod", "empty", empty, 1.0)
    yield _edge("prod", "empty int8", np.zeros(0, np.int8), np.int64(1))
    yield _edge("sum", "inf - inf", _array([INF, -INF]), NAN)
    yield _edge("sum", "nan", _array([1.0, NAN]), NAN)
    yield _edge("prod", "0 * inf", _array([0.0, INF]), NAN)
    yield _edge("sum", "int64 wraps", _array([2**63 - 1, 1], "int64"), np.int64(-(2**63)))
    yield _edge("sum", "int8 does not wrap", _array([127, 127], "int8"), np.int64(254))
    yield _edge("prod", "uint8 is wide", _array([200, 200], "uint8"), np.uint64(40000))
    yield _edge("sum", "half adds up in single", np.ones(4099, "float16"), np.float16(4100))
    yield _edge("sum", "half overflows", np.ones(70000, "float16"), np.float16(INF))
    for zeros in ([2.0, 0.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]):
        yield Sample("prod", r.prod, (_array(zeros),), np.prod, note=f"{zeros.count(0.0)} zeros")
    yield _fails("sum", "axis out of range", MATRIX, ValueError, 2)
    yield _fails("sum", "axis twice", MATRIX, ValueError, (0, -2))
    yield _fails("sum", "float axis", MATRIX, ValueError, 0.5)


def _extrema() -> Iterator[Sample]:
    for name in ("max", "min"):
        ours, numpys = _plain(name)
        yield from _over_axes(name, order=1, rtol=0.0, atol=0.0)
        yield from _over_dtypes(name, (*INTEGERS, "bool", "float32", "float16"))
        yield _edge(name, "nan wins", _array([1.0, NAN, 2.0]), NAN)
        rows = _array([[NAN, 1.0], [3.0, 4.0]])
        yield _edge(name, "nan wins its row", rows, [NAN, 3.0 if name == "min" else 4.0], 1)
        infinite = -INF if name == "min" else INF
        yield _edge(name, "infinities", _array([INF, 1.0, -INF]), infinite)
        yield _edge(name, "empty result", np.zeros((0, 3)), np.zeros(0), 1)
        yield _fails(name, "empty", np.zeros(0), ValueError)
        yield _fails(name, "empty axis", np.zeros((3, 0)), ValueError, 1)
        for note, x in {"empty": np.zeros(0), "smaller": _array([1.0, 3.0, 2.0])}.items():
            yield Sample(
                name,
                lambda t, f=ours: f(t, initial=2.5),
                (x,),
                lambda a, f=numpys: f(a, initial=2.5),
                order=1,
                note=f"initial, {note}",
            )
        yield Sample(
            name,
            lambda t, f=ours: f(t, 1, keepdims=True, initial=7),
            (_array([[1, 9], [3, 4]], "int32"),),
            lambda a, f=numpys: f(a, axis=1, keepdims=True, initial=7),
            note="initial int",
        )
        yield Sample(
            name, lambda t, f=ours: f(t, initial=300), (_array([1], "int8"),), raises=OverflowError
        )
    yield from _layouts("max")
    yield Sample("ptp", statistics.ptp, (MATRIX,), np.ptp, order=1)
    yield Sample("ptp", lambda x: statistics.ptp(x, 1), (MATRIX,), lambda x: np.ptp(x, axis=1), order=1,
                 note="axis=1")  # fmt: skip
    yield _edge("ptp", "int8 wraps", _array([-100, 100], "int8"), np.int8(-56))
    yield _fails("ptp", "bool", _array([True, False], "bool"), TypeError)


def _positions() -> Iterator[Sample]:
    for name in ("argmax", "argmin"):
        ours, numpys = _plain(name)
        for axis in (None, 0, 1, -1):
            for keepdims in (False, True):
                yield Sample(
                    name,
                    lambda x, f=ours, a=axis, k=keepdims: f(x, a, keepdims=k),
                    (MATRIX,),
                    lambda x, f=numpys, a=axis, k=keepdims: f(x, axis=a, keepdims=k),
                    resize=(LARGER,),
                    note=f"axis={axis} keepdims={keepdims}",
                )
        yield from _over_dtypes(name, (*INTEGERS, "bool", "float32", "float16"))
        yield Sample(name, lambda x, f=ours: f(x, 1), (CUBE,), lambda x, f=numpys: f(x, axis=1))
        yield Sample(name, ours, (_array(2.0),), numpys, note="0-d")
        yield _edge(name, "first nan wins", _array([1.0, NAN, 3.0, NAN]), 1)
        yield _edge(name, "nan in every lane", _array([[NAN, 1.0], [2.0, NAN]]), [0, 1], 1)
        yield _edge(name, "first of equal", _array([2.0, 5.0, 5.0, 2.0, 5.0]),
                    1 if name == "argmax" else 0)  # fmt: skip
        yield _edge(name, "zeros of both signs", _array([0.0, -0.0]), 0)
        yield _edge(name, "empty result", np.zeros((0, 3)), np.zeros(0, np.int64), 1)
        yield _fails(name, "empty", np.zeros(0), ValueError)
        yield _fails(name, "empty axis", np.zeros((3, 0)), ValueError, 1)
    yield from _layouts("argmax")


def _logic() -> Iterator[Sample]:
    for name in ("any", "all"):
        ours, numpys = _plain(name)
        yield from _over_axes(name, rtol=0.0, atol=0.0)
        mixed = np.array([[True, False, True], [True, True, True]])
        for axis in AXES:
            yield Sample(
                name,
                lambda x, f=ours, a=axis: f(x, a),
                (mixed,),
                lambda x, f=numpys, a=axis: f(x, axis=a),
                note=f"axis={axis}",
            )
        yield _edge(name, "empty", np.zeros(0, bool), name == "all")
        yield _edge(name, "nan is true", _array([NAN]), True)
        yield _edge(name, "-0.0 is false", _array([-0.0]), False)
        yield from _over_dtypes(name, ("int8", "uint64", "float32"))
    yield Sample(
        "count_nonzero",
        lambda x: statistics.count_nonzero(x, 1, keepdims=True),
        (_array([[0.0, 2.0, NAN], [-0.0, 0.0, 1.0]]),),
        lambda x: np.count_nonzero(x, axis=1, keepdims=True),
    )
    yield Sample("count_nonzero", statistics.count_nonzero, (np.arange(5),), np.count_nonzero)


def _statistics() -> Iterator[Sample]:
    for name in ("mean", "var", "std"):
        yield from _over_axes(name)
        yield from _over_dtypes(name, (*INTEGERS, "bool"), **FLOAT_BOUND)
        yield from _over_dtypes(name, ("float32",), **SINGLE_BOUND)
        yield from _over_dtypes(name, ("float16",), ulp=1.0)
        yield _edge(name, "empty", np.zeros(0), NAN)
        yield _edge(name, "empty axis", np.zeros((0, 2)), [NAN, NAN], 0)
        yield _edge(name, "nan", _array([1.0, NAN]), NAN)
    yield _edge("mean", "half adds up in single", np.full(70000, 3, "float16"), np.float16(3))
    yield _edge("mean", "infinities", _array([INF, -INF]), NAN)
    yield _edge("var", "large offset", np.full(1000, 1e9), 0.0)
    for name in ("var", "std"):
        ours, numpys = _plain(name)
        for n, ddof in ((3, 1), (1, 1), (2, 3), (2, 2)):
            x = np.arange(1.0, n + 1) ** 2
            yield Sample(
                name,
                lambda t, f=ours, d=ddof: f(t, ddof=d),
                (x,),
                lambda a, f=numpys, d=ddof: f(a, ddof=d),
                wrt=None if ddof < n else (),
                note=f"n={n} ddof={ddof}",
                **FLOAT_BOUND,
            )
    weights = _array([[1.0, 2.0, 0.5], [0.25, 1.0, 3.0]])
    yield Sample(
        "average",
        lambda x, w: statistics.average(x, 1, w, keepdims=True),
        (MATRIX, weights),
        lambda x, w: np.average(x, axis=1, weights=w, keepdims=True),
        **FLOAT_BOUND,
    )
    yield Sample(
        "average",
        lambda x, w: statistics.average(x, 0, w),
        (MATRIX, weights[:, 0]),
        lambda x, w: np.average(x, axis=0, weights=w),
        note="vector of weights",
        **FLOAT_BOUND,
    )
    yield Sample("average", statistics.average, (MATRIX,), np.average, **FLOAT_BOUND)
    yield _fails("average", "weights of another shape", MATRIX, ValueError, None, np.ones(2))


def _norms() -> Iterator[Sample]:
    for axis in (None, 0, (0, 1)):
        yield Sample(
            "norm",
            lambda x, a=axis: statistics.norm(x, a, keepdims=True),
            (MATRIX,),
            lambda x, a=axis: np.sqrt(np.sum(x * x, axis=a, keepdims=True)),
            note=f"axis={axis}",
            **FLOAT_BOUND,
        )
    yield _edge("norm", "empty", np.zeros(0), 0.0)
    yield _edge("norm", "plain formula overflows", _array([1e200, 1e200]), INF)
    yield _edge("norm", "half in single", _array([300, 400], "float16"), np.float16(500))
    yield _edge("norm", "int", _array([3, 4], "int32"), 5.0)
    yield from map(_logsumexp, (None, 0, 1, (0, 1)))
    for note, values, truth in (
        ("only -inf", [-INF, -INF], -INF),
        ("+inf", [INF, 0.0], INF),
        ("both infinities", [INF, -INF], INF),
        ("nan", [0.0, NAN], NAN),
        ("empty", [], -INF),
        ("one", [3.0], 3.0),
        ("beyond the range of exp", [1000.0, 1000.0], 1000.0 + np.log(2.0)),
        ("far below", [-1000.0, -1000.0], -1000.0 + np.log(2.0)),
    ):
        yield _edge("logsumexp", note, _array(values), truth, ulp=1.0)
    yield _edge("logsumexp", "empty axes", np.zeros((0, 2, 0)), [-INF, -INF], (0, 2))


def _logsumexp(axis: Any) -> Sample:
    def truth(x: Array) -> Any:
        from scipy.special import logsumexp

        return logsumexp(x, axis=axis, keepdims=True)

    return Sample(
        "logsumexp",
        lambda x: statistics.logsumexp(x, axis, keepdims=True),
        (MATRIX,),
        truth,
        resize=(LARGER,),
        note=f"axis={axis}",
        **FLOAT_BOUND,
    )


def _running() -> Iterator[Sample]:
    for name in ("cumsum", "cumprod"):
        ours, numpys = _plain(name)
        for axis in (None, 0, 1, -1):
            yield Sample(
                name,
                lambda x, f=ours, a=axis: f(x, a),
                (MATRIX,),
                lambda x, f=numpys, a=axis: f(x, axis=a),
                resize=(LARGER,),
                note=f"axis={axis}",
                **FLOAT_BOUND,
            )
        yield Sample(
            name,
            lambda x, f=ours: f(x, 1, reverse=True),
            (MATRIX,),
            lambda x, f=numpys: np.flip(f(np.flip(x, 1), axis=1), 1),
            note="reverse",
            **FLOAT_BOUND,
        )
        yield from _over_dtypes(name, (*INTEGERS, "bool"))
        yield from _over_dtypes(name, ("float32", "float16"), **SINGLE_BOUND)
        yield Sample(name, ours, (_array(2.0),), numpys, note="0-d")
        yield Sample(name, lambda x, f=ours: f(x, 0), (np.zeros((0, 2)),), lambda x: x)
        yield _edge(name, "nan stays", _array([1.0, NAN, 2.0]), [1.0, NAN, NAN])
        yield _fails(name, "axis out of range", MATRIX, ValueError, 2)
    yield Sample(
        "cumprod", running.cumprod, (_array([2.0, 0.0, 3.0, 0.0]),), np.cumprod, note="zeros"
    )
    half = np.ones(3000, "float16")
    yield _edge("cumsum", "half adds up in single", half, np.arange(1, 3001).astype("float16"))
    yield _edge("cumsum", "int8 is wide", _array([100, 100], "int8"), np.array([100, 200]))


def _differences() -> Iterator[Sample]:
    for n in (0, 1, 2, 4):
        for axis in (0, -1):
            yield Sample(
                "diff",
                lambda x, n=n, a=axis: running.diff(x, n, a),
                (MATRIX,),
                lambda x, n=n, a=axis: np.diff(x, n, axis=a),
                resize=(LARGER,),
                note=f"n={n} axis={axis}",
                **FLOAT_BOUND,
            )
    yield _edge("diff", "uint8 wraps", _array([2, 1], "uint8"), np.array([255], "uint8"), 1)
    for x in (_array([True, False, False], "bool"), np.zeros((0, 2)), _array([5.0])):
        yield Sample("diff", lambda t: running.diff(t, axis=0), (x,), lambda a: np.diff(a, axis=0))
    yield _fails("diff", "0-d", _array(1.0), ValueError)
    yield _fails("diff", "negative order", MATRIX, ValueError, -1)


def _others_truth(x: Array) -> Array:
    return np.stack([np.prod(np.delete(x, i, 1), axis=1) for i in range(x.shape[1])], axis=1)


def _product_of_others() -> Iterator[Sample]:
    from symtensor.ops.build import apply

    zeros = _array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0]])
    for note, x in {"": MATRIX, "zeros": zeros, "one": np.zeros((2, 1))}.items():
        yield Sample(
            "product_of_others",
            lambda t: apply(r.PRODUCT_OF_OTHERS, t, axis=1),
            (x,),
            _others_truth,
            note=note,
            **FLOAT_BOUND,
        )
    empty = np.zeros((2, 0))
    yield Sample(
        "product_of_others",
        lambda t: apply(r.PRODUCT_OF_OTHERS, t, axis=1),
        (empty,),
        lambda x: x,
        note="empty",
    )


SAMPLES: list[Sample] = [
    *_sums(),
    *_extrema(),
    *_positions(),
    *_logic(),
    *_statistics(),
    *_norms(),
    *_running(),
    *_differences(),
    *_product_of_others(),
]
