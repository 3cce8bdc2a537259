"""The text of nested loops while it is written: loops, the numbers that count them, values, the stack.

A loop that is open is a scope: it holds the values computed in it and, hoisted to its head, the index
arithmetic that needs no loop inside it. Open accumulators pass through every loop as phis. Lines are
nested lists until the kernel is done, so that a scope can still take lines at its head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from symtensor.codegen.folds import State
from symtensor.codegen.kernel import Axis, Value
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes, register_type, splat_literal
from symtensor.codegen.lower import is_inline
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType, int32, int64

PAGE = 4096
"""Bytes of stack that are touched at a time."""


class Scope:
    """An open loop in the text: where its index arithmetic goes and which values it holds."""

    def __init__(
        self, axis: Axis | None, index: str, hoisted: list[Any], before: list[Any] | None = None
    ) -> None:
        self.axis = axis
        self.index = index
        self.hoisted = hoisted
        self.before = before
        """What is done once ahead of the loop, None where it is written out."""
        self.spread: dict[str, Lanes] = {}
        """Names in outer loops -> what they hold, in all lanes."""
        self.values: dict[Value, Lanes] = {}
        self.partial: dict[tuple[str, str], str] = {}


class LoopBuilder:
    """Appends loops to a text; what stands in them is others' business."""

    def __init__(self, s: LaneScalars, sizes: Sequence[Dim], base: int) -> None:
        self.s = s
        self.base = base
        """Lanes of vector loops."""
        self.width = base
        """Lanes of the vector loop being emitted."""
        self.vector_axis: Axis | None = None
        self.mask: Lanes | None = None
        """Which lanes of the vector loop being emitted hold elements, None where all do."""
        self.sizes = {dim: f"%s{i}" for i, dim in enumerate(sizes)}
        hoisted: list[Any] = []
        self.s.out = self._code = [hoisted]
        self.scopes = [Scope(None, "", hoisted)]
        self.states: dict[Value, State] = {}
        self.on_demand: dict[Value, Callable[[], None]] = {}
        """Values that are defined where they are first asked for."""
        self.panel_bytes = 0
        """Bytes of accumulators of columns on the stack."""

    def lines(self) -> list[str]:
        """Return everything written, in order."""
        lines = self._panel_lines() if self.panel_bytes else []
        _flatten(self._code, lines)
        return lines

    @contextlib.contextmanager
    def writing(self, out: list[Any]) -> Iterator[None]:
        """Write into another place of the text meanwhile."""
        around, self.s.out = self.s.out, out
        yield
        self.s.out = around

    # --- values -----------------------------------------------------------------------------------

    def value(self, value: Value) -> Lanes:
        """Return the value computed in the innermost open loop that has it."""
        for scope in reversed(self.scopes):
            if value in scope.values:
                return scope.values[value]
        self.on_demand[value]()
        return self.scopes[-1].values[value]

    def operand(self, value: Value) -> Lanes:
        """Return a value; one that is the same in all lanes of a loop is spread over them ahead of it."""
        scope, lanes = self.scopes[-1], self.value(value)
        same = lanes.width == 1 < self.open_width and lanes.text.startswith("%")
        if not same or scope.before is None or value in scope.values:
            return lanes
        if lanes.text not in scope.spread:
            with self.writing(scope.before):
                scope.spread[lanes.text] = self.s.widen(lanes, self.width)
        return scope.spread[lanes.text]

    def define(self, value: Value, lanes: Lanes) -> None:
        """Say what computes a value from here to the end of the innermost open loop."""
        self.scopes[-1].values[value] = lanes

    def size(self, dim: Dim) -> str:
        """Return a size as text: a number, or the kernel's argument."""
        return str(dim) if is_inline(dim) else self.sizes[dim]

    def i64(self, text: str) -> Lanes:
        """Return a text that is an index as a value."""
        return Lanes(text, int64, 1)

    # --- loops ------------------------------------------------------------------------------------

    def counted(
        self, axis: Axis, start: str, end: str, step: int | str, body: Callable[[], None]
    ) -> None:
        """Emit ``for (i = start; i < end; i += step) body``; open accumulators pass through it.

        A loop between two numbers is written out.
        """
        if start.isdigit() and end.isdigit():
            for i in range(int(start), int(end), int(step)):
                self.round(axis, str(i), body)
            return
        outer = self.s.out
        name = self.s.fresh("L")[1:]
        index = self.s.fresh("i")
        outer.append(f"br label %{name}.pre")
        phis = [f"{index} = phi i64 [ {start}, %{name}.pre ], [ {index}n, %{name}.latch ]"]
        carried, entry = self._enter()
        before: list[Any] = []
        outer += [
            f"{name}.pre:",
            before,
            f"br label %{name}.head",
            f"{name}.head:",
            phis,
            f"{index}c = icmp slt i64 {index}, {end}",
            f"br i1 {index}c, label %{name}.body, label %{name}.exit",
            f"{name}.body:",
        ]
        hoisted: list[Any] = []
        self.s.out = [hoisted]
        self.scopes.append(Scope(axis, index, hoisted, before))
        body()
        self.scopes.pop()
        inner, self.s.out = self.s.out, outer
        outer.append(inner)
        outer += [f"br label %{name}.latch", f"{name}.latch:"]
        outer.append(f"{index}n = add nuw nsw i64 {index}, {step}")
        outer += [f"br label %{name}.head", f"{name}.exit:"]
        self._leave(phis, carried, entry, name)

    def _if_any(self, axis: Axis, start: str, end: str, body: Callable[[], None]) -> None:
        """Emit ``if (start < end) body`` with the index `start`; open accumulators pass through it."""
        some = self.s.emit(f"icmp slt i64 {start}, {end}", int64, 1).text
        name = self.s.fresh("I")[1:]
        self.s.out += [
            f"br label %{name}.pre",
            f"{name}.pre:",
            f"br i1 {some}, label %{name}.body, label %{name}.exit",
            f"{name}.body:",
        ]
        entry = dict(self.states)
        self.round(axis, start, body)
        self.s.out += [
            f"br label %{name}.last",
            f"{name}.last:",
            f"br label %{name}.exit",
            f"{name}.exit:",
        ]
        for result, state in self.states.items():
            self.states[result] = [
                self._either(name, x, y) for x, y in zip(entry[result], state, strict=True)
            ]

    def _either(self, name: str, before: Lanes, after: Lanes) -> Lanes:
        """Return a number behind a branch that may have changed it."""
        if before == after:
            return before
        kind = register_type(after.dtype, after.width)
        old, new = (splat_literal(x, after.width) for x in (before, after))
        phi = f"phi {kind} [ {old}, %{name}.pre ], [ {new}, %{name}.last ]"
        return self.s.emit(phi, after.dtype, after.width)

    def round(self, axis: Axis, index: str, body: Callable[[], None]) -> Scope:
        """Emit one round of a loop that is written out; return its scope."""
        hoisted: list[Any] = []
        self.s.out.append(hoisted)
        self.scopes.append(Scope(axis, index, hoisted))
        body()
        return self.scopes.pop()

    def _enter(self) -> tuple[dict[Value, State], dict[Value, State]]:
        """Give every open accumulator the name of its phi at a loop's head."""
        entry = self.states
        carried = {
            result: [Lanes(self.s.fresh("a"), x.dtype, x.width) for x in state]
            for result, state in entry.items()
        }
        self.states = dict(carried)
        return carried, entry

    def _leave(
        self,
        phis: list[str],
        carried: dict[Value, State],
        entry: dict[Value, State],
        name: str,
    ) -> None:
        """Write the phis, now that the body has said what they carry round."""
        for result, names in carried.items():
            for phi, first, last in zip(names, entry[result], self.states[result], strict=True):
                kind = register_type(phi.dtype, phi.width)
                start, next_ = (splat_literal(x, phi.width) for x in (first, last))
                phis.append(f"{phi.text} = phi {kind} [ {start}, %{name}.pre ], "
                            f"[ {next_}, %{name}.latch ]")  # fmt: skip
        self.states = carried

    # --- lanes ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lanes(self, axis: Axis, width: int) -> Iterator[None]:
        """Emit what follows for `width` indices of `axis` at once."""
        self.vector_axis, self.width = axis, width
        yield
        self.vector_axis, self.width = None, self.base

    def rest_in_lanes(self, axis: Axis, start: str, end: str, body: Callable[[], None]) -> None:
        """Emit `body` for the indices from `start` to `end`, less than a vector of them, in one round."""

        def masked() -> None:
            count = self.s.cast(self.i64(self.difference(end, start)), int32)
            self.mask = self.s.lt(self.lane_numbers(int32), count)
            body()
            self.mask = None

        self._if_any(axis, start, end, masked)

    @contextlib.contextmanager
    def unmasked(self) -> Iterator[None]:
        """Move whole vectors meanwhile."""
        around, self.mask = self.mask, None
        yield
        self.mask = around

    @property
    def open_width(self) -> int:
        """Lanes of the vector loop that is open, 1 where none is."""
        return 1 if self.vector_axis is None else self.width

    def in_lanes(
        self, axis: Axis, count: int, widths: Iterable[int], body: Callable[[], None]
    ) -> int:
        """Emit `body` for as many of `count` indices as loops of some widths take; return where they end."""
        end = 0
        for width in widths:
            start, end = end, end + (count - end) // width * width
            if start < end:
                with self.lanes(axis, width):
                    # the end is a name: a loop between two numbers would be written out
                    self.counted(axis, str(start), self.plus(end, 0), width, body)
        return end

    def lane_numbers(self, dtype: DType = int64) -> Lanes:
        """Return the numbers of the lanes of the current vector loop."""
        numbers = ", ".join(f"{register_type(dtype)} {i}" for i in range(self.width))
        return Lanes(f"<{numbers}>", dtype, self.width)

    # --- index arithmetic -------------------------------------------------------------------------

    def main_end(self, last: str, width: int, first: str = "0") -> str:
        """Return where whole steps of `width` from `first` end, at or before `last`."""
        if first == "0":
            return self.s.emit(f"and i64 {last}, -{width}", int64, 1).text
        return self.plus(first, self.main_end(self.difference(last, first), width))

    def bounded(self, first: str, count: str | int, end: str) -> str:
        """Return first + count, or `end` where that is less."""
        if first.isdigit() and end.isdigit():
            return str(min(int(first) + int(count), int(end)))
        limit = self.s.emit(f"add nuw nsw i64 {first}, {count}", int64, 1)
        return self.s.minimum(limit, self.i64(end)).text

    def plus(self, a: str | int, b: str | int) -> str:
        """Return a + b."""
        return self.s.emit(f"add nsw i64 {a}, {b}", int64, 1).text

    def times(self, a: str, b: str | int) -> str:
        """Return a * b."""
        return self.s.emit(f"mul nsw i64 {a}, {b}", int64, 1).text

    def difference(self, a: str, b: str) -> str:
        """Return a - b."""
        return self.s.emit(f"sub nsw i64 {a}, {b}", int64, 1).text

    def offset_from(self, first: str) -> str:
        """Return how far the innermost loop is from `first`."""
        return self.difference(self.scopes[-1].index, first)

    # --- the stack --------------------------------------------------------------------------------

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
