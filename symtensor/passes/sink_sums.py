"""What is added to the rows of a product is added in the loop that reads them, where they are at hand.

    Before: %2 = add (contract sequence, W), (broadcast_to b)    scan over %2 { f(row) }
    After:  %1 = contract sequence, W                            scan over %1, b { f(row + b) }

So the rows go through memory once less. The sums are the same to the last bit.
"""

from __future__ import annotations

from collections import Counter

from symtensor.ir import dims as D
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops.elementwise import add
from symtensor.ops.families import Contraction
from symtensor.ops.movement import broadcast_to, reshape
from symtensor.passes.loop_form import LoopForm, Read, Results, rewrite_loops


def sink_sums(graph: Graph, fired: Counter[str]) -> Graph:
    """Let loops add to rows of products what is the same for all of them."""
    rows = _read_by_rows(graph)

    def change(loop: LoopForm) -> Results | None:
        given = loop.node.inputs[len(loop.carries) :]
        own = {x.parameter for x, outer in zip(loop.rows, given, strict=False) if outer in rows}
        sunk = sum(_sink(loop, row) for row in list(loop.rows) if row.parameter in own)
        if not sunk:
            return None
        fired["into a loop"] += sunk
        return loop.build()[0]

    return rewrite_loops(graph, change)


def _read_by_rows(graph: Graph) -> set[Node]:
    """Return what only loops read, row by row."""
    found, otherwise = set[Node](), set(graph.roots)
    for node in graph.nodes():
        first = last = 0
        if node.op.name == "scan":
            first = node.attrs["carries"]
            last = first + node.attrs["sequences"]
        found |= set(node.inputs[first:last])
        otherwise |= {*node.inputs[:first], *node.inputs[last:]}
    return found - otherwise


def _sink(loop: LoopForm, row: Read) -> bool:
    """Read the rows of a product in place of a sum, and add to them; True when that was done."""
    if row.outer.op.name != "add":
        return False
    for product, other in (row.outer.inputs, reversed(row.outer.inputs)):
        offset = _same_for_all_rows(other)
        if isinstance(product.op.family, Contraction) and offset is not None:
            loop.rows[loop.rows.index(row)] = new = Read(product, loop.new_parameter(row.parameter))
            loop.captured.append(Read(offset, loop.new_parameter(offset)))
            shape = row.parameter.tensor_type.shape
            added = broadcast_to(Tensor(loop.captured[-1].parameter), shape)
            loop.replace({row.parameter: add(Tensor(new.parameter), added).node})
            return True
    return False


def _same_for_all_rows(node: Node) -> Node | None:
    """Return what a tensor repeats along its first axis, without that axis, else None."""
    if node.op.name != "broadcast_to":
        return None
    (x,) = node.inputs
    if x.tensor_type.ndim < node.tensor_type.ndim:
        return x
    first, *rest = x.tensor_type.shape
    return reshape(Tensor(x), tuple(rest)).node if D.same(first, 1) else None
