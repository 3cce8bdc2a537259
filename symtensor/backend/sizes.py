"""From symbolic shape tensors back to sizes.

Keras computes shapes with tensors (``K.shape(x)[0] * 2``) and passes them to reshape, tile or random
functions. The compiler wants dims. `as_dim` reads the small integer graph under such a tensor over
arrays of dims: every shape that comes from `K.shape` becomes an exact symbolic size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import symtensor as st
from symtensor.errors import AttributeValueError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr
from symtensor.ir.graph import toposort
from symtensor.ir.node import Node
from symtensor.ops.attributes import index_of

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "negative": np.negative,
    "floor_divide": np.frompyfunc(D.floordiv, 2, 1), "maximum": np.frompyfunc(D.maximum, 2, 1),
    "minimum": np.frompyfunc(D.minimum, 2, 1),
}  # fmt: skip
_MOVES = ("slice", "concatenate", "transpose")


def as_dim(value: Any) -> Dim:
    """Return a size given as an int, a dim or a scalar tensor computed from shapes."""
    if isinstance(value, DimExpr):
        return value
    if isinstance(value, st.Tensor):
        (size,) = _values(value).reshape(-1)
        return size if isinstance(size, DimExpr) else int(size)
    number = int(value) if isinstance(value, float) and value.is_integer() else index_of(value)
    if number is None:
        raise AttributeValueError(
            f"a size: expected an integer, or a scalar computed from shapes, found {value!r}"
        )
    return number


def as_shape(shape: Any) -> tuple[Dim, ...]:
    """Return sizes given as a tuple, a list, one int or a vector tensor computed from shapes."""
    if isinstance(shape, st.Tensor) and shape.ndim:
        return tuple(as_dim(size) for size in _values(shape))
    if np.iterable(shape) and not isinstance(shape, (str, st.Tensor)):
        return tuple(as_dim(size) for size in shape)
    return (as_dim(shape),)


def _values(x: st.Tensor) -> np.ndarray[Any, Any]:
    values: dict[Node, np.ndarray[Any, Any]] = {}
    for node in toposort([x.node]):
        values[node] = _value(node, [values[i] for i in node.inputs])
    return values[x.node]


def _value(node: Node, inputs: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    name, attrs = node.op.name, node.attrs
    out = np.empty((), object)
    if name == "dim_value":
        out[()] = attrs["dim"]
        return out
    if name == "constant":
        return np.asarray(attrs["value"].array).astype(object)
    if name == "cast":
        return inputs[0]
    if name in _ARITHMETIC:
        return np.asarray(_ARITHMETIC[name](*inputs), object)
    if name in ("prod", "sum"):
        fold = np.multiply if name == "prod" else np.add
        return np.asarray(fold.reduce(inputs[0], axis=tuple(attrs["axes"])), object)
    if name == "reshape":
        return inputs[0].reshape(attrs["shape"])
    if name == "broadcast_to":
        return np.broadcast_to(inputs[0], attrs["shape"])
    if name in _MOVES:
        return np.asarray(node.op.evaluate(np, *inputs, **attrs), object)
    raise AttributeValueError(f"a size can't be read from {node!r}: it is not computed from shapes")
