"""What to say when a name is not here, near names and other libraries' words for ours, or is no name,
or no option."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from symtensor.errors import ArgumentError, AttributeValueError

OTHER_WORDS = {
    # Theano, PyTensor
    "shared": "variable", "switch": "where", "ifelse": "cond", "grad": "gradients",
    "eq": "equal", "neq": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "inv": "reciprocal", "sgn": "sign", "sqr": "square",
    "true_div": "divide", "int_div": "floor_divide", "mul": "multiply", "sub": "subtract",
    "neg": "negative", "join": "concatenate", "dimshuffle": "transpose",
    "batched_dot": "matmul", "alloc": "full", "set_subtensor": "set_at",
    "inc_subtensor": "add_at", "subtensor": "getitem", "shape_padleft": "expand_dims",
    "disconnected_grad": "stop_gradient", "zero_grad": "stop_gradient", "tensor": "placeholder",
    "scalar": "placeholder", "vector": "placeholder", "matrix": "placeholder",
    "fmatrix": "placeholder", "dmatrix": "placeholder", "fvector": "placeholder",
    "tensor3": "placeholder", "tensor4": "placeholder", "SharedVariable": "Variable",
    "Print": "print_", "psi": "digamma", "gammaln": "lgamma", "Rop": "jvp", "Lop": "vjp",
    # TensorFlow, Keras
    "reduce_sum": "sum", "reduce_prod": "prod", "reduce_max": "max", "reduce_min": "min",
    "reduce_mean": "mean", "reduce_variance": "var", "reduce_std": "std", "reduce_any": "any",
    "reduce_all": "all", "reduce_logsumexp": "logsumexp", "clip_by_value": "clip",
    "concat": "concatenate", "reverse": "flip", "batch_dot": "einsum",
    "batch_flatten": "reshape", "permute_dimensions": "transpose", "reduce_logical_and": "all",
    "tensor_scatter_nd_update": "set_at", "tensor_scatter_nd_add": "add_at",
    "gather_nd": "gather", "Session": "function", "GradientTape": "gradients",
    "convert_to_tensor": "constant",
    # NumPy, JAX, PyTorch
    "array": "constant", "asarray": "constant", "absolute": "abs", "amax": "max", "amin": "min",
    "mod": "remainder", "true_divide": "divide", "pow": "power", "permute": "transpose",
    "unsqueeze": "expand_dims", "cat": "concatenate", "view": "reshape", "jit": "function",
    "compile": "function", "value_and_grad": "gradients", "bmm": "matmul", "mm": "matmul",
    "topk": "top_k", "index_select": "take", "detach": "stop_gradient", "masked_fill": "where",
    "scatter_add": "add_at", "digitize": "searchsorted", "acos": "arccos", "asin": "arcsin",
    "atan": "arctan", "atan2": "arctan2", "acosh": "arccosh", "asinh": "arcsinh",
    "atanh": "arctanh", "swish": "silu", "select": "where",
}  # fmt: skip
"""Name in Theano, TensorFlow, Keras, NumPy, JAX or PyTorch -> the symtensor name."""


def suggestion(
    name: str, known: Iterable[str], inner: Mapping[str, Iterable[str]] | None = None
) -> str:
    """Return ``; did you mean …?`` for an unknown name, or nothing.

    `inner` are the names that each of the modules within has.
    """
    names = set(known)
    ours = [OTHER_WORDS[name]] if OTHER_WORDS.get(name) in names else []
    ours += [f"{module}.{name}" for module, held in (inner or {}).items() if name in held]
    if ours:
        return f"; symtensor calls it {' or '.join(ours)}"
    near = difflib.get_close_matches(name, sorted(names), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def require_choice(value: Any, choices: Sequence[str], what: str) -> None:
    """Raise `AttributeValueError` for an option that is none of `choices`; `what` is its name."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(choices[:-1])
        raise AttributeValueError(
            f"{what}: expected {listed} or {choices[-1]}, found {value!r}", code="ST0302"
        )


def require_name(name: Any, of: str) -> None:
    """Raise `ArgumentError` for a name that is neither a string nor None; `of` is what it is to name."""
    if name is not None and not isinstance(name, str):
        kind = type(name).__name__
        raise ArgumentError(
            f"the name of {of} must be a string, found {name!r} of type {kind}",
            help=f"write name={str(name)!r}" if isinstance(name, (int, float)) else None,
        )
