"""Where a NaN or an infinity came from.

The reference runs once more and notes, for every node, whether its value holds NaN or infinities. From
a bad result the search goes back through bad operands to the node that made the first: it holds one and
its operands hold none. Inside loops it is the step that did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symtensor.checking.agreement import is_float
from symtensor.errors import NonFiniteError, Operand
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, describe_operand
from symtensor.ops.interpret import Array, run_graph

TESTS: dict[str, Callable[[Array], Array]] = {"nan": np.isnan, "inf": np.isinf}


def held(value: Any) -> frozenset[str]:
    """Return which of nan and inf a value, or a tuple of them, holds."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    arrays = [np.asarray(x) for x in values if isinstance(x, (np.ndarray, np.generic))]
    floats = [x for x in arrays if is_float(x)]
    return frozenset(kind for kind, test in TESTS.items() if any(test(x).any() for x in floats))


@dataclass(frozen=True, slots=True)
class Birth:
    """A node whose value holds what no operand holds."""

    node: Node
    kind: str
    operands: tuple[Any, ...]
    value: Any

    def describe(self) -> str:
        """Return where in the value it is, and what the operands are there."""
        array = self.value if isinstance(self.value, np.ndarray) else np.asarray(self.value[0])
        places = np.argwhere(TESTS[self.kind](array)) if is_float(array) else np.zeros((0, 0))
        if not len(places):
            return self.kind
        index = tuple(map(int, places[0]))
        there = [
            f"operand {i} is {x[index]}"
            for i, x in enumerate(self.operands)
            if getattr(x, "shape", None) == array.shape
        ] or [_range(i, x) for i, x in enumerate(self.operands) if getattr(x, "size", 0)]
        place = f" at {list(index)}" if index else ""
        return f"{self.kind}{place}{', where ' if there else ''}{' and '.join(there)}"


def _range(position: int, value: Any) -> str:
    if value.dtype.kind not in "fiu":
        return f"operand {position} is {value.dtype}{list(value.shape)}"
    return f"operand {position} goes from {np.nanmin(value)} to {np.nanmax(value)}"


@dataclass(slots=True)
class _Record:
    graph: Graph
    holds: dict[Node, frozenset[str]] = field(default_factory=dict)
    births: dict[tuple[Node, str], Birth] = field(default_factory=dict)
    """By node of the graph: its own, or the first inside its bodies."""
    inside: list[Birth] = field(default_factory=list)
    own: set[Node] = field(default_factory=set)

    def watch(self, node: Node, operands: Sequence[Any], value: Any) -> Any:
        found = held(value)
        new = found - frozenset().union(*map(held, operands))
        for kind in sorted(new):
            birth = Birth(node, kind, tuple(operands), value)
            if node not in self.own:
                self.inside.append(birth)
                continue
            deeper = [b for b in self.inside if b.kind == kind]
            self.births[node, kind] = deeper[0] if deeper else birth
        if node in self.own:
            self.holds[node] = found
            self.inside.clear()
        return value


def check_finite(
    graph: Graph,
    inputs: Sequence[Array],
    variables: Sequence[Array],
    results: Sequence[Any],
    kinds: frozenset[str],
) -> None:
    """Raise `NonFiniteError` for a result that holds one of `kinds` although no argument does."""
    if any(held(x) for x in (*inputs, *variables)):
        return
    for number, (root, value) in enumerate(zip(graph.roots, results, strict=True)):
        for kind in sorted(held(value) & kinds, reverse=True):  # nan first
            raise _error(graph, inputs, variables, root, number, kind)


def _error(
    graph: Graph,
    inputs: Sequence[Array],
    variables: Sequence[Array],
    root: Node,
    number: int,
    kind: str,
) -> NonFiniteError:
    record = _Record(graph, own=set(graph.nodes()))
    run_graph(
        graph, inputs, dict(zip(graph.variables(), variables, strict=True)), None, record.watch
    )
    outputs = len(graph.outputs)
    what = (
        f"output {number}"
        if number < outputs
        else f"the update of {graph.updates[number - outputs][0]!r}"
    )
    birth = _first(record, root, kind)
    if birth is None:  # the engine's own: the reference is finite
        return NonFiniteError(f"{what} holds {kind}, and the reference does not")
    error = NonFiniteError(f"{what} holds {kind}; the first is {birth.describe()}")
    operands = [describe_operand(x) for x in birth.node.inputs]
    error.add_context(birth.node.op.name, operands, birth.node.loc)
    error.labels = _causes(record, birth)
    return error


def _first(record: _Record, root: Node, kind: str) -> Birth | None:
    """Return the earliest birth from which `root` has its `kind`."""
    node, seen = root, {root}
    if kind not in record.holds.get(root, ()):
        return None
    while (node, kind) not in record.births:
        bad = [x for x in node.inputs if kind in record.holds.get(x, ()) and x not in seen]
        if not bad:
            return None
        node = bad[0]
        seen.add(node)
    return record.births[node, kind]


def _causes(record: _Record, birth: Birth) -> tuple[Operand, ...]:
    """Return the births of what the operands of a birth hold: the infinity behind a NaN."""
    out = []
    for x in birth.node.inputs:
        for kind in record.holds.get(x, ()):
            cause = _first(record, x, kind)
            if cause is not None:
                out.append(Operand(f"{cause.node.op.name}: {cause.describe()}", cause.node.loc))
    return tuple(dict.fromkeys(out))
