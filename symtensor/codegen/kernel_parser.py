"""Loop trees read back from the text that `symtensor.codegen.kernel_printer` describes and writes.

In: text. Out: a kernel that prints as this text and gives the same code. What is no loop tree, such as
the text of a matrix product, is a `ParseError` with line and column that says what was found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Indirect,
    Kernel,
    Let,
    Loop,
    Reduce,
    Reduction,
    Reload,
    Rule,
    Stmt,
    Store,
    Update,
    Value,
    ValueTable,
    make_affine,
)
from symtensor.codegen.kernel_printer import OUR_NAMES
from symtensor.codegen.reader import CHECKED
from symtensor.errors import ParseError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.dtypes import DType
from symtensor.ir.node import freeze
from symtensor.ir.reader import Tokens, ValueReader
from symtensor.ops.families import Elementwise
from symtensor.ops.registry import OPS

_LOOP = re.compile(r"\s*(?:for|vector|tiled) (\w+) < ")


@dataclass(slots=True)
class _Line:
    depth: int
    text: str
    number: int

    def tokens(self) -> Tokens:
        return Tokens(self.text, self.number)


def parse_kernel(text: str, sizes: dict[str, Dim] | None = None) -> Kernel:
    """Return the kernel that `text` describes; raises `ParseError` with line and column.

    `sizes` gives dims to names of sizes; names that it lacks are added to it with new symbols.
    """
    if not isinstance(text, str):
        raise ParseError(f"expected the text of a loop kernel, found a {type(text).__name__}")
    return _Reader(text, {} if sizes is None else sizes).kernel()


_OTHER_KINDS = [
    ("product", re.compile(r"\w+\(a, b, c(, d)?\)$")),
    ("draw", re.compile(r"\w+: the words of blocks of random numbers")),
    ("loop", re.compile(r"for \w+ < .*:")),
    ("call-out", re.compile(r"numpy \w+$")),
]
"""Kinds of kernels without a loop tree, and how their texts begin."""
_SUMMARY = re.compile(r"k\d[\d.]*(?: x .+)?: (kernel|product|draw|loop|call-out) ")
"""How ``str(kernel)`` begins."""


def _refuse_other_texts(line: _Line) -> None:
    """Raise `ParseError` for what else functions show of kernels."""
    summary = _SUMMARY.match(line.text)
    found = [f"the summary of a {summary[1]}"] if summary else []
    found += [f"the text of a {kind}" for kind, text in _OTHER_KINDS if text.match(line.text)]
    if found:
        raise ParseError(
            f"line {line.number}, column 1: expected a loop kernel, as kernel0(b0: f32*) sizes 8, "
            f"found {found[0]}",
            help="only kernels of kind 'kernel' have loops to read back: "
            "[k.text for k in f.kernels if k.kind == 'kernel']",
        )


class _Reader:
    def __init__(self, text: str, sizes: dict[str, Dim]) -> None:
        self.lines = [
            _Line((len(line) - len(line.lstrip(" "))) // 2, line, number)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip()
        ]
        self.place = 0
        self.sizes = sizes
        self.table = ValueTable()
        self.buffers: dict[str, Buffer] = {}
        self.values: dict[str, Value] = {}
        self.folds: dict[str, tuple[Reduction, DType, frozenset[Axis]]] = {}
        """Folds whose block is being read."""
        self.axes: dict[str, Axis] = {}
        """Loops around, and positions that checked values name."""
        self.known: dict[tuple[str, Dim], Axis] = {}

    def kernel(self) -> Kernel:
        if not self.lines:
            raise ParseError("line 1, column 1: expected a kernel, found an empty text")
        _refuse_other_texts(self.lines[0])
        words = _Words(self, self.lines[0])
        words.t.next("word")
        if words.t.accept("["):  # in their order, in which products of sizes are written
            while not words.t.accept("]"):
                words.factor()
                words.t.accept(",")
        words.t.expect("(")
        while not words.t.accept(")"):
            name = words.t.next("word")
            words.t.expect(":")
            self.buffers[name] = Buffer(len(self.buffers), words.dtype())
            words.t.expect("*")
            words.t.accept(",")
        sizes = [words.dim()] if words.t.accept("sizes") else []
        while words.t.accept(","):
            sizes.append(words.dim())
        words.end()
        self.place = 1
        body = self.block(1)
        if self.place < len(self.lines):
            raise self.lines[self.place].tokens().error("unexpected indentation")
        return Kernel(tuple(self.buffers.values()), tuple(sizes), body)

    def block(self, depth: int) -> list[Stmt]:
        body: list[Stmt] = []
        while self.place < len(self.lines) and self.lines[self.place].depth == depth:
            line = self.lines[self.place]
            self.place += 1
            words = _Words(self, line)
            if words.t.peek in ("for", "vector", "tiled"):
                body.append(self.loop(words, depth))
            elif self._is_fold(words):
                body.append(self.reduce(words, depth))
            else:
                body.append(words.statement())
        return body

    def loop(self, words: _Words, depth: int) -> Loop:
        kind, name = words.t.next(), words.t.next("word")
        words.t.expect("<")
        extent = words.dim()
        words.t.expect(":")
        words.end()
        axis, outer = self.axis(name, extent), self.axes.get(name)
        self.axes[name] = axis
        body = self.block(depth + 1)
        del self.axes[name]
        if outer is not None:
            self.axes[name] = outer
        return Loop(axis, body, vector=kind == "vector", tiled=kind == "tiled")

    def axis(self, name: str, extent: Dim) -> Axis:
        return self.known.setdefault((name, extent), Axis(name, extent))

    def _is_fold(self, words: _Words) -> bool:
        return any(kind == "word" and text == "over" for kind, text, _ in words.t.items)

    def reduce(self, words: _Words, depth: int) -> Reduce:
        names = [self.fold(words)]
        while self.place < len(self.lines) and self.lines[self.place].depth == depth:
            names.append(self.fold(_Words(self, self.lines[self.place])))
            self.place += 1
        body = self.block(depth + 1)
        missing = [name for name in names if name in self.folds]
        if missing:
            raise words.t.error(f"the block of the fold {missing[0]} does not end in (+)=")
        return Reduce(tuple(self.values[name] for name in names), body)

    def fold(self, words: _Words) -> str:
        name = words.t.next("word")
        words.t.expect("=")
        is_running = words.t.accept("running")
        combiner = words.t.next("word")
        words.t.expect("over")
        axes = [self.axis_ahead(words)]
        while words.t.accept(","):
            axes.append(self.axis_ahead(words))
        words.t.expect(":")
        reduction = Reduction(combiner, tuple(axes), is_running)
        self.folds[name] = reduction, words.dtype(), frozenset(self.axes.values())
        words.end()
        return name

    def axis_ahead(self, words: _Words) -> Axis:
        """Return the axis of the next loop of that name."""
        name = words.t.next("word")
        for line in self.lines[self.place :]:
            found = _LOOP.match(line.text)
            if found is not None and found[1] == name:
                ahead = _Words(self, line)
                ahead.t.place = 3
                return self.axis(name, ahead.dim())
        raise words.t.error(f"no loop over {name} follows")


class _Words(ValueReader):
    """One line being read."""

    def __init__(self, reader: _Reader, line: _Line) -> None:
        super().__init__(line.tokens(), symbols=reader.sizes)
        self.reader = reader

    def end(self) -> None:
        if self.t.kind != "end":
            raise self.t.error(f"expected the end of the line, found {self.t.peek!r}")

    def new_symbol(self, name: str) -> Dim:
        return D.symbol(name.removesuffix("_") if OUR_NAMES.fullmatch(name) else name)

    def statement(self) -> Stmt:
        name = self.t.next("word")
        if self.t.peek == "[":
            self.t.place -= 1
            buffer, at = self.access()
            self.t.expect("<-")
            value = self.operand()
            self.end()
            return Store(buffer, at, value)
        if self.t.accept("("):
            return self.update(name)
        self.t.expect("=")
        stmt: Stmt
        if self.t.accept("reload"):
            buffer, at = self.access()
            self.t.expect(":")
            self.dtype()
            value = self.reader.table.load(buffer, at)
            stmt = Reload(value, buffer, at)
        else:
            value = self.computed()
            stmt = Let(value)
        self.end()
        self.reader.values[name] = value
        return stmt

    def update(self, name: str) -> Update:
        for sign in "+)=":
            self.t.expect(sign)
        if name not in self.reader.folds:
            raise self.t.error(f"{name} is no fold around here")
        reduction, dtype, around = self.reader.folds.pop(name)
        inside = frozenset(self.reader.axes.values()) - around
        inside = frozenset(axis for axis in inside if not isinstance(axis, Indirect))
        result = self.reader.table.reduce(reduction, self.operand(), dtype, inside)
        self.end()
        self.reader.values[name] = result
        return Update(result)

    def operand(self) -> Value:
        name = self.t.peek
        if name not in self.reader.values:
            raise self.t.error(f"expected a value computed before, found {name!r}")
        self.t.next()
        return self.reader.values[name]

    def access(self) -> tuple[Buffer, Affine]:
        name = self.t.next("word")
        if name not in self.reader.buffers:
            self.t.place -= 1
            raise self.t.error(f"there is no buffer {name!r}")
        self.t.expect("[")
        at = self.affine()
        self.t.expect("]")
        return self.reader.buffers[name], at

    def affine(self) -> Affine:
        """Read a sum as a dim in which axes are symbols, and take it apart again."""
        axes = self.reader.axes
        stand_ins = {name: D.symbol(name) for name in axes}
        self.symbols = {**self.reader.sizes, **stand_ins}
        start = self.t.place
        total = self.dim()
        self.reader.sizes.update((k, v) for k, v in self.symbols.items() if k not in axes)
        self.symbols = self.reader.sizes
        words = [text for kind, text, _ in self.t.items[start : self.t.place] if kind == "word"]
        terms: list[tuple[Axis, Dim]] = []
        for name in dict.fromkeys(word for word in words if word in axes):
            at_one = D.substitute(total, {_symbol(stand_ins[name]): 1})
            total = D.substitute(total, {_symbol(stand_ins[name]): 0})
            terms.append((axes[name], at_one - total))
        return make_affine(total, terms)

    def computed(self) -> Value:
        table = self.reader.table
        if self.t.accept("load"):
            buffer, at = self.access()
            self.typed()
            return table.load(buffer, at)
        if self.t.accept("const"):
            number = self.value()
            if not isinstance(number, (bool, int, float)):
                raise self.t.error(f"expected a number, found {number!r}")
            return table.const(number, self.typed())
        if self.t.accept("size"):
            dim = self.dim()
            return table.size(dim, self.typed())
        if self.t.accept("index"):
            at = self.affine()
            return table.position(at, self.typed())
        if self.t.items[self.t.place + 1][1] == "below":
            return self.checked()
        return self.applied()

    def typed(self) -> DType:
        self.t.expect(":")
        return self.dtype()

    def checked(self) -> Value:
        index = self.operand()
        self.t.expect("below")
        size = self.dim()
        self.t.expect("as")
        name = self.t.next("word")
        position = self.reader.table.checked(index, size)
        self.reader.axes[name] = position
        return position.value

    def applied(self) -> Value:
        scalar = self.scalar()
        name = self.t.next("word")
        self.t.expect("(")
        args: list[Value] = []
        while not self.t.accept(")"):
            args.append(self.operand())
            self.t.accept(",")
        attrs: dict[str, Any] = self.attributes() if self.t.accept("{") else {}
        key = tuple((k, freeze(v)) for k, v in sorted(attrs.items()))
        rule = Rule(name, scalar, attrs, (name, key))
        return self.reader.table.apply(rule, tuple(args), self.typed())

    def scalar(self) -> Any:
        """Return the scalar rule of the name that follows."""
        name = self.t.peek
        if name == CHECKED.name:
            return CHECKED.scalar
        op = OPS.get(name)
        if op is None or not isinstance(op.family, Elementwise):
            raise self.t.error(f"there is no scalar rule {name!r}")
        return op.family.scalar


def _symbol(dim: Dim) -> Symbol:
    found = D.as_symbol(dim)
    assert found is not None
    return found
