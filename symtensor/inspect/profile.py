"""Where the time of a call goes: by kernel, by your lines, by forward and backward.

In: a function and arguments. Out: a `Profile`. The llvm engine runs a second program, the same but for a
clock that its driver reads between the steps, natively (`symtensor.codegen.ticks`): stepping through the
kernels from Python would add microseconds to each and could not look into loops. The function itself, its
program and its entry are not touched, and variables keep their values. What a kernel takes is the median
over some calls, held against the machine's measured limits (`symtensor.inspect.limits`).
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.engines.records import Kernel, MemoryPlan, label
from symtensor.errors import SymtensorError
from symtensor.inspect.files import write_text
from symtensor.inspect.limits import Limits, machine_limits
from symtensor.ir import dims as D
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph, toposort
from symtensor.ir.node import Node
from symtensor.ops.attributes import as_int
from symtensor.ops.cost import node_cost

Array = np.ndarray[Any, Any]

BEATEN = 1.02
"""Times the limit, from which on it can't have been one."""


@dataclass(frozen=True, slots=True)
class KernelTime:
    """What one kernel takes in a call, all its runs together."""

    kernel: Kernel
    seconds: float
    runs: int
    flops: int | None
    """Operations of all runs, None where they depend on data."""
    bytes: int | None
    floor: float = 0.0
    """Seconds that the machine's limits allow at best."""
    bound: str = ""
    """Which limit that is: ``compute`` or ``memory``."""

    @property
    def flops_per_second(self) -> float:
        """Operations per second; 0 where they are not known."""
        return (self.flops or 0) / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes per second; 0 where they are not known."""
        return (self.bytes or 0) / self.seconds if self.seconds else 0.0

    @property
    def of_limit(self) -> float:
        """How near it comes to the limit: 1 is as fast as this machine can."""
        return self.floor / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class LineTime:
    """What the kernels spend on one of your lines."""

    line: str
    source: str
    seconds: float
    by_phase: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """Temporaries alive from a step on."""

    step: float
    seconds: float
    """When the step begins, by the times of the kernels before it."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Profile:
    """The time of a call, taken apart."""

    name: str
    engine: str
    repeat: int
    kernels: tuple[KernelTime, ...]
    call: float
    """Seconds of a call of the function's own program, without a clock inside."""
    passes: tuple[tuple[str, float], ...]
    """Seconds of each pass when the function was made, then those of the engine and of its parts."""
    limits: Limits
    lines: tuple[LineTime, ...]
    """By time, the longest first."""
    memory: tuple[MemoryPoint, ...]
    """Temporaries alive, wherever that changes; empty where the engine does not plan its memory."""

    @property
    def seconds(self) -> float:
        """What all kernels take together."""
        return sum(row.seconds for row in self.kernels)

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of ``forward``, ``backward``, ``tangent`` and ``update``, those there are."""
        found: dict[str, float] = {}
        for line in self.lines:
            for phase, seconds in line.by_phase.items():
                found[phase] = found.get(phase, 0.0) + seconds
        return found

    def text(self) -> str:
        """Return it as tables."""
        from symtensor.inspect.profile_text import profile_text

        return profile_text(self)

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """Return it as numbers and strings, for JSON."""
        return {
            "name": self.name,
            "engine": self.engine,
            "repeat": self.repeat,
            "call": self.call,
            "kernels": [_kernel_dict(row) for row in self.kernels],
            "lines": [
                {"line": x.line, "seconds": x.seconds, "phases": dict(x.by_phase)}
                for x in self.lines
            ],
            "phases": self.phases,
            "passes": dict(self.passes),
            "memory": [[p.step, p.seconds, p.bytes] for p in self.memory],
            "limits": {
                "threads": self.limits.threads,
                "flops": self.limits.flops,
                "bandwidth": [list(point) for point in self.limits.bandwidth],
            },
        }

    def plot(self, path: Any) -> None:
        """Write it as a picture (SVG): time of each kernel, and memory over time."""
        from symtensor.inspect.profile_text import profile_svg

        write_text(path, profile_svg(self))


def _kernel_dict(row: KernelTime) -> dict[str, Any]:
    with D.named(row.kernel.naming):
        outputs = list(map(label, row.kernel.outputs))
    return {
        "name": row.kernel.name,
        "kind": row.kernel.kind,
        "outputs": outputs,
        "lines": list(map(str, row.kernel.lines)),
        "seconds": row.seconds,
        "runs": row.runs,
        "flops": row.flops,
        "bytes": row.bytes,
        "flops_per_second": row.flops_per_second,
        "bytes_per_second": row.bytes_per_second,
        "of_limit": row.of_limit,
        "bound": row.bound,
    }


def profile_function(function: Any, arrays: Sequence[Array], repeat: int) -> Profile:
    """Return the profile of a function on converted arguments."""
    repeat = as_int(repeat, "repeat", 1)
    executable = function.executable
    state = [store.array for store in function._stores]
    sizes = function.sizes(*arrays)
    timed = getattr(executable, "profiled", None)
    kernels: tuple[Kernel, ...]
    if timed is None:
        kernels = (_whole(function.optimized),)
        found = [{"call": (s, 1)} for s in _call_times(executable, arrays, state, repeat)]
    else:
        kernels = function.kernels
        found = _kernel_times(timed(), arrays, state, repeat)
    rows, limits = _against_limits(kernels, found, sizes, _threads(function.engine.name))
    parts = getattr(executable, "compile_times", {})
    return Profile(
        function.name,
        function.engine.name,
        repeat,
        rows,
        statistics.median(_call_times(executable, arrays, state, repeat)),
        (
            *((stage.name, stage.seconds) for stage in function.passes),
            (f"engine {function.engine.name}", function.compile_seconds),
            *((f"  {part}", seconds) for part, seconds in parts.items()),
        ),
        limits,
        lines_of_time(function.optimized, rows, sizes),
        _memory(getattr(executable, "memory_plan", None), sizes, rows),
    )


def _against_limits(
    kernels: Sequence[Kernel],
    found: Sequence[dict[str, tuple[float, int]]],
    sizes: Mapping[Symbol, int],
    threads: int,
) -> tuple[tuple[KernelTime, ...], Limits]:
    """Return the times of kernels beside what the machine allows.

    A kernel that beats the limits shows that they were measured too low: they are measured again.
    """
    for again in (False, True):
        both = {n: machine_limits(n, again) for n in (1, threads)}
        rows = tuple(
            _row(
                k,
                [f[k.name] for f in found if k.name in f],
                sizes,
                both[threads if k.shared else 1],
            )
            for k in kernels
        )
        if all(row.of_limit < BEATEN for row in rows):
            break
    return rows, both[threads]


def _threads(engine: str) -> int:
    from symtensor.codegen.target import threads_wanted

    return threads_wanted() if engine == "llvm" else 1


def _whole(graph: Graph) -> Kernel:
    """Return a record of a whole graph, for engines that do not tell their kernels."""
    nodes, cost = graph.nodes(), [node_cost(node) for node in graph.nodes()]
    flops, moved = D.total(c.flops for c in cost), D.total(c.bytes for c in cost)
    return Kernel("call", "call", tuple(nodes), graph.roots, graph.inputs, "", flops, moved, 0)


def _call_times(
    executable: Callable[..., Any], arrays: Sequence[Array], state: Sequence[Array], repeat: int
) -> list[float]:
    executable(arrays, state)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        executable(arrays, state)
        times.append(time.perf_counter() - start)
    return times


def _kernel_times(
    timed: Any, arrays: Sequence[Array], state: Sequence[Array], repeat: int
) -> list[dict[str, tuple[float, int]]]:
    timed(arrays, state)
    found = []
    for _ in range(repeat):
        timed(arrays, state)
        found.append(timed.times())
    return found


def _row(
    kernel: Kernel,
    times: Sequence[tuple[float, int]],
    sizes: Mapping[Symbol, int],
    limits: Limits,
) -> KernelTime:
    seconds = statistics.median([t for t, _ in times]) if times else 0.0
    runs = times[-1][1] if times else 0
    try:
        cost = kernel.cost.at(sizes)
    except SymtensorError:  # a size that only the data decide
        return KernelTime(kernel, seconds, runs, None, None)
    flops, moved = int(cost.flops), int(cost.bytes)
    floor, bound = limits.floor(flops // max(runs, 1), moved // max(runs, 1), _itemsize(kernel))
    return KernelTime(kernel, seconds, runs, flops, moved, floor * runs, bound)


def _itemsize(kernel: Kernel) -> int:
    sizes = [n.tensor_type.dtype.itemsize for n in kernel.nodes
             if not isinstance(n.type, tuple) and n.tensor_type.dtype.is_floating]  # fmt: skip
    return max(sizes, default=4)


def _memory(
    plan: Callable[[], MemoryPlan] | None, sizes: Mapping[Symbol, int], rows: Sequence[KernelTime]
) -> tuple[MemoryPoint, ...]:
    if plan is None:
        return ()
    try:
        found = plan().timeline(sizes)
    except SymtensorError:  # a size that only the data decide
        return ()
    taken: dict[int, float] = {}
    for row in rows:
        step = int(
            row.kernel.name.partition(".")[0].lstrip("k")
        )  # of the loop, for its inner steps
        taken[step] = taken.get(step, 0.0) + row.seconds
    begins = [0.0, *itertools.accumulate(taken[step] for step in sorted(taken))]
    points = []
    for time_, alive in found:
        step = int(time_)
        seconds = begins[step] + (time_ - step) * taken.get(step, 0.0)
        points.append(MemoryPoint(time_, seconds, alive))
    return tuple(points)


# --- lines and phases ----------------------------------------------------------------------------


def phases_of(graph: Graph) -> dict[Node, str]:
    """Return what each node is part of: ``forward``; ``backward`` or ``tangent``, made by
    differentiating; or ``update``, which is made of gradients and only updates need."""
    found: dict[Node, str] = {}
    marked = {node for node in graph.nodes() if node.loc is not None and node.loc.origin}
    needed = set(toposort([*graph.outputs, *marked]))
    derived: set[Node] = set(marked)
    for node in graph.nodes():
        derived |= {node} if any(x in derived for x in node.inputs) else set()
        if node in marked and node.loc is not None:
            found[node] = {"gradient": "backward"}.get(node.loc.origin, node.loc.origin)
        else:
            found[node] = "update" if node in derived and node not in needed else "forward"
        for name in node.op.bodies:
            found |= phases_of(node.attrs[name])
    return found


def lines_of_time(
    graph: Graph, rows: Sequence[KernelTime], sizes: Mapping[Symbol, int]
) -> tuple[LineTime, ...]:
    """Return the time of kernels by the user's lines.

    A kernel of several lines is shared out by the operations and elements of its nodes.
    """
    phases = phases_of(graph)
    found: dict[str, dict[str, float]] = {}
    sources: dict[str, str] = {}
    for row in rows:
        weights = {node: _weight(node, sizes) for node in row.kernel.nodes}
        total = sum(weights.values())
        for node, weight in weights.items():
            share = weight / total if total else 1 / len(weights)
            line = str(node.loc) if node.loc is not None else "?"
            sources[line] = node.loc.source if node.loc is not None else ""
            by_phase = found.setdefault(line, {})
            phase = phases.get(node, "forward")
            by_phase[phase] = by_phase.get(phase, 0.0) + row.seconds * share
    lines = [LineTime(x, sources[x], sum(p.values()), p) for x, p in found.items()]
    return tuple(sorted(lines, key=lambda x: -x.seconds))


def _weight(node: Node, sizes: Mapping[Symbol, int]) -> int:
    try:
        cost = node_cost(node).at(sizes)
        return int(cost.flops) + int(cost.bytes) // 8
    except SymtensorError:
        return 0
