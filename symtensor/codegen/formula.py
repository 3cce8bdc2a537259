"""What formulas of vector mathematics are written with: float lanes, their bits, rare cases.

A rule takes a `Formula` and lanes. `floats` runs it in the dtype it is given, `in_double` computes
single precision in double lanes and rounds once. Arguments that straight-line code does not serve go
lane by lane to the C library, which is right everywhere and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symtensor.codegen import coefficients as C
from symtensor.codegen.lanes import Lanes, LaneScalars, register_type, vector_of
from symtensor.ir.dtypes import DType, float32, float64, int32, int64

MANTISSA = {"float32": 23, "float64": 52}
BIAS = {"float32": 127, "float64": 1023}
INTEGER = {"float32": int32, "float64": int64}


class Formula:
    """Arithmetic on float lanes with constants of the right dtype; short names keep formulas short."""

    def __init__(self, s: LaneScalars, dtype: DType) -> None:
        self.s = s
        self.dtype = dtype
        self.integer = INTEGER[dtype.name]
        self.mantissa = MANTISSA[dtype.name]
        self.bias = BIAS[dtype.name]
        self.add, self.sub, self.mul, self.div = s.add, s.sub, s.mul, s.div
        self.fma, self.select = s.fma, s.select
        self.suffix = "32" if dtype is float32 else "64"

    def c(self, value: float) -> Lanes:
        return self.s.const(value, self.dtype)

    def i(self, value: int) -> Lanes:
        return self.s.const(value, self.integer)

    def bits(self, x: Lanes) -> Lanes:
        return self.s.bitcast(x, self.integer)

    def from_bits(self, x: Lanes) -> Lanes:
        return self.s.bitcast(x, self.dtype)

    def table(self, name: str) -> tuple[float, ...]:
        return getattr(C, name + self.suffix)  # type: ignore[no-any-return]

    def poly(self, x: Lanes, coefficients: Sequence[float]) -> Lanes:
        """Horner's rule, lowest power first in the table."""
        out = self.c(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            out = self.fma(out, x, self.c(coefficient))
        return out

    def product(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """Return x y and what its rounding took, exact where the target fuses."""
        out = self.mul(x, y)
        return out, self.fma(x, y, self.s.neg(out))

    def total(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """Return x + y and exactly what its rounding took, for |x| >= |y| or x = 0."""
        out = self.add(x, y)
        return out, self.add(self.sub(x, out), y)

    def quotient(self, x: Lanes, x_rest: Lanes, y: Lanes, y_rest: Lanes) -> tuple[Lanes, Lanes]:
        """Return (x + x_rest) / (y + y_rest) as a float and a rest."""
        out = self.div(x, y)
        left = self.fma(self.s.neg(out), y, x)
        left = self.add(left, self.fma(self.s.neg(out), y_rest, x_rest))
        return out, self.div(left, y)

    def less(self, x: Lanes, value: float) -> Lanes:
        return self.s.lt(x, self.c(value))

    def clamp(self, x: Lanes, low: float, high: float) -> Lanes:
        """Limit x; NaN stays NaN."""
        x = self.select(self.less(x, low), self.c(low), x)
        return self.select(self.s.lt(self.c(high), x), self.c(high), x)

    def round_to_int(self, x: Lanes) -> tuple[Lanes, Lanes]:
        """Return x rounded to an integer, as float and as integer; safe for NaN (no fptosi)."""
        magic = self.c(1.5 * 2.0**self.mantissa)
        shifted = self.add(x, magic)
        whole = self.sub(shifted, magic)
        return whole, self.s.sub(self.bits(shifted), self.bits_of(magic))

    def bits_of(self, constant: Lanes) -> Lanes:
        return self.bits(self.s._named(constant))

    def power_of_two(self, n: Lanes) -> Lanes:
        """Return 2**n for integer lanes in the normal range."""
        shifted = self.s._binary("shl", self.s.add(n, self.i(self.bias)), self.i(self.mantissa))
        return self.from_bits(shifted)

    def scale(self, x: Lanes, n: Lanes) -> Lanes:
        """Return x * 2**n in two steps, so that overflow and subnormals come out right."""
        half = self.s._binary("ashr", n, self.i(1))
        rest = self.s.sub(n, half)
        return self.mul(self.mul(x, self.power_of_two(half)), self.power_of_two(rest))


def floats(rule: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """Give a rule its `Formula` in place of the vocabulary."""
    return lambda s, *xs: rule(Formula(s, xs[0].dtype), *xs)


def in_double(rule: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """Compute a float32 function in double lanes and round once."""

    def wrapped(s: LaneScalars, *xs: Lanes) -> Lanes:
        if xs[0].dtype is float64:
            return rule(Formula(s, float64), *xs)
        wide = [s.cast(x, float64) for x in xs]
        return s.cast(rule(Formula(s, float64), *wide), float32)

    return wrapped


# --- the C library -------------------------------------------------------------------------------


def rare_lanes(s: LaneScalars, mask: Lanes, usual: Lanes, symbol: str, x: Lanes) -> Lanes:
    """Return `usual`, except in lanes of `mask`, which the C function `symbol` computes.

    The calls stand behind a branch that is taken only when some lane needs them.
    """
    width, kind = usual.width, register_type(usual.dtype, usual.width)
    name = s.fresh("rare")[1:]
    any_lane = mask.text
    if width > 1:
        reduce = s.intrinsic(
            f"llvm.vector.reduce.or.v{width}i1", "i1", [(vector_of("i1", width), mask.text)]
        )
        any_lane = s.emit(reduce, mask.dtype, 1).text
    s.out += [
        f"br label %{name}.in", f"{name}.in:",
        f"br i1 {any_lane}, label %{name}.slow, label %{name}.out", f"{name}.slow:",
    ]  # fmt: skip
    called = s.cast(library_call(s, symbol, s.cast(x, float64)), usual.dtype)
    slow = s.select(mask, called, usual)
    s.out += [f"br label %{name}.end", f"{name}.end:", f"br label %{name}.out", f"{name}.out:"]
    return s.emit(
        f"phi {kind} [ {usual.text}, %{name}.in ], [ {slow.text}, %{name}.end ]",
        usual.dtype,
        width,
    )


def library_call(s: LaneScalars, symbol: str, *xs: Lanes) -> Lanes:
    """Return a C function of double lanes, one call per lane."""
    width, texts = s._together(*xs)
    s.intrinsics.add(f"declare double @{symbol}({', '.join(['double'] * len(xs))})")
    if width == 1:
        arguments = ", ".join(f"double {t}" for t in texts)
        return s.emit(f"call double @{symbol}({arguments})", float64, 1)
    vector, out = register_type(float64, width), "poison"
    for lane in range(width):
        ones = [s.emit(f"extractelement {vector} {t}, i64 {lane}", float64, 1).text for t in texts]
        arguments = ", ".join(f"double {t}" for t in ones)
        one = s.emit(f"call double @{symbol}({arguments})", float64, 1).text
        out = s.emit(f"insertelement {vector} {out}, double {one}, i64 {lane}", float64, width).text
    return Lanes(out, float64, width)
