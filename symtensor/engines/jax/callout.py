"""Call-outs: nodes without a form in XLA run by their NumPy rules, on the host, inside the program.

Operands of 64 bits travel as pairs of 32-bit words: jax hands them to the callback on a thread of
its own, where the user's setting of ``jax_enable_x64`` holds and would narrow them. A rule that
raises becomes a doubt; the reference then raises the same error with the user's line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from symtensor.ir.dims import Symbol
from symtensor.ir.node import Node
from symtensor.ir.types import TensorType
from symtensor.ops.interpret import evaluate_node

if TYPE_CHECKING:
    from symtensor.engines.jax.trace import Trace

Array = np.ndarray[Any, Any]
_interrupts: deque[BaseException] = deque()
"""What came into a call-out that is no error of its own: Ctrl-C."""

Form = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and dtype of an array."""


def raise_interrupt() -> None:
    """Raise what interrupted a call-out, if anything did."""
    if _interrupts:
        raise _interrupts.pop()


def call_out(trace: Trace, *xs: Any, **attrs: Any) -> Any:
    """Return the value of the present node by its NumPy rule."""
    node = trace.node
    single = isinstance(node.type, TensorType)
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    forms = [(trace.shape(t), t.dtype.numpy) for t in types]
    sources = [(x.shape, np.dtype(x.dtype)) for x in xs]
    host = _on_host(node, dict(trace.env), sources, forms, single)
    results = [*map(_wire_form, forms), jax.ShapeDtypeStruct((), np.bool_)]
    *values, failed = jax.pure_callback(host, results, *map(_to_wire, xs))
    trace.doubt(failed)
    out = [_from_wire(v, form) for v, form in zip(values, forms, strict=True)]
    return out[0] if single else tuple(out)


def _on_host(
    node: Node, env: dict[Symbol, int], sources: Sequence[Form], forms: Sequence[Form], single: bool
) -> Callable[..., list[Array]]:
    def run(*wires: Any) -> list[Array]:
        arrays = [
            np.asarray(w).view(dtype).reshape(shape)
            for w, (shape, dtype) in zip(wires, sources, strict=True)
        ]
        try:
            with np.errstate(all="ignore"):
                value = evaluate_node(node, arrays, dict(env))
            values, failed = [value] if single else list(value), False
        except BaseException as error:  # the reference raises it again, where it can be seen
            if not isinstance(error, Exception):
                _interrupts.append(error)
            values, failed = [np.zeros(*form) for form in forms], True
        return [*map(_as_wire, values), np.asarray(failed)]

    return run


# --- 64 bits as twice 32 -------------------------------------------------------------------------


def _is_wide(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize == 8


def _wire_form(form: Form) -> jax.ShapeDtypeStruct:
    shape, dtype = form
    if _is_wide(dtype):
        return jax.ShapeDtypeStruct((*shape, 2), np.uint32)
    return jax.ShapeDtypeStruct(shape, dtype)


def _to_wire(x: Any) -> Any:
    x = jnp.asarray(x)
    return lax.bitcast_convert_type(x, np.uint32) if _is_wide(np.dtype(x.dtype)) else x


def _from_wire(x: Any, form: Form) -> Any:
    return lax.bitcast_convert_type(x, form[1]) if _is_wide(form[1]) else x


def _as_wire(array: Array) -> Array:
    array = np.ascontiguousarray(array).reshape(array.shape)
    if not _is_wide(array.dtype):
        return array
    return array.reshape((*array.shape, 1)).view(np.uint32)
