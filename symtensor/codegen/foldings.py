"""Groups of nothing but folds, and what they fold: each of the rows of something, its columns, or all of it.

In: a group of roots and what its kernel computes. Out: what it folds, and why no sweep over rows
(`symtensor.codegen.row_sweeps`) could do that, if none could.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from symtensor.codegen import stage
from symtensor.codegen.domains import without_ones
from symtensor.ir import dims as D
from symtensor.ir.dims import Shape
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType

MOST = 131_072
"""Columns that fold at most: their accumulators are to stay in a core's own caches."""
NEAR = 8192
"""Columns whose accumulators stay in the nearest cache, about."""
LARGE = 1 << 22
"""Elements from which on reading them once more takes longer than accumulators that are further away."""
ROWS = 32
"""Rows whose columns are worth folding, at least."""
COMBINERS = frozenset({"sum", "prod", "max", "min", "any", "all"})
"""What folds over columns may be: others need to know where an element stands."""


class Folding(NamedTuple):
    """What a group of folds goes over."""

    whole: TensorType
    axes: tuple[int, ...]
    """The axes that it folds: the first ones, the last, or all."""
    inner: Shape = ()
    """The extents of what it folds along rows first, where each element of the whole comes of a row."""

    @property
    def of(self) -> str:
        """What each result is a fold of: ``rows``, ``columns`` or ``all``."""
        if self.axes[0] > 0:
            return "rows"
        return "all" if len(self.axes) == self.whole.ndim else "columns"

    @property
    def rows(self) -> Shape:
        """The extents of the first axes: those that are folded, or those that are not."""
        return self.whole.shape[: self.axes[0] if self.of == "rows" else len(self.axes)]

    @property
    def columns(self) -> Shape:
        """The extents of the last axes."""
        return self.whole.shape[len(self.rows) :]

    @property
    def depth(self) -> int:
        """How many loops go over the first axes."""
        return len(without_ones(self.rows))

    def is_of(self, fold: Node) -> bool:
        """Return True for a fold along the same axes of the same shape."""
        same = D.same_shape(fold.inputs[0].tensor_type.shape, self.whole.shape)
        return same and tuple(fold.attrs["axes"]) == self.axes


def folding_of(group: Sequence[Node], inside: Collection[Node]) -> Folding | None:
    """Return what a group of folds goes over, of whose kernel `inside` is; None for other groups."""
    folds = stage.outer_folds(group, inside.__contains__)
    if not folds or any(map(stage.has_own_kernel, inside)):
        return None
    found = Folding(folds[0].inputs[0].tensor_type, tuple(folds[0].attrs["axes"]))
    shapes = [x.tensor_type.shape for x in group]
    if not all(map(found.is_of, folds)):
        return None
    if found.of == "rows":
        is_last = found.axes == tuple(range(found.axes[0], found.whole.ndim))
        alike = all(D.same_shape(shape, found.rows) for shape in shapes)
        return found if is_last and alike and found.depth else None
    columns = without_ones(found.columns)
    is_first = found.axes == tuple(range(len(found.axes)))
    alike = all(without_ones(shape) == columns for shape in shapes)
    needed = stage.outer_folds([x for fold in folds for x in fold.inputs], inside.__contains__)
    inner = [x for x in inside if stage.is_reduction(x) and (x not in folds or x in needed)]
    if inner and found.of == "all":
        found = found._replace(inner=inner[0].inputs[0].tensor_type.shape)
    return found if is_first and alike and _are_of_rows(inner, found) else None


def _are_of_rows(folds: Sequence[Node], folding: Folding) -> bool:
    """Return True for folds, each of a row, that give what others fold."""
    for fold in folds:
        shape, axes = fold.inputs[0].tensor_type.shape, tuple(fold.attrs["axes"])
        rows = without_ones(shape[: axes[0]])
        is_last = axes == tuple(range(axes[0], len(shape)))
        of_rows = is_last and rows == without_ones(folding.whole.shape)
        if not (of_rows and D.same_shape(shape, folding.inner)):
            return False
    return True


def why_alone(folding: Folding, inside: Collection[Node]) -> str:
    """Return why no sweep over rows is worth it, or knows how to, or ""."""
    if folding.of == "rows":
        return ""
    folds = [x for x in inside if stage.is_reduction(x) and folding.is_of(x)]
    if not all(x.op.family.combiner in COMBINERS for x in folds):
        return "it must know where an element stands"
    rows, count = D.product(folding.rows), D.product(folding.columns)
    if isinstance(rows, int) and rows < ROWS:
        return f"it is over fewer than {ROWS} rows"
    if folding.of == "columns" and not (isinstance(count, int) and 1 < count <= MOST):
        return f"its columns are more than {MOST:,}, or may be"
    if folding.of == "columns" and count > NEAR and isinstance(rows, int) and rows * count < LARGE:
        return f"its columns are more than {NEAR:,}, and its rows few"
    return ""
