"""Op families: how a compiler may lower an op without knowing its name.

An op record names its family; an op of no family is opaque and runs by its `evaluate` rule.

    Elementwise   out[i] = scalar(in0[i], in1[i], ...)
    Reduction     out[outer] = combine over the reduced axes
    View          out[i] = in[index_map(i)], no data moves
    Index         out[i] = i
    Gather        out[i, r] = in[index(i), r], at index tensors over some axes
    Contraction   out = sum over shared labels of left * right, e.g. "ij,jk->ik"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from symtensor.ir.dims import Dim

ScalarRule = Callable[..., Any]
"""``(s, *values, **attrs) -> value`` in the vocabulary of `symtensor.ops.scalars`."""


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Position on one input axis: ``offset + sum(coefficient * out_index[axis])``."""

    offset: Dim
    terms: tuple[tuple[int, Dim], ...]
    """``(output axis, coefficient)`` pairs."""


IndexMap = tuple[AxisMap, ...]
"""One `AxisMap` per input axis."""


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
class Contraction:
    """Attribute ``spec`` holds the labels of left, right and result."""
