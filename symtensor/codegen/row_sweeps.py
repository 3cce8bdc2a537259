"""Folds over columns that join a kernel which goes over the rows anyway: both in one sweep.

    b = sum(x, axis=0)                       one kernel: for each row: r[i] <- ...; b[:] (+)= x[i, :]
    r = sum(x, axis=1)

In: groups of roots, as fusion leaves them. A group of folds over the first axes of what another one stores,
or reads whole, joins that one where its columns are few enough for a row of accumulators in the nearest
caches, and enough for lanes. What was stored only for the one to read from the other is stored no longer.
The gradients of scales, shifts and biases are such folds.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import NamedTuple

from symtensor.codegen import stage
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
"""Vectors of columns below which they must be whole ones, where else loops would run along several rows."""
ROWS = 32
"""Rows that are worth it, at least."""
COMBINERS = frozenset({"sum", "prod", "max", "min", "any", "all"})


def share_sweeps(groups: Groups, required: Container[Node], target: Target) -> None:
    """Have kernels fold over the columns of what they go over; changes `groups`."""
    _Sharing(groups, required, target).run()


class _Folding(NamedTuple):
    """What a group of folds over columns goes over."""

    whole: TensorType
    folded: int
    """How many of the first axes it folds."""

    @property
    def columns(self) -> Shape:
        """The shape of its results, but for axes of one element."""
        return _without_ones(self.whole.shape[self.folded :])


class _Sharing:
    def __init__(self, groups: Groups, required: Container[Node], target: Target) -> None:
        self.groups = groups
        self.required = required
        self.target = target
        self.inside = {id(group): inlined for group, inlined in groups.members()}
        self.loads = groups.loads()

    def run(self) -> None:
        found = []
        for group, _ in self.groups.members():
            folding = self._folding_of(group)
            if folding is not None:
                found.append((group, folding))
        for group, folding in found:
            host = self._host_of(group, folding)
            if host is not None:
                self._join(host, group)

    # --- folds over columns -------------------------------------------------------------------------

    def _folding_of(self, group: list[Node]) -> _Folding | None:
        """Return what a group of nothing but folds over columns folds, None for other groups."""
        inside = self.inside[id(group)]
        folds = stage.outer_folds(group, inside.__contains__)
        if not folds or any(x not in folds for x in inside if stage.is_reduction(x)):
            return None  # or a fold in what they fold
        if any(stage.has_own_kernel(x) or stage.checks_indices(x) for x in inside):
            return None
        found = _Folding(folds[0].inputs[0].tensor_type, len(folds[0].attrs["axes"]))
        if not all(_is_over_columns(x, found) and self._covers(x, group) for x in folds):
            return None
        if any(_without_ones(x.tensor_type.shape) != found.columns for x in group):
            return None
        return found if _is_worth_it(found) else None

    def _covers(self, fold: Node, group: list[Node]) -> bool:
        """Return True for a fold that is computed where the loops of a group are, and nowhere else."""
        uses = [use for use in self.groups.uses[fold] if use.kernel == self._loops_of(group)]
        return all(use.covers(fold) for use in uses)

    def _loops_of(self, group: list[Node]) -> tuple[Axis, ...]:
        return self.groups.uses[group[0]][0].kernel

    # --- who takes them -----------------------------------------------------------------------------

    def _host_of(self, group: list[Node], folding: _Folding) -> list[Node] | None:
        """Return the group whose kernel is to fold: one that stores what is folded, if there is one."""
        read = self._loads_of(group)
        found: list[Node] | None = None
        for host, _ in self.groups.members():
            if host is not group and self._may_take(host, group, folding):
                if not read.isdisjoint(host):
                    return host
                found = found or host
        return found

    def _loads_of(self, group: list[Node]) -> set[Node]:
        return set().union(*(self.loads[root] for root in group))

    def _may_take(self, host: list[Node], group: list[Node], folding: _Folding) -> bool:
        if id(host) in self.groups.columns and not self._folds_alike(host, folding):
            return False
        return (
            self._goes_over_rows(host, folding)
            and self._shares_whole(host, group, folding)
            and self._reads_in_place(host, group)
            and not any(self._reads(host, root) for root in group)
            and self.groups.weight[id(host)] + self.groups.weight[id(group)] <= MAX_COST
            and not self.groups.makes_cycle(host + group)
        )

    def _folds_alike(self, host: list[Node], folding: _Folding) -> bool:
        inside = self.inside[id(host)]
        (fold, *_) = stage.outer_folds(self.groups.columns[id(host)], inside.__contains__)
        return len(fold.attrs["axes"]) == folding.folded

    def _goes_over_rows(self, host: list[Node], folding: _Folding) -> bool:
        """Return True for a kernel with values for elements of what is folded, or for its first axes."""
        columns = self.groups.columns.get(id(host), ())
        inside = self.inside[id(host)]
        whole, ndim = folding.whole.shape, folding.whole.ndim
        if any(stage.has_own_kernel(x) or _turns(x) for x in inside):
            return False
        for root in host:
            shape = root.tensor_type.shape
            rows = (
                root not in columns and 0 < len(shape) and D.same_shape(shape, whole[: len(shape)])
            )
            if not rows and root not in columns:
                return False
        folds = [x for x in inside if stage.is_reduction(x)]
        if all(root.tensor_type.ndim < ndim for root in host):
            return bool(folds)
        return bool(folds) or self._fills_lanes(folding)

    def _fills_lanes(self, folding: _Folding) -> bool:
        """Return True for columns in whole vectors, or in so many that the rest is little."""
        count = D.product(folding.columns)
        assert isinstance(count, int)
        lanes = self.target.lanes(max(folding.whole.dtype.bits, 32))
        return count % lanes == 0 or count >= FEW * lanes

    def _shares_whole(self, host: list[Node], group: list[Node], folding: _Folding) -> bool:
        """Return True where both read, or one stores and one reads, as many elements as are folded."""
        shared = self._loads_of(group) & (self._loads_of(host) | set(host))
        return any(D.same(x.tensor_type.size, folding.whole.size) for x in shared)

    def _reads_in_place(self, host: list[Node], group: list[Node]) -> bool:
        """Return True where folds read each result of a kernel once, in order, or a row's along it."""
        loops = self._loops_of(group)
        read = [x for x in host if x in self._loads_of(group)]
        uses = [use for x in read for use in self.groups.reads[x] if use.kernel == loops]
        return all(_is_in_order(use) for use in uses)

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

    def _join(self, host: list[Node], group: list[Node]) -> None:
        """Have the kernel of one group compute another's roots too."""
        groups = self.groups
        self.inside[id(host)] |= self.inside.pop(id(group))
        groups.weight[id(host)] += groups.weight[id(group)]
        groups.columns.setdefault(id(host), []).extend(group)
        host += group
        for root in group:
            groups.group[root] = host
        for root in [x for x in host if self._is_needless(x, host)]:
            self._drop(root, host)
        groups.remarks += [
            Decision("fused", root, (host[0],)) for root in group if root is not host[0]
        ]

    def _is_needless(self, root: Node, host: list[Node]) -> bool:
        """Return True for a root that only its own kernel reads, and computes once."""
        columns = self.groups.columns[id(host)]
        if root in self.required or root in columns or self._is_folded_again(root, host):
            return False
        readers = [self.groups.kernels.get(user, frozenset()) for user in self.groups.users[root]]
        return all(homes and homes <= set(host) for homes in readers)

    def _is_folded_again(self, root: Node, host: list[Node]) -> bool:
        """Return True for a result of full size that folds of rows read: what loops after these read back."""
        inside = self.inside[id(host)]
        columns = stage.outer_folds(self.groups.columns[id(host)], inside.__contains__)
        if root.tensor_type.ndim < columns[0].inputs[0].tensor_type.ndim:
            return False
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
            replace(x, into=_replaced(x.into, root, host[0]))
            for x in groups.remarks
            if not (x.node is root and x.kind == "stored")
        ]
        groups.remarks.append(Decision("fused", root, (host[0],)))


def _is_over_columns(fold: Node, folding: _Folding) -> bool:
    same = D.same_shape(fold.inputs[0].tensor_type.shape, folding.whole.shape)
    leading = tuple(fold.attrs["axes"]) == tuple(range(folding.folded))
    return same and leading and fold.op.family.combiner in COMBINERS


def _is_worth_it(folding: _Folding) -> bool:
    """Return True for enough rows, where that is known, and a number of columns that is."""
    rows = D.product(folding.whole.shape[: folding.folded])
    count = D.product(folding.columns)
    enough = not isinstance(rows, int) or rows >= ROWS
    return enough and isinstance(count, int) and 1 < count <= MOST


def _is_in_order(use: Use) -> bool:
    """Return True for a read at whole axes: those of the fold first, then those of the kernel."""
    axes = [axis for at in use.positions for axis, _ in at.terms]
    plain = all(len(at.terms) <= 1 and D.same(at.offset, 0) for at in use.positions)
    ours = [axis for axis in axes if axis in use.kernel]
    return plain and axes[len(axes) - len(ours) :] == ours and ours in ([], list(use.kernel))


def _turns(node: Node) -> bool:
    """Return True for a view that turns axes."""
    index_map = stage.view_map(node)
    if index_map is None:
        return False
    axes = [axis for axis_map in index_map for axis, _ in axis_map.terms]
    return axes != sorted(axes)


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if not D.same(size, 1))


def _replaced(roots: tuple[Node, ...], old: Node, new: Node) -> tuple[Node, ...]:
    """Return the roots of kernels with one of them named by another of its kernel."""
    return tuple(dict.fromkeys(new if root is old else root for root in roots))
