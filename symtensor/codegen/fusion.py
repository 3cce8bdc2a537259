"""Fusion: which nodes share a kernel, and which get a buffer.

In: a graph. Out: a `Schedule`, an ordered list of kernels and call-outs over materialized nodes.
One sweep from the outputs backwards decides for each node whether it is computed inside its
consumers' kernel or gets a buffer (becomes a *root*). A node gets a buffer when

- something other than a kernel reads it (an output, a call-out, a reshape that no loop can read through);
- several kernels that can't be one read it, and computing it again costs more than storing it, as it does
  not where others than one read few elements;
- it would be computed again and again along a broadcast axis, and it is not cheap;
- it is written piece by piece (joined, padded, scattered), and not as a piece of another such result, or
  is a running sum or product;
- it is a sum that a matrix product computes (`symtensor.codegen.addends`);
- it is a reduction whose result is not constant along the inner loops of its consumer, and these are not
  short ones that may go further inside;
- the kernel would grow beyond `MAX_COST`.

A reduction that a kernel computes for each of its rows, and that others read too, is stored by that
kernel on its way. Roots of one shape that read the same things then share a kernel. Neither may make a
cycle.
Every decision leaves a remark for `explain`.
"""

from __future__ import annotations

from collections.abc import Iterable

from symtensor.codegen import contraction, stage
from symtensor.codegen.addends import sums_of_products
from symtensor.codegen.lower import may_go_inside
from symtensor.codegen.packing import packings
from symtensor.codegen.root_kernels import loop_type
from symtensor.codegen.schedule import (
    SOURCES,
    CallStep,
    ContractStep,
    Decision,
    DrawStep,
    KernelStep,
    LoopStep,
    Schedule,
    Step,
    is_alias,
    ordered,
    storage_node,
)
from symtensor.codegen.target import Target
from symtensor.codegen.uses import Use, operand_uses, own_use
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, results
from symtensor.ir.types import TensorType
from symtensor.ops.families import Assembly, Draw, View

CHEAP = 10
"""Instructions per vector up to which computing twice beats storing and loading."""
MAX_COST = 400
"""Instructions per vector above which a kernel is not grown: code size, registers, compile time."""
MAX_USES = 3
"""Positions at which one kernel computes the same node before it gets a buffer."""


def schedule(graph: Graph, target: Target) -> Schedule:
    """Return the kernels and call-outs that compute the roots of `graph`."""
    return _Fusion(graph, target).run()


class _Fusion:
    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph = graph
        self.target = target
        self.nodes = graph.nodes()
        self.rank = {node: i for i, node in enumerate(self.nodes)}
        self.users = graph.users()
        self.sums = sums_of_products(graph, self.users)
        """Sum -> the matrix product that computes it."""
        self.fusible = {n for n in self.nodes if n not in self.sums and self._is_fusible(n)}
        self.own = {n: stage.elementwise_cost(n, target) for n in self.nodes}
        """Instructions per vector of an elementwise op alone."""
        self.joins = self._joins()
        self.cost = self._costs()
        self.bodies = self._native_bodies()
        self.required = self._required()
        self.nested = self._nested()
        """Assemblies that are pieces of others."""
        self.kernels: dict[Node, frozenset[Node]] = {}
        """Node -> the roots in whose kernels it is computed; a root's own set is itself."""
        self.uses: dict[Node, list[Use]] = {}
        self.reads: dict[Node, list[Use]] = {}
        """Root -> the positions at which other kernels load it."""
        self.group: dict[Node, list[Node]] = {}
        """Root -> all roots of its kernel (one shared list)."""
        self.weight: dict[int, int] = {}
        self.folds = self._computed_by_folding()
        self.loops_over = stage.loops_over(self.joins)
        self.axes: dict[Shape, stage.Domain] = {}
        self.remarks = [Decision("fused", x, (total,)) for total, x in self.sums.items()]

    def run(self) -> Schedule:
        for node in reversed(self.nodes):
            if node in self.fusible and (node in self.required or not stage.is_scalar_source(node)):
                self._decide(node)
            elif node in self.joins:
                self._decide_join(node)
        self._merge_siblings()
        return Schedule(self._ordered_steps(), self.remarks, self.bodies)

    # --- classification -------------------------------------------------------------------------

    def _is_fusible(self, node: Node) -> bool:
        return node.op.name not in ("placeholder", "parameter", "variable") and stage.is_fusible(
            node, self.target
        )

    def _joins(self) -> dict[Node, None]:
        """Return the reshapes that join axes of what a kernel may compute, and that only kernels read."""
        inside: set[Node] = set()
        """Nodes that only kernels read, as they are or through views."""
        found: list[Node] = []
        roots = set(self.graph.roots)
        for node in reversed(self.nodes):
            alone = node not in roots and all(
                user in inside if isinstance(user.op.family, View) else user in self.fusible
                for user in self.users[node]
            )
            is_join = stage.parts_of(node) is not None and node.inputs[0] in self.fusible
            if alone and (is_join or not is_alias(node)):
                inside.add(node)
                found += [node] if is_join else []
        return dict.fromkeys(reversed(found))

    def _computed_by_folding(self) -> set[Node]:
        """Return the reductions, and what a kernel computes of them."""
        found: set[Node] = set()
        for node in self.nodes:
            passes_on = node in self.fusible and not stage.has_own_kernel(node)
            if stage.is_reduction(node) or (passes_on and not found.isdisjoint(node.inputs)):
                found.add(node)
        return found & self.fusible

    def _costs(self) -> dict[Node, int]:
        """Return the instructions per vector to compute each node from stored inputs."""
        cost: dict[Node, int] = {}
        for node in self.nodes:
            own = self.own[node] or (4 if stage.is_gather(node) else 0)
            if node in self.joins:
                cost[node] = cost[node.inputs[0]]
            elif node not in self.fusible or stage.is_reduction(node) or stage.has_own_kernel(node):
                cost[node] = 1
            else:
                cost[node] = min(own + sum(cost[x] for x in node.inputs), 10 * MAX_COST)
        return cost

    def _native_bodies(self) -> dict[Node, Schedule]:
        """Return the schedules of the scans that can run without Python."""
        found = {}
        for node in self.nodes:
            if node.op.name == "scan" and not node.attrs["until"] and _sizes_are_known(node):
                body = schedule(node.attrs["body"], self.target)
                if all(map(_runs_alone, body.steps)):
                    found[node] = body
                    _pack_captured(node, body)
        return found

    def _required(self) -> set[Node]:
        """Return the fusible nodes that need a buffer because no kernel reads them."""
        found = {root for root in self.graph.roots if root in self.fusible}
        for node in self.nodes:
            if node in self.fusible or node in self.joins or node.op is RESULT:
                continue
            for x in node.inputs:
                if node in self.bodies or isinstance(node.op.family, Draw):
                    x = storage_node(x)  # read in memory, in order
                elif not is_alias(node):
                    x = self._behind_views(x)
                if x in self.fusible:
                    found.add(x)
        return {n for n in found if n.op.name != "constant"}

    def _nested(self) -> set[Node]:
        """Return the assemblies that another one alone reads, once: it writes their pieces among its own."""
        found = set()
        for node in self.nodes:
            if node in self.required or not isinstance(node.op.family, Assembly):
                continue
            users = self.users[node]
            if len(users) == 1 and isinstance(users[0].op.family, Assembly):
                if users[0] in self.fusible and users[0].inputs.count(node) == 1:
                    found.add(node)
        return found

    def _behind_views(self, node: Node) -> Node:
        """Return what a call-out must find in memory: NumPy makes views itself."""
        while stage.view_map(node) is not None or is_alias(node):
            node = node.inputs[0]
        return node

    # --- the sweep ------------------------------------------------------------------------------

    def _decide(self, node: Node) -> None:
        uses, roots = self._uses_and_roots(node)
        self.reads[node] = uses
        if node in self.required:
            why = "a product, a call-out, a loop or the caller reads it"
            self._store(node, why if self.users[node] else "", roots)
            return
        if not roots:
            return  # a view that only call-outs read
        reason = self._why_not_inline(node, uses, roots)
        if reason:
            self._store(node, reason, roots)
        else:
            self._inline(node, uses, roots)

    def _decide_join(self, node: Node) -> None:
        """Read a reshape through where all loops run along what it joins, else as memory."""
        uses, roots = self._uses_and_roots(node)
        if not roots:
            return
        if all(stage.viewed_positions(node, use.positions) is not None for use in uses):
            self._inline(node, uses, roots)
        elif node.inputs[0].op.name != "constant":
            self.required.add(node.inputs[0])

    def _uses_and_roots(self, node: Node) -> tuple[list[Use], frozenset[Node]]:
        """Return the positions at which kernels read `node`, and the roots of those kernels."""
        uses: dict[Use, None] = {}
        roots: set[Node] = set()
        for user in self.users[node]:
            if user not in self.kernels:
                continue
            roots |= self.kernels[user]
            for use in self.uses[user]:
                uses |= dict.fromkeys(operand_uses(user, node, use, self._loops))
        return list(uses), frozenset(roots)

    def _why_not_inline(self, node: Node, uses: list[Use], roots: frozenset[Node]) -> str:
        """Return the reason for a buffer, or "" to compute `node` inside its consumers."""
        if stage.view_map(node) is not None:
            return ""  # views compute nothing; what they show decides for itself
        if node in self.nested:
            return ""
        if reason := _why_stored(node, uses):
            return reason
        cheap = self.cost[node] <= CHEAP and not stage.is_reduction(node)
        apart = self._without_seldom(node, uses, roots)
        if len({id(self.group[r]) for r in apart}) > 1 and not cheap and not self._unite(apart):
            return f"{len(apart)} kernels read it"
        if len(uses) > MAX_USES and not cheap:
            return f"read at {len(uses)} different positions"
        if not cheap and not all(use.is_prefix for use in uses):
            if reason := self._why_repeated(node, uses):
                return reason
        own = self.own[node] or 1
        if any(self.weight[id(self.group[r])] + own * len(uses) > MAX_COST for r in roots):
            return "the kernel is large enough"
        return ""

    def _without_seldom(
        self, node: Node, uses: list[Use], roots: frozenset[Node]
    ) -> frozenset[Node]:
        """Return the roots whose kernels do not read so few elements that computing those again is less
        than storing all."""
        if stage.is_reduction(node):
            return roots
        seldom = {use for use in uses if self._is_seldom(node, use)}
        rarely = {use.kernel for use in seldom} - {use.kernel for use in uses if use not in seldom}
        kept = frozenset(r for r in roots if self.uses[r][0].kernel not in rarely)
        return kept or roots

    def _is_seldom(self, node: Node, use: Use) -> bool:
        """Return True for a use that surely computes less than storing and loading the whole takes."""
        rounds = D.product(axis.extent for axis in use.loops)
        bound = D.lower_bound(CHEAP * node.tensor_type.size - self.cost[node] * rounds)
        return bound is not None and bound >= 0

    def _why_repeated(self, node: Node, uses: list[Use]) -> str:
        """Return why consumers would compute elements of `node` again and again, or ""."""
        if stage.is_reduction(node):
            once = all(use.is_prefix or self._may_become_prefix(use) for use in uses)
            return "" if once else "a reduction that its consumer's inner loops would repeat"
        if any(use.names_too_often(node) for use in uses):
            return "it would be recomputed wherever an index names it"
        if any(use.repeats for use in uses):
            return "it would be recomputed along a broadcast axis"
        return ""

    def _may_become_prefix(self, use: Use) -> bool:
        """Return True where the loops that a value does not vary with may run inside of the others."""
        domains = [tuple(axes) for axes, _ in self.axes.values()]
        axes = use.axes
        others = [axis for axis in use.loops if axis not in axes]
        plain = len(set(axes)) == len(axes) and use.loops in domains
        return plain and may_go_inside(others, use.loops)

    def _store(self, node: Node, reason: str, roots: frozenset[Node]) -> None:
        """Give a node a buffer, which a kernel fills that computes it for its rows anyway, or its own."""
        for host in sorted(roots, key=self.rank.__getitem__) if node in self.folds else ():
            row = self._row_of(node, self.group[host])
            if row is not None and not self._makes_cycle([*self.group[host], node]):
                self._make_row(node, reason, row, self.group[host])
                return
        self._make_root(node, reason)

    def _row_of(self, node: Node, group: list[Node]) -> Use | None:
        """Return where a kernel computes a node once for each of its rows, None where it does not."""
        whole, shape = loop_type(group[0], self.nested.__contains__), node.tensor_type.shape
        if whole is None or any(map(stage.has_own_kernel, group)):
            return None
        axes, positions = self._loops(whole)
        row = Use(tuple(positions[: len(shape)]), tuple(axes), tuple(axes))
        is_row = 0 < len(row.axes) < len(axes) and D.same_shape(shape, whole.shape[: len(shape)])
        fits = self.weight[id(group)] + (self.own[node] or 1) <= MAX_COST
        return row if is_row and fits and self._is_read_there(node, row) else None

    def _is_read_there(self, node: Node, row: Use) -> bool:
        """Return True when kernels of these loops read a node at their rows, and nowhere else."""
        found = {use.positions for use in self.reads[node] if use.kernel == row.kernel}
        return found == {row.positions}

    def _make_row(self, node: Node, reason: str, row: Use, group: list[Node]) -> None:
        """Have a kernel store what it computes for its rows."""
        self.kernels[node] = frozenset({node})
        self.uses[node] = [row]
        self.group[node] = group
        self.weight[id(group)] += self.own[node] or 1
        group.append(node)
        self.remarks.append(Decision("fused", node, (group[0],)))
        if reason:
            why = f"{reason}; the kernel that computes it for its rows stores it"
            self.remarks.append(Decision("stored", node, why=why))

    def _make_root(self, node: Node, reason: str) -> None:
        self.kernels[node] = frozenset({node})
        self.uses[node] = [own_use(node.tensor_type, self._loops)]
        self.group[node] = [node]
        self.weight[id(self.group[node])] = self.own[node] or 1
        if reason:
            self.remarks.append(Decision("stored", node, why=reason))

    def _loops(self, type_: TensorType) -> stage.Domain:
        """Return the loops over a type: the same for all of its shape."""
        if type_.shape not in self.axes:
            self.axes[type_.shape] = self.loops_over(type_)
        return self.axes[type_.shape]

    def _inline(self, node: Node, uses: list[Use], roots: frozenset[Node]) -> None:
        self.kernels[node] = roots
        self.uses[node] = uses
        own = self.own[node] or 1
        for group in {id(self.group[r]) for r in roots}:
            self.weight[group] += own * len(uses)
        if not stage.is_scalar_source(node):
            how = "read through" if isinstance(node.op.family, View) else "fused"
            into = tuple(sorted(roots, key=self.rank.__getitem__))
            self.remarks.append(Decision(how, node, into))

    # --- kernels with several roots -----------------------------------------------------------------

    def _unite(self, roots: Iterable[Node]) -> bool:
        """Put roots of one shape into one kernel when no cycle arises; True when all are in one."""
        first, *rest = sorted(roots, key=lambda root: self.rank[root])
        for other in rest:
            a, b = self.group[first], self.group[other]
            if a is b:
                continue
            if not self._one_loop(a[0], b[0]) or self._reads_assembly(a + b):
                return False
            rows = [x for x in a + b if self._is_row(x)]
            if not all(self._is_read_there(x, self.uses[x][0]) for x in rows):
                return False
            if self.weight[id(a)] + self.weight[id(b)] > MAX_COST or self._makes_cycle(a + b):
                return False
            a += b
            self.weight[id(a)] += self.weight[id(b)]
            for root in b:
                self.group[root] = a
        return True

    def _is_row(self, root: Node) -> bool:
        """Return True for a result of the rows of a kernel."""
        whole = loop_type(self.group[root][0], self.nested.__contains__)
        return whole is not None and root.tensor_type.ndim < whole.ndim

    def _loop_shape(self, root: Node) -> Shape | None:
        type_ = loop_type(root, self.nested.__contains__)
        return None if type_ is None else type_.shape

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

    def _makes_cycle(self, members: list[Node]) -> bool:
        """Return True when what is computed elsewhere from results of the would-be kernel comes back."""
        inside = set(members)
        own = set(members)
        """Its results, and views of them that kernels read through."""
        pending, seen = list(members), set(members)
        while pending:
            node = pending.pop()
            for user in self.users[node]:
                if node not in own and self._computes_inside(user, inside):
                    return True
                is_seen_through = isinstance(user.op.family, View) and user in self.kernels
                if is_seen_through and node in own:
                    own.add(user)
                filled = [user] if is_seen_through else self._filled_by(user, inside)
                new = [x for x in filled if x not in seen]
                seen.update(new)
                pending += new
        return False

    def _filled_by(self, user: Node, inside: set[Node]) -> list[Node]:
        """Return what else is in memory when something that reads memory has run."""
        if user not in self.kernels:
            return [user]
        return [x for root in self.kernels[user] - inside for x in self.group[root]]

    def _computes_inside(self, node: Node, inside: set[Node]) -> bool:
        homes = self.kernels.get(node)
        return homes is not None and not homes.isdisjoint(inside)

    def _merge_siblings(self) -> None:
        """Let roots of one shape share a kernel when they read the same buffer."""
        by_shape: dict[Shape, list[Node]] = {}
        for node in self.nodes:
            is_whole = node in self.group and not self._is_row(node)
            if is_whole and (shape := self._loop_shape(node)) is not None:
                by_shape.setdefault(shape, []).append(node)
        loads = self._loads()
        for roots in by_shape.values():
            for i, root in enumerate(roots):
                for other in roots[max(0, i - 8) : i]:
                    shared = loads[root] & loads[other]
                    if shared and self._can_join(root, other, loads):
                        self._unite([other, root])

    def _can_join(self, root: Node, other: Node, loads: dict[Node, set[Node]]) -> bool:
        """A kernel may take in a producer only where it reads it at its own position."""
        if self.group[root] is self.group[other]:
            return False
        here = own_use(other.tensor_type, self._loops)
        members = set(self.group[root])
        whole = [m for m in self.group[other] if not self._is_row(m)]
        produced = [m for m in whole if any(m in loads[r] for r in members)]
        if any(map(stage.has_own_kernel, produced)):
            return False
        return all(use == here for m in produced for use in self.reads[m])

    def _loads(self) -> dict[Node, set[Node]]:
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

    # --- order ----------------------------------------------------------------------------------

    def _ordered_steps(self) -> list[Step]:
        """Return the steps that were decided on."""
        step_of: dict[Node, Step] = {}
        within = set(self.sums.values())
        inside: dict[int, set[Node]] = {id(group): set(group) for group in self.group.values()}
        for node, homes in self.kernels.items():
            for root in homes:
                inside[id(self.group[root])].add(node)
        for group in {id(g): g for g in self.group.values()}.values():
            kernel = KernelStep(tuple(group), frozenset(inside[id(group)]))
            step_of |= dict.fromkeys(group, kernel)
        for node in self.nodes:
            if node not in self.fusible and node not in within and self._is_call(node):
                step_of[node] = self._step(node)
        return ordered(step_of, self.nodes)

    def _step(self, node: Node) -> Step:
        if node in self.bodies:
            return LoopStep(node)
        if isinstance(node.op.family, Draw):
            return DrawStep(node)
        if node in self.sums:
            return ContractStep(self.sums[node], node)
        return ContractStep(node) if contraction.is_native(node) else CallStep(node)

    def _is_call(self, node: Node) -> bool:
        return node.op.name not in SOURCES and node.op is not RESULT and not is_alias(node)


def _sizes_are_known(node: Node) -> bool:
    """Return True when the sizes outside a scan determine all sizes inside its body."""
    outside = [d for x in node.inputs for d in x.tensor_type.shape]
    outside += [d for x in results(node) for d in x.tensor_type.shape]
    outside += [node.attrs["steps"], node.attrs["length"]]
    known = set().union(*(D.symbols_in(d) for d in outside))
    inside = [
        d
        for x in node.attrs["body"].nodes()
        for result in results(x)
        for d in result.tensor_type.shape
    ]
    return all(D.symbols_in(d) <= known for d in inside)


def _pack_captured(loop: Node, body: Schedule) -> None:
    """Have what all rounds multiply by packed before the loop."""
    products = [step.node for step in body.steps if isinstance(step, ContractStep)]
    body.packed = packings(loop, products)
    for operand in dict.fromkeys(packing.operand for packing in body.packed.values()):
        why = "every round multiplies by it, so its panels are made before the loop"
        body.remarks.append(Decision("packed", operand, why=why))


def _runs_alone(step: Step) -> bool:
    """Return True for a step that neither calls Python nor refuses an index."""
    if isinstance(step, KernelStep):
        return not any(stage.checks_indices(node) for node in step.inlined)
    return not isinstance(step, CallStep)


def _why_stored(node: Node, uses: list[Use]) -> str:
    """Return the reason why no kernel can compute `node` inside, or ""."""
    if stage.is_assembled(node):
        return "it is written piece by piece"
    if stage.is_running(node):
        return "each of its elements needs the one before"
    if stage.is_gather(node) and not any(use.covers(node) for use in uses):
        return "its indices are checked whether they are read or not"
    return ""
