"""Ops and nodes: the tensor graph.

    Op   = name + the rules that say what the operation means
    Node = Op applied to input nodes, with attributes; has one type

A node whose op yields several tensors has a tuple of types; its tensors are picked out by `RESULT`
nodes, so every edge of the graph is simply a node. Nodes are immutable and interned: the same op on
the same inputs with the same attributes is the same object, hence structural equality is identity
and common subexpressions are shared from birth. The table is weak: dropped graphs are collected.
Ops that must stay apart (placeholders, variables, draws) carry a unique ``uid`` attribute. The
user's line and a display name live outside identity.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from symtensor.errors import AttributeValueError, Operand, SymtensorError
from symtensor.ir import location
from symtensor.ir.dims import DimExpr
from symtensor.ir.types import NodeType, TensorType, refuse_negative_sizes
from symtensor.source import Location

if TYPE_CHECKING:
    from symtensor.ir.graph import Graph

InferRule = Callable[..., NodeType]
EvaluateRule = Callable[..., Any]
VjpRule = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """Everything symtensor knows about one operation."""

    name: str
    infer: InferRule
    """``(*types, **attrs) -> TensorType`` or a tuple of them; raises ShapeError, DTypeError…"""
    evaluate: EvaluateRule
    """``(xp, *arrays, **attrs) -> array`` or tuple: the meaning, in NumPy. Pure, never in place.
    Dims among the attrs arrive as ints, body graphs as callables ``(*arrays) -> list``."""
    vjp: VjpRule | None = None
    """``(g, y, *xs, **attrs) -> one cotangent or None per input``, written with Tensor operators.
    For an op with several results ``g`` and ``y`` are tuples and ``g[i]`` is None where nothing
    flows. An op with bodies also receives ``pullback`` (see `symtensor.autodiff`)."""
    family: Any = None
    """How compilers lower it (`symtensor.ops.families`); None: opaque, run by `evaluate`."""
    linear: tuple[int, ...] = ()
    """Inputs in which the op is jointly linear: forward mode applies the op to tangents."""
    bodies: tuple[str, ...] = ()
    """Names of attributes that hold closed body graphs (scan, cond…)."""
    effect: bool = False
    """True when evaluating does more than return a value (print, assert): never folded."""
    commutative: bool = False
    """True when the two operands may be exchanged without changing a bit of the result."""
    doc: str = ""

    def __repr__(self) -> str:
        return f"<op {self.name}>"


class Node:
    """One application of an op; make it with `make_node`, compare it with ``is``."""

    __slots__ = ("__weakref__", "attrs", "inputs", "loc", "name", "op", "serial", "type")

    op: Op
    inputs: tuple[Node, ...]
    attrs: Mapping[str, Any]
    type: NodeType
    loc: Location | None  # user line of the first creation; not part of identity
    name: str | None  # display name; not part of identity
    serial: int  # counts nodes as they are made; tells what existed before a moment

    @property
    def tensor_type(self) -> TensorType:
        """The type of a node that is one tensor."""
        assert isinstance(self.type, TensorType), f"{self.op.name} has several results"
        return self.type

    def with_inputs(self, inputs: Sequence[Node]) -> Node:
        """Return the same op on other inputs, keeping line and name."""
        if tuple(inputs) == self.inputs:  # nodes are equal where they are identical
            return self
        return make_node(self.op, inputs, self.attrs, loc=self.loc, name=self.name)

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        return f"<{self.op.name}{label}: {format_type(self.type)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("nodes are pickled with their graph, not alone")


_interned: weakref.WeakValueDictionary[Any, Node] = weakref.WeakValueDictionary()
_uids = itertools.count()
_serials = itertools.count()


def fresh_uid() -> int:
    """Return a number for the ``uid`` attribute of a node that must stay unique."""
    return next(_uids)


def current_serial() -> int:
    """Return a number that nodes made from now on exceed."""
    return next(_serials)


def freeze(value: Any) -> Any:
    """Return a hashable key of an attribute value that keeps 1, 1.0, True, 0.0 and -0.0 apart."""
    if isinstance(value, (list, tuple)):
        return tuple(freeze(v) for v in value)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float):
        return ("float", value.hex())
    return value


def map_attribute(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply `change` to the leaves of an attribute value (tuples may nest)."""
    if isinstance(value, (list, tuple)):
        return tuple(map_attribute(v, change) for v in value)
    return change(value)


def _refusal(op: Op, attrs: Mapping[str, Any]) -> AttributeValueError:
    """Return what is wrong with attributes that can't be hashed."""
    bad = next(name for name, value in attrs.items() if not _is_hashable(freeze(value)))
    return AttributeValueError(
        f"{op.name}: {bad}: expected a number, a text or a tuple of such, found {attrs[bad]!r}"
    )


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def make_node(
    op: Op,
    inputs: Sequence[Node],
    attrs: Mapping[str, Any] | None = None,
    *,
    loc: Location | None = None,
    name: str | None = None,
) -> Node:
    """Return the node for `op` on `inputs`, existing or new; the type comes from `op.infer`."""
    attrs = attrs or {}
    inputs = tuple(inputs)
    key = (op, inputs, tuple((k, freeze(attrs[k])) for k in sorted(attrs)))
    try:
        found = _interned.get(key)
    except TypeError:
        raise _refusal(op, attrs) from None
    if found is not None:
        return found
    where = loc if loc is not None else location.current()
    try:
        inferred = op.infer(*(x.type for x in inputs), **attrs)
        refuse_negative_sizes(inferred)
    except SymtensorError as error:
        error.add_context(op.name, [describe_operand(x) for x in inputs], where)
        raise
    node = Node.__new__(Node)
    node.op, node.inputs, node.attrs, node.type = op, inputs, attrs, inferred
    node.loc, node.name, node.serial = where, name, next(_serials)
    return _interned.setdefault(key, node)


def format_type(node_type: NodeType) -> str:
    """Return ``f32[n, 3]`` or ``(f32[n], i64[])``."""
    if isinstance(node_type, TensorType):
        return str(node_type)
    return "(" + ", ".join(map(str, node_type)) + ")"


def describe_operand(node: Node) -> Operand:
    """Return what an error message says of an operand: type, name or op, and its line."""
    what = f"{node.op.name} {node.name!r}" if node.name else node.op.name
    return Operand(f"{format_type(node.type)} {what}", node.loc)


def _infer_result(*types: NodeType, index: int) -> TensorType:
    (source,) = types
    assert isinstance(source, tuple)
    return source[index]


RESULT = Op(
    "result",
    infer=_infer_result,
    evaluate=lambda xp, results, index: results[index],
    doc="The index-th tensor of a node with several results.",
)


def results(node: Node) -> tuple[Node, ...]:
    """Return the tensors of a node: itself, or one `RESULT` node per result."""
    if isinstance(node.type, TensorType):
        return (node,)
    return tuple(
        make_node(RESULT, (node,), {"index": i}, loc=node.loc) for i in range(len(node.type))
    )


def has_dims(value: Any) -> bool:
    """Return True when an attribute value contains a symbolic dim."""
    if isinstance(value, tuple):
        return any(map(has_dims, value))
    return isinstance(value, DimExpr)


def body_graphs(node: Node) -> list[Graph]:
    """Return the body graphs among the attributes of a node."""
    return [node.attrs[name] for name in node.op.bodies]
