"""Kernel IR: loops over buffers, between fused graph nodes and vector code.

    kernel  = name, outer axes, stores            every value is demanded by a store
    store   = buffer[affine] <- value             once per point of the outer axes, or of the first of them,
                                                  or of the last, where the first are folded over
    value   = load buffer[affine] | const | index axis | size dim
            | checked value < dim (counts from the end when negative; a kernel refuses others)
            | apply scalar-rule(values)
            | reduce combiner over axes (value)       a running one is stored at each step
    affine  = dim + sum(dim * axis)       an axis is a loop's, or the place a checked value names

`KernelSpec` is that, a value graph without order. `symtensor.codegen.lower` places the values into a
loop tree:

    stmt    = Let value | Loop axis [stmt] | Reduce accumulators [stmt] | Store | Reload

A value stands in the outermost loop in which all its axes are bound, so loop-invariant work is
outside by construction. A fold whose results vary with loops inside of it is a *sweep*: it has a row of
accumulators for each, one per round of these, and loops over the row come after it. A sweep also folds
what does not vary with them, each in the loop that tells it apart. Sizes stay symbolic in both.
`kernel_printer` and `kernel_parser` print and read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType, int64

Scalar = bool | int | float


class Axis:
    """A loop counter running from 0 to `extent`; identity is the object."""

    __slots__ = ("extent", "name")

    def __init__(self, name: str, extent: Dim) -> None:
        self.name = name
        self.extent = extent

    def __repr__(self) -> str:
        return self.name


class Indirect(Axis):
    """A position that is no loop counter but data: what a ``checked`` value names."""

    __slots__ = ("value",)

    def __init__(self, name: str, extent: Dim, value: Value) -> None:
        super().__init__(name, extent)
        self.value = value


class Affine(NamedTuple):
    """``offset + sum(coefficient * axis)``, in elements."""

    offset: Dim
    terms: tuple[tuple[Axis, Dim], ...]

    def coefficient(self, axis: Axis) -> Dim:
        """Return the factor of `axis`; 0 when it does not occur."""
        for own, coefficient in self.terms:
            if own is axis:
                return coefficient
        return 0


def make_affine(offset: Dim, terms: Sequence[tuple[Axis, Dim]]) -> Affine:
    """Return an affine form with equal axes merged and zero terms dropped."""
    merged: dict[Axis, Dim] = {}
    for axis, coefficient in terms:
        merged[axis] = merged[axis] + coefficient if axis in merged else coefficient
    return Affine(offset, tuple([term for term in merged.items() if not D.same(term[1], 0)]))


def weighted_sum(offset: Dim, parts: Iterable[tuple[Affine, Dim]]) -> Affine:
    """Return ``offset`` plus affine forms, each times a factor."""
    terms: list[tuple[Axis, Dim]] = []
    for at, factor in parts:
        if D.same(factor, 1):
            offset = offset + at.offset
            terms += at.terms
        else:
            offset = offset + at.offset * factor
            terms += [(axis, c * factor) for axis, c in at.terms]
    return make_affine(offset, terms)


def axis_position(axis: Axis) -> Affine:
    """Return the affine form that is just `axis`."""
    return Affine(0, ((axis, 1),))


@dataclass(frozen=True, slots=True)
class Buffer:
    """An argument of a kernel: a pointer to elements of one dtype."""

    index: int
    dtype: DType

    def __str__(self) -> str:
        return f"b{self.index}"


class Value:
    """A scalar computed at each point of its axes; made and interned by `ValueTable`."""

    __slots__ = ("args", "axes", "data", "dtype", "kind")

    def __init__(
        self, kind: str, args: tuple[Value, ...], data: Any, dtype: DType, axes: frozenset[Axis]
    ) -> None:
        self.kind = kind
        self.args = args
        self.data = data
        self.dtype = dtype
        self.axes = axes
        """The axes it varies over."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A scalar rule with its attributes: what an ``apply`` value computes."""

    name: str
    scalar: Any
    attrs: Mapping[str, Any] = field(compare=False, hash=False)
    key: Any = None
    """Hashable stand-in for the attributes."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a ``reduce`` value does: fold its argument over `axes` with `combiner`."""

    combiner: str
    axes: tuple[Axis, ...]
    is_running: bool = False
    """True when every intermediate result is stored, in the order of the axis."""


class ValueTable:
    """Makes values; equal ones are one object, so a kernel computes each once."""

    def __init__(self) -> None:
        self._table: dict[Any, Value] = {}
        self._indirect: dict[Value, Indirect] = {}

    def _make(
        self, kind: str, args: tuple[Value, ...], data: Any, dtype: DType, axes: frozenset[Axis]
    ) -> Value:
        key = (kind, args, data, dtype)
        found = self._table.get(key)
        if found is None:
            found = self._table[key] = Value(kind, args, data, dtype, axes)
        return found

    def load(self, buffer: Buffer, at: Affine) -> Value:
        """Return the element of `buffer` at `at`."""
        named, axes = variation(at)
        return self._make("load", named, (buffer, at), buffer.dtype, axes)

    def const(self, value: Scalar, dtype: DType) -> Value:
        """Return a constant; NaN payloads aside, equal bits are one value."""
        key = value.hex() if isinstance(value, float) else value
        return self._make("const", (), (key, type(value)), dtype, frozenset())

    def size(self, dim: Dim, dtype: DType) -> Value:
        """Return a symbolic size as a value of an integer or float dtype."""
        return self._make("size", (), dim, dtype, frozenset())

    def position(self, at: Affine, dtype: DType) -> Value:
        """Return an index expression as a value."""
        named, axes = variation(at)
        return self._make("index", named, at, dtype, axes)

    def checked(self, index: Value, size: Dim) -> Indirect:
        """Return the position that an index names along an axis of `size`."""
        value = self._make("checked", (index,), size, int64, index.axes)
        if value not in self._indirect:
            self._indirect[value] = Indirect(f"k{len(self._indirect)}", size, value)
        return self._indirect[value]

    def apply(self, rule: Rule, args: tuple[Value, ...], dtype: DType) -> Value:
        """Return the result of a scalar rule."""
        axes = frozenset().union(*(x.axes for x in args)) if args else frozenset()
        return self._make("apply", args, rule, dtype, axes)

    def reduce(
        self, reduction: Reduction, arg: Value, dtype: DType, along: frozenset[Axis] = frozenset()
    ) -> Value:
        """Return `arg` folded over the reduction's axes; it has a result for each round of those `along`."""
        axes = (arg.axes | along) - set(reduction.axes)
        return self._make("reduce", (arg,), reduction, dtype, axes)


def variation(at: Affine) -> tuple[tuple[Value, ...], frozenset[Axis]]:
    """Return the checked values among the positions, and the loop axes that `at` varies over."""
    named = tuple(axis.value for axis, _ in at.terms if isinstance(axis, Indirect))
    axes = frozenset(axis for axis, _ in at.terms if not isinstance(axis, Indirect))
    return named, axes.union(*(value.axes for value in named))


def const_value(value: Value) -> Scalar:
    """Return the Python number of a ``const`` value."""
    key, kind = value.data
    return float.fromhex(key) if kind is float else key


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """A kernel before it has an order: outer axes and what is stored at each point of them."""

    axes: tuple[Axis, ...]
    stores: tuple[tuple[Buffer, Affine, Value], ...]
    rows: tuple[tuple[Buffer, Affine, Value], ...] = ()
    """What is stored once for all rounds of the inner loops that it is the same in."""
    columns: tuple[tuple[Buffer, Affine, Value], ...] = ()
    """What is folded over the first of the axes, or all, and stored once for each round of the others."""
    _order: list[Value] = field(default_factory=list, init=False, repr=False, compare=False)
    """What `values` returned: specs never change, and every step of lowering asks for them."""

    def values(self) -> list[Value]:
        """Return all values, those inside reductions too, producers first."""
        if not self._order:
            roots = (value for store in self.all_stores() for value in demanded(store))
            self._order.extend(value_order(roots, through_reduce=True))
        return self._order

    def all_stores(self) -> tuple[tuple[Buffer, Affine, Value], ...]:
        """Return what is stored, however often."""
        return (*self.rows, *self.stores, *self.columns)

    def affines(self) -> Iterator[Affine]:
        """Yield the places that are stored to, read and computed with."""
        for _, at, _ in self.all_stores():
            yield at
        for value in self.values():
            if value.kind == "load":
                yield value.data[1]
            elif value.kind == "index":
                yield value.data


def demanded(store: tuple[Buffer, Affine, Value]) -> tuple[Value, ...]:
    """Return what a store needs: the values that name its place, and the value."""
    _, at, value = store
    return (*variation(at)[0], value)


def value_order(roots: Iterable[Value], through_reduce: bool = False) -> list[Value]:
    """Return values producers first, iteratively; operands of reductions only on request."""
    order: list[Value] = []
    done: set[Value] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        value, expanded = stack.pop()
        if value in done:
            continue
        if expanded or not value.args:
            done.add(value)
            order.append(value)
            continue
        stack.append((value, True))
        if through_reduce or value.kind != "reduce":
            stack += [(x, False) for x in reversed(value.args) if x not in done]
    return order


# --- the loop tree -------------------------------------------------------------------------------


@dataclass(slots=True)
class Let:
    """Compute a value here."""

    value: Value


@dataclass(slots=True)
class Store:
    """Write a value."""

    buffer: Buffer
    at: Affine
    value: Value


@dataclass(slots=True)
class Loop:
    """Run `body` for each index of `axis`.

    A `vector` loop takes several indices at a time. A `tiled` loop ends in a vector loop, and the two
    together go through square tiles: what lies contiguously along the tiled axis is transposed.
    """

    axis: Axis
    body: list[Stmt]
    vector: bool = False
    tiled: bool = False


@dataclass(slots=True)
class Reduce:
    """Fold: `results` are the reduce values whose loops `body` holds; each ends in `Update`s."""

    results: tuple[Value, ...]
    body: list[Stmt]


def is_sweep(stmt: Stmt) -> TypeGuard[Reduce]:
    """Return True for a fold, in no loop, whose results vary with loops inside of it."""
    return isinstance(stmt, Reduce) and any(result.axes for result in stmt.results)


@dataclass(slots=True)
class Update:
    """Fold the argument of the reduce value `result` into its accumulator."""

    result: Value


@dataclass(slots=True)
class Reload:
    """Read a value that an earlier loop has left in a buffer."""

    value: Value
    buffer: Buffer
    at: Affine


Stmt = Let | Store | Loop | Reduce | Update | Reload


@dataclass(frozen=True, slots=True)
class Kernel:
    """A placed kernel: buffers, the sizes it needs as arguments, and the loop tree."""

    buffers: tuple[Buffer, ...]
    sizes: tuple[Dim, ...]
    """Dims passed as arguments, in order: every extent, offset and coefficient that is no int."""
    body: list[Stmt]

    @property
    def may_refuse(self) -> bool:
        """True when it checks indices: it then returns 1 for one out of range, else 0."""
        return any(value.kind == "checked" for value in values_in(self.body))


def values_in(body: list[Stmt]) -> list[Value]:
    """Return the values that statements compute, those of inner loops included."""
    found: list[Value] = []
    for stmt in body:
        if isinstance(stmt, Let):
            found.append(stmt.value)
        elif isinstance(stmt, (Loop, Reduce)):
            found += values_in(stmt.body)
    return found
