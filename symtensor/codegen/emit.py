"""Kernel -> LLVM text: explicit vectors, loops already in their final form.

    define i32 @name(ptr %b0, ..., i64 %s0, ...)

Which functions a kernel is, and what else they take, is up to `symtensor.codegen.phases`.

A vector loop is emitted twice: steps of `width` lanes, then single elements for the rest, or within rows
one step of which lanes are masked; from the same tree and with the same instructions per element. The text
depends on the structure of the kernel only, so equal kernels of different graphs are the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from symtensor.codegen.accesses import REFUSED, AccessBuilder
from symtensor.codegen.costs import time_of
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Indirect,
    Kernel,
    Let,
    Loop,
    Reduce,
    Reload,
    Rule,
    Stmt,
    Store,
    Update,
    Value,
    const_value,
    values_in,
)
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes
from symtensor.codegen.panels import emit_panels, takes_panels
from symtensor.codegen.reductions import emit_reduce, emit_update, is_written_out
from symtensor.codegen.streaming import emit_streaming, takes_streaming
from symtensor.codegen.strips import emit_strips, takes_strips
from symtensor.codegen.target import Target
from symtensor.codegen.tiles import emit_tiles
from symtensor.codegen.vecmath import LIBRARY
from symtensor.ir.dtypes import DType

if TYPE_CHECKING:
    from symtensor.codegen.sweeps import Accumulators

LIGHT = 16
"""Instructions per element up to which a body counts as light."""
LONG = 64
"""Instructions per element from which on a body counts as long."""
SIDE_BY_SIDE = 2
"""Vectors that a long body takes at a time."""


def kernel_width(kernel: Kernel, target: Target) -> int:
    """Return the lanes of the kernel's vector loops: what the widest type in their lanes allows."""
    vectors = _vector_axes(kernel.body)
    lanes = [v.dtype for v in values_in(kernel.body) if not vectors.isdisjoint(v.axes)]
    return target.lanes(max(map(_register_bits, lanes), default=32))


def _register_bits(dtype: DType) -> int:
    return 32 if dtype.is_floating and dtype.bits == 16 else max(dtype.bits, 8)


def _vector_axes(body: list[Stmt]) -> set[Axis]:
    found: set[Axis] = set()
    for stmt in body:
        if isinstance(stmt, Loop) and stmt.vector:
            found.add(stmt.axis)
        if isinstance(stmt, (Loop, Reduce)):
            found |= _vector_axes(stmt.body)
    return found


class Emitter(AccessBuilder):
    """Appends the text of one kernel; `tiles`, `panels` and `reductions` write some of its loops."""

    def __init__(self, kernel: Kernel, target: Target, shared: Loop | None = None) -> None:
        super().__init__(LaneScalars(target), kernel, kernel_width(kernel, target))
        self.kernel = kernel
        self.shared = shared
        """The loop of which a call runs a range."""
        self.folding: Accumulators | None = None
        """The rows of accumulators of the sweep that is open."""
        self.block_start = "0"
        """First index of the block being folded."""

    def function(
        self,
        name: str,
        arguments: Sequence[tuple[str, str]],
        body: Callable[[], None],
        pointers: Sequence[tuple[str, str]] = (),
    ) -> str:
        """Return the function of that name, whose text `body` appends.

        It takes `pointers` behind the kernel's buffers and `arguments` behind its sizes.
        """
        body()
        given = [*(("ptr", p) for p in self.pointers.values()), *pointers]
        given += [*(("i64", s) for s in self.sizes.values()), *arguments]
        listed = ", ".join(f"{kind} {text}" for kind, text in given)
        probe = ' "no-stack-arg-probe"' if self.panel_bytes else ""
        return "\n".join(
            [
                f"define i32 @{name}({listed}) nounwind{probe} {{",
                "entry:",
                *self.lines(),
                "  ret i32 0",
                *([f"{REFUSED}:", "  ret i32 1"] if self.kernel.may_refuse else []),
                "}",
            ]
        )

    # --- statements -----------------------------------------------------------------------------

    def block(self, body: Sequence[Stmt]) -> None:
        """Emit statements."""
        for stmt in body:
            if isinstance(stmt, Let):
                self.let(stmt.value)
            elif isinstance(stmt, Store):
                self.store(stmt.buffer, stmt.at, self.value(stmt.value))
            elif isinstance(stmt, Loop):
                self.loop(stmt)
            elif isinstance(stmt, Reduce):
                emit_reduce(self, stmt)
            elif isinstance(stmt, Update):
                emit_update(self, stmt.result)
            elif isinstance(stmt, Reload):
                self.define(stmt.value, self.reload(stmt.buffer, stmt.at))

    def let(self, value: Value) -> None:
        """Compute a value and define it."""
        if value.kind == "load":
            result = self.load(*value.data)
        elif value.kind == "const":
            result = self.s.const(const_value(value), value.dtype)
        elif value.kind == "checked":
            result = self.checked(self.value(value.args[0]), value.data)
        elif value.kind == "size":
            result = self.s.cast(self.i64(self.size(value.data)), value.dtype)
        elif value.kind == "index":
            result = self.s.cast(self.position(value.data), value.dtype)
        else:
            read = self.operand if self.vector_axis in value.axes else self.value
            args = [read(x) for x in value.args]
            result = value.data.scalar(self.s, *args, **value.data.attrs)
            if _is_less_its_largest(value):
                result = result._replace(most=0.0)
        self.define(value, result)

    # --- loops ----------------------------------------------------------------------------------

    def loop(self, loop: Loop, body: Callable[[], None] | None = None) -> None:
        """Emit a loop, in the form that suits it; `body` emits what stands in it, if it is given."""
        body = body or (lambda: self.block(loop.body))
        if loop.tiled and self.base > 1:
            emit_tiles(self, loop)
            return
        if self.vector_axis is None and takes_strips(self, loop):
            emit_strips(self, loop)
            return
        first, last = self.bounds(loop)
        if not loop.vector or self.width == 1 or self.vector_axis is not None:
            self.counted(loop.axis, first, last, 1, body)
            return
        end, widths = first, self.widths(loop.body)
        if loop is self.shared and takes_streaming(loop) and self.is_light(loop.body):
            end = emit_streaming(self, loop)
        if takes_panels(loop):
            end = emit_panels(self, loop)
            widths = [self.base // 4] if self.base >= 8 else []
        for width in widths:
            start, end = end, self.main_end(last, width, end)
            with self.lanes(loop.axis, width):
                self.counted(loop.axis, start, end, width, body)
        if not takes_panels(loop) and self.takes_masks(loop):
            with self.lanes(loop.axis, self.base):
                self.rest_in_lanes(loop.axis, end, last, body)
            return
        self.counted(loop.axis, end, last, 1, body)

    def takes_masks(self, loop: Loop) -> bool:
        """Return True for a loop over a row whose rest, less than a vector, is one round under a mask.

        A loop that is shared has one rest for all its rows: there single elements cost little.
        """
        if not self.s.target.has_masks or self.folding is not None or self.tiles:
            return False
        if loop is self.shared or not all(_is_maskable(stmt, loop.axis) for stmt in loop.body):
            return False
        return not any(_code(v, self.s.target).calls for v in values_in(loop.body))

    def widths(self, body: list[Stmt]) -> list[int]:
        """Return the lanes of the loops over plain statements, widest first.

        A long body takes vectors side by side, for the processor does not look as far ahead as the next
        round; not one that may call C functions, which save no vector registers.
        """
        plain = all(isinstance(stmt, (Let, Store)) for stmt in body)
        if not plain or self.s.target.vector_registers < 32:
            return [self.base]
        codes = [_code(v, self.s.target) for v in values_in(body)]
        is_long = sum(c.instructions for c in codes) >= LONG and not any(c.calls for c in codes)
        return [SIDE_BY_SIDE * self.base, self.base] if is_long else [self.base]

    def bounds(self, loop: Loop) -> tuple[str, str]:
        """Return the first index of a loop and the one after its last."""
        if loop is self.shared:
            return "%first", "%last"
        extent = loop.axis.extent
        return "0", str(extent) if is_written_out(self, loop) else self.size(extent)

    def is_light(self, body: list[Stmt]) -> bool:
        """Return True for a body of few instructions."""
        return sum(_code(v, self.s.target).instructions for v in values_in(body)) <= LIGHT

    def cost(self, value: Value) -> int:
        """Return how long a value takes, in instructions."""
        return cost(value, self.s.target)


def cost(value: Value, target: Target) -> int:
    """Return how long a value takes, in instructions of those that take no longer than others."""
    return _code(value, target).cost


def _is_less_its_largest(value: Value) -> bool:
    """Return True for an element of which the largest is taken, less that: exponentials need no limit."""
    if value.kind != "apply" or value.data.name != "subtract":
        return False
    element, largest = value.args
    return (
        largest.kind == "reduce" and largest.data.combiner == "max" and largest.args[0] is element
    )


def _is_maskable(stmt: Stmt, axis: Axis) -> bool:
    """Return True for a statement whose lanes lie side by side, or are the same."""
    if isinstance(stmt, Let) and stmt.value.kind == "load":
        return _lies_flat(stmt.value.data[1], axis, (0, 1))
    if isinstance(stmt, (Store, Reload)):
        return _lies_flat(stmt.at, axis, (1,))
    return isinstance(stmt, Update) or (isinstance(stmt, Let) and stmt.value.kind != "checked")


def _lies_flat(at: Affine, axis: Axis, steps: tuple[int, ...]) -> bool:
    along = at.coefficient(axis)
    named = any(isinstance(term, Indirect) for term, _ in at.terms)
    return isinstance(along, int) and along in steps and not named


class _Code(NamedTuple):
    """What a value is computed by."""

    instructions: int
    cost: int
    calls: bool
    """Whether C functions are among the instructions."""


_codes: dict[tuple[Rule, tuple[DType, ...], Target], _Code] = {}


def _code(value: Value, target: Target) -> _Code:
    if value.kind != "apply":
        count = LIGHT + 1 if value.kind == "load" and value.args else 1
        return _Code(count, count, False)
    dtypes = tuple(x.dtype for x in value.args)
    key = (value.data, dtypes, target)
    if key not in _codes:
        scratch = LaneScalars(target)
        args = [Lanes(f"%x{i}", dtype, 1) for i, dtype in enumerate(dtypes)]
        value.data.scalar(scratch, *args, **value.data.attrs)
        calls = any(name in LIBRARY for name in map(_called, scratch.out))
        _codes[key] = _Code(len(scratch.out), time_of(scratch.out), calls)
    return _codes[key]


def _called(line: str) -> str:
    """Return the name of what an instruction calls."""
    return line.partition(" @")[2].partition("(")[0]
