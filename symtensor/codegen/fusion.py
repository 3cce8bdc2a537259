"""Fusion: which nodes share a kernel, and which get a buffer.

In: a graph. Out: a `Schedule`, an ordered list of kernels and call-outs over materialized nodes.
One sweep from the outputs backwards decides for each node whether it is computed inside its
consumers' kernel or gets a buffer (becomes a *root*). A node gets a buffer when

- something other than a kernel reads it (an output, a call-out, a reshape that no loop can read through);
- several kernels that can't be one read it, and computing it again costs more than storing it, as it does
  not where others than one read few elements;
- it would be computed again and again along a broadcast axis, and loading it takes less time;
- it is written piece by piece (joined, padded, scattered), and not as a piece of another such result, or
  is a running sum or product;
- it is a sum that a matrix product computes (`symtensor.codegen.addends`);
- it is a reduction whose result is not constant along the inner loops of its consumer, and these are not
  short ones that may go further inside;
- it folds columns, over which a fold goes that reads it: it would take them one by one;
- the kernel would grow beyond `MAX_COST`.

A reduction that a kernel computes for each of its rows, and that others read too, is stored by that
kernel on its way. Roots of one shape that read the same things then share a kernel, and folds over columns
that of the rows which they fold (`symtensor.codegen.row_sweeps`). None may make a cycle.
Every decision leaves a remark for `explain`.
"""

from __future__ import annotations

from collections.abc import Callable

from symtensor.codegen import contraction, stage
from symtensor.codegen.addends import sums_of_products
from symtensor.codegen.axes import may_go_inside
from symtensor.codegen.domains import viewed_positions
from symtensor.codegen.groups import MAX_COST, Groups
from symtensor.codegen.packing import packings
from symtensor.codegen.row_sweeps import share_sweeps
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
from symtensor.codegen.uses import Use
from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, results
from symtensor.ops.families import Assembly, Draw, View

CHEAP = 10
"""Instructions per vector up to which computing twice beats storing and loading."""
FAST = 5
"""Time per vector, in instructions, up to which computing beats loading what is the same along an axis."""
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
        self.users = graph.users()
        self.sums = sums_of_products(graph, self.users)
        """Sum -> the matrix product that computes it."""
        self.within = set(self.sums.values())
        self.fusible = {n for n in self.nodes if n not in self.sums and self._is_fusible(n)}
        self.own = {n: stage.elementwise_cost(n, target) for n in self.nodes}
        """What an elementwise op alone takes."""
        self.joins = self._joins()
        self.cost = self._costs(lambda cost: cost.instructions)
        self.time = self._costs(lambda cost: cost.time)
        self.bodies = self._native_bodies()
        self.required = self._required()
        nested = self._nested()
        self.folds = self._computed_by_folding()
        self.groups = Groups(self.nodes, self.users, self.own, self.joins, nested.__contains__)
        self.groups.remarks += [Decision("fused", x, (total,)) for total, x in self.sums.items()]

    def run(self) -> Schedule:
        for node in reversed(self.nodes):
            if node in self.fusible and (node in self.required or not stage.is_scalar_source(node)):
                self._decide(node)
            elif node in self.joins:
                self._decide_join(node)
            elif self._has_own_step(node):
                self.groups.add_step(node)
        self.groups.merge_siblings()
        share_sweeps(self.groups, self.required, self.target)
        return Schedule(self._ordered_steps(), self.groups.remarks, self.bodies)

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

    def _costs(self, of: Callable[[stage.Cost], int]) -> dict[Node, int]:
        """Return what computing each node from stored inputs takes per vector, by what each op does."""
        cost: dict[Node, int] = {}
        for node in self.nodes:
            alone = self.own[node]
            own = of(alone) if alone is not None else 4 if stage.is_gather(node) else 0
            if node in self.joins:
                cost[node] = cost[node.inputs[0]]
            elif stage.is_repeating(node):
                cost[node] = 1  # known in all rounds of a loop, or stored
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
        uses, roots = self.groups.read_by(node)
        self.groups.reads[node] = uses
        if stage.folds_columns(node) and any(set(use.axes) - set(use.kernel) for use in uses):
            self.groups.store(node, "a fold over its columns would take them one by one")
            return
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
            self.groups.inline(node, uses, roots)

    def _decide_join(self, node: Node) -> None:
        """Read a reshape through where all loops run along what it joins, else as memory."""
        uses, roots = self.groups.read_by(node)
        if not roots:
            return
        if all(viewed_positions(node, use.positions) is not None for use in uses):
            self.groups.inline(node, uses, roots)
        elif node.inputs[0].op.name != "constant":
            self.required.add(node.inputs[0])

    def _why_not_inline(self, node: Node, uses: list[Use], roots: frozenset[Node]) -> str:
        """Return the reason for a buffer, or "" to compute `node` inside its consumers."""
        if stage.view_map(node) is not None:
            return ""  # views compute nothing; what they show decides for itself
        if self.groups.is_nested(node):
            return ""
        if reason := _why_stored(node, uses):
            return reason
        cheap = self.cost[node] <= CHEAP and not stage.is_reduction(node)
        if not cheap and len({id(self.groups.group[r]) for r in roots}) > 1:
            apart = self._without_seldom(node, uses, roots)
            if not self.groups.unite(apart):
                return f"{len(apart)} kernels read it"
        if len(uses) > MAX_USES and not cheap:
            return f"read at {len(uses)} different positions"
        if reason := self._why_repeated(node, uses, cheap):
            return reason
        if self.groups.grows_too_large(node, len(uses), roots):
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
        kept = frozenset(r for r in roots if self.groups.uses[r][0].kernel not in rarely)
        return kept or roots

    def _is_seldom(self, node: Node, use: Use) -> bool:
        """Return True for a use that surely computes less than storing and loading the whole takes."""
        rounds = D.product(axis.extent for axis in use.loops)
        bound = D.lower_bound(CHEAP * node.tensor_type.size - self.cost[node] * rounds)
        return bound is not None and bound >= 0

    def _why_repeated(self, node: Node, uses: list[Use], cheap: bool) -> str:
        """Return why consumers would compute elements of `node` again and again, or ""."""
        uses = [use for use in uses if not use.is_prefix]
        if node in self.folds:
            uses = [use for use in uses if not self._may_become_prefix(use)]
        if stage.is_reduction(node):
            return "a reduction that its consumer's inner loops would repeat" if uses else ""
        if not cheap and any(use.names_too_often(node) for use in uses):
            return "it would be recomputed wherever an index names it"
        if any(use.repeats and (not cheap or self._is_slow(node, use)) for use in uses):
            return "it would be recomputed along a broadcast axis"
        return ""

    def _is_slow(self, node: Node, use: Use) -> bool:
        """Return True where loading a value takes less time, in a loop that is no fold's."""
        return self.time[node] > FAST and set(use.axes) <= set(use.kernel)

    def _may_become_prefix(self, use: Use) -> bool:
        """Return True where the loops that a value does not vary with may run inside of the others."""
        domains = [tuple(axes) for axes, _ in self.groups.axes.values()]
        axes = use.axes
        others = [axis for axis in use.loops if axis not in axes]
        plain = len(set(axes)) == len(axes) and set(axes) <= set(use.loops) and use.loops in domains
        return plain and may_go_inside(others, use.loops)

    def _store(self, node: Node, reason: str, roots: frozenset[Node]) -> None:
        """Give a node a buffer, which a kernel fills that computes it for its rows anyway, or its own."""
        for host in sorted(roots, key=self.groups.rank.__getitem__) if node in self.folds else ():
            row = self.groups.row_of(node, self.groups.group[host])
            if row is not None and self.groups.may_store_row(node, self.groups.group[host]):
                self.groups.store_row(node, reason, row, self.groups.group[host])
                return
        self.groups.store(node, reason)

    # --- order ----------------------------------------------------------------------------------

    def _ordered_steps(self) -> list[Step]:
        """Return the steps that were decided on."""
        step_of: dict[Node, Step] = {}
        for group, inlined in self.groups.members():
            columns = tuple(self.groups.columns.get(id(group), ()))
            kernel = KernelStep(tuple(group), inlined, columns)
            step_of |= dict.fromkeys(group, kernel)
        for node in self.nodes:
            if self._has_own_step(node):
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

    def _has_own_step(self, node: Node) -> bool:
        """Return True for what no kernel computes, and no product as a part of a sum."""
        if node in self.fusible or node in self.within:
            return False
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
