"""Kernel -> LLVM text. One function per kernel, explicit vectors, loops already in their final form.

    define i32 @name(ptr %b0, ..., i64 %s0, ...)

A kernel that is one loop also takes the range of it that is to run (`symtensor.codegen.sharing`).

A vector loop is emitted twice: steps of `width` lanes, then single elements for the rest, from the
same tree and with the same instructions per element. Floating sums add up blocks of `BLOCK` steps
and carry the blocks in a compensated pair (Knuth's TwoSum), which keeps the error of long sums below
that of pairwise summation. Combining across lanes is a fixed tree of shuffles. The text depends on
the structure of the kernel only, so equal kernels of different graphs are the same text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from symtensor.codegen.folds import IndexFold, State, fold_of
from symtensor.codegen.kernel import (
    Affine,
    Axis,
    Buffer,
    Indirect,
    Kernel,
    Let,
    Loop,
    Reduce,
    Reload,
    Stmt,
    Store,
    Update,
    Value,
    const_value,
    values_in,
)
from symtensor.codegen.lanes import (
    Lanes,
    LaneScalars,
    memory_type,
    part,
    register_type,
    splat_literal,
)
from symtensor.codegen.lower import is_inline
from symtensor.codegen.panels import emit_panels, takes_panels
from symtensor.codegen.sharing import Share, share_of, shared_loop
from symtensor.codegen.streaming import METADATA, emit_streaming, takes_streaming
from symtensor.codegen.target import Target
from symtensor.codegen.tiles import emit_tiles
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType, bool_, int64

BLOCK = 64
"""Steps that a float sum adds up plainly before the block joins the compensated pair."""

UNROLL = 4
"""Vectors that a light reduction takes at a time."""
LIGHT = 16
"""Instructions per element up to which a reduction counts as light."""

REFUSED = "refused"
"""Label at which a kernel gives up over an index that is out of range."""

PAGE = 4096
"""Bytes of stack that are touched at a time."""


class _Scope:
    """An open loop in the text: where its index arithmetic goes and which values it holds."""

    def __init__(self, axis: Axis | None, index: str, hoisted: list[Any]) -> None:
        self.axis = axis
        self.index = index
        self.hoisted = hoisted
        self.values: dict[Value, Lanes] = {}
        self.partial: dict[tuple[str, str], str] = {}


@dataclass(frozen=True, slots=True)
class Emitted:
    """A kernel as text."""

    text: str
    declarations: set[str]
    """What its module must declare."""
    share: Share | None
    """How threads share it, None for a kernel that runs in one."""


def emit_kernel(kernel: Kernel, name: str, target: Target) -> Emitted:
    """Return a kernel as a function of that name."""
    return Emitter(kernel, target).run(name)


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


class Emitter:
    """Appends the text of one kernel; `tiles` and `panels` write some of its loops."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        self.kernel = kernel
        self.s = LaneScalars(target)
        self.base = kernel_width(kernel, target)
        self.width = self.base
        """Lanes of the vector loop being emitted."""
        self.vector_axis: Axis | None = None
        self.sizes = {dim: f"%s{i}" for i, dim in enumerate(kernel.sizes)}
        self.pointers = {b: f"%b{i}" for i, b in enumerate(kernel.buffers)}
        self.shared = shared_loop(kernel)
        """The loop of which a call runs a range."""
        self.scopes: list[_Scope] = []
        self.states: dict[Value, State] = {}
        self.block_start = "0"
        """First index of the block being folded."""
        self.panel_bytes = 0
        """Bytes of accumulators of columns on the stack."""
        self.past_caches = False
        """True while stores pass the caches; they are of whole, aligned vectors."""
        self.tiles: dict[tuple[Buffer, Affine], str] = {}
        """Transposed loads -> pointer to the row of their tile."""

    def run(self, name: str) -> Emitted:
        arguments = [f"ptr {p}" for p in self.pointers.values()]
        arguments += [f"i64 {s}" for s in self.sizes.values()]
        if self.shared is not None:
            arguments += ["i64 %first", "i64 %last", "i64 %number"]
        hoisted: list[Any] = []
        self.s.out = code = [hoisted]
        self.scopes.append(_Scope(None, "", hoisted))
        self.block(self.kernel.body)
        probe = ' "no-stack-arg-probe"' if self.panel_bytes else ""
        lines = [f"define i32 @{name}({', '.join(arguments)}) nounwind{probe} {{", "entry:"]
        lines += self._panel_lines() if self.panel_bytes else []
        _flatten(code, lines)
        lines += [
            "  ret i32 0",
            *([f"{REFUSED}:", "  ret i32 1"] if self.kernel.may_refuse else []),
            "}",
        ]
        share = None if self.shared is None else share_of(self.shared, self.base, self.cost)
        return Emitted("\n".join(lines), self.s.intrinsics, share)

    # --- statements -----------------------------------------------------------------------------

    def block(self, body: Sequence[Stmt]) -> None:
        for stmt in body:
            if isinstance(stmt, Let):
                self.let(stmt.value)
            elif isinstance(stmt, Store):
                self.store(stmt.buffer, stmt.at, self.value(stmt.value))
            elif isinstance(stmt, Loop):
                self.loop(stmt)
            elif isinstance(stmt, Reduce):
                self.reduce(stmt)
            elif isinstance(stmt, Update):
                self.update(stmt.result)
            elif isinstance(stmt, Reload):
                self.define(stmt.value, self.load(stmt.buffer, stmt.at))

    def value(self, value: Value) -> Lanes:
        for scope in reversed(self.scopes):
            if value in scope.values:
                return scope.values[value]
        raise KeyError(value.kind)

    def define(self, value: Value, lanes: Lanes) -> None:
        self.scopes[-1].values[value] = lanes

    def let(self, value: Value) -> None:
        if value.kind == "load":
            result = self.load(*value.data)
        elif value.kind == "const":
            result = self.s.const(const_value(value), value.dtype)
        elif value.kind == "checked":
            result = self.checked(self.value(value.args[0]), value.data)
        elif value.kind == "size":
            result = self.s.cast(self._i64(self.size(value.data)), value.dtype)
        elif value.kind == "index":
            result = self.s.cast(self.position(value.data), value.dtype)
        else:
            args = [self.value(x) for x in value.args]
            result = value.data.scalar(self.s, *args, **value.data.attrs)
        self.define(value, result)

    # --- addresses ------------------------------------------------------------------------------

    def size(self, dim: Dim) -> str:
        return str(dim) if is_inline(dim) else self.sizes[dim]

    def _i64(self, text: str) -> Lanes:
        return Lanes(text, int64, 1)

    def offset(self, at: Affine) -> str:
        """Return the element offset for the current indices; a vector axis counts its first lane.

        Terms are added from the outermost loop inwards, each in its own loop, so what does not
        change inside is not computed inside.
        """
        text = self.size(at.offset)
        loops = [(axis, factor) for axis, factor in at.terms if not isinstance(axis, Indirect)]
        depth = {scope.axis: i for i, scope in enumerate(self.scopes)}
        for axis, coefficient in sorted(loops, key=lambda term: depth[term[0]]):
            text = self._add_term(self.scopes[depth[axis]], text, self.size(coefficient))
        for term in self._named_terms(at):
            if term.width == 1:
                text = self.s.add(self._i64(text), term).text
        return text

    def _named_terms(self, at: Affine) -> list[Lanes]:
        """Return the offsets that checked values contribute, in elements."""
        named = [(a.value, factor) for a, factor in at.terms if isinstance(a, Indirect)]
        return [self.s.mul(self.value(v), self._i64(self.size(factor))) for v, factor in named]

    def _add_term(self, scope: _Scope, text: str, coefficient: str) -> str:
        found = scope.partial.get((text, coefficient))
        if found is not None:
            return found
        term = scope.index
        if coefficient != "1":
            term = self.s.fresh("m")
            scope.hoisted.append(f"{term} = mul nsw i64 {scope.index}, {coefficient}")
        total = term
        if text != "0":
            total = self.s.fresh("o")
            scope.hoisted.append(f"{total} = add nsw i64 {text}, {term}")
        scope.partial[text, coefficient] = total
        return total

    def step_of(self, at: Affine) -> Dim:
        """Return how many elements an access moves per lane of the current vector loop."""
        return 0 if self.vector_axis is None else at.coefficient(self.vector_axis)

    def position(self, at: Affine) -> Lanes:
        total = self._i64(self.offset(at))
        step = self.step_of(at)
        if not (step == 0 and isinstance(step, int)):
            total = self.s.add(total, self._lane_offsets(step))
        for term in self._named_terms(at):
            if term.width > 1:
                total = self.s.add(total, term)
        return total

    def _lane_offsets(self, step: Dim) -> Lanes:
        lanes = ", ".join(f"i64 {i}" for i in range(self.width))
        return self.s.mul(Lanes(f"<{lanes}>", int64, self.width), self._i64(self.size(step)))

    def pointer(self, buffer: Buffer, at: Affine) -> str:
        name = self.s.fresh("p")
        self.s.out.append(
            f"{name} = getelementptr inbounds {memory_type(buffer.dtype)}, "
            f"ptr {self.pointers[buffer]}, i64 {self.offset(at)}"
        )
        return name

    def load(self, buffer: Buffer, at: Affine) -> Lanes:
        step = self.step_of(at)
        dtype = buffer.dtype
        if (buffer, at) in self.tiles:
            return self.load_at(self.tiles[buffer, at], dtype, self.width)
        if any(self.value(x).width > 1 for x in _named(at)):
            return self._gather(self._named_pointers(buffer, at), dtype)
        if isinstance(step, int) and step in (0, 1):
            return self.load_at(self.pointer(buffer, at), dtype, self.width if step else 1)
        return self._gather(self.lane_pointers(buffer, at, step), dtype)

    def load_at(self, pointer: str, dtype: DType, width: int) -> Lanes:
        return self.s.from_memory(self.load_raw(pointer, dtype, width), dtype, width)

    def load_raw(self, pointer: str, dtype: DType, width: int) -> str:
        kind = memory_type(dtype, width)
        load = f"load {kind}, ptr {pointer}, align {dtype.itemsize}"
        return self.s.emit(load, dtype, width).text

    def lane_pointers(self, buffer: Buffer, at: Affine, step: Dim) -> list[str]:
        base = self.pointer(buffer, at)
        kind, stride = memory_type(buffer.dtype), self.size(step)
        pointers = [base]
        for _ in range(self.width - 1):
            name = self.s.fresh("p")
            self.s.out.append(f"{name} = getelementptr {kind}, ptr {pointers[-1]}, i64 {stride}")
            pointers.append(name)
        return pointers

    def _named_pointers(self, buffer: Buffer, at: Affine) -> list[str]:
        """Return a pointer per lane where the lanes hold checked values of their own."""
        offsets, kind = self.position(at), memory_type(buffer.dtype)
        pointers = []
        for lane in range(self.width):
            one = part(self.s, offsets, lane, 1).text
            pointers.append(self.s.fresh("p"))
            self.s.out.append(f"{pointers[-1]} = getelementptr inbounds {kind}, "
                              f"ptr {self.pointers[buffer]}, i64 {one}")  # fmt: skip
        return pointers

    def _gather(self, pointers: list[str], dtype: DType) -> Lanes:
        """Load lanes that do not lie side by side, one by one."""
        kind, vector = memory_type(dtype), memory_type(dtype, self.width)
        text = "poison"
        for lane, pointer in enumerate(pointers):
            one = self.s.emit(f"load {kind}, ptr {pointer}, align {dtype.itemsize}", dtype, 1)
            text = self.s.emit(
                f"insertelement {vector} {text}, {kind} {one.text}, i64 {lane}", dtype, self.width
            ).text
        return self.s.from_memory(text, dtype, self.width)

    def checked(self, index: Lanes, size: Dim) -> Lanes:
        """Return an index counted from the front; the kernel returns 1 when it leaves its axis."""
        s, extent = self.s, self._i64(self.size(size))
        place = s.cast(index, int64)
        if index.dtype.kind == "i":
            negative = s.lt(place, s.const(0, int64))
            place = s.add(place, s.select(negative, extent, s.const(0, int64)))
        outside = s.compare("icmp uge", place, extent)
        if outside.width > 1:
            bits = f"i{outside.width}"
            whole = s.emit(f"bitcast <{outside.width} x i1> {outside.text} to {bits}", int64, 1)
            outside = s.emit(f"icmp ne {bits} {whole.text}, 0", bool_, 1)
        name = s.fresh("inside")[1:]
        s.out += [f"br i1 {outside.text}, label %{REFUSED}, label %{name}", f"{name}:"]
        return place

    def store(self, buffer: Buffer, at: Affine, value: Lanes) -> None:
        step, dtype = self.step_of(at), buffer.dtype
        if any(self.value(x).width > 1 for x in _named(at)):
            self._scatter(self._named_pointers(buffer, at), value, dtype)
        elif isinstance(step, int) and step in (0, 1):
            whole = self.s.widen(value, self.width) if step else value
            kind, text = memory_type(dtype, whole.width), self.s.to_memory(whole)
            self.store_at(kind, text, self.pointer(buffer, at), dtype)
        else:
            self._scatter(self.lane_pointers(buffer, at, step), value, dtype)

    def _scatter(self, pointers: list[str], value: Lanes, dtype: DType) -> None:
        """Store lanes that do not lie side by side, one by one."""
        text = self.s.to_memory(self.s.widen(value, self.width))
        vector = memory_type(dtype, self.width)
        for lane, pointer in enumerate(pointers):
            one = self.s.emit(f"extractelement {vector} {text}, i64 {lane}", dtype, 1)
            self.store_at(memory_type(dtype), one.text, pointer, dtype)

    def store_at(self, kind: str, text: str, pointer: str, dtype: DType) -> None:
        if self.past_caches:
            self.s.intrinsics.add(METADATA)
            aligned = f"align {self.width * dtype.itemsize}, !nontemporal !0"
            self.s.out.append(f"store {kind} {text}, ptr {pointer}, {aligned}")
            return
        self.s.out.append(f"store {kind} {text}, ptr {pointer}, align {dtype.itemsize}")

    # --- loops ----------------------------------------------------------------------------------

    def loop(self, loop: Loop) -> None:
        if loop.tiled and self.base > 1:
            emit_tiles(self, loop)
            return
        first, last = self.bounds(loop)
        if not loop.vector or self.width == 1 or self.vector_axis is not None:
            self.counted(loop.axis, first, last, 1, lambda: self.block(loop.body))
            return
        end, widths = first, [self.base]
        if loop is self.shared and takes_streaming(loop) and self.is_light(loop.body):
            end = emit_streaming(self, loop)
        if takes_panels(loop):
            end = emit_panels(self, loop, self.column_widths(loop.body), BLOCK)
            widths = [self.base // 4] if self.base >= 8 else []
        for width in widths:
            start, end = end, self.main_end(last, width, end)
            with self.lanes(loop.axis, width):
                self.counted(loop.axis, start, end, width, lambda: self.block(loop.body))
        self.counted(loop.axis, end, last, 1, lambda: self.block(loop.body))

    def bounds(self, loop: Loop) -> tuple[str, str]:
        """Return the first index of a loop and the one after its last."""
        if loop is self.shared:
            return "%first", "%last"
        return "0", self.size(loop.axis.extent)

    def widths(self, body: list[Stmt]) -> list[int]:
        """Return the lanes of the loops of a reduction, widest first.

        A light body is taken several vectors at a time: that hides the latency of the additions.
        """
        return [UNROLL * self.base, self.base] if self.is_light(body) else [self.base]

    def is_light(self, body: list[Stmt]) -> bool:
        """Return True for a body of few instructions."""
        return sum(self.cost(v) for v in values_in(body)) <= LIGHT

    def column_widths(self, body: list[Stmt]) -> list[int]:
        """Return the lanes of the loops over columns that are folded, widest first.

        Accumulators take up to half of the registers.
        """
        if self.widths(body) == [self.base]:
            return [self.base]
        taken = max(self._registers(stmt) for stmt in body if isinstance(stmt, Reduce))
        most = max(self.s.target.vector_registers // 2 // taken, UNROLL)
        vectors = [1 << (most.bit_length() - 1), UNROLL, 1]
        return [count * self.base for count in dict.fromkeys(vectors)]

    def _registers(self, stmt: Reduce) -> int:
        return sum(fold_of(self.s, result).registers for result in stmt.results)

    def cost(self, value: Value) -> int:
        """Return how many instructions a value takes."""
        return instructions(value, self.s.target)

    @contextlib.contextmanager
    def lanes(self, axis: Axis, width: int) -> Iterator[None]:
        """Emit what follows for `width` indices of `axis` at once."""
        self.vector_axis, self.width = axis, width
        yield
        self.vector_axis, self.width = None, self.base

    # --- index arithmetic -----------------------------------------------------------------------

    def main_end(self, last: str, width: int, first: str = "0") -> str:
        """Return where whole steps of `width` from `first` end, at or before `last`."""
        if first == "0":
            return self.s.emit(f"and i64 {last}, -{width}", int64, 1).text
        count = self.s.emit(f"sub nsw i64 {last}, {first}", int64, 1).text
        whole = self.s.emit(f"and i64 {count}, -{width}", int64, 1).text
        return self.s.emit(f"add nsw i64 {first}, {whole}", int64, 1).text

    def bounded(self, first: str, count: str | int, end: str) -> str:
        """Return first + count, or `end` where that is less."""
        limit = self.s.emit(f"add nuw nsw i64 {first}, {count}", int64, 1)
        return self.s._call("smin", limit, self._i64(end)).text

    def plus(self, a: str, b: str | int) -> str:
        """Return a + b."""
        return self.s.emit(f"add nsw i64 {a}, {b}", int64, 1).text

    def difference(self, a: str, b: str) -> str:
        """Return a - b."""
        return self.s.emit(f"sub nsw i64 {a}, {b}", int64, 1).text

    def offset_from(self, first: str) -> str:
        """Return how far the innermost loop is from `first`."""
        return self.difference(self.scopes[-1].index, first)

    # --- the stack ------------------------------------------------------------------------------

    def stack(self, kind: str) -> str:
        """Return a pointer to a value of an LLVM type on the stack."""
        name = self.s.fresh("t")
        self.scopes[0].hoisted.append(f"{name} = alloca {kind}, align 64")
        return name

    def element(self, kind: str, base: str, number: str) -> str:
        """Return a pointer to an element of an array."""
        name = self.s.fresh("p")
        self.s.out.append(f"{name} = getelementptr inbounds {kind}, ptr {base}, i64 {number}")
        return name

    def panel(self, start: int) -> str:
        """Return a pointer into the panel, which the loops of a kernel share."""
        name = self.s.fresh("p")
        self.scopes[0].hoisted.append(f"{name} = getelementptr i8, ptr %panel, i64 {start}")
        return name

    def _panel_lines(self) -> list[str]:
        """Return the panel's allocation; its pages are touched in the order the stack grows in."""
        size = self.panel_bytes
        lines = [f"  %panel = alloca [{size} x i8], align 64"]
        for number, at in enumerate(range(size - 1, -1, -PAGE)):
            lines.append(f"  %page{number} = getelementptr i8, ptr %panel, i64 {at}")
            lines.append(f"  store volatile i8 0, ptr %page{number}")
        return lines

    # --- loops in the text ----------------------------------------------------------------------

    def counted(
        self, axis: Axis, start: str, end: str, step: int, body: Callable[[], None]
    ) -> None:
        """Emit ``for (i = start; i < end; i += step) body``; open accumulators pass through it."""
        outer = self.s.out
        name = self.s.fresh("L")[1:]
        index = self.s.fresh("i")
        outer.append(f"br label %{name}.pre")
        header: list[Any] = [f"{name}.pre:", f"br label %{name}.head", f"{name}.head:"]
        header.append(f"{index} = phi i64 [ {start}, %{name}.pre ], [ {index}n, %{name}.latch ]")
        carried, entry = self._enter(header)
        header += [
            f"{index}c = icmp slt i64 {index}, {end}",
            f"br i1 {index}c, label %{name}.body, label %{name}.exit",
            f"{name}.body:",
        ]
        hoisted: list[Any] = []
        self.s.out = [hoisted]
        self.scopes.append(_Scope(axis, index, hoisted))
        body()
        self.scopes.pop()
        inner, self.s.out = self.s.out, outer
        outer += [header, inner]
        outer += [f"br label %{name}.latch", f"{name}.latch:"]
        outer.append(f"{index}n = add nuw nsw i64 {index}, {step}")
        outer += [f"br label %{name}.head", f"{name}.exit:"]
        self._leave(header, carried, entry, name)

    def _enter(self, header: list[Any]) -> tuple[dict[Value, State], dict[Value, State]]:
        """Give every open accumulator a phi at the loop's head; the phi lines are filled later."""
        entry = self.states
        carried = {
            result: [Lanes(self.s.fresh("a"), x.dtype, x.width) for x in state]
            for result, state in entry.items()
        }
        self.states = dict(carried)
        header.append([])
        return carried, entry

    def _leave(
        self,
        header: list[Any],
        carried: dict[Value, State],
        entry: dict[Value, State],
        name: str,
    ) -> None:
        phis = next(part for part in header if isinstance(part, list))
        for result, names in carried.items():
            for phi, first, last in zip(names, entry[result], self.states[result], strict=True):
                kind = register_type(phi.dtype, phi.width)
                start, next_ = (splat_literal(x, phi.width) for x in (first, last))
                phis.append(f"{phi.text} = phi {kind} [ {start}, %{name}.pre ], "
                            f"[ {next_}, %{name}.latch ]")  # fmt: skip
        self.states = carried

    # --- reductions -----------------------------------------------------------------------------

    def reduce(self, stmt: Reduce) -> None:
        outer, self.states = self.states, {}
        for result in stmt.results:
            self.states[result] = fold_of(self.s, result).identity(self._state_width(result))
        (nest,) = stmt.body
        assert isinstance(nest, Loop)
        self.reduce_loop(nest)
        finished = {x: fold_of(self.s, x).finish(self.states[x]) for x in stmt.results}
        self.states = outer
        for result, lanes in finished.items():
            self.define(result, lanes)

    def _state_width(self, result: Value) -> int:
        return self.width if self.vector_axis in result.axes else 1

    def reduce_loop(self, loop: Loop) -> None:
        """Emit a loop of a reduction nest; the innermost one goes through in blocks."""
        extent = self.size(loop.axis.extent)
        innermost = any(isinstance(s, Update) for s in loop.body)
        if not innermost:
            self.counted(loop.axis, "0", extent, 1, lambda: self._reduce_body(loop))
            return
        if not loop.vector or self.width == 1 or self.vector_axis is not None:
            self.blocks(loop, "0", extent, 1)
            return
        end = "0"
        for width in self.widths(loop.body):
            start, end = end, self.main_end(extent, width)
            scalar = self.states
            with self.lanes(loop.axis, width):
                self.states = {result: fold_of(self.s, result).identity(width) for result in scalar}
                self.blocks(loop, start, end, width)
            wide, self.states = self.states, {}
            for result, state in scalar.items():
                self.states[result] = fold_of(self.s, result).join(state, wide[result])
        self.blocks(loop, end, extent, 1)

    def _reduce_body(self, loop: Loop) -> None:
        for stmt in loop.body:
            if isinstance(stmt, Loop):
                self.reduce_loop(stmt)
            else:
                self.block([stmt])

    def blocks(self, loop: Loop, start: str, end: str, step: int) -> None:
        """Run the innermost loop in blocks: float sums start each block from zero."""
        if not any(fold_of(self.s, result).is_blocked for result in self.states):
            self.counted(loop.axis, start, end, step, lambda: self.block(loop.body))
            return
        self.counted(
            Axis("block", 0), start, end, BLOCK * step, lambda: self._one_block(loop, end, step)
        )

    def _one_block(self, loop: Loop, end: str, step: int) -> None:
        first = self.scopes[-1].index
        last = self.bounded(first, BLOCK * step, end)
        self.states = self.fold_block(loop, self.states, first, last, step)

    def fold_block(
        self, loop: Loop, states: dict[Value, State], first: str, last: str, step: int = 1
    ) -> dict[Value, State]:
        """Return the states after the indices from `first` to `last`; some fold a block apart."""
        folds = {result: fold_of(self.s, result) for result in states}
        apart = [result for result in states if folds[result].is_blocked]
        outer, self.states = self.states, dict(states)
        for result in apart:
            self.states[result] = folds[result].block_identity(states[result][0].width)
        self.block_start = first
        self.counted(loop.axis, first, last, step, lambda: self.block(loop.body))
        done, self.states = self.states, outer
        for result in apart:
            start = self._i64(first)
            done[result] = folds[result].take_block(states[result], done[result], start)
        return done

    def update(self, result: Value) -> None:
        state = self.states[result]
        fold = fold_of(self.s, result)
        index = self._index_in_block(result, fold) if isinstance(fold, IndexFold) else None
        self.states[result] = fold.update(state, self.value(result.args[0]), index)
        if result.data.is_running:
            self.define(result, fold.finish(self.states[result]))

    def _index_in_block(self, result: Value, fold: IndexFold) -> Lanes:
        """Return where the current element stands, counted from the start of the block."""
        (axis,) = result.data.axes
        index = self.s.cast(self._i64(self.offset_from(self.block_start)), fold.index_dtype)
        if self.vector_axis is not axis:
            return index
        lanes = ", ".join(f"{register_type(fold.index_dtype)} {i}" for i in range(self.width))
        return self.s.add(index, Lanes(f"<{lanes}>", fold.index_dtype, self.width))


def instructions(value: Value, target: Target) -> int:
    """Return how many instructions a value takes."""
    if value.kind != "apply":
        return LIGHT + 1 if value.kind == "load" and value.args else 1
    scratch = LaneScalars(target)
    args = [Lanes(f"%x{i}", x.dtype, 1) for i, x in enumerate(value.args)]
    value.data.scalar(scratch, *args, **value.data.attrs)
    return len(scratch.out)


def _named(at: Affine) -> list[Value]:
    return [axis.value for axis, _ in at.terms if isinstance(axis, Indirect)]


def _flatten(code: list[Any], lines: list[str]) -> None:
    """Append nested lists of instructions as lines, in order."""
    stack = [iter(code)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            lines.append(item if item.endswith(":") else f"  {item}")
        else:
            stack.pop()
