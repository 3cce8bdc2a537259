"""Tables in Markdown from what the processes of a run said."""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def duration(seconds: float) -> str:
    for unit, name in ((1e-3, "us"), (1.0, "ms")):
        if seconds < unit:
            return f"{seconds / unit * 1e3:.3g} {name}"
    return f"{seconds:.2f} s"


def rate(record: Record, seconds: float, limits: Record) -> str:
    """Return GFLOP/s or GB/s, and the fraction of the measured limit."""
    if record["operations"]:
        found = record["operations"] / seconds
        return f"{found / 1e9:.0f} GFLOP/s, {found / limits['operations']:.0%}"
    if record["bytes"]:
        found = record["bytes"] / seconds
        return f"{found / 1e9:.0f} GB/s, {found / max(limits['cached'].values()):.0%}"
    return ""


def names_in(records: Sequence[Record]) -> dict[str, str]:
    """Return the contestants that took part, with their versions."""
    return {r["contestant"]: r["version"] for r in records if "contestant" in r}


def speed_section(threads: str, records: Sequence[Record]) -> str:
    """Return the table of one number of threads, the limits and who is left out."""
    limits = next(r["limits"] for r in records if "limits" in r)
    title = f"## {of_threads(threads)}"
    rates = {
        r["work"]: rate(r, r["medians"]["symtensor"], limits)
        for r in records
        if "symtensor" in r.get("medians", ())
    }
    lines = speed_table(records, {"rate, of the limit": rates})
    return "\n\n".join([title, lines, limits_text(limits), *left_out(records)])


def of_threads(threads: str) -> str:
    return f"{threads} thread{'' if threads == '1' else 's'}"


def speed_table(records: Sequence[Record], more: Mapping[str, Mapping[str, str]]) -> str:
    """Return times and ratios, a row per workload; `more` is columns, each a text per workload."""
    peers = [name for name in names_in(records) if name != "symtensor"]
    rows = []
    for record in records:
        if "symtensor" not in record.get("medians", ()):
            continue
        medians, work = record["medians"], record["work"]
        mine = medians["symtensor"]
        ratios = {name: mine / medians[name] for name in peers if name in medians}
        worst = max(ratios.values(), default=float("nan"))
        cells = [f"{ratios[name]:.2f}" if name in ratios else "" for name in peers]
        rest = [column.get(work, "") for column in more.values()]
        rows.append([work, duration(mine), f"**{worst:.2f}**", *cells, *rest])
    return table(["work", "symtensor", "to the best peer", *peers, *more], rows)


def keras_section(runs: Mapping[str, Sequence[Record]]) -> str:
    """Return the tables of epochs, one per number of threads."""
    versions = names_in(next(iter(runs.values())))
    parts = [
        "## Keras: an epoch of training",
        "`fit` of the same model from the same weights, in batches of 64, without shuffling, each in a "
        "process of its own, in turns; the losses of the first epoch agree. Keras on "
        f"{', '.join(f'{name} is {version}' for name, version in versions.items())}.",
    ]
    for threads, records in runs.items():
        parts += [f"### {of_threads(threads)}", speed_table(records, {}), *left_out(records)]
    return "\n\n".join(parts)


def limits_text(limits: Record) -> str:
    def speeds(found: Mapping[str, float]) -> str:
        return ", ".join(f"{name} {value / 1e9:.0f}" for name, value in found.items())

    return (
        f"Limits measured in the same process: {limits['operations'] / 1e9:.0f} GFLOP/s "
        f"(multiply-adds in registers); GB/s with vectors of 4M numbers: {speeds(limits['cached'])};"
        f" of 64M: {speeds(limits['large'])}. Fractions of GB/s are of the fastest with 4M."
    )


def left_out(records: Sequence[Record]) -> list[str]:
    lines = [f"- {r['work']}: {r['skipped']} ({r['why']})" for r in records if "skipped" in r]
    return ["Left out:", "\n".join(lines)] if lines else []


def first_section(columns: Mapping[str, Sequence[Record]], threads: str) -> str:
    """Return the tables of compile times and memory, a column per contestant."""
    seconds: dict[str, dict[str, str]] = {}
    memory: dict[str, dict[str, str]] = {}
    for name, records in columns.items():
        for r in records:
            if "seconds" in r:
                seconds.setdefault(r["work"], {}).setdefault(name, duration(r["seconds"]))
            if "peak" in r:
                text = f"{r['grown'] / 2**20:.0f} of {r['peak'] / 2**20:.0f}"
                memory.setdefault(r["work"], {})[name] = text
    return "\n\n".join(
        [
            "## From definition to first result",
            f"Each in a new process of {threads} threads with empty caches, after `2x + 1`, whose time "
            "includes starting the compiler. Cached: again with what symtensor kept on disk. PyTorch "
            "without torch.compile compiles nothing: its time is that of a first step.",
            table(["work", *columns], grid(seconds, columns)),
            "## Peak memory, MiB",
            "What definition, compilation and 21 calls added, of the peak of the process.",
            table(["work", *columns], grid(memory, columns)),
        ]
    )


def grid(cells: Mapping[str, Mapping[str, str]], columns: Mapping[str, Any]) -> list[list[str]]:
    return [[work, *(row.get(name, "") for name in columns)] for work, row in cells.items()]


def import_section(seconds: Mapping[str, float]) -> str:
    rows = [[name, duration(found)] for name, found in seconds.items()]
    return "## Import\n\n" + table(["module", "median time in a new process"], rows)


def heading(versions: Mapping[str, str], processor: str) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        "# Benchmarks\n\n"
        "Made by `make bench`: ratios of medians, symtensor to peer, so below 1 symtensor is faster; "
        "a column per peer, the ratio to the fastest of them in bold. Contestants take turns in one "
        "process per number of threads, after their results, gradients included, have been checked "
        "against NumPy in float64.\n\n"
        f"{datetime.date.today().isoformat()}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {processor}, {os.cpu_count()} processors. "
        f"{libraries}."
    )
