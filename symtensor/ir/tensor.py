"""Tensor: the handle a user holds on a node.

Handles are light, made anew at each build call, compared by identity and open to extra attributes
(Keras hangs its layer history on them). The node beneath is shared. Operators and methods are
spelled here so that editors and type checkers see them; what they do is bound once, by
`symtensor.ops.operators`, because this layer knows no concrete op.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from symtensor.errors import SymbolicValueError, UnknownNameError
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.dtypes import DType
from symtensor.ir.node import Node, Op
from symtensor.ir.types import TensorType
from symtensor.source import Location
from symtensor.vocabulary import OTHER_WORDS, suggestion

_bound: Any = None  # the namespace of op functions; set by bind_operators


def bind_operators(namespace: Any) -> None:
    """Give Tensor its operators: `namespace` has `add`, `subtract`, `getitem`, `sum`, …"""
    global _bound
    _bound = namespace


class Tensor:
    """A symbolic tensor: a node with a type. Build with it; compile with `symtensor.function`."""

    __array_priority__ = 1000

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return self.node.tensor_type

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        """Sizes; an unknown one is a symbolic `Dim` that takes part in arithmetic."""
        return self.type.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.type.shape)

    @property
    def size(self) -> Dim:
        """Number of elements, possibly symbolic."""
        return self.type.size

    @property
    def op(self) -> Op:
        """The op that produced it."""
        return self.node.op

    @property
    def loc(self) -> Location | None:
        """The user's line that built it."""
        return self.node.loc

    @property
    def name(self) -> str | None:
        """Display name."""
        return self.node.name

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return self.transpose()

    def __repr__(self) -> str:
        return f"Tensor({self.name or self.op.name!r}, {self.type})"

    if not TYPE_CHECKING:  # type checkers shall report unknown names themselves

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):  # protocols that Python and others look for
                raise AttributeError(f"a tensor has no {name!r}")
            word = OTHER_WORDS.get(name, name)
            if not hasattr(Tensor, word) and hasattr(_bound, word):
                hint = f"; write symtensor.{word}(x, ...)"
            else:
                hint = suggestion(name, [n for n in dir(Tensor) if not n.startswith("_")])
            raise UnknownNameError(f"a tensor has no {name!r}{hint}")

    # identity semantics: tensors are dict keys and members of lists
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    # values do not exist yet
    def _no_value(self, what: str) -> NoReturn:
        raise SymbolicValueError(
            f"{what} needs a value, and {self!r} is symbolic",
            help="compile with symtensor.function, or call .eval({x: value, ...})",
        )

    def __bool__(self) -> bool:
        self._no_value("bool()")

    def __float__(self) -> float:
        self._no_value("float()")

    def __int__(self) -> int:
        self._no_value("int()")

    def __index__(self) -> int:
        self._no_value("an index")

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec) if not spec else self._no_value(f"the format {spec!r}")

    def __contains__(self, item: Any) -> bool:
        self._no_value("`in`")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self._no_value("conversion to a NumPy array")

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise SymbolicValueError(
            "tensors are immutable",
            help="use symtensor.set_at(x, index, value) or add_at",
            code="ST0503",
        )

    def __len__(self) -> int:
        if self.ndim == 0:
            raise SymbolicValueError("len() of a 0-d tensor", code="ST0504")
        n = self.shape[0]
        return n if isinstance(n, int) else self._no_value("len() of an unknown size")

    def __iter__(self) -> Iterator[Tensor]:
        for i in range(len(self)):
            yield self[i]

    # NumPy interoperation: np.add(array, tensor) builds a node
    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        return _bound.numpy_ufunc(ufunc, method, args, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _bound.numpy_function(func, args, kwargs)

    def eval(self, values: Mapping[Tensor, Any] | None = None, **options: Any) -> np.ndarray:
        """Compile and run at once: the value of this tensor for the given inputs."""
        result: np.ndarray = _bound.evaluate(self, {} if values is None else values, **options)
        return result

    # operators
    def __add__(self, other: Any) -> Tensor:
        return _bound.add(self, other)  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> Tensor:
        return _bound.add(other, self)  # type: ignore[no-any-return]

    def __sub__(self, other: Any) -> Tensor:
        return _bound.subtract(self, other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Any) -> Tensor:
        return _bound.subtract(other, self)  # type: ignore[no-any-return]

    def __mul__(self, other: Any) -> Tensor:
        return _bound.multiply(self, other)  # type: ignore[no-any-return]

    def __rmul__(self, other: Any) -> Tensor:
        return _bound.multiply(other, self)  # type: ignore[no-any-return]

    def __truediv__(self, other: Any) -> Tensor:
        return _bound.divide(self, other)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Any) -> Tensor:
        return _bound.divide(other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: Any) -> Tensor:
        return _bound.floor_divide(self, other)  # type: ignore[no-any-return]

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _bound.floor_divide(other, self)  # type: ignore[no-any-return]

    def __mod__(self, other: Any) -> Tensor:
        return _bound.remainder(self, other)  # type: ignore[no-any-return]

    def __rmod__(self, other: Any) -> Tensor:
        return _bound.remainder(other, self)  # type: ignore[no-any-return]

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return _bound.floor_divide(self, other), _bound.remainder(self, other)

    def __pow__(self, other: Any) -> Tensor:
        return _bound.power(self, other)  # type: ignore[no-any-return]

    def __rpow__(self, other: Any) -> Tensor:
        return _bound.power(other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Any) -> Tensor:
        return _bound.matmul(self, other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Any) -> Tensor:
        return _bound.matmul(other, self)  # type: ignore[no-any-return]

    def __and__(self, other: Any) -> Tensor:
        return _bound.bitwise_and(self, other)  # type: ignore[no-any-return]

    def __rand__(self, other: Any) -> Tensor:
        return _bound.bitwise_and(other, self)  # type: ignore[no-any-return]

    def __or__(self, other: Any) -> Tensor:
        return _bound.bitwise_or(self, other)  # type: ignore[no-any-return]

    def __ror__(self, other: Any) -> Tensor:
        return _bound.bitwise_or(other, self)  # type: ignore[no-any-return]

    def __xor__(self, other: Any) -> Tensor:
        return _bound.bitwise_xor(self, other)  # type: ignore[no-any-return]

    def __rxor__(self, other: Any) -> Tensor:
        return _bound.bitwise_xor(other, self)  # type: ignore[no-any-return]

    def __lshift__(self, other: Any) -> Tensor:
        return _bound.left_shift(self, other)  # type: ignore[no-any-return]

    def __rlshift__(self, other: Any) -> Tensor:
        return _bound.left_shift(other, self)  # type: ignore[no-any-return]

    def __rshift__(self, other: Any) -> Tensor:
        return _bound.right_shift(self, other)  # type: ignore[no-any-return]

    def __rrshift__(self, other: Any) -> Tensor:
        return _bound.right_shift(other, self)  # type: ignore[no-any-return]

    def __neg__(self) -> Tensor:
        return _bound.negative(self)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return _bound.abs(self)  # type: ignore[no-any-return]

    def __invert__(self) -> Tensor:
        return _bound.invert(self)  # type: ignore[no-any-return]

    def __lt__(self, other: Any) -> Tensor:
        return _bound.less(self, other)  # type: ignore[no-any-return]

    def __le__(self, other: Any) -> Tensor:
        return _bound.less_equal(self, other)  # type: ignore[no-any-return]

    def __gt__(self, other: Any) -> Tensor:
        return _bound.greater(self, other)  # type: ignore[no-any-return]

    def __ge__(self, other: Any) -> Tensor:
        return _bound.greater_equal(self, other)  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Tensor:
        return _bound.getitem(self, index)  # type: ignore[no-any-return]

    # methods, with NumPy's names and argument order
    def astype(self, dtype: Any) -> Tensor:
        """Cast to `dtype`."""
        return _bound.cast(self, dtype)  # type: ignore[no-any-return]

    def reshape(self, *shape: Any) -> Tensor:
        """Reshape; one size may be -1."""
        return _bound.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[no-any-return]

    def transpose(self, *axes: Any) -> Tensor:
        """Permute axes; reverse them when none are given."""
        listed = len(axes) == 1 and (axes[0] is None or np.iterable(axes[0]))
        order: Any = axes[0] if listed else axes
        return _bound.transpose(self, order if len(axes) else None)  # type: ignore[no-any-return]

    def flatten(self) -> Tensor:
        """One axis in C order."""
        return _bound.reshape(self, (-1,))  # type: ignore[no-any-return]

    def dot(self, other: Any) -> Tensor:
        """NumPy's dot product."""
        return _bound.dot(self, other)  # type: ignore[no-any-return]

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Sum over axes."""
        return _bound.sum(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Product over axes."""
        return _bound.prod(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean over axes."""
        return _bound.mean(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Variance over axes."""
        return _bound.var(self, axis, keepdims=keepdims, ddof=ddof)  # type: ignore[no-any-return]

    def std(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Standard deviation over axes."""
        return _bound.std(self, axis, keepdims=keepdims, ddof=ddof)  # type: ignore[no-any-return]

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Maximum over axes; NaN wins."""
        return _bound.max(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Minimum over axes; NaN wins."""
        return _bound.min(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def any(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """True where any element is true."""
        return _bound.any(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def all(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """True where all elements are true."""
        return _bound.all(self, axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def argmax(self, axis: int | None = None) -> Tensor:
        """Index of the first maximum."""
        return _bound.argmax(self, axis)  # type: ignore[no-any-return]

    def argmin(self, axis: int | None = None) -> Tensor:
        """Index of the first minimum."""
        return _bound.argmin(self, axis)  # type: ignore[no-any-return]

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Running sum along an axis."""
        return _bound.cumsum(self, axis)  # type: ignore[no-any-return]

    def clip(self, low: Any, high: Any) -> Tensor:
        """Limit to the interval [low, high]."""
        return _bound.clip(self, low, high)  # type: ignore[no-any-return]
