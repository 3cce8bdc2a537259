"""Kernels in the making: which nodes each computes and where, which of them it stores, and who shares one.

A kernel is a *group* of roots, the nodes that it stores, which share its loops. `symtensor.codegen.fusion`
decides what becomes a root; groups are united here, where the loops of one can compute the other as well.
No union may make a cycle: a kernel runs after all that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from symtensor.codegen import stage
from symtensor.codegen.domains import Domain, loops_over, with_ones, without_ones
from symtensor.codegen.precedence import Precedence, Reader
from symtensor.codegen.reuse import RELOAD, STORE
from symtensor.codegen.root_kernels import is_whole, loop_type
from symtensor.codegen.schedule import Decision
from symtensor.codegen.uses import Use, operand_uses, own_use
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.families import View

MAX_COST = 400
"""Instructions per vector above which a kernel is not grown: code size, registers, compile time."""


class Groups:
    """The groups of one graph; they grow while the sweep of fusion goes from the outputs backwards."""

    def __init__(
        self,
        nodes: Sequence[Node],
        users: Mapping[Node, Sequence[Node]],
        costs: Mapping[Node, stage.Cost | None],
        joins: Collection[Node],
        is_nested: Callable[[Node], bool],
    ) -> None:
        self.nodes = nodes
        """All, producers first."""
        self.rank = {node: i for i, node in enumerate(nodes)}
        self.users = users
        self.costs = costs
        """What an elementwise op alone takes."""
        self.loops_over = loops_over(joins)
        self.is_nested = is_nested
        """Tells of an assembly whether it is a piece of another."""
        self.kernels: dict[Node, frozenset[Node]] = {}
        """Node -> the roots in whose kernels it is computed; a root's own set is itself."""
        self.uses: dict[Node, list[Use]] = {}
        self.reads: dict[Node, list[Use]] = {}
        """Root -> the positions at which other kernels load it."""
        self.group: dict[Node, list[Node]] = {}
        """Root -> all roots of its kernel (one shared list)."""
        self.weight: dict[int, int] = {}
        """Identity of a group -> instructions per vector of its kernel."""
        self.axes: dict[Shape, Domain] = {}
        """Shape -> the loops over it, and where they stand."""
        self.columns: dict[int, list[Node]] = {}
        """Identity of a group -> those of its roots that fold over the rows of the others."""
        self.precedence = Precedence()
        """Which kernels wait for which, and for what runs between them."""
        self.remarks: list[Decision] = []

    def cost(self, node: Node) -> int:
        """Return the instructions per vector of a node alone."""
        found = self.costs[node]
        return (found.instructions if found is not None else 0) or 1

    def read_by(self, node: Node) -> tuple[list[Use], frozenset[Node]]:
        """Return the positions at which kernels read `node`, and the roots of those kernels."""
        uses: dict[Use, None] = {}
        roots: set[Node] = set()
        for user in self.users[node]:
            if user not in self.kernels:
                continue
            roots |= self.kernels[user]
            for use in self.uses[user]:
                uses |= dict.fromkeys(operand_uses(user, node, use, self.loops))
        return list(uses), frozenset(roots)

    def row_of(self, node: Node, group: list[Node]) -> Use | None:
        """Return where a kernel computes a node once for each of its rows, None where it does not."""
        whole, shape = loop_type(group[0], self.is_nested), node.tensor_type.shape
        if whole is None or any(map(stage.has_own_kernel, group)):
            return None
        axes, positions = self.loops(whole)
        row = Use(tuple(positions[: len(shape)]), tuple(axes), tuple(axes))
        is_row = 0 < len(row.axes) < len(axes) and D.same_shape(shape, whole.shape[: len(shape)])
        fits = self.weight[id(group)] + self.cost(node) <= MAX_COST
        return row if is_row and fits and self._is_read_there(node, row) else None

    def _is_read_there(self, node: Node, row: Use) -> bool:
        """Return True when kernels of these loops read a node at their rows, and nowhere else."""
        found = {use.positions for use in self.reads[node] if use.kernel == row.kernel}
        return found == {row.positions}

    def inline(self, node: Node, uses: list[Use], roots: frozenset[Node]) -> None:
        """Compute a node where the kernels of some roots use it."""
        self.kernels[node] = roots
        self.uses[node] = uses
        for group in {id(self.group[r]) for r in roots}:
            self.weight[group] += self.cost(node) * len(uses)
        if not stage.is_scalar_source(node):
            how = "read through" if isinstance(node.op.family, View) else "fused"
            into = tuple(sorted(roots, key=self.rank.__getitem__))
            self.remarks.append(Decision(how, node, into))

    def grows_too_large(self, node: Node, count: int, roots: Iterable[Node]) -> bool:
        """Return True where a kernel of some roots would, computing a node at `count` positions."""
        added = self.cost(node) * count
        return any(self.weight[id(self.group[r])] + added > MAX_COST for r in roots)

    def may_store_row(self, node: Node, group: list[Node]) -> bool:
        """Return True where nothing that runs before a kernel reads a node."""
        return self.precedence.may_store(group[0], self.readers(node))

    def store_row(self, node: Node, reason: str, row: Use, group: list[Node]) -> None:
        """Have a kernel store what it computes for its rows."""
        self.precedence.store(node, group[0], self.readers(node))
        self.kernels[node] = frozenset({node})
        self.uses[node] = [row]
        self.group[node] = group
        self.weight[id(group)] += self.cost(node)
        group.append(node)
        self.remarks.append(Decision("fused", node, (group[0],)))
        if reason:
            why = f"{reason}; the kernel that computes it for its rows stores it"
            self.remarks.append(Decision("stored", node, why=why))

    def store(self, node: Node, reason: str) -> None:
        """Give a node a buffer and a kernel of its own; a reason is a remark."""
        self.add_step(node)
        self.kernels[node] = frozenset({node})
        self.uses[node] = [own_use(node.tensor_type, self.loops)]
        self.group[node] = [node]
        self.weight[id(self.group[node])] = self.cost(node)
        if reason:
            self.remarks.append(Decision("stored", node, why=reason))

    def add_step(self, node: Node) -> None:
        """Note that a node has a step of its own, and which steps read it."""
        self.precedence.add(node, self.readers(node))

    def readers(self, node: Node) -> list[Reader]:
        """Return the steps that read a node in memory, as it is or through views and reshapes."""
        found: dict[Reader, None] = {}
        pending = [(node, False)]
        while pending:
            shown, reshapes = pending.pop()
            for user in self.users[shown]:
                is_computed = user in self.kernels
                if is_computed and (user in self.group or not isinstance(user.op.family, View)):
                    steps: Iterable[Node] = self.kernels[user]
                elif user in self.precedence.number:
                    steps = (user,)
                else:  # read through, by kernels as other places, by others in memory
                    steps = ()
                    pending.append((user, reshapes or not is_computed))
                found |= dict.fromkeys(Reader(root, reshapes) for root in steps)
        return list(found)

    def members(self) -> Iterator[tuple[list[Node], frozenset[Node]]]:
        """Yield each group with all that its kernel computes."""
        inside: dict[int, set[Node]] = {id(group): set(group) for group in self.group.values()}
        for node, homes in self.kernels.items():
            for root in homes:
                inside[id(self.group[root])].add(node)
        for group in {id(g): g for g in self.group.values()}.values():
            yield group, frozenset(inside[id(group)])

    def loops(self, type_: TensorType) -> Domain:
        """Return the loops over a type: the same for all of its shape, but for axes of one element."""
        shape, plain = type_.shape, without_ones(type_.shape)
        if shape not in self.axes:
            if plain == shape:
                self.axes[shape] = self.loops_over(type_)
            else:
                axes, positions = self.loops(type_.with_shape(plain))
                self.axes[shape] = axes, with_ones(positions, shape)
        return self.axes[shape]

    def unite(self, roots: Iterable[Node]) -> bool:
        """Put roots of one shape into one kernel when no cycle arises; True when all are in one."""
        first, *rest = sorted(roots, key=lambda root: self.rank[root])
        for other in rest:
            a, b = self.group[first], self.group[other]
            if a is b:
                continue
            if not self._one_loop(a[0], b[0]) or self._reads_assembly(a + b):
                return False
            rows = [x for x in a + b if self.is_row(x)]
            if not all(self._is_read_there(x, self.uses[x][0]) for x in rows):
                return False
            if not all(self._is_read_in_place(x) for x in a + b if x not in rows):
                return False
            if self.weight[id(a)] + self.weight[id(b)] > MAX_COST:
                return False
            if not self.precedence.may_unite(a[0], b[0]):
                return False
            self.precedence.unite(a[0], b)
            a += b
            self.weight[id(a)] += self.weight[id(b)]
            for root in b:
                self.group[root] = a
        return True

    def is_row(self, root: Node) -> bool:
        """Return True for a result of the rows of a kernel."""
        whole = loop_type(self.group[root][0], self.is_nested)
        if whole is None or stage.has_own_kernel(root):
            return False
        return not is_whole(root, whole)

    def _loop_shape(self, root: Node) -> Shape | None:
        """Return the shape that a root's loops go over, but for axes of one element."""
        type_ = loop_type(root, self.is_nested)
        if type_ is None:
            return None
        return type_.shape if stage.has_own_kernel(root) else without_ones(type_.shape)

    def _one_loop(self, first: Node, second: Node) -> bool:
        a, b = self._loop_shape(first), self._loop_shape(second)
        return a is not None and b is not None and D.same_shape(a, b)

    def _reads_assembly(self, members: list[Node]) -> bool:
        """Return True when a kernel would read what it puts together."""
        inside = set(members)
        made = [root for root in members if stage.has_own_kernel(root)]
        return any(
            self._computes_inside(user, inside) for root in made for user in self.users[root]
        )

    def _computes_inside(self, node: Node, inside: set[Node]) -> bool:
        homes = self.kernels.get(node)
        return homes is not None and not homes.isdisjoint(inside)

    def merge_siblings(self) -> None:
        """Let roots of one shape share a kernel when they read the same buffer."""
        by_shape: dict[Shape, list[Node]] = {}
        for node in self.nodes:
            is_whole = node in self.group and not self.is_row(node)
            if is_whole and (shape := self._loop_shape(node)) is not None:
                by_shape.setdefault(shape, []).append(node)
        loads = self.loads()
        for roots in by_shape.values():
            for i, root in enumerate(roots):
                for other in roots[max(0, i - 8) : i]:
                    shared = loads[root] & loads[other]
                    if shared and self._can_join(root, other, loads):
                        self.unite([other, root])

    def _can_join(self, root: Node, other: Node, loads: dict[Node, set[Node]]) -> bool:
        """A kernel may take in a producer only where it reads its own element, or folds its own row."""
        if self.group[root] is self.group[other]:
            return False
        members = set(self.group[root])
        whole = [m for m in self.group[other] if not self.is_row(m)]
        produced = [m for m in whole if any(m in loads[r] for r in members)]
        if any(map(stage.has_own_kernel, produced)):
            return False
        return all(self._is_read_in_place(m, self._is_kept(m)) for m in produced)

    def _is_read_in_place(self, node: Node, rows: bool = True) -> bool:
        """Return True where kernels of a root's loops read their own element of it, or fold their row."""
        here = own_use(node.tensor_type, self.loops)
        uses = [use for use in self.reads[node] if use.kernel == here.kernel]
        return all(
            use.positions == here.positions or (rows and use.is_row_of(here)) for use in uses
        )

    def _is_kept(self, root: Node) -> bool:
        """Return True for what is worth storing early, where folds of a row read it and what comes after."""
        return self._time_of(root) > STORE + RELOAD

    def _time_of(self, root: Node) -> int:
        """Return how long a kernel takes for an element, from what it has for the row and what is stored."""
        total, pending, seen = 0, [root], {root}
        while pending:
            node = pending.pop()
            if D.same(node.tensor_type.size, root.tensor_type.size):
                found = self.costs[node]
                total += found.time if found is not None else 0
                new = {x for x in node.inputs if x in self.kernels and x not in self.group} - seen
                pending += new
                seen |= new
        return total

    def loads(self) -> dict[Node, set[Node]]:
        """Return for each root the stored nodes of full size that its kernel reads."""
        out: dict[Node, set[Node]] = {root: set() for root in self.group}
        for node in self.nodes:
            for x in node.inputs if node in self.kernels else ():
                stored = x in self.group or x not in self.kernels
                if stored and not stage.is_scalar_source(x) and x.tensor_type.ndim:
                    for root in self.kernels[node]:
                        out[root].add(x)
                        if x in out:
                            out[x].add(x)
        return out
