"""A program that reads a clock between its steps: what profiles measure with.

The drivers of a program, and nothing else, are written anew with a tick after each step; kernels, products
and threads are those of the program itself. A tick reads the system's clock (``clock_gettime``, or Windows'
``QueryPerformanceCounter``) from native code, adds the time since the last tick to that of its number, and
counts. That takes about as long as reading the clock does, tens of nanoseconds, which each driver
measures by two ticks in a row when it begins.

    word 0  address of the clock         words 3, 4  where it writes
    word 1  which clock                  then        the time of each tick
    word 2  when the last tick was       then        the count of each tick
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from symtensor.codegen.driver import NAME, TICK, LoopCall, emit_driver
from symtensor.codegen.program import Program
from symtensor.codegen.schedule import Schedule
from symtensor.codegen.text import FunctionText

FIRST = 5
"""Words before the times."""
EMPTY = ""
"""Name of the ticks that only measure what a tick takes."""
START = "start"
"""Name of the first tick, whose time is none of the program's."""


def with_ticks(program: Program) -> tuple[Program, list[str]]:
    """Return the program with ticks, not loaded yet, and of each tick the name of the step it ends.

    A loop's own time is that of the tick after it and of those at the beginning of its body.
    """
    names: list[str] = []
    text = program.llvm_ir
    for driver, name, steps in _drivers(program, program.schedule, NAME, "k", START):
        old = emit_driver(program.drivers[driver], driver)
        assert old in text, "the drivers are written as they were"
        text = text.replace(old, emit_driver(program.drivers[driver], driver, len(names)))
        names += [name, EMPTY, *steps]
    text += f"\n\n{_tick(len(program.slots) + 1, len(names))}"
    return replace(program, key="", made=replace(program.listing, llvm_ir=text)), names


def _drivers(
    program: Program, plan: Schedule, driver: str, prefix: str, name: str
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each driver with the name of its loop and those of its steps, as records have them."""
    steps = [f"{prefix}{number}" for number in range(len(plan.steps))]
    yield driver, name, steps
    for step, call, inner in zip(plan.steps, program.drivers[driver], steps, strict=True):
        if isinstance(call, LoopCall):
            body = plan.bodies[step.node]  # type: ignore[union-attr]
            yield from _drivers(program, body, call.body, f"{inner}.", inner)


def _tick(place: int, count: int) -> str:
    """Return the function that a driver calls; the words are at `place` in the table."""
    f = FunctionText(TICK, [("ptr", "table"), ("i64", "number")])
    words = f.load("ptr", f.at("ptr", "%table", place), 8)
    clock = f.load("ptr", words, 8)
    now = f.at("i64", words, 3)
    if sys.platform == "win32":
        f.op(f"call i32 {clock}(ptr {now})")
        time_ = f.load("i64", now, 8)
    else:
        which = f.op(f"trunc i64 {f.load('i64', f.at('i64', words, 1), 8)} to i32")
        f.op(f"call i32 {clock}(i32 {which}, ptr {now})")
        seconds, rest = f.load("i64", now, 8), f.load("i64", f.at("i64", words, 4), 8)
        time_ = f.op(f"add i64 {f.op(f'mul i64 {seconds}, 1000000000')}, {rest}")
    last = f.at("i64", words, 2)
    passed = f.op(f"sub i64 {time_}, {f.load('i64', last, 8)}")
    f.store("i64", time_, last, 8)
    for start, more in ((FIRST, passed), (FIRST + count, 1)):
        at = f.at("i64", words, f.op(f"add i64 %number, {start}"))
        f.store("i64", f.op(f"add i64 {f.load('i64', at, 8)}, {more}"), at, 8)
    return f.text()


class Clock:
    """The words of a program with ticks."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.words = np.zeros(FIRST + 2 * len(names), np.int64)
        library, function, which, self._unit = _system_clock()
        self._library = library  # the address is good as long as it is loaded
        self.words[0] = ctypes.cast(getattr(library, function), ctypes.c_void_p).value or 0
        self.words[1] = which

    @property
    def address(self) -> int:
        """Where the words are."""
        return int(self.words.ctypes.data)

    def reset(self) -> None:
        """Set all times and counts to zero."""
        self.words[FIRST:] = 0

    def read(self) -> dict[str, tuple[float, int]]:
        """Return by name seconds and runs since the reset, without the time of the ticks."""
        count = len(self.names)
        times, runs = self.words[FIRST : FIRST + count], self.words[FIRST + count :]
        empty = [t / n for name, t, n in zip(self.names, times, runs, strict=True)
                 if name == EMPTY and n]  # fmt: skip
        own = min(empty, default=0.0)
        found: dict[str, tuple[float, int]] = {}
        for name, t, n in zip(self.names, times, runs, strict=True):
            if name not in (EMPTY, START):
                seconds, before = found.get(name, (0.0, 0))
                passed = max(0.0, float(t) - own * int(n)) * self._unit
                found[name] = seconds + passed, before or int(n)  # a loop's own tick comes first
        return found


def _system_clock() -> tuple[Any, str, int, float]:
    """Return library and name of the clock, which of its clocks, and seconds of a unit."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        frequency = ctypes.c_int64()
        kernel.QueryPerformanceFrequency(ctypes.byref(frequency))
        return kernel, "QueryPerformanceCounter", 0, 1.0 / frequency.value
    return ctypes.CDLL(None), "clock_gettime", int(time.CLOCK_MONOTONIC), 1e-9
