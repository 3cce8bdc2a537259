"""Control flow: scan, while and cond as XLA's loops and conditionals, doubts carried along.

Bodies are traced inline; a doubt inside becomes part of the loop's state and the doubt of the whole.
A loop that ends when its data says so (`until`) has a length that only running tells: `stages` runs
it between programs.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from symtensor.engines.jax.trace import Trace, native
from symtensor.ops.control import COND, WHILE
from symtensor.ops.scan_primitive import SCAN, check_steps


@native(COND)
def _cond(
    trace: Trace, predicate: Any, *operands: Any, then_body: Any, else_body: Any
) -> tuple[Any, ...]:
    *values, doubt = lax.cond(predicate, then_body, else_body, *operands)
    trace.doubt(doubt)
    return tuple(values)


@native(WHILE)
def _while(trace: Trace, *arrays: Any, condition: Any, body: Any, count: int) -> tuple[Any, ...]:
    """A doubt ends the loop: what it would go on with is no value."""
    outer = arrays[count:]

    def step(loop: tuple[list[Any], Any, Any]) -> tuple[list[Any], Any, Any]:
        state, _, doubt = loop
        *state, failed = body(*state, *outer)
        again, failed_test = condition(*state, *outer)
        return state, again, doubt | failed | failed_test

    start = list(arrays[:count])
    again, doubt = condition(*start, *outer)
    state, _, doubt = lax.while_loop(lambda loop: loop[1] & ~loop[2], step, (start, again, doubt))
    trace.doubt(doubt)
    return tuple(state)


@native(SCAN)
def _scan(
    trace: Trace, *arrays: Any, body: Any, carries: int, sequences: int, length: int,
    reverse: bool, until: bool, steps: int, truncate: int,
) -> tuple[Any, ...]:  # fmt: skip
    """A loop with `until` whose length is known has been run before: its last step is its last."""
    check_steps(steps)
    rows, outer = arrays[carries : carries + sequences], arrays[carries + sequences :]
    if until:
        rows = tuple(x[-length:] if reverse and length else x[:length] for x in rows)

    def step(loop: tuple[list[Any], Any], row: tuple[Any, ...]) -> tuple[Any, Any]:
        state, doubt = loop
        *values, failed = body(*state, *row, *outer)
        values = values[:-1] if until else values
        return (values[:carries], doubt | failed), tuple(values[carries:])

    start = (list(arrays[:carries]), jnp.asarray(False))
    (state, doubt), stacked = lax.scan(step, start, rows, length=length, reverse=reverse)
    trace.doubt(doubt)
    return (*state, *stacked)
