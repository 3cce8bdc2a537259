"""Sums of products: one record, `contract`, for dot, matmul, tensordot and einsum.

``contract(left, right, spec="ij,jk->ik")``: each label stands at most once per operand. A label of
both operands is summed when the result lacks it, and is a batch label otherwise; a label of one
operand only must be in the result. Gradients permute the spec, so every derivative is a contraction
again. Sums of half and bfloat16 run in float32.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from symtensor.errors import AttributeValueError, DTypeError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import bool_, int64
from symtensor.ir.node import describe_operand
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops import creation, logic, movement, reduction, slicing
from symtensor.ops.attributes import as_int
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
        raise AttributeValueError(f"a label stands twice in one operand of {spec}", code="ST0303")
    if (set(a) ^ set(b)) - set(out) or not set(out) <= set(a) | set(b):
        raise AttributeValueError(
            f"a label of one operand is missing from the result of {spec}", code="ST0303"
        )
    sizes: dict[str, Dim] = dict(zip(a, left.shape, strict=True))
    for label, size in zip(b, right.shape, strict=True):
        if not D.same(sizes.setdefault(label, size), size):
            raise ShapeError(
                f"inner sizes differ: {sizes[label]} and {size} ({spec})", code="ST0102"
            )
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
    n, m = x.shape[-2:]
    start = max(-offset, 0)
    lead = g.ndim - 1
    rows = slicing.place(g, (*g.shape[:-1], n), (0,) * lead + (start,), (1,) * g.ndim)
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


# --- diagonals -----------------------------------------------------------------------------------


def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonal over two axes as a new last axis."""
    x = as_tensor(x)
    return apply(
        DIAGONAL,
        movement.moveaxis(x, (axis1, axis2), (-2, -1)),
        offset=as_int(offset, "diagonal: offset"),
    )


def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the sum of the diagonal over two axes."""
    return reduction.sum(diagonal(x, offset, axis1, axis2), -1)


def diag(x: TensorLike, k: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the matrix with a vector on its diagonal."""
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: expected 1 or 2 axes, found {x.type}", code="ST0106")
    n = x.shape[0] + abs(k)
    rows = slicing.place(x, (n,), (max(-k, 0),), (1,))
    return logic.where(creation.eye(n, n, k, dtype=bool), movement.expand_dims(rows, -1), 0)


# --- functions -----------------------------------------------------------------------------------


def contract(left: TensorLike, right: TensorLike, spec: str) -> Tensor:
    """Return the contraction of two tensors of one dtype, with guards for unproved sizes.

    Labels of one operand that the result lacks are summed first. Where nothing is left to sum it
    is a product. bool contracts as `any` of `and`.
    """
    if not isinstance(spec, str):
        raise AttributeValueError(
            f'contract: expected labels as "ab,bc->ac", found {spec!r}', code="ST0303"
        )
    a, b, out = split_spec(spec)
    left, right = as_tensor(left), as_tensor(right)
    for x, labels in ((left, a), (right, b)):
        if x.ndim != len(labels):
            raise ShapeError(f"contract: expected the axes {labels!r}, found {x.type}")
    return contract_labelled("contract", left, right, a, b, out)


def contract_labelled(name: str, left: Tensor, right: Tensor, a: str, b: str, out: str) -> Tensor:
    left, a = sum_unshared(left, a, b + out)
    right, b = sum_unshared(right, b, a + out)
    left, right = _agreeing(name, left, right, a, b, out)
    if not set(a) & set(b) - set(out):
        return multiply(_arranged(left, a, out), _arranged(right, b, out))
    if left.dtype.is_bool:
        total = contract_labelled(name, cast_to(left, int64), cast_to(right, int64), a, b, out)
        return cast_to(total, bool_)
    return apply(CONTRACT, left, right, spec=f"{a},{b}->{out}")


def sum_unshared(x: Tensor, labels: str, needed: Collection[str]) -> tuple[Tensor, str]:
    """Return `x` summed over the labels that nothing else needs, and the labels left."""
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    kept = "".join(label for label in labels if label in needed)
    return cast_to(reduction.sum(x, axes), x.dtype), kept


def _agreeing(
    name: str, left: Tensor, right: Tensor, a: str, b: str, out: str
) -> tuple[Tensor, Tensor]:
    """Return the operands guarded to have one size per label."""
    sizes = dict(zip(a, left.shape, strict=True))
    for label, size in zip(b, right.shape, strict=True):
        agreed = unify_dims(sizes.setdefault(label, size), size)
        if agreed is None:
            kind = "batch" if label in out else "inner"
            error = ShapeError(f"{kind} sizes differ: {sizes[label]} and {size}", code="ST0102")
            operands = [describe_operand(left.node), describe_operand(right.node)]
            error.add_context(name, operands, location.current())
            raise error
        sizes[label] = agreed
    left = movement.specify_shape(left, [sizes[x] for x in a])
    return left, movement.specify_shape(right, [sizes[x] for x in b])


def _arranged(x: Tensor, labels: str, out: str) -> Tensor:
    """Return `x` with the axes of the result, of size 1 where it has none."""
    x = movement.transpose(x, [labels.index(label) for label in out if label in labels])
    sizes = iter(x.shape)
    return movement.reshape(x, tuple(next(sizes) if label in labels else 1 for label in out))


def as_operands(values: Sequence[TensorLike]) -> list[Tensor]:
    values = [v if isinstance(v, Tensor) or is_weak(v) else as_tensor(v) for v in values]
    dtype = weak_promote(values)
    return [cast_to(as_tensor(v, dtype), dtype) for v in values]


def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """Return NumPy's dot product: last axis of `x` with the second to last of `y`.

    A 0-d operand multiplies. Vectors give a 0-d result. Sizes must agree.
    """
    a, b = as_operands((x, y))
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    return _over_axes("dot", a, b, [a.ndim - 1], [max(b.ndim - 2, 0)])


def _over_axes(
    name: str, a: Tensor, b: Tensor, first: Sequence[int], second: Sequence[int]
) -> Tensor:
    """Return the sum over pairs of axes; the other axes of `a`, then those of `b`, remain."""
    left, right = list(LABELS[: a.ndim]), list(LABELS[a.ndim : a.ndim + b.ndim])
    for p, q in zip(first, second, strict=True):
        right[q] = left[p]
    out = "".join(label for label in left + right if not (label in left and label in right))
    return contract_labelled(name, a, b, "".join(left), "".join(right), out)


def matmul(x: TensorLike, y: TensorLike) -> Tensor:
    """Return NumPy's matrix product, batched over broadcast leading axes.

    A vector on the left is a row, on the right a column, and that axis is dropped again.
    """
    a, b = as_operands((x, y))
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(
            "matmul: 0-d operands have no matrix product", help="use * instead", code="ST0106"
        )
    count = max(a.ndim, b.ndim, 2) - 2
    batch, row, sum_, column = LABELS[:count], *LABELS[count : count + 3]
    row, column = row if a.ndim > 1 else "", column if b.ndim > 1 else ""
    left = batch[count - max(a.ndim - 2, 0) :] + row + sum_
    right = batch[count - max(b.ndim - 2, 0) :] + sum_ + column
    (a, b), (left, right) = drop_repeated([a, b], [left, right], batch)
    out = batch + row + column
    return contract_labelled("matmul", a, b, left, right, out)


def drop_repeated(
    xs: Sequence[Tensor], terms: Sequence[str], labels: Collection[str]
) -> tuple[list[Tensor], list[str]]:
    """Return operands without the axes of size 1 along which `labels` repeat them."""
    long = {
        label
        for x, term in zip(xs, terms, strict=True)
        for label, size in zip(term, x.shape, strict=True)
        if label in labels and not D.same(size, 1)
    }
    tensors, kept = [], []
    for x, term in zip(xs, terms, strict=True):
        axes = tuple(i for i, label in enumerate(term) if label in long and D.same(x.shape[i], 1))
        tensors.append(movement.squeeze(x, axes) if axes else x)
        kept.append("".join(label for i, label in enumerate(term) if i not in axes))
    return tensors, kept


def tensordot(x: TensorLike, y: TensorLike, axes: Any = 2) -> Tensor:
    """Return the sum of products over `axes`: a count of last axes of `x` and first ones of `y`,
    or a pair of axis lists."""
    a, b = as_operands((x, y))
    if isinstance(axes, (tuple, list)):
        if len(axes) != 2:
            raise AttributeValueError(
                f"tensordot: expected a count or two lists of axes, found {axes!r}", code="ST0303"
            )
        first, second = (list(p) if isinstance(p, (tuple, list)) else [p] for p in axes)
    else:
        count = as_int(axes, "tensordot: axes")
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise AttributeValueError(
                f"tensordot: {count} axes of {a.type} and {b.type}", code="ST0303"
            )
        first, second = list(range(a.ndim - count, a.ndim)), list(range(count))
    first = [normalize_axis(p, a.ndim) for p in first]
    second = [normalize_axis(q, b.ndim) for q in second]
    if len(first) != len(second) or len({*first}) != len(first) or len({*second}) != len(second):
        raise AttributeValueError(f"tensordot: the axes {axes!r} do not pair up", code="ST0303")
    return _over_axes("tensordot", a, b, first, second)


def outer(x: TensorLike, y: TensorLike) -> Tensor:
    """Return all products of the elements of two flattened tensors, as a matrix."""
    a, b = as_operands((x, y))
    return multiply(movement.expand_dims(movement.ravel(a), 1), movement.ravel(b))


def inner(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the sum of products over the last axes of both; a 0-d operand multiplies."""
    a, b = as_operands((x, y))
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    return _over_axes("inner", a, b, [a.ndim - 1], [b.ndim - 1])


def vdot(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the sum of products of two flattened tensors."""
    a, b = as_operands((x, y))
    return contract_labelled("vdot", movement.ravel(a), movement.ravel(b), "i", "i", "")


__all__ = [
    "contract", "diag", "diagonal", "dot", "inner", "matmul", "outer", "split_spec",
    "tensordot", "trace", "vdot",
]  # fmt: skip
