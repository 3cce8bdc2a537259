"""Folds of rows, of columns and of all that join a kernel which goes over the same elements: one sweep.

    b = sum(x, axis=0)                       one kernel: for each row: r[i] <- ...; b[:] (+)= x[i, :]
    r = sum(x, axis=1)

In: groups of roots, as fusion leaves them. A group of folds over the first axes, the last, or all, of what
another one stores, or reads whole, joins that one where its columns are few enough for a row of
accumulators in the nearest caches, and where loops along rows fill lanes. What was stored only for the one
to read from the other is stored no longer. Gradients of scales, shifts and biases are folds of columns, a
loss is one of all.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple

from symtensor.codegen import stage
from symtensor.codegen.domains import without_ones
from symtensor.codegen.groups import MAX_COST, Groups
from symtensor.codegen.kernel import Axis
from symtensor.codegen.schedule import Decision
from symtensor.codegen.target import Target
from symtensor.codegen.uses import Use
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.families import View

MOST = 8192
"""Columns that fold at most: their accumulators are read and written once in every row."""
FEW = 4
"""Vectors of a row below which they must be whole ones, where else loops would run along several rows."""
ROWS = 32
"""Rows whose columns are worth folding, at least."""
COMBINERS = frozenset({"sum", "prod", "max", "min", "any", "all"})
"""What folds over columns may be: others need to know where an element stands."""


def share_sweeps(groups: Groups, required: Container[Node], target: Target) -> None:
    """Have kernels fold what they go over anyway; changes `groups`. `required` has what must be stored."""
    _Sharing(groups, required, target).run()


class _Folding(NamedTuple):
    """What a group of folds goes over."""

    whole: TensorType
    axes: tuple[int, ...]
    """The axes that it folds: the first ones, the last, or all."""

    @property
    def of(self) -> str:
        """What each result is a fold of: ``rows``, ``columns`` or ``all``."""
        if self.axes[0] > 0:
            return "rows"
        return "all" if len(self.axes) == self.whole.ndim else "columns"

    @property
    def rows(self) -> Shape:
        """The extents of the first axes: those that are folded, or those that are not."""
        return self.whole.shape[: self.axes[0] if self.of == "rows" else len(self.axes)]

    @property
    def columns(self) -> Shape:
        """The extents of the last axes."""
        return self.whole.shape[len(self.rows) :]


class _Sharing:
    def __init__(self, groups: Groups, required: Container[Node], target: Target) -> None:
        self.groups = groups
        self.required = required
        self.target = target
        self.all: list[list[Node]] = []
        """The groups; those that have joined another are empty."""
        self.inside: dict[int, frozenset[Node]] = {}
        """Identity of a group -> what its kernel computes."""
        loads = groups.loads()
        self.loads: dict[int, set[Node]] = {}
        """Identity of a group -> what its kernel reads."""
        self.touching: dict[Node, list[list[Node]]] = {}
        """Stored node -> the groups that read or store it."""
        for group, inlined in groups.members():
            self.all.append(group)
            self.inside[id(group)] = inlined
            self.loads[id(group)] = set().union(*(loads[root] for root in group))
            for node in self.loads[id(group)].union(group):
                self.touching.setdefault(node, []).append(group)

    def run(self) -> None:
        """Let folds of rows choose a kernel, then those of columns and of all, which may read them; and then
        rows whose kernel only columns have made one of rows."""
        foldings = [(group, self._folding_of(group)) for group in self.all]
        for kind in ("rows", "columns", "all", "rows"):
            for group, folding in foldings:
                is_open = group and id(group) not in self.groups.columns
                if is_open and folding is not None and folding.of == kind:
                    host = self._host_of(group, folding)
                    if host is not None:
                        self._join(host, group, folding)

    # --- groups of folds ----------------------------------------------------------------------------

    def _folding_of(self, group: list[Node]) -> _Folding | None:
        """Return what a group of nothing but folds over rows, or over columns, goes over; None for others."""
        inside = self.inside[id(group)]
        folds = stage.outer_folds(group, inside.__contains__)
        if not folds:
            return None
        if any(stage.has_own_kernel(x) or stage.checks_indices(x) for x in inside):
            return None
        found = _Folding(folds[0].inputs[0].tensor_type, tuple(folds[0].attrs["axes"]))
        if not all(_folds_alike(x, found) and self._covers(x, group) for x in folds):
            return None
        if found.axes == tuple(range(len(found.axes))):
            return found if self._folds_columns(group, folds, found) else None
        is_over_rows = found.axes == tuple(range(found.axes[0], found.whole.ndim))
        shapes = [x.tensor_type.shape for x in group]
        alike = is_over_rows and all(D.same_shape(shape, found.rows) for shape in shapes)
        return found if alike else None

    def _folds_columns(self, group: list[Node], folds: Sequence[Node], folding: _Folding) -> bool:
        """Return True for folds of which none needs another, with enough rows for not too many columns."""
        inside = self.inside[id(group)]
        if any(
            stage.is_reduction(x) and (x not in folds or _reads_folds(x, inside)) for x in inside
        ):
            return False
        if not all(x.op.family.combiner in COMBINERS for x in folds):
            return False
        columns = without_ones(folding.columns)
        if any(without_ones(x.tensor_type.shape) != columns for x in group):
            return False
        rows, count = D.product(folding.rows), D.product(columns)
        enough = not isinstance(rows, int) or rows >= ROWS
        few = folding.of == "all" or (isinstance(count, int) and 1 < count <= MOST)
        return enough and few

    def _covers(self, fold: Node, group: list[Node]) -> bool:
        """Return True for a fold that is computed where the loops of a group are, and nowhere else."""
        uses = [use for use in self.groups.uses[fold] if use.kernel == self._loops_of(group)]
        return all(use.covers(fold) for use in uses)

    def _loops_of(self, group: list[Node]) -> tuple[Axis, ...]:
        return self.groups.uses[group[0]][0].kernel

    # --- who takes them -----------------------------------------------------------------------------

    def _host_of(self, group: list[Node], folding: _Folding) -> list[Node] | None:
        """Return a group whose kernel reads all that is folded: one that stores it, if there is one."""
        read = self.loads[id(group)]
        whole = [x for x in read if D.same(x.tensor_type.size, folding.whole.size)]
        near = {id(x): x for node in whole for x in self.touching[node] if x}
        able = [x for x in near.values() if x is not group and self._may_take(x, group, folding)]
        return min(able, key=lambda x: (read.isdisjoint(x), self.groups.rank[x[0]]), default=None)

    def _may_take(self, host: list[Node], group: list[Node], folding: _Folding) -> bool:
        return (
            self._goes_over(host, folding)
            and self._reads_in_place(host, group, folding)
            and self._is_read_in_place(host, group, folding)
            and self.groups.weight[id(host)] + self.groups.weight[id(group)] <= MAX_COST
            and self.groups.precedence.may_unite(host[0], group[0])
        )

    def _goes_over(self, host: list[Node], folding: _Folding) -> bool:
        """Return True for a kernel with loops over what is folded that fill lanes along its rows."""
        inside, columns = self.inside[id(host)], self.groups.columns.get(id(host), ())
        if any(stage.has_own_kernel(x) or _turns(x) for x in inside):
            return False
        shapes = [root.tensor_type.shape for root in host if root not in columns]
        whole = folding.whole.shape
        if not all(shape and D.same_shape(shape, whole[: len(shape)]) for shape in shapes):
            return False
        if columns:
            return self._folds_the_same(host, folding)
        has_folds = any(map(stage.is_reduction, inside))
        if not any(len(shape) == len(whole) for shape in shapes):
            return has_folds and folding.of == "columns"
        return has_folds or folding.of == "all" or self._fills_lanes(folding)

    def _folds_the_same(self, host: list[Node], folding: _Folding) -> bool:
        """Return True for a kernel that folds the columns which a group folds, or goes over its rows."""
        fold = self._column_folds(host)[0]
        alike = D.same_shape(fold.inputs[0].tensor_type.shape, folding.whole.shape)
        return alike and (folding.of == "rows" or _folds_alike(fold, folding))

    def _column_folds(self, host: list[Node]) -> list[Node]:
        inside = self.inside[id(host)]
        return stage.outer_folds(self.groups.columns.get(id(host), ()), inside.__contains__)

    def _fills_lanes(self, folding: _Folding) -> bool:
        """Return True for rows of whole vectors, or of so many that the rest is little."""
        lanes = self.target.lanes(max(folding.whole.dtype.bits, 32))
        count = D.product(folding.columns)
        spare = D.lower_bound(count - FEW * lanes)
        return (isinstance(count, int) and count % lanes == 0) or (spare is not None and spare >= 0)

    def _reads_in_place(self, host: list[Node], group: list[Node], folding: _Folding) -> bool:
        """Return True where folds read each result of a kernel once, in order, or one of a row along it."""
        loops = self._loops_of(group)
        read = [x for x in host if x in self.loads[id(group)]]
        uses = [use for x in read for use in self.groups.reads[x] if use.kernel == loops]
        return all(_is_in_order(use, folding) for use in uses)

    def _is_read_in_place(self, host: list[Node], group: list[Node], folding: _Folding) -> bool:
        """Return True where a kernel reads nothing that is folded, or only of its rows, in each its own."""
        if not any(self._reads(host, root) for root in group):
            return True
        if folding.of != "rows":
            return False
        columns, ours = self.groups.columns.get(id(host), ()), self._loops_of(group)
        theirs = {self._loops_of([root]) for root in columns}
        uses = [use for root in group for use in self.groups.reads[root]]
        return ours not in theirs and all(_is_of_row(use, use.kernel in theirs) for use in uses)

    def _reads(self, host: list[Node], root: Node) -> bool:
        """Return True where a kernel reads a node, as it is or through views."""
        inside = self.inside[id(host)]
        pending = [root]
        while pending:
            for user in self.groups.users[pending.pop()]:
                if user in inside:
                    return True
                if isinstance(user.op.family, View):
                    pending.append(user)
        return False

    # --- joining ------------------------------------------------------------------------------------

    def _join(self, host: list[Node], group: list[Node], folding: _Folding) -> None:
        """Have the kernel of one group compute another's roots too."""
        groups = self.groups
        self.groups.precedence.unite(host[0], group)
        self.inside[id(host)] |= self.inside[id(group)]
        self.loads[id(host)] |= self.loads[id(group)]
        for node in self.loads[id(group)].union(group):
            self.touching[node].append(host)
        groups.weight[id(host)] += groups.weight[id(group)]
        columns = groups.columns.get(id(host), [])
        if folding.of != "rows":
            groups.columns[id(host)] = columns = [*columns, *group]
        for root in group:
            groups.group[root] = host
        host[:] = [x for x in (*host, *group) if x not in columns] + columns
        joined, group[:] = list(group), []
        for root in [x for x in host if self._is_needless(x, host, folding)]:
            self._drop(root, host)
        why = f"one sweep folds {folding.of} on its way"
        groups.remarks += [
            Decision("fused", root, (host[0],), why)
            for root in joined
            if root in host and root is not host[0]
        ]

    def _is_needless(self, root: Node, host: list[Node], folding: _Folding) -> bool:
        """Return True for a root that only its own kernel reads, and computes once."""
        groups = self.groups
        if root in self.required or root in groups.columns.get(id(host), ()):
            return False
        if root.tensor_type.ndim == folding.whole.ndim and self._is_folded_first(root, host):
            return False
        readers = [groups.kernels.get(user, frozenset()) for user in groups.users[root]]
        return all(homes and homes <= set(host) for homes in readers)

    def _is_folded_first(self, root: Node, host: list[Node]) -> bool:
        """Return True for what folds of rows read: the loops after these read back what is stored."""
        inside, columns = self.inside[id(host)], self._column_folds(host)
        pending, seen = [root], {root}
        while pending:
            node = pending.pop()
            if stage.is_reduction(node) and node not in columns:
                return True
            new = [x for x in self.groups.users[node] if x in inside and x not in seen]
            seen.update(new)
            pending += new
        return False

    def _drop(self, root: Node, host: list[Node]) -> None:
        """Compute a root where its kernel reads it, and store it no longer."""
        groups = self.groups
        host.remove(root)
        del groups.group[root]
        readers = frozenset().union(*(groups.kernels[user] for user in groups.users[root]))
        for node in self.inside[id(host)]:
            if root in groups.kernels[node]:
                groups.kernels[node] = (groups.kernels[node] | readers) - {root}
        groups.remarks[:] = [
            replace(x, into=_replaced(x.into, root, host[0])) if root in x.into else x
            for x in groups.remarks
            if x.node is not root
        ]
        groups.remarks.append(Decision("fused", root, (host[0],)))


def _folds_alike(fold: Node, folding: _Folding) -> bool:
    same = D.same_shape(fold.inputs[0].tensor_type.shape, folding.whole.shape)
    return same and tuple(fold.attrs["axes"]) == folding.axes


def _reads_folds(fold: Node, inside: frozenset[Node]) -> bool:
    """Return True for a reduction of what its kernel computes of others: these are folded before it."""
    needed = [x for x in fold.inputs if x in inside]
    return bool(stage.outer_folds(needed, inside.__contains__))


def _is_in_order(use: Use, folding: _Folding) -> bool:
    """Return True for a read along all rows or all elements: in the order of the loops and of the folded."""
    axes = use.axes
    ours = [axis for axis in axes if axis in use.kernel]
    if folding.of != "rows":  # of which those of the fold come first
        return (
            use.is_plain
            and axes[len(axes) - len(ours) :] == ours
            and ours in ([], list(use.kernel))
        )
    return use.is_plain and axes[: len(ours)] == ours == list(use.kernel)


def _is_of_row(use: Use, in_columns: bool) -> bool:
    """Return True for a read along rows: the first loops of a kernel, or those that its columns fold."""
    axes = use.axes
    if in_columns:
        return use.is_plain and not any(axis in use.kernel for axis in axes)
    return use.is_plain and axes == list(use.kernel[: len(axes)])


def _turns(node: Node) -> bool:
    """Return True for a view that turns axes."""
    index_map = stage.view_map(node)
    if index_map is None:
        return False
    axes = [axis for axis_map in index_map for axis, _ in axis_map.terms]
    return axes != sorted(axes)


def _replaced(roots: tuple[Node, ...], old: Node, new: Node) -> tuple[Node, ...]:
    """Return the roots of kernels with one of them named by another of its kernel."""
    return tuple(dict.fromkeys(new if root is old else root for root in roots))
