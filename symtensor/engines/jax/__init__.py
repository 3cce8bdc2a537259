"""The jax engine: graphs to XLA programs, on CPUs, GPUs and meshes of many devices.

`trace` turns nodes into jax operations (`scalars`, `forms`, `products`, `control`, `linalg`;
`callout` where there is none), `stages` cuts a graph where sizes are found out, `program` compiles a
stage for one combination of sizes, `execute` runs, `placement` says on which devices. Needs the
extra ``jax``. 64-bit types are switched on for our own calls only: the user's jax stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

try:
    import jax  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the jax engine needs the package jax: pip install 'symtensor[jax]'", name="jax"
    ) from error

from symtensor.engines.base import CAPABILITIES
from symtensor.engines.jax import control, forms, linalg, products  # noqa: F401  (native forms)
from symtensor.engines.jax.callout import call_out
from symtensor.engines.jax.execute import JaxExecutable
from symtensor.engines.jax.placement import Described, Key, MeshLike, Placement, Shardings
from symtensor.engines.jax.trace import rule_for
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node


class JaxEngine:
    """Compiles graphs through XLA.

    `mesh`: devices by named axes, ``{"batch": 8}`` or a `jax.sharding.Mesh`; `shardings`: for
    placeholders and variables, or their names, the mesh axis over which each of their axes is cut,
    ``{x: ("batch", None)}``, or None for one that stays whole. They go before what the program says
    itself, ``placeholder(…, shard=("batch", None))``. `device`: a `jax.Device` to use
    instead of the first one. `compiler_options` go to XLA.
    """

    name = "jax"

    def __init__(
        self,
        mesh: MeshLike | None = None,
        shardings: Mapping[Key, Sequence[str | None] | None] | None = None,
        device: Any = None,
        compiler_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.placement = Placement(mesh, shardings, device)
        self.compiler_options = dict(compiler_options or {})

    def capabilities(self) -> frozenset[str]:
        missing = {"accurate", "one_compile", "separate_rounding"}
        missing.add("denormals" if self.placement.platform == "cpu" else "deterministic")
        return frozenset(CAPABILITIES) - missing

    def supports(self, node: Node) -> bool:
        return rule_for(node) is not call_out

    def compile(self, graph: Graph) -> JaxExecutable:
        return JaxExecutable(graph, self.placement, self.compiler_options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (*self.placement.described(), self.compiler_options)


def _restore(devices: Described, shardings: Shardings, options: Mapping[str, Any]) -> JaxEngine:
    mesh, device = devices.found()
    engine = JaxEngine(mesh, None, device, options)
    engine.placement.by_name, engine.placement.by_node = shardings
    return engine
