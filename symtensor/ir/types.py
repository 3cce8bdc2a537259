"""Tensor types: an element type and a shape of known rank.

Printed as ``f32[n, 128]``. Broadcasting is decided here, statically: a dim broadcasts only where it
is the int 1. Two dims that are not provably equal unify into one, and the caller must guard the
equality at run time (`Unified.guards`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symtensor.errors import ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Shape, Symbol
from symtensor.ir.dtypes import DType


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a tensor; rank is always known."""

    dtype: DType
    shape: Shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """Number of elements."""
        return D.product(self.shape)

    def with_shape(self, shape: Sequence[Dim]) -> TensorType:
        """Return the type with another shape."""
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        """Return the type with another element type."""
        return TensorType(dtype, self.shape)

    def substitute(self, env: Mapping[Symbol, Dim]) -> TensorType:
        """Return the type with dimension symbols replaced."""
        return TensorType(self.dtype, tuple(D.substitute(d, env) for d in self.shape))

    def __str__(self) -> str:
        return f"{self.dtype.short}[{', '.join(map(str, self.shape))}]"

    __repr__ = __str__


NodeType = TensorType | tuple[TensorType, ...]


def tensor_type(dtype: DType, shape: Sequence[Dim]) -> TensorType:
    """Return a `TensorType`, refusing negative constant sizes."""
    checked = TensorType(dtype, tuple(d if isinstance(d, D.DimExpr) else int(d) for d in shape))
    refuse_negative_sizes(checked)
    return checked


def refuse_negative_sizes(type_: NodeType, env: Mapping[D.Symbol, int] | None = None) -> None:
    """Raise `ShapeError` for a size that is known to be negative, with what `env` says of symbols."""
    for t in (type_,) if isinstance(type_, TensorType) else type_:
        shape = t.shape if env is None else [D.substitute(d, env) for d in t.shape]
        if any(isinstance(d, int) and d < 0 for d in shape):
            raise ShapeError(
                f"a size must not be negative, found shape {list(shape)}", code="ST0110"
            )


@dataclass(frozen=True, slots=True)
class Unified:
    """The common shape of several operands and which operands need a run-time guard first."""

    shape: Shape
    guards: tuple[Shape | None, ...]
    """Per operand: the shape it must be guarded to before it broadcasts, or None."""


def unify_dims(a: Dim, b: Dim) -> Dim | None:
    """Return the dim that both must equal, the better known one, or None if they can't agree."""
    if D.same(a, b):
        return a
    if D.provably_different(a, b):
        return None
    return b if isinstance(b, int) else a


def unify_shapes(shapes: Sequence[Shape]) -> Unified:
    """Broadcast shapes against each other, right-aligned as in NumPy.

    Raises `ShapeError` when two sizes are provably different and neither is 1.
    """
    first = shapes[0]
    if all(s is first or D.same_shape(s, first) for s in shapes):
        return Unified(first, (None,) * len(shapes))
    rank = max(len(s) for s in shapes)
    out: list[Dim] = []
    for axis in range(-rank, 0):
        known: Dim = 1
        for s in shapes:
            d = s[axis] if -axis <= len(s) else 1
            if D.same(d, 1):
                continue
            agreed = d if D.same(known, 1) else unify_dims(known, d)
            if agreed is None:
                raise ShapeError(
                    f"shapes {', '.join(format_shape(s) for s in shapes)} do not broadcast: "
                    f"sizes {known} and {d} differ on axis {axis}",
                    code="ST0101",
                )
            known = agreed
        out.append(known)
    guards = tuple(_guard(s, out) for s in shapes)
    return Unified(tuple(out), guards)


def _guard(shape: Shape, target: Sequence[Dim]) -> Shape | None:
    offset = len(target) - len(shape)
    wanted = tuple(d if D.same(d, 1) else target[offset + i] for i, d in enumerate(shape))
    return None if D.same_shape(wanted, shape) else wanted


def format_shape(shape: Sequence[Any]) -> str:
    """Return ``(n, 3)`` for messages."""
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
