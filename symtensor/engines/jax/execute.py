"""Running: sizes choose the programs, variables stay on the device, doubts go to the reference.

XLA compiles for one combination of sizes at a time, so an executable holds a cache of programs by
sizes; `explain` shows it. Called with arrays (`__call__`) it moves everything there and back. A
function calls what `attach` returns, which finds variables where the last call left them and lets
the program take over their memory. `transfers` counts what is moved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import jax
import numpy as np

from symtensor.engines.base import Array, bind_sizes
from symtensor.engines.jax import report
from symtensor.engines.jax.callout import raise_interrupt
from symtensor.engines.jax.placement import Placement
from symtensor.engines.jax.program import Program, compile_program
from symtensor.engines.jax.residence import DeviceValue, Transfers, hold
from symtensor.engines.jax.stages import Stage, large_constants, split
from symtensor.engines.jax.trace import called_out
from symtensor.errors import SymtensorError
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ops.interpret import bind_result, evaluate_node, run_graph
from symtensor.ops.variables import Store, together
from symtensor.passes.sizes import symbols_of

Sizes = tuple[int, ...]

PROGRAMS = 128
"""How many programs an executable keeps; the one compiled first goes first."""


@dataclass(slots=True)
class Outcome:
    """What the programs of one call gave."""

    outputs: list[Any] = field(default_factory=list)
    following: list[Any] = field(default_factory=list)
    """Next values of the updates, in order."""
    doubted: bool = False
    restored: dict[Node, Any] = field(default_factory=dict)
    """After a doubt: what the variables hold whose memory was taken over."""
    refused: Exception | None = None
    """What was raised while tracing, on jax's stack; the reference raises it on the caller's."""


class JaxExecutable:
    """A graph as XLA programs, compiled as combinations of sizes come up."""

    def __init__(self, graph: Graph, placement: Placement, options: Mapping[str, Any]) -> None:
        self.graph = graph
        self.placement = placement
        self.options = options
        self.stages = split(graph, self.calls_out_between)
        self.variables = graph.variables()
        self.arguments = [*graph.inputs, *self.variables]
        self._results = frozenset(graph.outputs)
        self._sized = [*graph.inputs, *(v for v in self.variables if symbols_of(v))]
        """Arguments that may have other sizes than at the last call."""
        placement.check(self.arguments)
        self.donated = _donated(graph, self.stages)
        _drop_given_twice(graph, self.stages, self.donated)
        self.programs: dict[tuple[int, Sizes], Program] = {}
        self.transfers = Transfers()
        self.compile_count = 0
        """How many programs XLA has compiled."""
        self._compiling = threading.Lock()
        self._constants: dict[Node, Any] | None = None

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> list[Array]:
        self.placement.check_process()
        with jax.enable_x64(True):
            state = [self.put(x, v) for x, v in zip(variables, self.variables, strict=True)]
            outcome = self.run(inputs, state)
            if outcome.doubted:
                return self.reference(inputs, variables, outcome)
            return [self.get(x) for x in (*outcome.outputs, *outcome.following)]

    def attach(
        self, stores: Sequence[Store], targets: Sequence[Store]
    ) -> Callable[[Sequence[Array]], list[Array]]:
        """Return a call on arguments that finds the variables in `stores`, gives `targets` their
        next values, and returns the outputs."""
        return StatefulCall(self, stores, targets)

    def run(self, inputs: Sequence[Array], state: Sequence[Any]) -> Outcome:
        """Run the programs on arguments and on variables that are on the devices.

        The memory of variables in `donated` is gone afterwards.
        """
        values: dict[Node, Any] = dict(zip(self.arguments, [*inputs, *state], strict=True))
        env = bind_sizes(self._sized, [values[x] for x in self._sized])
        values.update(self.constants())
        for x in inputs:
            self.transfers.sent(x)
        kept: dict[Node, Any] = {}
        for number, stage in enumerate(self.stages):
            if stage.nodes:
                try:
                    program = self._program(number, stage, env, values)
                except (SymtensorError, TypeError, ValueError) as error:
                    return Outcome(doubted=True, refused=error)
                given, new, flags = program.run(*self._operands(stage, values))
                _send_for(flags, *compress(given, map(self._results.__contains__, stage.gives)))
                values.update(zip(stage.gives, given, strict=True))
                kept.update(zip(self.donated, new, strict=True))
                if np.any(np.asarray(flags)):
                    return Outcome(doubted=True, restored=kept)
            self._run_late(stage, values, env)
        return Outcome(
            [values[x] for x in self.graph.outputs],
            [kept[v] if v in kept else values[new] for v, new in self.graph.updates],
        )

    def calls_out_between(self, node: Node) -> bool:
        """Return True for a call-out that runs between programs: each on a mesh."""
        return self.placement.is_many and bool(called_out([node]))

    def constants(self) -> dict[Node, Any]:
        """Return the large constants, on the devices: moved at the first call."""
        if self._constants is None:
            nodes = large_constants(self.graph)
            self._constants = {node: self.put(node.attrs["value"].array, node) for node in nodes}
        return self._constants

    def _operands(self, stage: Stage, values: Mapping[Node, Any]) -> list[Any]:
        """Return what a program takes; jax moves NumPy arrays itself where it can."""
        found = [values[node] for node in stage.takes]
        if self.placement.is_local:
            return found
        return [self.placement.put(x, node) if isinstance(x, np.ndarray) else x
                for x, node in zip(found, stage.takes, strict=True)]  # fmt: skip

    def _program(
        self, number: int, stage: Stage, env: Mapping[Symbol, int], values: Mapping[Node, Any]
    ) -> Program:
        key = number, tuple(env.values())
        found = self.programs.get(key)
        if found is None:
            with self._compiling:
                found = self.programs.get(key)
                if found is None:
                    shapes = [tuple(values[node].shape) for node in stage.takes]
                    found = compile_program(
                        stage, env, shapes, self.donated, self.placement, self.options
                    )
                    self.compile_count += 1
                    self.programs[key] = found
                    while len(self.programs) > PROGRAMS:
                        del self.programs[next(iter(self.programs))]
        found.calls += 1
        return found

    def _run_late(self, stage: Stage, values: dict[Node, Any], env: dict[Symbol, int]) -> None:
        """Run nodes that find out sizes, on the host."""
        for node in stage.late:
            operands = [x if isinstance(x, tuple) else self.get(x)
                        for x in (values[source] for source in node.inputs)]  # fmt: skip
            with np.errstate(all="ignore"):
                values[node] = evaluate_node(node, operands, env)
            bind_result(node, values[node], env)

    def reference(
        self, inputs: Sequence[Array], variables: Sequence[Array], outcome: Outcome
    ) -> list[Array]:
        """Return what the interpreter gives after a doubt, or raise what it raises."""
        raise_interrupt()
        state = dict(zip(self.variables, variables, strict=True))
        values = [x.copy() for x in run_graph(self.graph, inputs, state)]
        if outcome.refused is not None:
            raise outcome.refused
        return values

    def explain(self) -> str:
        """Return how it runs: programs, call-outs, checks, what is kept, what was moved."""
        return report.explain(self)

    # --- moving ----------------------------------------------------------------------------------

    def put(self, array: Array, node: Node) -> Any:
        """Return an array on the devices, where `node` lives."""
        self.transfers.sent(array)
        return self.placement.put(array, node)

    def value(self, array: Any) -> DeviceValue:
        """Return an array of the devices as the value of a variable."""
        return DeviceValue(array, self.placement, self.transfers)

    def get(self, array: Any) -> Array:
        """Return an array of the devices as a NumPy array that nobody else has."""
        if isinstance(array, np.ndarray):
            return array.copy()
        value = self.placement.get(array)
        self.transfers.fetched(value)
        return value


def _send_for(*arrays: Any) -> None:
    """Start moving arrays to the host: the ways of a GPU's memory are long, and they go side by side."""
    for array in arrays:
        if isinstance(array, jax.Array):
            array.copy_to_host_async()


def _donated(graph: Graph, stages: Sequence[Stage]) -> dict[Node, Node]:
    """Return the variables whose memory their next values take over: those of equal sizes, read by
    the only program and by nobody else: a call-out could ask for anything."""
    if len(stages) > 1 or called_out(stages[0].nodes):
        return {}
    made, taken = set(stages[0].nodes), set(stages[0].takes).difference(graph.roots)
    return {
        variable: new
        for variable, new in graph.updates
        if variable in taken and new in made and variable.type == new.type
    }


def _drop_given_twice(graph: Graph, stages: Sequence[Stage], donated: Mapping[Node, Node]) -> None:
    """Let programs give no next value that goes into its variable's memory, unless as a result too."""
    wanted = {*graph.outputs, *(new for variable, new in graph.updates if variable not in donated)}
    only_updates = set(donated.values()) - wanted
    for stage in stages:
        stage.gives[:] = [node for node in stage.gives if node not in only_updates]


class StatefulCall:
    """Calls of an executable whose variables stay where it computes."""

    def __init__(
        self, executable: JaxExecutable, stores: Sequence[Store], targets: Sequence[Store]
    ) -> None:
        self.executable = executable
        self.stores = stores
        self.targets = targets
        self.wanted = [node in executable.donated for node in executable.variables]

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        run = self.executable
        run.placement.check_process()
        with jax.enable_x64(True):
            held = hold(self.stores, run.variables, self.wanted, run.placement, self._put)
            try:
                outcome = run.run(inputs, held.arrays)
                if outcome.doubted:
                    return self._settle(inputs, held.arrays, outcome)
                outputs = [run.get(x) for x in outcome.outputs]
                new = [self._own(x, variable, held.arrays)
                       for x, (variable, _) in zip(outcome.following, run.graph.updates, strict=True)
                      ]  # fmt: skip
                self._commit([run.value(x) for x in jax.block_until_ready(new)])
                return outputs
            finally:
                held.release()

    def _put(self, array: Array, node: Node) -> DeviceValue:
        return self.executable.value(self.executable.put(array, node))

    def _own(self, array: Any, node: Node, held: Sequence[Any]) -> Any:
        """Return a next value where its variable lives, as an array that no other variable has."""
        if isinstance(array, np.ndarray):
            return self.executable.put(array, node)
        if node in self.executable.donated:
            return array
        shared = any(array is x for x in (*held, *self.executable.constants().values()))
        where = self.executable.placement.sharding(node, array.shape)
        return jax.device_put(array, where, may_alias=not shared)

    def _settle(
        self, inputs: Sequence[Array], state: Sequence[Any], outcome: Outcome
    ) -> list[Array]:
        """Let the reference decide whether a doubted call has failed."""
        run = self.executable
        state = [outcome.restored.get(x, old) for x, old in zip(run.variables, state, strict=True)]
        for node, array, store in zip(run.variables, state, self.stores, strict=True):
            if node in outcome.restored:
                _put_back(store, run.value(array))
        found = run.reference(inputs, [run.get(x) for x in state], outcome)
        count = len(run.graph.outputs)
        self._commit([self._put(x, variable) for x, (variable, _)
                      in zip(found[count:], run.graph.updates, strict=True)])  # fmt: skip
        return found[:count]

    def _commit(self, values: Sequence[DeviceValue]) -> None:
        with together:
            for store, value in zip(self.targets, values, strict=True):
                store.move(value)


def _put_back(store: Store, value: DeviceValue) -> None:
    """Give a variable the memory that its unchanged value has now."""
    known = store.held()
    if known is None:
        store.move(value)
    else:
        store.mirror(value, known)
