"""What a loop tree does: floating-point operations, elements read and written, as formulas in sizes.

In: a kernel of `symtensor.codegen.kernel`. Out: `Traffic`. An access counts the distinct places it goes
to, so what loops stay on the spot of is touched once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symtensor.codegen.kernel import (
    Affine,
    Buffer,
    Kernel,
    Let,
    Loop,
    Reduce,
    Stmt,
    Store,
    Update,
    Value,
    variation,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.node import Node
from symtensor.ops.cost import fold_flops, rule_flops


@dataclass(slots=True)
class Traffic:
    """What a loop tree does."""

    flops: Dim
    read: dict[Buffer, Dim]
    """Elements that loads touch."""
    written: dict[Buffer, Dim]


def traffic_of(kernel: Kernel) -> Traffic:
    """Return the operations of a kernel and the elements that it touches."""
    found = Traffic(0, {}, {})
    _walk(kernel.body, 1, found)
    return found


def _walk(body: Sequence[Stmt], rounds: Dim, found: Traffic) -> None:
    """Add what statements do that run `rounds` times. What is reloaded was written just before: it
    comes out of the nearest cache and is no traffic."""
    for stmt in body:
        if isinstance(stmt, Let):
            _let(stmt.value, rounds, found)
        elif isinstance(stmt, Store):
            _touch(found.written, stmt.buffer, stmt.at, rounds)
        elif isinstance(stmt, Update):
            flops = fold_flops(stmt.result.data.combiner, stmt.result.args[0].dtype)
            found.flops = found.flops + rounds * flops
        elif isinstance(stmt, Loop):
            _walk(stmt.body, rounds * stmt.axis.extent, found)
        elif isinstance(stmt, Reduce):
            _walk(stmt.body, rounds, found)


def _let(value: Value, rounds: Dim, found: Traffic) -> None:
    if value.kind == "load":
        buffer, at = value.data
        _touch(found.read, buffer, at, rounds)
    elif value.kind == "apply":
        dtypes = [x.dtype for x in value.args]
        flops = rule_flops(value.data.scalar, dtypes, value.data.attrs)
        found.flops = found.flops + rounds * flops


def _touch(elements: dict[Buffer, Dim], buffer: Buffer, at: Affine, rounds: Dim) -> None:
    """Add the places an access goes to: a round each, or fewer where some loops stay on the spot."""
    if D.same(rounds, 0):
        return
    named, axes = variation(at)
    count = rounds if named else D.product(axis.extent for axis in axes)
    elements[buffer] = elements.get(buffer, 0) + count


def bytes_touched(elements: Mapping[Buffer, Dim], stored: Mapping[Buffer, Node]) -> Dim:
    """Return bytes touched, of each buffer at most all."""
    total: Dim = 0
    for buffer, count in elements.items():
        size = stored[buffer].tensor_type.size
        total = total + D.minimum(count, size) * buffer.dtype.itemsize
    return total


def has_lanes(body: Sequence[Stmt]) -> bool:
    """Return True where some loop takes several elements at a time."""
    return any(
        (isinstance(stmt, Loop) and stmt.vector)
        or (isinstance(stmt, (Loop, Reduce)) and has_lanes(stmt.body))
        for stmt in body
    )
