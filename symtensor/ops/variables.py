"""Variables: state that lives between calls.

A `Variable` is a tensor whose node refers to a `Store`, the box that holds its array. Functions
read the box at each call and write it when all of a call has succeeded. Values go in and out by
copy unless the caller says ``borrow=True``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import numpy as np

from symtensor import forks
from symtensor.errors import DTypeError, SymbolicValueError
from symtensor.ir.alignment import copy_of
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dtypes import as_dtype
from symtensor.ir.literal import as_array
from symtensor.ir.node import Node, fresh_uid, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, tensor_type
from symtensor.ops.attributes import as_flag, as_sizes
from symtensor.ops.inputs import Shard, _no_value, infer_input, shard_attribute
from symtensor.ops.registry import define
from symtensor.vocabulary import require_name

Array = np.ndarray[Any, Any]


Result = TypeVar("Result")

together = threading.RLock()  # reentrant: a finalizer may call a function at any point
"""Held for the moment in which variables are read or written together."""
forks.wait_for(together)


Part = tuple[int, int, list[tuple[tuple[int, ...], Array]] | None]
"""Number of this process, count of processes, and pieces that it has with their first positions;
None for a value that every process has."""


class Elsewhere(Protocol):
    """A value that an engine keeps where it computes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the value."""

    def fetch(self) -> Array:
        """Return the value as an array."""

    def part(self) -> Part:
        """Return what of the value this process can write down on its own."""

    def agree(self) -> str:
        """Return a text that no call gave before and that all processes with the value get: all
        must call it."""


_stores: WeakSet[Store] = WeakSet()


class Store:
    """The box that holds a variable's array; identity is the object.

    An engine may keep the value where it computes (`move`). The box is empty then, and whoever
    reads `array` gets it fetched; the engine's value stays valid until `array` is replaced.
    """

    __slots__ = ("__weakref__", "_elsewhere", "_fetched", "array", "default_update", "lock")

    array: Array

    def __init__(self, array: Array) -> None:
        self.array = array
        self._elsewhere: Elsewhere | None = None
        self._fetched: Array | None = None
        self.lock = threading.RLock()
        _stores.add(self)
        self.default_update: Tensor | None = None
        """Next value that every function reading the variable stores, unless told otherwise."""

    def __getattr__(self, name: str) -> Any:
        # reached for what is missing only: the array, when the value is elsewhere
        if name != "array":
            raise AttributeError(f"a store has no {name}")
        while True:
            value = self.elsewhere_or_array()
            if isinstance(value, np.ndarray):
                return value
            try:
                array = value.fetch()
            except Exception:
                if value is self._elsewhere:
                    raise
                continue  # another thread has replaced it meanwhile
            array.flags.writeable = False  # what is written here would not arrive there
            with together:
                if value is self._elsewhere:
                    self.array = self._fetched = array
            return array

    def move(self, value: Elsewhere) -> None:
        """Take a new value that an engine keeps."""
        with together:
            self._elsewhere, self._fetched = value, None
            if self.held() is not None:
                del self.array

    def mirror(self, value: Elsewhere, array: Array) -> None:
        """Note that an engine has `array` too; does nothing if it is not the present value."""
        with together:
            if self.held() is array:
                self._elsewhere, self._fetched = value, array

    def held(self) -> Array | None:
        """Return the array, or None where the value is elsewhere only."""
        try:
            found: Array = _slot(self)
        except AttributeError:
            return None
        return found

    def elsewhere_or_array(self) -> Elsewhere | Array:
        """Return the present value as an engine keeps it, else the array."""
        with together:
            array = self.held()
            if self._elsewhere is not None and (array is None or array is self._fetched):
                return self._elsewhere
            self._elsewhere = self._fetched = None
            assert array is not None
            return array

    def __reduce__(self) -> tuple[Any, ...]:
        # the default update is state, not an argument: it may depend on the variable itself
        return Store, (self.array,), (None, {"default_update": self.default_update})


_slot = Store.__dict__["array"].__get__
"""The array of a store, without `__getattr__` where there is none."""


class Exclusive:
    """Runs functions under the locks of variables.

    They are taken in one order, so that no two calls block each other.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self._locks = [store.lock for store in sorted(set(stores), key=id)]

    def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Return what the function returns; no signal handler's error leaves a lock taken."""
        if len(self._locks) == 1:
            with self._locks[0]:
                return function(*args)
        taken: list[Any] = []
        # calls into C, each one whole: Python handles signals between them, not in them
        release = map(_release, taken)
        try:
            taken.extend(filter(_acquire, self._locks))
            return function(*args)
        finally:
            any(release)


_RLock = type(threading.RLock())
_acquire, _release = _RLock.acquire, _RLock.release


def _renew_locks() -> None:
    """In a child process: a lock that another thread held at the fork would never be given back."""
    for store in list(_stores):
        lock: Any = store.lock
        if lock.acquire(blocking=False):  # free, or of the thread that forked
            lock.release()
        else:
            lock._at_fork_reinit()  # as the standard library does


forks.in_child(_renew_locks)


VARIABLE = define(
    "variable",
    infer=lambda *, type, uid, store, shard=None: infer_input(type, shard),
    evaluate=_no_value,
    doc="A tensor whose value lives between calls.",
)


class Variable(Tensor):
    """A tensor with a value: read it, set it, or let a function update it."""

    @property
    def default_update(self) -> Tensor | None:
        """Next value that every function reading this variable stores, unless told otherwise."""
        return self.store.default_update

    @default_update.setter
    def default_update(self, value: Tensor | None) -> None:
        self.store.default_update = value

    @property
    def store(self) -> Store:
        """The box that holds the value."""
        store: Store = self.node.attrs["store"]
        return store

    def get_value(self, borrow: bool = False) -> Array:
        """Return the value: a copy, or with `borrow` the array itself (read only by contract)."""
        array = self.store.array
        return array if as_flag(borrow, "borrow") else array.copy()

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Replace the value. Raises `DTypeError` or `ShapeError` when it does not fit the type."""
        array = value_for(self.type, value, self.name or "variable", as_flag(borrow, "borrow"))
        with self.store.lock:
            self.store.array = array

    def numpy(self) -> Array:
        """Return a copy of the value."""
        return self.get_value()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:  # type: ignore[override]
        value = self.get_value()
        return value if dtype is None else value.astype(dtype)


def value_for(type_: TensorType, value: Any, name: str, borrow: bool = False) -> Array:
    """Return `value` as an array that fits `type_`, copied unless borrowed."""
    array = as_array(value, None) if isinstance(value, (list, tuple)) else np.asarray(value)
    if array.dtype != type_.dtype.numpy:
        if not np.can_cast(array.dtype, type_.dtype.numpy, "same_kind"):
            raise DTypeError(f"{name}: expected {type_}, found {array.dtype}", code="ST0203")
        borrow = False
    bind_shapes([type_], [array.shape], [name], {})
    if borrow and array.flags.c_contiguous:
        return array
    return copy_of(array, type_.dtype.numpy)


def variable(
    value: Any,
    dtype: Any = None,
    name: str | None = None,
    shape: Sequence[Any] | None = None,
    shard: Shard | None = None,
) -> Variable:
    """Return a variable holding a copy of `value`.

    Its type is the shape and dtype of `value`; a `shape` with None where the size may change
    between calls makes the variable resizable. `shard`: how engines with a mesh of devices cut it, see
    `placeholder`.
    """
    require_name(name, "a variable")
    if isinstance(value, Tensor) and not isinstance(value, Variable):
        raise SymbolicValueError(
            f"variable: expected a value to start from, found the symbolic {value!r}",
            help="give an array, and compute the tensor as an update",
        )
    array = as_array(value, None if dtype is None else as_dtype(dtype))
    element = as_dtype(array.dtype)
    sizes = array.shape if shape is None else as_sizes(shape)
    type_ = tensor_type(element, sizes)
    array = value_for(type_, array, name or "variable", borrow=True)
    attrs = {
        "type": type_,
        "uid": fresh_uid(),
        "store": Store(array),
        **shard_attribute(type_, shard),
    }
    return Variable(make_node(VARIABLE, (), attrs, name=name))


def variable_of(node: Node) -> Variable:
    """Return a handle on a variable node."""
    return Variable(node)
