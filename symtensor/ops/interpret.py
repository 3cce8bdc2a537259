"""The interpreter: a graph's value by one `evaluate` call per node. It is the definition.

`run_graph` walks producers first, binds dimension symbols from the shapes of the inputs, hands each
rule plain arrays, ints for dims and callables for body graphs, and adds the op and the user's line
to any error. Engines that can't lower an op call `evaluate_node`, so a call-out means the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symtensor.errors import (
    IndexOutOfRange,
    LinAlgError,
    MissingInputError,
    Operand,
    ShapeError,
    SymtensorError,
)
from symtensor.ir import dims as D
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dims import DimExpr, Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, describe_operand, map_attribute
from symtensor.ir.types import TensorType, refuse_negative_sizes
from symtensor.nesting import nestable

Array = np.ndarray[Any, Any]
RunBody = Callable[[Graph, dict[Symbol, int]], Callable[..., list[Any]]]
"""``(body, sizes known outside) -> callable on arrays``; engines pass their compiled bodies."""

Watch = Callable[[Node, Sequence[Any], Any], Any]
"""``(node, operands, value) -> value``"""

_TRANSLATED: tuple[tuple[type[Exception], type[SymtensorError]], ...] = (
    (IndexError, IndexOutOfRange),
    (np.linalg.LinAlgError, LinAlgError),
    (ValueError, ShapeError),
)


@nestable
def run_graph(
    graph: Graph,
    inputs: Sequence[Array],
    variables: Mapping[Node, Array] | None = None,
    env: Mapping[Symbol, int] | None = None,
    watch: Watch | None = None,
) -> list[Array]:
    """Return the values of ``graph.roots``: outputs, then next values of the updates.

    `env` gives sizes that come from outside. `watch` sees every node that is computed with its
    operands and its value, in bodies too, and returns the value to go on with.
    """
    sizes = dict(env or {})
    names = [node.name or f"input {i}" for i, node in enumerate(graph.inputs)]
    types = [node.tensor_type for node in graph.inputs]
    bind_shapes(types, [x.shape for x in inputs], names, sizes)
    values: dict[Node, Any] = dict(zip(graph.inputs, inputs, strict=True))
    for node, value in (variables or {}).items():
        values[node] = value
        bind_shapes([node.tensor_type], [value.shape], [node.name or "variable"], sizes)
    body = run_body if watch is None else _watched_body(watch)
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node in values:
                continue
            operands = [values[x] for x in node.inputs]
            value = evaluate_node(node, operands, sizes, body)
            values[node] = value if watch is None else watch(node, operands, value)
            bind_result(node, values[node], sizes)
    return [values[root] for root in graph.roots]


def run_body(graph: Graph, env: dict[Symbol, int]) -> Callable[..., list[Array]]:
    """Return a body graph as a callable that interprets it."""
    return lambda *arrays: run_graph(graph, arrays, env=env)


def _watched_body(watch: Watch) -> RunBody:
    return lambda graph, env: lambda *arrays: run_graph(graph, arrays, env=env, watch=watch)


class Body:
    """A body graph as an `evaluate` rule sees it: callable on arrays."""

    def __init__(
        self, graph: Graph, env: Mapping[Symbol, int], run: Callable[..., list[Array]]
    ) -> None:
        self._graph = graph
        self._env = env
        self._run = run

    def __call__(self, *arrays: Array) -> list[Array]:
        return self._run(*arrays)

    @property
    def output_types(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and dtype of each output: all there is to know when no step runs."""
        types = [node.tensor_type for node in self._graph.outputs]
        return [(tuple(D.evaluate(d, self._env) for d in t.shape), t.dtype.numpy) for t in types]


def evaluate_node(
    node: Node, values: Sequence[Any], env: dict[Symbol, int], body: RunBody = run_body
) -> Any:
    """Return the value of one node; errors carry the op, operand types and the user's line."""
    if node.op.name in ("placeholder", "variable"):
        raise MissingInputError(f"{node!r} has no value: it is not among the inputs")
    try:
        attrs = resolve_attributes(node, env, body)
        value = node.op.evaluate(np, *values, **attrs)
        if isinstance(node.type, TensorType):
            return as_declared(value, node.type, env)
        return tuple(as_declared(v, t, env) for v, t in zip(value, node.type, strict=True))
    except Exception as error:
        found = located(_plain(error, node, env), node, values)
        if found is error:
            raise  # with the cause that it has
        raise found from error


def _plain(error: Exception, node: Node, env: Mapping[Symbol, int]) -> Exception:
    """Return the refusal of a negative size, where a rule or NumPy stumbled over it unaware."""
    numpys = isinstance(error, ValueError) and not isinstance(error, SymtensorError)
    if numpys or (isinstance(error, ShapeError) and error.code != "ST0110"):
        try:
            refuse_negative_sizes(node.type, env)
        except ShapeError as refusal:
            return refusal
    return error


def as_declared(value: Any, type_: TensorType, env: Mapping[Symbol, int]) -> Array:
    """Return an array of exactly the declared dtype; refuse one of another shape."""
    array = np.asarray(value)
    wanted = [D.substitute(d, env) for d in type_.shape]
    fits = len(wanted) == array.ndim and all(
        not isinstance(w, int) or w == n for w, n in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        refuse_negative_sizes(type_, env)
        raise ShapeError(f"expected a result {type_}, found shape {array.shape}")
    return array.astype(type_.dtype.numpy, copy=False)


def located(error: Exception, node: Node, values: Sequence[Any]) -> Exception:
    """Return `error` as a symtensor error that names op, actual shapes and the user's line."""
    if not isinstance(error, SymtensorError):
        for builtin, ours in _TRANSLATED:
            if isinstance(error, builtin):
                error = ours(str(error))
                break
        else:
            error.add_note(f"while evaluating {node.op.name} built at {node.loc}")
            return error
    operands = [describe_operand(x) for x in node.inputs]
    found = [f"shape {list(v.shape)}" if hasattr(v, "shape") else "" for v in values]
    if len(found) == len(operands):
        pairs = zip(operands, found, strict=True)
        operands = [Operand(f"{x.text}, here of {f}" if f else x.text, x.place) for x, f in pairs]
    error.add_context(node.op.name, operands, node.loc)
    return error


def resolve_attributes(node: Node, env: dict[Symbol, int], body: RunBody) -> dict[str, Any]:
    """Return the attributes with dims as ints and body graphs as callables."""

    def leaf(value: Any) -> Any:
        if isinstance(value, DimExpr):
            own = D.as_symbol(value)  # an unbound symbol: the size of the node's own result
            return None if own is not None and own not in env else D.evaluate(value, env)
        if isinstance(value, Graph):
            return Body(value, env, body(value, env))
        return value

    return {name: map_attribute(value, leaf) for name, value in node.attrs.items()}


def bind_result(node: Node, value: Any, env: dict[Symbol, int]) -> None:
    """Bind symbols that only this node's actual result shape determines (data-dependent sizes)."""
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    arrays = (value,) if isinstance(node.type, TensorType) else value
    for type_, array in zip(types, arrays, strict=True):
        for dim, size in zip(type_.shape, array.shape, strict=True):
            symbol = D.as_symbol(dim)
            if symbol is not None:
                env.setdefault(symbol, size)
