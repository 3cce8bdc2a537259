"""Tensor's operators and methods, and NumPy's functions on tensors.

Importing this module binds the operators. It is the one sanctioned late binding: `ir.tensor` can't
know the ops that ``+`` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from symtensor.errors import DTypeError
from symtensor.ir.tensor import Tensor, bind_operators
from symtensor.ops import (
    contraction,
    creation,
    elementwise,
    indexing,
    joining,
    linalg,
    logic,
    movement,
    reduction,
    sort,
)

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""Name -> user function; NumPy functions of the same name dispatch here."""
for _module in (
    elementwise, logic, reduction, movement, joining, indexing, creation, contraction, sort,
):  # fmt: skip
    FUNCTIONS |= {
        name: value
        for name, value in vars(_module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "").startswith("symtensor.ops")
        and name.islower()
    }
FUNCTIONS["linalg"] = linalg  # type: ignore[assignment]

_RENAMED = {
    "true_divide": "divide", "mod": "remainder", "absolute": "abs", "fabs": "abs",
    "conjugate": "positive", "bitwise_not": "invert", "amax": "max", "amin": "min",
    "around": "round", "copyto": "set_at", "degrees": "rad2deg", "radians": "deg2rad",
    "concat": "concatenate", "permute_dims": "transpose", "float_power": "power",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift",
}  # fmt: skip


def _find(name: str) -> Callable[..., Any]:
    found = FUNCTIONS.get(_RENAMED.get(name, name))
    if found is None:
        raise DTypeError(
            f"numpy.{name} has no symbolic form",
            help="evaluate the tensor first, or build the result from symtensor functions",
        )
    return found


def numpy_ufunc(
    ufunc: Any, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Build the node for a NumPy ufunc called on tensors."""
    if method != "__call__":
        raise DTypeError(f"numpy.{ufunc.__name__}.{method} has no symbolic form")
    _refuse_out(kwargs, f"numpy.{ufunc.__name__}")
    return _find(ufunc.__name__)(*args, **kwargs)


def numpy_function(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Build the node for a NumPy function called on tensors."""
    _refuse_out(kwargs, f"numpy.{func.__name__}")
    if func.__module__ == "numpy.linalg":
        found = getattr(linalg, func.__name__, None)
        if found is None:
            raise DTypeError(f"numpy.linalg.{func.__name__} has no symbolic form")
        return found(*args, **kwargs)
    return _find(func.__name__)(*args, **kwargs)


def _refuse_out(kwargs: Mapping[str, Any], name: str) -> None:
    if kwargs.get("out") is not None:
        raise DTypeError(f"{name}: a symbolic result can't be written into an array (out=)")


def _evaluate(tensor: Tensor, values: Mapping[Tensor, Any], **options: Any) -> np.ndarray[Any, Any]:
    from symtensor import function  # the one import upwards: `eval` compiles

    result: np.ndarray[Any, Any] = function.evaluate(tensor, values, **options)
    return result


NAMESPACE = SimpleNamespace(
    **FUNCTIONS, evaluate=_evaluate, numpy_ufunc=numpy_ufunc, numpy_function=numpy_function
)
bind_operators(NAMESPACE)
