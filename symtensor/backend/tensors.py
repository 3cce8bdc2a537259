"""Variables, placeholders, constants, and what can be asked about a tensor.

The tensors are symtensor's own. Keras hangs attributes on them: a handle is a new object per build
call, so `_keras_history` set on one of two equal expressions stays on that one; `identity` gives a
new handle. `_keras_shape` and `_uses_learning_phase`, which Keras reads from every tensor, are worked
out on demand (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend import configuration
from symtensor.backend.sizes import as_shape
from symtensor.backend.sparse import SparsePlaceholder, SparseTensor, sparse_constant
from symtensor.errors import AttributeValueError
from symtensor.ir.dims import Dim, DimExpr
from symtensor.ir.graph import toposort
from symtensor.ir.literal import as_array
from symtensor.ir.node import Node

KerasShape = tuple[int | None, ...]

_phase = st.placeholder((), "bool", name="keras_learning_phase")
_fixed_phase: list[int] = []


# --- the learning phase --------------------------------------------------------------------------


def learning_phase() -> Any:
    """Return the symbolic bool scalar, 0 unless fed, or the int 0 or 1 once it is fixed."""
    return _fixed_phase[0] if _fixed_phase else symbolic_learning_phase()


def symbolic_learning_phase() -> st.Tensor:
    """Return the symbolic phase even where it is fixed."""
    return _phase


def set_learning_phase(value: Any) -> None:
    """Fix the phase. Raises ValueError for anything but 0 and 1."""
    if not isinstance(value, (int, float, np.generic)) or value not in (0, 1):
        raise AttributeValueError(f"learning phase: expected 0 or 1, found {value!r}")
    _fixed_phase[:] = [int(value)]


def free_learning_phase() -> None:
    """Make the phase symbolic again."""
    _fixed_phase.clear()


@contextmanager
def learning_phase_scope(value: Any) -> Iterator[None]:
    """Fix the phase within; afterwards it is what it was. Raises ValueError for all but 0 and 1."""
    before = list(_fixed_phase)
    set_learning_phase(value)
    try:
        yield
    finally:
        _fixed_phase[:] = before


def clear_names_and_phase() -> None:
    """Forget counters, names and a fixed learning phase."""
    configuration.reset_uids()
    configuration.forget_variable_names()
    free_learning_phase()


# --- attributes that Keras reads from every tensor -----------------------------------------------


def _static_shape(x: st.Tensor) -> KerasShape:
    return tuple(size if isinstance(size, int) else None for size in x.shape)


def _get_keras_shape(x: st.Tensor) -> KerasShape:
    own = _static_shape(x)
    hint = x.__dict__.get("_shape_hint")
    if hint is None or len(hint) != len(own):
        return own
    return tuple(b if a is None else a for a, b in zip(own, hint, strict=True))


def _set_keras_shape(x: st.Tensor, shape: Any) -> None:
    x.__dict__["_shape_hint"] = None if shape is None else tuple(shape)


def _get_uses_phase(x: st.Tensor) -> bool:
    """Return what was set, else whether the tensor depends on the symbolic phase."""
    known = x.__dict__.get("_phase_flag")
    if known is None:
        known = x.__dict__["_phase_flag"] = _phase.node in toposort([x.node])
    return bool(known)


def _set_uses_phase(x: st.Tensor, value: bool) -> None:
    x.__dict__["_phase_flag"] = value


def _install_attributes() -> None:
    """Give tensors the two attributes that Keras reads from all of them."""
    vars_ = {
        "_keras_shape": property(_get_keras_shape, _set_keras_shape),
        "_uses_learning_phase": property(_get_uses_phase, _set_uses_phase),
    }
    for name, value in vars_.items():
        setattr(st.Tensor, name, value)


_install_attributes()


# --- making tensors ------------------------------------------------------------------------------


def as_tensor(x: Any, dtype: Any = None) -> st.Tensor:
    """Return `x` as a tensor; what is none takes `dtype`, by default floatx.

    Lists and tuples that hold tensors are stacked.
    """
    if isinstance(x, st.Tensor):
        return x
    if isinstance(x, (list, tuple)) and any(isinstance(v, st.Tensor) for v in x):
        return st.stack(operands(*x))
    return constant(x, dtype)


def as_float(x: Any) -> st.Tensor:
    """Return `x` as a tensor, bools and ints in floatx."""
    x = as_tensor(x)
    return x if x.dtype.is_floating else st.cast(x, configuration.floatx())


def dtype_among(*values: Any) -> st.DType | None:
    """Return the dtype of the first tensor among `values`, None where there is none."""
    return next((v.dtype for v in values if isinstance(v, st.Tensor)), None)


def as_operand(x: Any, kind: st.DType | None) -> st.Tensor:
    """Return `x` as a tensor; what is none takes `kind`, the dtype of the tensor beside it.

    Beside ints and bools fractions stay fractions, in floatx.
    """
    if kind is None or isinstance(x, st.Tensor):
        return as_tensor(x)
    whole = as_array(x, None).dtype.kind in "biu"
    return as_tensor(x, kind if whole or kind.is_floating else None)


def operands(*values: Any) -> tuple[st.Tensor, ...]:
    """Return `values` as tensors, those that are none in the dtype of the first that is one."""
    kind = dtype_among(*values)
    return tuple(as_operand(v, kind) for v in values)


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    """Return a variable of a value, in floatx unless `dtype` says otherwise.

    A symbolic value is evaluated first; a scipy.sparse matrix gives a sparse tensor.
    Raises TypeError for an unknown dtype.
    """
    from symtensor.backend.evaluation import eval as evaluate

    kind = configuration.floatx() if dtype is None else dtype
    if hasattr(value, "tocoo"):
        return sparse_constant(value, kind)
    if isinstance(value, st.Tensor):
        value = evaluate(value)
    out = st.variable(value, st.as_dtype(kind), configuration.variable_name(name))
    vars(out).update(constraint=constraint, trainable=True, _phase_flag=False)
    return out


def constant(
    value: Any, dtype: Any = None, shape: Any = None, name: str | None = None
) -> st.Tensor:
    """Return a constant in floatx unless `dtype` says otherwise.

    `shape` fills with a scalar, or reshapes a value of the same size.
    """
    kind = st.as_dtype(configuration.floatx() if dtype is None else dtype)
    array = as_array(value, None).astype(kind.numpy, copy=False)
    if shape is not None:
        array = np.full(shape, array) if array.size == 1 else array.reshape(shape)
    return st.constant(array, name=name)


def placeholder(
    shape: Any = None,
    ndim: int | None = None,
    dtype: Any = None,
    sparse: bool = False,
    name: str | None = None,
    ragged: bool = False,
) -> st.Tensor:
    """Return a tensor to be fed, of a shape with None for unknown sizes, or of `ndim` unknown ones.

    Raises ValueError where neither is given, and for ragged tensors, which this backend has not.
    """
    if ragged:
        raise AttributeValueError(
            "placeholder: there are no ragged tensors", help="pad, and mask what was padded"
        )
    if shape is None:
        if ndim is None:
            raise AttributeValueError("placeholder: expected a shape or a number of axes")
        shape = (None,) * ndim
    if sparse:
        return SparsePlaceholder(tuple(shape), dtype or configuration.floatx(), name)
    out = st.placeholder(tuple(shape), dtype or configuration.floatx(), name)
    vars(out).update(_phase_flag=False)
    return out


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return a variable of zeros; a tensor where the shape is symbolic."""
    return _filled(0, shape, dtype, name)


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return a variable of ones; a tensor where the shape is symbolic."""
    return _filled(1, shape, dtype, name)


def _filled(value: int, shape: Any, dtype: Any, name: str | None) -> Any:
    sizes = as_shape(shape)
    if any(isinstance(size, DimExpr) for size in sizes):
        return st.full(sizes, value, dtype or configuration.floatx())
    return variable(np.full(sizes, value), dtype, name)


def eye(size: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return a variable of the identity matrix of `size`, or of (rows, columns)."""
    rows, columns = size if isinstance(size, (tuple, list)) else (size, size)
    return variable(np.eye(rows, columns), dtype, name)


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> st.Tensor:
    """Return zeros of the shape of `x`, in floatx unless `dtype` says otherwise."""
    return st.zeros_like(as_tensor(x), dtype or configuration.floatx())


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> st.Tensor:
    """Return ones of the shape of `x`, in floatx unless `dtype` says otherwise."""
    return st.ones_like(as_tensor(x), dtype or configuration.floatx())


def cast(x: Any, dtype: Any) -> st.Tensor:
    """Return `x`, a tensor or a number, in another dtype."""
    return st.cast(as_tensor(x, dtype), dtype)


def identity(x: Any, name: str | None = None) -> st.Tensor:
    """Return a new handle on the value of `x`, with attributes of its own."""
    x = as_tensor(x)
    out = st.Tensor(x.node)
    if "_logits" in vars(x):
        vars(out).update(_logits=vars(x)["_logits"])
    return out


def remember_logits(probabilities: st.Tensor, logits: st.Tensor, axis: int) -> None:
    """Let `probabilities` know that they are the softmax of `logits` along `axis`."""
    vars(probabilities).update(_logits=(logits, axis % logits.ndim))


def logits_of(probabilities: st.Tensor, axis: int) -> st.Tensor | None:
    """Return the logits that a softmax along `axis` was made of, None for all else."""
    logits, along = vars(probabilities).get("_logits", (None, None))
    return logits if along == axis % probabilities.ndim else None


def fresh(x: st.Tensor, *operands: Any) -> st.Tensor:
    """Return `x`, as a new handle where it is one of the operands: results carry own attributes."""
    return identity(x) if any(x is operand for operand in operands) else x


# --- asking --------------------------------------------------------------------------------------


def is_variable(x: Any) -> bool:
    """Return True for variables."""
    return isinstance(x, st.Variable)


def is_placeholder(x: Any) -> bool:
    """Return True for placeholders."""
    plain = isinstance(x, st.Tensor) and x.op.name == "placeholder"
    return plain or isinstance(x, SparsePlaceholder)


def is_tensor(x: Any) -> bool:
    """Return True for any symbolic value."""
    return isinstance(x, st.Tensor)


def is_keras_tensor(x: Any) -> bool:
    """Return True for outputs of Keras layers. Raises ValueError for what is no tensor."""
    if not is_tensor(x):
        raise AttributeValueError(f"expected a symbolic tensor, found {type(x).__name__}")
    return hasattr(x, "_keras_history")


def is_sparse(tensor: Any) -> bool:
    """Return True for tensors made sparse, however many zeros others hold."""
    return isinstance(tensor, SparseTensor)


def to_dense(tensor: Any) -> Any:
    """Return a dense tensor of the same value."""
    return st.Tensor(tensor.node) if is_sparse(tensor) else tensor


def shape(x: Any) -> st.Tensor:
    """Return the shape as an int32 vector, which reshape, tile and the like take again."""
    x = as_tensor(x)
    if not x.ndim:
        return st.constant(np.zeros(0, np.int32))
    return st.stack([_count(n) for n in x.shape])


def _count(n: Dim) -> st.Tensor:
    """Return a size in TensorFlow's dtype; where it is taken as a size again, it is exact."""
    return st.cast(st.dim_value(n), "int32")


def int_shape(x: Any) -> KerasShape:
    """Return the shape with None for unknown sizes."""
    return _get_keras_shape(x) if is_tensor(x) else tuple(np.shape(x))


def get_variable_shape(x: Any) -> KerasShape:
    """Return the shape of a variable."""
    return int_shape(x)


def ndim(x: Any) -> int:
    """Return the number of axes."""
    return int(x.ndim) if is_tensor(x) else int(np.ndim(x))


def dtype(x: Any) -> str:
    """Return the name of the dtype."""
    return str(x.dtype)


def size(x: Any, name: str | None = None) -> st.Tensor:
    """Return the number of elements as an int32 scalar."""
    return _count(as_tensor(x).size)


def count_params(x: Any) -> int:
    """Return the number of elements of a tensor of known shape."""
    return int(np.prod([n or 0 for n in int_shape(x)], dtype=np.int64))


def depends_on_phase(nodes: list[Node]) -> bool:
    """Return True where one of the nodes reads the symbolic learning phase."""
    return _phase.node in toposort(nodes)
