"""Linear algebra on the last two axes, batched over the others; NumPy (LAPACK) does the work.

Integers become float64, half precision is refused. A matrix without a result (singular, not
positive definite) is a `LinAlgError` naming the user's line. Gradient formulas: Giles, "Collected
matrix derivative results for forward and reverse mode algorithmic differentiation" (2008); for QR
Walter and Lehmann, "Algorithmic differentiation of linear algebra functions" (2018).
"""

from __future__ import annotations

from typing import Any

from symtensor.errors import DTypeError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Shape
from symtensor.ir.dtypes import float64
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims, unify_shapes
from symtensor.ops import contraction, creation, elementwise, logic, movement, statistics
from symtensor.ops.attributes import as_flag, as_int
from symtensor.ops.build import TensorLike, apply, apply_multi, as_tensor, cast_to
from symtensor.ops.contraction import matmul
from symtensor.ops.registry import define


def _transposed(x: Tensor) -> Tensor:
    return movement.swapaxes(x, -1, -2)


def _diagonal(x: Tensor) -> Tensor:
    return contraction.diagonal(x, 0, -2, -1)


def _scale_columns(x: Tensor, factors: Tensor) -> Tensor:
    return x * movement.expand_dims(factors, -2)


def _matrix(value: TensorLike, square: bool = True) -> Tensor:
    x = as_tensor(value)
    x = x if x.dtype.is_floating else cast_to(x, float64)
    if x.dtype.bits < 32:
        raise DTypeError(
            f"expected float32 or float64, found {x.dtype}", help="cast it first", code="ST0202"
        )
    if x.ndim < 2:
        raise ShapeError(f"expected at least 2 axes, found {x.type}", code="ST0106")
    if square:
        n = unify_dims(*x.shape[-2:])
        if n is None:
            raise ShapeError(f"expected a square matrix, found {x.type}", code="ST0112")
        x = movement.specify_shape(x, (*x.shape[:-2], n, n))
    return x


def _half_diagonal(x: Tensor) -> Tensor:
    """Return the lower triangle with its diagonal halved."""
    n = x.shape[-1]
    weights = creation.tri(n, dtype=x.dtype) - 0.5 * creation.eye(n, dtype=x.dtype)
    return x * weights


# --- factorizations ------------------------------------------------------------------------------


def _vjp_cholesky(g: Tensor, factor: Tensor, x: Tensor) -> tuple[Tensor]:
    middle = _half_diagonal(matmul(_transposed(factor), g))
    left = solve_triangular(factor, middle, trans=True)
    full = _transposed(solve_triangular(factor, _transposed(left), trans=True))
    return (0.5 * (full + _transposed(full)),)


CHOLESKY = define(
    "cholesky",
    infer=lambda x: x,
    evaluate=lambda xp, x: xp.linalg.cholesky(x),
    vjp=_vjp_cholesky,
    doc="The lower triangular factor of a positive definite matrix.",
)


def cholesky(x: TensorLike) -> Tensor:
    """Return the lower triangular L with ``L @ L.T == x``; reads the lower triangle only."""
    return apply(CHOLESKY, _matrix(x))


def _vjp_eigh(g: Any, y: Any, x: Tensor) -> tuple[Tensor]:
    """Distinct eigenvalues; equal ones get no contribution from the vectors."""
    values, vectors = y
    inner = creation.zeros(x.shape, x.dtype)
    if g[0] is not None:
        inner = inner + _scale_columns(creation.eye(x.shape[-1], dtype=x.dtype), g[0])
    if g[1] is not None:
        inner = inner + _inverse_gaps(values) * matmul(_transposed(vectors), g[1])
    full = matmul(matmul(vectors, inner), _transposed(vectors))
    return (0.5 * (full + _transposed(full)),)


def _inverse_gaps(values: Tensor) -> Tensor:
    """Return 1 / (v[j] - v[i]), and 0 where they are equal."""
    gaps = movement.expand_dims(values, -2) - movement.expand_dims(values, -1)
    equal = logic.equal(gaps, 0)
    return logic.where(equal, 0, 1 / logic.where(equal, 1, gaps))


EIGH = define(
    "eigh",
    infer=lambda x: (x.with_shape(x.shape[:-1]), x),
    evaluate=lambda xp, x: tuple(xp.linalg.eigh(x)),
    vjp=_vjp_eigh,
    doc="Eigenvalues in rising order and eigenvectors (columns) of a symmetric matrix.",
)


def eigh(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (rising) and eigenvectors (columns) of a symmetric matrix."""
    values, vectors = apply_multi(EIGH, _matrix(x))
    return values, vectors


def _infer_svd(x: TensorType) -> tuple[TensorType, ...]:
    m, n = x.shape[-2:]
    lead, k = x.shape[:-2], D.minimum(m, n)
    return (
        x.with_shape((*lead, m, k)), x.with_shape((*lead, k)), x.with_shape((*lead, k, n)),
    )  # fmt: skip


def _vjp_svd(g: Any, y: Any, x: Tensor) -> tuple[Tensor]:
    """Distinct, nonzero singular values."""
    u, s, vt = y
    v = _transposed(vt)
    gu, gs, gvt = g
    total = creation.zeros((*x.shape[:-2], s.shape[-1], s.shape[-1]), x.dtype)
    if gs is not None:
        total = total + _scale_columns(creation.eye(s.shape[-1], dtype=x.dtype), gs)
    gaps = _inverse_gaps(elementwise.square(s))
    out_of_plane: list[Tensor] = []
    if gu is not None:
        skew = gaps * matmul(_transposed(u), gu)
        total = total + _scale_columns(skew + _transposed(skew), s)
        rest = gu - matmul(u, matmul(_transposed(u), gu))
        out_of_plane.append(matmul(_scale_columns(rest, 1 / s), vt))
    if gvt is not None:
        gv = _transposed(gvt)
        skew = gaps * matmul(vt, gv)
        total = total + movement.expand_dims(s, -1) * (skew + _transposed(skew))
        rest = gv - matmul(v, matmul(vt, gv))
        out_of_plane.append(matmul(_scale_columns(u, 1 / s), _transposed(rest)))
    full = matmul(matmul(u, total), vt)
    for term in out_of_plane:
        full = full + term
    return (full,)


SVD = define(
    "svd",
    infer=_infer_svd,
    evaluate=lambda xp, x: tuple(xp.linalg.svd(x, full_matrices=False)),
    vjp=_vjp_svd,
    doc="The reduced singular value decomposition (u, s, vt), values falling.",
)


def svd(x: TensorLike, compute_uv: bool = True) -> Any:
    """Return (u, s, vt) of the reduced decomposition, or only s."""
    compute_uv = as_flag(compute_uv, "compute_uv")
    u, s, vt = apply_multi(SVD, _matrix(x, square=False))
    return (u, s, vt) if compute_uv else s


def _infer_qr(x: TensorType) -> tuple[TensorType, ...]:
    m, n = x.shape[-2:]
    k = D.minimum(m, n)
    return x.with_shape((*x.shape[:-2], m, k)), x.with_shape((*x.shape[:-2], k, n))


def _vjp_qr(g: Any, y: Any, x: Tensor) -> tuple[Tensor]:
    """At least as many rows as columns."""
    q, r = y
    if not D.same(r.shape[-2], r.shape[-1]):
        raise ShapeError(f"the gradient of qr needs at least as many rows as columns: {x.type}")
    gq = creation.zeros(q.shape, x.dtype) if g[0] is None else g[0]
    gr = creation.zeros(r.shape, x.dtype) if g[1] is None else g[1]
    inner = matmul(r, _transposed(gr)) - matmul(_transposed(gq), q)
    lower = creation.tril(inner)
    strict = creation.tril(inner, -1)
    symmetric = lower + _transposed(strict)
    right = gq + matmul(q, symmetric)
    return (_transposed(solve_triangular(r, _transposed(right), lower=False)),)


QR = define(
    "qr",
    infer=_infer_qr,
    evaluate=lambda xp, x: tuple(xp.linalg.qr(x)),
    vjp=_vjp_qr,
    doc="The reduced QR factorization.",
)


def qr(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return (q, r) of the reduced factorization."""
    q, r = apply_multi(QR, _matrix(x, square=False))
    return q, r


# --- systems -------------------------------------------------------------------------------------


def _infer_solve(a: TensorType, b: TensorType, **attrs: Any) -> TensorType:
    if a.ndim != b.ndim or not D.same_shape(a.shape[:-1], b.shape[:-1]):
        raise ShapeError(f"a system {a} does not fit right-hand sides {b}", code="ST0112")
    return b


def _vjp_solve(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    gb = apply(SOLVE, _transposed(a), g)
    return -matmul(gb, _transposed(y)), gb


SOLVE = define(
    "solve",
    infer=_infer_solve,
    evaluate=lambda xp, a, b: xp.linalg.solve(a, b),
    vjp=_vjp_solve,
    linear=(1,),
    doc="The solution of a @ x = b for matrices b.",
)


def _system(a: TensorLike, b: TensorLike) -> tuple[Tensor, Tensor, bool]:
    """Return both operands as matrices with one batch shape; True when b was a vector."""
    matrix = _matrix(a)
    right = cast_to(as_tensor(b), matrix.dtype)
    if right.ndim == 0:
        raise ShapeError(f"expected right-hand sides, found {right.type}", code="ST0112")
    vector = right.ndim == 1
    right = movement.expand_dims(right, -1) if vector else right
    n = unify_dims(matrix.shape[-1], right.shape[-2])
    if n is None:
        raise ShapeError(
            f"a system {matrix.type} does not fit right-hand sides {right.type}", code="ST0112"
        )
    unified = unify_shapes([matrix.shape[:-2], right.shape[:-2]])
    tails = ((n, n), (n, right.shape[-1]))
    both = []
    for x, guard, tail in zip((matrix, right), unified.guards, tails, strict=True):
        lead = x.shape[:-2] if guard is None else guard
        guarded = movement.specify_shape(x, (*lead, *tail))
        both.append(movement.broadcast_to(guarded, (*unified.shape, *tail)))
    return both[0], both[1], vector


def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """Return x with ``a @ x == b``; a 1-D `b` is one right-hand side."""
    matrix, right, vector = _system(a, b)
    out = apply(SOLVE, matrix, right)
    return movement.squeeze(out, -1) if vector else out


def _substitute(xp: Any, a: Any, b: Any, *, lower: bool, trans: bool) -> Any:
    """Forward or back substitution, one row at a time over all right-hand sides."""
    if trans:
        a, lower = xp.swapaxes(a, -1, -2), not lower
    n = a.shape[-1]
    out = xp.zeros(b.shape, b.dtype)
    for i in range(n) if lower else range(n - 1, -1, -1):
        known = slice(0, i) if lower else slice(i + 1, n)
        row = a[..., i : i + 1, known]
        sum_ = xp.matmul(row, out[..., known, :])[..., 0, :]
        out[..., i, :] = (b[..., i, :] - sum_) / a[..., i, i, None]
    if not xp.all(xp.diagonal(a, 0, -2, -1) != 0):
        raise xp.linalg.LinAlgError("singular triangular matrix: a zero on the diagonal")
    return out


def _vjp_substitute(
    g: Tensor, y: Tensor, a: Tensor, b: Tensor, *, lower: bool, trans: bool
) -> tuple[Tensor, Tensor]:
    gb = apply(SOLVE_TRIANGULAR, a, g, lower=lower, trans=not trans)
    full = -matmul(y, _transposed(gb)) if trans else -matmul(gb, _transposed(y))
    return (creation.tril(full) if lower else creation.triu(full)), gb


SOLVE_TRIANGULAR = define(
    "solve_triangular",
    infer=_infer_solve,
    evaluate=_substitute,
    vjp=_vjp_substitute,
    linear=(1,),
    doc="The solution of a @ x = b (or a.T @ x = b) for a triangular a.",
)


def solve_triangular(
    a: TensorLike, b: TensorLike, lower: bool = True, trans: bool = False
) -> Tensor:
    """Return x with ``a @ x == b`` (``a.T @ x == b`` with `trans`) for a triangular `a`.

    Only the named triangle is read. A zero on the diagonal is a `LinAlgError`.
    """
    flags: dict[str, Any] = {
        "lower": as_flag(lower, "lower"),
        "trans": as_flag(trans, "trans"),
    }
    matrix, right, vector = _system(a, b)
    out = apply(SOLVE_TRIANGULAR, matrix, right, **flags)
    return movement.squeeze(out, -1) if vector else out


INV = define(
    "inv",
    infer=lambda x: x,
    evaluate=lambda xp, x: xp.linalg.inv(x),
    vjp=lambda g, y, x: (-matmul(matmul(_transposed(y), g), _transposed(y)),),
    doc="The inverse of a square matrix.",
)


def inv(x: TensorLike) -> Tensor:
    """Return the inverse of square matrices."""
    return apply(INV, _matrix(x))


# --- determinants --------------------------------------------------------------------------------


def _spread(g: Tensor) -> Tensor:
    return movement.expand_dims(g, (-1, -2))


def _lead(x: TensorType) -> TensorType:
    return x.with_shape(x.shape[:-2])


DET = define(
    "det",
    infer=_lead,
    evaluate=lambda xp, x: xp.linalg.det(x),
    vjp=lambda g, y, x: (_spread(g * y) * _transposed(inv(x)),),
    doc="The determinant of a square matrix.",
)


def det(x: TensorLike) -> Tensor:
    """Return the determinant of square matrices; its gradient needs them invertible."""
    return apply(DET, _matrix(x))


def _vjp_slogdet(g: Any, y: Any, x: Tensor) -> tuple[Tensor | None]:
    return (None if g[1] is None else _spread(g[1]) * _transposed(inv(x)),)


SLOGDET = define(
    "slogdet",
    infer=lambda x: (_lead(x), _lead(x)),
    evaluate=lambda xp, x: tuple(xp.linalg.slogdet(x)),
    vjp=_vjp_slogdet,
    doc="Sign and logarithm of the absolute value of the determinant.",
)


def slogdet(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return the sign of the determinant and the logarithm of its absolute value."""
    sign, logabs = apply_multi(SLOGDET, _matrix(x))
    return sign, logabs


def matrix_power(x: TensorLike, n: int) -> Tensor:
    """Return the n-th power of square matrices; a negative `n` inverts first."""
    base = _matrix(x)
    n = as_int(n, "matrix_power: n")
    if n < 0:
        base, n = inv(base), -n
    shape: Shape = base.shape
    size: Dim = shape[-1]
    out = movement.broadcast_to(creation.eye(size, dtype=base.dtype), shape)
    while n:
        out = matmul(out, base) if n & 1 else out
        base, n = (matmul(base, base) if n > 1 else base), n >> 1
    return out


def norm(x: TensorLike, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the Euclidean (Frobenius) norm over `axis`."""
    return statistics.norm(x, axis, keepdims=keepdims)


__all__ = [
    "cholesky", "det", "eigh", "inv", "matrix_power", "norm", "qr", "slogdet", "solve",
    "solve_triangular", "svd",
]  # fmt: skip
