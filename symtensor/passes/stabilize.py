"""Stabilizations: the same function, written so that it neither overflows nor cancels.

These change values, always towards the exact result, so they have a pass of their own that can be
switched off (``passes="-stabilize"``). Each rule says why its error never grows; the tests compare
both sides with extended precision.

    Before: %2 = log(add(%0, broadcast_to(1)))     After: %2 = log1p(%0)
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops import reduction
from symtensor.passes.rewrite import Bindings, P, Rule, Var, rewrite_graph

x, y, s = Var("x"), Var("y"), Var("s")


def _log_sum_exp(node: Node, found: Bindings) -> Tensor:
    return reduction.logsumexp(Tensor(found["x"]), node.inputs[0].attrs["axes"])


def _not_shifted(node: Node, found: Bindings) -> bool:
    """An operand that already has a maximum subtracted needs no second shift."""
    operand = found["x"]
    if operand.op.name != "subtract":
        return True
    shift = operand.inputs[1]
    while shift.op.name in ("broadcast_to", "reshape", "stop_gradient", "where"):
        shift = shift.inputs[1 if shift.op.name == "where" else 0]
    return shift.op.name != "max"


RULES = [
    # 1 + x rounds x away when it is small; log1p does not form the sum
    Rule("log(1 + x) -> log1p(x)", P.log(P.add(1, x)), P.log1p(x)),
    # exp(x) - 1 cancels near 0; expm1 does not form the difference
    Rule("exp(x) - 1 -> expm1(x)", P.subtract(P.exp(x), 1), P.expm1(x)),
    # exp overflows beyond 709 (89 in single precision); x is exact everywhere
    Rule("log(exp(x)) -> x", P.log(P.exp(x)), x),
    # exp overflows; softplus is max(x, 0) + log1p(exp(-|x|))
    Rule("log1p(exp(x)) -> softplus(x)", P.log1p(P.exp(x)), P.softplus(x)),
    # sigmoid underflows to 0 below -745, and its logarithm to -inf; softplus is linear there
    Rule("log(sigmoid(x)) -> -softplus(-x)", P.log(P.sigmoid(x)),
         P.negative(P.softplus(P.negative(x)))),
    # 1 - sigmoid(x) is 0 from x = 37 on
    Rule("log(1 - sigmoid(x)) -> -softplus(x)", P.log(P.subtract(1, P.sigmoid(x))),
         P.negative(P.softplus(x))),
    Rule("log1p(-sigmoid(x)) -> -softplus(x)", P.log1p(P.negative(P.sigmoid(x))),
         P.negative(P.softplus(x))),
    Rule("1 - sigmoid(x) -> sigmoid(-x)", P.subtract(1, P.sigmoid(x)), P.sigmoid(P.negative(x))),
    Rule("log(sigmoid(-x)) -> -softplus(x)", P.log(P.sigmoid(P.negative(x))),
         P.negative(P.softplus(x))),
    # the quotient underflows where the difference of logarithms does not: log-softmax
    Rule("log(exp(x) / s) -> x - log(s)", P.log(P.divide(P.exp(x), s)), P.subtract(x, P.log(s))),
    # exp overflows; subtracting the maximum first is exact up to rounding
    Rule("log(sum(exp(x))) -> logsumexp(x)", P.log(P.sum(P.exp(x))), _log_sum_exp, _not_shifted),
    # x - log of a sum of exponentials, after a division was split
    Rule("log(exp(x) * y) -> x + log(y)", P.log(P.multiply(P.exp(x), y)), P.add(x, P.log(y)),
         lambda n, b: b["y"].op.name in ("reciprocal", "rsqrt")),
]  # fmt: skip


def stabilize(graph: Graph, fired: Counter[str]) -> Graph:
    """Apply the stabilizations of `RULES`."""
    return rewrite_graph(graph, RULES, fired)
