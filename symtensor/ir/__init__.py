"""The intermediate representation: typed, interned tensor graphs. Knows no concrete op."""

from symtensor.ir.dims import Dim, DimExpr, Shape, Symbol
from symtensor.ir.dtypes import DType, as_dtype, promote
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.literal import Literal
from symtensor.ir.node import RESULT, Node, Op, make_node, results
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import NodeType, TensorType
from symtensor.source import Location

__all__ = [
    "RESULT", "DType", "Dim", "DimExpr", "Graph", "Literal", "Location", "Node", "NodeType", "Op",
    "Shape", "Symbol", "Tensor", "TensorType", "as_dtype", "make_node", "promote", "replace_nodes",
    "results", "toposort",
]  # fmt: skip
