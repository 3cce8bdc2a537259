"""Sums of products: one record, `contract`, for dot, matmul, tensordot and einsum.

``contract(left, right, spec="ij,jk->ik")``: each label stands at most once per operand. A label of
both operands is summed when the result lacks it, and is a batch label otherwise; a label of one
operand only must be in the result. Gradients permute the spec, so every derivative is a contraction
again. Sums of half and bfloat16 run in float32.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, DTypeError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops import movement, reduction
from symtensor.ops.build import (
    TensorLike,
    apply,
    as_tensor,
    cast_to,
    is_weak,
    normalize_axis,
    weak_promote,
)
from symtensor.ops.elementwise import multiply
from symtensor.ops.families import AxisMap, Contraction, IndexMap, View
from symtensor.ops.registry import define

LABELS = string.ascii_letters

# --- the record ----------------------------------------------------------------------------------


def split_spec(spec: str) -> tuple[str, str, str]:
    """Return the labels of left, right and result."""
    operands, _, out = spec.partition("->")
    left, _, right = operands.partition(",")
    return left, right, out


def _infer_contract(left: TensorType, right: TensorType, *, spec: str) -> TensorType:
    a, b, out = split_spec(spec)
    if left.dtype is not right.dtype:
        raise DTypeError(f"expected equal dtypes, found {left.dtype} and {right.dtype}")
    if len(a) != left.ndim or len(b) != right.ndim:
        raise ShapeError(f"spec {spec} does not fit {left} and {right}")
    if any(count > 1 for labels in (a, b, out) for count in Counter(labels).values()):
        raise AttributeValueError(f"a label stands twice in one operand of {spec}")
    if (set(a) ^ set(b)) - set(out) or not set(out) <= set(a) | set(b):
        raise AttributeValueError(f"a label of one operand is missing from the result of {spec}")
    sizes: dict[str, Dim] = dict(zip(a, left.shape, strict=True))
    for label, size in zip(b, right.shape, strict=True):
        if not D.same(sizes.setdefault(label, size), size):
            raise ShapeError(f"inner sizes differ: {sizes[label]} and {size} ({spec})")
    return TensorType(left.dtype, tuple(sizes[label] for label in out))


def _evaluate_contract(xp: Any, left: Any, right: Any, *, spec: str) -> Any:
    """Bring both operands to (batch, rows, columns) and use the matrix product."""
    a, b, out = split_spec(spec)
    batch = [x for x in out if x in a and x in b]
    rows = [x for x in out if x in a and x not in b]
    columns = [x for x in out if x in b and x not in a]
    inner = [x for x in a if x in b and x not in out]
    size = dict(zip(a, left.shape, strict=True)) | dict(zip(b, right.shape, strict=True))

    def matrix(array: Any, labels: str, groups: Sequence[Sequence[str]]) -> Any:
        order = [labels.index(x) for group in groups for x in group]
        shape = [size[x] for x in groups[0]]
        shape += [int(np.prod([size[x] for x in group], dtype=int)) for group in groups[1:]]
        return xp.reshape(xp.transpose(array, order), shape)

    dtype = left.dtype
    narrow = dtype.itemsize == 2 and dtype.kind not in "iu"
    first, second = matrix(left, a, (batch, rows, inner)), matrix(right, b, (batch, inner, columns))
    if narrow:
        first, second = first.astype(xp.float32), second.astype(xp.float32)
    product = xp.matmul(first, second)
    labels = [*batch, *rows, *columns]
    shaped = xp.reshape(product, [size[x] for x in labels])
    return xp.transpose(shaped, [labels.index(x) for x in out]).astype(dtype)


def _vjp_contract(
    g: Tensor, y: Tensor, left: Tensor, right: Tensor, *, spec: str
) -> tuple[Tensor, Tensor]:
    a, b, out = split_spec(spec)
    return (
        apply(CONTRACT, g, right, spec=f"{out},{b}->{a}"),
        apply(CONTRACT, left, g, spec=f"{a},{out}->{b}"),
    )


CONTRACT = define(
    "contract",
    infer=_infer_contract,
    evaluate=_evaluate_contract,
    vjp=_vjp_contract,
    family=Contraction(),
    doc="Sum of products over the labels that the result lacks.",
)


def _diagonal_map(source: TensorType, out: TensorType, *, offset: int) -> IndexMap:
    last = out.ndim - 1
    kept = tuple(AxisMap(0, ((axis, 1),)) for axis in range(last))
    row, column = max(-offset, 0), max(offset, 0)
    return (*kept, AxisMap(row, ((last, 1),)), AxisMap(column, ((last, 1),)))


def _infer_diagonal(x: TensorType, *, offset: int) -> TensorType:
    n, m = x.shape[-2:]
    length = D.maximum(D.minimum(n - max(-offset, 0), m - max(offset, 0)), 0)
    return x.with_shape((*x.shape[:-2], length))


def _vjp_diagonal(g: Tensor, y: Tensor, x: Tensor, *, offset: int) -> tuple[Tensor]:
    from symtensor.ops import creation, logic

    n, m = x.shape[-2:]
    start = max(-offset, 0)
    lead = g.ndim - 1
    rows = movement.place(g, (*g.shape[:-1], n), (0,) * lead + (start,), (1,) * g.ndim)
    on = creation.eye(n, m, offset, dtype=bool)
    return (logic.where(on, movement.expand_dims(rows, -1), 0),)


DIAGONAL = define(
    "diagonal",
    infer=_infer_diagonal,
    evaluate=lambda xp, x, *, offset: xp.diagonal(x, offset, -2, -1),
    vjp=_vjp_diagonal,
    linear=(0,),
    family=View(_diagonal_map),
    doc="A diagonal of the last two axes, as the last axis.",
)


def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonal over two axes as a new last axis."""
    x = as_tensor(x)
    return apply(DIAGONAL, movement.moveaxis(x, (axis1, axis2), (-2, -1)), offset=int(offset))


def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the sum of the diagonal over two axes."""
    return reduction.sum(diagonal(x, offset, axis1, axis2), -1)


def diag(x: TensorLike, k: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the matrix with a vector on its diagonal."""
    from symtensor.ops import creation, logic

    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: expected 1 or 2 axes, found {x.type}")
    n = x.shape[0] + abs(k)
    rows = movement.place(x, (n,), (max(-k, 0),), (1,))
    return logic.where(creation.eye(n, n, k, dtype=bool), movement.expand_dims(rows, -1), 0)


# --- functions -----------------------------------------------------------------------------------


def _operands(values: Sequence[TensorLike]) -> list[Tensor]:
    values = [v if isinstance(v, Tensor) or is_weak(v) else as_tensor(v) for v in values]
    dtype = weak_promote(values)
    return [cast_to(as_tensor(v, dtype), dtype) for v in values]


def contract(left: Tensor, right: Tensor, spec: str) -> Tensor:
    """Return the contraction of two tensors of one dtype, with guards for unproved sizes.

    Labels of one operand that the result lacks are summed first; bool contracts as `any` of `and`.
    """
    a, b, out = split_spec(spec)
    left, a = _sum_unshared(left, a, set(b) | set(out))
    right, b = _sum_unshared(right, b, set(a) | set(out))
    if left.dtype.is_bool:
        from symtensor.ir.dtypes import bool_, int64

        both = (cast_to(left, int64), cast_to(right, int64))
        return cast_to(contract(*both, f"{a},{b}->{out}"), bool_)
    sizes = dict(zip(a, left.shape, strict=True))
    for label, size in zip(b, right.shape, strict=True):
        agreed = unify_dims(sizes.setdefault(label, size), size)
        if agreed is None:
            raise ShapeError(
                f"inner sizes differ: {sizes[label]} and {size}, "
                f"contracting {left.type} with {right.type} ({a},{b}->{out})"
            )
        sizes[label] = agreed
    left = movement.specify_shape(left, [sizes[x] for x in a])
    right = movement.specify_shape(right, [sizes[x] for x in b])
    return apply(CONTRACT, left, right, spec=f"{a},{b}->{out}")


def _sum_unshared(x: Tensor, labels: str, needed: set[str]) -> tuple[Tensor, str]:
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    kept = "".join(label for label in labels if label in needed)
    return cast_to(reduction.sum(x, axes), x.dtype), kept


def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """Return NumPy's dot product: last axis of `x` with the second to last of `y`.

    A 0-d operand multiplies. Vectors give a 0-d result. Sizes must agree.
    """
    a, b = _operands((x, y))
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    left = LABELS[: a.ndim]
    right = LABELS[a.ndim : a.ndim + b.ndim]
    inner, at = left[-1], max(b.ndim - 2, 0)
    right = right[:at] + inner + right[at + 1 :]
    out = left[:-1] + right.replace(inner, "")
    return contract(a, b, f"{left},{right}->{out}")


def matmul(x: TensorLike, y: TensorLike) -> Tensor:
    """Return NumPy's matrix product, batched over broadcast leading axes.

    A vector on the left is a row, on the right a column, and that axis is dropped again.
    """
    a, b = _operands((x, y))
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("matmul: 0-d operands have no matrix product", help="use * instead")
    rows, columns = a.ndim > 1, b.ndim > 1
    a = a if rows else movement.expand_dims(a, 0)
    b = b if columns else movement.expand_dims(b, 1)
    batch = max(a.ndim, b.ndim) - 2
    labels = LABELS[:batch]
    i, j, k = LABELS[batch : batch + 3]
    a, left = _batch_labels(a, b, labels, i + j)
    b, right = _batch_labels(b, a, labels, j + k)
    out = labels + (i if rows else "") + (k if columns else "")
    if not rows:
        a, left = movement.squeeze(a, -2), left.replace(i, "")
    if not columns:
        b, right = movement.squeeze(b, -1), right.replace(k, "")
    missing = [x for x in labels if x not in left and x not in right]
    result = contract(a, b, f"{left},{right}->{''.join(x for x in out if x not in missing)}")
    return movement.expand_dims(result, tuple(out.index(x) for x in missing)) if missing else result


def _batch_labels(x: Tensor, other: Tensor, labels: str, own: str) -> tuple[Tensor, str]:
    """Return `x` without the batch axes along which it broadcasts, and its labels."""
    count = x.ndim - 2
    mine = labels[len(labels) - count :]
    dropped = tuple(axis for axis in range(count) if D.same(x.shape[axis], 1))
    kept = "".join(label for axis, label in enumerate(mine) if axis not in dropped)
    return (movement.squeeze(x, dropped) if dropped else x), kept + own


def tensordot(x: TensorLike, y: TensorLike, axes: Any = 2) -> Tensor:
    """Return the sum of products over `axes`: a count, or a pair of axis lists."""
    a, b = _operands((x, y))
    if isinstance(axes, int):
        first, second = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        first, second = (list(p) if isinstance(p, (tuple, list)) else [p] for p in axes)
    if len(first) != len(second):
        raise AttributeValueError(f"tensordot: {first} and {second} differ in length")
    left, right = list(LABELS[: a.ndim]), list(LABELS[a.ndim : a.ndim + b.ndim])
    for p, q in zip(first, second, strict=True):
        right[normalize_axis(q, b.ndim)] = left[normalize_axis(p, a.ndim)]
    shared = set(left) & set(right)
    out = [x for x in left + right if x not in shared]
    return contract(a, b, f"{''.join(left)},{''.join(right)}->{''.join(out)}")


def outer(x: TensorLike, y: TensorLike) -> Tensor:
    """Return all products of the elements of two flattened tensors, as a matrix."""
    a, b = _operands((x, y))
    return movement.expand_dims(movement.ravel(a), 1) * movement.ravel(b)


def inner(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the sum of products over the last axes of both."""
    a, b = _operands((x, y))
    return multiply(a, b) if 0 in (a.ndim, b.ndim) else tensordot(a, b, ([-1], [-1]))


def vdot(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the sum of products of two flattened tensors."""
    return dot(movement.ravel(x), movement.ravel(y))


# --- einsum --------------------------------------------------------------------------------------


def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """Return Einstein's sum, with NumPy's notation (implicit result, ``...``, repeated labels).

    Operands are contracted from left to right, in the order `numpy.einsum_path` finds when all
    sizes are known.
    """
    xs = _operands(operands)
    terms, out = _parse_einsum(subscripts, xs)
    pairs = [_take_diagonals(x, labels) for x, labels in zip(xs, terms, strict=True)]
    while len(pairs) > 1:
        i, j = _next_pair(pairs, out)
        (a, left), (b, right) = pairs[i], pairs[j]
        rest = [pair for k, pair in enumerate(pairs) if k not in (i, j)]
        needed = set(out).union(*(labels for _, labels in rest))
        kept = "".join(x for x in dict.fromkeys(left + right) if x in needed)
        pairs = [*rest, (contract(a, b, f"{left},{right}->{kept}"), kept)]
    x, labels = _sum_unshared(*pairs[0], set(out))
    return movement.transpose(x, [labels.index(label) for label in out])


def _parse_einsum(subscripts: str, xs: list[Tensor]) -> tuple[list[str], str]:
    text = subscripts.replace(" ", "")
    inputs, arrow, out = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(xs):
        raise AttributeValueError(f"einsum: {len(terms)} terms in {subscripts!r}, {len(xs)} operands")
    unused = [x for x in reversed(LABELS) if x not in text]
    wide = max((x.ndim - len(t.replace("...", "")) for t, x in zip(terms, xs) if "..." in t),
               default=0)  # fmt: skip
    dots = "".join(unused[:wide])
    expanded = []
    for term, x in zip(terms, xs, strict=True):
        count = x.ndim - len(term.replace("...", ""))
        if count < 0 or (count and "..." not in term):
            raise ShapeError(f"einsum: term {term!r} does not fit {x.type}")
        expanded.append(term.replace("...", dots[wide - count :]))
    if not arrow:
        counts = Counter("".join(terms).replace(".", ""))
        out = dots + "".join(sorted(x for x, n in counts.items() if n == 1))
    out = out.replace("...", dots)
    if not set(out) <= set("".join(expanded)) or len(set(out)) != len(out):
        raise AttributeValueError(f"einsum: the result {out!r} has a label no term has")
    return expanded, out


def _take_diagonals(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """Return `x` with each repeated label reduced to its diagonal."""
    while len(set(labels)) < len(labels):
        label = next(x for x in labels if labels.count(x) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        x = diagonal(x, 0, first, second)
        labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return x, labels


def _next_pair(pairs: list[tuple[Tensor, str]], out: str) -> tuple[int, int]:
    """Return which two operands to contract next: NumPy's path when all sizes are known."""
    if len(pairs) == 2 or any(not isinstance(d, int) for x, _ in pairs for d in x.shape):
        return 0, 1
    shapes = [np.broadcast_to(0.0, x.shape) for x, _ in pairs]
    text = ",".join(labels for _, labels in pairs) + "->" + out
    path, _ = np.einsum_path(text, *shapes, optimize="greedy")
    return tuple(sorted(path[1][:2]))  # type: ignore[return-value]
