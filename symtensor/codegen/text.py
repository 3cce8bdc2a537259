"""Functions in LLVM text with structured control flow, for code that is written by hand.

Values are SSA names, or Python ints, which stand for themselves and fold. Loops and branches take
their bodies as functions: what a body returns is carried to the next round, or out of the branch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

V = str | int
"""An SSA name or an integer literal."""


class FunctionText:
    """Builds one function; the methods append instructions and return the names of their results."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        result: str = "void",
        linkage: str = "internal",
    ) -> None:
        arguments = ", ".join(f"{kind} %{label}" for kind, label in parameters)
        space = f"{linkage} " if linkage else ""
        self.lines = [f"define {space}{result} @{name}({arguments}) nounwind {{", "entry:"]
        self.result = result
        self._numbers = itertools.count()

    def text(self) -> str:
        """Return the function; call once, after the last instruction."""
        if self.result == "void":
            self.do("ret void")
        return "\n".join([*self.lines, "}"])

    def fresh(self) -> str:
        """Return an unused name."""
        return f"%t{next(self._numbers)}"

    def do(self, instruction: str) -> None:
        """Append an instruction without result."""
        self.lines.append(f"  {instruction}")

    def op(self, instruction: str) -> str:
        """Append an instruction and return the name of its result."""
        name = self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def label(self, name: str) -> None:
        """Start a block."""
        self.lines.append(f"{name}:")

    # --- index arithmetic ------------------------------------------------------------------------

    def add(self, a: V, b: V) -> V:
        """Return a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        return a if b == 0 else self.op(f"add nsw i64 {a}, {b}")

    def sub(self, a: V, b: V) -> V:
        """Return a - b."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.op(f"sub nsw i64 {a}, {b}")

    def mul(self, a: V, b: V) -> V:
        """Return a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1:
            return b
        return a if b == 1 else self.op(f"mul nsw i64 {a}, {b}")

    def divide(self, a: V, b: int) -> V:
        """Return a // b for a not negative."""
        return self.op(f"udiv i64 {a}, {b}")

    def minimum(self, a: V, b: V) -> V:
        """Return the smaller."""
        return self.select(self.compare("slt", a, b), "i64", a, b)

    def round_down(self, a: V, multiple: int) -> V:
        """Return the largest multiple of a power of two that is not above `a`."""
        return self.op(f"and i64 {a}, -{multiple}")

    def compare(self, relation: str, a: V, b: V) -> str:
        """Return an i1: eq, ne, slt, sle, sgt, sge."""
        return self.op(f"icmp {relation} i64 {a}, {b}")

    def both(self, a: str, b: str) -> str:
        """Return a and b, both i1."""
        return self.op(f"and i1 {a}, {b}")

    def either(self, a: str, b: str) -> str:
        """Return a or b, both i1."""
        return self.op(f"or i1 {a}, {b}")

    def select(self, condition: str, kind: str, a: V, b: V) -> str:
        """Return a where the condition holds, else b."""
        return self.op(f"select i1 {condition}, {kind} {a}, {kind} {b}")

    # --- memory ----------------------------------------------------------------------------------

    def at(self, kind: str, pointer: str, index: V) -> str:
        """Return the address of an element."""
        if index == 0:
            return pointer
        return self.op(f"getelementptr inbounds {kind}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str, align: int) -> str:
        """Return what is at an address."""
        return self.op(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: V, pointer: str, align: int) -> None:
        """Write to an address."""
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    # --- control flow ----------------------------------------------------------------------------

    def loop(
        self,
        start: V,
        end: V,
        step: V,
        body: Callable[[str, list[str]], Sequence[V] | None],
        carried: Sequence[tuple[str, V]] = (),
    ) -> list[str]:
        """Emit ``for (i = start; i < end; i += step)``.

        `carried` are (type, first value); the body gets the index and their present values and
        returns the next ones. Returns their values after the loop.
        """
        name = f"L{next(self._numbers)}"
        index = f"%{name}.i"
        self.do(f"br label %{name}.pre")
        self.label(f"{name}.pre")
        self.do(f"br label %{name}.head")
        self.label(f"{name}.head")
        self.do(f"{index} = phi i64 [ {start}, %{name}.pre ], [ {index}n, %{name}.latch ]")
        phis = [self.fresh() for _ in carried]
        place = len(self.lines)
        condition = self.compare("slt", index, end)
        self.do(f"br i1 {condition}, label %{name}.body, label %{name}.exit")
        self.label(f"{name}.body")
        following = list(body(index, phis) or ())
        self.do(f"br label %{name}.latch")
        self.label(f"{name}.latch")
        self.do(f"{index}n = add nsw i64 {index}, {step}")
        self.do(f"br label %{name}.head")
        self.label(f"{name}.exit")
        self.lines[place:place] = [
            f"  {phi} = phi {kind} [ {first}, %{name}.pre ], [ {next_}, %{name}.latch ]"
            for phi, (kind, first), next_ in zip(phis, carried, following, strict=True)
        ]
        return phis

    def branch(
        self,
        condition: str,
        then: Callable[[], Sequence[V] | None],
        otherwise: Callable[[], Sequence[V] | None] | None = None,
        kinds: Sequence[str] = (),
    ) -> list[str]:
        """Emit an if; what the two bodies return, of types `kinds`, is merged and returned."""
        name = f"B{next(self._numbers)}"
        self.do(f"br i1 {condition}, label %{name}.then, label %{name}.else")
        values = []
        for side, body in (("then", then), ("else", otherwise)):
            self.label(f"{name}.{side}")
            values.append(list((body() if body else None) or ()))
            self.do(f"br label %{name}.{side}.end")
            self.label(f"{name}.{side}.end")
            self.do(f"br label %{name}.exit")
        self.label(f"{name}.exit")
        return [
            self.op(f"phi {kind} [ {a}, %{name}.then.end ], [ {b}, %{name}.else.end ]")
            for kind, a, b in zip(kinds, *values, strict=True)
        ]

    def return_if(self, condition: str, value: str = "void") -> None:
        """Leave the function where the condition holds."""
        name = f"R{next(self._numbers)}"
        self.do(f"br i1 {condition}, label %{name}.leave, label %{name}.stay")
        self.label(f"{name}.leave")
        self.do(f"ret {value}")
        self.label(f"{name}.stay")
