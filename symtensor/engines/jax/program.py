"""One stage of a graph, compiled by XLA for one combination of sizes.

A program takes the values that its stage reads and gives those that others need, then the next
values of the variables whose memory it takes over, then one flag per doubt. When a doubt is true
these variables get their old values back: a call that fails changes nothing, though the old memory
is gone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from symtensor.engines.jax.placement import Placement
from symtensor.engines.jax.stages import Stage
from symtensor.engines.jax.trace import Trace
from symtensor.ir.dims import Symbol
from symtensor.ir.node import Node

STRICT = {
    "xla_allow_excess_precision": False,  # float16 is rounded to float16 at every step
    "xla_cpu_enable_fast_min_max": False,  # NaN wins
    "xla_disable_hlo_passes": "algsimp",  # it turns x / 3 into x * (1 / 3), (x + 1) - 1 into x
}
"""Options under which XLA computes what a graph says."""


@dataclass(slots=True)
class Program:
    """Compiled code, and what its results are."""

    run: Any
    doubted: list[Node]
    """Per flag, the node that raised the doubt."""
    symbols: list[Symbol]
    """The sizes for which it was compiled."""
    seconds: float
    text: str
    """The program before XLA's own passes (StableHLO)."""
    calls: int = 0


def compile_program(
    stage: Stage,
    env: Mapping[Symbol, int],
    shapes: Sequence[tuple[int, ...]],
    updates: Mapping[Node, Node],
    placement: Placement,
    options: Mapping[str, Any],
) -> Program:
    """Compile a stage for the sizes `env` and operands of `shapes`.

    `updates` are the variables whose memory the program takes over, with their next values.
    """
    doubted: list[Node] = []

    def traced(*arrays: Any) -> tuple[list[Any], list[Any], Any]:
        trace = Trace(dict(env), placement.platform)
        trace.values.update(zip(stage.takes, arrays, strict=True))
        old = {variable: trace.values[variable] for variable in updates}
        trace.walk(stage.nodes)
        doubted[:] = [node for node, _ in trace.doubts]
        failed = trace.any_doubt()
        given = [trace.values[node] for node in stage.gives]
        following = [trace.values[new] for new in updates.values()]
        if doubted:
            following = [
                jnp.where(failed, old[v], new) for v, new in zip(updates, following, strict=True)
            ]
        return given, following, jnp.stack([f for _, f in trace.doubts]) if doubted else ()

    where = {
        node: placement.sharding(node, shape)
        for node, shape in zip(stage.takes, shapes, strict=True)
    }
    arguments = [
        jax.ShapeDtypeStruct(shape, node.tensor_type.dtype.numpy, sharding=where[node])
        for node, shape in zip(stage.takes, shapes, strict=True)
    ]
    everywhere = placement.sharding()
    jitted = jax.jit(
        traced,
        donate_argnums=[i for i, node in enumerate(stage.takes) if node in updates],
        out_shardings=([everywhere] * len(stage.gives), [where[v] for v in updates], everywhere),
    )
    start = time.perf_counter()
    lowered = jitted.lower(*arguments)
    run = lowered.compile(compiler_options={**STRICT, **options})
    seconds = time.perf_counter() - start
    return Program(run, doubted, list(env), seconds, lowered.as_text())
