"""Closed body graphs: what control-flow ops carry as attributes.

A user's function is traced on fresh placeholders. Whatever it reads from outside becomes an explicit
input, and the placeholders become PARAMETER nodes numbered by position. So a body is closed, equal
traces are one graph, and the op's node says all it depends on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from symtensor.errors import ArgumentError
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.node import RESULT, Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops.families import Elementwise, View
from symtensor.ops.inputs import PARAMETER, placeholder

LEAVES = frozenset({"placeholder", "variable", "parameter"})


def fresh_placeholders(types: Sequence[TensorType]) -> list[Tensor]:
    """Return a placeholder of each type, to trace with."""
    return [placeholder(t.shape, t.dtype) for t in types]


def parameters(types: Sequence[TensorType], start: int = 0) -> list[Tensor]:
    """Return body parameters of the given types, numbered from `start`."""
    return [
        Tensor(make_node(PARAMETER, (), {"type": t, "index": start + i}))
        for i, t in enumerate(types)
    ]


def depends_on(roots: Sequence[Node], sources: Sequence[Node]) -> set[Node]:
    """Return the nodes under `roots` whose value depends on `sources`."""
    found = set(sources)
    for node in toposort(roots):
        if any(x in found for x in node.inputs):
            found.add(node)
    return found


def check_callable(function: Any, what: str) -> None:
    """Raise `ArgumentError` for what is no function."""
    if not callable(function):
        raise ArgumentError(f"{what} must be a function, found {function!r}")


def check_call(
    function: Callable[..., Any], what: str, arguments: Sequence[Tensor], **keywords: Any
) -> None:
    """Raise `ArgumentError` when a user's function does not take the arguments it will get."""
    check_callable(function, what)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that tells nothing
        return
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        given = [str(x.type) for x in arguments] + [f"{key}=" for key in keywords]
        raise ArgumentError(
            f"{what} takes {signature}, and is called with {len(given)} arguments "
            f"({', '.join(given)})"
        ) from None


def made_after(serial: int) -> Callable[[Node], bool]:
    """Return a test for nodes made after `serial` was taken."""
    return lambda node: node.serial > serial


def close_body(
    arguments: Sequence[Tensor], outputs: Sequence[Tensor], inside: Callable[[Node], bool]
) -> tuple[list[Node], list[Node]]:
    """Return (outputs, captured): the outputs' nodes, and the outer nodes they read.

    `inside` says which nodes the body computes itself; leaves are always outside. Constant
    expressions are computed inside rather than passed in.
    """
    roots = [x.node for x in outputs]
    given = {x.node for x in arguments}
    constant = _constant_nodes(roots)
    own: set[Node] = set()
    captured: dict[Node, None] = {}
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if node in own or node in given or node in captured:
            continue
        source = node.inputs[0] if node.op is RESULT else node
        computed = source.op.name not in LEAVES and (inside(source) or node in constant)
        if computed:
            own.add(node)
            stack += reversed(node.inputs)
        else:
            captured[node] = None
    return roots, list(captured)


def _constant_nodes(roots: Sequence[Node]) -> set[Node]:
    """Return the cheap nodes that depend on no leaf: constants, sizes and what is made of them."""
    found: set[Node] = set()
    for node in toposort(roots):
        if not node.inputs:
            if node.op.name not in LEAVES:
                found.add(node)
        elif all(x in found for x in node.inputs) and isinstance(
            node.op.family, (Elementwise, View)
        ):
            found.add(node)
    return found


def body_graph(
    arguments: Sequence[Tensor], captured: Sequence[Node], roots: Sequence[Node]
) -> Graph:
    """Return the closed graph: parameters for the arguments, then for what is captured."""
    sources = [x.node for x in arguments] + list(captured)
    params = parameters([n.tensor_type for n in sources])
    mapping = {old: new.node for old, new in zip(sources, params, strict=True)}
    new_roots = replace_nodes(roots, mapping)
    return Graph(tuple(p.node for p in params), tuple(new_roots))


def inline(body: Graph, arguments: Sequence[Tensor]) -> list[Tensor]:
    """Return the body's outputs computed on `arguments`."""
    mapping = {p: x.node for p, x in zip(body.inputs, arguments, strict=True)}
    return [Tensor(n) for n in replace_nodes(body.outputs, mapping)]
