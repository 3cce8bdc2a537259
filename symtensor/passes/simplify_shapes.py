"""Views of views become one view, and views that change nothing disappear.

Also drops what only steered the gradient (stop_gradient, grad_scale, grad_clip), which means nothing
once the gradient is built, and guards that the types prove.

    Before: %2 = transpose(transpose(%0))     After: %0
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops import movement, slicing
from symtensor.ops.build import apply
from symtensor.ops.inputs import constant
from symtensor.passes.rewrite import Bindings, P, Rule, Var, rewrite_graph

x = Var("x")


def _unchanged(node: Node, found: Bindings) -> bool:
    return node.type == found["x"].type


def _one_transpose(node: Node, found: Bindings) -> Tensor:
    inner = node.inputs[0].attrs["perm"]
    return movement.transpose(Tensor(found["x"]), [inner[i] for i in node.attrs["perm"]])


def _one_slice(node: Node, found: Bindings) -> Tensor:
    inner, outer = node.inputs[0].attrs, node.attrs
    starts = tuple(
        a + s * b for a, s, b in zip(inner["starts"], inner["steps"], outer["starts"], strict=True)
    )
    steps = tuple(a * b for a, b in zip(inner["steps"], outer["steps"], strict=True))
    operand = Tensor(found["x"])
    return apply(slicing.SLICE, operand, starts=starts, steps=steps, lengths=outer["lengths"])


def _is_whole(node: Node, found: Bindings) -> bool:
    return _unchanged(node, found) and all(D.same(s, 0) for s in node.attrs["starts"])


def _ones_only(node: Node, found: Bindings) -> bool:
    """A reduction over axes of size 1 adds nothing up."""
    shape = found["x"].tensor_type.shape
    return all(D.same(shape[axis], 1) for axis in node.attrs["axes"])


def _reshaped(node: Node, found: Bindings) -> Tensor:
    return movement.reshape(Tensor(found["x"]), node.tensor_type.shape)


RULES = [
    Rule("reshape(x) to its own shape -> x", P.reshape(x), x, _unchanged),
    Rule("reshape(reshape(x)) -> reshape(x)", P.reshape(P.reshape(x)), _reshaped),
    Rule("broadcast_to(x) to its own shape -> x", P.broadcast_to(x), x, _unchanged),
    Rule("broadcast_to(broadcast_to(x)) -> broadcast_to(x)", P.broadcast_to(P.broadcast_to(x)),
         lambda n, b: movement.broadcast_to(Tensor(b["x"]), n.tensor_type.shape)),
    Rule("transpose(transpose(x)) -> transpose(x)", P.transpose(P.transpose(x)), _one_transpose),
    Rule("slice(slice(x)) -> slice(x)", P.slice(P.slice(x)), _one_slice),
    Rule("slice of everything -> x", P.slice(x), x, _is_whole),
    Rule("specify_shape(x) that the type proves -> x", P.specify_shape(x), x, _unchanged),
    # the sign of a sum that is zero is not specified, so -0.0 may stay
    Rule("sum over axes of size 1 -> reshape", P.sum(x), _reshaped, _ones_only),
    Rule("prod over axes of size 1 -> reshape", P.prod(x), _reshaped, _ones_only),
    Rule("max over axes of size 1 -> reshape", P.max(x), _reshaped, _ones_only),
    Rule("min over axes of size 1 -> reshape", P.min(x), _reshaped, _ones_only),
    Rule("stop_gradient(x) -> x", P.stop_gradient(x), x),
    Rule("grad_scale(x) -> x", P.grad_scale(x), x),
    Rule("grad_clip(x) -> x", P.grad_clip(x), x),
    Rule("concatenate of one -> x", P.concatenate(x), x),
    Rule("a size that became fixed -> constant", P.dim_value(),
         lambda n, b: constant(n.attrs["dim"], "int64"),
         lambda n, b: isinstance(n.attrs["dim"], int)),
]  # fmt: skip


def _drop_steering(graph: Graph) -> Graph:
    """Replace ops with a user's gradient by their values: the gradient has been taken."""
    if not any(node.op.name == "steered" for node in graph.nodes()):
        return graph
    return graph.map(
        lambda node, inputs: inputs[0] if node.op.name == "steered" else node.with_inputs(inputs)
    )


def simplify_shapes(graph: Graph, fired: Counter[str]) -> Graph:
    """Apply the view rules of `RULES`."""
    return rewrite_graph(_drop_steering(graph), RULES, fired)
