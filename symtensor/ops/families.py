"""Op families: how a compiler may lower an op without knowing its name.

An op record names its family; an op of no family is opaque and runs by its `evaluate` rule.

    Elementwise   out[i] = scalar(in0[i], in1[i], ...)
    Reduction     out[outer] = combine over the reduced axes
    Running       out[i] = combine of in[0..i] along one axis
    View          out[i] = in[index_map(i)], no data moves
    Index         out[i] = i
    Gather        out[i, r] = in[index(i), r], at index tensors over some axes
    Scatter       out = in, but out[index(i), r] = or += values[i, r], in order
    Assembly      out[where(i)] = operand[i] or one number, piece by piece
    Draw          out = the words of a random state
    Contraction   out = sum over shared labels of left * right, e.g. "ij,jk->ik"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from symtensor.ir.dims import Dim, Shape

ScalarRule = Callable[..., Any]
"""``(s, *values, **attrs) -> value`` in the vocabulary of `symtensor.ops.scalars`."""


class AxisMap(NamedTuple):
    """Position on one input axis: ``offset + sum(coefficient * out_index[axis])``."""

    offset: Dim
    terms: tuple[tuple[int, Dim], ...]
    """``(output axis, coefficient)`` pairs."""


IndexMap = tuple[AxisMap, ...]
"""One `AxisMap` per input axis."""


def composed(outer: IndexMap, inner: IndexMap) -> IndexMap:
    """Return where `outer` leads from where `inner` leads."""
    found = []
    for at in outer:
        offset, steps = at.offset, dict[int, Dim]()
        for through, factor in at.terms:
            offset = offset + factor * inner[through].offset
            for axis, step in inner[through].terms:
                steps[axis] = steps.get(axis, 0) + factor * step
        found.append(AxisMap(offset, tuple(steps.items())))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Elementwise:
    """All operands and the result have one shape."""

    scalar: ScalarRule


@dataclass(frozen=True, slots=True)
class Reduction:
    """Attribute ``axes`` lists the reduced axes, which disappear from the result."""

    combiner: str
    """One of sum, prod, max, min, any, all, argmax, argmin."""


@dataclass(frozen=True, slots=True)
class Running:
    """Attribute ``axis`` is walked in order, from its end when ``reverse``; each step is a result."""

    combiner: str
    """One of sum, prod."""


@dataclass(frozen=True, slots=True)
class View:
    """A re-reading of one operand."""

    index_map: Callable[..., IndexMap | None]
    """``(input type, output type, **attrs)`` -> map, or None where no affine map exists."""


@dataclass(frozen=True, slots=True)
class Index:
    """A vector that holds its own positions 0, 1, 2, …"""


@dataclass(frozen=True, slots=True)
class Gather:
    """Operands: a tensor, then index tensors of one shape over its attribute ``axes``.

    The axes of the index tensors come first in the result. An index counts from the end when negative
    and is refused (`IndexOutOfRange`) when it leaves its axis, read or not.
    """


@dataclass(frozen=True, slots=True)
class Scatter:
    """Operands: a base, values, then index tensors as of `Gather`; attributes ``axes`` and ``mode``.

    The result is the base with the values set or added where a gather would read, in C order.
    """


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an assembly: an operand, or one number over `shape`."""

    operand: int | None
    """Position among the operands; None: every element is `fill`."""
    shape: Shape
    places: IndexMap
    """Where its elements go: an `AxisMap` per axis of the result."""
    fill: float | int | bool = 0


@dataclass(frozen=True, slots=True)
class Assembly:
    """The result is written piece by piece; a later piece replaces what earlier ones wrote."""

    pieces: Callable[..., tuple[Piece, ...]]
    """``(operand types, output type, **attrs)`` -> pieces that together write all of the result."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Uniform 64-bit words, in C order, of the generator of `symtensor.ops.random` in a state u64[4]."""


@dataclass(frozen=True, slots=True)
class Contraction:
    """Attribute ``spec`` holds the labels of left, right and result."""
