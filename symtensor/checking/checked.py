"""A function that checks itself at every call.

`CheckedFunction` calls as `Function` does, on the engine's own path, and then compares with the
reference: each pass against the graph before it, the engine against the graph that it compiled. It is
slow, and finds who is to blame. Which checks run is a set of names of `symtensor.definition.CHECKS`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symtensor.checking.agreement import Spread
from symtensor.checking.aliasing import Memory, Snapshot, check_rules
from symtensor.checking.blame import first_to_differ
from symtensor.checking.origin import check_finite
from symtensor.definition import Definition
from symtensor.errors import CheckError, SymtensorError
from symtensor.function import Function
from symtensor.ir.graph import Graph
from symtensor.ops.interpret import Array, run_graph
from symtensor.passes.pipeline import Stage

SHOWN = 3
"""Rewrites that an error names."""


class CheckedFunction(Function):
    """A compiled function that compares every call with the reference."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.checks = definition.check
        """Names of the checks that run."""
        self._memory = Memory()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("output_subset") is not None:
            return super().__call__(*args, **kwargs)
        arranged = self.arguments.arrange(args, kwargs)
        arrays = [f(x) for f, x in zip(self._converters, arranged, strict=True)]
        return self._exclusive.run(self._call_checked, arrays, args, kwargs)

    def _call_checked(
        self, arrays: Sequence[Array], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        stored = [store.array for store in self._stores]
        snapshot = self._memory.before(arrays, stored)
        try:
            result = super().__call__(*args, **kwargs)
        except Exception:
            self._check_failure(snapshot, stored)
            raise
        self._check(snapshot, _leaves(result))
        return result

    def _check_failure(self, snapshot: Snapshot, stored: list[Array]) -> None:
        """Check that a call that raised has changed nothing."""
        if "aliasing" in self.checks:
            snapshot.check_unchanged(self.optimized)
            for variable, old in zip(self.optimized.variables(), stored, strict=True):
                if variable.attrs["store"].array is not old:
                    raise CheckError(
                        f"a call that failed updated the variable {variable.name!r}", code="ST1503"
                    )

    def _check(self, snapshot: Snapshot, outputs: list[Array]) -> None:
        """Compare one call with what it should have done."""
        for number, value in enumerate(outputs):
            if not isinstance(value, np.ndarray):
                kind = type(value).__name__
                raise CheckError(f"output {number} is a {kind}, expected an array", code="ST1504")
        updated = [store.array for store in self._targets]
        if "aliasing" in self.checks:
            snapshot.check_unchanged(self.optimized)
            snapshot.check_apart(outputs, [store.array for store in self._stores])
            self._memory.hand_out(outputs)
        inputs = [then for _, then in snapshot.arguments]
        state = dict(
            zip(self.optimized.variables(), (then for _, then in snapshot.variables), strict=True)
        )
        state |= _missing_variables(self.graph, state)
        with contextlib.redirect_stderr(io.StringIO()):  # what print_ nodes say was said already
            found = [outputs[i] for i in _order(self._definition.structure)] + updated
            if "aliasing" in self.checks:
                check_rules(self.graph, inputs, [state[v] for v in self.graph.variables()])
            self._compare(inputs, state, found)

    def _compare(self, inputs: list[Array], state: dict[Any, Array], found: list[Array]) -> None:
        """Compare pass by pass, then engine and reference, then look for NaN."""
        spread = _reference(self.graph, inputs, state)
        refused = spread is None
        if "passes" in self.checks:
            for stage in self.passes:
                if stage.changed:
                    spread = _after(stage, spread, inputs, state)
        if "engine" in self.checks:
            spread = _reference(self.optimized, inputs, state) or spread
            if spread is not None:
                self._compare_engine(spread, found, inputs, state)
        kinds = self.checks & {"nan", "inf"}
        if kinds:
            graph = self.optimized if refused else self.graph
            variables = [state[v] for v in graph.variables()]
            check_finite(graph, inputs, variables, found, kinds)

    def _compare_engine(
        self, spread: Spread, found: list[Array], inputs: list[Array], state: dict[Any, Array]
    ) -> None:
        for index, value in enumerate(found):
            wrong = _difference(spread, index, value)
            if wrong is not None:
                error = CheckError(
                    f"the engine {self.engine.name} gives another {_name(self.graph, index)} than the "
                    f"reference: {wrong}",
                    help="run with engine='numpy' meanwhile, and report it with f.graph as text",
                    code="ST1504",
                )
                variables = {v: state[v] for v in self.optimized.variables()}
                culprit = first_to_differ(self.engine, self.optimized, inputs, variables)
                error.labels = () if culprit is None else (culprit,)
                raise error


def _reference(graph: Graph, inputs: list[Array], state: dict[Any, Array]) -> Spread | None:
    """Return the reference's results, or None where it refuses the arguments."""
    variables = [state[v] for v in graph.variables()]
    try:
        results = run_graph(graph, inputs, dict(zip(graph.variables(), variables, strict=True)))
    except SymtensorError:
        return None  # a pass may drop an error with the value that nothing needs
    return Spread(graph, inputs, variables, results)


def _after(
    stage: Stage, before: Spread | None, inputs: list[Array], state: dict[Any, Array]
) -> Spread | None:
    """Return the results of the graph after a pass; raise `CheckError` when they are others."""
    after = _reference(stage.graph, inputs, state)
    if before is None:
        return after
    if after is None:
        raise _broken(stage, "its graph refuses arguments that the graph before took")
    for index, value in enumerate(after.results):
        wrong = _difference(before, index, value)
        if wrong is not None:
            raise _broken(stage, f"{_name(stage.graph, index)} is another: {wrong}")
    return after


def _broken(stage: Stage, fact: str) -> CheckError:
    error = CheckError(
        f"the pass {stage.name} changed what the function computes: {fact}", code="ST1501"
    )
    rules = ", ".join(f"{rule} x{count}" for rule, count in stage.fired.items())
    error.help = f"switch it off with passes='-{stage.name}'" + (
        f"; it did: {rules}" if rules else ""
    )
    for rewrite in stage.rewrites[:SHOWN]:
        error.add_note(f"{rewrite.rule}: {rewrite.before!r} became {rewrite.after!r}")
    return error


def _difference(spread: Spread, index: int, value: Array) -> str | None:
    """Return how a value differs from a result of the reference, or None."""
    truth = spread.results[index]
    if value.shape != truth.shape or value.dtype != truth.dtype:
        return f"expected {truth.dtype} of shape {truth.shape}, found {value.dtype} of shape {value.shape}"
    wrong = spread.unexplained(index, value)
    if not wrong.any():
        return None
    place = tuple(map(int, np.argwhere(wrong)[0]))
    at = f" at {list(place)}" if place else ""
    count = f"{int(wrong.sum())} of {wrong.size} elements"
    return f"{count}, expected {truth[place]}{at}, found {value[place]}"


def _name(graph: Graph, index: int) -> str:
    outputs = len(graph.outputs)
    return (
        f"output {index}"
        if index < outputs
        else f"next value of {graph.updates[index - outputs][0]!r}"
    )


def _missing_variables(graph: Graph, known: dict[Any, Array]) -> dict[Any, Array]:
    """Return values of variables that the passes have optimized away."""
    return {v: v.attrs["store"].array for v in graph.variables() if v not in known}


def _leaves(result: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dicts, without None."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return [leaf for part in result for leaf in _leaves(part)]
    return [] if result is None else [result]


def _order(structure: Any) -> Sequence[int]:
    """Return, per output of the graph, its place among the leaves of a result."""
    places = _leaves(structure)
    order = {position: i for i, position in enumerate(places)}
    return [order[i] for i in range(len(order))]
