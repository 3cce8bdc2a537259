"""Pickling and copying of graphs, tensors, variables and sizes.

A graph becomes a flat table: one row per node, inputs as row numbers, so depth does not matter. Ops
are written by name and looked up when read, so a custom op must be defined before its pickles load.
What has an identity (a variable's store, a placeholder's uid, a size's symbol) goes through the
pickle's memo: things pickled together keep sharing it, things loaded apart do not. Importing this
module registers the rules; `copy.deepcopy` follows the same ones.

Loading a pickle runs code: load only files you trust.
"""

from __future__ import annotations

import copyreg
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from symtensor.errors import AttributeValueError, ParseError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr, FloorDiv, Max, Symbol
from symtensor.ir.graph import Graph, nested_bodies, toposort
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, fresh_uid, make_node
from symtensor.ops.registry import get_op
from symtensor.source import Location

Row = tuple[str, tuple[int, ...], dict[str, Any], Location | None, str | None]
"""Op name, rows of the inputs, attributes, user line, display name."""
Table = tuple[list[Row], Sequence[int], Sequence[int], Sequence[tuple[int, int]]]
"""Rows, then the rows of inputs and outputs, and pairs of rows for the updates."""


class Uid:
    """Stands for one uid in a pickle; read back it is a fresh one."""

    __slots__ = ("__weakref__", "value")

    def __init__(self) -> None:
        self.value = fresh_uid()

    def __reduce__(self) -> tuple[Any, ...]:
        return Uid, ()


_uids: weakref.WeakValueDictionary[int, Uid] = weakref.WeakValueDictionary()


def _uid(value: int) -> Uid:
    """Return the one living stand-in for a uid, so that a pickle's memo recognizes it."""
    found = _uids.get(value)
    if found is None:
        found = Uid.__new__(Uid)
        found.value = value
        found = _uids.setdefault(value, found)
    return found


# --- graphs --------------------------------------------------------------------------------------


def pack_graph(graph: Graph) -> Table:
    """Return a graph as a flat table."""
    nodes = toposort((*graph.inputs, *graph.roots, *(target for target, _ in graph.updates)))
    place = {node: i for i, node in enumerate(nodes)}
    rows = [
        (n.op.name, tuple(place[x] for x in n.inputs), _pack_attrs(n.attrs), n.loc, n.name)
        for n in nodes
    ]
    return (
        rows,
        [place[n] for n in graph.inputs],
        [place[n] for n in graph.outputs],
        [(place[target], place[new]) for target, new in graph.updates],
    )


def unpack_graph(*table: Any) -> Graph:
    """Return the graph of a table; raises `ParseError` for an op that is not defined here."""
    rows, inputs, outputs, updates = table
    nodes: list[Node] = []
    for name, operands, attrs, loc, label in rows:
        try:
            op = get_op(name)
        except AttributeValueError as error:
            raise ParseError(
                error.message, help="import the module that defines this op before loading"
            ) from None
        sources = [nodes[i] for i in operands]
        nodes.append(make_node(op, sources, _unpack_attrs(attrs), loc=loc, name=label))
    return Graph(
        tuple(nodes[i] for i in inputs),
        tuple(nodes[i] for i in outputs),
        tuple((nodes[target], nodes[new]) for target, new in updates),
    )


def _pack_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _uid(v) if k == "uid" else v for k, v in attrs.items()}


def _unpack_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.value if isinstance(v, Uid) else v for k, v in attrs.items()}


def _reduce_graph(graph: Graph) -> tuple[Any, ...]:
    inner = nested_bodies(graph.nodes())
    return _restore_graph, (inner, pack_graph(graph))


def _restore_graph(inner: Sequence[Graph], table: Table) -> Graph:
    """Return the graph of a table. Pickles know the bodies before it, so none is met inside another:
    pickle calls itself for each, and would not come far."""
    return unpack_graph(*table)


def _restore_node(graph: Graph) -> Node:
    return graph.outputs[0]


def _reduce_node(node: Node) -> tuple[Any, ...]:
    return _restore_node, (Graph((), (node,)),)


# --- values and sizes ----------------------------------------------------------------------------


def _reduce_literal(literal: Literal) -> tuple[Any, ...]:
    return Literal, (literal.array,)


def _restore_symbol(name: str, is_named: bool) -> Symbol:
    found = D.as_symbol(D.dim(name) if is_named else D.symbol())
    assert found is not None
    return found


def _reduce_symbol(symbol: Symbol) -> tuple[Any, ...]:
    return _restore_symbol, (symbol.name, D.is_global(symbol))


def _restore_dim(terms: Sequence[tuple[int, Sequence[Any]]]) -> Dim:
    total: Dim = 0
    for coefficient, factors in terms:
        total = total + coefficient * D.product(map(_restore_factor, factors))
    return total


def _restore_factor(factor: Any) -> Dim:
    if isinstance(factor, Symbol):
        return D.symbol_dim(factor)
    kind, left, right = factor
    return D.floordiv(left, right) if kind == "floordiv" else D.maximum(left, right)


def _reduce_dim(dim: DimExpr) -> tuple[Any, ...]:
    terms = [(c, [_pack_factor(atom) for atom in monomial]) for monomial, c in dim.terms]
    return _restore_dim, (terms,)


def _pack_factor(atom: D.Atom) -> Any:
    if isinstance(atom, FloorDiv):
        return ("floordiv", atom.numerator, atom.denominator)
    if isinstance(atom, Max):
        return ("max", atom.left, atom.right)
    return atom


def _register() -> None:
    copyreg.pickle(Graph, _reduce_graph)
    copyreg.pickle(Node, _reduce_node)
    copyreg.pickle(Literal, _reduce_literal)
    copyreg.pickle(Symbol, _reduce_symbol)
    copyreg.pickle(DimExpr, _reduce_dim)


_register()
