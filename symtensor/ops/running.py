"""Running sums and products, and differences of neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symtensor.ir import dims as D
from symtensor.ir.node import Op
from symtensor.ir.tensor import Tensor
from symtensor.ops import creation, logic, movement, reduction, slicing
from symtensor.ops.attributes import as_flag, as_int
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axis
from symtensor.ops.families import Running
from symtensor.ops.reduction import rows_without_own, widened
from symtensor.ops.registry import define


def _cumulative(name: str) -> Callable[..., Any]:
    def evaluate(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        wide = xp.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
        source = xp.flip(x, axis) if reverse else x
        out = getattr(xp, name)(source, axis=axis, dtype=wide).astype(x.dtype)
        return xp.flip(out, axis) if reverse else out

    return evaluate


def _vjp_cumsum(g: Tensor, y: Tensor, x: Tensor, *, axis: int, reverse: bool) -> tuple[Tensor]:
    return (apply(CUMSUM, g, axis=axis, reverse=not reverse),)


CUMSUM = define(
    "cumsum",
    infer=lambda x, *, axis, reverse: x,
    evaluate=_cumulative("cumsum"),
    vjp=_vjp_cumsum,
    linear=(0,),
    family=Running("sum"),
    doc="Running sum along an axis, from the end when reversed.",
)


def _vjp_cumprod(g: Tensor, y: Tensor, x: Tensor, *, axis: int, reverse: bool) -> tuple[Tensor]:
    """dx[i] = sum over k of g[k] * (product over j <= k, j != i), without a division by zeros."""
    moved, cotangent = movement.moveaxis(x, axis, -1), movement.moveaxis(g, axis, -1)
    rows, _ = rows_without_own(moved)
    products = apply(CUMPROD, rows, axis=rows.ndim - 1, reverse=reverse)
    contains = creation.tri(x.shape[axis], dtype=bool)  # [i, k]: the k-th product contains x[i]
    contains = contains if reverse else movement.transpose(contains)
    terms = logic.where(contains, products * movement.expand_dims(cotangent, -2), 0)
    return (movement.moveaxis(reduction.sum(terms, -1), -1, axis),)


CUMPROD = define(
    "cumprod",
    infer=lambda x, *, axis, reverse: x,
    evaluate=_cumulative("cumprod"),
    vjp=_vjp_cumprod,
    family=Running("prod"),
    doc="Running product along an axis, from the end when reversed.",
)


def _running(op: Op, x: TensorLike, axis: int | None, reverse: bool) -> Tensor:
    x = widened(as_tensor(x))
    if axis is None:
        x, axis = movement.reshape(x, (-1,)), 0
    return apply(op, x, axis=normalize_axis(axis, x.ndim), reverse=as_flag(reverse, "reverse"))


def cumsum(x: TensorLike, axis: int | None = None, *, reverse: bool = False) -> Tensor:
    """Return running sums along `axis` (of the flattened tensor when None)."""
    return _running(CUMSUM, x, axis, reverse)


def cumprod(x: TensorLike, axis: int | None = None, *, reverse: bool = False) -> Tensor:
    """Return running products along `axis` (of the flattened tensor when None)."""
    return _running(CUMPROD, x, axis, reverse)


def diff(x: TensorLike, n: int = 1, axis: int = -1) -> Tensor:
    """Return the `n`-th differences of neighbours along `axis`; integers wrap, bools differ."""
    out = as_tensor(x)
    axis = normalize_axis(axis, out.ndim)
    count, size = as_int(n, "diff: n", 0), out.shape[axis]
    for _ in range(min(count, size) if isinstance(size, int) else count):
        earlier, later = _neighbours(out, axis)
        out = logic.logical_xor(later, earlier) if out.dtype.is_bool else later - earlier
    return out


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return all elements along an axis but the last, and all but the first."""
    count = D.maximum(x.shape[axis] - 1, 0)
    lengths = tuple(count if a == axis else size for a, size in enumerate(x.shape))
    first, second = ((0,) * x.ndim, tuple(int(a == axis) for a in range(x.ndim)))
    steps = (1,) * x.ndim
    return (
        apply(slicing.SLICE, x, starts=first, steps=steps, lengths=lengths),
        apply(slicing.SLICE, x, starts=second, steps=steps, lengths=lengths),
    )
