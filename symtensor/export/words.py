"""Words of the scalar vocabulary that other words express, for writers whose target lacks them.

A writer speaks the basic words (`symtensor.ops.scalars`) for whole tensors of one shape, so that every
elementwise op has a form as soon as its words have.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symtensor.errors import LoweringError
from symtensor.ir.dtypes import DType

Value = Any


class DerivedWords:
    """Words made of other words; a subclass gives the basic ones, and better forms where it has them.

    Basic: `const` `dtype` `convert` `add` `sub` `mul` `div` `quotient` `neg` `abs` `minimum`
    `maximum` `sqrt` `floor` `ceil` `rint` `lt` `le` `eq` `and_` `or_` `xor` `not_` `select`, and
    `function` for those of `call` that the target knows by name.
    """

    def __getattr__(self, name: str) -> Any:
        raise LoweringError(f"no form for {name!r}")

    def ne(self, x: Value, y: Value) -> Value:
        return self.not_(self.eq(x, y))

    # --- integers ---------------------------------------------------------------------------------

    def _safe(self, x: Value, y: Value) -> tuple[Value, Value]:
        """Return the divisor with 1 in place of what traps, and whether it is 0."""
        dtype = self.dtype(y)
        zero, one = self.const(0, dtype), self.const(1, dtype)
        is_zero = self.eq(y, zero)
        trap = is_zero
        if dtype.kind == "i":
            least = self.const(int(np.iinfo(dtype.numpy).min), dtype)
            overflows = self.and_(self.eq(x, least), self.eq(y, self.const(-1, dtype)))
            trap = self.or_(is_zero, overflows)
        return self.select(trap, one, y), is_zero

    def _signs_differ(self, rest: Value, y: Value) -> Value:
        zero = self.const(0, self.dtype(y))
        return self.and_(self.ne(rest, zero), self.ne(self.lt(rest, zero), self.lt(y, zero)))

    def floordiv(self, x: Value, y: Value) -> Value:
        dtype = self.dtype(y)
        safe, is_zero = self._safe(x, y)
        quotient = self.quotient(x, safe)
        if dtype.kind == "i":
            down = self._signs_differ(self.sub(x, self.mul(quotient, safe)), safe)
            quotient = self.select(down, self.sub(quotient, self.const(1, dtype)), quotient)
            overflow = self.eq(y, self.const(-1, dtype))
            quotient = self.select(overflow, self.neg(x), quotient)
        return self.select(is_zero, self.const(0, dtype), quotient)

    def rest(self, x: Value, y: Value) -> Value:
        """The integer remainder with the sign of the dividend; by 0 gives 0."""
        safe, is_zero = self._safe(x, y)
        found = self.sub(x, self.mul(self.quotient(x, safe), safe))
        return self.select(is_zero, self.const(0, self.dtype(y)), found)

    def mod(self, x: Value, y: Value) -> Value:
        dtype = self.dtype(y)
        safe, is_zero = self._safe(x, y)
        rest = self.sub(x, self.mul(self.quotient(x, safe), safe))
        if dtype.kind == "i":
            rest = self.select(self._signs_differ(rest, safe), self.add(rest, safe), rest)
        return self.select(is_zero, self.const(0, dtype), rest)

    # --- floats -----------------------------------------------------------------------------------

    def trunc(self, x: Value) -> Value:
        return self.select(self.lt(x, self.const(0.0, self.dtype(x))), self.ceil(x), self.floor(x))

    def signbit(self, x: Value) -> Value:
        """True below zero and for -0; the sign of NaN is not seen."""
        zero, one = self.const(0.0, self.dtype(x)), self.const(1.0, self.dtype(x))
        is_negative_zero = self.and_(self.eq(x, zero), self.lt(self.div(one, x), zero))
        return self.or_(self.lt(x, zero), is_negative_zero)

    def copysign(self, x: Value, y: Value) -> Value:
        size = self.abs(x)
        return self.select(self.signbit(y), self.neg(size), size)

    def nextafter(self, x: Value, y: Value) -> Value:
        raise LoweringError("no form for nextafter")

    def cast(self, x: Value, dtype: DType) -> Value:
        source = self.dtype(x)
        if dtype is source:
            return x
        if dtype.is_bool:
            return self.ne(x, self.const(0, source))
        if not (source.is_floating and dtype.is_integer):
            return self.convert(x, dtype)
        info = np.iinfo(dtype.numpy)
        finite = self.select(self.eq(x, x), x, self.const(0.0, source))
        high, low = float(info.max), float(info.min)
        above = self.le(self.const(high, source), finite)
        below = self.lt(finite, self.const(low, source))
        inside = self.select(self.or_(above, below), self.const(0.0, source), finite)
        out = self.select(above, self.const(int(info.max), dtype), self.convert(inside, dtype))
        return self.select(below, self.const(int(info.min), dtype), out)

    # --- functions --------------------------------------------------------------------------------

    def call(self, name: str, *xs: Value) -> Value:
        found = self.function(name, *xs)
        if found is not None:
            return found
        derived = getattr(type(self), f"_call_{name}", None)
        if derived is None:
            raise LoweringError(f"no form for {name!r}")
        return derived(self, *xs)

    def _call_exp2(self, x: Value) -> Value:
        return self.call("pow", self.const(2.0, self.dtype(x)), x)

    def _call_expm1(self, x: Value) -> Value:
        """tanh(x / 2) * (exp(x) + 1), which keeps all digits around 0."""
        dtype = self.dtype(x)
        half = self.call("tanh", self.mul(x, self.const(0.5, dtype)))
        return self.mul(half, self.add(self.call("exp", x), self.const(1.0, dtype)))

    def _call_log1p(self, x: Value) -> Value:
        """Kahan's correction of log(1 + x) by what the sum lost."""
        dtype = self.dtype(x)
        one = self.const(1.0, dtype)
        whole = self.add(x, one)
        lost = self.sub(whole, one)
        exact = self.or_(self.eq(lost, self.const(0.0, dtype)), self.eq(whole, x))
        corrected = self.mul(self.call("log", whole), self.div(x, self.select(exact, one, lost)))
        unchanged = self.eq(lost, self.const(0.0, dtype))
        return self.select(unchanged, x, self.select(exact, self.call("log", whole), corrected))

    def _call_erfc(self, x: Value) -> Value:
        """1 - erf(x), which is exact to a unit of 1 only."""
        return self.sub(self.const(1.0, self.dtype(x)), self.call("erf", x))

    def _call_softplus(self, x: Value) -> Value:
        """max(x, 0) + log1p(exp(-|x|)), which does not overflow."""
        rise = self.call("log1p", self.call("exp", self.neg(self.abs(x))))
        return self.add(self.maximum(x, self.const(0.0, self.dtype(x))), rise)

    def _scaled_log(self, x: Value, base: float) -> Value:
        return self.div(self.call("log", x), self.const(float(np.log(base)), self.dtype(x)))

    def _call_log2(self, x: Value) -> Value:
        return self._scaled_log(x, 2.0)

    def _call_log10(self, x: Value) -> Value:
        return self._scaled_log(x, 10.0)

    def _call_cbrt(self, x: Value) -> Value:
        third = self.const(1.0 / 3.0, self.dtype(x))
        return self.copysign(self.call("pow", self.abs(x), third), x)

    def _call_hypot(self, x: Value, y: Value) -> Value:
        """The larger size times sqrt(1 + ratio²); infinite where one operand is."""
        dtype = self.dtype(x)
        zero, one = self.const(0.0, dtype), self.const(1.0, dtype)
        a, b = self.abs(x), self.abs(y)
        large, small = self.maximum(a, b), self.minimum(a, b)
        infinite = self.const(float("inf"), dtype)
        plain = self.or_(self.eq(large, zero), self.eq(large, infinite))
        ratio = self.div(small, self.select(plain, one, large))
        found = self.mul(large, self.sqrt(self.add(one, self.mul(ratio, ratio))))
        is_infinite = self.or_(self.eq(a, infinite), self.eq(b, infinite))
        return self.select(is_infinite, infinite, self.select(self.eq(large, zero), zero, found))
