"""Matching run-time shapes with types: dimension symbols get their values here.

A placeholder of type ``f32[n, 3]`` that receives an array of shape (7, 3) binds ``n = 7``; every
other occurrence of ``n`` must then agree. Compound dims (``2*n``) are checked once their symbols
are bound. Errors name the input, what was expected and what came.
"""

from __future__ import annotations

from collections.abc import Sequence

from symtensor.errors import ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Symbol
from symtensor.ir.types import TensorType, format_shape


def bind_shapes(
    types: Sequence[TensorType],
    shapes: Sequence[tuple[int, ...]],
    names: Sequence[str],
    env: dict[Symbol, int],
) -> None:
    """Add to `env` the symbols that `shapes` determine; raise `ShapeError` on a contradiction."""
    arguments = zip(types, shapes, names, strict=True)
    unsettled = [x for x in arguments if x[0].shape != x[1]]  # of most variables all is known
    for expected, shape, name in unsettled:
        if len(shape) != expected.ndim:
            raise ShapeError(
                f"{name}: expected {expected.ndim} axes ({expected}), found shape "
                f"{format_shape(shape)}",
                code="ST0106",
            )
        for dim, size in zip(expected.shape, shape, strict=True):
            symbol = D.as_symbol(dim)
            if symbol is not None:
                env.setdefault(symbol, size)
    for expected, shape, name in unsettled:
        for axis, (dim, size) in enumerate(zip(expected.shape, shape, strict=True)):
            if D.evaluate(dim, env) != size:
                raise ShapeError(
                    f"{name}: expected {expected}, found shape {format_shape(shape)}: axis {axis} "
                    f"should be {_expectation(dim, env)}",
                    code="ST0104",
                )


def _expectation(dim: D.Dim, env: dict[Symbol, int]) -> str:
    value = D.evaluate(dim, env)
    return str(value) if isinstance(dim, int) else f"{dim} = {value}, as another input fixed it"
