"""Tensor's operators and methods, and NumPy's functions on tensors.

Importing this module binds them. It is the one late binding of the package: `ir.tensor` spells the
operators but can't know the ops that ``+`` needs. ``np.exp(t)``, ``np.add(array, t)`` and
``np.sum(t, axis=0)`` build nodes through the symtensor function of the same name; what has no
symbolic form is a TypeError that says what to write instead.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from symtensor.errors import DTypeError
from symtensor.ir.tensor import Tensor, bind_operators
from symtensor.ops import (
    contraction,
    creation,
    einsum,
    elementwise,
    indexing,
    joining,
    linalg,
    logic,
    movement,
    padding,
    reduction,
    rounding,
    running,
    selection,
    sort,
    statistics,
    subscript,
    trigonometry,
)

_THEMES = (
    elementwise, rounding, selection, trigonometry, logic, reduction, statistics, running,
    movement, joining, padding, indexing, subscript, contraction, einsum, creation, sort,
)  # fmt: skip

_RENAMED = {
    "absolute": "abs", "amax": "max", "amin": "min", "around": "round", "bitwise_not": "invert",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift", "concat":
    "concatenate", "conjugate": "positive", "copy": "positive", "degrees": "rad2deg", "mod":
    "remainder", "permute_dims": "transpose", "radians": "deg2rad", "true_divide": "divide",
}  # fmt: skip
"""NumPy's name -> ours, where they differ."""

_PROPERTIES = {"shape", "ndim", "size"}
"""NumPy functions that only read the type."""

_IN_PLACE = {
    "copyto": "where", "fill_diagonal": "where", "place": "where", "put": "set_at",
    "put_along_axis": "put_along_axis", "putmask": "where", "at": "add_at",
}  # fmt: skip
"""NumPy functions that write into their operand -> what returns a new tensor instead."""

_UFUNC_METHODS = {
    ("add", "reduce"): "sum", ("add", "accumulate"): "cumsum", ("multiply", "reduce"): "prod",
    ("multiply", "accumulate"): "cumprod", ("maximum", "reduce"): "max",
    ("minimum", "reduce"): "min", ("logical_and", "reduce"): "all",
    ("logical_or", "reduce"): "any", ("multiply", "outer"): "outer", ("add", "at"): "add_at",
}  # fmt: skip


def find_function(name: str) -> Callable[..., Any] | None:
    """Return the symbolic function called `name`, or None."""
    for module in _THEMES:
        found = vars(module).get(name)
        if isinstance(found, FunctionType) and not name.startswith("_"):
            return found
    return None


def numpy_ufunc(ufunc: Any, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Build the node for a NumPy ufunc called on tensors."""
    name = ufunc.__name__
    if method != "__call__":
        raise _no_symbolic_form(f"numpy.{name}.{method}", _UFUNC_METHODS.get((name, method)))
    return _call(name, f"numpy.{name}", find_function(_RENAMED.get(name, name)), args, kwargs)


def numpy_function(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Build the node for a NumPy function called on tensors."""
    name = func.__name__
    full_name = f"{func.__module__}.{name}"
    if func.__module__ == "numpy.linalg":
        return _call(name, full_name, getattr(linalg, name, None), args, kwargs)
    if name in _IN_PLACE:
        raise DTypeError(
            f"{full_name}: tensors are immutable",
            help=f"symtensor.{_IN_PLACE[name]} returns a new tensor",
            code="ST0206",
        )
    if name in _PROPERTIES and len(args) == 1 and not kwargs:
        return getattr(args[0], name)
    return _call(name, full_name, find_function(_RENAMED.get(name, name)), args, kwargs)


def _call(
    name: str,
    full_name: str,
    found: Callable[..., Any] | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    if kwargs.get("out") is not None:
        raise DTypeError(
            f"{full_name}: a symbolic result can't be written into an array",
            help="leave `out` away, and write `x = x + t` for `x += t`",
            code="ST0206",
        )
    if found is None:
        raise _no_symbolic_form(full_name, None)
    given = {key: value for key, value in kwargs.items() if key != "out"}
    try:
        inspect.signature(found).bind(*args, **given)
    except TypeError as error:
        raise DTypeError(
            f"{full_name}: {error}",
            help=f"the symbolic form is symtensor.{_usage(found)}",
            code="ST0206",
        ) from None
    return found(*args, **given)


def _usage(function: Callable[..., Any]) -> str:
    """Return ``sum(x, axis=None, *, keepdims=False)``."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=bare, return_annotation=signature.empty)
    return f"{function.__name__}{plain}"


def _no_symbolic_form(full_name: str, instead: str | None) -> DTypeError:
    if instead is None:
        known = {name for module in _THEMES for name in vars(module) if find_function(name)}
        near = difflib.get_close_matches(full_name.rpartition(".")[2], known, n=1, cutoff=0.85)
        instead = near[0] if near else None
    return DTypeError(
        f"{full_name} has no symbolic form",
        help=f"use symtensor.{instead}" if instead else "build it from symtensor functions",
        code="ST0206",
    )


class _Operators:
    """Where `Tensor` finds its operators and methods: looked up by name once, then kept."""

    numpy_ufunc = staticmethod(numpy_ufunc)
    numpy_function = staticmethod(numpy_function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = find_function(name)
        if found is None:
            raise AttributeError(f"no operator {name!r}")
        setattr(self, name, found)
        return found

    @staticmethod
    def evaluate(
        tensor: Tensor, values: Mapping[Tensor, Any], **options: Any
    ) -> np.ndarray[Any, Any]:
        """Compile and run: `eval` is the one method that reaches up to `symtensor.function`."""
        function = importlib.import_module("symtensor.function")
        result: np.ndarray[Any, Any] = function.evaluate(tensor, values, **options)
        return result


bind_operators(_Operators())
