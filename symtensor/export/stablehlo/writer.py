"""StableHLO text: types, SSA values, and the writer of one function.

Shapes are fixed, so every value knows its sizes as ints. Regions (of reductions, loops, branches) share
the numbering of the function around them and may read its values.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.ir.dtypes import DType, int64
from symtensor.ir.types import TensorType

SPECIAL = {"bool": "i1", "bfloat16": "bf16"}

GENERIC = {"stablehlo.select"}
"""Operations of one type whose short form needs more than that type."""
WRITTEN_OUT = 16
"""Elements up to which a constant is a list of numbers."""


def element_type(dtype: DType) -> str:
    """Return ``f32``, ``i1``, ``ui8``, ``i64``."""
    return SPECIAL.get(
        dtype.name, f"u{dtype.short.replace('u', 'i')}" if dtype.kind == "u" else dtype.short
    )


def type_text(type_: TensorType) -> str:
    """Return ``tensor<2x3xf32>``."""
    return f"tensor<{''.join(f'{d}x' for d in type_.shape)}{element_type(type_.dtype)}>"


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA value."""

    name: str
    type: TensorType

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, all of them known."""
        return tuple(int(d) for d in self.type.shape)

    @property
    def text(self) -> str:
        """Its type as text."""
        return type_text(self.type)


def integers(values: Sequence[int]) -> str:
    """Return ``[1, 2]``."""
    return f"[{', '.join(map(str, values))}]"


class Writer:
    """Appends operations to the text of one function; regions share its numbering."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 2
        self.count = 0
        self.constants: dict[tuple[Any, ...], Value] = {}

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append("  " * self.depth + text)

    def fresh(self) -> str:
        """Return an unused name."""
        self.count += 1
        return f"%{self.count - 1}"

    def op(self, text: str, type_: TensorType) -> Value:
        """Append an operation whose text is complete and return its result."""
        value = Value(self.fresh(), type_)
        self.line(f"{value.name} = {text}")
        return value

    def elementwise(self, name: str, *xs: Value, type: TensorType | None = None) -> Value:
        """Append an operation on operands of one shape."""
        out = type or xs[0].type
        names = ", ".join(x.name for x in xs)
        short = name.startswith("stablehlo.") and name not in GENERIC
        if short and all(x.type == out for x in xs):
            return self.op(f"{name} {names} : {type_text(out)}", out)
        signature = f"({', '.join(x.text for x in xs)}) -> {type_text(out)}"
        return self.op(f'"{name}"({names}) : {signature}', out)

    def constant(self, array: Any, dtype: DType) -> Value:
        """Append a constant; the elements of large ones are written as bytes."""
        array = np.asarray(array, dtype.numpy)
        type_ = TensorType(dtype, array.shape)
        key = (array.tobytes(), dtype, array.shape, self.depth)
        if key not in self.constants:
            text = f"stablehlo.constant dense<{_elements(array, dtype)}> : {type_text(type_)}"
            self.constants[key] = self.op(text, type_)
        return self.constants[key]

    def splat(self, number: Any, dtype: DType, shape: Sequence[int]) -> Value:
        """Append a constant that is one number everywhere."""
        return self.broadcast(self.constant(number, dtype), shape, ())

    def broadcast(self, x: Value, shape: Sequence[int], axes: Sequence[int]) -> Value:
        """Append a broadcast; axis i of `x` is axis ``axes[i]`` of the result."""
        if x.shape == tuple(shape):
            return x
        out = TensorType(x.type.dtype, tuple(shape))
        return self.op(
            f"stablehlo.broadcast_in_dim {x.name}, dims = {integers(axes)} : "
            f"({x.text}) -> {type_text(out)}",
            out,
        )

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Append a reshape."""
        out = TensorType(x.type.dtype, tuple(shape))
        if x.shape == tuple(shape):
            return x
        return self.op(f"stablehlo.reshape {x.name} : ({x.text}) -> {type_text(out)}", out)

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """Append a transpose."""
        if list(perm) == sorted(perm):
            return x
        out = TensorType(x.type.dtype, tuple(x.shape[p] for p in perm))
        return self.op(
            f"stablehlo.transpose {x.name}, dims = {integers(perm)} : ({x.text}) -> {type_text(out)}",
            out,
        )

    def iota(self, shape: Sequence[int], axis: int, dtype: DType = int64) -> Value:
        """Append positions along an axis."""
        out = TensorType(dtype, tuple(shape))
        return self.op(f"stablehlo.iota dim = {axis} : {type_text(out)}", out)

    def region(self, arguments: Sequence[Value], write: Callable[[], Sequence[Value]]) -> None:
        """Append a block: its arguments, what `write` appends, and the return of what that gives."""
        outer, self.constants = self.constants, {}
        header = ", ".join(f"{x.name}: {x.text}" for x in arguments)
        if arguments:
            self.line(f"^bb0({header}):")
        self.depth += 1
        results = list(write())
        names, types = ", ".join(x.name for x in results), ", ".join(x.text for x in results)
        self.line(f'"stablehlo.return"({names}) : ({types}) -> ()')
        self.depth -= 1
        self.constants = outer


def _elements(array: np.ndarray[Any, Any], dtype: DType) -> str:
    """Return the elements as MLIR has them: one for all, a short list, or the bytes."""
    if array.size == 0:
        return ""
    first = array.ravel()[:1]
    if first.tobytes() * array.size == array.tobytes():
        array = first.reshape(())
    if array.size <= WRITTEN_OUT or dtype.is_bool:
        return _listed(array, dtype)
    little = array if dtype.name == "bfloat16" else array.astype(array.dtype.newbyteorder("<"))
    return f'"0x{np.ascontiguousarray(little).tobytes().hex().upper()}"'


def _listed(array: np.ndarray[Any, Any], dtype: DType) -> str:
    if array.ndim:
        return f"[{', '.join(_listed(part, dtype) for part in array)}]"
    if not dtype.is_floating:
        return str(array.item()).lower()
    if np.isfinite(array.astype(np.float64)):
        return f"{float(array):.17e}" if dtype.bits == 64 else f"{float(array):.9e}"
    return "0x" + array.tobytes()[:: -1 if sys.byteorder == "little" else 1].hex().upper()
