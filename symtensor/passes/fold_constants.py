"""Constant subgraphs become constants, by the ops' own `evaluate` rules.

Left alone: effects, results larger than `LIMIT` bytes that are not smaller than their operands,
views that only repeat (a broadcast scalar is better kept as one), and nodes whose evaluation raises:
that error belongs to the call.

    Before: %2 = exp(constant 0.0)     After: %2 = constant 1.0

An elementwise op on repeated numbers stays a repeated number, whatever its size, known or not.

    Before: add(broadcast_to(1.0), broadcast_to(2.0))     After: broadcast_to(constant 3.0)
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, body_graphs, has_dims, make_node
from symtensor.ir.types import TensorType
from symtensor.ops.families import Elementwise
from symtensor.ops.inputs import CONSTANT
from symtensor.ops.interpret import evaluate_node
from symtensor.ops.movement import BROADCAST_TO
from symtensor.passes.rewrite import note

LIMIT = 1 << 16
"""Bytes up to which a result may be larger than its operands."""


def fold_constants(graph: Graph, fired: Counter[str]) -> Graph:
    """Replace nodes whose inputs are all constants."""

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        node = node.with_inputs(inputs)
        if not inputs or not all(_is_constant(x) for x in inputs):
            return node
        folded = _fold_repeated(node) or (_fold(node) if _is_foldable(node) else None)
        if folded is None:
            return node
        note(fired, f"fold {node.op.name}", node, folded)
        return folded

    return graph.map(rebuild)


def _is_foldable(node: Node) -> bool:
    if not isinstance(node.type, TensorType) or node.op.effect:
        return False
    if any(_known_value(x) is None for x in node.inputs) or body_graphs(node):
        return False
    if any(has_dims(value) for value in node.attrs.values()):
        return False
    return node.op.name != "broadcast_to" and _stays_small(node)


def _is_constant(node: Node) -> bool:
    while node.op is BROADCAST_TO:
        node = node.inputs[0]
    return node.op is CONSTANT


def _fold_repeated(node: Node) -> Node | None:
    """Return one number, repeated, for an elementwise op on repeated numbers of whatever size."""
    if not isinstance(node.op.family, Elementwise) or not isinstance(node.type, TensorType):
        return None
    if node.op.effect or not any(x.op is BROADCAST_TO for x in node.inputs):
        return None
    numbers = [_repeated_number(x) for x in node.inputs]
    if any(number is None for number in numbers):
        return None
    scalars = [number for number in numbers if number is not None]
    folded = _fold(make_node(node.op, scalars, node.attrs, loc=node.loc))
    if folded is None:
        return None
    return make_node(BROADCAST_TO, (folded,), {"shape": node.type.shape}, loc=node.loc)


def _repeated_number(node: Node) -> Node | None:
    """Return the 0-d constant that a broadcast or a constant of no axes repeats."""
    while node.op is BROADCAST_TO:
        node = node.inputs[0]
    return node if node.op is CONSTANT and not node.tensor_type.shape else None


def _known_value(node: Node) -> np.ndarray[Any, Any] | None:
    """Return the array of a constant, or of one that is repeated to a fixed shape."""
    if node.op is CONSTANT:
        array: np.ndarray[Any, Any] = node.attrs["value"].array
        return array
    if node.op.name != "broadcast_to" or has_dims(node.attrs["shape"]):
        return None
    inner = _known_value(node.inputs[0])
    return None if inner is None else np.broadcast_to(inner, node.attrs["shape"])


def _stays_small(node: Node) -> bool:
    size = node.tensor_type.size
    if not isinstance(size, int):
        return False
    held = sum(x.attrs["value"].array.nbytes for x in node.inputs if x.op is CONSTANT)
    return bool(size * node.tensor_type.dtype.itemsize <= max(LIMIT, held))


def _fold(node: Node) -> Node | None:
    values = [_known_value(x) for x in node.inputs]
    try:
        with np.errstate(all="ignore"):
            value = evaluate_node(node, values, {})
    except Exception:
        return None
    literal = Literal(value, node.tensor_type.dtype)
    if literal.array.shape != node.tensor_type.shape:
        return None
    return make_node(CONSTANT, (), {"value": literal}, loc=node.loc, name=node.name)
