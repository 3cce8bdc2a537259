"""The scalar vocabulary in StableHLO: each word is an operation on whole tensors of one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symtensor.export.stablehlo.writer import Value, Writer, type_text
from symtensor.export.words import DerivedWords
from symtensor.ir.dtypes import DType, bool_

_WORDS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "quotient": "divide",
    "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "rint": "round_nearest_even", "neg": "negate",
    "minimum": "minimum", "maximum": "maximum", "and_": "and", "or_": "or", "xor": "xor",
    "not_": "not", "select": "select",
}  # fmt: skip
_FUNCTIONS = {
    "exp": "stablehlo.exponential", "expm1": "stablehlo.exponential_minus_one",
    "log": "stablehlo.log", "log1p": "stablehlo.log_plus_one", "sin": "stablehlo.sine",
    "cos": "stablehlo.cosine", "tan": "stablehlo.tan", "tanh": "stablehlo.tanh",
    "cbrt": "stablehlo.cbrt", "sigmoid": "stablehlo.logistic", "pow": "stablehlo.power",
    "atan2": "stablehlo.atan2", "fmod": "stablehlo.remainder", "asin": "chlo.asin",
    "acos": "chlo.acos", "atan": "chlo.atan", "sinh": "chlo.sinh", "cosh": "chlo.cosh",
    "asinh": "chlo.asinh", "acosh": "chlo.acosh", "atanh": "chlo.atanh", "erf": "chlo.erf",
    "erfc": "chlo.erfc", "lgamma": "chlo.lgamma", "digamma": "chlo.digamma",
}  # fmt: skip


class Words(DerivedWords):
    """The scalar vocabulary, spoken for whole tensors."""

    def __init__(self, writer: Writer, shape: Sequence[int]) -> None:
        self.writer = writer
        self.shape = tuple(shape)

    def __getattr__(self, word: str) -> Callable[..., Value]:
        if word not in _WORDS:
            raise AttributeError(word)
        name = f"stablehlo.{_WORDS[word]}"
        return lambda *xs: self.writer.elementwise(name, *xs, type=xs[-1].type)

    def dtype(self, x: Value) -> DType:
        return x.type.dtype

    def const(self, value: float | int | bool, dtype: DType) -> Value:
        return self.writer.splat(value, dtype, self.shape)

    def abs(self, x: Value) -> Value:
        return x if x.type.dtype.kind in "ub" else self.writer.elementwise("stablehlo.abs", x)

    def shl(self, x: Value, y: Value) -> Value:
        return self.writer.elementwise("stablehlo.shift_left", x, y)

    def shr(self, x: Value, y: Value) -> Value:
        kind = "logical" if x.type.dtype.kind == "u" else "arithmetic"
        return self.writer.elementwise(f"stablehlo.shift_right_{kind}", x, y)

    def compare(self, relation: str, x: Value, y: Value) -> Value:
        """Return a comparison: EQ, NE, LT, LE, GT."""
        dtype = x.type.dtype
        kind = {"f": "FLOAT", "i": "SIGNED"}.get(dtype.kind, "UNSIGNED")
        out = x.type.with_dtype(bool_)
        return self.writer.op(
            f"stablehlo.compare {relation}, {x.name}, {y.name}, {kind} : "
            f"({x.text}, {y.text}) -> {type_text(out)}",
            out,
        )

    def lt(self, x: Value, y: Value) -> Value:
        return self.compare("LT", x, y)

    def le(self, x: Value, y: Value) -> Value:
        return self.compare("LE", x, y)

    def eq(self, x: Value, y: Value) -> Value:
        return self.compare("EQ", x, y)

    def ne(self, x: Value, y: Value) -> Value:
        return self.compare("NE", x, y)

    def convert(self, x: Value, dtype: DType) -> Value:
        return self.writer.elementwise("stablehlo.convert", x, type=x.type.with_dtype(dtype))

    def function(self, name: str, *xs: Value) -> Value | None:
        if name == "fmod" and not xs[0].type.dtype.is_floating:
            rest: Value = self.rest(*xs)
            return rest
        known = _FUNCTIONS.get(name)
        return None if known is None else self.writer.elementwise(known, *xs)
