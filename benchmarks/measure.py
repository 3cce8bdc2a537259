"""One process of the benchmark: some contestants, some workloads, one number of threads.

python benchmarks/measure.py speed --threads 2 …     times as JSON lines
python benchmarks/measure.py compile --peer jax …    seconds from the definition to a first result
python benchmarks/measure.py memory --peer jax …     peak memory of training
"""

import argparse
import gc
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("kind", choices=["speed", "compile", "memory"])
OPTIONS.add_argument("--threads", type=int, default=1)
OPTIONS.add_argument("--only", default="")
OPTIONS.add_argument("--rounds", type=int, default=9)
OPTIONS.add_argument("--peers", default="")
GIVEN = OPTIONS.parse_args()

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = str(GIVEN.threads)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if hasattr(os, "sched_setaffinity"):  # the only way to bound XLA's threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: GIVEN.threads])

import numpy as np  # noqa: E402  (threads are set before)
from contestants import CONTESTANTS, Call, Contestant, NumPy, Symtensor, can_run  # noqa: E402
from workloads import Workload, all_workloads  # noqa: E402

BATCH_SECONDS = 0.02
"""Calls shorter than this are timed several at a time."""
SETTLE_SECONDS = 0.06
"""Other libraries' threads go on spinning about this long after their last call."""


def say(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def wanted(name: str) -> bool:
    return any(word in name for word in GIVEN.only.split(","))


def installed() -> list[type[Contestant]]:
    names = [x for x in GIVEN.peers.split(",") if x]
    chosen = [c for c in CONTESTANTS if c.is_installed()]
    return [c for c in chosen if not names or c is Symtensor or c.name in names]


# --- speed ---------------------------------------------------------------------------------------


def seconds(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def first(result: Any) -> Any:
    """Return the first array of a result."""
    while isinstance(result, (list, tuple)):
        result = result[0]
    return np.asarray(result)


def truth(work: Workload, arrays: Any) -> Any:
    """Return the result (of a training step, the loss before it) in float64 by NumPy."""
    exact = [np.asarray(a, np.float64) for a in arrays]
    return np.asarray(NumPy(1).prepare(work, exact)())


def difference(found: Any, reference: Any) -> float:
    """Return the largest error, relative to the largest element."""
    scale = max(float(np.abs(reference).max()), 1e-30)
    return float(np.abs(found.astype(np.float64) - reference).max()) / scale


def prepared(
    work: Workload, arrays: Any, makers: dict[str, Contestant]
) -> Iterator[tuple[str, Call]]:
    """Yield calls of right results; say which contestants fail."""
    reference = truth(work, arrays)
    for name, maker in makers.items():
        if not can_run(type(maker), work):
            continue
        try:
            call = maker.prepare(work, arrays)
            error = difference(first(call()), reference)
            for _ in range(3):
                call()
        except Exception as problem:  # a peer without the op, or without its compiler
            text = f"{type(problem).__name__}: {problem}".splitlines()[0]
            say(work=work.name, skipped=name, why=text[:200])
            continue
        if error > 1e-3:
            say(work=work.name, skipped=name, why=f"wrong result: off by {error:.1e}")
            continue
        yield name, call


def compare(work: Workload, makers: dict[str, Contestant]) -> None:
    arrays = work.arrays()
    calls = dict(prepared(work, arrays, makers))
    repeats = {name: max(1, int(BATCH_SECONDS / seconds(c, 1))) for name, c in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(GIVEN.rounds):
        for name, call in calls.items():
            time.sleep(SETTLE_SECONDS)
            call()  # bring its own data and threads back
            times[name].append(seconds(call, repeats[name]))
    medians = {name: statistics.median(found) for name, found in times.items()}
    say(work=work.name, medians=medians, operations=work.operations, bytes=work.bytes)


def copy_bandwidth(threads: int) -> float:
    """Return the bytes per second that a large copy moves, counting reads and writes."""
    from concurrent.futures import ThreadPoolExecutor

    parts = [(np.ones(8 << 20), np.empty(8 << 20)) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(8):
            start = time.perf_counter()
            list(workers.map(lambda pair: np.copyto(pair[1], pair[0]), parts))
            best = max(best, threads * 2 * parts[0][0].nbytes / (time.perf_counter() - start))
    return best


def speed() -> None:
    makers: dict[str, Contestant] = {}
    for kind in installed():
        makers[kind.name] = kind(GIVEN.threads)
        say(contestant=kind.name, version=makers[kind.name].version())
    say(bandwidth=copy_bandwidth(GIVEN.threads))
    for work in all_workloads():
        if wanted(work.name):
            compare(work, makers)
            gc.collect()


# --- compiling and memory ------------------------------------------------------------------------


def one_contestant() -> Contestant:
    (kind,) = (c for c in CONTESTANTS if c.name == GIVEN.peers)
    return kind(GIVEN.threads)


def training_steps(run: Callable[[Contestant, Workload], dict[str, Any]]) -> None:
    contestant = one_contestant()
    for work in all_workloads():
        if work.optimizer not in ("adam", "sgd") or not wanted(work.name):
            continue
        if can_run(type(contestant), work):
            try:
                say(work=work.name, **run(contestant, work))
            except Exception as problem:
                say(work=work.name, why=str(problem).splitlines()[0][:200])


def compile_seconds(contestant: Contestant, work: Workload) -> dict[str, Any]:
    arrays = work.arrays()
    start = time.perf_counter()
    contestant.prepare(work, arrays)()
    return {"seconds": time.perf_counter() - start}


def peak_memory(contestant: Contestant, work: Workload) -> dict[str, Any]:
    unit = 1 if sys.platform == "darwin" else 1024
    call = contestant.prepare(work, work.arrays())
    for _ in range(5):
        call()
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


if __name__ == "__main__":
    if GIVEN.kind == "speed":
        speed()
    else:
        training_steps(compile_seconds if GIVEN.kind == "compile" else peak_memory)
