"""What `explain` says of an executable: what is native, checked, moved, kept and compiled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from symtensor.engines.jax.trace import called_out
from symtensor.ir.dims import symbol_dim
from symtensor.ir.node import Node

if TYPE_CHECKING:
    from symtensor.engines.jax.execute import JaxExecutable


def explain(executable: JaxExecutable) -> str:
    """Return programs by sizes, call-outs, doubts, donations and transfers as text."""
    lines = [f"{len(executable.stages)} XLA program(s) for each combination of sizes"]
    for stage in executable.stages:
        lines += [f"call-out to NumPy: {_name(node)}" for node in called_out(stage.nodes)]
        for node in stage.late:
            why = (
                "call-out to NumPy"
                if executable.calls_out_between(node)
                else "on the host, for its size"
            )
            lines.append(f"{why}: {_name(node)}")
    lines += _doubts(executable)
    if executable.donated:
        names = ", ".join(node.name or "variable" for node in executable.donated)
        lines.append(f"updated in place: {names}")
    lines += executable.placement.describe(executable.arguments)
    lines += _cache(executable)
    lines.append(str(executable.transfers))
    return "\n".join(lines)


def _name(node: Node) -> str:
    return f"{node.op.name} {node.type} ({node.loc})"


def _doubts(executable: JaxExecutable) -> list[str]:
    programs = list(executable.programs.values())
    found = Counter(n for program in programs for n in set(program.doubted))
    return [f"checked by each call: {_name(node)}" for node in found]


def _cache(executable: JaxExecutable) -> list[str]:
    """Say what was compiled for which sizes, and how often it ran."""
    total = sum(program.seconds for program in list(executable.programs.values()))
    lines = [f"compiled {executable.compile_count} time(s), {total:.2f} s"]
    for (number, sizes), program in list(executable.programs.items()):
        which = f"program {number}, " if len(executable.stages) > 1 else ""
        named = [f"{symbol_dim(s)} = {n}" for s, n in zip(program.symbols, sizes, strict=True)]
        where = ", ".join(named) or "the sizes of the types"
        lines.append(f"  {which}{where}: {program.seconds:.2f} s, called {program.calls} time(s)")
    return lines
