"""Stabilizations: the same function, written so that it neither overflows nor cancels.

These change values, always towards the exact result, so they have a pass of their own that can be
switched off (``passes="-stabilize"``). Each rule says why its error never grows; the tests compare
both sides with extended precision.

    Before: %2 = log(add(%0, broadcast_to(1)))     After: %2 = log1p(%0)
"""

from __future__ import annotations

import math
from collections import Counter

from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops import elementwise, logic, movement, reduction, statistics
from symtensor.passes.rewrite import Bindings, P, Rule, Var, match, rewrite_graph

x, s, g, h = Var("x"), Var("s"), Var("g"), Var("h")
sigmoid, opposite = P.sigmoid(x), P.sigmoid(P.negative(x))


def _log_sum_exp(node: Node, found: Bindings) -> Tensor:
    return statistics.logsumexp(Tensor(found["x"]), node.inputs[0].attrs["axes"])


def _not_shifted(node: Node, found: Bindings) -> bool:
    """An operand that already has a maximum subtracted needs no second shift."""
    operand = found["x"]
    if operand.op.name != "subtract":
        return True
    shift = operand.inputs[1]
    while shift.op.name in ("broadcast_to", "reshape", "stop_gradient", "where"):
        shift = shift.inputs[1 if shift.op.name == "where" else 0]
    return shift.op.name != "max"


def _total(found: Bindings) -> Node:
    """Return what a divisor repeats, or what a factor repeats the reciprocal of."""
    total = found["s"]
    while total.op.name in ("broadcast_to", "reciprocal"):
        total = total.inputs[0]
    return total


def _is_softmax(node: Node, found: Bindings) -> bool:
    """The divisor is the sum of the same exponentials, repeated along the summed axes."""
    total = _total(found)
    kept = total.tensor_type.shape
    while total.op.name == "reshape":
        total = total.inputs[0]
    if total.op.name != "sum" or total.inputs[0] not in node.inputs[0].inputs:
        return False
    shape, axes = found["x"].tensor_type.shape, total.attrs["axes"]
    wanted = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return D.same_shape((1,) * (len(shape) - len(kept)) + kept, wanted)


def _is_softmax_by_product(node: Node, found: Bindings) -> bool:
    factor = found["s"]
    if factor.op.name == "broadcast_to":
        factor = factor.inputs[0]
    return factor.op.name == "reciprocal" and _is_softmax(node, found)


def _log_softmax(node: Node, found: Bindings) -> Tensor:
    logits, total = Tensor(found["x"]), _total(found)
    if not _not_shifted(node, found):
        return elementwise.subtract(logits, elementwise.log(Tensor(total)))
    while total.op.name != "sum":
        total = total.inputs[0]
    axes = total.attrs["axes"]
    fixed = all(isinstance(logits.shape[a], int) and logits.shape[a] > 0 for a in axes)
    top = reduction.max(logits, axes, keepdims=True, initial=None if fixed else -math.inf)
    shifted = logits - logic.where(logic.isfinite(top), top, 0)
    return shifted - elementwise.log(reduction.sum(elementwise.exp(shifted), axes, keepdims=True))


def _log_of_one_minus_exp(node: Node, found: Bindings) -> Tensor:
    exponent = Tensor(found["x"])
    near = elementwise.log(-elementwise.expm1(exponent))
    far = elementwise.log1p(-elementwise.exp(exponent))
    return logic.where(exponent > -math.log(2), near, far)


def _slope_of_log_sum_exp(node: Node, found: Bindings) -> Tensor | None:
    """Return g exp(x - logsumexp(x)) where h repeats g (1 / sum(exp(x)))."""
    parts: Bindings = {}
    views, share = [], found["h"]
    while share.op.name in ("broadcast_to", "reshape"):
        views.append(share)
        share = share.inputs[0]
    if not match(P.masked_multiply(g, P.divide(1, s)), share, parts):
        return None
    total = parts["s"]
    while total.op.name == "reshape":
        total = total.inputs[0]
    if total.op.name != "sum" or total.inputs[0] is not node.inputs[1]:
        return None
    exponent = Tensor(found["x"])
    largest = statistics.logsumexp(exponent, total.attrs["axes"]).node
    largest = movement.reshape(Tensor(largest), share.tensor_type.shape).node
    factor = parts["g"]
    for view in reversed(views):
        largest, factor = (make_node(view.op, (n,), view.attrs) for n in (largest, factor))
    return elementwise.masked_multiply(Tensor(factor), elementwise.exp(exponent - Tensor(largest)))


RULES = [
    # 1 + x rounds x away when it is small; log1p does not form the sum
    Rule("log(1 + x) -> log1p(x)", P.log(P.add(1, x)), P.log1p(x)),
    # likewise for 1 - x; the sign of x costs nothing
    Rule("log(1 - x) -> log1p(-x)", P.log(P.subtract(1, x)), P.log1p(P.negative(x))),
    # exp(x) - 1 cancels near 0; expm1 does not form the difference
    Rule("exp(x) - 1 -> expm1(x)", P.subtract(P.exp(x), 1), P.expm1(x)),
    Rule("exp(x) + -1 -> expm1(x)", P.add(P.exp(x), -1), P.expm1(x)),
    # a difference, not a negation: 1 - exp(0) is 0.0 and not -0.0
    Rule("1 - exp(x) -> 0 - expm1(x)", P.subtract(1, P.exp(x)), P.subtract(0, P.expm1(x))),
    # the difference is exact near 0 through expm1; below -log(2) it is exp(x) that must not be lost
    Rule("log(0 - expm1(x)) -> log1mexp(x)", P.log(P.subtract(0, P.expm1(x))),
         _log_of_one_minus_exp),
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
    # the same three where gradients have them: sigmoid underflows, or exp overflows, and a reciprocal
    # makes infinity of the one and 0 of the other
    Rule("g (1 / sigmoid(x)) sigmoid'(x) -> g sigmoid(-x)",
         P.multiply(P.masked_multiply(g, P.divide(1, sigmoid)), P.multiply(sigmoid, opposite)),
         P.multiply(g, opposite)),
    Rule("-g (1 / sigmoid(-x)) sigmoid'(x) -> -g sigmoid(x)",
         P.multiply(P.negative(P.masked_multiply(g, P.divide(1, opposite))),
                    P.multiply(sigmoid, opposite)),
         P.negative(P.multiply(g, sigmoid))),
    Rule("g (1 / (1 + exp(x))) exp(x) -> g sigmoid(x)",
         P.masked_multiply(P.masked_multiply(g, P.divide(1, P.add(1, P.exp(x)))), P.exp(x)),
         P.masked_multiply(g, sigmoid)),
    # likewise of a sum. The difference is off by half a unit of the larger term, as logsumexp's own are
    Rule("g (1 / sum(exp(x))) exp(x) -> g exp(x - logsumexp(x))", P.masked_multiply(h, P.exp(x)),
         _slope_of_log_sum_exp, _not_shifted),
    # the quotient underflows where the difference of logarithms does not. Only for softmax: with the
    # maximum subtracted, both terms have one sign; of any other x and s they could cancel
    Rule("log(exp(x) / sum(exp(x))) -> log_softmax(x)", P.log(P.divide(P.exp(x), s)),
         _log_softmax, _is_softmax),
    Rule("log(exp(x) * (1 / sum(exp(x)))) -> log_softmax(x)", P.log(P.multiply(P.exp(x), s)),
         _log_softmax, _is_softmax_by_product),
    # exp overflows; subtracting the maximum first is exact up to rounding
    Rule("log(sum(exp(x))) -> logsumexp(x)", P.log(P.sum(P.exp(x))), _log_sum_exp, _not_shifted),
]  # fmt: skip


def stabilize(graph: Graph, fired: Counter[str]) -> Graph:
    """Apply the stabilizations of `RULES`."""
    return rewrite_graph(graph, RULES, fired)
