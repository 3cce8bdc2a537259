"""What this machine could do: multiply-adds and bytes per second, measured.

`machine_limits` measures once per process and number of threads, in under a second, when a profile asks.
A work's *floor* is the time it takes at the higher of the two limits: below that it can't get.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.codegen.jit import LoadedCode, compile_object
from symtensor.codegen.target import Target, host
from symtensor.codegen.text import FunctionText

ROUNDS = 8
UNROLL = 4
"""Vectors in a round of the loop."""
SPANS = (3 << 13, 3 << 16, 3 << 21, 3 << 25)
"""Bytes of three vectors together: within the caches of a core and of the machine, and beyond."""
MOVED = 3 << 23
"""Bytes that one measurement goes through, at least: a millisecond or so."""
SHORT = 200_000
"""Rounds of multiply-adds of one measurement: the same. Short ones fit between what else is running."""


def rate(amount: float, tasks: Sequence[Callable[[], Any]], rounds: int = ROUNDS) -> float:
    """Return the best amount per second of tasks that run at once, on a thread each."""
    best = 0.0
    with ThreadPoolExecutor(len(tasks)) as workers:
        for _ in range(rounds):
            start = time.perf_counter()
            list(workers.map(lambda task: task(), tasks))
            best = max(best, amount / (time.perf_counter() - start))
    return best


def multiply_add_text(target: Target, chains: int) -> str:
    """Return a function of n that does n rounds of independent float32 multiply-adds."""
    vector = f"<{target.lanes(32)} x float>"
    numbers = range(chains)
    splat = ", ".join(["float 0.5"] * target.lanes(32))
    phis = "\n".join(
        f"  %a{k} = phi {vector} [zeroinitializer, %entry], [%b{k}, %loop]" for k in numbers
    )
    if target.has_fma:
        step = "  %b{k} = call {v} @llvm.fma({v} %a{k}, {v} <{half}>, {v} %x)"
    else:  # it would be a call of the C library
        step = "  %m{k} = fmul {v} %a{k}, <{half}>\n  %b{k} = fadd {v} %m{k}, %x"
    steps = "\n".join(step.format(k=k, v=vector, half=splat) for k in numbers)
    sums = "\n".join(
        f"  %s{k + 1} = fadd {vector} {'%x' if k == 0 else f'%s{k}'}, %b{k}" for k in numbers
    )
    return f"""
define float @multiply_add(i64 %n, float %seed) {{
entry:
  %one = insertelement {vector} poison, float %seed, i32 0
  %x = shufflevector {vector} %one, {vector} poison, <{target.lanes(32)} x i32> zeroinitializer
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{phis}
{steps}
  %next = add i64 %i, 1
  %done = icmp uge i64 %next, %n
  br i1 %done, label %exit, label %loop
exit:
{sums}
  %r = extractelement {vector} %s{chains}, i32 0
  ret float %r
}}
declare {vector} @llvm.fma({vector}, {vector}, {vector})
"""


def multiply_add_rate(threads: int, rounds: int = 2_000_000, tries: int = ROUNDS) -> float:
    """Return float32 operations per second in registers alone, a multiply-add being two."""
    target = host()
    chains = target.vector_registers * 3 // 4  # latency times throughput needs about ten
    kind = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)
    code = LoadedCode([compile_object(multiply_add_text(target, chains), target)], ["multiply_add"])
    run = kind(code.address("multiply_add"))
    operations = 2.0 * threads * rounds * chains * target.lanes(32)
    return rate(operations, [lambda: run(rounds, 1.0)] * threads, tries)


def stream_text(target: Target) -> str:
    """Return a function that adds two vectors of n float32 into a third, some times."""
    f = FunctionText("stream", [("ptr", "a"), ("ptr", "b"), ("ptr", "c"), ("i64", "n"),
                                ("i64", "times")], linkage="")  # fmt: skip
    lanes = target.lanes(32)
    vector = f"<{lanes} x float>"

    def step(start: str, _: list[str]) -> None:
        for k in range(UNROLL):
            i = f.add(start, k * lanes)
            a, b = (f.load(vector, f.at("float", x, i), 4) for x in ("%a", "%b"))
            f.store(vector, f.op(f"fadd {vector} {a}, {b}"), f.at("float", "%c", i), 4)

    f.loop(0, "%times", 1, lambda _, __: f.loop(0, "%n", UNROLL * lanes, step) and None)
    return f.text()


def stream_rate(threads: int, span: int) -> float:
    """Return bytes per second of adding two vectors; each thread has `span` bytes of its own."""
    target = host()
    step = UNROLL * target.lanes(32)
    elements = max(span // 12 // step, 1) * step
    times = max(1, MOVED // span)
    arrays = [[np.ones(elements, np.float32) for _ in range(3)] for _ in range(threads)]
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)
    code = LoadedCode([compile_object(stream_text(target), target)], ["stream"])
    run = kind(code.address("stream"))
    tasks = [functools.partial(run, *(x.ctypes.data for x in own), elements, times)
             for own in arrays]  # fmt: skip
    return rate(12.0 * threads * elements * times, tasks)


@dataclass(frozen=True, slots=True)
class Limits:
    """What so many threads can do."""

    threads: int
    flops: float
    """Float32 operations per second in registers; float64 is half of it."""
    bandwidth: tuple[tuple[int, float], ...]
    """(bytes of the vectors, bytes per second), for vectors of rising size."""

    def bytes_per_second(self, span: int) -> float:
        """Return how fast `span` bytes are gone through; between two measured sizes, in proportion
        to the logarithm: where one cache ends and the next begins is no sharp line."""
        sizes, speeds = zip(*self.bandwidth, strict=True)
        return float(np.interp(np.log(max(span, 1)), np.log(sizes), speeds))

    def floor(self, flops: int, moved: int, itemsize: int = 4) -> tuple[float, str]:
        """Return the least seconds for operations on elements and bytes, and which of them binds."""
        compute = flops / (self.flops * min(1.0, 4 / itemsize))
        memory = moved / self.bytes_per_second(moved)
        return (compute, "compute") if compute > memory else (memory, "memory")

    def best_of(self, other: Limits) -> Limits:
        """Return the higher of two measurements of each."""
        pairs = zip(self.bandwidth, other.bandwidth, strict=True)
        speeds = tuple((span, max(one, two)) for (span, one), (_, two) in pairs)
        return Limits(self.threads, max(self.flops, other.flops), speeds)

    def __str__(self) -> str:
        speeds = ", ".join(f"{v / 1e9:.0f} GB/s in {n >> 10:,} KiB" for n, v in self.bandwidth)
        return f"{self.threads} threads: {self.flops / 1e9:.0f} GFLOP/s (float32), {speeds}"


TRIES = 3
"""Measurements of one number of threads in a process: some kernels beat every one of them, such as
those that only read, out of the nearest cache."""
_measured: dict[int, list[Limits]] = {}


def machine_limits(threads: int, again: bool = False) -> Limits:
    """Return what this machine can do with so many threads, measured at the first request.

    `again` measures once more and keeps what is better: other work may have slowed it down before.
    """
    found = _measured.setdefault(threads, [])
    if not found or (again and len(found) < TRIES):
        found.append(_measure(threads))
        if len(found) > 1:
            found[-1] = found[-1].best_of(found[-2])
    return found[-1]


def _measure(threads: int) -> Limits:
    speeds = tuple((threads * span, stream_rate(threads, span)) for span in SPANS)
    return Limits(threads, multiply_add_rate(threads, SHORT, 8 * ROUNDS), speeds)
