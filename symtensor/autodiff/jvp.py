"""Forward mode, and what is built from both modes: jacobian, hessian.

Forward mode needs no rules of its own. An elementwise op is diagonal, so its reverse rule with a
tangent for a cotangent gives the tangent. An op that is linear in an input is applied to the tangent.
Any other op is transposed twice: the reverse rule is linear in its cotangent, and the gradient of that
linear map is the forward derivative.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symtensor.autodiff.gradients import apply_vjp, backpropagate, gradients, tensors_of
from symtensor.errors import GradientError
from symtensor.ir import location
from symtensor.ir.graph import replace_nodes, toposort
from symtensor.ir.node import RESULT, Node, make_node, results
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops import creation, elementwise, indexing, joining, movement, reduction
from symtensor.ops.build import apply, as_tensor, cast_to
from symtensor.ops.effects import STEERED
from symtensor.ops.families import Elementwise
from symtensor.ops.inputs import placeholder
from symtensor.ops.scan import map_

Tangents = dict[Node, Tensor]


def _directions(given: Any) -> list[Tensor]:
    """Return tangents, cotangents or vectors: one, or a list of them."""
    values = given if isinstance(given, (list, tuple)) else [given]
    return [as_tensor(value) for value in values]


def jvp(outputs: Any, wrt: Any, tangents: Any) -> Any:
    """Return the directional derivatives of `outputs` along `tangents` of `wrt`.

    All three are single tensors or lists; the result is like `outputs`. An output that does not
    depend on `wrt` has zero derivative.
    """
    out, sources = tensors_of(outputs, "to differentiate"), tensors_of(wrt, "to differentiate by")
    directions = _directions(tangents)
    if len(sources) != len(directions):
        raise GradientError(f"{len(sources)} tensors but {len(directions)} tangents", code="ST0604")
    known: Tangents = {}
    for x, t in zip(sources, directions, strict=True):
        if t.shape != x.shape:
            raise GradientError(f"a tangent {t.type} for a tensor {x.type}", code="ST0604")
        known[x.node] = cast_to(t, x.dtype)
    for node in toposort([x.node for x in out]):
        if node not in known:
            with location.at(node.loc, "tangent"):
                _push(node, known)
    found = [known[x.node] if x.node in known else creation.zeros_like(x) for x in out]
    return found[0] if isinstance(outputs, Tensor) else found


def _push(node: Node, known: Tangents) -> None:
    """Add the tangent of a node's result, if any input has one."""
    live = {i: known[x] for i, x in enumerate(node.inputs) if x in known}
    if not live or node.op is RESULT:
        return
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    if not any(t.dtype.is_floating for t in types):
        return
    if isinstance(node.type, TensorType):
        tangent = _single(node, live)
        if tangent is not None:
            known[node] = tangent
        return
    for result, tangent in zip(results(node), _transposed_twice(node, live), strict=True):
        if tangent is not None:
            known[result] = tangent


def _single(node: Node, live: Mapping[int, Tensor]) -> Tensor | None:
    if set(live) <= set(node.op.linear):
        return _linear(node, live)
    if isinstance(node.op.family, Elementwise):
        return _diagonal(node, live)
    return _transposed_twice(node, live)[0]


def _linear(node: Node, live: Mapping[int, Tensor]) -> Tensor:
    inputs = [
        live[i].node
        if i in live
        else creation.zeros_like(Tensor(x)).node
        if i in node.op.linear
        else x
        for i, x in enumerate(node.inputs)
    ]
    return Tensor(make_node(node.op, inputs, node.attrs))


def _diagonal(node: Node, live: Mapping[int, Tensor]) -> Tensor | None:
    total: Tensor | None = None
    for i, tangent in live.items():
        term = apply_vjp(node, cast_to(tangent, node.tensor_type.dtype))[i]
        if term is not None:
            total = term if total is None else total + term
    return total


def _transposed_twice(node: Node, live: Mapping[int, Tensor]) -> list[Tensor | None]:
    """Return the tangents of a node's results as the gradient of its reverse rule."""
    outs = [Tensor(r) for r in results(node)]
    dummies = [placeholder(y.shape, y.dtype) if y.dtype.is_floating else None for y in outs]
    single = isinstance(node.type, TensorType)
    terms = apply_vjp(node, dummies[0] if single else tuple(dummies))
    seeds: dict[Node, Tensor] = {}
    for i, tangent in live.items():
        term = terms[i]
        if term is not None:
            seeds[term.node] = seeds[term.node] + tangent if term.node in seeds else tangent
    targets = {d.node for d in dummies if d is not None}
    found = backpropagate(seeds, targets) if seeds else {}
    # the result does not depend on the dummies' values: any will do
    zeros = {d.node: creation.zeros_like(d).node for d in dummies if d is not None}
    return [
        None if d is None or d.node not in found
        else Tensor(replace_nodes([found[d.node].node], zeros)[0])
        for d in dummies
    ]  # fmt: skip


def vjp(outputs: Any, wrt: Any, cotangents: Any) -> Any:
    """Return the cotangents of `wrt` for given cotangents of `outputs` (single tensors or lists)."""
    out, given = tensors_of(outputs, "to differentiate"), _directions(cotangents)
    if len(out) != len(given):
        raise GradientError(f"{len(out)} outputs but {len(given)} cotangents", code="ST0604")
    known = {y: g for y, g in zip(out, given, strict=True)}
    for y, g in known.items():
        if y.shape != g.shape:
            raise GradientError(f"a cotangent {g.type} for an output {y.type}", code="ST0604")
    return gradients(None, wrt, known=known)


UNROLL = 8
"""Rows of a jacobian up to which it is written out instead of looped over."""


def jacobian(y: Tensor, x: Any) -> Any:
    """Return the derivatives of every element of `y` by every element of `x`.

    The shape is ``y.shape + x.shape``; a list of tensors gives a list.
    """
    (y,), sources = tensors_of([y], "to differentiate"), tensors_of(x, "to differentiate by")
    if not sources:
        return []
    flat = movement.ravel(y)
    (size,) = flat.shape

    def row(index: Any) -> list[Tensor]:
        element = indexing.take(flat, index, 0)
        found: list[Tensor] = gradients(element, sources)
        return found

    if isinstance(size, int) and size <= UNROLL:
        rows = [row(i) for i in range(size)]
        stacked = [
            movement.reshape(joining.stack(column), (*y.shape, *s.shape))
            for column, s in zip(zip(*rows, strict=True), sources, strict=True)
        ] if rows else [creation.zeros((*y.shape, *s.shape), s.dtype) for s in sources]  # fmt: skip
    else:
        looped = map_(lambda i: row(i), creation.iota(size))
        looped = looped if isinstance(looped, list) else [looped]
        stacked = [
            movement.reshape(m, (*y.shape, *s.shape)) for m, s in zip(looped, sources, strict=True)
        ]
    return stacked[0] if isinstance(x, Tensor) else stacked


def hessian(loss: Tensor, x: Tensor) -> Tensor:
    """Return the second derivatives of a scalar: shape ``x.shape + x.shape``."""
    first: Tensor = gradients(loss, x)
    second: Tensor = jacobian(first, x)
    return second


def hessian_vector_product(loss: Tensor, x: Any, vector: Any) -> Any:
    """Return the second derivatives of `loss` along `vector`, without forming the hessian."""
    sources, vectors = tensors_of(x, "to differentiate by"), _directions(vector)
    if len(sources) != len(vectors):
        raise GradientError(f"{len(sources)} tensors but {len(vectors)} vectors", code="ST0604")
    for s, v in zip(sources, vectors, strict=True):
        if s.ndim != v.ndim or None in map(unify_dims, s.shape, v.shape):
            raise GradientError(f"a vector {v.type} for a tensor {s.type}", code="ST0604")
    first: list[Tensor] = gradients(loss, sources)
    total: Tensor | None = None
    for g, v in zip(first, vectors, strict=True):
        term = reduction.sum(g * v)
        total = term if total is None else elementwise.add(total, term)
    return gradients(total, x)


def custom_gradient(
    fn: Callable[..., Tensor], gradient: Callable[..., Sequence[Tensor | None]]
) -> Callable[..., Tensor]:
    """Return `fn` with another gradient.

    ``gradient(g, y, *xs)`` gets the cotangent of the result, the result and the operands, and returns
    one cotangent (or None) per operand. Both are functions of tensors that build graphs.
    """

    @functools.wraps(fn)
    def build(*operands: Any) -> Tensor:
        xs = [as_tensor(x) for x in operands]
        y = fn(*xs)
        return apply(STEERED, y, *xs, rule=gradient)

    return build


__all__ = ["custom_gradient", "hessian", "hessian_vector_product", "jacobian", "jvp", "vjp"]
