"""Algebraic identities that hold to the last bit.

Strict numbers: an identity is here only if it holds for NaN, infinities and both zeros, or is limited
to integers. So there is no ``x * 0 -> 0`` and no ``x - x -> 0`` on floats, and ``x + 0 -> x`` only
for -0.0 (``-0.0 + 0.0`` is ``0.0``).

    Before: %2 = multiply %0, broadcast_to(1)     After: %0
"""

from __future__ import annotations

import math
from collections import Counter

from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops import elementwise
from symtensor.ops.build import cast_to
from symtensor.passes.rewrite import (
    Bindings,
    P,
    Rule,
    Var,
    is_float,
    is_integer,
    rewrite_graph,
    scalar_value,
    zeros_of,
)

x, y, c = Var("x"), Var("y"), Var("c")


def _ints(node: Node, found: Bindings) -> bool:
    return is_integer(node)


def _floats(node: Node, found: Bindings) -> bool:
    return is_float(node)


def _power_of_two(node: Node, found: Bindings) -> bool:
    value = scalar_value(found["c"])
    if not is_float(node) or not value or not math.isfinite(value):
        return False
    fraction, exponent = math.frexp(value)
    return abs(fraction) == 0.5 and abs(exponent) < 14  # the reciprocal is exact, even in half


def _times_reciprocal(node: Node, found: Bindings) -> Tensor:
    value = scalar_value(found["c"])
    assert value is not None
    return elementwise.multiply(Tensor(found["x"]), 1 / value)


def _is_nonzero(node: Node, found: Bindings) -> bool:
    value = scalar_value(found["c"])
    return value is not None and value != 0


def _lossless(node: Node, found: Bindings) -> bool:
    """The inner cast keeps every value, so the outer one may read the source."""
    source = found["x"].tensor_type.dtype
    middle = node.inputs[0].tensor_type.dtype
    if source.is_bool:
        return True
    if source.is_floating:
        return middle.is_floating and middle.bits > source.bits
    room = {16: 11, 32: 24, 64: 53}[middle.bits] if middle.is_floating else middle.bits
    if middle.is_bool or (middle.name == "bfloat16"):
        return False
    if middle.is_floating and node.tensor_type.dtype.is_integer:
        return False  # floats saturate where integers wrap
    if not middle.is_floating and (source.kind, middle.kind) == ("i", "u"):
        return False
    extra = int(not middle.is_floating and (source.kind, middle.kind) == ("u", "i"))
    return source.bits + extra <= room


RULES = [
    Rule("x * 1 -> x", P.multiply(x, 1), x),
    Rule("x * -1 -> -x", P.multiply(x, -1), P.negative(x), _floats),
    Rule("x * 0 -> 0 (integers)", P.multiply(x, 0), lambda n, b: zeros_of(n), _ints),
    Rule("x + 0 -> x (integers)", P.add(x, 0), x, _ints),
    Rule("x + -0.0 -> x", P.add(x, -0.0), x, _floats),
    Rule("x - 0 -> x", P.subtract(x, 0), x),
    Rule("x - x -> 0 (integers)", P.subtract(x, x), lambda n, b: zeros_of(n), _ints),
    Rule("x + -y -> x - y", P.add(x, P.negative(y)), P.subtract(x, y)),
    Rule("x - -y -> x + y", P.subtract(x, P.negative(y)), P.add(x, y)),
    Rule("-x * -y -> x * y", P.multiply(P.negative(x), P.negative(y)), P.multiply(x, y)),
    Rule("--x -> x", P.negative(P.negative(x)), x),
    Rule("x / 1 -> x", P.divide(x, 1), x),
    Rule("x / 2**k -> x * 2**-k", P.divide(x, c), _times_reciprocal, _power_of_two),
    Rule("x // 1 -> x (integers)", P.floor_divide(x, 1), x, _ints),
    Rule("0 // x -> 0 (integers)", P.floor_divide(0, x), lambda n, b: zeros_of(n), _ints),
    Rule("x ** 1 -> x", P.power(x, 1), x),
    # one rounding, where pow may err by an ULP more
    Rule("x ** 2 -> square(x)", P.power(x, 2), P.square(x)),
    Rule("abs(abs(x)) -> abs(x)", P.abs(P.abs(x)), P.abs(x)),
    Rule("abs(-x) -> abs(x)", P.abs(P.negative(x)), P.abs(x)),
    Rule("square(-x) -> square(x)", P.square(P.negative(x)), P.square(x)),
    Rule("max(x, x) -> x", P.maximum(x, x), x),
    Rule("min(x, x) -> x", P.minimum(x, x), x),
    Rule("relu(relu(x)) -> relu(x)", P.relu(P.relu(x)), P.relu(x)),
    Rule("not not x -> x", P.logical_not(P.logical_not(x)), x),
    Rule("~~x -> x", P.invert(P.invert(x)), x),
    Rule("x & x -> x", P.bitwise_and(x, x), x),
    Rule("x | x -> x", P.bitwise_or(x, x), x),
    Rule("x ^ x -> 0", P.bitwise_xor(x, x), lambda n, b: zeros_of(n)),
    Rule("x & 0 -> 0", P.bitwise_and(x, 0), lambda n, b: zeros_of(n)),
    Rule("x & -1 -> x", P.bitwise_and(x, -1), x),
    Rule("x | 0 -> x", P.bitwise_or(x, 0), x),
    Rule("x ^ 0 -> x", P.bitwise_xor(x, 0), x),
    Rule("x and x -> x", P.logical_and(x, x), x),
    Rule("x or x -> x", P.logical_or(x, x), x),
    Rule("x and True -> x", P.logical_and(x, True), x),
    Rule("x or False -> x", P.logical_or(x, False), x),
    Rule("x and False -> False", P.logical_and(x, False), lambda n, b: zeros_of(n)),
    Rule("x or True -> True", P.logical_or(x, True), True),
    Rule("where(c, x, x) -> x", P.where(c, x, x), x),
    Rule("where(True, x, y) -> x", P.where(True, x, y), x),
    Rule("where(False, x, y) -> y", P.where(False, x, y), y),
    Rule("where(not c, x, y) -> where(c, y, x)", P.where(P.logical_not(c), x, y), P.where(c, y, x)),
    Rule("masked(c, x) -> c * x for c != 0", P.masked_multiply(c, x), P.multiply(c, x),
         _is_nonzero),
    Rule("masked(0, x) -> 0", P.masked_multiply(0, x), lambda n, b: zeros_of(n)),
    Rule("cast(cast(x)) -> cast(x) when the inner one is lossless", P.cast(P.cast(x)),
         lambda n, b: cast_to(Tensor(b["x"]), n.tensor_type.dtype), _lossless),
    Rule("cast(x) to its own dtype -> x", P.cast(x), x,
         lambda n, b: n.tensor_type.dtype is b["x"].tensor_type.dtype),
]  # fmt: skip


def algebra(graph: Graph, fired: Counter[str]) -> Graph:
    """Apply the identities of `RULES`; leaves unused nodes to reachability."""
    return rewrite_graph(graph, RULES, fired)
