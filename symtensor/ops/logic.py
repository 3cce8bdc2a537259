"""Comparisons, logic, bits, selection and casts."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from symtensor.errors import DTypeError
from symtensor.ir.dtypes import DType, as_dtype, bool_, uint64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops.build import TensorLike, apply, as_tensor, broadcast, cast_to, is_weak, operands
from symtensor.ops.elementwise_rule import (
    ANY,
    BITS,
    FLOATING,
    INTEGER,
    LOGICAL,
    ElementwiseFunction,
    elementwise,
    same_shapes,
)
from symtensor.ops.families import Elementwise
from symtensor.ops.registry import define
from symtensor.ops.scalars import saturating_cast

# --- comparisons ---------------------------------------------------------------------------------


def _comparison(
    name: str, scalar: Callable[..., Any], below_zero: tuple[bool, bool], doc: str
) -> Callable[[TensorLike, TensorLike], Tensor]:
    """Declare a comparison. `below_zero`: its result when a negative number meets a uint64, as left
    and as right operand; NumPy compares signed with unsigned exactly and so does this."""
    compare = elementwise(
        name,
        ANY,
        arity=2,
        result=bool_,
        commutative=name in ("equal", "not_equal"),
        evaluate=lambda xp, x, y: getattr(xp, name)(x, y),
        vjp=lambda g, z, x, y: (None, None),
        scalar=scalar,
        doc=doc,
    )

    def function(x: TensorLike, y: TensorLike) -> Tensor:
        x, y = (v if is_weak(v) else as_tensor(v) for v in (x, y))
        if _is_beyond(x, y):
            return _everywhere(x, getattr(operator, _OPERATORS[name])(0, y))
        if _is_beyond(y, x):
            return _everywhere(y, getattr(operator, _OPERATORS[name])(x, 0))
        if not _mixes_signs(x, y):
            return compare(x, y)
        signed, result = (x, below_zero[0]) if y.dtype is uint64 else (y, below_zero[1])
        exact = compare(cast(x, uint64), cast(y, uint64))
        return where(less(signed, 0), result, exact)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


_OPERATORS = {"less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
              "equal": "eq", "not_equal": "ne"}  # fmt: skip


def _is_beyond(tensor: TensorLike, number: TensorLike) -> bool:
    """Return True for a Python integer outside the range of an integer tensor: its side of 0
    decides the comparison, as in NumPy."""
    return isinstance(tensor, Tensor) and integer_bound(tensor, number) is not number


def _everywhere(x: Tensor, answer: bool) -> Tensor:
    """Return `answer` at every element of an integer tensor."""
    return equal(x, x) if answer else not_equal(x, x)


def _mixes_signs(x: TensorLike, y: TensorLike) -> bool:
    kinds = {v.dtype.kind if v.dtype is not uint64 else "64"
             for v in (x, y) if isinstance(v, Tensor)}  # fmt: skip
    return kinds == {"i", "64"}


less = _comparison(
    "less", lambda s, x, y: s.lt(x, y), (True, False), "x < y; False where either is NaN."
)
less_equal = _comparison(
    "less_equal", lambda s, x, y: s.le(x, y), (True, False), "x <= y; False where either is NaN."
)
greater = _comparison(
    "greater", lambda s, x, y: s.lt(y, x), (False, True), "x > y; False where either is NaN."
)
greater_equal = _comparison(
    "greater_equal", lambda s, x, y: s.le(y, x), (False, True), "x >= y; False if either is NaN."
)
equal = _comparison(
    "equal", lambda s, x, y: s.eq(x, y), (False, False), "x == y elementwise; NaN equals nothing."
)
not_equal = _comparison(
    "not_equal", lambda s, x, y: s.ne(x, y), (True, True), "x != y elementwise; NaN differs."
)

# --- floating-point classes ----------------------------------------------------------------------


def _classification(name: str, scalar: Callable[..., Any], doc: str) -> ElementwiseFunction:
    return elementwise(
        name,
        FLOATING,
        result=bool_,
        evaluate=lambda xp, x: getattr(xp, name)(x),
        vjp=lambda g, y, x: (None,),
        scalar=scalar,
        doc=doc,
    )


def _infinity(s: Any, x: Any) -> Any:
    return s.const(float("inf"), s.dtype(x))


isnan = _classification("isnan", lambda s, x: s.ne(x, x), "True where x is NaN.")
isinf = _classification(
    "isinf", lambda s, x: s.eq(s.abs(x), _infinity(s, x)), "True where x is infinite."
)
isfinite = _classification(
    "isfinite", lambda s, x: s.lt(s.abs(x), _infinity(s, x)), "True where x is a finite number."
)
isposinf = _classification(
    "isposinf", lambda s, x: s.eq(x, _infinity(s, x)), "True where x is plus infinity."
)
isneginf = _classification(
    "isneginf", lambda s, x: s.eq(s.neg(x), _infinity(s, x)), "True where x is minus infinity."
)
signbit = _classification(
    "signbit", lambda s, x: s.signbit(x), "True where the sign bit is set, so also for -0.0."
)

# --- logic and bits ------------------------------------------------------------------------------


def _binary(
    name: str, domain: Any, scalar: Callable[..., Any], doc: str, commutative: bool = True
) -> ElementwiseFunction:
    return elementwise(
        name,
        domain,
        arity=2,
        commutative=commutative,
        evaluate=lambda xp, x, y: getattr(xp, name)(x, y),
        scalar=scalar,
        doc=doc,
    )


logical_and = _binary("logical_and", LOGICAL, lambda s, x, y: s.and_(x, y), "x and y, as bool.")
logical_or = _binary("logical_or", LOGICAL, lambda s, x, y: s.or_(x, y), "x or y, as bool.")
logical_xor = _binary("logical_xor", LOGICAL, lambda s, x, y: s.xor(x, y), "Either, not both.")
bitwise_and = _binary("bitwise_and", BITS, lambda s, x, y: s.and_(x, y), "Bitwise and.")
bitwise_or = _binary("bitwise_or", BITS, lambda s, x, y: s.or_(x, y), "Bitwise or.")
bitwise_xor = _binary("bitwise_xor", BITS, lambda s, x, y: s.xor(x, y), "Bitwise exclusive or.")
left_shift = _binary(
    "left_shift", INTEGER, lambda s, x, y: s.shl(x, y),
    "x << y; 0 for counts outside the width.", commutative=False,
)  # fmt: skip
right_shift = _binary(
    "right_shift", INTEGER, lambda s, x, y: s.shr(x, y),
    "x >> y; 0 or -1 for counts outside the width.", commutative=False,
)  # fmt: skip

logical_not = elementwise(
    "logical_not", LOGICAL,
    evaluate=lambda xp, x: xp.logical_not(x),
    scalar=lambda s, x: s.not_(x),
    doc="True where x is zero or False.",
)  # fmt: skip

invert = elementwise(
    "invert", BITS,
    evaluate=lambda xp, x: xp.invert(x),
    scalar=lambda s, x: s.not_(x),
    doc="All bits flipped; on bools it is `not`.",
)  # fmt: skip

# --- cast ----------------------------------------------------------------------------------------

CAST = define(
    "cast",
    infer=lambda x, *, dtype: x.with_dtype(dtype),
    evaluate=lambda xp, x, *, dtype: saturating_cast(x, dtype),
    vjp=lambda g, y, x, *, dtype: (cast(g, x.dtype) if x.dtype.is_floating else None,),
    linear=(0,),
    family=Elementwise(lambda s, x, *, dtype: s.cast(x, dtype)),
    doc="Conversion to another dtype; float to int truncates, saturates, and NaN gives 0.",
)


def cast(x: TensorLike, dtype: Any) -> Tensor:
    """Return `x` in `dtype`. Float to integer truncates and saturates, NaN gives 0."""
    return cast_to(as_tensor(x), as_dtype(dtype))


# --- where ---------------------------------------------------------------------------------------


def _infer_where(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if not condition.dtype.is_bool or x.dtype is not y.dtype:
        raise DTypeError(
            f"expected bool and two equal dtypes, found {condition.dtype}, {x.dtype}, {y.dtype}",
            code="ST0202",
        )
    same_shapes((condition, x, y))
    return x


def _vjp_where(
    g: Tensor, y: Tensor, condition: Tensor, a: Tensor, b: Tensor
) -> tuple[None, Tensor, Tensor]:
    return None, where(condition, g, 0), where(condition, 0, g)


WHERE = define(
    "where",
    infer=_infer_where,
    evaluate=lambda xp, condition, x, y: xp.where(condition, x, y),
    vjp=_vjp_where,
    linear=(1, 2),
    family=Elementwise(lambda s, condition, x, y: s.select(condition, x, y)),
    doc="x where the condition holds, else y.",
)


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """Return `x` where `condition` holds, else `y`; both sides are evaluated.

    `condition` may be of any dtype and is true where it is not zero.
    """
    a, b = operands((x, y), op="where")
    return apply(WHERE, *broadcast(cast_to(as_tensor(condition), bool_), a, b, op="where"))


# --- limits --------------------------------------------------------------------------------------


def largest(dtype: DType) -> float:
    """Return the largest finite number of a float dtype."""
    if dtype.name == "bfloat16":
        return 3.3895313892515355e38
    return float(np.finfo(dtype.numpy).max)


def integer_bound(x: Tensor, bound: TensorLike) -> TensorLike:
    """Return a Python integer bound moved into the range of an integer tensor."""
    if not x.dtype.is_integer or not isinstance(bound, int) or isinstance(bound, bool):
        return bound
    info = np.iinfo(x.dtype.numpy)
    low, high = int(info.min), int(info.max)
    return bound if low <= bound <= high else min(max(bound, low), high)
