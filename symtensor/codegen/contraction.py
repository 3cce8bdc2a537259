"""Contractions as matrix products: which strides, which loops around, and the code that calls them.

The labels of a contraction fall into four groups: batch labels (in both operands and the result),
rows (left and result), columns (right and result) and inner ones (summed). Those of a group whose
strides nest are merged to one, as the columns of a convolution's window with its channels. One label
of rows and of columns and two inner ones go to the matrix product of `symtensor.codegen.gemm`; the
others become loops around it. Views of operands are strides, so nothing is transposed in memory. What
is added to a product, such as an offset, is an operand of it too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce

from symtensor.codegen import stage
from symtensor.codegen.domains import linear_offset, map_positions
from symtensor.codegen.gemm import Products
from symtensor.codegen.kernel import Affine, Axis, axis_position, make_affine
from symtensor.codegen.lanes import memory_type
from symtensor.codegen.pool import SCRATCH, WORTH
from symtensor.codegen.product_sharing import PICOSECONDS
from symtensor.codegen.sharing import BYTE, Share
from symtensor.codegen.text import FunctionText, V
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType, int32, int64
from symtensor.ir.node import Node
from symtensor.ops.contraction import split_spec

NATIVE = {"float32", "float64", "int32", "int64", "uint32", "uint64"}


def is_native(node: Node) -> bool:
    """Return True for a contraction that runs as native matrix products."""
    return node.op.name == "contract" and node.tensor_type.dtype.name in NATIVE


def arithmetic(dtype: DType) -> DType:
    """Return the dtype whose products serve: signed and unsigned integers share theirs."""
    return {"uint32": int32, "uint64": int64}.get(dtype.name, dtype)


@dataclass(slots=True)
class Label:
    """One label, or several merged: its size and its stride in left, right, result and addend."""

    size: Dim
    strides: tuple[Dim, Dim, Dim, Dim]

    def merged(self, inner: Label) -> Label | None:
        """Return this label and the one inside it as one, or None."""
        for outer, own in zip(self.strides, inner.strides, strict=True):
            if not D.same(outer, own * inner.size):
                return None
        return Label(self.size * inner.size, inner.strides)


@dataclass(slots=True)
class Plan:
    """Loops around a matrix product of m x k by k x n."""

    offsets: tuple[Dim, Dim, Dim, Dim]
    """First element of left, right, result and addend."""
    rows: Label
    columns: Label
    inner: Label
    rounds: Label
    """A second summed label."""
    outer: list[Label] = field(default_factory=list)
    """Loops around the product."""
    summed: list[Label] = field(default_factory=list)
    """Loops whose rounds add up."""
    sums_first: bool = False
    """True when these are outside the others. They are where the result stays in a cache while all of it is
    added to: what their rounds read is then read from afar once, not once for each part of the result."""
    adds: bool = False
    """True when there is an addend; else all about it is 0."""
    packed: bool = False
    """True when the right operand is packed ahead."""

    @property
    def loops(self) -> list[Label]:
        """All loops around the product, outermost first."""
        return [*self.summed, *self.outer] if self.sums_first else [*self.outer, *self.summed]

    @property
    def shared(self) -> list[Label]:
        """The outer loops that threads share, as one loop."""
        first = self.outer[0].size if self.outer else 0
        return self.outer[: 2 if isinstance(first, int) and first < SEVERAL else 1]


_ONE = Label(1, (0, 0, 0, 0))
LONG = 8
"""Elements of a label that is worth a place in the matrix product, whatever its strides."""
FAR = 1 << 62
"""Stands for a stride known only at the call."""
FEW = 8
"""Rounds of the loops around a product that are too few to share evenly."""
TALL = 24
"""Rows of a product that is a piece of another at least: two high tiles."""
NEAR = 256 << 10
"""Bytes that stay in a cache while operands are read past them."""
SEVERAL = 32
"""Rounds of a loop that are enough for the threads; below, they share two loops as one."""


def plan(node: Node, addend: Node | None = None) -> tuple[Plan, tuple[Node, ...]]:
    """Return the plan of a contraction, or of its sum with `addend`, and the stored nodes it reads."""
    left, right, out = split_spec(node.attrs["spec"])
    sizes = dict(zip(out, node.tensor_type.shape, strict=True))
    for labels, x in zip((left, right), node.inputs, strict=True):
        sizes |= zip(labels, x.tensor_type.shape, strict=True)
    axes = {label: Axis(label, size) for label, size in sizes.items() if not D.same(size, 1)}
    a, b = (_stored(x, labels, axes) for x, labels in zip(node.inputs, (left, right), strict=True))
    c = linear_offset(node.tensor_type.shape, _positions(out, axes))
    d = None if addend is None else _stored(addend, out, axes)
    places = (a[1], b[1], c, make_affine(0, []) if d is None else d[1])

    def group(labels: Iterable[str]) -> list[Label]:
        found = [
            Label(axis.extent, _of_all(at.coefficient(axis) for at in places))
            for axis in (axes[x] for x in labels if x in axes)
        ]
        return _merge(found)

    batch = group(x for x in out if x in left and x in right)
    rows = group(x for x in out if x not in right)
    columns = group(x for x in out if x not in left)
    inner = group(x for x in left if x not in out)
    offsets = _of_all(at.offset for at in places)
    row, column, depth = _main(rows), _main(columns), _main(inner)
    rounds = _main([x for x in inner if x is not depth])
    found = Plan(offsets, row, column, depth, rounds, adds=d is not None)
    others = [x for x in (*rows, *columns) if x is not row and x is not column]
    found.outer = [*batch, *others]
    _split_rows(found)
    found.summed = [x for x in inner if x is not depth and x is not rounds]
    size = D.product((*node.tensor_type.shape, node.tensor_type.dtype.itemsize))
    found.sums_first = isinstance(size, int) and size <= NEAR
    return found, (a[0], b[0]) if d is None else (a[0], b[0], d[0])


def _of_all(found: Iterable[Dim]) -> tuple[Dim, Dim, Dim, Dim]:
    a, b, c, d = found
    return a, b, c, d


def _split_rows(found: Plan) -> None:
    """Make the rows several products where the loops around them are too short for many threads."""
    rounds, rows = D.product(label.size for label in found.outer), found.rows.size
    if not found.outer or not isinstance(rounds, int) or not isinstance(rows, int):
        return
    if 0 < rounds < FEW:
        pieces = max(n for n in (1, 2, 4, 8) if n == 1 or (rows % n == 0 and rows // n >= TALL))
        inner = Label(rows // pieces, found.rows.strides)
        steps = _of_all(stride * inner.size for stride in found.rows.strides)
        found.rows = inner
        found.outer += [Label(pieces, steps)] if pieces > 1 else []


def _positions(labels: str, axes: dict[str, Axis]) -> list[Affine]:
    return [axis_position(axes[label]) if label in axes else make_affine(0, []) for label in labels]


def _stored(x: Node, labels: str, axes: dict[str, Axis]) -> tuple[Node, Affine]:
    """Return the node in memory behind views of `x`, and where its elements are by label."""
    positions = _positions(labels, axes)
    while (index_map := stage.view_map(x)) is not None:
        positions = map_positions(index_map, positions)
        x = x.inputs[0]
    return x, linear_offset(x.tensor_type.shape, positions)


def _merge(labels: Sequence[Label]) -> list[Label]:
    """Return labels with those made one whose strides nest, in whatever order they come."""
    for outer, inner in itertools.permutations(labels, 2):
        both = outer.merged(inner)
        if both is not None:
            return _merge([both if x is outer else x for x in labels if x is not inner])
    return list(labels)


def _main(labels: Sequence[Label]) -> Label:
    """Return the label for the matrix product: the nearest in memory of those that are long."""
    if not labels:
        return _ONE
    long = [x for x in labels if not isinstance(x.size, int) or x.size >= LONG]
    if not long:
        return max(labels, key=lambda x: int(x.size))
    return min(long, key=lambda x: max(y if isinstance(y, int) else FAR for y in x.strides))


# --- code ----------------------------------------------------------------------------------------

Body = Callable[[list[str], list[str]], None]
"""What a nest of loops does, given its pointers and its counters."""


def products_of(found: Plan, dtype: DType) -> Products:
    """Return the module whose products a plan is made of."""
    several = all(_is_several(label.size) for label in (found.rows, found.columns))
    return Products(arithmetic(dtype), may_be_vectors=not (several or found.packed))


def _is_several(size: Dim) -> bool:
    bound = D.lower_bound(size)
    return bound is not None and bound > 1


def emit_contraction(
    found: Plan, dtype: DType, name: str
) -> tuple[str, tuple[Dim, ...], Share | None]:
    """Return a function ``i32 @name(ptr a, ptr b, ptr c, [ptr d,] ptr scratch, sizes...)``, its sizes,
    and how threads share its outermost loop; a single product is shared out by itself."""
    return _Contraction(found, dtype).run(name)


class _Contraction:
    def __init__(self, found: Plan, dtype: DType) -> None:
        self.plan = found
        self.itemsize = dtype.itemsize
        shared, alone, *_ = products_of(found, dtype).entries
        self.entry = alone if self._is_small() else shared
        self.element = memory_type(dtype)
        self.sizes: dict[Dim, str] = {}

    def run(self, name: str) -> tuple[str, tuple[Dim, ...], Share | None]:
        names = "abcd" if self.plan.adds else "abc"
        pointers = [("ptr", x) for x in (*names, "memory")]
        self._number_sizes()
        parameters = [*pointers, *(("i64", x[1:]) for x in self.sizes.values())]
        share = self._share()
        if share is not None:
            parameters += [("i64", x) for x in ("first", "last", "number")]
        f = FunctionText(name, parameters, "i32", linkage="")
        number = "0" if share is None else "%number"
        f.do(f"%scratch = call ptr @{SCRATCH}(ptr %memory, i64 {number})")
        start = [
            f.at(self.element, f"%{x}", self.size(offset))
            for x, offset in zip(names, self.plan.offsets, strict=False)
        ]
        start += [] if self.plan.adds else ["null"]
        product = partial(self._product, f)
        if self.plan.sums_first:
            self._sum(f, start, lambda at, **how: self._pieces(f, at, partial(product, **how)))
        else:
            self._pieces(f, start, lambda at: self._sum(f, at, product))
        f.do("ret i32 0")
        return f.text(), tuple(self.sizes), share

    def _is_small(self) -> bool:
        """Return True for products in a loop, each too small to share."""
        plan = self.plan
        work = D.product((plan.rows.size, plan.columns.size, plan.inner.size, plan.rounds.size))
        small = isinstance(work, int) and work * self._picoseconds() < WORTH
        return small and bool(plan.outer or plan.summed)

    def _picoseconds(self) -> int:
        """Return about what a multiply-add takes: those with a vector wait for memory."""
        by_vector = any(D.same(x.size, 1) for x in (self.plan.rows, self.plan.columns))
        return (BYTE if by_vector else PICOSECONDS) * self.itemsize

    def _share(self) -> Share | None:
        plan = self.plan
        if not plan.outer:
            return None
        shared = plan.shared
        inside = (plan.rows, plan.columns, plan.inner, plan.rounds)
        rest = (*inside, *plan.outer[len(shared) :], *plan.summed)
        cost = D.product(label.size for label in rest) * self._picoseconds()
        return Share(D.product(label.size for label in shared), cost, 1)

    def _pieces(
        self, f: FunctionText, start: Sequence[str], body: Callable[[Sequence[str]], None]
    ) -> None:
        """Emit the loops around the product but for those whose rounds add up."""
        if self.plan.outer:
            f.loop("%first", "%last", 1, lambda i, _: self._piece(f, i, start, body))
        else:
            body(start)

    def _piece(
        self, f: FunctionText, i: str, start: Sequence[str], body: Callable[[Sequence[str]], None]
    ) -> None:
        """Emit one round of the loops that threads share as one, and what is inside."""
        shared = self.plan.shared
        at, rest = list(start), i
        for label in reversed(shared[1:]):
            size = self.size(label.size)
            at = self._moved(f, at, label, f.op(f"urem i64 {rest}, {size}"))
            rest = f.op(f"udiv i64 {rest}, {size}")
        at = self._moved(f, at, shared[0], rest)
        self._nest(f, self.plan.outer[len(shared) :], at, lambda at, _: body(at))

    def _moved(self, f: FunctionText, at: Sequence[str], label: Label, i: str) -> list[str]:
        return [
            f.at(self.element, pointer, f.mul(i, self.size(stride)))
            for pointer, stride in zip(at, label.strides, strict=True)
        ]

    def size(self, dim: Dim) -> V:
        """Return the literal or the parameter for a dim."""
        return dim if isinstance(dim, int) else self.sizes[dim]

    def _number_sizes(self) -> None:
        plan = self.plan
        inside = (plan.rows, plan.columns, plan.inner, plan.rounds)
        for label in (*inside, *plan.outer, *plan.summed):
            for dim in (label.size, *label.strides):
                self._number(dim)
        for dim in plan.offsets:
            self._number(dim)

    def _number(self, dim: Dim) -> None:
        if not isinstance(dim, int):
            self.sizes.setdefault(dim, f"%s{len(self.sizes)}")

    def _nest(
        self,
        f: FunctionText,
        labels: Sequence[Label],
        at: list[str],
        body: Body,
        counters: tuple[str, ...] = (),
    ) -> None:
        """Emit loops over `labels` with the three pointers moving along."""
        if not labels:
            body(at, list(counters))
            return
        label, *rest = labels

        def one(i: str, _: list[str]) -> None:
            self._nest(f, rest, self._moved(f, at, label, i), body, (*counters, i))

        f.loop(0, self.size(label.size), 1, one)

    def _sum(self, f: FunctionText, at: Sequence[str], product: Callable[..., None]) -> None:
        """Emit `product`; where several rounds add up, the later ones add to the result."""
        plan = self.plan
        if not plan.summed:
            product(at)
            return
        unsure = [x.size for x in plan.summed if not isinstance(x.size, int) or x.size == 0]
        for size in unsure:
            none = f.compare("eq", self.size(size), 0)
            f.branch(none, lambda: product(at, depth=0))

        def add(inside: list[str], counters: list[str]) -> None:
            later = [f.compare("ne", i, 0) for i in counters]
            product(inside, later=reduce(f.either, later))

        self._nest(f, plan.summed, list(at), add)

    def _product(
        self, f: FunctionText, at: Sequence[str], later: str = "", depth: V | None = None
    ) -> None:
        plan = self.plan
        k = self.size(plan.inner.size) if depth is None else depth
        (am, _, cm, dm), (_, bn, cn, dn) = plan.rows.strides, plan.columns.strides
        (ak, bk, *_), (ar, br, *_) = plan.inner.strides, plan.rounds.strides
        a, b, c, d = at
        numbers = [self.size(plan.rows.size), self.size(plan.columns.size), k]
        bp = k if plan.packed else 0
        numbers += [*map(self.size, (plan.rounds.size, am, ak, ar, bk, bn, br)), bp]
        numbers += map(self.size, (cm, cn))
        down, across = self.size(dm), self.size(dn)
        if later:
            d = f.select(later, "ptr", c, d)
            down = f.select(later, "i64", self.size(cm), down)
            across = f.select(later, "i64", self.size(cn), across)
        f.do(f"call void @{self.entry}(ptr {a}, ptr {b}, ptr {c}, "
             f"{', '.join(f'i64 {x}' for x in numbers)}, ptr {d}, i64 {down}, i64 {across}, "
             "ptr %scratch)")  # fmt: skip
