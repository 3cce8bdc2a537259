"""From what a caller passes to what an executable takes.

`Input` says what `function` accepts for one placeholder; `convert_argument` turns a value into an
array of the declared dtype and rank, or refuses it. Nothing is ever narrowed silently: arrays pass
when NumPy's promotion of both dtypes is the declared one, Python numbers and lists when every value
survives. `Arguments` puts positions, keywords and defaults in order.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.errors import DTypeError, FunctionError, ShapeError
from symtensor.ir.dtypes import DType, as_dtype
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, format_shape
from symtensor.ops.attributes import index_of
from symtensor.ops.scalars import saturating_cast
from symtensor.ops.variables import Store, Variable
from symtensor.vocabulary import require_name, suggestion

Array = np.ndarray[Any, Any]
Converter = Callable[[Any], Array]


class Missing(enum.Enum):
    """The value of what was not given, where None means something."""

    MISSING = enum.auto()


MISSING = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a function: a tensor with, optionally, a default value, a keyword, a next value.

    With `update` the default is state: it starts as `default`, and each call that succeeds replaces
    it by the value of `update`. With `strict` only arrays of exactly the declared dtype pass.
    """

    tensor: Tensor
    default: Any = MISSING
    name: str | None = None
    update: Any = None
    strict: bool = False

    def __post_init__(self) -> None:
        require_name(self.name, "an input")

    @property
    def key(self) -> str | None:
        """The keyword by which it can be passed."""
        return self.name or self.tensor.name


# --- conversion ----------------------------------------------------------------------------------


def convert_argument(
    value: Any, type_: TensorType, label: str, allow_downcast: bool | None, strict: bool = False
) -> Array:
    """Return `value` as an array of the dtype and rank of `type_`; sizes are not checked here.

    `allow_downcast`: True casts any number (floats to integers saturate), False nothing that loses
    a value, None only a Python float to a 0-d float input. Raises `DTypeError`, `ShapeError` for
    a wrong number of axes, and `FunctionError` for what is no value at all.
    """
    array = _as_array(value, type_, label)
    if array.dtype != type_.dtype.numpy:
        if strict or not _may_cast(array, value, type_.dtype, allow_downcast):
            raise DTypeError(
                f"{label}: expected {type_}, found {array.dtype} of shape "
                f"{format_shape(array.shape)}",
                help="convert it with astype, or compile with allow_downcast=True",
                code="ST0203",
            )
        array = saturating_cast(array, type_.dtype)
    if array.ndim != type_.ndim:
        raise ShapeError(
            f"{label}: expected {type_.ndim} axes ({type_}), found shape "
            f"{format_shape(array.shape)}",
            code="ST0106",
        )
    native = type_.dtype.numpy
    array = np.array(array, dtype=native, copy=None if array.flags.aligned else True)
    return array if array.dtype is native else array.view(native)  # the object that the entry knows


def _as_array(value: Any, type_: TensorType, label: str) -> Array:
    if value is None:
        raise FunctionError(f"{label}: expected a value of type {type_}, found None", code="ST0709")
    if isinstance(value, Tensor) and not isinstance(value, Variable):
        raise FunctionError(
            f"{label}: expected a value of type {type_}, found {value!r}", code="ST0709"
        )
    if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):
        raise DTypeError(
            f"{label}: expected a plain array, found a {type(value).__name__}",
            help="numpy.asarray(x) drops what the subclass adds (a mask, a unit…)",
            code="ST0204",
        )
    try:
        array = np.asarray(value)
    except ValueError as error:  # a ragged list
        raise ShapeError(
            f"{label}: expected a value of type {type_}: {error}", code="ST0204"
        ) from None
    if array.dtype.hasobject or (array.dtype.kind in "USVcmM" and array.dtype.name != "bfloat16"):
        raise DTypeError(
            f"{label}: expected {type_}, found {array.dtype} ({type(value).__name__})",
            code="ST0204",
        )
    return array


def _may_cast(array: Array, value: Any, dtype: DType, allow_downcast: bool | None) -> bool:
    """Return True when `array`, made from `value`, may be cast to `dtype`."""
    if allow_downcast or _promotes(array.dtype, dtype.numpy):
        return True
    if isinstance(value, np.generic) or not isinstance(value, (bool, int, float, list, tuple)):
        return False
    if isinstance(value, float) and dtype.is_floating and allow_downcast is None:
        return True  # weak, as in expressions
    back = saturating_cast(saturating_cast(array, dtype), as_dtype(array.dtype))
    return bool(np.array_equal(back, array, equal_nan=array.dtype.kind == "f"))


def _promotes(found: np.dtype[Any], declared: np.dtype[Any]) -> bool:
    try:
        return bool(np.promote_types(found, declared) == declared)
    except TypeError:  # bfloat16 and a wide integer have no common dtype
        return False


def converter(
    type_: TensorType, label: str, allow_downcast: bool | None, strict: bool = False
) -> Converter:
    """Return `convert_argument` for one input, quick for arrays that need no conversion."""
    dtype, rank, plain = type_.dtype.numpy, type_.ndim, np.ndarray

    def convert(value: Any) -> Array:
        if (
            type(value) is plain
            and value.dtype is dtype
            and value.ndim == rank
            and value.flags.aligned
        ):
            return value
        return convert_argument(value, type_, label, allow_downcast, strict)

    return convert


# --- positions, keywords, defaults ---------------------------------------------------------------


class Arguments:
    """The inputs of a function as a caller sees them."""

    def __init__(
        self,
        inputs: Sequence[Input],
        states: Sequence[Store | None],
        name: str,
        allow_downcast: bool | None,
    ) -> None:
        self.inputs = inputs
        self.states = states
        """Per input the box of its state, where it has an `update`."""
        self.name = name
        self.labels = [spec.key or f"input {i}" for i, spec in enumerate(inputs)]
        self.converters = [
            converter(spec.tensor.type, label, allow_downcast, spec.strict)
            for spec, label in zip(inputs, self.labels, strict=True)
        ]
        self.defaults: list[Any] = [self._default(i) for i in range(len(inputs))]
        self._places = self._keywords()

    def _default(self, index: int) -> Any:
        value = self.inputs[index].default
        if value is MISSING or self.states[index] is not None:
            return MISSING
        array = np.array(self.converters[index](value), copy=True)
        array.flags.writeable = False
        return array

    def _keywords(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for i, spec in enumerate(self.inputs):
            if spec.key is not None:
                places.setdefault(spec.key, []).append(i)
        return places

    def arrange(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return one value per input, from positions, keywords and defaults."""
        count = len(self.inputs)
        if len(args) > count:
            raise FunctionError(
                f"{self.name}: takes {count} inputs, {len(args)} given", code="ST0707"
            )
        values: list[Any] = [*args, *[MISSING] * (count - len(args))]
        for key, value in kwargs.items():
            place = self._place(key)
            if values[place] is not MISSING:
                raise FunctionError(f"{self.name}: the input {key!r} is given twice", code="ST0707")
            values[place] = value
        return [self._fill(i) if value is MISSING else value for i, value in enumerate(values)]

    def _fill(self, index: int) -> Any:
        state = self.states[index]
        value = self.defaults[index] if state is None else state.array
        if value is MISSING:
            raise FunctionError(
                f"{self.name}: the input {self.labels[index]!r} is missing", code="ST0707"
            )
        return value

    def _place(self, key: str) -> int:
        places = self._places.get(key)
        if places is None:
            known = ", ".join(self._places)
            raise FunctionError(
                f"{self.name}: there is no input named {key!r}",
                help=f"inputs: {known}{suggestion(key, self._places)}"
                if known
                else "no input has a name",
                code="ST0708",
            )
        if len(places) > 1:
            raise FunctionError(
                f"{self.name}: {len(places)} inputs are named {key!r}",
                help="pass them by position, or name them apart with Input(x, name=...)",
                code="ST0708",
            )
        return places[0]

    def index(self, key: Tensor | str | int) -> int:
        """Return the position of an input given by tensor, keyword or position."""
        if isinstance(key, str):
            return self._place(key)
        if isinstance(key, Tensor):
            for i, spec in enumerate(self.inputs):
                if spec.tensor.node is key.node:
                    return i
            raise FunctionError(f"{self.name}: {key!r} is not among the inputs")
        place = index_of(key)
        if place is None or not 0 <= place < len(self.inputs):
            raise FunctionError(
                f"{self.name}: expected an input by name or a position below {len(self.inputs)}, "
                f"found {key!r}"
            )
        return place

    def get_default(self, key: Tensor | str | int) -> Array:
        """Return a copy of the value an input has when it is not passed."""
        return np.array(self._fill(self.index(key)), copy=True)

    def set_default(self, key: Tensor | str | int, value: Any) -> None:
        """Replace the value an input has when it is not passed."""
        i = self.index(key)
        array = np.array(self.converters[i](value), copy=True)
        state = self.states[i]
        if state is not None:
            with state.lock:
                state.array = array
        else:
            array.flags.writeable = False
            self.defaults[i] = array
