"""Einstein's sum: its notation, and the order in which more than two operands are contracted."""

from __future__ import annotations

from collections import Counter

import numpy as np

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import unify_dims
from symtensor.ops import movement
from symtensor.ops.build import TensorLike
from symtensor.ops.contraction import (
    LABELS,
    as_operands,
    contract_labelled,
    diagonal,
    drop_repeated,
    sum_unshared,
)

_TYPICAL_SIZE = 64
"""What an unknown size counts as when the order of contractions is chosen."""

_NO_LIMIT = 1 << 62
"""Memory limit of the path search: with one, it would contract more than two at once."""


def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """Return Einstein's sum, with NumPy's notation (implicit result, ``...``, repeated labels).

    Several operands are contracted pairwise, in the order that `numpy.einsum_path` finds; sizes
    that are not known yet count as equal.
    """
    if not isinstance(subscripts, str) or not operands:
        raise AttributeValueError(
            "einsum: expected subscripts like 'ij,jk->ik', then operands", code="ST0303"
        )
    xs = as_operands(operands)
    terms, out = _parse_einsum(subscripts, xs)
    diagonals = [_take_diagonals(x, labels) for x, labels in zip(xs, terms, strict=True)]
    xs, terms = drop_repeated(*zip(*diagonals, strict=True), labels=LABELS)  # type: ignore[misc]
    pairs = list(zip(xs, terms, strict=True))
    while len(pairs) > 1:
        i, j = _next_pair(pairs, out)
        (a, left), (b, right) = pairs[i], pairs[j]
        rest = [pair for k, pair in enumerate(pairs) if k not in (i, j)]
        needed = set(out).union(*(labels for _, labels in rest))
        kept = "".join(label for label in dict.fromkeys(left + right) if label in needed)
        kept = kept if rest else out
        pairs = [*rest, (contract_labelled("einsum", a, b, left, right, kept), kept)]
    x, labels = sum_unshared(*pairs[0], needed=out)
    return movement.transpose(x, [labels.index(label) for label in out])


def _parse_einsum(subscripts: str, xs: list[Tensor]) -> tuple[list[str], str]:
    """Return one label per axis for each operand and for the result."""
    text = subscripts.replace(" ", "")
    inputs, arrow, out = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(xs):
        raise AttributeValueError(
            f"einsum: {len(terms)} terms in {subscripts!r}, {len(xs)} operands", code="ST0303"
        )
    for term in (*terms, out):
        if not set(term.replace("...", "", 1)) <= set(LABELS):
            raise AttributeValueError(
                f"einsum: {term!r} in {subscripts!r} is not a list of labels", code="ST0303"
            )
    terms, dots = _expand_dots(terms, xs)
    if not arrow:
        counts = Counter("".join(terms))
        out = "..." + "".join(sorted(x for x, n in counts.items() if n == 1 and x not in dots))
    elif dots and "..." not in out:
        raise AttributeValueError(
            f"einsum: the result of {subscripts!r} lacks the ellipsis", code="ST0303"
        )
    out = out.replace("...", dots)
    if not set(out) <= set("".join(terms)) or len(set(out)) != len(out):
        raise AttributeValueError(
            f"einsum: a label of the result of {subscripts!r} is repeated or in no term",
            code="ST0303",
        )
    return terms, out


def _expand_dots(terms: list[str], xs: list[Tensor]) -> tuple[list[str], str]:
    """Return the terms with labels for ``...``, aligned on the right, and these labels."""
    counts = []
    for term, x in zip(terms, xs, strict=True):
        counts.append(x.ndim - len(term.replace("...", "")))
        if counts[-1] < 0 or (counts[-1] and "..." not in term):
            raise ShapeError(f"einsum: the labels {term!r} do not fit {x.type}", code="ST0106")
    unused = [label for label in LABELS if label not in "".join(terms)]
    dots = "".join(unused[: max(counts)])
    expanded = [
        term.replace("...", dots[len(dots) - count :])
        for term, count in zip(terms, counts, strict=True)
    ]
    return expanded, dots


def _take_diagonals(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """Return `x` with each repeated label reduced to its diagonal."""
    while len(set(labels)) < len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        size = unify_dims(x.shape[first], x.shape[second])
        if size is None:
            raise ShapeError(
                f"einsum: the axes {label!r} of {x.type} differ in size", code="ST0102"
            )
        shape = [size if axis in (first, second) else None for axis in range(x.ndim)]
        x = diagonal(movement.specify_shape(x, shape), 0, first, second)
        labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return x, labels


def _next_pair(pairs: list[tuple[Tensor, str]], out: str) -> tuple[int, int]:
    """Return which two operands to contract next, by NumPy's path search."""
    if len(pairs) == 2:
        return 0, 1
    sizes: dict[str, int] = {}
    for x, labels in pairs:
        for label, size in zip(labels, x.shape, strict=True):
            if isinstance(size, int):
                sizes[label] = size
    shapes = [tuple(sizes.get(label, _TYPICAL_SIZE) for label in labels) for _, labels in pairs]
    text = ",".join(labels for _, labels in pairs) + "->" + out
    search = "optimal" if len(pairs) <= 5 else "greedy"  # optimal looks at every order
    path, _ = np.einsum_path(
        text, *(np.broadcast_to(0.0, shape) for shape in shapes), optimize=(search, _NO_LIMIT)
    )
    first, second, *_ = sorted(path[1])
    return first, second
