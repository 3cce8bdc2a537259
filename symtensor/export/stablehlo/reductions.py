"""Reductions: folds by one operation, and positions of extrema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.export.stablehlo.words import Words
from symtensor.export.stablehlo.writer import Value, Writer, integers, type_text
from symtensor.ir.dtypes import DType, float32, int64
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType


def reduction(writer: Writer, node: Node, x: Value) -> Value:
    """Return what a reduction op makes of `x`; narrow floats are summed in float32."""
    combiner, axes = node.op.family.combiner, node.attrs["axes"]
    if combiner in ("argmax", "argmin"):
        return _arg_extremum(writer, x, axes[0], combiner)
    narrow = combiner in ("sum", "prod") and x.type.dtype.is_floating and x.type.dtype.bits == 16
    wide = Words(writer, x.shape).convert(x, float32) if narrow else x
    found = _fold(writer, wide, combiner, axes)
    return Words(writer, found.shape).convert(found, x.type.dtype) if narrow else found


FOLDS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "any": "or",
    "all": "and",
}


def _fold(writer: Writer, x: Value, combiner: str, axes: Sequence[int]) -> Value:
    start = writer.constant(neutral(combiner, x.type.dtype), x.type.dtype)
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    out = TensorType(x.type.dtype, kept)
    return writer.op(
        f"stablehlo.reduce({x.name} init: {start.name}) applies stablehlo.{FOLDS[combiner]} across "
        f"dimensions = {integers(axes)} : ({x.text}, {start.text}) -> {type_text(out)}",
        out,
    )


def neutral(combiner: str, dtype: DType) -> Any:
    """Return the number that changes nothing when it is folded in."""
    if combiner in ("sum", "any"):
        return 0
    if combiner in ("prod", "all"):
        return 1
    if dtype.is_bool:
        return combiner == "min"
    sign = -1 if combiner == "max" else 1
    if dtype.is_floating:
        return sign * np.inf
    info = np.iinfo(dtype.numpy)
    return info.min if combiner == "max" else info.max


def _arg_extremum(writer: Writer, x: Value, axis: int, combiner: str) -> Value:
    """Fold pairs of value and position; NaN beats numbers, the earlier of equals wins."""
    places = writer.iota(x.shape, axis)
    kind = "max" if combiner == "argmax" else "min"
    starts = writer.constant(neutral(kind, x.type.dtype), x.type.dtype), writer.constant(0, int64)
    kept = tuple(size for a, size in enumerate(x.shape) if a != axis)
    kinds = TensorType(x.type.dtype, kept), TensorType(int64, kept)
    name = writer.fresh()
    types = ", ".join(v.text for v in (x, places, *starts))
    operands = ", ".join(v.name for v in (x, places, *starts))
    writer.line(
        f'{name}:2 = "stablehlo.reduce"({operands}) <{{dimensions = array<i64: {axis}>}}> ({{'
    )
    scalars = TensorType(x.type.dtype, ()), TensorType(int64, ())
    a, i, b, j = (Value(writer.fresh(), scalars[k % 2]) for k in range(4))

    def choose() -> list[Value]:
        words = Words(writer, ())
        first = words.compare("GT" if combiner == "argmax" else "LT", a, b)
        tied = words.eq(a, b)
        if x.type.dtype.is_floating:
            nan_a, nan_b = words.ne(a, a), words.ne(b, b)
            first = words.or_(first, words.and_(nan_a, words.not_(nan_b)))
            tied = words.or_(tied, words.and_(nan_a, nan_b))
        first = words.or_(first, words.and_(tied, words.lt(i, j)))
        return [words.select(first, a, b), words.select(first, i, j)]

    writer.region([a, i, b, j], choose)
    writer.line(f"}}) : ({types}) -> ({', '.join(map(type_text, kinds))})")
    return Value(f"{name}#1", kinds[1])
