"""What engines tell about a compiled graph: its kernels, its memory, and why it is as it is.

Records are plain data: nodes of the optimized graph, texts, and costs as dims in the sizes of the
arguments. Their text names sizes by `naming`, which `Function` sets to what its graph's text calls
them. Executables make them when asked (`symtensor.engines.base.Executable`), never during calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Naming, Symbol
from symtensor.ir.location import Location
from symtensor.ir.node import Node, format_type
from symtensor.ops.cost import Cost


def lines_of(nodes: Iterable[Node]) -> tuple[Location, ...]:
    """Return the user's lines that nodes come from, each once, in order."""
    found = {str(node.loc): node.loc for node in nodes if node.loc is not None}
    return tuple(found.values())


def label(node: Node) -> str:
    """Return what a remark calls a node: op, name and type."""
    return f"{node.op.name}{' ' + node.name if node.name else ''} {format_type(node.type)}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One step of an executable."""

    name: str
    """``k0``, ``k1``, … in the order in which they run; those inside the loop ``k3`` are ``k3.0``, …"""
    kind: str
    """``kernel`` (fused loops), ``product`` (matrix products), ``draw`` (random words), ``loop`` (a
    native loop around other steps) or ``call-out`` (the op's NumPy rule)."""
    nodes: tuple[Node, ...]
    """What it computes, producers first; a node may be computed in several kernels."""
    outputs: tuple[Node, ...]
    """Those of its nodes that it stores."""
    reads: tuple[Node, ...]
    """Stored nodes that it reads."""
    text: str
    """Its loops."""
    flops: Dim
    """Floating-point operations of one run, as `symtensor.ops.cost` counts them."""
    bytes_read: Dim
    """Distinct bytes that one run reads; of windows that overlap, at most the whole buffer."""
    bytes_written: Dim
    runs: Dim = 1
    """How often it runs in one call."""
    function: str = ""
    """Its LLVM function; steps that do the same on other buffers share one."""
    lanes: int = 1
    """Elements that its innermost loops take at a time."""
    shared: bool = False
    """True when threads may share it."""
    naming: Naming | None = field(default=None, repr=False, compare=False)

    @property
    def lines(self) -> tuple[Location, ...]:
        """The user's lines that it computes."""
        return lines_of(self.nodes)

    @property
    def cost(self) -> Cost:
        """Operations and bytes of all its runs in one call."""
        return Cost(self.flops, self.bytes_read + self.bytes_written).times(self.runs)

    def __str__(self) -> str:
        with D.named(self.naming):
            return self._text()

    def _text(self) -> str:
        made = ", ".join(map(label, self.outputs))
        runs = "" if D.same(self.runs, 1) else f" x {self.runs}"
        how = f"to NumPy for {self.nodes[0].op.name}" if self.kind == "call-out" else self.function
        head = f"{self.name}{runs}: {self.kind} {how}"
        lines = ", ".join(map(str, self.lines))
        return f"{head} computes {made}; {self.cost}{f' ({lines})' if lines else ''}"


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that holds one node."""

    name: str
    kind: str
    """``input``, ``variable``, ``constant``, ``output``, ``temporary`` (in the arena, sharing it with
    others), ``kept`` (the same, for the time of a loop) or ``call-out`` (an array that NumPy makes)."""
    node: Node
    bytes: Dim
    first: float
    """Step that writes it; steps inside a loop are fractions of the loop's."""
    last: float
    """Last step that reads it."""
    naming: Naming | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        with D.named(self.naming):
            return self._text()

    def _text(self) -> str:
        return f"{self.name}: {self.kind} {label(self.node)}, steps {self.first:g} to {self.last:g}"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """All buffers of a call and how long they live."""

    buffers: tuple[Buffer, ...]
    steps: int
    """Steps of a call; buffers live from one to another, both included."""
    scratch: int
    """Bytes into which matrix products pack their operands."""
    naming: Naming | None = field(default=None, repr=False, compare=False)

    @property
    def temporaries(self) -> Dim:
        """The most bytes of temporaries alive at one time, as a formula in the sizes."""
        return _most_alive([b for b in self.buffers if b.kind in ("temporary", "kept")])

    @property
    def peak(self) -> Dim:
        """Bytes of a call as a formula: everything that is not temporary, the most temporaries alive
        at one time, and scratch. What a call takes (`Function.memory`) is this and the gaps that
        alignment and unequal sizes leave in the arena."""
        total: Dim = self.scratch
        for buffer in self.buffers:
            if buffer.kind not in ("temporary", "kept"):
                total = total + buffer.bytes
        return total + self.temporaries

    def timeline(self, sizes: Mapping[Symbol, int]) -> list[tuple[float, int]]:
        """Return (step, bytes of temporaries alive) wherever it changes."""
        rows = [
            (b.first, b.last, D.evaluate(b.bytes, sizes))
            for b in self.buffers
            if b.kind in ("temporary", "kept")
        ]
        times = sorted({first for first, _, _ in rows})
        return [(t, sum(size for first, last, size in rows if first <= t <= last)) for t in times]

    def __str__(self) -> str:
        with D.named(self.naming):
            return "\n".join([*(b._text() for b in self.buffers), f"peak {self.peak} bytes"])


def _most_alive(buffers: Sequence[Buffer]) -> Dim:
    """Return the maximum over time of the bytes alive."""
    changes: dict[tuple[float, bool], Dim] = {}
    for b in buffers:
        for key, size in (((b.first, False), b.bytes), ((b.last, True), -b.bytes)):
            changes[key] = changes.get(key, 0) + size  # at one time, ends come after beginnings
    sums: dict[Dim, None] = {}
    alive: Dim = 0
    for key in sorted(changes):
        alive = alive + changes[key]
        sums[alive] = None
    most: list[Dim] = []
    for total in sums:
        if not any(D.provably_nonnegative(other - total) for other in most):
            most = [m for m in most if not D.provably_nonnegative(total - m)] + [total]
    out: Dim = 0
    for total in most:
        out = D.maximum(out, total)
    return out


@dataclass(frozen=True, slots=True)
class Remark:
    """One decision of the compiler, and why."""

    kind: str
    """``rewritten`` and ``stabilized`` (a rule fired), ``fused``, ``not fused`` (a fold, with a kernel that
    reads the same, because), ``read through`` (a view that moves nothing), ``stored`` (not fused with what
    reads it, because), ``vectorized``, ``scalar`` (no lanes, because), ``packed``, ``in place``, ``threads``,
    ``one thread``, ``loop``, ``call-out``."""
    node: Node
    """What it is about."""
    why: str
    """What was done, or the reason."""
    into: tuple[Node, ...] = ()
    """The other ends of the edge: what a fused node is part of, what a rewritten one became."""
    where: str = ""
    """The pass or kernel that decided."""
    naming: Naming | None = field(default=None, repr=False, compare=False)

    @property
    def line(self) -> Location | None:
        """The user's line."""
        return self.node.loc

    def to_dict(self) -> dict[str, Any]:
        """Return it as strings, for JSON."""
        with D.named(self.naming):
            return {
                "kind": self.kind,
                "node": label(self.node),
                "why": self.why,
                "into": [label(node) for node in self.into],
                "where": self.where,
                "line": str(self.line or ""),
            }

    def __str__(self) -> str:
        with D.named(self.naming):
            return self._text()

    def _text(self) -> str:
        line = f" ({self.line})" if self.line is not None else ""
        into = f" into {', '.join(map(label, self.into))}" if self.into else ""
        why = f": {self.why}" if self.why else ""
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.kind} {label(self.node)}{line}{into}{why}"
