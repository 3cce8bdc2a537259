"""Samples of comparisons, logic, bits, selection and casts. Truth is NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from symtensor.ops import elementwise as e
from symtensor.ops import logic, selection, trigonometry
from symtensor.testing.samples import Array, Sample

INF, NAN = np.inf, np.nan
FLOATS = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 5e-324])
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
BOOLS = (np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool))


def _grid(values: Array) -> tuple[Array, Array]:
    a, b = np.meshgrid(values, values)
    return a.ravel(), b.ravel()


def _comparisons() -> Iterator[Sample]:
    for name in COMPARISONS:
        ours, truth = getattr(logic, name), getattr(np, name)
        longer = (np.arange(70.0), np.arange(70.0)[::-1])
        yield Sample(name, ours, _grid(FLOATS), truth, wrt=(), resize=(longer,))
        yield Sample(name, ours, _grid(FLOATS.astype("float32")), truth)
        yield Sample(name, ours, BOOLS, truth)
        for dtype in INTEGERS:
            info = np.iinfo(dtype)
            yield Sample(name, ours, _grid(np.array([info.min, 0, 1, info.max], dtype)), truth)
        unsigned = np.array([2**63, 0, 5, 2**64 - 1], np.uint64)
        signed = np.array([-1, 0, 5, -1], np.int8)
        yield Sample(name, ours, (unsigned, signed), truth, note="mixed signs")
        yield Sample(name, ours, (signed, unsigned), truth, note="mixed signs")


def _classes() -> Iterator[Sample]:
    for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit"):
        for dtype in ("float64", "float32", "float16"):
            with np.errstate(all="ignore"):
                x = FLOATS.astype(dtype)
            yield Sample(name, getattr(logic, name), (x,), getattr(np, name), wrt=())
    yield Sample("isnan", logic.isnan, (np.arange(3),), np.isnan, note="integers")
    x = np.array([NAN, INF, -INF, 2.5])
    yield Sample("where", selection.nan_to_num, (x,), np.nan_to_num, wrt=(), note="nan_to_num")


def _bits() -> Iterator[Sample]:
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield Sample(name, getattr(logic, name), BOOLS, getattr(np, name))
        yield Sample(name, getattr(logic, name), _grid(FLOATS), getattr(np, name), wrt=())
    yield Sample("logical_not", logic.logical_not, (BOOLS[0],), np.logical_not)
    yield Sample("logical_not", logic.logical_not, (np.array([0, 3, -1]),), np.logical_not)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        yield Sample(name, getattr(logic, name), BOOLS, getattr(np, name))
        for dtype in INTEGERS:
            values = np.array([0, 1, 85, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
            yield Sample(name, getattr(logic, name), _grid(values), getattr(np, name))
        yield Sample(name, getattr(logic, name), (FLOATS, FLOATS), raises=TypeError)
    yield Sample("invert", logic.invert, (BOOLS[0],), np.invert)
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        yield Sample("invert", logic.invert, (np.array([0, 1, info.max], dtype),), np.invert)
        counts = [0, 1, info.bits - 1, info.bits, 100] + ([-1, -100] if info.min else [])
        x, n = np.meshgrid(np.array([1, 5, info.max, info.min], dtype), np.array(counts, dtype))
        for name in ("left_shift", "right_shift"):
            yield Sample(name, getattr(logic, name), (x.ravel(), n.ravel()), getattr(np, name))


def _selection() -> Iterator[Sample]:
    x, y = np.array([1.0, -2.0, 3.0]), np.array([0.5, NAN, -INF])
    mask = np.array([True, False, True])
    yield Sample("where", logic.where, (mask, x, y), np.where, wrt=(), note="edges")
    yield Sample("where", logic.where, (mask, x, x * 2), np.where)
    yield Sample("where", lambda c, v: logic.where(c, v, 0), (np.array([0, 2, -1]), x),
                 lambda c, v: np.where(c, v, 0), note="scalar")  # fmt: skip
    yield Sample("where", logic.where, (mask[:, None], x, np.float64(2) * np.ones((3, 1))),
                 np.where, symbolic=(), note="broadcast")  # fmt: skip
    yield from _unselected()


def _unselected() -> Iterator[Sample]:
    """A branch that is not taken sends no NaN back (reliability R21)."""
    bad = np.array([0.0, -1.0, 2.0])
    forms: dict[str, Any] = {
        "sqrt": (e.sqrt, np.sqrt), "log": (e.log, np.log), "reciprocal": (e.reciprocal, None),
        "rsqrt": (e.rsqrt, None), "log2": (e.log2, np.log2), "log10": (e.log10, np.log10),
        "power": (lambda v: e.power(v, 0.5), None), "log1p": (lambda v: e.log1p(v - 1), None),
        "cbrt": (lambda v: e.cbrt(v - v), None), "divide": (lambda v: 1.0 / v, None),
    }  # fmt: skip
    for name, (build, _) in forms.items():
        yield Sample(
            "where",
            lambda v, f=build: logic.where(v > 1, f(v), 0.0) * 0.0 + v,
            (bad,),
            lambda v: v,
            order=1,
            note=f"unselected {name}",
        )
    for name, build in (
        ("exp", e.exp),
        ("sinh", trigonometry.sinh),
        ("expm1", e.expm1),
        ("exp2", e.exp2),
    ):
        yield Sample(
            "where",
            lambda v, f=build: logic.where(v < 1, f(v), 0.0) * 0.0 + v,
            (np.array([0.5, 2000.0]),),
            lambda v: v,
            order=1,
            note=f"unselected {name}",
        )


def _saturated(x: Array, dtype: str) -> Array:
    """Float to integer by Python integers: truncate, saturate, NaN to 0."""
    info = np.iinfo(dtype)

    def one(v: float) -> int:
        if v != v:
            return 0
        if abs(v) == INF:
            return int(info.max if v > 0 else info.min)
        return min(max(int(v), int(info.min)), int(info.max))

    return np.array([one(float(v)) for v in x], dtype)


def _casts() -> Iterator[Sample]:
    wild = np.array([0.0, -0.0, 1.9, -1.9, 300.7, -300.7, 3e9, -3e9, 1e19, -1e19, 1e300, INF,
                     -INF, NAN, 9007199254740993.0])  # fmt: skip
    for source in ("float64", "float32"):
        with np.errstate(all="ignore"):
            x = wild.astype(source)
        for target in INTEGERS:
            yield Sample("cast", lambda v, t=target: logic.cast(v, t), (x,),
                         lambda v, t=target: _saturated(v, t), wrt=(), note=target)  # fmt: skip
        yield Sample("cast", lambda v: logic.cast(v, bool), (x,), lambda v: v.astype(bool),
                     wrt=(), note="bool")  # fmt: skip
    for source in (*INTEGERS, "bool"):
        x = np.array([0, 1, 2, 100, 200, 300, -1, -200]).astype(source)
        for target in (*INTEGERS, "bool", "float16", "float32", "float64"):
            yield Sample("cast", lambda v, t=target: logic.cast(v, t), (x,),
                         lambda v, t=target: v.astype(t), note=target)  # fmt: skip
    for source in ("float16", "float32", "float64"):
        with np.errstate(all="ignore"):
            x = np.array([0.1, -2.5, 7e4, 1e300, NAN, -INF, 1e-40]).astype(source)
        for target in ("float16", "float32", "float64"):
            yield Sample("cast", lambda v, t=target: logic.cast(v, t), (x,), _float_cast(target),
                         wrt=(), note=target)  # fmt: skip
    smooth = np.array([0.5, -1.5])
    yield Sample("cast", lambda v: logic.cast(v * 2, "float64"), (smooth,), lambda v: v * 2)


def _float_cast(target: str) -> Any:
    def truth(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return x.astype(target)

    return truth


SAMPLES = [*_comparisons(), *_classes(), *_bits(), *_selection(), *_casts()]
