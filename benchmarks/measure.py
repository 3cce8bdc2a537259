"""One process of the benchmark. It says what it found as JSON lines; `__main__` starts it.

python -m benchmarks.measure speed --threads 2 …                 times of many contestants in turn
python -m benchmarks.measure first --peers jax --only "MLP 64"   one contestant, one workload:
                                    seconds to a first result, and peak memory
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.checking import Reference, WrongResult
from benchmarks.contestants import CONTESTANTS, Contestant, Program, Symtensor
from benchmarks.limits import best_of, limits
from benchmarks.workloads import Workload, all_workloads

BATCH_SECONDS = 0.02
"""Calls shorter than this are timed several at a time."""
SETTLE_SECONDS = 0.1
"""Other libraries' threads go on spinning about this long after their last call."""


def say(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def chosen_workloads(words: str) -> list[Workload]:
    """Return the workloads whose name holds one of some words with ``|`` between them."""
    return [w for w in all_workloads() if any(word in w.name for word in words.split("|"))]


def chosen_contestants(names: str) -> list[type[Contestant]]:
    """Return symtensor and the peers named, or all that are installed."""
    listed = [x for x in names.split(",") if x]
    return [
        c
        for c in CONTESTANTS
        if c is Symtensor or (c.is_installed() and (not listed or c.name in listed))
    ]


# --- speed ---------------------------------------------------------------------------------------


def seconds_per_call(program: Program, repeats: int) -> float:
    call = program.call
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def first_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0][:160]


def right_programs(
    work: Workload, arrays: Any, contestants: dict[str, Contestant]
) -> Iterator[tuple[str, Program]]:
    """Yield programs of right results; say which contestants have none."""
    reference = Reference(work, arrays)
    for name, contestant in contestants.items():
        if not contestant.can_run(work):
            continue
        try:
            program = contestant.prepare(work, arrays)
            reference.check(program)
        except WrongResult as problem:
            say(work=work.name, skipped=name, why=f"wrong: {problem}")
        except Exception as problem:  # no such op, no C++ compiler, …: the peers' own errors
            say(work=work.name, skipped=name, why=first_line(problem))
        else:
            yield name, program


def compare(work: Workload, contestants: dict[str, Contestant], rounds: int) -> None:
    """Say the median seconds per call of every contestant; they take turns."""
    programs = dict(right_programs(work, work.arrays(), contestants))
    repeats = {}
    for name, program in programs.items():
        seconds_per_call(program, 2)
        repeats[name] = max(1, int(BATCH_SECONDS / seconds_per_call(program, 2)))
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            time.sleep(SETTLE_SECONDS)
            program.call()  # brings its own data and threads back
            times[name].append(seconds_per_call(program, repeats[name]))
    medians = {name: statistics.median(found) for name, found in times.items()}
    say(work=work.name, medians=medians, operations=work.operations, bytes=work.bytes)


def speed(given: argparse.Namespace) -> None:
    before = limits(given.threads)
    contestants = {}
    for kind in chosen_contestants(given.peers):
        contestants[kind.name] = kind(given.threads)
        say(contestant=kind.name, version=contestants[kind.name].version())
    for work in chosen_workloads(given.only):
        compare(work, contestants, given.rounds)
        gc.collect()
    say(limits=best_of(before, limits(given.threads)))  # other work may slow a machine for a while


# --- the first result ----------------------------------------------------------------------------


def peak_memory() -> int:
    """Return the most bytes of memory this process has had."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def first(given: argparse.Namespace) -> None:
    """Say how long a new process takes to a first result, after that of ``2x + 1``.

    The small function first, so that the second time is that of the work, not of starting a compiler.
    """
    (kind,) = (c for c in CONTESTANTS if c.name == given.peers)
    contestant = kind(given.threads)
    small, (work, *_) = all_workloads()[0], chosen_workloads(given.only)
    if not contestant.can_run(work):
        return
    say(work=small.name, seconds=to_first_result(contestant, small)[0])
    before = peak_memory()
    seconds, program = to_first_result(contestant, work)
    for _ in range(20):
        program.call()
    say(work=work.name, seconds=seconds, peak=peak_memory(), grown=peak_memory() - before)


def to_first_result(contestant: Contestant, work: Workload) -> tuple[float, Program]:
    """Return seconds from the definition to the first result, and the program."""
    arrays = work.arrays()
    start = time.perf_counter()
    program = contestant.prepare(work, arrays)
    program.call()
    return time.perf_counter() - start, program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["speed", "first"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", default="")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # libraries that don't ask the environment see this
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    {"speed": speed, "first": first}[given.kind](given)


if __name__ == "__main__":
    main()
