"""The scalar vocabulary, spoken in LLVM: each word appends instructions on vectors of lanes.

A `Lanes` value is an SSA name or a literal with its dtype and width; width 1 is a scalar and is
splatted when it meets a vector. half and bfloat16 live in float registers and are rounded after each
operation, exactly as NumPy does. Nothing here carries fast-math flags: the same op gives the same
bits at every width, which is why a vector loop and its scalar remainder agree.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from symtensor.codegen.target import Target
from symtensor.errors import LoweringError
from symtensor.ir.dtypes import DType, as_dtype, bool_, float32, float64, int64


class Unsupported(LoweringError):
    """A scalar rule that has no native form here; the node becomes a call-out."""


class Lanes(NamedTuple):
    """A value in registers."""

    text: str
    dtype: DType
    width: int


_REGISTER = {"bool": "i1", "float16": "float", "bfloat16": "float",
             "float32": "float", "float64": "double"}  # fmt: skip
_MEMORY = {"bool": "i8", "float16": "half", "bfloat16": "i16",
           "float32": "float", "float64": "double"}  # fmt: skip


@functools.cache
def register_type(dtype: DType, width: int = 1) -> str:
    """Return the LLVM type of `width` values of a dtype in registers."""
    return vector_of(_REGISTER.get(dtype.name, f"i{dtype.bits}"), width)


@functools.cache
def memory_type(dtype: DType, width: int = 1) -> str:
    """Return the LLVM type of `width` elements of a dtype in memory."""
    return vector_of(_MEMORY.get(dtype.name, f"i{dtype.bits}"), width)


def vector_of(element: str, width: int) -> str:
    """Return ``<width x element>``, or the element itself for one."""
    return element if width == 1 else f"<{width} x {element}>"


def literal(value: float | int | bool, dtype: DType) -> str:
    """Return a number as LLVM prints it; floats by their bits."""
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype.is_integer:
        return str(int(value))
    number = float(value)
    if dtype is not float64:
        number = float(dtype.numpy.type(number))
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat_literal(x: Lanes, width: int) -> str:
    """Return the text of `x` at `width` lanes; a literal is splatted in place, without code."""
    return x.text if x.width == width else f"splat ({register_type(x.dtype)} {x.text})"


class LaneScalars:
    """Appends instructions to ``self.out``; see `symtensor.ops.scalars.Scalars` for the words."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.out: list[Any] = []
        self.intrinsics: set[str] = set()
        """Declarations the module needs."""
        self._counter = itertools.count()

    # --- plumbing -------------------------------------------------------------------------------

    def fresh(self, hint: str = "v") -> str:
        """Return an unused SSA name."""
        return f"%{hint}{next(self._counter)}"

    def emit(self, instruction: str, dtype: DType, width: int) -> Lanes:
        """Append an instruction and return its result."""
        name = f"%v{next(self._counter)}"
        self.out.append(f"{name} = {instruction}")
        return Lanes(name, dtype, width)

    def intrinsic(self, name: str, result: str, arguments: list[tuple[str, str]]) -> str:
        """Return the text of a call of an LLVM intrinsic and note its declaration."""
        types = ", ".join(t for t, _ in arguments)
        self.intrinsics.add(f"declare {result} @{name}({types})")
        return f"call {result} @{name}({', '.join(f'{t} {v}' for t, v in arguments)})"

    def const(self, value: float | int | bool, dtype: DType) -> Lanes:
        return Lanes(literal(value, dtype), dtype, 1)

    def dtype(self, x: Lanes) -> DType:
        return x.dtype

    def splat(self, x: Lanes, width: int) -> str:
        """Return the text of `x` at `width` lanes."""
        if x.width == width:
            return x.text
        if x.width != 1:
            raise LoweringError(f"{x.width} lanes can't become {width}")
        element, vector = register_type(x.dtype), register_type(x.dtype, width)
        if not x.text.startswith("%"):
            return splat_literal(x, width)
        one = self.fresh()
        out = self.fresh()
        self.out.append(f"{one} = insertelement {vector} poison, {element} {x.text}, i64 0")
        self.out.append(
            f"{out} = shufflevector {vector} {one}, {vector} poison, <{width} x i32> "
            "zeroinitializer"
        )
        return out

    def widen(self, x: Lanes, width: int) -> Lanes:
        """Return `x` with `width` lanes."""
        return Lanes(self.splat(x, width), x.dtype, width)

    def together(self, *xs: Lanes) -> tuple[int, list[str]]:
        """Return the width of the widest operand, and the texts of all at that width."""
        width = max([x.width for x in xs])
        return width, [self.splat(x, width) for x in xs]

    def binary(self, instruction: str, x: Lanes, y: Lanes) -> Lanes:
        """Append an instruction of two operands as it is, such as a shift by a count that is inside."""
        width, (a, b) = self.together(x, y)
        return self.emit(f"{instruction} {register_type(x.dtype, width)} {a}, {b}", x.dtype, width)

    def _float(self, instruction: str, x: Lanes, y: Lanes) -> Lanes:
        return self.round_to_dtype(self.binary(instruction, x, y))

    def _call(self, name: str, *xs: Lanes) -> Lanes:
        """Call an overloaded LLVM intrinsic on operands of one type."""
        width, texts = self.together(*xs)
        kind = register_type(xs[0].dtype, width)
        suffix = _mangled(xs[0].dtype, width)
        call = self.intrinsic(f"llvm.{name}.{suffix}", kind, [(kind, t) for t in texts])
        return self.emit(call, xs[0].dtype, width)

    def round_to_dtype(self, x: Lanes) -> Lanes:
        """Round a float register to half or bfloat16 where that is the dtype."""
        if x.dtype.name in ("float16", "bfloat16"):
            return self.from_memory(self.to_memory(x), x.dtype, x.width)
        return x

    def to_memory(self, x: Lanes) -> str:
        """Return the text of `x` in its memory representation."""
        width, dtype = x.width, x.dtype
        if dtype.is_bool:
            return self.emit(f"zext {register_type(dtype, width)} {x.text} to "
                             f"{memory_type(dtype, width)}", dtype, width).text  # fmt: skip
        if dtype.name == "float16":
            self._require_half()
            return self.emit(f"fptrunc {vector_of('float', width)} {x.text} to "
                             f"{vector_of('half', width)}", dtype, width).text  # fmt: skip
        return self._bfloat16_bits(x) if dtype.name == "bfloat16" else x.text

    def from_memory(self, text: str, dtype: DType, width: int) -> Lanes:
        """Return a value just loaded, in its register representation."""
        kind = memory_type(dtype, width)
        if dtype.is_bool:
            return self.emit(f"icmp ne {kind} {text}, zeroinitializer"
                             if width > 1 else f"icmp ne {kind} {text}, 0", dtype, width)  # fmt: skip
        if dtype.name == "float16":
            self._require_half()
            return self.emit(f"fpext {kind} {text} to {vector_of('float', width)}", dtype, width)
        if dtype.name == "bfloat16":
            wide = vector_of("i32", width)
            a = self.emit(f"zext {kind} {text} to {wide}", dtype, width).text
            b = self.emit(f"shl {wide} {a}, {_int_splat(16, width)}", dtype, width).text
            return self.emit(f"bitcast {wide} {b} to {vector_of('float', width)}", dtype, width)
        return Lanes(text, dtype, width)

    def _require_half(self) -> None:
        if not self.target.has_half:
            raise Unsupported("this target converts half in software")

    def _bfloat16_bits(self, x: Lanes) -> str:
        """Return the upper 16 bits after rounding to nearest even; NaN stays NaN."""
        w, dtype = x.width, x.dtype
        wide, narrow = vector_of("i32", w), vector_of("i16", w)

        def step(text: str) -> str:
            return self.emit(text, dtype, w).text

        bits = step(f"bitcast {vector_of('float', w)} {x.text} to {wide}")
        high = step(f"lshr {wide} {bits}, {_int_splat(16, w)}")
        odd = step(f"and {wide} {high}, {_int_splat(1, w)}")
        bias = step(f"add {wide} {odd}, {_int_splat(0x7FFF, w)}")
        sum_ = step(f"add {wide} {bits}, {bias}")
        rounded = step(f"lshr {wide} {sum_}, {_int_splat(16, w)}")
        quiet = step(f"or {wide} {high}, {_int_splat(0x40, w)}")
        nan = step(f"fcmp uno {vector_of('float', w)} {x.text}, {x.text}")
        chosen = step(f"select {vector_of('i1', w)} {nan}, {wide} {quiet}, {wide} {rounded}")
        return step(f"trunc {wide} {chosen} to {narrow}")

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


def part(s: LaneScalars, x: Lanes, start: int, count: int) -> Lanes:
    """Return `count` lanes of a vector, from lane `start` on."""
    if count == x.width:
        return x
    kind = register_type(x.dtype, x.width)
    if count == 1:
        return s.emit(f"extractelement {kind} {x.text}, i64 {start}", x.dtype, 1)
    picked = ", ".join(f"i32 {start + i}" for i in range(count))
    mask = f"{vector_of('i32', count)} <{picked}>"
    return s.emit(f"shufflevector {kind} {x.text}, {kind} poison, {mask}", x.dtype, count)


def joined(s: LaneScalars, xs: Sequence[Lanes]) -> Lanes:
    """Return the lanes of vectors of one width, a power of two of them, as one vector."""
    parts = list(xs)
    while len(parts) > 1:
        kind, width = register_type(parts[0].dtype, parts[0].width), 2 * parts[0].width
        mask = f"{vector_of('i32', width)} <{', '.join(f'i32 {i}' for i in range(width))}>"
        parts = [
            s.emit(f"shufflevector {kind} {a.text}, {kind} {b.text}, {mask}", a.dtype, width)
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def first_lanes(s: LaneScalars, x: Lanes, count: int) -> Lanes:
    """Return a vector of `count` lanes that begins with the lanes of x; the others are anything."""
    kind, wide = register_type(x.dtype, x.width), register_type(x.dtype, count)
    if x.width == count:
        return x
    if x.width == 1:
        return s.emit(f"insertelement {wide} poison, {kind} {x.text}, i64 0", x.dtype, count)
    picked = ", ".join(f"i32 {min(i, x.width)}" for i in range(count))
    mask = f"{vector_of('i32', count)} <{picked}>"
    return s.emit(f"shufflevector {kind} {x.text}, {kind} poison, {mask}", x.dtype, count)


def any_lane(s: LaneScalars, mask: Lanes) -> Lanes:
    """Return whether some lane of a mask is true."""
    if mask.width == 1:
        return mask
    kind = vector_of("i1", mask.width)
    call = s.intrinsic(f"llvm.vector.reduce.or.v{mask.width}i1", "i1", [(kind, mask.text)])
    return s.emit(call, bool_, 1)


def first_true(s: LaneScalars, mask: Lanes) -> Lanes:
    """Return the number of the first true lane of a mask that has one."""
    bits = f"i{mask.width}"
    whole = s.emit(f"bitcast {vector_of('i1', mask.width)} {mask.text} to {bits}", bool_, 1)
    call = s.intrinsic(f"llvm.cttz.{bits}", bits, [(bits, whole.text), ("i1", "true")])
    count = s.emit(call, bool_, 1).text
    if mask.width == 64:
        return Lanes(count, int64, 1)
    return s.emit(f"{'zext' if mask.width < 64 else 'trunc'} {bits} {count} to i64", int64, 1)


def _mangled(dtype: DType, width: int) -> str:
    element = {"i1": "i1", "float": "f32", "double": "f64"}.get(
        register_type(dtype), register_type(dtype)
    )
    return element if width == 1 else f"v{width}{element}"


def _int_splat(value: int, width: int) -> str:
    return str(value) if width == 1 else f"splat (i32 {value})"
