"""Programs on disk: what a graph was compiled to once is not worked out again.

    key   = digest of the graph's text, the compiler's sources and the target
    entry = what a program needs to run, with nodes and sizes by their places in the graph,
            and the key of its code

A program that is found has the graph that was asked for, so the same variables and the user's own lines; how
it was made (schedule, kernels, texts) is worked out when somebody looks. Graphs with ops of users are not
kept: their text names rules that it does not hold. Entries are pickles, and trusted as the code beside them.
"""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from symtensor.codegen import cache, sources
from symtensor.codegen.program import Program
from symtensor.codegen.target import Target
from symtensor.ir.dims import DimExpr, Symbol
from symtensor.ir.dtypes import DType
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, body_graphs, results
from symtensor.ir.printer import HIDDEN, print_and_label
from symtensor.ir.types import TensorType
from symtensor.ops.registry import is_own

FIELDS = ("slots", "sizes", "checks", "products", "partial_bytes", "shared", "place", "call_outs",
          "key")  # fmt: skip
"""What an entry holds of a program."""
PLAIN = (bool, int, float, str, type(None), DType, DimExpr, TensorType)
"""Attribute values that the text of a graph shows whole."""

_log = logging.getLogger("symtensor.cache")


class Recall:
    """The entry of one graph, or of a body that is compiled by itself.

    Of bodies only those without bodies of their own have entries: of many, each inside the next, the texts
    would be as long together as the square of one.
    """

    def __init__(self, graph: Graph, target: Target, is_body: bool = False) -> None:
        self.graph = graph
        self.target = target
        is_nested = is_body and any(node.op.bodies for node in graph.nodes())
        self.store = None if is_nested else cache.configured()
        self.nodes = _numbered(graph) if self.store else []
        self.symbols: Mapping[Symbol, str] = {}
        self.key: str | None = None
        if self.store and all(map(_is_told, self.nodes)):
            text, labels = print_and_label(graph)
            self.symbols = labels.symbols
            self.key = sources.key_of(text, target)

    def find(self) -> Program | None:
        """Return the program of the graph, without its code, if it is there."""
        found = self.store.get(self.key) if self.store and self.key else None
        if found is None:
            return None
        named = {name: symbol for symbol, name in self.symbols.items()}
        try:
            values = _Reader(io.BytesIO(found), self.nodes, named).load()
            return Program(self.graph, self.target, **dict(zip(FIELDS, values, strict=True)))
        except Exception as error:  # a pickle may raise anything; the entry is written anew
            _log.debug("%s: not read: %r", self.key, error)
            return None

    def keep(self, program: Program) -> None:
        """Write the entry of the graph's program."""
        if self.store is None or self.key is None:
            return
        data = io.BytesIO()
        place = {node: i for i, node in enumerate(self.nodes)}
        try:
            _Writer(data, place, self.symbols).dump([getattr(program, x) for x in FIELDS])
        except _OutsideGraphError:
            return
        self.store.put(self.key, data.getvalue())


def _numbered(graph: Graph) -> list[Node]:
    """Return the nodes of a graph and of the bodies in it, with all results of each."""
    found: dict[Node, None] = {}
    pending = [graph]
    while pending:
        for node in pending.pop().all_nodes():
            if node not in found:
                found |= dict.fromkeys((node, *results(node)))
                pending += body_graphs(node)
    return list(found)


def _is_told(node: Node) -> bool:
    """Return True for a node whose text says all that code depends on: of an array that is its type."""
    if not is_own(node.op):
        return False
    apart = (*HIDDEN.get(node.op.name, ()), *node.op.bodies)
    rest = (value for name, value in node.attrs.items() if name not in apart)
    return node.op.name == "constant" or all(map(_is_plain, rest))


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)


class _OutsideGraphError(Exception):
    """A program knows a node or a size that its graph does not have."""


class _Writer(pickle.Pickler):
    """Writes nodes and symbols as what they are in a graph; `symtensor.serialize` tells how dims go."""

    def __init__(
        self, file: io.BytesIO, nodes: Mapping[Node, int], symbols: Mapping[Symbol, str]
    ) -> None:
        super().__init__(file, protocol=5)
        self.nodes = nodes
        self.symbols = symbols

    def persistent_id(self, value: Any) -> int | str | None:
        """Return the number of a node or the name of a symbol."""
        try:
            if isinstance(value, Node):
                return self.nodes[value]
            return self.symbols[value] if isinstance(value, Symbol) else None
        except KeyError:
            raise _OutsideGraphError from None


class _Reader(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, nodes: Sequence[Node], symbols: Mapping[str, Symbol]
    ) -> None:
        super().__init__(file)
        self.nodes = nodes
        self.symbols = symbols

    def persistent_load(self, name: int | str) -> Node | Symbol:
        """Return the node with a number, or the symbol with a name."""
        return self.symbols[name] if isinstance(name, str) else self.nodes[name]
