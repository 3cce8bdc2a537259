"""What an engine is, and how one is chosen.

An engine turns a graph into an executable. That is all a third party has to write; packages announce
theirs through the entry-point group ``symtensor.engines``. `symtensor.testing.conformance` checks
one against the reference.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from symtensor import config
from symtensor.errors import EngineError, SymtensorWarning
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node

Array = np.ndarray[Any, Any]

GROUP = "symtensor.engines"


class Executable(Protocol):
    """A compiled graph."""

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        """Return the values of ``graph.roots`` (outputs, then next values of the updates).

        `inputs` fit ``graph.inputs``, `variables` fit ``graph.variables()``. The results are fresh:
        they share memory with no argument and with each other. Safe to call from several threads.
        """


@runtime_checkable
class Engine(Protocol):
    """A way to run graphs."""

    name: str

    def capabilities(self) -> frozenset[str]:
        """Return what holds of its numbers, of CAPABILITIES."""

    def supports(self, node: Node) -> bool:
        """Return True when the engine runs this node itself, False when by NumPy call-out."""

    def compile(self, graph: Graph) -> Executable:
        """Return an executable that serves every size the graph's types admit."""


CAPABILITIES = {
    "bounds_error": "an index out of range raises IndexOutOfRange",
    "denormals": "subnormal numbers are kept",
    "deterministic": "the same inputs give the same bits",
    "saturating_cast": "float to integer saturates and NaN gives 0",
    "symbolic": "one compile serves all sizes",
}

_engines: dict[str, Engine] = {}
_BUILTIN = {
    "numpy": "symtensor.engines.numpy:NumpyEngine",
    "llvm": "symtensor.engines.llvm:LLVMEngine",
}


def register_engine(engine: Engine) -> Engine:
    """Make an engine known under its name; a later one of the same name replaces it."""
    _engines[engine.name] = engine
    return engine


def available_engines() -> list[str]:
    """Return the names of all engines that can be asked for."""
    return sorted({*_engines, *_BUILTIN, *_entry_points()})


def get_engine(engine: str | Engine | None = None) -> Engine:
    """Return the engine meant: an object, a name, or None for the configured one."""
    if engine is None:
        engine = str(config.get("engine"))
    if not isinstance(engine, str):
        return engine
    if engine not in _engines:
        _engines[engine] = _load(engine)
    return _engines[engine]


def _load(name: str) -> Engine:
    if name in _BUILTIN:
        module, _, attribute = _BUILTIN[name].partition(":")
        factory: Callable[[], Engine] = getattr(importlib.import_module(module), attribute)
        return factory()
    entry = _entry_points().get(name)
    if entry is None:
        known = available_engines()
        near = difflib.get_close_matches(name, known, n=1)
        raise EngineError(
            f"there is no engine named {name!r}",
            help=f"did you mean {near[0]}?" if near else f"engines: {', '.join(known)}",
        )
    try:
        plugin: Engine = entry.load()()
    except Exception as error:
        warnings.warn(f"the engine plugin {name!r} does not load: {error}", SymtensorWarning, 3)
        raise EngineError(f"the engine {name!r} does not load: {error}") from error
    return plugin


def _entry_points() -> dict[str, Any]:
    return {e.name: e for e in importlib.metadata.entry_points(group=GROUP)}
