"""The cost of a function as a table: operations and bytes moved, of each kernel and in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symtensor.engines.records import Kernel, label
from symtensor.errors import SymbolicValueError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Naming, Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.printer import label_graph
from symtensor.ops.cost import FREE, Cost, format_count, node_cost


@dataclass(frozen=True, slots=True)
class CostRow:
    """One kernel, or one node where an engine does not tell its kernels."""

    name: str
    title: str
    cost: Cost
    kernel: Kernel | None = None


@dataclass(frozen=True, slots=True)
class CostTable:
    """Operations and bytes moved in one call; ints, or dims where sizes were not given."""

    rows: tuple[CostRow, ...]
    naming: Naming | None = field(default=None, repr=False, compare=False)
    """Names of sizes in its text."""

    @property
    def total(self) -> Cost:
        """The sum of all rows."""
        return sum((row.cost for row in self.rows), Cost())

    @property
    def flops(self) -> Dim:
        """Floating-point operations in all, as `symtensor.ops.cost` counts them."""
        return self.total.flops

    @property
    def bytes(self) -> Dim:
        """Bytes that all kernels read and write, each by itself."""
        return self.total.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return it as numbers and strings, for JSON."""

        def plain(name: str, title: str, cost: Cost) -> dict[str, Any]:
            flops, moved = (x if isinstance(x, int) else str(x) for x in (cost.flops, cost.bytes))
            return {"name": name, "what": title, "flops": flops, "bytes": moved}

        with D.named(self.naming):
            rows = [plain(row.name, row.title, row.cost) for row in self.rows]
            return {"rows": rows, "total": plain("total", "", self.total)}

    def __str__(self) -> str:
        with D.named(self.naming):
            return self._text()

    def _text(self) -> str:
        table = [("", "FLOP", "bytes", "")]
        for row in (*self.rows, CostRow("total", "", self.total)):
            counts = format_count(row.cost.flops), format_count(row.cost.bytes)
            table.append((row.name, *counts, row.title))
        widths = [max(len(line[i]) for line in table) for i in range(3)]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip()
            for a, b, c, d in table
        )


def cost_table(
    graph: Graph, kernels: Sequence[Kernel] | None, sizes: Mapping[Symbol, int] | None
) -> CostTable:
    """Return the costs of kernels, or of all nodes of the graph; numbers where sizes are given."""
    naming = label_graph(graph).symbol
    with D.named(naming):
        return CostTable(_rows(graph, kernels, sizes), naming)


def _rows(
    graph: Graph, kernels: Sequence[Kernel] | None, sizes: Mapping[Symbol, int] | None
) -> tuple[CostRow, ...]:
    if kernels is not None:
        rows = [CostRow(k.name, _title(k), k.cost, k) for k in kernels]
    else:
        nodes = [node for node in graph.nodes() if node.op.name not in FREE]
        rows = [CostRow(f"n{i}", label(n), node_cost(n)) for i, n in enumerate(nodes)]
    if sizes is not None:
        rows = [
            CostRow(row.name, row.title, _evaluated(row.cost, sizes), row.kernel) for row in rows
        ]
    return tuple(rows)


def _evaluated(cost: Cost, sizes: Mapping[Symbol, int]) -> Cost:
    missing = (D.symbols_in(cost.flops) | D.symbols_in(cost.bytes)) - set(sizes)
    if missing:
        names = ", ".join(sorted(symbol.name for symbol in missing))
        raise SymbolicValueError(f"the size {names} depends on data: only a call can tell the cost")
    return cost.at(sizes)


def _title(kernel: Kernel) -> str:
    return f"{kernel.kind} -> {', '.join(map(label, kernel.outputs))}"
