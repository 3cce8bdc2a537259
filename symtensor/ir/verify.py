"""What must hold of every graph; run between passes when verification is on.

- Every node's type is what its op infers from its inputs and attributes.
- Inputs are distinct placeholders (parameters in a body); every placeholder and parameter that the
  roots need is among them.
- Updates target variables, each at most once, and next values have the variable's dtype and rank,
  with sizes that can agree.
- Bodies are graphs without updates, variables or placeholders: closed, apart from sizes.
- A RESULT picks an existing result, and roots are single tensors.

Graphs are acyclic by construction: a node's inputs exist before it does.
"""

from __future__ import annotations

from symtensor.errors import SymtensorError, VerifyError
from symtensor.ir.graph import Graph
from symtensor.ir.node import RESULT, Node, body_graphs, describe_operand, format_type
from symtensor.ir.printer import print_graph
from symtensor.ir.types import TensorType, unify_dims
from symtensor.nesting import nestable

EXCERPT = 40
"""Lines of IR shown with a failure."""


def verify_graph(graph: Graph, pass_name: str | None = None) -> None:
    """Raise `VerifyError`, naming the pass and showing the IR, when an invariant is broken."""
    try:
        _verify(graph, body=False)
    except VerifyError as error:
        if pass_name is not None:
            error.message = f"after {pass_name}: {error.message}"
        error.add_note(print_graph(graph, max_nodes=EXCERPT))
        raise


@nestable
def _verify(graph: Graph, body: bool) -> None:
    leaf = "parameter" if body else "placeholder"
    inputs = set(graph.inputs)
    if len(inputs) != len(graph.inputs):
        raise VerifyError("an input stands twice")
    for position, node in enumerate(graph.inputs):
        if node.op.name != leaf:
            raise VerifyError(f"input {position} is {node!r}, expected a {leaf}")
        if body and node.attrs["index"] != position:
            raise VerifyError(f"parameter {node.attrs['index']} is input {position} of its body")
    for node in graph.nodes():
        _verify_node(node, inputs, body)
    for root in graph.roots:
        if not isinstance(root.type, TensorType):
            raise VerifyError(f"a root must be one tensor, found {root!r}")
    _verify_updates(graph, body)


def _verify_node(node: Node, inputs: set[Node], body: bool) -> None:
    name = node.op.name
    if name in ("placeholder", "parameter") and node not in inputs:
        raise _failure(node, f"{node!r} is needed but not among the inputs")
    if name == "variable" and body:
        raise _failure(node, "a body must not read variables")
    if node.op is RESULT:
        source = node.inputs[0].type
        if isinstance(source, TensorType) or not 0 <= node.attrs["index"] < len(source):
            raise _failure(node, "a result that its node does not have")
    try:
        inferred = node.op.infer(*(x.type for x in node.inputs), **node.attrs)
    except (SymtensorError, TypeError) as error:
        raise _failure(node, f"its op refuses it: {error}") from error
    if inferred != node.type:
        raise _failure(
            node, f"its type is {format_type(node.type)}, its op infers {format_type(inferred)}"
        )
    for inner in body_graphs(node):
        if inner.updates:
            raise _failure(node, "a body must not update variables")
        _verify(inner, body=True)


def _verify_updates(graph: Graph, body: bool) -> None:
    seen: set[Node] = set()
    for target, value in graph.updates:
        if target.op.name != "variable":
            raise _failure(target, "only variables can be updated")
        if target in seen:
            raise _failure(target, "updated twice")
        seen.add(target)
        old, new = target.tensor_type, value.tensor_type
        fits = old.dtype is new.dtype and old.ndim == new.ndim
        if not fits or any(
            unify_dims(a, b) is None for a, b in zip(old.shape, new.shape, strict=True)
        ):
            raise _failure(target, f"updated with {new}, its type is {old}")


def _failure(node: Node, message: str) -> VerifyError:
    error = VerifyError(message)
    error.add_context(node.op.name, [describe_operand(x) for x in node.inputs], node.loc)
    return error
