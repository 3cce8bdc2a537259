"""Loop trees as text, which `symtensor.codegen.kernel_parser` reads back.

    kernel0[d0](b0: f32*, b1: f32*) sizes d0, 10
      for i0 < d0:
        t0 = sum over r0: f32
          vector r0 < 10:
            t1 = load b1[r0 + 10*i0]: f32
            t0 (+)= t1
        b0[i0] <- t0

The symbols of sizes come first, then buffers, then the sizes that the kernel takes. Blocks are indented.
A value is named where it is computed: ``load``, ``reload``, ``const``, ``size``, ``index``,
``t1 below 10 as k0`` (a checked index, and the position it names), a scalar rule with its operands, or a
fold ``over`` loops, which its block ends in ``(+)=``. Names are numbered as they come, so equal trees give
equal text; ``format_kernel(parse_kernel(text)) == text``, and both trees give the same code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from symtensor.codegen.kernel import (
    Affine,
    Indirect,
    Kernel,
    Let,
    Loop,
    Reduce,
    Reload,
    Stmt,
    Store,
    Value,
    const_value,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Naming, Symbol
from symtensor.ir.printer import format_float, format_leaf

OUR_NAMES = re.compile(r"(?:[birkt]\d+|run)_*")
"""Names of loops, buffers, positions and values; a size of such a name gets an underscore."""


def format_kernel(kernel: Kernel, name: str = "kernel", sizes: Naming | None = None) -> str:
    """Return the loop tree as text; `sizes` names the symbols, which else have their own names."""
    return "\n".join(_Writer(sizes or (lambda symbol: symbol.name)).kernel(kernel, name))


class _Writer:
    def __init__(self, sizes: Naming) -> None:
        self.sizes = sizes
        self.names: dict[Value, str] = {}
        self.positions: dict[Value, str] = {}
        """Checked values -> names of the positions that they name."""
        self.count = 0
        self.lines: list[str] = []

    def kernel(self, kernel: Kernel, name: str) -> list[str]:
        buffers = ", ".join(f"{b}: {b.dtype.short}*" for b in kernel.buffers)
        sizes = f" sizes {', '.join(map(self.dim, kernel.sizes))}" if kernel.sizes else ""
        symbols = {symbol for dim in kernel.sizes for symbol in D.symbols_in(dim)}
        ordered = sorted(symbols, key=lambda symbol: symbol.serial)
        names = f"[{', '.join(map(self.symbol, ordered))}]" if ordered else ""
        self.lines.append(f"{name}{names}({buffers}){sizes}")
        self.block(kernel.body, 1)
        return self.lines

    def dim(self, dim: Dim) -> str:
        return D.format_dim(dim, self.symbol)

    def symbol(self, symbol: Symbol) -> str:
        name = self.sizes(symbol)
        return f"{name}_" if OUR_NAMES.fullmatch(name) else name

    def affine(self, at: Affine) -> str:
        text = ""
        for axis, coefficient in at.terms:
            factor = self.dim(coefficient)
            factor = f"({factor})" if " " in factor else factor
            name = self.positions[axis.value] if isinstance(axis, Indirect) else axis.name
            text = _joined(text, name if D.same(coefficient, 1) else f"{factor}*{name}")
        return text if text and D.same(at.offset, 0) else _joined(text, self.dim(at.offset))

    def define(self, value: Value) -> str:
        self.names[value] = name = f"t{self.count}"
        self.count += 1
        return name

    def block(self, body: Sequence[Stmt], depth: int) -> None:
        for stmt in body:
            for line in self.statement(stmt):
                self.lines.append("  " * depth + line)
            if isinstance(stmt, (Loop, Reduce)):
                self.block(stmt.body, depth + 1)

    def statement(self, stmt: Stmt) -> list[str]:
        """Return the line of a statement; a fold has one for each of its results."""
        if isinstance(stmt, Let):
            text = self.value(stmt.value)
            return [f"{self.define(stmt.value)} = {text}"]
        if isinstance(stmt, Store):
            return [f"{stmt.buffer}[{self.affine(stmt.at)}] <- {self.names[stmt.value]}"]
        if isinstance(stmt, Reload):
            text = f"reload {stmt.buffer}[{self.affine(stmt.at)}]"
            return [f"{self.define(stmt.value)} = {text}: {stmt.value.dtype.short}"]
        if isinstance(stmt, Loop):
            kind = "vector" if stmt.vector else "tiled" if stmt.tiled else "for"
            return [f"{kind} {stmt.axis.name} < {self.dim(stmt.axis.extent)}:"]
        if isinstance(stmt, Reduce):
            return [self.fold(result) for result in stmt.results]
        return [f"{self.names[stmt.result]} (+)= {self.names[stmt.result.args[0]]}"]

    def fold(self, result: Value) -> str:
        running = "running " if result.data.is_running else ""
        axes = ", ".join(axis.name for axis in result.data.axes)
        head = f"{self.define(result)} = {running}{result.data.combiner}"
        return f"{head} over {axes}: {result.dtype.short}"

    def value(self, value: Value) -> str:
        kind = f": {value.dtype.short}"
        if value.kind == "load":
            buffer, at = value.data
            return f"load {buffer}[{self.affine(at)}]{kind}"
        if value.kind == "const":
            return f"const {_constant(const_value(value))}{kind}"
        if value.kind == "checked":
            self.positions[value] = position = f"k{len(self.positions)}"
            return f"{self.names[value.args[0]]} below {self.dim(value.data)} as {position}"
        if value.kind == "size":
            return f"size {self.dim(value.data)}{kind}"
        if value.kind == "index":
            return f"index {self.affine(value.data)}{kind}"
        attrs = ", ".join(f"{k} = {format_leaf(v)}" for k, v in sorted(value.data.attrs.items()))
        operands = ", ".join(self.names[x] for x in value.args)
        return f"{value.data.name}({operands}){f' {{{attrs}}}' if attrs else ''}{kind}"


def _joined(text: str, term: str) -> str:
    if not text:
        return term
    return f"{text} - {term[1:]}" if term.startswith("-") else f"{text} + {term}"


def _constant(value: bool | int | float) -> str:
    return format_float(value) if isinstance(value, float) else str(value).lower()
