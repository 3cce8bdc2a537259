"""Ops made by users: a NumPy function, and whatever rules they know for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, DTypeError, RuleError, SymtensorError
from symtensor.ir.dtypes import as_dtype
from symtensor.ir.node import Op, make_node, results
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, tensor_type
from symtensor.ops.attributes import as_flag
from symtensor.ops.bodies import check_call, check_callable
from symtensor.ops.build import TensorLike, apply, as_tensor, operands
from symtensor.ops.elementwise_rule import same_shapes
from symtensor.ops.families import Elementwise
from symtensor.ops.registry import OPS, register


def custom_op(
    name: str,
    evaluate: Callable[..., Any],
    infer: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    scalar: Callable[..., Any] | None = None,
    doc: str = "",
    replace: bool = False,
) -> Callable[..., Any]:
    """Return a function that builds nodes of a new op.

    `evaluate(*arrays, **attrs)` is the meaning, in NumPy; it must not change its arguments.
    `infer(*types, **attrs)` gives the result's type, as a `TensorType` or (dtype, shape), or a list of
    them for several results; without it the op is elementwise: operands are promoted and broadcast,
    and the result has their type. `vjp(g, y, *xs, **attrs)` returns one cotangent tensor or None per
    input. `scalar(s, *xs)` says an elementwise op in the scalar vocabulary of
    `symtensor.ops.scalars`; with it the op fuses into native kernels.

    The name is taken for the process; `replace=True` takes it over.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise AttributeValueError(f"an op name must be an identifier, found {name!r}")
    check_callable(evaluate, f"the evaluate rule of {name}")
    if not isinstance(doc, str):
        raise AttributeValueError(f"{name}: expected a text as doc, found {doc!r}")
    if scalar is not None and infer is not None:
        raise AttributeValueError(f"{name}: a scalar rule makes the op elementwise; drop infer")
    rule = _same_type if infer is None else _checked_infer(name, infer)
    op = Op(
        name,
        infer=rule,
        evaluate=_checked_evaluate(name, evaluate),
        vjp=vjp,
        family=None if scalar is None else Elementwise(scalar),
        doc=doc or (evaluate.__doc__ or "").strip(),
    )
    if as_flag(replace, "replace"):
        OPS.pop(name, None)
    register(op)
    return _builder(op, evaluate, elementwise=infer is None)


def _builder(op: Op, evaluate: Callable[..., Any], elementwise: bool) -> Callable[..., Any]:
    def build(*inputs: TensorLike, **attrs: Any) -> Any:
        xs = operands(inputs) if elementwise else [as_tensor(x) for x in inputs]
        check_call(evaluate, f"the evaluate rule of {op.name}", xs, **attrs)
        node = make_node(op, [x.node for x in xs], attrs)
        if isinstance(node.type, TensorType):
            return apply(op, *xs, **attrs)
        return tuple(Tensor(r) for r in results(node))

    build.__name__ = build.__qualname__ = op.name
    build.__doc__ = op.doc
    return build


def _same_type(*types: TensorType, **attrs: Any) -> TensorType:
    same_shapes(types)
    return types[0]


def _as_type(name: str, value: Any) -> TensorType:
    if isinstance(value, TensorType):
        return value
    try:
        dtype, shape = value
    except (TypeError, ValueError):
        raise DTypeError(
            f"the infer rule of {name} must give a TensorType or (dtype, shape), found {value!r}"
        ) from None
    return tensor_type(as_dtype(dtype), shape)


def _checked_infer(name: str, infer: Callable[..., Any]) -> Callable[..., Any]:
    def rule(*types: TensorType, **attrs: Any) -> Any:
        found = infer(*types, **attrs)
        if isinstance(found, list):
            return tuple(_as_type(name, t) for t in found)
        return _as_type(name, found)

    return rule


def _checked_evaluate(name: str, evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Drop the array namespace, which user rules do not take, and refuse non-arrays.

    What a ValueError is about only the rule knows; of NumPy's own failures this is known.
    """

    def rule(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        try:
            value = evaluate(*arrays, **attrs)
        except (SymtensorError, np.linalg.LinAlgError):
            raise
        except ValueError as error:
            kind = type(error).__name__
            raise RuleError(f"the evaluate rule raised {kind}: {error}") from error
        parts = value if isinstance(value, (tuple, list)) else (value,)
        if any(np.asarray(p).dtype == object for p in parts):
            raise DTypeError(f"the evaluate rule of {name} returned {value!r}, expected arrays")
        return tuple(value) if isinstance(value, list) else value

    return rule
