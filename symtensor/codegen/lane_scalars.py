"""The scalar vocabulary, spoken in LLVM: each word appends instructions on vectors of lanes.

Words are those of `symtensor.ops.scalars.Scalars`. Nothing here carries fast-math flags: the same op gives
the same bits at every width, which is why a vector loop and its scalar remainder agree.
"""

from __future__ import annotations

from collections.abc import Callable

from symtensor.codegen.lanes import LaneBuilder, Lanes, Unsupported, register_type, vector_of
from symtensor.ir.dtypes import DType, as_dtype, bool_, float32, float64


class LaneScalars(LaneBuilder):
    """The words; see `symtensor.ops.scalars.Scalars`."""

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, x: Lanes, y: Lanes) -> Lanes:
        if x.dtype.is_bool:
            return self.binary("or", x, y)
        return self._float("fadd", x, y) if x.dtype.is_floating else self.binary("add", x, y)

    def sub(self, x: Lanes, y: Lanes) -> Lanes:
        return self._float("fsub", x, y) if x.dtype.is_floating else self.binary("sub", x, y)

    def mul(self, x: Lanes, y: Lanes) -> Lanes:
        if x.dtype.is_bool:
            return self.binary("and", x, y)
        return self._float("fmul", x, y) if x.dtype.is_floating else self.binary("mul", x, y)

    def div(self, x: Lanes, y: Lanes) -> Lanes:
        return self._float("fdiv", x, y)

    def neg(self, x: Lanes) -> Lanes:
        if x.dtype.is_floating:
            return self.emit(f"fneg {register_type(x.dtype, x.width)} {x.text}", x.dtype, x.width)
        return self.binary("sub", self.const(0, x.dtype), x)

    def abs(self, x: Lanes) -> Lanes:
        if x.dtype.is_floating:
            return self._call("fabs", x)
        if x.dtype.kind in "bu":
            return x
        return self.select(self.lt(x, self.const(0, x.dtype)), self.neg(x), x)

    def _divisor(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """Return ``y == 0`` and a divisor that can't trap (1 in place of 0 and of MIN / -1)."""
        zero = self.eq(y, self.const(0, y.dtype))
        bad = zero
        if x.dtype.kind == "i":
            low = self.eq(x, self.const(-(1 << (x.dtype.bits - 1)), x.dtype))
            bad = self.or_(zero, self.and_(low, self.eq(y, self.const(-1, y.dtype))))
        return zero, self.select(bad, self.const(1, y.dtype), y)

    def _quotient(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
        """Return quotient and remainder rounded down, ``y == 0``, and the divisor used."""
        zero, divisor = self._divisor(x, y)
        signed = x.dtype.kind == "i"
        q = self.binary("sdiv" if signed else "udiv", x, divisor)
        r = self.sub(x, self.mul(q, divisor))
        if signed:
            none = self.const(0, x.dtype)
            opposite = self.lt(self.binary("xor", r, divisor), none)
            off = self.and_(self.ne(r, none), opposite)
            q = self.select(off, self.sub(q, self.const(1, x.dtype)), q)
            r = self.select(off, self.add(r, divisor), r)
        return q, r, zero, divisor

    def floordiv(self, x: Lanes, y: Lanes) -> Lanes:
        q, _, zero, _ = self._quotient(x, y)
        return self.select(zero, self.const(0, x.dtype), q)

    def mod(self, x: Lanes, y: Lanes) -> Lanes:
        _, r, zero, _ = self._quotient(x, y)
        return self.select(zero, self.const(0, x.dtype), r)

    def _extremum(self, x: Lanes, y: Lanes, ordered: str, signed: str, unsigned: str) -> Lanes:
        if x.dtype.is_bool:
            return self.binary("and" if ordered == "olt" else "or", x, y)
        if not x.dtype.is_floating:
            return self._call(signed if x.dtype.kind == "i" else unsigned, x, y)
        # NaN in y falls through the ordered compare; NaN in x needs a look of its own
        chosen = self.select(self.compare(f"fcmp {ordered}", x, y), x, y)
        return self.select(self.compare("fcmp uno", x, x), x, chosen)

    def minimum(self, x: Lanes, y: Lanes) -> Lanes:
        return self._extremum(x, y, "olt", "smin", "umin")

    def maximum(self, x: Lanes, y: Lanes) -> Lanes:
        return self._extremum(x, y, "ogt", "smax", "umax")

    # --- floats ---------------------------------------------------------------------------------

    def sqrt(self, x: Lanes) -> Lanes:
        return self.round_to_dtype(self._call("sqrt", x))

    def floor(self, x: Lanes) -> Lanes:
        return self._call("floor", x)

    def ceil(self, x: Lanes) -> Lanes:
        return self._call("ceil", x)

    def trunc(self, x: Lanes) -> Lanes:
        return self._call("trunc", x)

    def rint(self, x: Lanes) -> Lanes:
        return self._call("rint", x)

    def copysign(self, x: Lanes, y: Lanes) -> Lanes:
        return self._call("copysign", x, y)

    def signbit(self, x: Lanes) -> Lanes:
        bits = 64 if x.dtype is float64 else 32
        integer = as_dtype(f"int{bits}")
        return self.lt(self.bitcast(x, integer), self.const(0, integer))

    def nextafter(self, x: Lanes, y: Lanes) -> Lanes:
        raise Unsupported("nextafter has no native form")

    def fma(self, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
        """Return ``x * y + z`` rounded once where the target can, else rounded twice."""
        if self.target.has_fma:
            return self._call("fma", x, y, z)
        return self.binary("fadd", self.binary("fmul", x, y), z)

    def call(self, name: str, *xs: Lanes) -> Lanes:
        from symtensor.codegen import vecmath

        rule: Callable[..., Lanes] | None = vecmath.FUNCTIONS.get(name)
        if rule is None or not xs[0].dtype.is_floating:
            raise Unsupported(f"{name} has no native form")
        if xs[0].dtype.bits == 16:
            wide = [Lanes(x.text, float32, x.width) for x in xs]
            out = rule(self, *wide)
            return self.round_to_dtype(Lanes(out.text, xs[0].dtype, out.width))
        return rule(self, *xs)

    # --- bits, comparisons, selection -------------------------------------------------------------

    def and_(self, x: Lanes, y: Lanes) -> Lanes:
        return self.binary("and", x, y)

    def or_(self, x: Lanes, y: Lanes) -> Lanes:
        return self.binary("or", x, y)

    def xor(self, x: Lanes, y: Lanes) -> Lanes:
        return self.binary("xor", x, y)

    def not_(self, x: Lanes) -> Lanes:
        return self.binary("xor", x, self.const(True if x.dtype.is_bool else -1, x.dtype))

    def shl(self, x: Lanes, y: Lanes) -> Lanes:
        inside = self._count_inside(y)
        count = self.select(inside, y, self.const(0, y.dtype))
        return self.select(inside, self.binary("shl", x, count), self.const(0, x.dtype))

    def shr(self, x: Lanes, y: Lanes) -> Lanes:
        inside = self._count_inside(y)
        if x.dtype.kind == "i":  # beyond the width only copies of the sign are left
            last = self.const(x.dtype.bits - 1, y.dtype)
            return self.binary("ashr", x, self.select(inside, y, last))
        count = self.select(inside, y, self.const(0, y.dtype))
        return self.select(inside, self.binary("lshr", x, count), self.const(0, x.dtype))

    def _count_inside(self, y: Lanes) -> Lanes:
        return self.compare("icmp ult", y, self.const(y.dtype.bits, y.dtype))

    def compare(self, instruction: str, x: Lanes, y: Lanes) -> Lanes:
        """Append an ``icmp`` or ``fcmp`` with its predicate."""
        width, (a, b) = self.together(x, y)
        return self.emit(f"{instruction} {register_type(x.dtype, width)} {a}, {b}", bool_, width)

    def _order(self, x: Lanes, y: Lanes, name: str) -> Lanes:
        if x.dtype.is_floating:
            return self.compare(f"fcmp o{name}", x, y)
        return self.compare(f"icmp {'s' if x.dtype.kind == 'i' else 'u'}{name}", x, y)

    def lt(self, x: Lanes, y: Lanes) -> Lanes:
        return self._order(x, y, "lt")

    def le(self, x: Lanes, y: Lanes) -> Lanes:
        return self._order(x, y, "le")

    def eq(self, x: Lanes, y: Lanes) -> Lanes:
        return self.compare("fcmp oeq" if x.dtype.is_floating else "icmp eq", x, y)

    def ne(self, x: Lanes, y: Lanes) -> Lanes:
        return self.compare("fcmp une" if x.dtype.is_floating else "icmp ne", x, y)

    def select(self, condition: Lanes, x: Lanes, y: Lanes) -> Lanes:
        width, (c, a, b) = self.together(condition, x, y)
        kind = register_type(x.dtype, width)
        return self.emit(
            f"select {vector_of('i1', width)} {c}, {kind} {a}, {kind} {b}", x.dtype, width
        )

    # --- conversion -------------------------------------------------------------------------------

    def bitcast(self, x: Lanes, dtype: DType) -> Lanes:
        """Return the same register bits as another dtype of the same register width."""
        return self.emit(
            f"bitcast {register_type(x.dtype, x.width)} {x.text} to "
            f"{register_type(dtype, x.width)}",
            dtype,
            x.width,
        )

    def convert(self, instruction: str, x: Lanes, dtype: DType) -> Lanes:
        """Append a conversion instruction such as ``sitofp``."""
        return self.emit(
            f"{instruction} {register_type(x.dtype, x.width)} {x.text} to "
            f"{register_type(dtype, x.width)}",
            dtype,
            x.width,
        )

    def cast(self, x: Lanes, dtype: DType) -> Lanes:
        source = x.dtype
        if source is dtype:
            return x
        if not x.text.startswith("%"):
            x = self._named(x)
        if dtype.is_bool:
            return self.ne(x, self.const(0, source))
        if source.is_floating:
            return (
                self._float_to_float(x, dtype)
                if dtype.is_floating
                else self._float_to_int(x, dtype)
            )
        if dtype.is_floating:
            signed = source.kind == "i"
            return self.round_to_dtype(self.convert("sitofp" if signed else "uitofp", x, dtype))
        if source.is_bool:
            return self.convert("zext", x, dtype)
        if source.bits > dtype.bits:
            return self.convert("trunc", x, dtype)
        if source.bits == dtype.bits:
            return Lanes(x.text, dtype, x.width)
        return self.convert("sext" if source.kind == "i" else "zext", x, dtype)

    def _named(self, x: Lanes) -> Lanes:
        """Give a literal an SSA name, so that conversions apply to it."""
        kind = register_type(x.dtype)
        return self.emit(f"freeze {kind} {x.text}", x.dtype, 1)

    def _float_to_float(self, x: Lanes, dtype: DType) -> Lanes:
        wide_in, wide_out = x.dtype is float64, dtype is float64
        if wide_in and dtype.name == "float16":
            raise Unsupported("float64 to float16 would round twice")
        if wide_in == wide_out:
            return self.round_to_dtype(Lanes(x.text, dtype, x.width))
        return self.round_to_dtype(self.convert("fptrunc" if wide_in else "fpext", x, dtype))

    def _float_to_int(self, x: Lanes, dtype: DType) -> Lanes:
        """Truncate; saturate at both ends; NaN gives 0. No input reaches fptosi out of range."""
        signed = dtype.kind == "i"
        low = -(1 << (dtype.bits - 1)) if signed else 0
        high = (1 << (dtype.bits - 1 if signed else dtype.bits)) - 1
        kind = float64 if x.dtype is float64 else float32
        x = Lanes(x.text, kind, x.width)
        whole = self.trunc(x)
        above = self.compare("fcmp oge", whole, self.const(float(high + 1), kind))
        below = self.compare("fcmp olt", whole, self.const(float(low), kind))
        nan = self.compare("fcmp uno", whole, whole)
        outside = self.or_(self.or_(above, below), nan)
        safe = self.select(outside, self.const(0.0, kind), whole)
        out = self.convert("fptosi" if signed else "fptoui", safe, dtype)
        out = self.select(above, self.const(high, dtype), out)
        return self.select(below, self.const(low, dtype), out)
