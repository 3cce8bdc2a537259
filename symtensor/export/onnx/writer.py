"""Appends ONNX nodes to a graph: values, constants, sizes, and the scalar vocabulary."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from symtensor.errors import LoweringError
from symtensor.export.words import DerivedWords
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.dtypes import DType, as_dtype, bool_, int32, int64
from symtensor.ir.types import TensorType

DTYPES = {
    "bool": TensorProto.BOOL, "int8": TensorProto.INT8, "int16": TensorProto.INT16,
    "int32": TensorProto.INT32, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16, "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64,
    "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the model."""

    name: str
    dtype: DType
    ndim: int


class Writer:
    """The nodes of one graph. Graphs inside (`inner`) share names, constants and sizes with it."""

    def __init__(self, outer: Writer | None = None) -> None:
        self.outer = outer
        self.root: Writer = self if outer is None else outer.root
        self.nodes: list[NodeProto] = []
        self.initializers: dict[Any, TensorProto] = {}
        self.sources: dict[Symbol, tuple[Value, int]] = {}
        """Symbol -> a tensor and the axis whose size it is."""
        self.sizes: dict[Any, Value] = {}
        """Sizes, their atoms and vectors of them that are computed already."""
        self.remark = ""
        """What the nodes appended now say of themselves: the user's line."""
        self._numbers: Iterator[int] = itertools.count()
        self._taken: set[str] = set()

    def inner(self) -> Writer:
        """Return the writer of a graph inside this one."""
        return Writer(self)

    def fresh(self, base: str = "t") -> str:
        """Return an unused name."""
        root = self.root
        name = base
        while name in root._taken or base == name == "t":
            name = f"{base}{next(root._numbers)}"
        root._taken.add(name)
        return name

    def op(
        self, name: str, inputs: Sequence[Value | None], dtype: DType, ndim: int, **attrs: Any
    ) -> Value:
        """Append a node with one result and return it."""
        out = Value(self.fresh(), dtype, ndim)
        self.add(name, inputs, [out.name], **attrs)
        return out

    def add(
        self, name: str, inputs: Sequence[Value | None], outputs: Sequence[str], **attrs: Any
    ) -> NodeProto:
        """Append a node and return it."""
        names = ["" if x is None else x.name for x in inputs]
        node = helper.make_node(name, names, list(outputs), name=f"{name} {outputs[0]}", **attrs)
        node.doc_string = self.remark
        self.nodes.append(node)
        return node

    def constant(self, array: Any, dtype: DType) -> Value:
        """Return a constant as an initializer; equal ones are one."""
        array = np.asarray(array, dtype.numpy)
        key = (array.tobytes(), dtype, array.shape)
        found = self.root.initializers.get(key)
        if found is None:
            found = numpy_helper.from_array(
                np.ascontiguousarray(array).reshape(array.shape), self.fresh("c")
            )
            self.root.initializers[key] = found
        return Value(found.name, dtype, array.ndim)

    # --- sizes ------------------------------------------------------------------------------------

    def bind(self, value: Value, type_: TensorType) -> None:
        """Note which sizes a tensor tells."""
        for axis, dim in enumerate(type_.shape):
            symbol = D.as_symbol(dim)
            if symbol is not None:
                self.root.sources.setdefault(symbol, (value, axis))

    def size(self, dim: Dim) -> Value:
        """Return a size as an int64 vector of one element, computed in the outermost graph."""
        root = self.root
        if isinstance(dim, int):
            return self.constant([dim], int64)
        if dim not in root.sizes:
            root.sizes[dim] = root._polynomial(dim)
        return root.sizes[dim]

    def _polynomial(self, dim: D.DimExpr) -> Value:
        words = Words(self)
        total: Value | None = None
        for monomial, coefficient in dim.terms:
            term = self.constant([coefficient], int64)
            for atom in monomial:
                factor = self.sizes.get(atom) or self._atom(atom, words)
                self.sizes[atom] = factor
                plain = coefficient == 1 and atom is monomial[0]
                term = factor if plain else words.mul(term, factor)
            total = term if total is None else words.add(total, term)
        assert total is not None
        return total

    def _atom(self, atom: D.Atom, words: Words) -> Value:
        if isinstance(atom, Symbol):
            if atom not in self.sources:
                raise LoweringError(f"no input tells the size {atom.name}")
            value, axis = self.sources[atom]
            return self.op("Shape", [value], int64, 1, start=axis, end=axis + 1)
        if isinstance(atom, D.FloorDiv):
            found = words.floordiv(self.size(atom.numerator), self.size(atom.denominator))
        else:
            assert isinstance(atom, D.Max)
            found = words.maximum(self.size(atom.left), self.size(atom.right))
        assert isinstance(found, Value)
        return found

    def vector(self, dims: Sequence[Dim]) -> Value:
        """Return sizes as one int64 vector."""
        if all(isinstance(d, int) for d in dims):
            return self.constant(np.array(dims, np.int64), int64)
        known, key = self.root.sizes, tuple(dims)
        if key not in known:
            parts = [self.size(d) for d in dims]
            known[key] = self.root.op("Concat", parts, int64, 1, axis=0)
        return known[key]

    # --- movement ---------------------------------------------------------------------------------

    def cast(self, x: Value, dtype: DType) -> Value:
        """Return `x` in another dtype, by ONNX's rules."""
        if x.dtype is dtype:
            return x
        return self.op("Cast", [x], dtype, x.ndim, to=DTYPES[dtype.name])

    def expand(self, x: Value, shape: Sequence[Dim]) -> Value:
        """Return `x` broadcast to a shape."""
        return self.op("Expand", [x, self.vector(shape)], x.dtype, len(shape))

    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        """Return `x` under another shape."""
        return self.op("Reshape", [x, self.vector(shape)], x.dtype, len(shape), allowzero=1)

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """Return `x` with its axes in another order."""
        if list(perm) == sorted(perm):
            return x
        return self.op("Transpose", [x], x.dtype, x.ndim, perm=list(perm))

    def flip(self, x: Value) -> Value:
        """Return `x` with its first axis in the other order."""
        bounds = [self.constant([n], int64) for n in (-1, int(np.iinfo(np.int64).min), 0, -1)]
        return self.op("Slice", [x, *bounds], x.dtype, x.ndim)

    def concatenate(self, xs: Sequence[Value], axis: int) -> Value:
        """Return values one after the other."""
        if len(xs) == 1:
            return xs[0]
        return self.op("Concat", xs, xs[0].dtype, xs[0].ndim, axis=axis)


_WORDS = {
    "sub": "Sub", "div": "Div", "quotient": "Div", "sqrt": "Sqrt",
    "floor": "Floor", "ceil": "Ceil", "rint": "Round", "select": "Where",
}  # fmt: skip
_FUNCTIONS = {
    "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf", "sigmoid": "Sigmoid",
    "pow": "Pow",
}  # fmt: skip
UNSIGNED = {8: "uint8", 16: "uint16", 32: "uint32", 64: "uint64"}


class Words(DerivedWords):
    """The scalar vocabulary for whole tensors; constants are scalars that broadcast."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def __getattr__(self, word: str) -> Callable[..., Value]:
        if word not in _WORDS:
            raise AttributeError(word)
        return lambda *xs: self._apply(_WORDS[word], *xs)

    def _apply(self, name: str, *xs: Value, dtype: DType | None = None, **attrs: Any) -> Value:
        return self.writer.op(name, xs, dtype or xs[-1].dtype, max(x.ndim for x in xs), **attrs)

    def dtype(self, x: Value) -> DType:
        return x.dtype

    def const(self, value: float | int | bool, dtype: DType) -> Value:
        return self.writer.constant(value, dtype)

    def add(self, x: Value, y: Value) -> Value:
        return self._apply("Or" if x.dtype.is_bool else "Add", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self._apply("And" if x.dtype.is_bool else "Mul", x, y)

    def neg(self, x: Value) -> Value:
        if x.dtype.kind == "u":
            return self._apply("Sub", self.const(0, x.dtype), x)
        return self._apply("Neg", x)

    def abs(self, x: Value) -> Value:
        return x if x.dtype.kind in "ub" else self._apply("Abs", x)

    def minimum(self, x: Value, y: Value) -> Value:
        return self._logic("And", x, y) if x.dtype.is_bool else self._apply("Min", x, y)

    def maximum(self, x: Value, y: Value) -> Value:
        return self._logic("Or", x, y) if x.dtype.is_bool else self._apply("Max", x, y)

    def _logic(self, name: str, *xs: Value) -> Value:
        return self._apply(name if xs[0].dtype.is_bool else f"Bitwise{name}", *xs)

    def and_(self, x: Value, y: Value) -> Value:
        return self._logic("And", x, y)

    def or_(self, x: Value, y: Value) -> Value:
        return self._logic("Or", x, y)

    def xor(self, x: Value, y: Value) -> Value:
        return self._logic("Xor", x, y)

    def not_(self, x: Value) -> Value:
        return self._logic("Not", x)

    def _compare(self, name: str, x: Value, y: Value) -> Value:
        if x.dtype.is_bool and name != "Equal":
            x, y = (self.writer.cast(v, int32) for v in (x, y))
        return self._apply(name, x, y, dtype=bool_)

    def lt(self, x: Value, y: Value) -> Value:
        return self._compare("Less", x, y)

    def le(self, x: Value, y: Value) -> Value:
        return self._compare("LessOrEqual", x, y)

    def eq(self, x: Value, y: Value) -> Value:
        return self._compare("Equal", x, y)

    def convert(self, x: Value, dtype: DType) -> Value:
        return self.writer.cast(x, dtype)

    def function(self, name: str, *xs: Value) -> Value | None:
        if name == "fmod":
            if xs[0].dtype.is_floating:
                return self._apply("Mod", *xs, fmod=1)
            rest: Value = self.rest(*xs)
            return rest
        if name == "pow" and xs[0].dtype.is_integer:
            wide = self._apply("Pow", *(self.writer.cast(x, int64) for x in xs))
            return self.writer.cast(wide, xs[0].dtype)
        known = _FUNCTIONS.get(name)
        return None if known is None else self._apply(known, *xs)

    # --- shifts: ONNX has them for unsigned integers ----------------------------------------------

    def _shift(self, x: Value, y: Value, direction: str) -> Value:
        """Shift without sign; by the width or more it gives 0."""
        dtype, cast = as_unsigned(x.dtype), self.writer.cast
        count, width = cast(y, dtype), self.const(x.dtype.bits, dtype)
        is_far = self.le(width, count)
        near: Value = self.select(is_far, self.const(0, dtype), count)
        moved = self._apply("BitShift", cast(x, dtype), near, direction=direction)
        found: Value = self.select(is_far, self.const(0, dtype), moved)
        return cast(found, x.dtype)

    def shl(self, x: Value, y: Value) -> Value:
        return self._shift(x, y, "LEFT")

    def shr(self, x: Value, y: Value) -> Value:
        if x.dtype.kind == "u":
            return self._shift(x, y, "RIGHT")
        is_negative = self.lt(x, self.const(0, x.dtype))
        size: Value = self.select(is_negative, self.not_(x), x)
        moved = self._shift(size, y, "RIGHT")
        found: Value = self.select(is_negative, self.not_(moved), moved)
        return found


def as_unsigned(dtype: DType) -> DType:
    """Return the unsigned integer dtype of the same width."""
    return as_dtype(UNSIGNED[dtype.bits])
