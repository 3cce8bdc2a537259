"""Scans as native loops: the code that moves pointers from step to step around a body's driver.

    i32 loop(ptr table, ptr sizes, ptr callback, i64 context)

The body's buffers stand in the same table as those of the graph around it. Each round points the
body's parameters at the rows of the sequences and at the present carries, lets it write its results
where they belong (a row of a stacked output, or the spare buffer of a carry), and calls it. A carry
alternates between two buffers; one that is an output too is read from the output. What a body returns
twice, or returns as it got it, is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symtensor.codegen.text import FunctionText, V

COPY = "symtensor_copy"
_WIDE = "<8 x i64>"


@dataclass(slots=True)
class Carry:
    """State of a loop. All numbers are places in the table, or in the sizes where they say so."""

    initial: int
    parameter: int | None
    """The body's parameter, None when the body does not read it."""
    source: int
    """Where the body leaves the next value."""
    spares: tuple[int, int]
    result: int | None
    """Where the last value goes, None when nobody reads it."""
    bytes: int
    """Place of its size among the sizes."""
    how: str = "copied"
    """How the next value comes about: ``copied``, ``written`` into a spare buffer, or ``borrowed``."""
    lender: int = -1
    """For a borrowed value, the number of the output that it is read from."""


@dataclass(slots=True)
class Rows:
    """A sequence, or a stacked output."""

    array: int
    body: int
    """The body's parameter, or where the body leaves a row."""
    bytes: int
    """Place of the size of a row among the sizes."""
    direct: bool = True
    """False for an output whose rows are copied."""


@dataclass(slots=True)
class LoopPlan:
    """Everything about one loop."""

    steps: int
    """Place among the sizes."""
    reverse: bool
    carries: list[Carry] = field(default_factory=list)
    sequences: list[Rows] = field(default_factory=list)
    outputs: list[Rows] = field(default_factory=list)
    captured: list[tuple[int, int]] = field(default_factory=list)
    """(array, the body's parameter)"""


def emit_copy() -> str:
    """Return ``void copy(ptr to, ptr from, i64 bytes)``."""
    f = FunctionText(COPY, [("ptr", "to"), ("ptr", "from"), ("i64", "bytes")])
    whole = f.round_down("%bytes", 64)

    def piece(kind: str, i: str) -> None:
        f.store(kind, f.load(kind, f.at("i8", "%from", i), 1), f.at("i8", "%to", i), 1)

    f.loop(0, whole, 64, lambda i, _: piece(_WIDE, i))
    f.loop(whole, "%bytes", 1, lambda i, _: piece("i8", i))
    return f.text()


def emit_loop(plan: LoopPlan, name: str, body: str) -> str:
    """Return the loop as a function `name` around the driver `body`."""
    return _Loop(plan, name, body).text()


class _Loop:
    def __init__(self, plan: LoopPlan, name: str, body: str) -> None:
        self.plan = plan
        self.body = body
        self.f = FunctionText(name, [
            ("ptr", "table"), ("ptr", "sizes"), ("ptr", "callback"), ("i64", "context")], "i32")  # fmt: skip

    def text(self) -> str:
        f, plan = self.f, self.plan
        for array, parameter in plan.captured:
            self.point(parameter, self.pointer(array))
        self.steps = self.size(plan.steps)
        arrays = [*plan.sequences, *plan.outputs]
        sizes = dict.fromkeys([*(x.bytes for x in plan.carries), *(x.bytes for x in arrays)])
        self.bytes = {x: self.size(x) for x in sizes}
        self.bases = {x.array: self.pointer(x.array) for x in arrays}
        first: list[tuple[str, V]] = []
        for carry in plan.carries:
            places = (carry.initial, *carry.spares)
            first += [("ptr", self.pointer(place)) for place in places]
        last = f.loop(0, self.steps, 1, self.round, first)
        for i, carry in enumerate(plan.carries):
            if carry.result is not None:
                self.copy(self.pointer(carry.result), last[3 * i], carry.bytes)
        f.do("ret i32 0")
        return f.text()

    def round(self, t: str, state: list[str]) -> Sequence[V]:
        f, plan = self.f, self.plan
        at: V = f.sub(f.sub(self.steps, 1), t) if plan.reverse else t
        places = [self.row(rows, at) for rows in plan.outputs]
        self.point_to_round(at, places, state)
        f.op(f"call i32 @{self.body}(ptr %table, ptr %sizes, ptr %callback, i64 %context)")
        for rows, place in zip(plan.outputs, places, strict=True):
            if not rows.direct:
                self.copy(place, self.pointer(rows.body), rows.bytes)
        following: list[V] = []
        for i, carry in enumerate(plan.carries):
            following += self.next_carry(carry, state[3 * i + 1], state[3 * i + 2], places)
        return following

    def point_to_round(self, at: V, places: list[str], state: list[str]) -> None:
        """Show the body what it reads in this round and where it writes."""
        for rows in self.plan.sequences:
            self.point(rows.body, self.row(rows, at))
        for rows, place in zip(self.plan.outputs, places, strict=True):
            if rows.direct:
                self.point(rows.body, place)
        for i, carry in enumerate(self.plan.carries):
            if carry.parameter is not None:
                self.point(carry.parameter, state[3 * i])
            if carry.how == "written":
                self.point(carry.source, state[3 * i + 1])

    def next_carry(self, carry: Carry, spare: str, other: str, places: list[str]) -> list[V]:
        """Return where the next value of a carry is, and its two spare buffers."""
        if carry.how == "borrowed":
            return [places[carry.lender], spare, other]
        if carry.how == "copied":
            self.copy(spare, self.pointer(carry.source), carry.bytes)
        return [spare, other, spare]

    def row(self, rows: Rows, at: V) -> str:
        return self.f.at("i8", self.bases[rows.array], self.f.mul(at, self.bytes[rows.bytes]))

    def size(self, place: int) -> str:
        return self.f.load("i64", self.f.at("i64", "%sizes", place), 8)

    def pointer(self, place: int) -> str:
        return self.f.load("ptr", self.f.at("ptr", "%table", place), 8)

    def point(self, place: int, pointer: str) -> None:
        self.f.store("ptr", pointer, self.f.at("ptr", "%table", place), 8)

    def copy(self, to: str, source: str, size: int) -> None:
        self.f.do(f"call void @{COPY}(ptr {to}, ptr {source}, i64 {self.bytes[size]})")
