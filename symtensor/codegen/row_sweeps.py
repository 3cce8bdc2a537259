"""Folds of rows, of columns and of all that join a kernel which goes over the same elements: one sweep.

    b = sum(x, axis=0)                       one kernel: for each row: r[i] <- ...; b[:] (+)= x[i, :]
    r = sum(x, axis=1)

In: groups of roots, as fusion leaves them. A group of folds over the first axes, the last, or all, of what
another one stores, or reads whole, joins that one where its columns are few enough for a row of
accumulators in the nearest caches, and where loops along rows fill lanes. So does a group that folds values
of rows. What was stored only for the one to read from the other is stored no longer. Gradients of scales,
shifts and biases are folds of columns, a loss is one of all or of values of rows. Folds that could have
joined leave a remark why they did not.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from symtensor.codegen import stage
from symtensor.codegen.domains import without_ones
from symtensor.codegen.foldings import Folding, folding_of, why_alone
from symtensor.codegen.groups import MAX_COST, Groups
from symtensor.codegen.kernel import Axis
from symtensor.codegen.schedule import Decision
from symtensor.codegen.target import Target
from symtensor.codegen.uses import Use
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ops.families import View

LONG = 512
"""Elements of a row beside which many instructions for all of it are few."""
LIGHT = 10
"""Instructions that are few for each row, whatever it holds."""
FEW = 4
"""Vectors of a row below which they must be whole ones, where else loops would run along several rows."""


def share_sweeps(groups: Groups, required: Container[Node], target: Target) -> None:
    """Have kernels fold what they go over anyway; changes `groups`. `required` has what must be stored."""
    _Sharing(groups, required, target).run()


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
        self.hosts: set[int] = set()
        """Identities of the groups that others have joined."""
        self.swept: dict[int, list[Folding]] = {}
        """Identity of a group -> what its loops over rows fold, of columns and of all."""
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
        found = [(group, folding_of(group, self.inside[id(group)])) for group in self.all]
        foldings = [(group, folding) for group, folding in found if folding is not None]
        foldings = [x for x in foldings if self._is_in_full(*x)]
        for kind in ("rows", "columns", "all", "rows"):
            for group, folding in foldings:
                if group and id(group) not in self.hosts and folding.of == kind:
                    host = self._host_of(group, folding)
                    if host is not None:
                        self._join(host, group, folding)
        for group, folding in foldings:
            if group and id(group) not in self.hosts:
                self._tell_why(group, folding)

    def _is_in_full(self, group: list[Node], folding: Folding) -> bool:
        """Return True for folds that are computed where the loops of a group are, and nowhere else."""
        ours, uses = self._loops_of(group), self.groups.uses
        folds = [x for x in self.inside[id(group)] if stage.is_reduction(x) and folding.is_of(x)]
        return all(use.covers(x) for x in folds for use in uses[x] if use.kernel == ours)

    def _loops_of(self, group: list[Node]) -> tuple[Axis, ...]:
        return self.groups.uses[group[0]][0].kernel

    # --- who takes them -----------------------------------------------------------------------------

    def _host_of(self, group: list[Node], folding: Folding) -> list[Node] | None:
        """Return a group whose kernel reads all that is folded: one that stores it, if there is one."""
        if why_alone(folding, self.inside[id(group)]):
            return None
        return next(
            (x for x in self._near(group, folding) if not self._why_not(x, group, folding)), None
        )

    def _near(self, group: list[Node], folding: Folding) -> list[list[Node]]:
        """Return the groups that read or store what is folded, those first that store it."""
        read, sizes = self.loads[id(group)], [folding.whole.size]
        sizes += [D.product(folding.inner)] if folding.inner else []
        whole = [x for x in read if any(D.same(x.tensor_type.size, size) for size in sizes)]
        near = {id(x): x for node in whole for x in self.touching[node] if x and x is not group}
        return sorted(near.values(), key=lambda x: (read.isdisjoint(x), self.groups.rank[x[0]]))

    def _written_for(self, group: list[Node], folding: Folding) -> list[Node] | None:
        """Return a group that stores what contains the folded, in another shape."""
        read = [x for x in self.loads[id(group)] if x.tensor_type.ndim >= folding.whole.ndim]
        stored = [self.groups.group[x] for x in read if x in self.groups.group]
        others = [x for x in stored if x is not group]
        return min(others, key=lambda x: self.groups.rank[x[0]], default=None)

    def _tell_why(self, group: list[Node], folding: Folding) -> None:
        """Leave a remark why a group has a kernel of its own beside one that reads the same."""
        host = next(iter(self._near(group, folding)), None) or self._written_for(group, folding)
        why = why_alone(folding, self.inside[id(group)])
        if host and (why := why or self._why_not(host, group, folding)):
            self.groups.remarks += [Decision("not fused", root, (host[0],), why) for root in group]

    def _why_not(self, host: list[Node], group: list[Node], folding: Folding) -> str:
        """Return why the kernel of one group can't compute what another one folds, or ""."""
        groups, columns = self.groups, self.groups.columns.get(id(host), [])
        why = self._why_other_loops(host, folding)
        if why := why or self._why_not_row_by_row(host, group, folding):
            return why
        if not self.loads[id(group)].isdisjoint(columns):
            return "it needs what that kernel knows after its last row"
        if not self._reads_in_place(host, group, folding):
            return "it reads results of that kernel in another order"
        if not self._is_read_in_place(host, group, folding):
            return "that kernel needs its result"
        if groups.weight[id(host)] + groups.weight[id(group)] > MAX_COST:
            return "that kernel is large enough"
        if not self.groups.precedence.may_unite(host[0], group[0]):
            return "others run after the one and before the other"
        return ""

    def _why_other_loops(self, host: list[Node], folding: Folding) -> str:
        """Return why the loops of a kernel can't fold something, or ""."""
        inside, columns = self.inside[id(host)], self.groups.columns.get(id(host), ())
        if any(map(stage.has_own_kernel, inside)):
            return "that kernel writes pieces, or what needs the element before"
        if any(map(_turns, inside)):
            return "that kernel turns what it reads"
        if any(map(self._wants_short_loops_inside, inside)):
            return "that kernel takes its few rows inside of its columns"
        if any(stage.folds_columns(root) for root in host if root not in columns):
            return "that kernel folds columns side by side, and would take them one by one"
        swept = self.swept.get(id(host), [])
        whole = self._loop_shape(host, folding)
        roots = [root.tensor_type.shape for root in host if root not in columns]
        begin = all(shape and D.same_shape(shape, whole[: len(shape)]) for shape in roots)
        if not (begin and all(_is_along(x, whole) for x in (*swept, folding))):
            return "that kernel has other loops"
        if folding.of != "rows" and not _is_one_sweep(whole, [*swept, folding]):
            return "that kernel folds other rows"
        if swept:
            return ""
        longest = max(map(len, roots))
        return self._why_not_swept(folding, longest, any(map(stage.is_reduction, inside)))

    def _wants_short_loops_inside(self, node: Node) -> bool:
        """Return True for a fold of a loop over rows that is the same for all of them: it is not computed
        again for each only where that loop is the inner one (`symtensor.codegen.axes`)."""
        uses = self.groups.uses[node] if stage.is_reduction(node) else ()
        return any(set(use.axes) <= set(use.kernel) and not use.is_prefix for use in uses)

    def _loop_shape(self, host: list[Node], *foldings: Folding) -> Shape:
        """Return what the loops of a kernel go over, if they fold something else too."""
        columns = self.groups.columns.get(id(host), ())
        found = [root.tensor_type.shape for root in host if root not in columns]
        found += [x.whole.shape for x in (*self.swept.get(id(host), ()), *foldings)]
        return max(found, key=lambda shape: len(without_ones(shape)))

    def _why_not_swept(self, folding: Folding, longest: int, has_folds: bool) -> str:
        """Return why loops over so many axes, which sweep nothing yet, should not fold something, or ""."""
        if folding.inner or longest > folding.whole.ndim:
            return "" if has_folds else "that kernel folds no rows"
        if longest < folding.whole.ndim:
            return "" if has_folds and folding.of == "columns" else "that kernel has other loops"
        fills = has_folds or folding.of == "all" or self._fills_lanes(folding)
        return "" if fills else "its rows are no whole vectors"

    def _why_not_row_by_row(self, host: list[Node], group: list[Node], folding: Folding) -> str:
        """Return why values of rows should not be computed where a kernel has their row, or "".

        There they are scalars; a kernel of their own takes many rows at a time.
        """
        shape = self._loop_shape(host, folding)
        depth = len(without_ones(folding.whole.shape))
        if depth == len(without_ones(shape)) or self._is_light(group, folding):
            return ""
        length = D.lower_bound(D.product(without_ones(shape)[depth:]))
        is_long = length is not None and length >= LONG
        return "" if is_long else "it takes many instructions for each row"

    def _is_light(self, group: list[Node], folding: Folding) -> bool:
        """Return True where few instructions give a value of a row, folds along the row left out."""
        size = folding.whole.size
        each = [x for x in self.inside[id(group)] if D.same(x.tensor_type.size, size)]
        return sum(map(self.groups.cost, filter(self.groups.costs.get, each))) <= LIGHT

    def _column_folds(self, host: list[Node]) -> list[Node]:
        inside = self.inside[id(host)]
        return stage.outer_folds(self.groups.columns.get(id(host), ()), inside.__contains__)

    def _fills_lanes(self, folding: Folding) -> bool:
        """Return True for rows of whole vectors, or of so many that the rest is little."""
        lanes = self.target.lanes(max(folding.whole.dtype.bits, 32))
        count = D.product(folding.columns)
        spare = D.lower_bound(count - FEW * lanes)
        return (isinstance(count, int) and count % lanes == 0) or (spare is not None and spare >= 0)

    def _reads_in_place(self, host: list[Node], group: list[Node], folding: Folding) -> bool:
        """Return True where folds read each result of a kernel once, in order, or one of a row along it."""
        loops = self._loops_of(group)
        read = [x for x in host if x in self.loads[id(group)]]
        uses = [use for x in read for use in self.groups.reads[x] if use.kernel == loops]
        return all(_is_in_order(use, folding) for use in uses)

    def _is_read_in_place(self, host: list[Node], group: list[Node], folding: Folding) -> bool:
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

    def _join(self, host: list[Node], group: list[Node], folding: Folding) -> None:
        """Have the kernel of one group compute another's roots too."""
        groups = self.groups
        self.hosts.add(id(host))
        self.groups.precedence.unite(host[0], group)
        self.inside[id(host)] |= self.inside[id(group)]
        self.loads[id(host)] |= self.loads[id(group)]
        for node in self.loads[id(group)].union(group):
            self.touching[node].append(host)
        groups.weight[id(host)] += groups.weight[id(group)]
        columns = groups.columns.get(id(host), [])
        if folding.of != "rows":
            groups.columns[id(host)] = columns = [*columns, *group]
            self.swept.setdefault(id(host), []).append(folding)
        for root in group:
            groups.group[root] = host
        host[:] = [x for x in (*host, *group) if x not in columns] + columns
        joined, group[:] = list(group), []
        for root in [x for x in host if self._is_needless(x, host)]:
            self._drop(root, host)
        why = f"one sweep folds {folding.of} on its way"
        groups.remarks += [
            Decision("fused", root, (host[0],), why)
            for root in joined
            if root in host and root is not host[0]
        ]

    def _is_needless(self, root: Node, host: list[Node]) -> bool:
        """Return True for a root that only its own kernel reads, and computes once."""
        groups = self.groups
        if root in self.required or root in groups.columns.get(id(host), ()):
            return False
        is_whole = root.tensor_type.ndim == len(self._loop_shape(host))
        if is_whole and self._is_folded_first(root, host):
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


def _is_along(folding: Folding, whole: Shape) -> bool:
    """Return True for folds of what has the shape of some loops, or of values of rows: of the first loops."""
    shape, loops = without_ones(folding.whole.shape), without_ones(whole)
    if folding.of == "all" and 0 < len(shape) < len(loops):
        return D.same_shape(shape, loops[: len(shape)])
    return D.same_shape(folding.whole.shape, whole)


def _is_one_sweep(whole: Shape, foldings: Sequence[Folding]) -> bool:
    """Return True for folds of what loops over a shape know: the same rows of it, and all.

    Without columns there are no rows of accumulators, and all that is folded is known in one loop.
    """
    depth = len(without_ones(whole))
    rows = {x.depth for x in foldings if x.depth < depth}
    of_all = any(x.depth == depth for x in foldings)
    return len(rows) <= 1 and (any(x.of == "columns" for x in foldings) or not (rows and of_all))


def _is_in_order(use: Use, folding: Folding) -> bool:
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
