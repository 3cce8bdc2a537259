"""What the machine could do: bytes and multiply-adds per second, measured."""

import ctypes
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from symtensor.codegen.target import Target, host

CACHED, LARGE = 4_000_000, 64_000_000
"""Elements of the arrays: as in the workloads (a large cache may hold a part), and far beyond."""
ROUNDS = 8


def rate(amount: float, tasks: Sequence[Callable[[], Any]]) -> float:
    """Return the best amount per second of tasks that run at once, on a thread each."""
    best = 0.0
    with ThreadPoolExecutor(len(tasks)) as workers:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            list(workers.map(lambda task: task(), tasks))
            best = max(best, amount / (time.perf_counter() - start))
    return best


def bandwidths(threads: int, elements: int) -> dict[str, float]:
    """Return bytes per second of a copy, of a sum of two vectors, and of reading two vectors."""
    parts = np.array_split(np.arange(elements), threads)
    spans = [slice(p[0], p[-1] + 1) for p in parts]
    a, b, c = (np.ones(elements, np.float32) for _ in range(3))
    size = a.nbytes
    return {
        "copy": rate(2 * size, [lambda s=s: np.copyto(c[s], a[s]) for s in spans]),
        "add": rate(3 * size, [lambda s=s: np.add(a[s], b[s], out=c[s]) for s in spans]),
        "read": rate(2 * size, [lambda s=s: np.dot(a[s], b[s]) for s in spans]),
    }


def multiply_add_text(target: Target, chains: int) -> str:
    """Return a function of n that does n rounds of independent float32 multiply-adds."""
    vector = f"<{target.lanes(32)} x float>"
    numbers = range(chains)
    splat = ", ".join(["float 0.5"] * target.lanes(32))
    phis = "\n".join(
        f"  %a{k} = phi {vector} [zeroinitializer, %entry], [%b{k}, %loop]" for k in numbers
    )
    steps = "\n".join(
        f"  %b{k} = call {vector} @llvm.fma({vector} %a{k}, {vector} <{splat}>, {vector} %x)"
        for k in numbers
    )
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


def multiply_add_rate(threads: int, rounds: int = 2_000_000) -> float:
    """Return float32 operations per second in registers alone, a multiply-add being two."""
    target = host()
    chains = target.vector_registers * 3 // 4  # latency times throughput needs about ten
    module = llvm.parse_assembly(multiply_add_text(target, chains))
    with llvm.create_mcjit_compiler(module, target.machine()) as engine:
        engine.finalize_object()
        kind = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)
        run = kind(engine.get_function_address("multiply_add"))
        operations = 2.0 * threads * rounds * chains * target.lanes(32)
        return rate(operations, [lambda: run(rounds, 1.0)] * threads)


def limits(threads: int) -> dict[str, Any]:
    """Return operations per second and, by size and kind, bytes per second."""
    return {
        "operations": multiply_add_rate(threads),
        "cached": bandwidths(threads, CACHED),
        "large": bandwidths(threads, LARGE),
    }


def best_of(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the higher of two measurements of every limit."""
    return {
        name: best_of(found, other[name]) if isinstance(found, dict) else max(found, other[name])
        for name, found in one.items()
    }
