"""Sums of cotangents: what is the same along the summed axes multiplies the sum, not each element.

What is repeated in forward is summed in reverse. Of normalizations that is a sum of products with values of
a row or column (a scale, the reciprocal of a deviation), and these leave it:

    sum(g * repeated(scale) / repeated(deviation))  ->  sum(g) * scale / deviation

So no element is multiplied only to be summed, sums that differ in such factors are one, and none waits for
its factor. This chooses the formula of a gradient; sums that users write stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops import movement, reduction
from symtensor.ops.build import apply
from symtensor.ops.families import Elementwise

LINEAR = ("add", "subtract", "negative")
"""Ops of which a sum is the op of sums."""
PRODUCTS = ("multiply", "masked_multiply")
"""Ops of which a sum is the op of a sum and a factor."""
NEAR = 32
"""Nodes that are looked at."""


class _Outside(NamedTuple):
    """An elementwise op that can be applied to sums of operands."""

    node: Node
    summed: tuple[Node, ...]
    """Its operands that are summed."""
    factors: tuple[Tensor, ...] = ()
    """The operands that are the same along the axes, with size 1 there."""

    def of(self, sums: Sequence[Tensor]) -> Tensor:
        """Return the op of sums of operands, in place of the sum of its result."""
        given, others = iter(sums), iter(self.factors)
        operands = (next(given if x in self.summed else others) for x in self.node.inputs)
        return apply(self.node.op, *operands, **self.node.attrs)


def sum_of_cotangent(g: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the sum of `g` over `axes`, which stay with size 1."""
    found: dict[Node, Tensor | None] = {}
    """Node -> its sum, None where all its elements are summed."""
    stack = [g.node]
    while stack:
        node = stack[-1]
        outside = _outside(node, axes)
        missing = [x for x in outside.summed if x not in found] if outside else []
        if missing and len(found) + len(stack) < NEAR:
            stack += missing
            continue
        stack.pop()
        found[node] = _factored(outside, axes, found) if outside and not missing else None
    return _sum(g.node, axes, found)


def _sum(node: Node, axes: tuple[int, ...], found: dict[Node, Tensor | None]) -> Tensor:
    factored = found.get(node)
    return reduction.sum(Tensor(node), axes, keepdims=True) if factored is None else factored


def _factored(
    outside: _Outside, axes: tuple[int, ...], found: dict[Node, Tensor | None]
) -> Tensor | None:
    """Return the op of sums, None where that spares no product of elements with what is computed."""
    is_computed = any(not _is_literal(factor.node) for factor in outside.factors)
    if not is_computed and any(found[x] is None for x in outside.summed):
        return None
    return outside.of([_sum(x, axes, found) for x in outside.summed])


def _outside(node: Node, axes: tuple[int, ...]) -> _Outside | None:
    """Return how an op is applied to sums in place of elements, None for ops that can't be."""
    if node.op.name in LINEAR:
        return _Outside(node, node.inputs)
    if node.op.name not in PRODUCTS:
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        factor = _narrowed(other, axes)
        if factor is not None and x is not other:
            return _Outside(node, (x,), (factor,))
    return None


def _narrowed(root: Node, axes: tuple[int, ...]) -> Tensor | None:
    """Return `root` with size 1 along axes that it is the same along; None: it may differ there."""
    found: dict[Node, Tensor] = {}
    stack = [root]
    while stack and len(found) + len(stack) < NEAR:
        node = stack[-1]
        if node.op is movement.BROADCAST_TO:
            (source,) = node.inputs
            shape = node.tensor_type.shape
            if not set(axes) <= set(movement.broadcast_axes(source.tensor_type.shape, shape)):
                return None
            kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
            found[node] = movement.broadcast_to(Tensor(source), kept)
        elif isinstance(node.op.family, Elementwise):
            missing = [x for x in node.inputs if x not in found]
            if missing:
                stack += missing
                continue
            found[node] = apply(node.op, *(found[x] for x in node.inputs), **node.attrs)
        else:
            return None
        stack.pop()
    return found.get(root)


def _is_literal(node: Node) -> bool:
    while node.op.name in ("broadcast_to", "reshape"):
        (node,) = node.inputs
    return node.op.name == "constant"
