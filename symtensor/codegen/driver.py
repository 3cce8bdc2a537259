"""The native driver: one function that runs all kernels and call-outs of a graph in order.

    i32 driver(ptr table, ptr sizes, ptr callback, i64 context)

`table` holds one pointer per buffer, `sizes` one i64 per dim expression. A call-out is a call of
``callback(context, step)``; a result other than 0 ends the run and is returned. A kernel that refuses
an index ends it too: the driver then returns the number of its step plus 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelCall:
    """Run the kernel called `name` on buffers and sizes given by their places."""

    name: str
    buffers: tuple[int, ...]
    sizes: tuple[int, ...]
    may_refuse: bool = False
    """True when it checks indices."""


@dataclass(frozen=True, slots=True)
class CallOut:
    """Hand step number `step` to Python."""

    step: int


NAME = "symtensor_driver"


def emit_driver(calls: Sequence[KernelCall | CallOut]) -> str:
    """Return the text of the driver."""
    lines = [
        f"define i32 @{NAME}(ptr %table, ptr %sizes, ptr %callback, i64 %context) nounwind {{",
        "entry:",
    ]
    for number, call in enumerate(calls):
        if isinstance(call, KernelCall):
            lines += _kernel_call(number, call)
        else:
            lines += _call_out(number, call)
    lines += ["  ret i32 0", "}"]
    return "\n".join(lines)


def _kernel_call(number: int, call: KernelCall) -> list[str]:
    lines, arguments = [], []
    places = [("ptr", "table", i) for i in call.buffers] + [("i64", "sizes", i) for i in call.sizes]
    for position, (kind, array, index) in enumerate(places):
        name = f"%c{number}.{position}"
        lines += [
            f"  {name}p = getelementptr {kind}, ptr %{array}, i64 {index}",
            f"  {name} = load {kind}, ptr {name}p, align 8",
        ]
        arguments.append(f"{kind} {name}")
    lines.append(f"  %r{number} = call i32 @{call.name}({', '.join(arguments)})")
    return [*lines, *_return_unless_ok(number, str(number + 1))] if call.may_refuse else lines


def _call_out(number: int, call: CallOut) -> list[str]:
    line = f"  %r{number} = call i32 %callback(i64 %context, i64 {call.step})"
    return [line, *_return_unless_ok(number, f"%r{number}")]


def _return_unless_ok(number: int, code: str) -> list[str]:
    return [
        f"  %ok{number} = icmp eq i32 %r{number}, 0",
        f"  br i1 %ok{number}, label %next{number}, label %failed{number}",
        f"failed{number}:",
        f"  ret i32 {code}",
        f"next{number}:",
    ]
