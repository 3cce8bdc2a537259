"""Time symtensor beside its peers and print ratios of medians.

    python -m benchmarks [--threads 1,2] [--only WORD|WORD] [--rounds N] [--peers NAME,NAME]
                         [--quick] [--write docs/benchmarks.md]

Every peer that is installed takes part. Each number of threads has a process of its own, in which the
contestants take turns, so that a machine whose speed drifts slows all of them; results are compared
with NumPy's in float64 before anything is timed. A ratio below 1 means that symtensor is faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import llvmlite.binding as llvm

from benchmarks.contestants import CONTESTANTS
from benchmarks.keras_epochs import keras_epochs
from benchmarks.measure import chosen_workloads
from benchmarks.report import (
    Record,
    first_section,
    heading,
    import_section,
    keras_section,
    names_in,
    speed_section,
)

ROOT = Path(__file__).parent.parent
IMPORTS = 7


def environment(threads: str, caches: str | None = None) -> dict[str, str]:
    """Return the environment of a process: threads for everyone, and where code is cached."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    found = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths)))
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        found.pop(name, None)
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR", "VECLIB", "SYMTENSOR"):
        found[f"{library}_NUM_THREADS"] = threads
    found["OPENBLAS_THREAD_TIMEOUT"] = "20"  # else its threads spin on into the others' turns
    found["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if not hasattr(os, "sched_setaffinity"):
        found["NPROC"] = threads  # XLA's; slows its small calls, so only where we can't pin threads
    if caches is not None:
        found |= {
            "SYMTENSOR_CACHE_DIR": caches,
            "TORCHINDUCTOR_CACHE_DIR": caches,
            "NUMBA_CACHE_DIR": caches,
            "PYTENSOR_FLAGS": f"base_compiledir={caches}",
        }
    return found


def run(variables: Mapping[str, str], *options: str) -> list[Record]:
    """Run one process of measurements and return what it says."""
    command = [sys.executable, "-m", "benchmarks.measure", *options]
    found = []
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables, cwd=ROOT
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                found.append(json.loads(line))
                print(line, end="", file=sys.stderr, flush=True)
        if process.wait():
            log.seek(0)
            print(f"{' '.join(command)}\n{log.read()[-2000:]}", file=sys.stderr)
    return found


def first_results(names: Sequence[str], threads: str, only: str) -> dict[str, list[Record]]:
    """Return times to a first result and memory of training steps, by contestant."""
    columns: dict[str, list[Record]] = {}
    for work in (w for w in chosen_workloads(only) if w.is_training):
        for name in names:
            options = ["first", "--threads", threads, "--peers", name, "--only", work.name]
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as caches:
                variables = environment(threads, caches)
                columns.setdefault(name, []).extend(run(variables, *options))
                if name == "symtensor":
                    again = columns.setdefault("symtensor, cached", [])
                    again.extend(run(variables, *options))
    return columns


def import_seconds(module: str) -> float:
    """Return the median time of importing a module in a new process."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    times = []
    for _ in range(IMPORTS):
        done = subprocess.run(
            command, env=environment("1"), capture_output=True, text=True, check=True, cwd=ROOT
        )
        times.append(float(done.stdout.split()[-1]))
    return statistics.median(times)


def report(given: argparse.Namespace) -> str:
    """Measure everything asked for and return the text of the report."""
    options = ["--rounds", str(given.rounds), "--only", given.only, "--peers", given.peers]
    numbers, versions, parts = given.threads.split(","), {}, []
    for threads in numbers:
        records = run(environment(threads), "speed", "--threads", threads, *options)
        versions |= names_in(records)
        if any("medians" in record for record in records):
            parts.append(speed_section(threads, records))
    rounds = (given.rounds + 2) // 3  # an epoch lasts long
    epochs = {n: keras_epochs(environment(n), given.only, rounds, given.peers) for n in numbers}
    if any(epochs.values()):
        parts.append(keras_section(epochs))
    if not given.quick:
        names = [name for name in versions if name not in ("numpy", "numexpr")]
        parts.append(first_section(first_results(names, numbers[-1], given.only), numbers[-1]))
        modules = {c.modules[0] for c in CONTESTANTS if c.name in versions}
        parts.append(import_section({m: import_seconds(m) for m in sorted(modules)}))
    return "\n\n".join([heading(versions, llvm.get_host_cpu_name()), *parts]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads, each its own table")
    parser.add_argument("--only", default="", help="words, one of which a workload's name holds")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", default="", help="names of peers; all installed ones by default")
    parser.add_argument("--quick", action="store_true", help="speed alone")
    parser.add_argument("--write", default="", help="file for the report")
    given = parser.parse_args()
    text = report(given)
    print(text)
    if given.write:
        Path(given.write).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
