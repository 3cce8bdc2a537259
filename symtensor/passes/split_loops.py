"""Work that needs no state leaves the loop: products of rows go before it, running sums after it.

A product of a row with the same matrix in every step is one product of the whole sequence; a state
that only adds up products is one product of stacks. Both are large where the loop's were small.

    Before: scan { %3 = contract row, W  %4 = f(%3 + g(state) + b) }
    After:  %1 = contract sequence, W  %2 = add %1, b    scan over %2 { %4 = f(row + g(state)) }

    Before: scan { %3 = contract row, g(state)  %4 = add sum, %3 }
    After:  scan { stacks %2 = g(state) }       contract sequence, %2 over the steps too
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Container, Sequence

from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.graph import Graph, rebuild_nodes, toposort
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops.contraction import split_spec
from symtensor.ops.elementwise import add
from symtensor.ops.families import Contraction, Elementwise, Reduction, View
from symtensor.ops.reduction import sum as sum_over
from symtensor.passes.lift import Lift, has_rule, summed_product
from symtensor.passes.loop_form import Carry, LoopForm, Output, Read, Results, rewrite_loops

SHALLOW = 8
"""Products that sum fewer terms stay inside: their results are more to store than to compute."""

Total = Callable[[Lift], Tensor]
"""Makes a sum over all steps of what is known of the body from outside."""


def split_loops(graph: Graph, fired: Counter[str]) -> Graph:
    """Move what needs no state out of the loops."""

    def change(loop: LoopForm) -> Results | None:
        if loop.test is not None:
            return None  # how many steps there are is not known before they ran
        hoisted = _hoist(loop)
        totals = _sink(loop)
        fired["before a loop"] += hoisted
        fired["after a loop"] += len(totals)
        if not hoisted and not totals:
            return None
        return _rebuilt(loop, totals)

    out = rewrite_loops(graph, change)
    for name in [name for name, count in fired.items() if not count]:
        del fired[name]
    return out


# --- before the loop -----------------------------------------------------------------------------


def _hoist(loop: LoopForm) -> int:
    """Let products of rows and values of captured tensors come from outside; return how many."""
    env = Lift(
        {x.parameter: x.outer for x in loop.captured},
        {x.parameter: x.outer for x in loop.rows},
        loop.steps,
    )
    env.add(loop.roots())
    _add_known_first(loop, env)
    env.add(loop.roots())
    nodes = toposort(loop.roots())
    products = _products(nodes, env)
    apart = {x for node in nodes if node not in products for x in node.inputs} | set(loop.roots())
    inside = {x for node in nodes if node not in env.fixed for x in node.inputs}
    moved: dict[Node, Node] = {}
    for node in nodes:
        if node in env.fixed and node in inside and _is_work(node):
            read = Read(env.fixed[node], loop.new_parameter(node))
            loop.captured.append(read)
        elif node in products and node in apart:
            read = Read(env.stacked[node], loop.new_parameter(node))
            loop.rows.append(read)
        else:
            continue
        moved[node] = read.parameter
    if moved:
        loop.replace(moved)
    return len(moved)


def _add_known_first(loop: LoopForm, env: Lift) -> None:
    """Put what is known from outside together in sums that a product before the loop is a term of."""
    nodes, roots = toposort(loop.roots()), set(loop.roots())
    sums = [x for x in nodes if x.op.name == "add" and x.tensor_type.dtype.is_floating]
    count = Counter(x for node in nodes for x in node.inputs)
    parts = {x for node in sums for x in node.inputs if count[x] == 1 and x not in roots}
    products, order = _products(nodes, env), dict[Node, list[Node]]()
    for node in sums:
        terms = _summands(node, parts)
        known = [x for x in terms if x in env.fixed or x in env.stacked]
        if node not in parts and len(known) < len(terms) and not products.isdisjoint(known):
            known.sort(key=lambda x: (x not in products, x in env.stacked))
            order[node] = [*known, *(x for x in terms if x not in known)]
    made: dict[Node, Node] = {}

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        made[node] = node.with_inputs(inputs)
        if node in order:
            with location.at(node.loc):
                made[node] = functools.reduce(add, [Tensor(made[x]) for x in order[node]]).node
        return made[node]

    rebuild_nodes(loop.roots(), rebuild)
    loop.replace({node: made[node] for node in order})


def _products(nodes: Sequence[Node], env: Lift) -> set[Node]:
    """Return the products of rows that are worth a stack, and sums of those and of what is captured.

    The sums cost no pass over memory: products add.
    """
    found: set[Node] = set()
    for node in nodes:
        known = [x in found or x in env.fixed for x in node.inputs]
        is_sum = node.op.name == "add" and all(known) and not found.isdisjoint(node.inputs)
        is_product = _is_deep(node) and any(x in env.fixed for x in node.inputs)
        if node in env.stacked and (is_sum or is_product):
            found.add(node)
    return found


def _is_work(node: Node) -> bool:
    """Return True for nodes of captured tensors worth computing once."""
    computes = isinstance(node.op.family, (Elementwise, Reduction, Contraction))
    return computes and any(x.op.name == "parameter" for x in toposort([node]))


def _is_deep(node: Node) -> bool:
    """Return True for a product that sums enough terms to be worth a pass over memory."""
    if not isinstance(node.op.family, Contraction):
        return False
    left, _, out = split_spec(node.attrs["spec"])
    sizes = zip(left, node.inputs[0].tensor_type.shape, strict=True)
    depth = D.product(size for label, size in sizes if label not in out)
    return not isinstance(depth, int) or depth >= SHALLOW


# --- after the loop ------------------------------------------------------------------------------


def _sink(loop: LoopForm) -> list[tuple[Carry, Total]]:
    """Take carries that only add up out of the loop; return each with how to make its sum."""
    found: list[tuple[Carry, Total]] = []
    known = {x.parameter for x in (*loop.rows, *loop.captured)}
    known |= {o.value for o in loop.outputs}
    for form in (_product_total, _plain_total):  # what products stack, plain sums may read
        for carry in list(loop.carries):
            term = _added_term(loop, carry)
            total = form(loop, term, known) if term is not None else None
            if total is not None:
                loop.carries.remove(carry)
                found.append((carry, total))
    return found


def _added_term(loop: LoopForm, carry: Carry) -> Node | None:
    """Return what a step adds to a carry, None if the step does anything else with it."""
    node, roots = carry.following, loop.roots()
    if node.op.name != "add" or not node.tensor_type.dtype.is_floating:
        return None
    if roots.count(node) != 1 or carry.parameter in roots:
        return None
    nodes = toposort(roots)
    if any(node in x.inputs or (carry.parameter in x.inputs and x is not node) for x in nodes):
        return None
    left, right = node.inputs
    if left is right or carry.parameter not in node.inputs:
        return None
    return left if right is carry.parameter else right


def _product_total(loop: LoopForm, term: Node, known: set[Node]) -> Total | None:
    """Return the sum over the steps of a sum of products."""
    products = _summands(term, None)
    if not all(isinstance(x.op.family, Contraction) for x in products):
        return None
    for x in (x for product in products for x in product.inputs):
        source = _behind_views(x)
        if source not in known and (source.inputs or source.op.name == "parameter"):
            known.add(source)
            loop.outputs.append(Output(source, None))
    return lambda env: functools.reduce(add, [summed_product(env, x) for x in products])


def _summands(total: Node, parts: Container[Node] | None) -> list[Node]:
    """Return the terms of a sum, those of sums within it too: of all of them or of `parts`."""
    found, stack = [], [total]
    while stack:
        node = stack.pop()
        if node.op.name == "add" and (parts is None or node is total or node in parts):
            stack += reversed(node.inputs)
        else:
            found.append(node)
    return found


def _behind_views(node: Node) -> Node:
    while isinstance(node.op.family, View) and has_rule(node):
        node = node.inputs[0]
    return node


def _plain_total(loop: LoopForm, term: Node, known: set[Node]) -> Total | None:
    """Return the sum over the steps of values, or of their sums, that are stacked already."""
    source, axes = term, tuple[int, ...]()
    if term.op.name == "sum":
        source, axes = term.inputs[0], term.attrs["axes"]
    if source not in known:
        return None
    return lambda env: sum_over(Tensor(env.stack(source)), (0, *(axis + 1 for axis in axes)))


# --- together ------------------------------------------------------------------------------------


def _rebuilt(loop: LoopForm, totals: Sequence[tuple[Carry, Total]]) -> Results:
    """Return what replaces the results of a loop."""
    found, made = loop.build()
    env = Lift(
        {x.parameter: x.outer for x in loop.captured},
        {o.value: stack for o, stack in zip(loop.outputs, made, strict=True)}
        | {x.parameter: x.outer for x in loop.rows},
        loop.steps,
    )
    results = dict(found)
    for carry, total in totals:
        if carry.result is not None:
            with location.at(carry.following.loc):
                results[carry.result] = add(Tensor(carry.initial), total(env)).node
    return results
