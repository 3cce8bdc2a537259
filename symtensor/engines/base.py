"""What an engine is, and how one is chosen.

An engine turns a graph into an executable. That is all a third party has to write; packages
announce theirs through the entry-point group ``symtensor.engines``, and
`symtensor.testing.conformance` checks one against the reference. No engine is imported before it is
asked for, and a package whose engine does not load is warned about once, when it is asked for.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from symtensor import forks
from symtensor.config import get as get_setting
from symtensor.errors import EngineError, SymtensorWarning
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Array = np.ndarray[Any, Any]

GROUP = "symtensor.engines"


class Executable(Protocol):
    """A compiled graph.

    It may also have ``explain() -> str``: how it runs, for people; and
    ``bind(stores, targets, result, slow)``, which returns a callable for a function's calls by
    position, or None. It reads the variables' boxes `stores`, gives the boxes `targets` their next
    arrays when all has gone well, and returns ``nothing``, ``one`` array or a ``list`` as `result`
    says. Arguments it does not know how to take it passes to `slow`, whose result it returns;
    ``attach(stores, targets)``, which returns a callable on arguments that finds the variables in
    their boxes, where `Store.move` may have left them, commits their next values and returns the
    outputs: for engines that keep variables where they compute;
    and ``memory(inputs, variables)`` of shapes: what a call will need, with a ``peak`` in bytes.

    For people who look inside (`symtensor.engines.records`) it may have ``kernel_records()``,
    ``memory_plan()`` and ``remarks()``, an attribute ``llvm_ir`` and a method ``assembly(target)``;
    and ``profiled()``: an executable that is slower but has ``times()``, by name of each kernel record
    the seconds and the runs in its last call.
    """

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        """Return the values of ``graph.roots`` (outputs, then next values of the updates).

        `inputs` match ``graph.inputs`` and `variables` match ``graph.variables()`` in dtype (native
        byte order) and number of axes; strides are any, memory may be read-only or unaligned, and
        is never written. Sizes are the executable's to check (`ShapeError`). The results are
        fresh C-contiguous arrays: they share memory with no argument, with nothing that the
        executable keeps, and not with each other. Errors are those of `symtensor.errors`, with op
        and user line. Safe to call from several threads.
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
    "accurate": "functions are within the catalogue's bounds; else within four times those",
    "bounds_error": "an index out of range raises IndexOutOfRange",
    "denormals": "subnormal numbers are kept",
    "deterministic": "the same inputs give the same bits",
    "saturating_cast": "float to integer saturates and NaN gives 0",
    "one_compile": "one compile serves all sizes",
    "separate_rounding": "a product is rounded before it is added to something",
    "symbolic": "sizes may be unknown until a call",
}


def bind_sizes(arguments: Sequence[Node], arrays: Sequence[Array]) -> dict[Symbol, int]:
    """Return the sizes that arrays for placeholders and variables determine.

    Raises `ShapeError` naming the argument whose shape contradicts its type or another's.
    """
    sizes: dict[Symbol, int] = {}
    labels = [node.name or f"input {i}" for i, node in enumerate(arguments)]
    types = [node.tensor_type for node in arguments]
    bind_shapes(types, [array.shape for array in arrays], labels, sizes)
    return sizes


_engines: dict[str, Engine] = {}
_lock = threading.RLock()
forks.wait_for(_lock)
_BUILTIN = {
    "numpy": "symtensor.engines.numpy:NumpyEngine",
    "llvm": "symtensor.engines.llvm:LLVMEngine",
    "jax": "symtensor.engines.jax:JaxEngine",
}


_EXTRAS = {"jax": "jax"}
"""Built-in engines that need a package, which is also the name of the extra."""


def register_engine(engine: Engine) -> Engine:
    """Make an engine known under its name; a later one of the same name replaces it."""
    with _lock:
        _engines[engine.name] = engine
    return engine


def is_registered(engine: str | Engine | None) -> bool:
    """Return True for the very engine object that its name stands for."""
    return isinstance(engine, Engine) and _engines.get(engine.name) is engine


def available_engines() -> list[str]:
    """Return the names of all engines that can be asked for."""
    missing = {name for name, package in _EXTRAS.items() if find_spec(package) is None}
    return sorted({*_engines, *_BUILTIN, *_entry_points()} - missing)


def get_engine(engine: str | Engine | None = None) -> Engine:
    """Return the engine meant: an object, a name, or None for the configured one.

    Raises `EngineError` for an unknown name and for an engine that does not load here.
    """
    if engine is None:
        engine = get_setting("engine")
    if not isinstance(engine, str):
        if isinstance(engine, Engine):
            return engine
        raise EngineError(f"expected an engine or the name of one, found {engine!r}", code="ST1301")
    with _lock:
        if engine not in _engines:
            _engines[engine] = _load(engine)
        return _engines[engine]


def _load(name: str) -> Engine:
    if name in _BUILTIN:
        return _load_builtin(name)
    entry = _entry_points().get(name)
    if entry is not None:
        return _load_plugin(entry)
    known = available_engines()
    near = difflib.get_close_matches(name, known, n=1)
    raise EngineError(
        f"there is no engine named {name!r}",
        help=f"did you mean {near[0]}?" if near else f"engines: {', '.join(known)}",
        code="ST1301",
    )


def _load_builtin(name: str) -> Engine:
    module, _, attribute = _BUILTIN[name].partition(":")
    try:
        factory: Callable[[], Engine] = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        extra = _EXTRAS.get(name)
        raise EngineError(
            f"the engine {name!r} does not load: {error}",
            help=f"pip install 'symtensor[{extra}]'" if extra else None,
            code="ST1302",
        ) from error
    return factory()


def _load_plugin(entry: EntryPoint) -> Engine:
    try:
        engine = entry.load()()
        if not isinstance(engine, Engine):
            raise TypeError(f"{entry.value} is not an engine")
    except Exception as error:  # whatever a foreign package raises on import
        message = f"the engine plugin {entry.name!r} ({entry.value}) does not load: {error!r}"
        _warn_once(message)
        raise EngineError(message, code="ST1302") from error
    return engine


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, SymtensorWarning, stacklevel=5)


@functools.cache
def _entry_points() -> dict[str, EntryPoint]:
    """Return the engines of installed packages; ours are found without being installed."""
    from importlib import metadata  # it is slow to import, and most programs name no other engine

    found = metadata.entry_points(group=GROUP)
    return {entry.name: entry for entry in found if entry.name not in _BUILTIN}
