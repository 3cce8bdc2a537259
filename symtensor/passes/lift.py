"""One node for all steps: what a body computes from rows, computed from the whole sequences.

`lift` gives the value of a body's node for every step at once, along a new leading axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from symtensor.ir import location
from symtensor.ir.dims import Dim
from symtensor.ir.graph import toposort
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops.contraction import LABELS, split_spec
from symtensor.ops.families import Elementwise, Reduction
from symtensor.ops.movement import broadcast_to, reshape
from symtensor.ops.slicing import needs_check


class Lift:
    """What is known of a body from outside: tensors as they are, and stacks of all steps."""

    def __init__(self, fixed: dict[Node, Node], stacked: dict[Node, Node], steps: Dim) -> None:
        self.fixed = fixed
        """Node of the body -> the outer node it equals in every step."""
        self.stacked = stacked
        """Node of the body -> its values for all steps."""
        self.steps = steps

    def add(self, roots: Iterable[Node]) -> None:
        """Work out what can be for the nodes under `roots`."""
        for node in toposort(roots):
            if node not in self.fixed and node not in self.stacked:
                self._add(node)

    def _add(self, node: Node) -> None:
        if node.op.name == "parameter":
            return
        if all(x in self.fixed for x in node.inputs):
            self.fixed[node] = node.with_inputs([self.fixed[x] for x in node.inputs])
        elif all(x in self.fixed or x in self.stacked for x in node.inputs):
            rule = _rule(node)
            if rule is not None:
                with location.at(node.loc):
                    self.stacked[node] = rule(self, node)

    def stack(self, node: Node) -> Node:
        """Return the values of a known node for all steps, repeated if they are all the same."""
        if node in self.stacked:
            return self.stacked[node]
        x = Tensor(self.fixed[node])
        return broadcast_to(x, (self.steps, *x.shape)).node


LiftRule = Callable[[Lift, Node], Node]


def _rule(node: Node) -> LiftRule | None:
    """Return how to lift a node, None for ops that have no way."""
    if isinstance(node.op.family, Elementwise):
        return lambda env, node: make_node(node.op, [env.stack(x) for x in node.inputs], node.attrs)
    if isinstance(node.op.family, Reduction):
        return lambda env, node: _with(env, node, axes=tuple(i + 1 for i in node.attrs["axes"]))
    if node.op.name in ("slice", "place") and needs_check(node):
        return None  # it would be refused although no step runs
    return _RULES.get(node.op.name)


def has_rule(node: Node) -> bool:
    """Return True for a node that can be lifted."""
    return _rule(node) is not None


def _with(env: Lift, node: Node, **attrs: Any) -> Node:
    return make_node(node.op, [env.stack(node.inputs[0])], {**node.attrs, **attrs})


def _contract(env: Lift, node: Node) -> Node:
    return _product(env, node, summed=False)


def summed_product(env: Lift, node: Node) -> Tensor:
    """Return a contraction of a body summed over all steps, as one contraction."""
    env.add([node])
    with location.at(node.loc):
        return Tensor(_product(env, node, summed=True))


def _product(env: Lift, node: Node, summed: bool) -> Node:
    spec = node.attrs["spec"]
    step = next(x for x in LABELS if x not in spec)
    left, right, out = split_spec(spec)
    operands, labels = [], []
    for x, own in zip(node.inputs, (left, right), strict=True):
        # a label of one operand only can't be summed
        lifted = x in env.stacked or (summed and not all(i in env.stacked for i in node.inputs))
        operands.append(env.stack(x) if lifted else env.fixed[x])
        labels.append(step + own if lifted else own)
    out = out if summed else step + out
    return make_node(node.op, operands, {"spec": f"{','.join(labels)}->{out}"})


def _broadcast_to(env: Lift, node: Node) -> Node:
    x, shape = Tensor(env.stack(node.inputs[0])), node.attrs["shape"]
    ones = (1,) * (len(shape) + 1 - x.ndim)
    return broadcast_to(reshape(x, (env.steps, *ones, *x.shape[1:])), (env.steps, *shape)).node


def _strided(size: str) -> LiftRule:
    def rule(env: Lift, node: Node) -> Node:
        new = {name: (start, *node.attrs[name])
               for name, start in (("starts", 0), ("steps", 1), (size, env.steps))}  # fmt: skip
        return _with(env, node, **new)

    return rule


_RULES: dict[str, LiftRule] = {
    "contract": _contract,
    "broadcast_to": _broadcast_to,
    "reshape": lambda env, node: _with(env, node, shape=(env.steps, *node.attrs["shape"])),
    "transpose": lambda env, node: _with(
        env, node, perm=(0, *(axis + 1 for axis in node.attrs["perm"]))
    ),
    "slice": _strided("lengths"),
    "place": _strided("shape"),
}
