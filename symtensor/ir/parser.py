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

import numpy as np

from symtensor.errors import ParseError, SymtensorError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.dtypes import STANDARD, DType, as_dtype
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node, Op, fresh_uid, make_node
from symtensor.ir.printer import HIDDEN, Labels
from symtensor.ir.types import NodeType, TensorType, tensor_type

MakeVariable = Callable[[TensorType, str], Node]
MAX_DEPTH = 60
"""Nesting of tuples, dims and bodies that the parser follows."""

_TOKEN = re.compile(
    r"(?P<space>\s+|\#(?!\d)[^\n]*)"
    r"|(?P<number>-?(?:inf\b|nan\b|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))"
    r"|(?P<label>%[\w.]+)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign><-|[][{}()<>,:=!#+*@-])",
    re.ASCII,
)
_SHORT = {d.short for d in STANDARD} | {"bf16"}


class _Tokens:
    """The tokens of a text with their positions."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise self.error_at(position, f"unexpected character {text[position]!r}")
            if found.lastgroup != "space":
                self.items.append((str(found.lastgroup), found.group(), position))
            position = found.end()
        self.items.append(("end", "end of text", len(text)))
        self.place = 0
        self.depth = 0

    def error_at(self, position: int, message: str, help: str | None = None) -> ParseError:
        line = self.text.count("\n", 0, position) + 1
        column = position - (self.text.rfind("\n", 0, position) + 1) + 1
        return ParseError(f"line {line}, column {column}: {message}", help=help)

    def error(self, message: str, help: str | None = None) -> ParseError:
        return self.error_at(self.items[self.place][2], message, help)

    @property
    def peek(self) -> str:
        return self.items[self.place][1]

    @property
    def kind(self) -> str:
        return self.items[self.place][0]

    def next(self, kind: str | None = None) -> str:
        found, text, _ = self.items[self.place]
        if kind is not None and found != kind:
            raise self.error(f"expected a {kind}, found {text!r}")
        if found != "end":
            self.place += 1
        return text

    def accept(self, text: str) -> bool:
        if self.peek == text and self.kind in ("sign", "word"):
            self.place += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.error(f"expected {text!r}, found {self.peek!r}")


def parse_graph(
    text: str,
    ops: Mapping[str, Op],
    *,
    bind: Graph | None = None,
    literals: Sequence[Literal] = (),
    make_variable: MakeVariable | None = None,
) -> Graph:
    """Return the graph that `text` describes; raises `ParseError` with line and column."""
    tokens = _Tokens(text)
    parser = _Parser(tokens, ops, literals, make_variable)
    if bind is not None:
        parser.bind(bind)
    graph = parser.graph()
    if tokens.kind != "end":
        raise tokens.error(f"expected the end of the text, found {tokens.peek!r}")
    return graph


class _Parser:
    def __init__(
        self,
        tokens: _Tokens,
        ops: Mapping[str, Op],
        literals: Sequence[Literal],
        make_variable: MakeVariable | None,
    ) -> None:
        self.t = tokens
        self.ops = ops
        self.literals = literals
        self.make_variable = make_variable
        self.symbols: dict[str, Dim] = {}
        self.leaves: dict[str, Node] = {}

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

    def _enter(self) -> None:
        self.t.depth += 1
        if self.t.depth > MAX_DEPTH:
            raise self.t.error(f"nested more than {MAX_DEPTH} levels deep")

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
                f"there is no op named {name!r}", f"did you mean {near[0]}?" if near else None
            )
        inputs = self.labels(nodes)
        attrs = self.attributes() if self.t.accept("{") else {}
        self.t.expect(":")
        type_ = self.node_type()
        try:
            nodes[label] = self.make(label, self.ops[name], inputs, attrs, type_)
        except ParseError:
            raise
        except SymtensorError as error:
            raise self.t.error_at(start, f"{name}: {error.message}", error.help) from error
        except (TypeError, KeyError, ValueError, IndexError, AttributeError, AssertionError,
                ArithmeticError, MemoryError) as error:  # fmt: skip
            raise self.t.error_at(start, f"{name}: {error or type(error).__name__}") from error
        if nodes[label].type != type_:
            raise self.t.error_at(start, f"{name} gives {nodes[label].type}, the text says {type_}")

    def make(
        self, label: str, op: Op, inputs: tuple[Node, ...], attrs: dict[str, Any], type_: NodeType
    ) -> Node:
        if self.t.depth == 1 and label in self.leaves and self.leaves[label].op is op:
            return self.leaves[label]
        shown = label[1:] if not label[1:].isdigit() else None
        if op.name == "placeholder":
            attrs = {"type": type_, "uid": fresh_uid()}
        elif op.name == "parameter":
            attrs = {**attrs, "type": type_}
        elif op.name == "variable":
            if self.make_variable is None or not isinstance(type_, TensorType):
                raise ParseError(f"the variable {label} has no value: pass bind= or make_variable=")
            return self.make_variable(type_, label[1:])
        return make_node(op, inputs, attrs, name=shown)

    # --- attributes -----------------------------------------------------------------------------

    def attributes(self) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        while not self.t.accept("}"):
            name = self.t.next("word")
            self.t.expect("=")
            attrs[name] = self.value()
            if not self.t.accept(","):
                self.t.expect("}")
                break
        return attrs

    def value(self) -> Any:
        kind, text = self.t.kind, self.t.peek
        if kind == "number":
            return _number(self.t.next())
        if kind == "string":
            return _unquoted(self.t.next())
        if text in ("true", "false", "none"):
            return {"true": True, "false": False, "none": None}[self.t.next()]
        if text == "[":
            return self.sequence()
        if text == "<":
            self.t.next()
            dim = self.dim()
            self.t.expect(">")
            return dim
        if text == "!":
            self.t.next()
            return self.dtype_or_type()
        if text in ("dense", "literal"):
            return self.literal()
        if text == "graph":
            return self.graph()
        raise self.t.error(f"expected an attribute value, found {text!r}")

    def sequence(self) -> tuple[Any, ...]:
        self._enter()
        self.t.expect("[")
        out = []
        while not self.t.accept("]"):
            out.append(self.value())
            if not self.t.accept(","):
                self.t.expect("]")
                break
        self.t.depth -= 1
        return tuple(out)

    def literal(self) -> Literal:
        if self.t.next() == "literal":
            self.t.expect("#")
            index = self.integer()
            if not 0 <= index < len(self.literals):
                raise self.t.error(f"literal#{index} is not among the {len(self.literals)} given")
            return self.literals[index]
        self.t.expect("<")
        type_ = self.tensor_type()
        self.t.expect(":")
        items: list[Any] = []
        while not self.t.accept(">"):
            items.append(self.value())
            self.t.accept(",")
        shape = [d for d in type_.shape if isinstance(d, int)]
        if len(shape) != type_.ndim or int(np.prod(shape, dtype=float)) != len(items):
            raise self.t.error(f"{len(items)} elements do not fill {type_}")
        if any(not isinstance(v, (bool, int, float)) for v in items):
            raise self.t.error("the elements of a dense literal must be numbers")
        try:
            with np.errstate(over="ignore"):  # 1e400 is inf, as in Python
                array = np.array(items, type_.dtype.numpy)
            return Literal(array.reshape(shape), type_.dtype)
        except (OverflowError, ValueError) as error:
            raise self.t.error(f"a number does not fit {type_.dtype}: {error}") from None

    def integer(self) -> int:
        text = self.t.next("number")
        try:
            return int(text)
        except ValueError:
            self.t.place -= 1
            raise self.t.error(f"expected an integer, found {text!r}") from None

    # --- types and dims -------------------------------------------------------------------------

    def node_type(self) -> NodeType:
        if not self.t.accept("("):
            return self.tensor_type()
        types = []
        while not self.t.accept(")"):
            types.append(self.tensor_type())
            if not self.t.accept(","):
                self.t.expect(")")
                break
        return tuple(types)

    def dtype(self) -> DType:
        name = self.t.next("word")
        if name not in _SHORT:
            near = difflib.get_close_matches(name, _SHORT, n=1)
            self.t.place -= 1
            raise self.t.error(
                f"there is no dtype {name!r}", f"did you mean {near[0]}?" if near else None
            )
        return as_dtype(name)

    def dtype_or_type(self) -> DType | TensorType:
        dtype = self.dtype()
        return self.shape_of(dtype) if self.t.peek == "[" else dtype

    def tensor_type(self) -> TensorType:
        return self.shape_of(self.dtype())

    def shape_of(self, dtype: DType) -> TensorType:
        self.t.expect("[")
        shape: list[Dim] = []
        while not self.t.accept("]"):
            shape.append(self.dim())
            if not self.t.accept(","):
                self.t.expect("]")
                break
        try:
            return tensor_type(dtype, shape)
        except SymtensorError as error:
            raise self.t.error(error.message) from None

    def dim(self) -> Dim:
        """sum = product {("+" | "-") product}; the tokenizer keeps "-3" together."""
        self._enter()
        total = -self.product() if self.t.accept("-") else self.product()
        while True:
            if self.t.accept("+"):
                total = total + self.product()
            elif self.t.accept("-"):
                total = total - self.product()
            else:
                self.t.depth -= 1
                return total

    def product(self) -> Dim:
        total = self.factor()
        while self.t.accept("*"):
            total = total * self.factor()
        return total

    def factor(self) -> Dim:
        if self.t.kind == "number":
            return self.integer()
        name = self.t.next("word")
        if name in ("floordiv", "max") and self.t.accept("("):
            first = self.dim()
            self.t.expect(",")
            second = self.dim()
            self.t.expect(")")
            try:
                return D.floordiv(first, second) if name == "floordiv" else D.maximum(first, second)
            except SymtensorError as error:
                raise self.t.error(error.message) from None
        if name not in self.symbols:
            automatic = re.fullmatch(r"d\d+", name)
            self.symbols[name] = D.symbol() if automatic else D.dim(name)
        return self.symbols[name]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text[1:-1])


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
