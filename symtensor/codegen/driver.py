"""The native driver: one function that runs all kernels and call-outs of a graph in order.

    i32 driver(ptr table, ptr sizes, ptr callback, i64 context)

`table` holds one pointer per buffer, `sizes` one i64 per dim expression. A call-out is a call of
``callback(context, step)``; any result but `done` ends the run. A kernel that refuses an index ends it
too. The driver then returns the number of the step plus 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symtensor.codegen.pool import PARALLEL
from symtensor.codegen.sharing import range_name
from symtensor.codegen.text import FunctionText


@dataclass(frozen=True, slots=True)
class SharedCall:
    """Among the sizes, the places of the numbers that a shared kernel is cut by."""

    extent: int
    cost: int
    multiple: int
    """The number itself."""


@dataclass(frozen=True, slots=True)
class PhaseCall:
    """Run one of the functions of a kernel."""

    suffix: str = ""
    """What its name has that the kernel's has not."""
    share: SharedCall | None = None
    """How threads share it; it then takes a range of rounds."""


@dataclass(frozen=True, slots=True)
class KernelCall:
    """Run the kernel called `name` on buffers and sizes given by their places."""

    name: str
    buffers: tuple[int, ...]
    sizes: tuple[int, ...]
    may_refuse: bool = False
    """True when it checks indices."""
    phases: tuple[PhaseCall, ...] = (PhaseCall(),)
    """Its functions, in order."""

    @property
    def shared(self) -> bool:
        """True when threads share some of it."""
        return any(phase.share for phase in self.phases)


@dataclass(frozen=True, slots=True)
class CallOut:
    """Hand step number `step` to Python."""

    step: int


@dataclass(frozen=True, slots=True)
class LoopCall:
    """Run the loop called `name`."""

    name: str
    before: tuple[KernelCall, ...] = ()
    """What packs the operands that its products read in every round."""

    @property
    def body(self) -> str:
        """The driver of its body."""
        return self.name.replace("loop", "body")


Call = KernelCall | LoopCall | CallOut

NAME = "symtensor_driver"
TICK = "symtensor_tick"
_STEP_BITS = 24
_PARAMETERS = (("ptr", "table"), ("ptr", "sizes"), ("ptr", "callback"), ("i64", "context"))
_ARGUMENTS = ", ".join(f"{kind} %{name}" for kind, name in _PARAMETERS)
SECTION = 256
"""Steps of one function: LLVM takes more than twice as long for one of twice the length."""


def done(context: int, step: int) -> int:
    """Return what a call-out returns when all went well; no other call-out does.

    An error that ctypes catches, as of a signal before the first line in Python, leaves any result.
    """
    return (context << _STEP_BITS) + step


def emit_driver(calls: Sequence[Call], name: str = NAME, ticks: int | None = None) -> str:
    """Return the text of a driver: of a whole program, or of the body of a loop.

    Long ones are cut into functions, each of `SECTION` steps. With `ticks`, it tells the clock
    (`symtensor.codegen.ticks`) when it begins, twice, and when each step has ended, by numbers from
    `ticks` on.
    """
    f = FunctionText(name, _PARAMETERS, "i32", linkage="")
    clock = None if ticks is None else itertools.count(ticks)
    _tick(f, clock)
    _tick(f, clock)
    sections = []
    if len(calls) <= SECTION:
        _emit_steps(f, calls, 0, clock)
    else:
        for start in range(0, len(calls), SECTION):
            section = FunctionText(f"{name}_{start}", _PARAMETERS, "i32")
            _emit_steps(section, calls[start : start + SECTION], start, clock)
            section.do("ret i32 0")
            sections.append(section.text())
            code = f.op(f"call i32 @{name}_{start}({_ARGUMENTS})")
            f.return_if(f.op(f"icmp ne i32 {code}, 0"), f"i32 {code}")
    f.do("ret i32 0")
    return "\n\n".join([*sections, f.text()])


def _tick(f: FunctionText, clock: Iterator[int] | None) -> None:
    if clock is not None:
        f.do(f"call void @{TICK}(ptr %table, i64 {next(clock)})")


def _emit_steps(
    f: FunctionText, calls: Sequence[Call], first: int, clock: Iterator[int] | None
) -> None:
    """Run steps, of which the first has the number `first`."""
    words = [len(_places(x)) for x in calls if isinstance(x, KernelCall) and x.shared]
    if words:
        f.do(f"%block = alloca i64, i64 {max(words)}, align 8")
    for number, call in enumerate(calls, first):
        if isinstance(call, CallOut):
            result = f.op(f"call i64 %callback(i64 %context, i64 {call.step})")
            wanted = f.add(f.op(f"shl i64 %context, {_STEP_BITS}"), call.step)
            f.return_if(f.compare("ne", result, wanted), f"i32 {call.step + 1}")
        elif isinstance(call, LoopCall):
            for packing in call.before:
                _kernel_call(f, packing, number)
            f.op(f"call i32 @{call.name}({_ARGUMENTS})")
        else:
            _kernel_call(f, call, number)
        _tick(f, clock)


def _places(call: KernelCall) -> list[tuple[str, str, int]]:
    """Return what a kernel takes: types, arrays, and places in these."""
    buffers = [("ptr", "%table", i) for i in call.buffers]
    return buffers + [("i64", "%sizes", i) for i in call.sizes]


def _kernel_call(f: FunctionText, call: KernelCall, number: int) -> None:
    """Run the phases of a kernel, step `number`."""
    places = _places(call)
    values = [(kind, f.load(kind, f.at(kind, array, i), 8)) for kind, array, i in places]
    if call.shared:
        for i, (kind, x) in enumerate(values):
            f.store(kind, x, f.at("i64", "%block", i), 8)
    for phase in call.phases:
        code = _phase_call(f, f"{call.name}{phase.suffix}", phase, values)
        if call.may_refuse:
            f.return_if(f.op(f"icmp ne i32 {code}, 0"), f"i32 {number + 1}")


def _phase_call(
    f: FunctionText, name: str, phase: PhaseCall, values: Sequence[tuple[str, str]]
) -> str:
    if phase.share is None:
        return f.op(f"call i32 @{name}({', '.join(f'{kind} {x}' for kind, x in values)})")
    extent, cost = (
        f.load("i64", f.at("i64", "%sizes", i), 8) for i in (phase.share.extent, phase.share.cost)
    )
    return f.op(f"call i32 @{PARALLEL}(ptr @{range_name(name)}, ptr %block, i64 {extent}, "
                f"i64 {cost}, i64 {phase.share.multiple})")  # fmt: skip
