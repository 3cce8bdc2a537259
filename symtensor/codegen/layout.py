"""Layouts: sizes, guards and places of buffers, worked out once per combination of shapes.

In: a program and the shapes of its arguments. Out: a `Layout`, which any number of calls share. Sizes
that only a call-out determines stay open in it, and so do the buffers that they decide about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symtensor.codegen.checks import Checks, Extremum, Guard, Indexing, Sizes, Slice
from symtensor.codegen.memory import Lifetime, aligned, assign_offsets
from symtensor.codegen.program import Program
from symtensor.codegen.slots import Slot
from symtensor.errors import AttributeValueError, IndexOutOfRange, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.node import Node
from symtensor.ir.types import refuse_negative_sizes
from symtensor.ops.indexing import nothing_to_index
from symtensor.ops.interpret import Array, evaluate_node, located
from symtensor.ops.scan_primitive import SCAN, check_steps
from symtensor.ops.slicing import check_node

Shapes = tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class Layout:
    """What the shapes of the arguments determine."""

    env: dict[Symbol, int]
    sizes: Array
    """One int64 per dim expression of the program; -1 where a call-out must determine it first."""
    shapes: list[tuple[int, ...] | None]
    """Shape of each slot, None where a call-out must determine it first."""
    offsets: list[int | None]
    """Offset of each temporary in the arena."""
    arena: int
    """Bytes of the arena."""
    scratch: int
    """Offset of the scratch of matrix products, behind the temporaries."""
    bytes: int
    """Bytes of all buffers: how much a call works through."""
    complete: bool
    """True when no size depends on a call-out."""
    table: Array
    """What the table of pointers holds as far as it is the same in all calls: places in the arena count
    from its start, and `in_arena` are the entries that do."""
    in_arena: Array
    own: list[Slot]
    """Slots of memory that each call brings: arguments, and results of known shape."""
    late: list[Slot]
    """Slots whose shape a call-out must determine, and which it does not make itself."""


def make_layout(
    program: Program, shapes: Shapes, env: Mapping[Symbol, int] | None, words: Sequence[int]
) -> Layout:
    """Return the layout for arguments of these shapes; raises `ShapeError` where they do not fit."""
    sizes = dict(env or {})
    arguments = [*program.graph.inputs, *program.graph.variables()]
    types = [node.tensor_type for node in arguments]
    names = [node.name or f"input {i}" for i, node in enumerate(arguments)]
    bind_shapes(types, shapes, names, sizes)
    check_guards(program, sizes)
    values = [size_or_unknown(dim, sizes) for dim in program.sizes]
    found = [shape_or_none(slot, sizes) for slot in program.slots]
    offsets, temporaries = _offsets(program.slots, found)
    scratch = aligned(temporaries)
    complete = -1 not in values and None not in found
    table, in_arena = _table(program, offsets, scratch, words)
    return Layout(
        env=sizes,
        sizes=np.array(values, dtype=np.int64),
        shapes=found,
        offsets=offsets,
        arena=scratch + program.scratch_bytes,
        scratch=scratch,
        bytes=sum(map(slot_bytes, program.slots, found)) if complete else 0,
        complete=complete,
        table=table,
        in_arena=in_arena,
        own=[
            slot for slot in program.slots if slot.kind == "input"
            or (slot.kind == "output" and found[slot.index] is not None)
        ],
        late=[
            slot for slot in program.slots
            if found[slot.index] is None and slot.kind not in ("input", "call", "pointer")
        ],
    )  # fmt: skip


def _offsets(
    slots: Sequence[Slot], shapes: Sequence[tuple[int, ...] | None]
) -> tuple[list[int | None], int]:
    """Return the place of each slot in the arena, and the bytes of all; None for other slots."""
    placed = [
        slot
        for slot, shape in zip(slots, shapes, strict=True)
        if slot.kind in ("temporary", "kept") and shape is not None
    ]
    lifetimes = [
        Lifetime(slot_bytes(slot, shapes[slot.index]), slot.first, slot.last) for slot in placed
    ]
    places, size = assign_offsets(lifetimes)
    offsets: list[int | None] = [None] * len(slots)
    for slot, place in zip(placed, places, strict=True):
        offsets[slot.index] = place
    return offsets, size


def _table(
    program: Program, offsets: Sequence[int | None], scratch: int, words: Sequence[int]
) -> tuple[Array, Array]:
    """Return what is known of the table before a call, and which entries move with the arena."""
    count = len(program.slots)
    table = np.zeros(count + 1 + len(words), np.uintp)
    for slot in program.slots:
        if slot.kind == "constant":
            table[slot.index] = slot.node.attrs["value"].array.ctypes.data
        elif (offset := offsets[slot.index]) is not None:
            table[slot.index] = offset
    table[count] = scratch
    table[count + 1 :] = words
    moving = [i for i, offset in enumerate(offsets) if offset is not None]
    return table, np.array([*moving, count], np.intp)


def check_guards(program: Program, env: Mapping[Symbol, int]) -> None:
    """Raise for sizes that must agree and do not, and for slices that leave their operand."""
    for checks in program.checks:
        if size_or_unknown(checks.rounds, env) != 0:
            _check(checks, env)


def size_or_unknown(dim: Dim, env: Mapping[Symbol, int]) -> int:
    """Return the value of a dim, -1 where a size in it is not known yet."""
    value = D.substitute(dim, env)
    return value if isinstance(value, int) else -1


def _check(checks: Checks, env: Mapping[Symbol, int]) -> None:
    for check in checks.checks:
        match check:
            case Sizes(node):
                _check_sizes(node, env)
            case Guard():
                _check_guard(check, env)
            case Extremum():
                _check_extremum(check, env)
            case Indexing():
                _check_indexing(check, env)
            case Slice(node):
                _check_slice(node, env)


def _check_guard(guard: Guard, env: Mapping[Symbol, int]) -> None:
    left, right = size_or_unknown(guard.left, env), size_or_unknown(guard.right, env)
    if left != right and -1 not in (left, right):
        text = f"expected {guard.right} = {right}, found {guard.left} = {left}"
        raise _refusal_of(guard.node, env, ShapeError(text, code="ST0104"))


def _check_extremum(extremum: Extremum, env: Mapping[Symbol, int]) -> None:
    if size_or_unknown(extremum.reduced, env) == 0:
        nothing = ShapeError("no extremum of nothing", code="ST0109")
        raise _refusal_of(extremum.node, env, nothing)


def _check_indexing(indexing: Indexing, env: Mapping[Symbol, int]) -> None:
    for axis, size in indexing.axes:
        if size_or_unknown(size, env) == 0 and size_or_unknown(indexing.count, env) > 0:
            raise located(nothing_to_index(axis), indexing.node, [])


def _check_sizes(node: Node, env: Mapping[Symbol, int]) -> None:
    try:
        if node.op is SCAN and isinstance(steps := D.substitute(node.attrs["steps"], env), int):
            check_steps(steps)
        refuse_negative_sizes(node.type, env)
    except (AttributeValueError, ShapeError) as error:
        raise located(error, node, []) from None


def _refusal_of(node: Node, env: Mapping[Symbol, int], otherwise: ShapeError) -> Exception:
    """Return what the reference says of operands of these shapes; `otherwise` where it can't."""
    shapes = [[size_or_unknown(d, env) for d in x.tensor_type.shape] for x in node.inputs]
    if all(n >= 0 for shape in shapes for n in shape):
        kinds = [x.tensor_type.dtype.numpy for x in node.inputs]
        zeros = [np.broadcast_to(np.zeros((), k), s) for k, s in zip(kinds, shapes, strict=True)]
        try:
            evaluate_node(node, zeros, dict(env))
        except ShapeError as error:
            return error
    return located(otherwise, node, [])


def _check_slice(node: Node, env: Mapping[Symbol, int]) -> None:
    try:
        check_node(node, env)
    except (IndexOutOfRange, ShapeError) as error:
        raise located(error, node, []) from None


def shape_or_none(slot: Slot, env: Mapping[Symbol, int]) -> tuple[int, ...] | None:
    """Return the shape of a slot, None where a size in it is not known yet."""
    sizes = [D.substitute(d, env) for d in slot.type.shape]
    # a loop that runs no round is not checked: its sizes may come out negative
    shape = tuple(max(n, 0) for n in sizes if isinstance(n, int))
    return shape if len(shape) == len(sizes) else None


def slot_bytes(slot: Slot, shape: tuple[int, ...] | None) -> int:
    """Return the bytes of a slot of this shape."""
    assert shape is not None
    size = slot.type.dtype.itemsize
    for n in shape:
        size *= n
    return size
