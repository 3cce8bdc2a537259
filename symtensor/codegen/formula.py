"""What formulas of vector mathematics are written with: float lanes, their bits, rare cases.

A rule takes a `Formula` and lanes. `floats` runs it in the dtype it is given, `in_double` computes
single precision in double lanes and rounds once. Arguments that straight-line code does not serve go
lane by lane to the C library, which is right everywhere and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from symtensor.codegen import coefficients as C
from symtensor.codegen.cross_lane import any_lane, first_lanes, joined, part
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes, register_type
from symtensor.ir.dtypes import DType, float32, float64, int32, int64

MANTISSA = {"float32": 23, "float64": 52}
BIAS = {"float32": 127, "float64": 1023}
INTEGER = {"float32": int32, "float64": int64}


class Whole(NamedTuple):
    """A whole number n, of units, as a float, and where the low bits of its integer form are."""

    value: Lanes
    shifted: Lanes
    """n plus a power of two so large that the last bit stands for a unit."""


_THREE_QUARTERS = 0b1011
"""Mode of ``getmant``: a mantissa in [3/4, 3/2), NaN for negative numbers."""


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

    def i_of(self, value: float) -> Lanes:
        """Return the bits of a float as an integer constant."""
        number = self.dtype.numpy.type(value)
        return self.i(int(number.view(self.integer.numpy)))

    def table(self, name: str) -> tuple[float, ...]:
        return getattr(C, name + self.suffix)  # type: ignore[no-any-return]

    def poly(self, x: Lanes, coefficients: Sequence[float]) -> Lanes:
        """Return a polynomial of constants, lowest power first."""
        return self.horner(x, [self.c(c) for c in coefficients])

    def horner(self, x: Lanes, terms: Sequence[Lanes]) -> Lanes:
        """Return a polynomial by Horner's rule, lowest power first."""
        out = terms[-1]
        for term in reversed(terms[:-1]):
            out = self.fma(out, x, term)
        return out

    def product(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """Return x y and exactly what its rounding took; without fusing, of factors far from overflow."""
        out = self.mul(x, y)
        if self.s.target.has_fma:
            return out, self.fma(x, y, self.s.neg(out))
        (a, b), (c, d) = self._halves(x), self._halves(y)
        rest = self.add(self.sub(self.mul(a, c), out), self.add(self.mul(a, d), self.mul(b, c)))
        return out, self.add(rest, self.mul(b, d))

    def _halves(self, x: Lanes) -> tuple[Lanes, Lanes]:
        """Return x as a sum of floats of half the bits (Dekker, 1971)."""
        far = self.mul(x, self.c(2.0 ** ((self.mantissa + 2) // 2) + 1))
        high = self.sub(far, self.sub(far, x))
        return high, self.sub(x, high)

    def left(self, x: Lanes, q: Lanes, y: Lanes) -> Lanes:
        """Return x - q y, exactly where that is a float, as what a quotient leaves is."""
        if self.s.target.has_fma:
            return self.fma(self.s.neg(q), y, x)
        product, rest = self.product(q, y)
        return self.sub(self.sub(x, product), rest)

    def total(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """Return x + y and exactly what its rounding took, for |x| >= |y| or x = 0."""
        out = self.add(x, y)
        return out, self.add(self.sub(x, out), y)

    def quotient(self, x: Lanes, x_rest: Lanes, y: Lanes, y_rest: Lanes) -> tuple[Lanes, Lanes]:
        """Return (x + x_rest) / (y + y_rest) as a float and a rest."""
        out = self.div(x, y)
        left = self.add(self.left(x, out, y), self.fma(self.s.neg(out), y_rest, x_rest))
        return out, self.div(left, y)

    def less(self, x: Lanes, value: float) -> Lanes:
        return self.s.lt(x, self.c(value))

    def clamp(self, x: Lanes, low: float, high: float) -> Lanes:
        """Limit x; NaN stays NaN."""
        limited = self.select(self.less(x, low), self.c(low), x)
        if x.most <= high:
            return limited
        return self.select(self.s.lt(self.c(high), limited), self.c(high), limited)

    def nearest(self, x: Lanes, factor: float = 1.0, unit: float = 1.0) -> Whole:
        """Return x times a factor, rounded to a multiple of a power of two; safe for NaN (no fptosi)."""
        magic = self.c(1.5 * 2.0**self.mantissa * unit)
        bits = self.add(x, magic) if factor == 1.0 else self.fma(x, self.c(factor), magic)
        return Whole(self.sub(bits, magic), bits)

    def to_integer(self, n: Whole) -> Lanes:
        """Return a whole number in integer lanes."""
        return self.s.sub(self.bits(n.shifted), self.i_of(1.5 * 2.0**self.mantissa))

    def power_of_two(self, n: Whole, more: int = 0) -> Lanes:
        """Return 2**(n + more) in the normal range."""
        exponent = self.s.binary("shl", self.bits(n.shifted), self.i(self.mantissa))
        bias = (self.bias + more) << self.mantissa
        return self.from_bits(self.s.add(exponent, self.i(bias)))

    def scale(self, x: Lanes, n: Whole) -> Lanes:
        """Return x * 2**n rounded once, so that overflow and subnormals come out right."""
        call = self.special("scalef", x, n.value)
        return self._scale_in_steps(x, n) if call is None else call

    def _scale_in_steps(self, x: Lanes, n: Whole) -> Lanes:
        s, integer = self.s, self.to_integer(n)
        half = s.binary("ashr", integer, self.i(1))
        for count in (half, s.sub(integer, half)):
            bits = s.binary("shl", s.add(count, self.i(self.bias)), self.i(self.mantissa))
            x = self.mul(x, self.from_bits(bits))
        return x

    def lookup(self, table: Sequence[float], place: Lanes) -> Lanes:
        """Return numbers of a table of `Target.table_lanes`, at places counted from 0."""
        s, count, width = self.s, len(table), place.width
        if width > count:
            return joined(s, [self.lookup(table, x) for (x,) in self.parts([place], count)])
        kind, integers = register_type(self.dtype, count), register_type(self.integer, count)
        numbers = ", ".join(f"{register_type(self.dtype)} {self.c(x).text}" for x in table)
        at = first_lanes(s, place, count).text
        arguments = [(kind, f"<{numbers}>"), (integers, at)]
        call = s.intrinsic(s.target.lookup_intrinsic, kind, arguments)
        return part(s, s.emit(call, self.dtype, count), 0, width)

    @property
    def has_exponents(self) -> bool:
        """Return True where `special` serves."""
        bits = self.dtype.bits
        return (
            self.s.target.exponent_intrinsic("getexp", bits, self.s.target.lanes(bits)) is not None
        )

    def exponent_and_mantissa(self, x: Lanes) -> tuple[Lanes, Lanes] | None:
        """Return floor(log2(x)) and a mantissa in [3/4, 3/2), by one instruction each, or None.

        They also serve 0 and infinity: the exponent is infinite, the mantissa is 1, and NaN below 0.
        """
        e, m = self.special("getexp", x), self.special("getmant", x, mode=_THREE_QUARTERS)
        return None if e is None or m is None else (e, m)

    def special(self, word: str, *xs: Lanes, mode: int | None = None) -> Lanes | None:
        """Return what one instruction does with exponents, or None where the target has none."""
        if not self.has_exponents:
            return None
        bits, width = self.dtype.bits, max(x.width for x in xs)
        most, least = self.s.target.lanes(bits), 128 // bits
        if width > most:
            parts = [self.special(word, *xs, mode=mode) for xs in self.parts(xs, most)]
            return joined(self.s, [x for x in parts if x is not None])
        if width < least:
            wide = [first_lanes(self.s, self.s.widen(x, width), least) for x in xs]
            return part(self.s, self._special(word, wide, mode), 0, width)
        return self._special(word, [self.s.widen(x, width) for x in xs], mode)

    def _special(self, word: str, xs: list[Lanes], mode: int | None) -> Lanes:
        bits, width = self.dtype.bits, xs[0].width
        name, kind = (
            self.s.target.exponent_intrinsic(word, bits, width),
            register_type(self.dtype, width),
        )
        assert name is not None
        arguments = [(kind, x.text) for x in xs]
        arguments += [] if mode is None else [("i32", str(mode))]
        arguments += [(kind, "poison"), (f"i{max(width, 8)}", "-1")]  # all lanes
        arguments += [("i32", "4")] if width * bits == 512 else []  # rounded as usual
        return self.s.emit(self.s.intrinsic(name, kind, arguments), self.dtype, width)

    def parts(self, xs: Sequence[Lanes], count: int) -> list[list[Lanes]]:
        """Return operands cut into vectors of `count` lanes."""
        width = max(x.width for x in xs)
        wide = [self.s.widen(x, width) for x in xs]
        return [[part(self.s, x, at, count) for x in wide] for at in range(0, width, count)]


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


def rare_lanes(s: LaneScalars, mask: Lanes, usual: Lanes, symbol: str, *xs: Lanes) -> Lanes:
    """Return `usual`, except in lanes of `mask`, which the C function `symbol` computes.

    The calls stand behind a branch that is taken only when some lane needs them.
    """
    width, kind = usual.width, register_type(usual.dtype, usual.width)
    name = s.fresh("rare")[1:]
    some = any_lane(s, mask).text
    s.out += [
        f"br label %{name}.in", f"{name}.in:",
        f"br i1 {some}, label %{name}.slow, label %{name}.out", f"{name}.slow:",
    ]  # fmt: skip
    wide = [s.cast(x, float64) for x in xs]
    called = s.cast(library_call(s, symbol, *wide), usual.dtype)
    slow = s.select(mask, called, usual)
    s.out += [f"br label %{name}.end", f"{name}.end:", f"br label %{name}.out", f"{name}.out:"]
    return s.emit(
        f"phi {kind} [ {usual.text}, %{name}.in ], [ {slow.text}, %{name}.end ]",
        usual.dtype,
        width,
    )


def library_call(s: LaneScalars, symbol: str, *xs: Lanes) -> Lanes:
    """Return a C function of double lanes, one call per lane."""
    width, texts = s.together(*xs)
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
