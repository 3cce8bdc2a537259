"""Sorting. NaN sorts last, equal elements keep their order, gradients follow the permutation."""

from __future__ import annotations

from typing import Any

from symtensor.errors import AttributeValueError
from symtensor.ir import dims as D
from symtensor.ir.dtypes import int64
from symtensor.ir.tensor import Tensor
from symtensor.ops import indexing, movement
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axis
from symtensor.ops.registry import define


def _argsort(xp: Any, x: Any, *, axis: int, descending: bool) -> Any:
    """Descending order is the reverse of the ascending order of the reverse: ties stay stable."""
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    backwards = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.flip(backwards, axis)


ARGSORT = define(
    "argsort",
    infer=lambda x, *, axis, descending: x.with_dtype(int64),
    evaluate=_argsort,
    doc="The stable permutation that sorts along an axis.",
)


def _vjp_sort(g: Tensor, y: Tensor, x: Tensor, *, axis: int) -> tuple[Tensor]:
    order = argsort(x, axis)
    return (indexing.take_along_axis(g, argsort(order, axis), axis),)


SORT = define(
    "sort",
    infer=lambda x, *, axis: x,
    evaluate=lambda xp, x, *, axis: xp.sort(x, axis=axis, kind="stable"),
    vjp=_vjp_sort,
    doc="Elements in rising order along an axis.",
)


def argsort(x: TensorLike, axis: int = -1, *, descending: bool = False) -> Tensor:
    """Return the int64 permutation that sorts `x` along `axis`; ties keep their order."""
    x = as_tensor(x)
    return apply(ARGSORT, x, axis=normalize_axis(axis, x.ndim), descending=bool(descending))


def sort(x: TensorLike, axis: int = -1, *, descending: bool = False) -> Tensor:
    """Return `x` sorted along `axis`, NaN last (first when descending)."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    out = apply(SORT, x, axis=axis)
    return movement.flip(out, axis) if descending else out


def top_k(x: TensorLike, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Return the `k` largest elements along `axis` in falling order, and their int64 indices."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    if D.provably_different(D.maximum(x.shape[axis], k), x.shape[axis]):
        raise AttributeValueError(f"top_k: k = {k} exceeds the size {x.shape[axis]} of the axis")
    indices = movement.slice_axis(argsort(x, axis, descending=True), axis, 0, k)
    return indexing.take_along_axis(x, indices, axis), indices
