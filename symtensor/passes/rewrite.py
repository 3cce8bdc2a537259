"""Rewriting by rules: patterns are data, one loop applies them.

A `Rule` has a pattern and a replacement, both written with `P`::

    Rule("x * 1 -> x", P.multiply(x, 1), x)

Lower-case variables bind any node, numbers match a constant of that value whatever its shape,
commutative ops match in both orders. A replacement may be a pattern or a function of the bindings.
Rules run bottom-up until none fires; a node is looked at again only when something below it
changed. Every replacement must have exactly the type of what it replaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.errors import ArgumentError, VerifyError
from symtensor.ir import location
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.nesting import nestable
from symtensor.ops import creation
from symtensor.ops.inputs import constant
from symtensor.ops.movement import broadcast_to
from symtensor.ops.registry import get_op

FUEL = 1000
"""Rules that may fire in place of one node before they are taken to chase each other."""

Bindings = dict[str, Node]
Condition = Callable[[Node, Bindings], bool]


@dataclass(frozen=True, slots=True)
class Var:
    """Matches any node; the same name matches the same node."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Matches a node of an op with these operands and attributes."""

    op: str
    args: tuple[Any, ...]
    attrs: tuple[tuple[str, Any], ...] = ()


Pattern = Var | Apply | int | float | bool


class _PatternBuilder:
    """``P.multiply(x, 1)`` makes the pattern of a multiply node."""

    def __getattr__(self, op: str) -> Callable[..., Apply]:
        return lambda *args, **attrs: Apply(op, args, tuple(sorted(attrs.items())))


P = _PatternBuilder()


@dataclass(frozen=True, slots=True)
class Rule:
    """An equation that is applied from left to right."""

    name: str
    pattern: Apply
    replacement: Any
    """A pattern, or ``(root, bindings) -> Tensor`` (None: leave it)."""
    when: Condition | None = None


def scalar_value(node: Node) -> bool | int | float | None:
    """Return the number that a constant holds everywhere, seen through broadcasts; else None."""
    while node.op.name in ("broadcast_to", "reshape"):
        node = node.inputs[0]
    if node.op.name != "constant" or node.attrs["value"].array.size != 1:
        return None
    one = node.attrs["value"].array.reshape(())
    dtype = node.attrs["value"].dtype
    return float(one) if dtype.is_floating else one.item()


def _same_number(found: Any, wanted: Any) -> bool:
    """Equal, and the same zero."""
    if found is None or found != wanted:
        return False
    return bool(np.signbit(float(found)) == np.signbit(float(wanted)))


def match(pattern: Pattern, node: Node, bindings: Bindings) -> bool:
    """Return True when `node` has the shape of `pattern`; variables are added to `bindings`."""
    if isinstance(pattern, Var):
        return bindings.setdefault(pattern.name, node) is node
    if not isinstance(pattern, Apply):
        return _same_number(scalar_value(node), pattern)
    if node.op.name != pattern.op or len(node.inputs) != len(pattern.args):
        return False
    if pattern.attrs and any(node.attrs.get(name) != value for name, value in pattern.attrs):
        return False
    if _match_all(pattern.args, node.inputs, bindings):
        return True
    return node.op.commutative and _match_all(pattern.args, node.inputs[::-1], bindings)


def _match_all(patterns: Sequence[Pattern], nodes: Sequence[Node], bindings: Bindings) -> bool:
    attempt = dict(bindings)
    for pattern, node in zip(patterns, nodes, strict=True):
        if not match(pattern, node, attempt):
            return False
    bindings.update(attempt)
    return True


def build(pattern: Pattern, bindings: Bindings, like: Node) -> Node:
    """Return the node a replacement stands for; numbers take the type of `like`."""
    if isinstance(pattern, Var):
        return bindings[pattern.name]
    if not isinstance(pattern, Apply):
        type_ = like.tensor_type
        return broadcast_to(constant(pattern, type_.dtype), type_.shape).node
    inputs = [build(p, bindings, like) for p in pattern.args]
    return make_node(get_op(pattern.op), inputs, dict(pattern.attrs))


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One firing of a rule."""

    rule: str
    before: Node
    after: Node


class Fired(Counter[str]):
    """How often each rule fired, with a list of the firings of which the nodes are known."""

    def __init__(self) -> None:
        super().__init__()
        self.rewrites: list[Rewrite] = []

    def clear(self) -> None:
        super().clear()
        self.rewrites.clear()


def note(fired: Counter[str], rule: str, before: Node, after: Node) -> None:
    """Count a firing of a rule, with its nodes where they are wanted."""
    fired[rule] += 1
    if isinstance(fired, Fired):
        fired.rewrites.append(Rewrite(rule, before, after))


class Rewriter:
    """Applies rules to graphs and notes what fires."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.by_op: dict[str, list[Rule]] = {}
        for rule in rules:
            self.by_op.setdefault(get_op(rule.pattern.op).name, []).append(rule)
        self.fired = Fired()
        self._normal: set[Node] = set()

    def __call__(self, graph: Graph) -> Graph:
        return graph.map(self._rebuild)

    def _rebuild(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        node = node.with_inputs(inputs)
        if node.op.name in self.by_op:
            return self.normalize(node)
        self._normal.add(node)
        return node

    def normalize(self, root: Node) -> Node:
        """Return `root` with rules applied until none fires; its inputs are normal already."""
        for _ in range(FUEL):
            node = self._first_unsettled(root)
            if node is None:
                return root
            replacement = self._fire(node)
            if replacement is None:
                self._normal.add(node)
            elif node is root:
                root = replacement
            else:
                root = _replace_below(root, node, replacement, self._normal)
        names = ", ".join(name for name, _ in self.fired.most_common(3))
        raise VerifyError(f"rewriting does not end; the rules that fire most: {names}")

    def _first_unsettled(self, root: Node) -> Node | None:
        """Return a node at or below `root` that rules have not settled and whose inputs are."""
        if root in self._normal:
            return None
        node = root
        while True:
            below = next((x for x in node.inputs if x not in self._normal), None)
            if below is None:
                return node
            node = below

    def _fire(self, node: Node) -> Node | None:
        for rule in self.by_op.get(node.op.name, ()):
            bindings: Bindings = {}
            if not match(rule.pattern, node, bindings):
                continue
            if rule.when is not None and not rule.when(node, bindings):
                continue
            with location.at(node.loc):
                found = self._replacement(rule, node, bindings)
            if found is None or found is node:
                continue
            if found.type != node.type:
                raise VerifyError(f"the rule {rule.name!r} turns {node.type} into {found.type}")
            note(self.fired, rule.name, node, found)
            return found
        return None

    def _replacement(self, rule: Rule, node: Node, bindings: Bindings) -> Node | None:
        if isinstance(rule.replacement, (Var, Apply, int, float)):
            return build(rule.replacement, bindings, node)
        made = rule.replacement(node, bindings)
        return made.node if isinstance(made, Tensor) else made


def _replace_below(root: Node, old: Node, new: Node, settled: set[Node]) -> Node:
    """Return `root` with `old` replaced; settled nodes can't contain it."""

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        return new if node is old else node.with_inputs(inputs)

    unsettled: dict[Node, Node] = {}
    stack = [root]
    order: list[Node] = []
    while stack:
        node = stack.pop()
        if node in settled or node in unsettled:
            continue
        unsettled[node] = node
        order.append(node)
        stack += node.inputs
    for node in reversed(order):
        unsettled[node] = rebuild(node, tuple(unsettled.get(x, x) for x in node.inputs))
    return unsettled[root]


def rewrite_graph(graph: Graph, rules: Iterable[Rule], fired: Counter[str]) -> Graph:
    """Return the graph with rules applied everywhere; `fired` counts them by name."""
    rewriter = Rewriter(rules)
    out = rewriter(graph)
    fired.update(rewriter.fired)
    if isinstance(fired, Fired):
        fired.rewrites += rewriter.fired.rewrites
    return out


def rewrite_pass(rules: Iterable[Rule]) -> Callable[[Graph, Counter[str]], Graph]:
    """Return rules as the step of a `Pass`: ``Pass("mine", rewrite_pass(RULES), "why there")``."""
    table = list(rules) if np.iterable(rules) else [rules]
    for rule in table:
        if not isinstance(rule, Rule):
            raise ArgumentError(f"rewrite_pass: expected rules, found {rule!r}")
    return lambda graph, fired: rewrite_graph(graph, table, fired)


def zeros_of(node: Node) -> Tensor:
    """Return zeros of a node's type."""
    return creation.zeros(node.tensor_type.shape, node.tensor_type.dtype)


def is_float(node: Node) -> bool:
    """Return True for a float tensor."""
    return node.tensor_type.dtype.is_floating


def is_integer(node: Node) -> bool:
    """Return True for an integer tensor."""
    return node.tensor_type.dtype.is_integer


def map_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """Return the graph with every body graph, nested ones first, put through `change`, once each.

    Bodies share bodies: of switches one behind the other each holds all those before it.
    """
    changed: dict[Graph, Graph] = {}

    @nestable
    def through(body: Graph) -> Graph:
        if body not in changed:
            changed[body] = change(inside(body))
        return changed[body]

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        if not node.op.bodies:
            return node.with_inputs(inputs)
        attrs: Mapping[str, Any] = {
            name: through(value) if name in node.op.bodies else value
            for name, value in node.attrs.items()
        }
        return make_node(node.op, inputs, attrs, loc=node.loc, name=node.name)

    def inside(body: Graph) -> Graph:
        if not any(node.op.bodies for node in body.nodes()):
            return body
        return body.map(rebuild)

    return inside(graph)


__all__ = [
    "FUEL", "Apply", "Bindings", "Fired", "P", "Pattern", "Rewrite", "Rewriter", "Rule", "Var",
    "build", "is_float", "is_integer", "map_bodies", "match", "note", "rewrite_graph", "rewrite_pass",
    "scalar_value", "zeros_of",
]  # fmt: skip
