"""Values in registers as LLVM text: their types there and in memory, and how instructions are written.

A `Lanes` value is an SSA name or a literal with its dtype and width; width 1 is a scalar and is
splatted when it meets a vector. half and bfloat16 live in float registers and are rounded after each
operation, exactly as NumPy does. The words of the scalar vocabulary stand on top of `LaneBuilder`, in
`symtensor.codegen.lane_scalars`; what goes on between lanes is in `symtensor.codegen.cross_lane`.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
from typing import Any, NamedTuple

from symtensor.codegen.target import Target
from symtensor.errors import LoweringError
from symtensor.ir.dtypes import DType, float16, float32, float64


class Unsupported(LoweringError):
    """A scalar rule that has no native form here; the node becomes a call-out."""


class Lanes(NamedTuple):
    """A value in registers."""

    text: str
    dtype: DType
    width: int
    most: float = math.inf
    """No lane holds more than this, NaN aside."""


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


class LaneBuilder:
    """Appends instructions to ``self.out``."""

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
            if not self.target.has_half:
                return self._half_bits(x)
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
            if not self.target.has_half:
                return self._from_half_bits(text, width)
            return self.emit(f"fpext {kind} {text} to {vector_of('float', width)}", dtype, width)
        if dtype.name == "bfloat16":
            wide = vector_of("i32", width)
            a = self.emit(f"zext {kind} {text} to {wide}", dtype, width).text
            b = self.emit(f"shl {wide} {a}, {_int_splat(16, width)}", dtype, width).text
            return self.emit(f"bitcast {wide} {b} to {vector_of('float', width)}", dtype, width)
        return Lanes(text, dtype, width)

    def _from_half_bits(self, text: str, width: int) -> Lanes:
        """Return halves as floats by integer arithmetic: the exponent is put right by a product."""
        wide, floats = vector_of("i32", width), vector_of("float", width)

        def step(text: str) -> str:
            return self.emit(text, float16, width).text

        def splat(value: int) -> str:
            return _int_splat(value, width)

        low = step(f"bitcast {vector_of('half', width)} {text} to {vector_of('i16', width)}")
        bits = step(f"zext {vector_of('i16', width)} {low} to {wide}")
        size = step(f"and {wide} {bits}, {splat(0x7FFF)}")
        moved = step(f"shl {wide} {size}, {splat(13)}")
        small = step(f"bitcast {wide} {moved} to {floats}")
        scale = splat_literal(self.const(2.0**112, float32), width)
        number = step(f"bitcast {floats} {step(f'fmul {floats} {small}, {scale}')} to {wide}")
        beyond = step(f"or {wide} {moved}, {splat(0x7F800000)}")  # infinity and NaN
        finite = step(f"icmp ult {wide} {size}, {splat(0x7C00)}")
        chosen = step(f"select {vector_of('i1', width)} {finite}, {wide} {number}, {wide} {beyond}")
        sign = step(f"shl {wide} {step(f'xor {wide} {bits}, {size}')}, {splat(16)}")
        return self.emit(
            f"bitcast {wide} {step(f'or {wide} {chosen}, {sign}')} to {floats}", float16, width
        )

    def _half_bits(self, x: Lanes) -> str:
        """Return halves, rounded to nearest even, of floats; subnormal ones by a sum that rounds."""
        w, wide, floats = x.width, vector_of("i32", x.width), vector_of("float", x.width)

        def step(text: str) -> str:
            return self.emit(text, float16, w).text

        def splat(value: int) -> str:
            return _int_splat(value, w)

        def select(condition: str, x: str, y: str) -> str:
            chosen = step(f"icmp {condition}")
            return step(f"select {vector_of('i1', w)} {chosen}, {wide} {x}, {wide} {y}")

        bits = step(f"bitcast {floats} {x.text} to {wide}")
        size = step(f"and {wide} {bits}, {splat(0x7FFFFFFF)}")
        sign = step(f"lshr {wide} {step(f'xor {wide} {bits}, {size}')}, {splat(16)}")
        half = splat_literal(self.const(0.5, float32), w)
        shifted = step(f"fadd {floats} {step(f'bitcast {wide} {size} to {floats}')}, {half}")
        small = step(f"bitcast {floats} {shifted} to {wide}")
        small = step(f"sub {wide} {small}, {splat(0x3F000000)}")  # the bits of 0.5
        odd = step(f"and {wide} {step(f'lshr {wide} {size}, {splat(13)}')}, {splat(1)}")
        near = step(f"add {wide} {size}, {splat(0xFFF - (112 << 23))}")
        usual = step(f"lshr {wide} {step(f'add {wide} {near}, {odd}')}, {splat(13)}")
        out = select(f"ult {wide} {size}, {splat(113 << 23)}", small, usual)
        out = select(f"uge {wide} {size}, {splat(143 << 23)}", splat(0x7C00), out)
        out = select(f"ugt {wide} {size}, {splat(0x7F800000)}", splat(0x7E00), out)
        narrow = step(f"trunc {wide} {step(f'or {wide} {out}, {sign}')} to {vector_of('i16', w)}")
        return step(f"bitcast {vector_of('i16', w)} {narrow} to {vector_of('half', w)}")

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


def _mangled(dtype: DType, width: int) -> str:
    element = {"i1": "i1", "float": "f32", "double": "f64"}.get(
        register_type(dtype), register_type(dtype)
    )
    return element if width == 1 else f"v{width}{element}"


def _int_splat(value: int, width: int) -> str:
    return str(value) if width == 1 else f"splat (i32 {value})"
