"""Operands that every round of a loop multiplies by: packed once, before the loop.

A matrix product copies its right operand into panels as it goes (`symtensor.codegen.gemm`). In a loop
that captures the operand each round would copy the same numbers: instead the panels are made before
the loop, and the products in it read them as they are. Results are the same to the last bit, but for
those of a single row, which are summed in another order without panels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from symtensor.codegen import contraction
from symtensor.codegen.contraction import Label, Plan
from symtensor.codegen.lanes import memory_type
from symtensor.codegen.microkernels import PACK
from symtensor.codegen.text import FunctionText
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType
from symtensor.ir.node import Node

WORTH_PACKING = 4
"""Rounds of a loop from which it pays."""


@dataclass(frozen=True, slots=True)
class Packing:
    """An operand as a matrix of `depth` x `columns`; equal ones share their panels."""

    operand: Node
    """The body's parameter for it."""
    offset: Dim
    """Its first element."""
    columns: Dim
    depth: Dim
    column_stride: Dim
    depth_stride: Dim

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return self.operand.tensor_type.dtype

    def size(self, width: int) -> Dim:
        """Return how many elements the panels of `width` columns have: all are whole."""
        return D.ceildiv(self.columns, width) * width * self.depth


def packings(loop: Node, products: Iterable[Node]) -> dict[Node, Packing]:
    """Return those of the products in the body of a scan that read panels, with what they are of."""
    steps, body = loop.attrs["steps"], loop.attrs["body"]
    if isinstance(steps, int) and steps < WORTH_PACKING:
        return {}
    captured = set(body.inputs[loop.attrs["carries"] + loop.attrs["sequences"] :])
    found = {}
    for product in products:
        plan, (_, right) = contraction.plan(product)
        if right in captured and _is_one_product(plan):
            across, down = plan.columns.strides[1], plan.inner.strides[1]
            sizes = plan.columns.size, plan.inner.size
            found[product] = Packing(right, plan.offsets[1], *sizes, across, down)
    return found


def _is_one_product(plan: Plan) -> bool:
    """Return True for a single product of several rows, of which the result is stored by rows."""
    if plan.loops or not D.same(plan.rounds.size, 1) or D.same(plan.rows.size, 1):
        return False
    return D.same(plan.columns.strides[2], 1)


def over_panels(plan: Plan, width: int) -> Plan:
    """Return the plan of the same product over panels of its right operand."""

    def changed(values: tuple[Dim, Dim, Dim, Dim], right: Dim) -> tuple[Dim, Dim, Dim, Dim]:
        left, _, result, addend = values
        return left, right, result, addend

    return replace(
        plan,
        offsets=changed(plan.offsets, 0),
        inner=Label(plan.inner.size, changed(plan.inner.strides, width)),
        columns=Label(plan.columns.size, changed(plan.columns.strides, 1)),
        packed=True,
    )


def declaration(dtype: DType) -> str:
    """Return the declaration of the packing of a dtype."""
    return f"declare void @{_entry(dtype)}(ptr, ptr, i64, i64, i64, i64)"


def _entry(dtype: DType) -> str:
    return PACK.format(contraction.arithmetic(dtype).name)


def emit_packing(packing: Packing, name: str) -> tuple[str, tuple[Dim, ...]]:
    """Return a function ``i32 @name(ptr operand, ptr panels, sizes...)``, and its sizes."""
    dims = (packing.offset, packing.columns, packing.depth, packing.depth_stride,
            packing.column_stride)  # fmt: skip
    sizes = {dim: f"s{i}" for i, dim in enumerate(d for d in dims if not isinstance(d, int))}
    parameters = [("ptr", "operand"), ("ptr", "panels"), *(("i64", x) for x in sizes.values())]
    f = FunctionText(name, parameters, "i32", linkage="")
    offset, *numbers = (d if isinstance(d, int) else f"%{sizes[d]}" for d in dims)
    first = f.at(memory_type(packing.dtype), "%operand", offset)
    arguments = ", ".join(f"i64 {x}" for x in numbers)
    f.do(f"call void @{_entry(packing.dtype)}(ptr {first}, ptr %panels, {arguments})")
    f.do("ret i32 0")
    return f.text(), tuple(sizes)
