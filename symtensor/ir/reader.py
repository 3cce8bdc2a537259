"""Text -> values: tokens, and what stands in IR text beside nodes: attributes, types, dims, arrays.

`ValueReader` reads them from `Tokens`; `symtensor.ir.parser` and the reader of loop trees build on it.
Names of sizes mean the dims in `symbols`, unknown ones become new. Whatever the text, only `ParseError`s
escape; they name line and column.
"""

from __future__ import annotations

import bisect
import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import ParseError, SymtensorError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import STANDARD, DType, as_dtype
from symtensor.ir.literal import Literal
from symtensor.ir.types import NodeType, TensorType, tensor_type

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


class Tokens:
    """The tokens of a text with their positions."""

    def __init__(self, text: str, first_line: int = 1) -> None:
        self.text = text
        self.first_line = first_line
        self._breaks = [found.start() for found in re.finditer("\n", text)]
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

    def line(self, position: int) -> int:
        """Return the number of the line of a position."""
        return self.first_line + bisect.bisect_left(self._breaks, position)

    def error_at(
        self, position: int, message: str, help: str | None = None, code: str = "ST1000"
    ) -> ParseError:
        line = self.line(position)
        column = position - (self.text.rfind("\n", 0, position) + 1) + 1
        return ParseError(f"line {line}, column {column}: {message}", help=help, code=code)

    def error(self, message: str, help: str | None = None, code: str = "ST1000") -> ParseError:
        return self.error_at(self.items[self.place][2], message, help, code)

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


class ValueReader:
    """Reads attribute values, types and dims."""

    def __init__(
        self,
        tokens: Tokens,
        literals: Sequence[Literal] = (),
        symbols: dict[str, Dim] | None = None,
    ) -> None:
        self.t = tokens
        self.literals = literals
        self.symbols = {} if symbols is None else symbols

    def graph(self) -> Any:
        """Read a body graph; only a reader of graphs can."""
        raise self.t.error("a graph can't stand here")

    def _enter(self) -> None:
        self.t.depth += 1
        if self.t.depth > MAX_DEPTH:
            raise self.t.error(f"nested more than {MAX_DEPTH} levels deep")

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
                f"there is no dtype {name!r}",
                f"did you mean {near[0]}?" if near else None,
                code="ST1001",
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
        if self.t.accept("("):
            inside = self.dim()
            self.t.expect(")")
            return inside
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
            self.symbols[name] = self.new_symbol(name)
        return self.symbols[name]

    def new_symbol(self, name: str) -> Dim:
        """Return the dim for a name that is not known yet."""
        return D.symbol() if re.fullmatch(r"d\d+", name) else D.dim(name)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text[1:-1])
