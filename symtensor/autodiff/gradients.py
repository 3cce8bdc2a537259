"""Reverse mode: the gradient of a scalar as a graph.

One loop over the nodes between `wrt` and the loss, last first. Each op's own rule turns the
cotangent of its result into cotangents of its inputs; a node read several times adds them up in a
fixed order. New nodes carry the user's line of the forward node they come from. Nothing here names
an op: rules live in the op records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from symtensor.errors import GradientError, SymtensorError
from symtensor.ir import location
from symtensor.ir.graph import Graph, toposort
from symtensor.ir.node import RESULT, Node, describe_operand, make_node, results
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.nesting import nestable
from symtensor.ops import creation, joining
from symtensor.ops.build import as_tensor, cast_to
from symtensor.ops.inputs import PARAMETER, constant
from symtensor.vocabulary import require_choice

Disconnected = Literal["zero", "none", "raise"]
Cotangents = dict[Node, Tensor]


def gradients(
    loss: Tensor | None,
    wrt: Any,
    known: Mapping[Tensor, Tensor] | None = None,
    disconnected: Disconnected = "zero",
    consider_constant: Sequence[Tensor] = (),
) -> Any:
    """Return the derivatives of `loss` by the tensors of `wrt` (a list for a list).

    `loss` is a 0-d float tensor; it may be None when `known` gives cotangents of other tensors to
    start from. `wrt` may be any float tensors, intermediate ones too. Nothing flows past the tensors
    of `consider_constant`. A tensor that the loss does not depend on through float ops gets zeros,
    None, or a `GradientError`, by `disconnected`.
    """
    single = isinstance(wrt, Tensor)
    targets = tensors_of(wrt, "to differentiate by")
    require_choice(disconnected, ("zero", "none", "raise"), "disconnected")
    seeds = _seeds(loss, {} if known is None else known)
    constants = {x.node for x in tensors_of(consider_constant, "to take as constant")}
    found = backpropagate(seeds, {x.node for x in targets}, constants)
    out = [_finish(x, found.get(x.node), disconnected, seeds, constants) for x in targets]
    return out[0] if single else out


def tensors_of(given: Any, purpose: str) -> list[Tensor]:
    """Return the tensors that a user gave for a purpose: one, or a sequence of them."""
    if isinstance(given, Tensor):
        return [given]
    tensors = list(given) if np.iterable(given) else [given]
    for x in tensors:
        if not isinstance(x, Tensor):
            raise GradientError(f"expected tensors {purpose}, found {x!r}")
    return tensors


def _seeds(loss: Tensor | None, known: Mapping[Tensor, Tensor]) -> Cotangents:
    seeds: Cotangents = {}
    if not isinstance(known, Mapping) or not all(isinstance(x, Tensor) for x in known):
        raise GradientError(
            f"known: expected cotangents by tensor, as {{y: g}}, found {known!r}", code="ST0604"
        )
    for tensor, cotangent in known.items():
        fitted = cast_to(as_tensor(cotangent), tensor.dtype)
        if fitted.shape != tensor.shape:
            raise GradientError(
                f"known: a cotangent {fitted.type} for a tensor {tensor.type}", code="ST0604"
            )
        seeds[tensor.node] = seeds[tensor.node] + fitted if tensor.node in seeds else fitted
    if loss is None:
        if not known:
            raise GradientError(
                "without a loss, `known` must give cotangents to start from", code="ST0601"
            )
        return seeds
    if not isinstance(loss, Tensor):
        raise GradientError(f"expected a tensor as loss, found {loss!r}", code="ST0601")
    if loss.node not in seeds:
        if loss.ndim or not loss.dtype.is_floating:
            error = GradientError(
                f"expected a 0-d float loss, found {loss.type}",
                help="reduce it with symtensor.sum or mean, or pass known={loss: cotangent}",
                code="ST0601",
            )
            error.add_context("gradients", [], loss.loc)
            raise error
        seeds[loss.node] = constant(1.0, loss.dtype)
    return seeds


def backpropagate(
    seeds: Cotangents, targets: set[Node], constants: set[Node] | None = None
) -> Cotangents:
    """Return the cotangents of `targets`; those that nothing reaches are missing."""
    constants = constants or set()
    order = toposort(seeds)
    active = _active_nodes(order, targets)
    pending: dict[Node, list[Tensor]] = {}
    for node, seed in seeds.items():
        pending.setdefault(node, []).append(seed)
    tuples: dict[Node, dict[int, Tensor]] = {}
    found: Cotangents = {}
    for node in reversed(order):
        if node not in active:
            continue
        with location.at(node.loc, "gradient"):
            if node in tuples:
                parts = tuples.pop(node)
                assert isinstance(node.type, tuple)
                cotangent: Any = tuple(parts.get(i) for i in range(len(node.type)))
            elif node in pending:
                cotangent = joining.total(pending.pop(node))
                if node in targets:
                    found[node] = cotangent
            else:
                continue
            if node in constants or not any(x in active for x in node.inputs):
                continue
            _spread(node, cotangent, active, pending, tuples)
    return found


def _active_nodes(order: Iterable[Node], targets: set[Node]) -> set[Node]:
    """Return the nodes through which a cotangent can travel to a target: float all the way."""
    active: set[Node] = set()
    for node in order:
        if node in targets or (carries(node) and any(x in active for x in node.inputs)):
            active.add(node)
    return active


def carries(node: Node) -> bool:
    """Return True for a node that has a float result: only those have cotangents."""
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    return any(t.dtype.is_floating for t in types)


def _spread(
    node: Node,
    cotangent: Any,
    active: set[Node],
    pending: dict[Node, list[Tensor]],
    tuples: dict[Node, dict[int, Tensor]],
) -> None:
    """Send a node's cotangent on to its inputs."""
    if node.op is RESULT:
        (source,) = node.inputs
        tuples.setdefault(source, {})[node.attrs["index"]] = cotangent
        return
    for x, term in zip(node.inputs, apply_vjp(node, cotangent), strict=True):
        if term is not None and x in active:
            pending.setdefault(x, []).append(term)


def apply_vjp(node: Node, cotangent: Any) -> Sequence[Tensor | None]:
    """Return the cotangents of a node's inputs by its op's rule; checks what the rule returns."""
    if node.op.vjp is None:
        error = GradientError(
            "this op has no gradient rule",
            help="stop the gradient with symtensor.stop_gradient if it is meant to be constant",
            code="ST0603",
        )
        error.add_context(node.op.name, [describe_operand(x) for x in node.inputs], node.loc)
        raise error
    y: Any = Tensor(node)
    if not isinstance(node.type, TensorType):
        y = tuple(Tensor(r) for r in results(node))
    extra = {"pullback": pullback} if node.op.bodies else {}
    try:
        terms = node.op.vjp(cotangent, y, *(Tensor(x) for x in node.inputs), **node.attrs, **extra)
        return _checked(node, terms)
    except SymtensorError as error:
        error.add_context(node.op.name, [describe_operand(x) for x in node.inputs], node.loc)
        raise


def _checked(node: Node, terms: Any) -> list[Tensor | None]:
    """Return what a rule gave, one term of the right type per input."""
    if not isinstance(terms, (tuple, list)) or len(terms) != len(node.inputs):
        count = len(terms) if isinstance(terms, (tuple, list)) else repr(terms)
        raise GradientError(
            f"the gradient rule returned {count} terms for {len(node.inputs)} inputs", code="ST0606"
        )
    return [_fitting(x, term) for x, term in zip(node.inputs, terms, strict=True)]


def _fitting(x: Node, term: Tensor | None) -> Tensor | None:
    if term is None or not isinstance(x.type, TensorType) or not x.type.dtype.is_floating:
        return None
    term = cast_to(term, x.type.dtype)
    if term.type != x.type:
        raise GradientError(
            f"the gradient rule returned {term.type} for an input {x.type}",
            code="ST0606",
        )
    return term


def _finish(
    x: Tensor,
    cotangent: Tensor | None,
    disconnected: Disconnected,
    seeds: Cotangents,
    constants: set[Node],
) -> Tensor | None:
    if cotangent is not None:
        return cotangent
    if disconnected == "none":
        return None
    if disconnected == "zero":
        dtype = x.dtype if x.dtype.is_floating else "float64"
        return creation.zeros(x.shape, dtype)
    from symtensor.autodiff.provenance import trace  # it asks the rules through this module

    found = trace(x, set(seeds), constants)
    error = GradientError(
        found.fact,
        help="pass disconnected='none' or 'zero' if that is meant; see symtensor.why_no_gradient",
        code="ST0602",
    )
    error.add_context("gradients", location=x.loc)
    error.labels = tuple(found.notes)
    raise error


# --- bodies --------------------------------------------------------------------------------------


@nestable
def pullback(body: Graph) -> Graph:
    """Return the graph of a body's vector-Jacobian product.

    Inputs: those of `body`, then one cotangent per float output. Outputs: one cotangent per float
    input, zeros where nothing flows. Closed like `body` itself.
    """
    count = len(body.inputs)
    seeds: Cotangents = {}
    cotangents: list[Node] = []
    for output in body.outputs:
        if not output.tensor_type.dtype.is_floating:
            continue
        attrs = {"type": output.tensor_type, "index": count + len(cotangents)}
        node = make_node(PARAMETER, (), attrs)
        cotangents.append(node)
        term = Tensor(node)
        seeds[output] = seeds[output] + term if output in seeds else term
    wanted = [x for x in body.inputs if x.tensor_type.dtype.is_floating]
    found = backpropagate(seeds, set(wanted)) if seeds else {}
    outputs = [
        found[x] if x in found else creation.zeros(x.tensor_type.shape, x.tensor_type.dtype)
        for x in wanted
    ]
    return Graph((*body.inputs, *cotangents), tuple(t.node for t in outputs))
