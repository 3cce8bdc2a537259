"""Conditions, phases and loops over the leading axis."""

from __future__ import annotations

from functools import partial
from typing import Any

import symtensor as st
from symtensor.backend.handles import adopt
from symtensor.backend.tensors import as_operand, as_tensor, dtype_among, fresh, learning_phase
from symtensor.errors import ShapeError
from symtensor.ir.dims import same_shape


def _is_function(x: Any) -> bool:
    return callable(x) and not isinstance(x, st.Tensor)


def _called(x: Any, kind: st.DType | None = None) -> st.Tensor:
    return as_operand(x() if _is_function(x) else x, kind)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> st.Tensor:
    """Return one of two expressions, tensors or functions without arguments.

    With a scalar condition only the function chosen is computed. Tensors are computed before, both, as in
    TensorFlow: a branch that took them in would hold all that they depend on, other switches too.

    A condition of some rank is aligned with the leading axes of the branches; its rank must not
    exceed theirs (ValueError). Anything but 0 is true.
    """
    test = st.cast(as_tensor(condition), "bool")
    kind = dtype_among(then_expression, else_expression)
    given = [
        x if _is_function(x) else as_operand(x, kind) for x in (then_expression, else_expression)
    ]
    lazy = any(map(_is_function, given))
    if test.ndim == 0 and (lazy or not same_shape(*(x.shape for x in given))):
        chosen: st.Tensor = st.cond(test, *(partial(_called, x, kind) for x in given))
        return chosen
    then, other = (_called(x, kind) for x in given)
    rank = max(then.ndim, other.ndim)
    if test.ndim > rank:
        raise ShapeError(f"switch: a condition of {test.ndim} axes for branches of {rank}")
    return st.where(st.expand_dims(test, tuple(range(test.ndim, rank))), then, other)


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return `x` in training and `alt` otherwise; without `training` the learning phase decides."""
    chosen = learning_phase() if training is None else training
    if not isinstance(chosen, st.Tensor):
        return _called(x if chosen else alt)
    out = fresh(switch(chosen, x, alt), x, alt)
    if training is None:
        vars(out).update(_phase_flag=True)
    return out


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return `alt` in training and `x` otherwise."""
    return in_train_phase(alt, x, training)


def map_fn(fn: Any, elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """Return the results of `fn` on the elements along axis 0, stacked.

    Of a list or tuple of tensors `fn` gets a list or tuple of elements; it may return several tensors,
    of dtypes given in `dtype`.
    """
    if isinstance(elems, (list, tuple)):
        kind, rows = type(elems), [as_tensor(x) for x in elems]
        out, _ = st.scan(lambda *xs: fn(kind(adopt(xs))), rows)
    else:
        out, _ = st.scan(lambda x: fn(adopt(x)), [as_tensor(elems)])
    if dtype is None:
        return out
    if isinstance(out, (list, tuple)):
        return [st.cast(y, kind) for y, kind in zip(out, dtype, strict=True)]
    return st.cast(out, dtype)


def foldl(fn: Any, elems: Any, initializer: Any = None, name: str | None = None) -> st.Tensor:
    """Return fn(… fn(fn(initializer, e0), e1) …); the initializer is e0 unless given."""
    return _fold(fn, as_tensor(elems), initializer)


def foldr(fn: Any, elems: Any, initializer: Any = None, name: str | None = None) -> st.Tensor:
    """Return the fold that starts from the last element."""
    return _fold(fn, st.flip(as_tensor(elems), 0), initializer)


def _fold(fn: Any, elems: st.Tensor, initializer: Any) -> st.Tensor:
    if initializer is None:
        elems, initializer = elems[1:], elems[0]
    steps, _ = st.scan(
        lambda x, acc: fn(*adopt((acc, x))), [elems], [as_tensor(initializer, elems.dtype)]
    )
    last: st.Tensor = steps[-1]
    return last
