"""Values for the inputs and variables of a program: from an npz file, else made up.

Arrays of an npz file go to the placeholder or variable of their name, or by position (``arr_0`` …).
What is missing is drawn: floats from a normal distribution, integers 0 and 1 (which are indices of
nearly anything), with a fixed seed. Sizes that no array and no option gives are `SIZE`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.cli.programs import InputFault
from symtensor.inspect.text import graph_of
from symtensor.ir import dims as D
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.printer import Labels, label_graph
from symtensor.ops.variables import variable_of
from symtensor.vocabulary import suggestion

Array = np.ndarray[Any, Any]
SIZE = 8
"""Size of an axis that nothing determines."""


class Values:
    """Where the values of a program come from."""

    def __init__(self, file: str | None, sizes: str, seed: int) -> None:
        self.given = _read(file) if file else {}
        self.sizes = _sizes(sizes)
        self._otherwise = self.sizes.pop("", SIZE)
        self._rng = np.random.default_rng(seed)

    def arguments(self, program: Any) -> list[Array]:
        """Return one array per input; variables of the file get its values."""
        graph = graph_of(program)
        labels = label_graph(graph)
        leaves = [*graph.inputs, *(x for x in graph.variables() if x not in graph.inputs)]
        known = {node: self._find(node, i, labels) for i, node in enumerate(leaves)}
        self._check_names(leaves, labels)
        env = self._bind(graph, labels, known)
        for node in graph.variables():
            value = known[node]
            if value is not None:
                variable_of(node).set_value(value)
        return [self._value(node, known[node], env) for node in graph.inputs]

    def _find(self, node: Node, position: int, labels: Labels) -> Array | None:
        for name in (node.name, labels.node(node)[1:], f"arr_{position}"):
            if name in self.given:
                return self.given[name]
        return None

    def _check_names(self, leaves: Sequence[Node], labels: Labels) -> None:
        names = {name for x in leaves for name in (x.name, labels.node(x)[1:]) if name}
        names |= {f"arr_{i}" for i in range(len(leaves))}
        for name in self.given:
            if name not in names:
                known = ", ".join(sorted(labels.node(x)[1:] for x in leaves))
                hint = suggestion(name, names)
                raise InputFault(f"--inputs: no input is named {name!r}{hint}; inputs: {known}")

    def _bind(
        self, graph: Graph, labels: Labels, known: dict[Node, Array | None]
    ) -> dict[Symbol, int]:
        """Return a size for every symbol."""
        unknown = set(self.sizes) - set(labels.symbols.values())
        if unknown:
            names = ", ".join(labels.symbols.values()) or "none"
            raise InputFault(f"--sizes: there is no size {min(unknown)!r}; sizes: {names}")
        env = {s: self.sizes[name] for s, name in labels.symbols.items() if name in self.sizes}
        arrays = {node: found for node in graph.inputs if (found := known[node]) is not None}
        fed, shapes = list(arrays), [found.shape for found in arrays.values()]
        bind_shapes([x.tensor_type for x in fed], shapes, [labels.node(x)[1:] for x in fed], env)
        for symbol in labels.symbols:
            env.setdefault(symbol, self._otherwise)
        return env

    def _value(self, node: Node, found: Array | None, env: dict[Symbol, int]) -> Array:
        type_ = node.tensor_type
        if found is not None:
            return found
        shape = tuple(D.evaluate(d, env) for d in type_.shape)
        try:
            if type_.dtype.is_floating:
                return np.asarray(self._rng.standard_normal(shape), type_.dtype.numpy)
            return np.asarray(self._rng.integers(0, 2, shape)).astype(type_.dtype.numpy)
        except (MemoryError, ValueError):
            raise InputFault(f"an input of shape {shape} does not fit into memory") from None


def _read(file: str) -> dict[str, Array]:
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"arr_0": found}
        return {name: found[name] for name in found.files}
    except OSError as error:
        raise InputFault(f"{file} can't be read: {error.strerror or error}") from None
    except Exception:  # whatever a damaged file makes of the formats beneath
        raise InputFault(f"{file} is no npz file of arrays of numbers") from None


def _sizes(text: str) -> dict[str, int]:
    sizes = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        found = re.fullmatch(r"(?:(\w+)=)?(\d+)", part)
        if not found:
            raise InputFault(f"--sizes: expected name=number, or a number for all, found {part!r}")
        sizes[found[1] or ""] = int(found[2])
    return sizes


def add_value_options(parser: Any) -> None:
    """Add the options that say where values come from."""
    parser.add_argument("--inputs", metavar="NPZ", help="arrays by name, or arr_0, arr_1, …")
    parser.add_argument(
        "--sizes", default="", metavar="8,n=3", help="symbolic sizes: a number for all, or by name"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the values that are made up")


def values_of(options: Any) -> Values:
    """Return the values that options ask for."""
    return Values(options.inputs, options.sizes, options.seed)
