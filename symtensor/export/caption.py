"""What pictures of graphs say of a node: a title, a line below it, and a class that decides its colour."""

from __future__ import annotations

from symtensor.ir.node import RESULT, Node, format_type
from symtensor.ops.families import (
    Assembly,
    Contraction,
    Elementwise,
    Gather,
    Index,
    Reduction,
    Running,
    Scatter,
    View,
)
from symtensor.passes.rewrite import scalar_value

CLASSES = {
    Elementwise: "elementwise", Reduction: "reduction", Running: "reduction", View: "view",
    Index: "constant", Gather: "indexing", Scatter: "indexing", Assembly: "indexing",
    Contraction: "contraction",
}  # fmt: skip
"""Family of ops -> class."""
LEAVES = {"placeholder": "input", "parameter": "input", "variable": "variable",
          "constant": "constant", "dim_value": "constant"}  # fmt: skip


def node_class(node: Node) -> str:
    """Return input, variable, constant, elementwise, reduction, view, indexing, contraction, control
    or other."""
    if node.op.name in LEAVES:
        return LEAVES[node.op.name]
    if node.op is RESULT:
        return "view"
    if node.op.bodies:
        return "control"
    return CLASSES.get(type(node.op.family), "other")


def title(node: Node) -> str:
    """Return what stands in a node's box: the name of a leaf, else its op; a constant shows its number."""
    if node.op.name == "constant":
        value = scalar_value(node)
        return "constant" if value is None else f"{value:.6g}" if value is not True else "True"
    if node.op.name in LEAVES and node.name:
        return node.name
    return f"{node.op.name} {node.name}" if node.name else node.op.name


def parameter_role(control: Node, index: int) -> str:
    """Return what a loop or branch feeds to the index-th parameter of its body."""
    states = control.attrs.get("carries", control.attrs.get("count", 0))
    rows = control.attrs.get("sequences", 0)
    if index < states:
        return f"state {index}"
    if index < states + rows:
        return f"row {index - states}"
    return f"captured {index - states - rows}"


def subtitle(node: Node) -> str:
    """Return the type, and of a contraction its labels."""
    spec = f"  {node.attrs['spec']}" if isinstance(node.op.family, Contraction) else ""
    return format_type(node.type) + spec
