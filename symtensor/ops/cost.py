"""What nodes cost, in symbolic sizes: floating-point operations and bytes moved.

In: a node, or a scalar rule with its dtypes. Out: a `Cost` of dims. A FLOP is one arithmetic word of a
scalar rule on floats (`FLOPS`), one function call (``exp``, ``pow``, …), one step of a fold of floats, or
half a multiply-add of a product; moving, comparing, choosing, converting and integers count nothing.
Bytes are what the op reads and writes when it runs by itself; views move nothing. Ops of no family count
their bytes only. Nothing here depends on an engine: what one really does is in its kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.dtypes import DType, bool_
from symtensor.ir.graph import Graph, nested_bodies
from symtensor.ir.node import RESULT, Node, body_graphs
from symtensor.ir.types import TensorType
from symtensor.ops.contraction import split_spec
from symtensor.ops.families import (
    Contraction,
    Elementwise,
    Gather,
    Reduction,
    Running,
    Scatter,
    View,
)

FLOPS = frozenset({"add", "sub", "mul", "div", "mod", "floordiv", "minimum", "maximum", "sqrt",
                   "floor", "ceil", "trunc", "rint"})  # fmt: skip
"""Words of the scalar vocabulary that count as one operation each."""
COMPARISONS = frozenset({"lt", "le", "eq", "ne", "signbit"})
FOLDS = frozenset({"sum", "prod", "max", "min"})
"""Combiners whose steps count."""
FREE = frozenset({"placeholder", "parameter", "variable", "constant", "dim_value"})


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations and bytes moved; dims, or ints once sizes are known."""

    flops: Dim = 0
    bytes: Dim = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, rounds: Dim) -> Cost:
        """Return the cost of doing it `rounds` times."""
        return Cost(self.flops * rounds, self.bytes * rounds)

    def at(self, sizes: Mapping[Symbol, int]) -> Cost:
        """Return the cost in numbers; raises `ShapeError` for a size that `sizes` does not give."""
        return Cost(D.evaluate(self.flops, sizes), D.evaluate(self.bytes, sizes))

    def __str__(self) -> str:
        return f"{format_count(self.flops)} FLOP, {format_count(self.bytes)} B"


def format_count(count: Dim) -> str:
    """Return a number with thousands marked, or a dim as it is."""
    return f"{count:,}" if isinstance(count, int) else str(count)


class _Counter:
    """Speaks the scalar vocabulary with dtypes for values, and counts."""

    def __init__(self) -> None:
        self.flops = 0

    def dtype(self, x: DType) -> DType:
        return x

    def const(self, value: float | int | bool, dtype: DType) -> DType:
        return dtype

    def cast(self, x: DType, dtype: DType) -> DType:
        return dtype

    def select(self, condition: DType, x: DType, y: DType) -> DType:
        return x

    def call(self, name: str, *xs: DType) -> DType:
        self.flops += 1
        return xs[0]

    def __getattr__(self, word: str) -> Callable[..., DType]:
        def say(x: DType, *rest: DType) -> DType:
            self.flops += word in FLOPS and x.is_floating
            return bool_ if word in COMPARISONS else x

        return say


def rule_flops(scalar: Any, dtypes: Sequence[DType], attrs: Mapping[str, Any]) -> int:
    """Return the operations of one application of a scalar rule."""
    counter = _Counter()
    scalar(counter, *dtypes, **attrs)
    return counter.flops


def fold_flops(combiner: str, dtype: DType) -> int:
    """Return the operations of one step of a fold."""
    return int(combiner in FOLDS and dtype.is_floating)


def type_bytes(type_: Any) -> Dim:
    """Return the bytes of a tensor type, or of a tuple of them."""
    if isinstance(type_, TensorType):
        return type_.size * type_.dtype.itemsize
    return D.total(map(type_bytes, type_))


def product_flops(node: Node) -> Dim:
    """Return the operations of a contraction: two for each combination of its labels."""
    left, right, _ = split_spec(node.attrs["spec"])
    sizes: dict[str, Dim] = {}
    for labels, x in zip((left, right), node.inputs, strict=True):
        for label, size in zip(labels, x.tensor_type.shape, strict=True):
            sizes[label] = size if D.same(sizes.get(label, 1), 1) else sizes[label]
    return 2 * D.product(sizes.values()) if node.tensor_type.dtype.is_floating else 0


def node_cost(node: Node) -> Cost:
    """Return what one node costs when it runs by itself; bodies of control flow included.

    A scan counts all its steps, a conditional its dearer branch, a while loop one round: how often it
    goes round is known only at the call.
    """
    if node.op.name in FREE or node.op is RESULT or isinstance(node.op.family, View):
        return Cost()
    if node.op.bodies:
        return _control_cost(node, _body_costs([node]))
    moved = D.total(type_bytes(x.type) for x in node.inputs) + type_bytes(node.type)
    return Cost(_flops(node), _moved(node, moved))


def _flops(node: Node) -> Dim:
    family = node.op.family
    if isinstance(family, Elementwise):
        dtypes = [x.tensor_type.dtype for x in node.inputs]
        return node.tensor_type.size * rule_flops(family.scalar, dtypes, node.attrs)
    if isinstance(family, (Reduction, Running)):
        type_ = node.inputs[0].tensor_type
        return type_.size * fold_flops(family.combiner, type_.dtype)
    if isinstance(family, Contraction):
        return product_flops(node)
    if isinstance(family, Scatter) and node.attrs["mode"] == "add":
        type_ = node.inputs[1].tensor_type
        return type_.size * int(type_.dtype.is_floating)
    return 0


def _moved(node: Node, moved: Dim) -> Dim:
    """Return the bytes that a node moves; `moved` are those of all operands and the result."""
    if isinstance(node.op.family, Gather):  # of what it picks from, only what it picks
        return moved - type_bytes(node.inputs[0].type) + type_bytes(node.type)
    if isinstance(node.op.family, Scatter):  # the base is copied, then places are read and written
        return moved + type_bytes(node.inputs[1].type) * (2 if node.attrs["mode"] == "add" else 1)
    return moved


def _control_cost(node: Node, known: Mapping[Graph, Cost]) -> Cost:
    bodies = [known[body] for body in body_graphs(node)]
    if "steps" in node.attrs:
        return _total(bodies).times(node.attrs["steps"])
    if node.op.bodies == ("then_body", "else_body"):
        then, other = bodies
        return Cost(D.maximum(then.flops, other.flops), D.maximum(then.bytes, other.bytes))
    return _total(bodies)


def graph_cost(graph: Graph) -> Cost:
    """Return the cost of all nodes of a graph, each by itself."""
    return _graph_cost(graph, _body_costs(graph.nodes()))


def _body_costs(nodes: Sequence[Node]) -> dict[Graph, Cost]:
    """Return the cost of each body in nodes; bodies share bodies, and each is asked once."""
    known: dict[Graph, Cost] = {}
    for body in nested_bodies(nodes):
        known[body] = _graph_cost(body, known)
    return known


def _graph_cost(graph: Graph, known: Mapping[Graph, Cost]) -> Cost:
    return _total([_control_cost(x, known) if x.op.bodies else node_cost(x) for x in graph.nodes()])


def _total(costs: Sequence[Cost]) -> Cost:
    return sum(costs, Cost())
