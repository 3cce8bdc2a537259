"""The backend's own handles: tensors beside which NumPy operands are as weak as Python numbers.

To the library ``x * np.float64(2)`` is a product with a float64, as NumPy 2 has it; programs for Keras
count on float32. So what a K function returns is a handle of a subclass, whose operators give NumPy
numbers, arrays and lists of numbers the tensor's dtype where that is a float. Nodes know nothing of it
(docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend.sizes import as_dim
from symtensor.ir.literal import as_array

_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_COMPARISONS = ("lt", "le", "gt", "ge")
_UNARY = ("neg", "abs", "invert")
_METHODS = ("all", "any", "argmax", "argmin", "astype", "clip", "cumsum", "flatten", "max", "mean",
            "min", "prod", "reshape", "std", "sum", "transpose", "var")  # fmt: skip


class StaticShape(tuple[int | None, ...]):
    """A tuple of sizes that also answers TensorFlow's `as_list`."""

    __slots__ = ()

    def as_list(self) -> list[int | None]:
        """Return the sizes as a list."""
        return list(self)


class KerasTensor(st.Tensor):
    """A tensor whose operators take NumPy operands in its own float dtype, and return such tensors."""

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        kind = next((x.dtype for x in args if isinstance(x, st.Tensor)), self.dtype)
        given = [weakened(x, kind) for x in args]
        return adopt(super().__array_ufunc__(ufunc, method, *given, **kwargs))

    def __getitem__(self, index: Any) -> st.Tensor:
        """Return a part; bounds of slices may be tensors computed from shapes."""
        parts = [_bounded(part) for part in (index if isinstance(index, tuple) else (index,))]
        found: st.Tensor = adopt(super().__getitem__(tuple(parts)))
        return found

    @property
    def T(self) -> st.Tensor:
        """The tensor with all axes reversed."""
        found: st.Tensor = adopt(super().T)
        return found

    def get_shape(self) -> StaticShape:
        """Return the sizes, None for unknown ones, as tensors of TensorFlow do."""
        return StaticShape(d if isinstance(d, int) else None for d in self.node.tensor_type.shape)

    def eval(
        self, values: Any = None, *, feed_dict: Any = None, session: Any = None, **options: Any
    ) -> Any:
        """Return the value, for values of placeholders given as a dict; a phase not fed is 0.

        `session` is what `get_session` returns, and may be left away. Other options are those of
        `symtensor.function`.
        """
        fed = values if feed_dict is None else feed_dict
        if options:
            return super().eval(fed, **options)
        from symtensor.backend.sessions import get_session

        return (session or get_session()).run(self, fed)


def _bounded(part: Any) -> Any:
    """Return a slice with sizes for bounds that are tensors; all else as it is."""
    if not isinstance(part, slice):
        return part
    bounds = (part.start, part.stop, part.step)
    return slice(*(as_dim(b) if isinstance(b, st.Tensor) else b for b in bounds))


class KerasVariable(KerasTensor, st.Variable):
    """A variable with the operators of `KerasTensor`."""


def weakened(value: Any, dtype: st.DType) -> Any:
    """Return NumPy numbers, arrays and lists of numbers in a float `dtype`; all else as it is."""
    if isinstance(value, (list, tuple)) and not any(isinstance(v, st.Tensor) for v in value):
        value = as_array(value, None)
    numeric = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"
    return value.astype(dtype.numpy) if numeric and dtype.is_floating else value


def adopt(value: Any) -> Any:
    """Return `value`, a tensor or a list or tuple that may hold some, with handles of the backend.

    A handle keeps its identity and its attributes; handles of a class of their own stay as they are.
    """
    if type(value) is list or type(value) is tuple:
        return type(value)(adopt(item) for item in value)
    if type(value) is st.Tensor:
        value.__class__ = KerasTensor
    elif type(value) is st.Variable:
        value.__class__ = KerasVariable
    return value


def _binary(name: str) -> Callable[..., Any]:
    plain = getattr(st.Tensor, name)

    def operator(self: KerasTensor, other: Any) -> Any:
        return adopt(plain(self, weakened(other, self.dtype)))

    return wraps(plain)(operator)


def _adopted(name: str) -> Callable[..., Any]:
    plain = getattr(st.Tensor, name)

    def method(self: KerasTensor, *args: Any, **kwargs: Any) -> Any:
        return adopt(plain(self, *args, **kwargs))

    return wraps(plain)(method)


_two_operands = (*_BINARY, *(f"r{name}" for name in _BINARY), *_COMPARISONS)
for _name in (*(f"__{name}__" for name in _two_operands), "dot"):
    setattr(KerasTensor, _name, _binary(_name))
for _name in (*(f"__{name}__" for name in _UNARY), *_METHODS):
    setattr(KerasTensor, _name, _adopted(_name))
