"""Graphs as ONNX models, for Netron, ONNX Runtime and everything else that reads them.

In: a tensor, graph or function. Out: an ``onnx.ModelProto``. Inputs are the function's inputs, with symbolic
sizes as named dimensions; variables are initializers with their present values; outputs are the
outputs, then the next values of updated variables. Elementwise ops are written in the scalar
vocabulary, sizes are computed from the shapes of the inputs, scans and branches become ``Scan``, ``Loop`` and
``If``. What the graph checks at run time (``specify_shape``) is not checked. Needs the package onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symtensor.errors import SymtensorError
from symtensor.export.static import graph_with_inputs, refuse_uncovered

if TYPE_CHECKING:
    import onnx


def to_onnx(value: Any, *, custom_ops: bool = False) -> onnx.ModelProto:
    """Return a tensor, graph or function (its optimized graph) as an ONNX model.

    Ops without a form are a `LoweringError` that names them. With `custom_ops` they become ops of the
    domain ``symtensor``: such a model can be looked at, not run. Write the model with
    ``onnx.save(model, "model.onnx")``.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise SymtensorError(
            "to_onnx needs the package onnx", help="pip install 'symtensor[onnx]'"
        ) from None
    from symtensor.export.onnx.lowering import covers, lower_model

    graph = graph_with_inputs(value)
    if not custom_ops:
        refuse_uncovered(graph, covers, "ONNX")
    return lower_model(graph)
