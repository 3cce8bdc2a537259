"""Uses of a node by kernels: at which positions, within which loops.

A use is the position of a read in terms of loop indices and the loops around it, outermost first. From
the uses of a consumer follow those of its operands; from the uses of a node follow whether computing
it there would compute elements again.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from symtensor.codegen import stage
from symtensor.codegen.domains import (
    Loops,
    axis_position_or_zero,
    is_whole_axis,
    named_positions,
    operand_domains,
    own_position,
    viewed_positions,
)
from symtensor.codegen.kernel import Affine, Axis, axis_position
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType


class Use(NamedTuple):
    """Where a kernel reads a node."""

    positions: tuple[Affine, ...]
    loops: tuple[Axis, ...]
    """The loops around it, outermost first."""
    kernel: tuple[Axis, ...]
    """All loops of the kernel, those too that a fold it stands in is the same in, but no folds."""

    @property
    def axes(self) -> list[Axis]:
        """The loops that the positions vary with."""
        return [axis for at in self.positions for axis, _ in at.terms]

    @property
    def is_plain(self) -> bool:
        """True when no position has an offset, or more than one loop."""
        return all(len(at.terms) <= 1 and D.same(at.offset, 0) for at in self.positions)

    @property
    def is_prefix(self) -> bool:
        """True when it varies exactly with the outermost loops."""
        axes = self.axes
        return len(set(axes)) == len(axes) and set(axes) == set(self.loops[: len(axes)])

    @property
    def repeats(self) -> bool:
        """True when some loop outside the innermost varying one leaves it unchanged."""
        axes = set(self.axes)
        varying = [i for i, axis in enumerate(self.loops) if axis in axes]
        return bool(varying) and len(varying) <= varying[-1]

    def is_row_of(self, here: Use) -> bool:
        """Return True for a fold along the last axes of what a kernel computes `here`, whole ones."""
        pairs = [pair for pair in zip(self.positions, here.positions, strict=True) if pair[1].terms]
        rest = list(itertools.dropwhile(lambda pair: pair[0] == pair[1], pairs))
        alike = self.kernel == here.kernel and 0 < len(rest) < len(pairs)
        return alike and all(_is_folded_whole(at, there, self.kernel) for at, there in rest)

    def covers(self, node: Node) -> bool:
        """Return True when the outermost loops go over all elements of `node`."""
        shape = node.tensor_type.shape
        return self.is_prefix and all(map(is_whole_axis, self.positions, shape))

    def names_too_often(self, node: Node) -> bool:
        """Return True when indices may name elements of `node` more often than it has elements."""
        axes, loops = set(self.axes), set(self.loops)
        if axes <= loops or axes >= loops:
            return False  # nothing is named, or each round of the loops has an element of its own
        spare = node.tensor_type.size - D.product(axis.extent for axis in self.loops)
        bound = D.lower_bound(spare)
        return bound is None or bound < 0


def _is_folded_whole(at: Affine, there: Affine, kernel: tuple[Axis, ...]) -> bool:
    """Return True for a position that counts a fold's loop, as long as the kernel's that counts `there`."""
    if len(at.terms) != 1 or len(there.terms) != 1:
        return False
    ((axis, factor),), ((own, step),) = at.terms, there.terms
    counts = D.same(factor, step) and D.same(at.offset, there.offset)
    return counts and axis not in kernel and D.same(axis.extent, own.extent)


def own_use(type_: TensorType, loops: Loops) -> Use:
    """Return where a kernel that stores a node of this type computes it."""
    axes, positions = loops(type_)
    return Use(tuple(positions), tuple(axes), tuple(axes))


def operand_uses(user: Node, operand: Node, use: Use, loops: Loops) -> list[Use]:
    """Return where `user`, used there, reads its operand, as which it may serve several times."""
    viewed = viewed_positions(user, use.positions)
    if viewed is not None:
        return [use._replace(positions=tuple(viewed))]
    if stage.has_own_kernel(user):
        domains = operand_domains(user, operand, loops)
        return [Use(tuple(at), tuple(axes), tuple(axes)) for axes, at in domains]
    if stage.is_gather(user):
        return _gather_uses(user, operand, use)
    return [_reduction_use(user, use) if stage.is_reduction(user) else use]


def _reduction_use(user: Node, use: Use) -> Use:
    shape = user.inputs[0].tensor_type.shape
    reduced = {axis: Axis("r", shape[axis]) for axis in user.attrs["axes"]}
    outer = iter(use.positions)
    inner = tuple(
        axis_position_or_zero(reduced[a]) if a in reduced else next(outer)
        for a in range(len(shape))
    )
    varying = set(use.axes)
    kept = tuple(axis for axis in use.loops if axis in varying)
    own = tuple(a for a in reduced.values() if not D.same(a.extent, 1))
    return use._replace(positions=inner, loops=kept + own)


def _gather_uses(user: Node, operand: Node, use: Use) -> list[Use]:
    source, *indices = user.inputs
    found: list[Use] = []
    if operand is source:
        shape = source.tensor_type.shape
        named = [
            _position_named_by(index, use, shape[axis])
            for index, axis in zip(indices, user.attrs["axes"], strict=True)
        ]
        found.append(use._replace(positions=named_positions(user, use.positions, named)))
    if operand in indices:
        found.append(use._replace(positions=use.positions[: operand.tensor_type.ndim]))
    return found


def _position_named_by(index: Node, use: Use, size: Dim) -> Affine:
    """Return a loop counter where the index is one, else an axis of its own."""
    own = own_position(index, use.positions[: index.tensor_type.ndim], size)
    return axis_position(Axis("named", size)) if own is None else own
