"""Text -> graph: the inverse of `symtensor.ir.printer`.

``parse_graph(print_graph(g), ops, bind=g) == g``: with `bind`, leaves are the placeholders,
variables and sizes of that graph, by label. Without it, placeholders and automatic sizes are fresh,
and a variable is made by `make_variable` (an argument, like the op table: this layer knows no ops).
Whatever the text, only `SymtensorError`s escape; they name line and column.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symtensor.errors import ParseError, SymtensorError
from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, Op, fresh_uid, make_node
from symtensor.ir.printer import HIDDEN, Labels
from symtensor.ir.reader import Tokens, ValueReader
from symtensor.ir.types import NodeType, TensorType
from symtensor.source import Location

MakeVariable = Callable[[TensorType, str, Mapping[str, Any]], Node]
"""Makes a variable of a type, a name and the attributes in the text."""


def parse_graph(
    text: str,
    ops: Mapping[str, Op],
    *,
    bind: Graph | None = None,
    literals: Sequence[Literal] = (),
    make_variable: MakeVariable | None = None,
    file: str | None = None,
) -> Graph:
    """Return the graph that `text` describes; raises `ParseError` with line and column.

    With `file`, nodes have the lines of that file as their places.
    """
    if not isinstance(text, str):
        raise ParseError(f"expected the text of a graph, found {text!r}")
    tokens = Tokens(text)
    parser = _Parser(tokens, ops, literals, make_variable)
    parser.file = file
    if not isinstance(bind, Graph | None):
        raise ParseError(f"bind: expected a graph, found {bind!r}")
    if bind is not None:
        parser.bind(bind)
    graph = parser.graph()
    if tokens.kind != "end":
        raise tokens.error(f"expected the end of the text, found {tokens.peek!r}")
    return graph


class _Parser(ValueReader):
    def __init__(
        self,
        tokens: Tokens,
        ops: Mapping[str, Op],
        literals: Sequence[Literal],
        make_variable: MakeVariable | None,
    ) -> None:
        super().__init__(tokens, literals)
        self.ops = ops
        self.make_variable = make_variable
        self.leaves: dict[str, Node] = {}
        self.file: str | None = None

    def bind(self, graph: Graph) -> None:
        """Take leaves and sizes of the same label from `graph`."""
        labels = Labels()
        for node in graph.all_nodes():
            label = labels.node(node)
            if node.op.name in HIDDEN:
                self.leaves[label] = node
            types = (node.type,) if isinstance(node.type, TensorType) else node.type
            values: list[Any] = [*(node.attrs[k] for k in sorted(node.attrs)
                                   if k not in HIDDEN.get(node.op.name, ())), *types]  # fmt: skip
            for value in values:
                for symbol in _symbols_of(value):
                    labels.symbol(symbol)
        self.symbols = {name: D.symbol_dim(s) for s, name in labels.symbols.items()}

    # --- statements -----------------------------------------------------------------------------

    def graph(self) -> Graph:
        self._enter()
        self.t.expect("graph")
        self.t.expect("{")
        nodes: dict[str, Node] = {}
        while self.t.kind == "label":
            self.statement(nodes)
        self.t.expect("inputs")
        inputs = self.labels(nodes)
        self.t.expect("outputs")
        outputs = self.labels(nodes)
        updates = []
        while self.t.accept("update"):
            target = self.reference(nodes)
            self.t.expect("<-")
            updates.append((target, self.reference(nodes)))
        self.t.expect("}")
        self.t.depth -= 1
        return Graph(inputs, outputs, tuple(updates))

    def labels(self, nodes: dict[str, Node]) -> tuple[Node, ...]:
        out: list[Node] = []
        while self.t.kind == "label":
            out.append(self.reference(nodes))
            if not self.t.accept(","):
                break
        return tuple(out)

    def reference(self, nodes: dict[str, Node]) -> Node:
        label = self.t.peek
        if self.t.kind != "label" or label not in nodes:
            raise self.t.error(f"expected the label of an earlier node, found {label!r}")
        self.t.next()
        return nodes[label]

    def statement(self, nodes: dict[str, Node]) -> None:
        start = self.t.items[self.t.place][2]
        label = self.t.next("label")
        if label in nodes:
            raise self.t.error_at(start, f"the label {label} is defined twice")
        self.t.expect("=")
        name = self.t.next("word")
        if name not in self.ops:
            near = difflib.get_close_matches(name, self.ops, n=1)
            self.t.place -= 1
            raise self.t.error(
                f"there is no op named {name!r}",
                f"did you mean {near[0]}?" if near else None,
                code="ST1001",
            )
        inputs = self.labels(nodes)
        attrs = self.attributes() if self.t.accept("{") else {}
        self.t.expect(":")
        type_ = self.node_type()
        place = None if self.file is None else Location(self.file, self.t.line(start))
        try:
            with location.at(place):
                nodes[label] = self.make(label, self.ops[name], inputs, attrs, type_)
        except ParseError:
            raise
        except SymtensorError as error:
            raise self.t.error_at(
                start, f"{name}: {error.message}", error.help, code="ST1002"
            ) from error
        except (TypeError, KeyError, ValueError, IndexError, AttributeError, AssertionError,
                ArithmeticError, MemoryError) as error:  # fmt: skip
            raise self.t.error_at(start, f"{name}: {_fact(error)}", code="ST1002") from error
        if nodes[label].type != type_:
            raise self.t.error_at(
                start, f"{name} gives {nodes[label].type}, the text says {type_}", code="ST1002"
            )

    def make(
        self, label: str, op: Op, inputs: tuple[Node, ...], attrs: dict[str, Any], type_: NodeType
    ) -> Node:
        if self.t.depth == 1 and label in self.leaves and self.leaves[label].op is op:
            return self.leaves[label]
        shown = label[1:] if not label[1:].isdigit() else None
        if op.name == "placeholder":
            attrs = {**attrs, "type": type_, "uid": fresh_uid()}
        elif op.name == "parameter":
            attrs = {**attrs, "type": type_}
        elif op.name == "variable":
            if self.make_variable is None or not isinstance(type_, TensorType):
                raise ParseError(f"the variable {label} has no value: pass bind= or make_variable=")
            return self.make_variable(type_, label[1:], attrs)
        return make_node(op, inputs, attrs, name=shown)


def _fact(error: Exception) -> str:
    """Return what an error says, without the name of the rule that raised it."""
    return re.sub(r"^[\w.<>]+\(\) ", "", str(error)) or type(error).__name__


def _symbols_of(value: Any) -> list[Symbol]:
    """Return the symbols in an attribute value or type, in the order the printer meets them."""
    if isinstance(value, TensorType):
        return [s for d in value.shape for s in _symbols_of(d)]
    if isinstance(value, tuple):
        return [s for v in value for s in _symbols_of(v)]
    if isinstance(value, D.DimExpr):
        return D.ordered_symbols(value)
    if isinstance(value, Graph):
        found: list[Symbol] = []
        for node in value.nodes():
            for name in sorted(node.attrs):
                if name not in HIDDEN.get(node.op.name, ()):
                    found += _symbols_of(node.attrs[name])
            found += _symbols_of(node.type)
        return found
    return []
