"""Reductions: an op over axes that disappear; ``keepdims`` is a reshape after it."""

from __future__ import annotations

from typing import Any

from symtensor.ir.dims import Shape
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import movement
from symtensor.ops.build import TensorLike, apply, as_tensor, normalize_axes
from symtensor.ops.families import Reduction
from symtensor.ops.registry import define


def _reduced(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def _expand(reduced: Tensor, shape: Shape, axes: tuple[int, ...]) -> Tensor:
    """Return a reduced tensor repeated back along `axes`."""
    return movement.broadcast_to(movement.reshape(reduced, _kept(shape, axes)), shape)


SUM = define(
    "sum",
    infer=lambda x, *, axes: TensorType(x.dtype, _reduced(x.shape, axes)),
    evaluate=lambda xp, x, *, axes: xp.sum(x, axis=axes, dtype=x.dtype),
    vjp=lambda g, y, x, *, axes: (_expand(g, x.shape, axes),),
    linear=(0,),
    family=Reduction("sum"),
    doc="Sum over axes, in the operand's dtype.",
)


def sum(x: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` (all axes when None); small integers add up in 64 bits."""
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim)
    out = apply(SUM, x, axes=axes) if axes else x
    return movement.reshape(out, _kept(x.shape, axes)) if keepdims else out
