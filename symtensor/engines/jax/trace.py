"""Tracing: a graph becomes jax operations, node by node, for one combination of sizes.

A `Trace` walks nodes, producers first, and gives each to the rule that `rule_for` finds: a native
form of this package, the op's scalar rule in `JaxScalars`, its own `evaluate` with `jax.numpy` as
the array namespace, or a call-out to NumPy. All sizes are ints while tracing, so wrong ones raise
here, with the op and the user's line, as they do in the interpreter.

What only data can tell (an index out of range, a singular matrix, a failed assertion) can't raise
inside XLA. A rule then gives any value and raises a *doubt*: a bool scalar that is True when the
call may have failed. A doubted call is run again by the reference, which raises the error or gives
the results; so a doubt may be raised too often, never too seldom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from symtensor.engines.jax.callout import call_out
from symtensor.engines.jax.scalars import JaxScalars
from symtensor.errors import AttributeValueError, IndexOutOfRange, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import RESULT, Node, Op, body_graphs
from symtensor.ir.types import TensorType, refuse_negative_sizes
from symtensor.ops.effects import STEERED
from symtensor.ops.families import Elementwise, Index, Reduction, Running, View
from symtensor.ops.inputs import CONSTANT, DIM_VALUE, PARAMETER
from symtensor.ops.interpret import located, resolve_attributes
from symtensor.ops.joining import CONCATENATE
from symtensor.ops.reduction import PRODUCT_OF_OTHERS
from symtensor.passes.sizes import has_late_sizes, symbols_of

Rule = Callable[..., Any]
"""``(trace, *arrays, **attrs) -> array`` or a tuple; ``trace.node`` is the node."""

NATIVE: dict[Op, Rule] = {}
"""Ops with a form of their own here; filled by the modules that import this one."""

WRONG_SIZES = (AttributeValueError, IndexOutOfRange, ShapeError)
"""What is raised while tracing for sizes that a node can't have."""

PORTABLE = frozenset({CONCATENATE, DIM_VALUE, PRODUCT_OF_OTHERS, RESULT, STEERED})
"""Ops of other families whose `evaluate` holds for every array namespace."""


def native(op: Op) -> Callable[[Rule], Rule]:
    """Make a function the native form of an op."""

    def register(rule: Rule) -> Rule:
        NATIVE[op] = rule
        return rule

    return register


def _evaluate(trace: Trace, *xs: Any, **attrs: Any) -> Any:
    return trace.node.op.evaluate(jnp, *xs, **attrs)


def _elementwise(trace: Trace, *xs: Any, **attrs: Any) -> Any:
    return trace.node.op.family.scalar(JaxScalars(trace.doubt, trace.platform), *xs, **attrs)


@native(CONSTANT)
def _constant(trace: Trace, *, value: Literal) -> Any:
    """XLA drops the addition of a zero that it sees, though -0.0 + 0.0 is 0.0: it must not see it."""
    array = jnp.asarray(value.array)
    hidden = value.dtype.is_floating and not value.array.any()
    return lax.optimization_barrier(array) if hidden else array


LARGEST = 100_000
"""Nodes that a body may have when those inside it are written out, as XLA does; more is a call-out."""


def _written_out(graph: Graph, known: dict[Graph, int]) -> int:
    """Return the number of nodes of a graph and of all its bodies, each as often as it is there."""
    if graph not in known:
        inner = (body for node in graph.nodes() for body in body_graphs(node))
        known[graph] = len(graph.nodes()) + sum(_written_out(body, known) for body in inner)
    return known[graph]


def rule_for(node: Node) -> Rule:
    """Return how a node is traced; `call_out` where nothing else is known."""
    if node.op.bodies:
        known = {symbol for x in node.inputs for symbol in symbols_of(x)}
        counts: dict[Graph, int] = {}
        for body in body_graphs(node):
            if has_late_sizes(body, known) or _written_out(body, counts) > LARGEST:
                return call_out
    found = NATIVE.get(node.op)
    if found is not None:
        return found
    if isinstance(node.op.family, Elementwise):
        return _elementwise
    if node.op in PORTABLE or isinstance(node.op.family, (Index, Reduction, Running, View)):
        return _evaluate
    return call_out


def called_out(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes, also those in bodies, that are call-outs."""
    found = []
    for node in nodes:
        if rule_for(node) is call_out:
            found.append(node)
        else:
            found += [x for body in body_graphs(node) for x in called_out(_computed(body))]
    return found


def _computed(body: Graph) -> list[Node]:
    return [node for node in body.nodes() if node.op is not PARAMETER]


class Trace:
    """The values of nodes so far, the sizes, and the doubts of each node."""

    def __init__(self, env: dict[Symbol, int], platform: str) -> None:
        self.env = env
        self.platform = platform
        self.values: dict[Node, Any] = {}
        self.doubts: list[tuple[Node, Any]] = []
        self.node: Node

    def walk(self, nodes: Iterable[Node]) -> None:
        """Compute nodes, producers first, that have no value yet."""
        for node in nodes:
            if node not in self.values:
                self.values[node] = self._value(node, [self.values[x] for x in node.inputs])

    def _value(self, node: Node, operands: Sequence[Any]) -> Any:
        self.node = node
        try:
            refuse_negative_sizes(node.type, self.env)  # which XLA has other words for, or none
            attrs = resolve_attributes(node, self.env, self.body)
            value = rule_for(node)(self, *operands, **attrs)
            if isinstance(node.type, TensorType):
                return self._declared(value, node.type)
            return tuple(map(self._declared, value, node.type))
        except Exception as error:
            found = located(error, node, operands)
            if found is error:
                raise  # with the cause that it has
            raise found from error

    def _declared(self, value: Any, type_: TensorType) -> Any:
        """Return an array of the declared dtype; refuse one of another shape."""
        array, wanted = jnp.asarray(value), self.shape(type_)
        if array.shape != wanted:
            raise ShapeError(f"expected a result {type_}, found shape {array.shape}")
        return array.astype(type_.dtype.numpy)

    def shape(self, type_: TensorType) -> tuple[int, ...]:
        """Return the sizes of a type as ints."""
        return tuple(D.evaluate(d, self.env) for d in type_.shape)

    def doubt(self, flag: Any) -> None:
        """Note that the present node has failed if `flag`, a bool scalar, is True."""
        self.doubts.append((self.node, jnp.asarray(flag)))

    def any_doubt(self) -> Any:
        """Return a bool scalar: whether anything was doubted."""
        out = jnp.asarray(False)
        for _, flag in self.doubts:
            out = out | flag
        return out

    def body(self, graph: Graph, env: dict[Symbol, int]) -> Callable[..., list[Any]]:
        """Return a body as a callable on arrays: its outputs, then whether anything was doubted.

        XLA compiles bodies that will never run, as the other branch of a condition. One with sizes
        that can't be is doubted as a whole: it fails if it runs.
        """

        def run(*arrays: Any) -> list[Any]:
            inner = Trace(dict(env), self.platform)
            types = [node.tensor_type for node in graph.inputs]
            names = [f"operand {i}" for i in range(len(types))]
            bind_shapes(types, [x.shape for x in arrays], names, inner.env)
            inner.values.update(zip(graph.inputs, arrays, strict=True))
            try:
                inner.walk(graph.nodes())
            except WRONG_SIZES:
                return [*map(inner.anything, graph.outputs), jnp.asarray(True)]
            return [*(inner.values[x] for x in graph.outputs), inner.any_doubt()]

        return run

    def anything(self, node: Node) -> Any:
        """Return a value of the type of `node`, to go on with where it has none."""
        shape = (D.evaluate(d, self.env) for d in node.tensor_type.shape)
        return jnp.zeros([max(n, 0) for n in shape], node.tensor_type.dtype.numpy)
