"""How an elementwise op is declared: one call gives the record and the user's function.

    tanh = elementwise("tanh", FLOATING, evaluate=..., scalar=..., vjp=..., doc=...)

The function promotes operands (NEP 50), moves them into the op's domain, broadcasts, and applies.
At the IR level operands must already have one dtype of the domain and one shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol

import numpy as np

from symtensor.errors import ArgumentError, DTypeError, Operand, ShapeError, SymtensorError
from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dtypes import DType, bool_, float64, floating_for, int8
from symtensor.ir.node import EvaluateRule, VjpRule, describe_operand
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, format_shape
from symtensor.ops.build import TensorLike, apply, operands
from symtensor.ops.families import Elementwise, ScalarRule
from symtensor.ops.registry import define

Domain = Callable[[DType], DType]
"""Promoted dtype of the operands -> dtype the op computes in; raises `DTypeError`."""


class ElementwiseFunction(Protocol):
    """A user-facing elementwise function."""

    __name__: str

    def __call__(self, *operands: TensorLike) -> Tensor: ...


def ANY(dtype: DType) -> DType:
    """Domain: every dtype, unchanged."""
    return dtype


def NUMERIC(dtype: DType) -> DType:
    """Domain: integers and floats."""
    if dtype.is_bool:
        raise DTypeError(
            "expected numbers, found bool",
            help="cast to an integer with astype, or use logical_and, logical_or, logical_not",
            code="ST0202",
        )
    return dtype


def FLOATING(dtype: DType) -> DType:
    """Domain: floats; integers become the float that NumPy's float functions give."""
    return floating_for(dtype)


def DIVISION(dtype: DType) -> DType:
    """Domain of true division: floats; bools and integers become float64."""
    return dtype if dtype.is_floating else float64


def BITS(dtype: DType) -> DType:
    """Domain: integers and bool."""
    if dtype.is_floating:
        raise DTypeError(
            f"expected integers or bool, found {dtype}",
            help="cast it to an integer with astype first",
            code="ST0202",
        )
    return dtype


def INTEGER(dtype: DType) -> DType:
    """Domain: integers; bool counts as int8, as in NumPy."""
    return int8 if dtype.is_bool else BITS(dtype)


def INTEGER_OR_FLOAT(dtype: DType) -> DType:
    """Domain: integers and floats; bool counts as int8, as in NumPy."""
    return dtype if dtype.is_floating else INTEGER(dtype)


def LOGICAL(dtype: DType) -> DType:
    """Domain: bool; numbers are true where they are not zero."""
    return bool_


def describe(value: TensorLike) -> Operand:
    """Return what an error says of an operand that may not be a tensor yet."""
    if isinstance(value, Tensor):
        return describe_operand(value.node)
    array = isinstance(value, np.ndarray)
    return Operand(f"array {value.dtype}{list(value.shape)}" if array else f"{value!r}"[:80])


def same_shapes(types: tuple[TensorType, ...]) -> None:
    """Raise `ShapeError` unless all types have provably one shape."""
    first = types[0].shape
    for t in types[1:]:
        if not D.same_shape(t.shape, first):
            raise ShapeError(
                f"expected equal shapes, found {format_shape(first)} and {format_shape(t.shape)}",
                code="ST0101",
            )


def elementwise(
    name: str,
    domain: Domain,
    *,
    evaluate: EvaluateRule,
    vjp: VjpRule | None = None,
    scalar: ScalarRule | None = None,
    result: DType | None = None,
    arity: int = 1,
    commutative: bool = False,
    linear: tuple[int, ...] = (),
    doc: str,
) -> ElementwiseFunction:
    """Declare an elementwise op and return its user-facing function.

    `result` is the dtype of the result where it is not that of the operands (comparisons).
    """

    def infer(*types: TensorType) -> TensorType:
        if len(types) != arity:
            raise ArgumentError(f"expected {arity} operands, found {len(types)}")
        for t in types:
            if t.dtype is not types[0].dtype or domain(t.dtype) is not t.dtype:
                found = ", ".join(str(t.dtype) for t in types)
                raise DTypeError(
                    f"operands of dtype {found} are not in the domain of {name}", code="ST0202"
                )
        same_shapes(types)
        return TensorType(result or types[0].dtype, types[0].shape)

    op = define(
        name,
        infer=infer,
        evaluate=evaluate,
        vjp=vjp,
        family=None if scalar is None else Elementwise(scalar),
        commutative=commutative,
        linear=linear,
        doc=doc,
    )

    def function(*values: TensorLike) -> Tensor:
        if len(values) != arity:
            raise ArgumentError(f"{name}: expected {arity} operands, found {len(values)}")
        try:
            return apply(op, *operands(values, domain, name))
        except SymtensorError as error:
            error.add_context(name, [describe(v) for v in values], location.current())
            raise

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__signature__ = _signature(evaluate)  # type: ignore[attr-defined]
    return function


def _signature(evaluate: EvaluateRule) -> inspect.Signature:
    """Return what `help` shows: the operands by the names that the rule gives them."""
    names = [name for name in inspect.signature(evaluate).parameters if name != "xp"]
    kind = inspect.Parameter.POSITIONAL_ONLY
    return inspect.Signature([inspect.Parameter(name, kind) for name in names])
