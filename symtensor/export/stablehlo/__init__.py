"""Graphs as StableHLO text, the input language of XLA and of other MLIR compilers.

In: a tensor, graph or function, and shapes for its inputs (StableHLO programs are for fixed sizes).
Out: a module with one function ``main``: arguments are the inputs, then the variables in order of first
use; results are the outputs, then the next values of updated variables. Elementwise ops are written
in the scalar vocabulary, views without a name of their own as gathers by their index maps; special functions
are ops of the companion dialect CHLO. An index out of range is clamped (gather) or ignored
(scatter), as StableHLO has it, where symtensor raises. Uncovered ops are named in one `LoweringError`.
"""

from __future__ import annotations

from typing import Any

from symtensor.export.stablehlo.lowering import covers, lower_module
from symtensor.export.static import graph_with_inputs, refuse_uncovered, with_sizes


def to_stablehlo(value: Any, *inputs: Any) -> str:
    """Return StableHLO text of a tensor, graph or function (its optimized graph).

    `inputs` are shapes, or arrays, by position, as for `Function.memory`; needed where sizes are
    symbolic. Raises `ShapeError` for sizes left open, `LoweringError` for ops without a form.
    """
    graph = with_sizes(graph_with_inputs(value), inputs)
    refuse_uncovered(graph, covers, "StableHLO")
    return lower_module(graph)
