"""Identities with a side: printing, checking, and steering the gradient."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from symtensor.errors import AssertionFailed
from symtensor.ir.dtypes import bool_
from symtensor.ir.node import fresh_uid
from symtensor.ir.tensor import Tensor
from symtensor.ops import selection
from symtensor.ops.attributes import as_number
from symtensor.ops.build import TensorLike, apply, as_tensor, cast_to
from symtensor.ops.families import AxisMap, IndexMap, View
from symtensor.ops.registry import define


def _print(xp: Any, x: Any, *, message: str, uid: int) -> Any:
    text = np.array2string(np.asarray(x), threshold=20, edgeitems=3)
    print(f"{message}{text}", file=sys.stderr, flush=True)
    return x


PRINT = define(
    "print",
    infer=lambda x, *, message, uid: x,
    evaluate=_print,
    vjp=lambda g, y, x, *, message, uid: (g,),
    linear=(0,),
    effect=True,
    doc="The operand; each evaluation prints it to stderr.",
)


def print_(x: TensorLike, message: str = "") -> Tensor:
    """Return `x`; every evaluation writes `message` and the value to stderr.

    Nothing is printed unless something reads the result.
    """
    return apply(PRINT, as_tensor(x), message=message, uid=fresh_uid())


def _assert(xp: Any, x: Any, condition: Any, *, message: str) -> Any:
    if not bool(np.all(condition)):
        raise AssertionFailed(message)
    return x


ASSERT = define(
    "assert",
    infer=lambda x, condition, *, message: x,
    evaluate=_assert,
    vjp=lambda g, y, x, condition, *, message: (g, None),
    effect=True,
    doc="The first operand; an `AssertionFailed` when the second holds a False.",
)


def assert_(x: TensorLike, condition: TensorLike, message: str = "assertion failed") -> Tensor:
    """Return `x`; a call in which any element of `condition` is false raises `AssertionFailed`."""
    return apply(ASSERT, as_tensor(x), cast_to(as_tensor(condition), bool_), message=message)


def _identity_map(source: Any, out: Any, **attrs: Any) -> IndexMap:
    return tuple(AxisMap(0, ((axis, 1),)) for axis in range(source.ndim))


STOP_GRADIENT = define(
    "stop_gradient",
    infer=lambda x: x,
    evaluate=lambda xp, x: x,
    vjp=lambda g, y, x: (None,),
    family=View(_identity_map),
    doc="The operand, taken as constant by gradients.",
)


def stop_gradient(x: TensorLike) -> Tensor:
    """Return `x`; no gradient flows through it."""
    return apply(STOP_GRADIENT, as_tensor(x))


GRAD_SCALE = define(
    "grad_scale",
    infer=lambda x, *, factor: x,
    evaluate=lambda xp, x, *, factor: x,
    vjp=lambda g, y, x, *, factor: (g * factor,),
    family=View(_identity_map),
    doc="The operand; its gradient is multiplied by a factor.",
)


def grad_scale(x: TensorLike, factor: float) -> Tensor:
    """Return `x`; gradients through it are multiplied by `factor` (-1 reverses them)."""
    return apply(GRAD_SCALE, as_tensor(x), factor=as_number(factor, "grad_scale: factor"))


GRAD_CLIP = define(
    "grad_clip",
    infer=lambda x, *, low, high: x,
    evaluate=lambda xp, x, *, low, high: x,
    vjp=lambda g, y, x, *, low, high: (selection.clip(g, low, high),),
    family=View(_identity_map),
    doc="The operand; its gradient is limited to an interval.",
)


def grad_clip(x: TensorLike, low: float, high: float) -> Tensor:
    """Return `x`; gradients through it are limited to [low, high]."""
    limits: dict[str, Any] = {
        "low": as_number(low, "grad_clip: low"),
        "high": as_number(high, "grad_clip: high"),
    }
    return apply(GRAD_CLIP, as_tensor(x), **limits)


def _vjp_steered(g: Tensor, y: Tensor, value: Tensor, *xs: Tensor, rule: Any) -> list[Any]:
    return [None, *rule(g, value, *xs)]


STEERED = define(
    "steered",
    infer=lambda value, *xs, rule: value,
    evaluate=lambda xp, value, *xs, rule: value,
    vjp=_vjp_steered,
    doc="The first operand; its gradient goes to the others by a user's rule.",
)
