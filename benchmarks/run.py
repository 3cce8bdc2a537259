"""Time symtensor beside its peers and print ratios of medians.

    python benchmarks/run.py [--threads 1,2] [--only WORDS] [--rounds N] [--peers NAMES]
                             [--write docs/benchmarks.md]

Every peer that is installed takes part. Each number of threads has a process of its own, in which the
contestants take turns, so that a machine whose speed drifts slows all of them; results are compared
with NumPy's in float64 before anything is timed. A ratio below 1 means that symtensor is faster.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Record = dict[str, Any]


def measure(kind: str, *options: str, cache: str | None = None) -> list[Record]:
    """Run one process of measurements and return what it says."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(HERE.parent), str(HERE)]))
    if cache is not None:
        environment |= {"SYMTENSOR_CACHE_DIR": cache}
    command = [sys.executable, str(HERE / "measure.py"), kind, *options]
    found = []
    with tempfile.TemporaryFile("w+") as log:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    found.append(json.loads(line))
                    print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{log.read()}")
    return found


def import_seconds(module: str) -> float:
    """Return the median time of importing a module in a new process."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    environment = dict(os.environ, PYTHONPATH=str(HERE.parent))
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        for _ in range(7)
    ]
    times = sorted(float(r.stdout) for r in runs if r.returncode == 0)
    return times[len(times) // 2] if times else float("nan")


# --- tables --------------------------------------------------------------------------------------


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e3:.2f} ms"


def rate(record: Record, mine: float, limits: Record) -> str:
    """Return GFLOP/s or GB/s, and the fraction of the measured limit."""
    if record["operations"]:
        found = record["operations"] / mine
        return f"{found / 1e9:.0f} GFLOP/s ({found / limits['operations']:.0%})"
    if record["bytes"]:
        found = record["bytes"] / mine
        return f"{found / 1e9:.0f} GB/s ({found / limits['bytes']:.0%})"
    return ""


def speed_table(records: list[Record]) -> str:
    names = [r["contestant"] for r in records if "contestant" in r]
    peers = [name for name in names if name != "symtensor"]
    timed = [r for r in records if "medians" in r and "symtensor" in r["medians"]]
    products = [r["operations"] / min(r["medians"].values()) for r in timed if r["operations"]]
    limits = {
        "bytes": next(r["bandwidth"] for r in records if "bandwidth" in r),
        "operations": max(products, default=1.0),
    }
    rows = []
    for record in timed:
        medians = record["medians"]
        mine = medians["symtensor"]
        others = {name: mine / medians[name] for name in peers if name in medians}
        best = max(others.values(), default=float("nan"))
        cells = [f"{others[name]:.2f}" if name in others else "" for name in peers]
        rows.append([record["work"], duration(mine), f"**{best:.2f}**", *cells,
                     rate(record, mine, limits)])  # fmt: skip
    found = table(["work", "symtensor", "to the best", *peers, "rate (of the limit)"], rows)
    notes = [
        f"- {r['work']}: {r['skipped']} left out ({r['why']})" for r in records if "skipped" in r
    ]
    limit = (
        f"Limits measured in the same run: copy {limits['bytes'] / 1e9:.0f} GB/s, "
        f"best matrix product of any contestant {limits['operations'] / 1e9:.0f} GFLOP/s."
    )
    return "\n\n".join([found, limit, *(["\n".join(notes)] if notes else [])])


def per_peer_table(kind: str, peers: list[str], options: list[str]) -> str:
    """Return compile times or peak memory of training steps, a column per peer."""
    columns: dict[str, dict[str, str]] = {}
    key, form = {
        "compile": ("seconds", lambda s: f"{s:.2f} s"),
        "memory": ("peak", lambda b: f"{b / 2**20:.0f} MiB"),
    }[kind]
    with tempfile.TemporaryDirectory() as cache:
        runs = [(name, name) for name in peers]
        if kind == "compile":
            runs.insert(1, ("symtensor", "symtensor, cached"))
        for name, title in runs:
            found = measure(kind, "--peers", name, *options, cache=cache)
            columns[title] = {r["work"]: form(r[key]) for r in found if key in r}
    works = list(dict.fromkeys(work for column in columns.values() for work in column))
    rows = [[work, *(column.get(work, "") for column in columns.values())] for work in works]
    return table(["work", *columns], rows)


def report(given: argparse.Namespace) -> str:
    options = ["--rounds", str(given.rounds), "--only", given.only, "--peers", given.peers]
    parts, versions = [], {}
    for threads in given.threads.split(","):
        records = measure("speed", "--threads", threads, *options)
        versions |= {r["contestant"]: r["version"] for r in records if "contestant" in r}
        parts += [f"## {threads} thread{'s' * (threads != '1')}", speed_table(records)]
    peers = [name for name in versions if name not in ("numpy", "numexpr")]
    threads = given.threads.split(",")[-1]
    only = ["--threads", threads, "--only", given.only]
    if not given.quick:
        parts += ["## From definition to first result", per_peer_table("compile", peers, only)]
        parts += ["## Peak memory of the process", per_peer_table("memory", peers, only)]
        modules = [name for name in versions if name != "torch.compile"]
        rows = [[name, f"{import_seconds(name):.2f} s"] for name in modules]
        parts += ["## Import", table(["module", "time"], rows)]
    return "\n\n".join([heading(versions), *parts]) + "\n"


def heading(versions: dict[str, str]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        "# Benchmarks\n\n"
        "Made by `make bench`. Ratios of medians, symtensor to peer: below 1, symtensor is faster.\n\n"
        f"{datetime.date.today().isoformat()}, Python {platform.python_version()} on "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors. {libraries}."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads, each its own table")
    parser.add_argument("--only", default="", help="words, one of which a workload's name holds")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", default="", help="names of peers; all installed ones by default")
    parser.add_argument("--quick", action="store_true", help="speed alone")
    parser.add_argument("--write", default="", help="file for the report")
    arguments = parser.parse_args()
    text = report(arguments)
    print(text)
    if arguments.write:
        Path(arguments.write).write_text(text, encoding="utf-8")
