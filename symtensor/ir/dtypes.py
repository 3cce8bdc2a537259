"""Element types.

A `DType` is one interned object per element type; NumPy dtypes, scalar classes and names are
accepted wherever a dtype is wanted and turned into it by `as_dtype`. Promotion of two dtypes is
NumPy 2's table (NEP 50); Python scalars are weak and are handled where operands are built.
bfloat16 exists when the extra package ml_dtypes is installed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from symtensor.errors import DTypeError
from symtensor.vocabulary import suggestion


class DType:
    """An element type: ``name`` ("float32"), ``short`` ("f32"), ``kind`` (b i u f), ``bits``."""

    __slots__ = (
        "bits", "is_bool", "is_floating", "is_integer", "itemsize", "kind", "name", "numpy", "short",
    )  # fmt: skip

    def __init__(self, name: str, short: str, kind: str, numpy: np.dtype[Any]) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.numpy = numpy
        self.itemsize = numpy.itemsize
        """Bytes of one element."""
        self.bits = numpy.itemsize * 8
        self.is_floating = kind == "f"
        """True for float16, bfloat16, float32, float64."""
        self.is_integer = kind in "iu"
        """True for the signed and unsigned integers, not for bool."""
        self.is_bool = kind == "b"

    def __repr__(self) -> str:
        return f"symtensor.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)


def _standard(name: str, short: str, kind: str) -> DType:
    return DType(name, short, kind, np.dtype(name))


bool_ = _standard("bool", "bool", "b")
int8 = _standard("int8", "i8", "i")
int16 = _standard("int16", "i16", "i")
int32 = _standard("int32", "i32", "i")
int64 = _standard("int64", "i64", "i")
uint8 = _standard("uint8", "u8", "u")
uint16 = _standard("uint16", "u16", "u")
uint32 = _standard("uint32", "u32", "u")
uint64 = _standard("uint64", "u64", "u")
float16 = _standard("float16", "f16", "f")
float32 = _standard("float32", "f32", "f")
float64 = _standard("float64", "f64", "f")

STANDARD = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64,
)  # fmt: skip

_BY_NAME = {d.name: d for d in STANDARD} | {d.short: d for d in STANDARD}
_BY_NUMPY = {d.numpy: d for d in STANDARD}


def _bfloat16() -> DType | None:
    if "bfloat16" not in _BY_NAME:
        try:
            import ml_dtypes
        except ImportError:
            return None
        found = DType("bfloat16", "bf16", "f", np.dtype(ml_dtypes.bfloat16))
        _BY_NAME["bfloat16"] = _BY_NAME["bf16"] = found
        _BY_NUMPY[found.numpy] = found
    return _BY_NAME["bfloat16"]


def as_dtype(value: Any) -> DType:
    """Return the `DType` for a name, NumPy dtype, scalar class or Python type.

    Raises `DTypeError` for anything else (complex, object, strings, dates).
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str):
        if (found := _BY_NAME.get(value)) is not None:
            return found
        if value in ("bfloat16", "bf16"):
            if (bf16 := _bfloat16()) is not None:
                return bf16
            raise DTypeError("bfloat16 needs the package ml_dtypes",
                             help="pip install 'symtensor[formats]'", code="ST0201")  # fmt: skip
    try:
        if value is None:  # which is float64 to NumPy
            raise TypeError
        dtype = np.dtype(value)
    except (TypeError, ValueError):
        hint = suggestion(value, _BY_NAME) if isinstance(value, str) else ""
        raise DTypeError(f"expected a dtype, found {value!r}{hint}", code="ST0201") from None
    dtype = dtype.newbyteorder("=")
    found = _BY_NUMPY.get(dtype)
    if found is None and dtype.name == "bfloat16":
        found = _bfloat16()
    if found is None:
        raise DTypeError(
            f"expected a bool, integer or real floating dtype, found {dtype}",
            help="symtensor tensors hold " + ", ".join(d.name for d in STANDARD),
            code="ST0201",
        )
    return found


def promote(*dtypes: Any) -> DType:
    """Return the dtype that NumPy's promotion table gives for the operands' dtypes."""
    if not dtypes:
        raise DTypeError("expected a dtype, found none", code="ST0201")
    return _promoted(*map(as_dtype, dtypes))


@functools.cache
def _promoted(*dtypes: DType) -> DType:
    return as_dtype(np.result_type(*(d.numpy for d in dtypes)))


@functools.cache
def floating_for(dtype: DType) -> DType:
    """Return the dtype in which NumPy evaluates a float function such as exp of `dtype`.

    int8 and bool give float16, int16 float32, wider integers float64; floats stay.
    """
    if dtype.is_floating:
        return dtype
    return as_dtype(np.exp(np.zeros((), dtype.numpy)).dtype)
