"""Whether two results differ by more than rounding can explain.

Results that are equal up to a few units in the last place agree. Where they are not, the reference is
run again a few times with every rounded value moved at random by up to two units in the last place (what
vector mathematics may be off): how far its own result spreads is how little it means, and a difference
within a multiple of that is rounding. So a stabilized form may differ from the naive one exactly where
the naive one is wrong. A comparison is undecided where its operands agree in this sense, unless they are
equal and no rounding made them: then those runs take it as false, as true, and by lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symtensor.errors import SymtensorError
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ops.families import Contraction, Elementwise, Reduction, Running, View
from symtensor.ops.interpret import Array, run_graph

ULPS = 64
"""Units in the last place that need no explanation."""
RUNS = 16
"""Runs with moved values."""
FACTOR = 32
"""Differences up to this many spreads are rounding: other orders of summation move results more than
moved operands do."""
_ROUNDING = (Elementwise, Reduction, Contraction, Running, type(None))
"""Families of ops that round; opaque ops may."""
_CHOOSING = ("max", "min", "maximum", "minimum", "where", "negative", "abs")
"""Ops whose result is one of their operands' elements, or that but for its sign."""


def is_float(array: Array) -> bool:
    """Return True for arrays of floats, bfloat16 included."""
    return bool(array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def epsilon(dtype: np.dtype[Any]) -> float:
    """Return the distance from 1 to the next float."""
    return 2.0**-7 if dtype.name == "bfloat16" else float(np.finfo(dtype).eps)


def differing(value: Array, truth: Array) -> Array:
    """Return where two arrays of one dtype and shape differ by more than `ULPS`; NaNs are equal."""
    if not is_float(truth):
        return np.asarray(value != truth)
    with np.errstate(all="ignore"):
        a, b = value.astype(np.longdouble), truth.astype(np.longdouble)
        close = np.abs(a - b) <= ULPS * epsilon(truth.dtype) * np.abs(b) + _smallest(truth.dtype)
        return np.asarray(~(close | (a == b) | (np.isnan(a) & np.isnan(b))))


def _smallest(dtype: np.dtype[Any]) -> float:
    """Return below which differences do not count: a few steps of subnormal numbers."""
    return 0.0 if dtype.name == "bfloat16" else ULPS * float(np.finfo(dtype).smallest_subnormal)


class Spread:
    """How far the results of a graph move when its rounded values do; worked out when first asked."""

    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[Array],
        variables: Sequence[Array],
        results: list[Array],
    ) -> None:
        self._graph = graph
        self._inputs = inputs
        self._variables = variables
        self.results = results
        self._moved: list[list[Array]] | None = None

    def unexplained(self, index: int, value: Array) -> Array:
        """Return where result `index` differs from `value` by more than rounding explains."""
        truth = self.results[index]
        wrong = differing(value, truth)
        if not wrong.any():
            return wrong
        moved = [run[index] for run in self._runs() if run[index].shape == truth.shape]
        if not moved:  # the reference takes these values alone
            return wrong
        if not is_float(truth):  # a comparison or an index that rounding decides
            return np.asarray(wrong & ~np.any([run != truth for run in moved], axis=0))
        with np.errstate(all="ignore"):
            exact = truth.astype(np.longdouble)
            distances = np.abs([run.astype(np.longdouble) - exact for run in moved])
            spread = np.max(np.where(np.isfinite(distances), distances, 0), axis=0)
            near = np.abs(value.astype(np.longdouble) - exact) <= FACTOR * spread
        repaired = ~np.isfinite(truth) & np.any([np.isfinite(run) for run in moved], axis=0)
        return np.asarray(wrong & ~near & ~repaired)

    def _runs(self) -> list[list[Array]]:
        if self._moved is None:
            runs = [self._run(seed) for seed in range(RUNS)]
            self._moved = [run for run in runs if run is not None]
        return self._moved

    def _run(self, seed: int) -> list[Array] | None:
        """Return the results with moved values, or None where the reference refuses those."""
        run = _MovedRun(seed)
        inputs, state = (
            [run.argument(x) for x in arrays] for arrays in (self._inputs, self._variables)
        )
        variables = dict(zip(self._graph.variables(), state, strict=True))
        try:
            return run_graph(self._graph, inputs, variables, watch=run.watch)
        except SymtensorError:
            return None


class _MovedRun:
    """A run of the reference in which what is rounded is moved by rounding."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._rounded: set[Node] = set()

    def watch(self, node: Node, operands: Sequence[Any], value: Any) -> Any:
        """Return the value to go on with in place of a node's own."""
        rounds = isinstance(node.op.family, _ROUNDING) and bool(node.inputs)
        if not rounds or not isinstance(value, np.ndarray):
            return value
        if isinstance(node.op.family, Elementwise) and value.dtype == bool:
            return self._compared(node, value, operands)
        if not is_float(value) or node.op.name in _CHOOSING or _counts(operands, value):
            return value
        self._rounded.add(node)
        return self._near(value)

    def argument(self, value: Array) -> Array:
        """Return an argument, moved as terms of sums must be; single numbers stay as they are."""
        return self._near(value) if is_float(value) and value.ndim else value

    def _near(self, value: Array) -> Array:
        """Return floats each moved by at most two units in the last place."""
        steps = self._rng.integers(-2, 3, value.shape) * epsilon(value.dtype)
        with np.errstate(all="ignore"):
            return np.asarray((value.astype(np.longdouble) * (1 + steps)).astype(value.dtype))

    def _compared(self, node: Node, value: Array, operands: Sequence[Array]) -> Array:
        """Return a comparison of two floats with another answer where it is undecided."""
        if len(operands) != 2 or not all(map(is_float, operands)):
            return value
        a, b = operands
        apart = np.asarray(a != b)
        if len(set(node.inputs)) == 2 and {*map(_source, node.inputs)} <= self._rounded:
            apart |= ~_is_whole(a)  # equal by chance
        undecided = apart & ~differing(a, b)
        lots = self._rng.integers(0, 2, value.shape) if self._seed > 1 else self._seed
        return np.where(undecided, np.asarray(lots, bool), value)


def _source(node: Node) -> Node:
    """Return what a node is a view of."""
    while isinstance(node.op.family, View):
        node = node.inputs[0]
    return node


def _is_whole(value: Array) -> Array:
    return np.asarray(np.isfinite(value) & (np.floor(value) == value))


def _counts(operands: Sequence[Any], value: Array) -> bool:
    """Return True for a single whole number made of whole numbers, as counters of loops are."""
    floats = [x for x in operands if isinstance(x, np.ndarray) and is_float(x)]
    return value.ndim == 0 and all(bool(_is_whole(x).all()) for x in (*floats, value))
