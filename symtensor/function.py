"""function(inputs, outputs, updates): from graph to callable.

`symtensor.definition` checks what was asked for, the passes optimize the graph, and an engine
compiles it, once for all sizes. Calling: arguments are converted (never silently narrowed), the
executable computes outputs and next values from the old ones, and only when all of that has
succeeded the variables change, all at once. Any number of threads may call a function; calls that
update the same variable run one after the other.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import is_
from typing import Any

import numpy as np

from symtensor import forks, serialize  # noqa: F401  (makes graphs, tensors and variables picklable)
from symtensor.arguments import Arguments, Input, convert_argument
from symtensor.config import checks
from symtensor.config import get as get_setting
from symtensor.definition import Definition, Options, define_graph
from symtensor.engines.base import Engine, Executable, get_engine, is_registered
from symtensor.errors import FunctionError, UpdateError
from symtensor.inspect.inspectable import Inspectable
from symtensor.ir import location
from symtensor.ir.graph import Graph, replace_nodes
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ops.variables import Exclusive, Store, Variable, together
from symtensor.passes.pipeline import Stage, run_pipeline
from symtensor.vocabulary import require_name

Array = np.ndarray[Any, Any]
Key = Tensor | str | int
In = Input


def function(
    inputs: Sequence[Tensor | Input],
    outputs: Any = None,
    updates: Any = None,
    givens: Any = None,
    engine: str | Engine | None = None,
    name: str | None = None,
    on_unused_input: str = "raise",
    allow_downcast: bool | None = None,
    passes: Any = None,
    no_default_updates: bool | Sequence[Variable] = False,
    check: bool | str | Sequence[str] | None = None,
) -> Function:
    """Compile a graph to a callable.

    `inputs`: placeholders, or `Input` for a default value or a keyword; an intermediate tensor
    is cut out of the graph and fed. `outputs`: a tensor (the call returns an array), or lists,
    tuples and dicts of them (it returns the same nesting), or None (it returns None).
    `updates`: pairs ``(variable, next value)`` or a dict; all next values are computed from the old
    values, then all are stored; if the call fails, none is. Variables that the graph reads and that
    have a `default_update` get it, unless `updates` says otherwise or `no_default_updates` is
    True or lists them. `givens` replaces tensors by others, or by values, in all of this.
    `on_unused_input`: raise, warn or ignore. `allow_downcast`: True narrows arguments silently,
    False never, None only Python floats. `passes` switches passes off ("-stabilize") or lists those
    to run. `engine`: a name or an engine instead of the configured one. `check`: compare every call
    with the reference, pass by pass, look for NaN and for memory that is not the call's (slow; True
    for all or names of `symtensor.config.CHECKS`; None: the setting `check`).

    Results are fresh arrays: the caller owns them. Raises `MissingInputError`, `UnusedInputError`,
    `UpdateError`, `DTypeError` and `ShapeError`, each with the user's line.
    """
    require_name(name, "a function")
    options = Options(on_unused_input, no_default_updates)
    specs, states, graph, structure = define_graph(inputs, outputs, updates, givens, options)
    label = name or str(location.current() or "function")
    checked = get_setting("check") if check is None else checks(check)
    return make_function(
        Definition(specs, states, graph, structure, label, engine, passes, allow_downcast, checked)
    )


def make_function(definition: Definition) -> Function:
    """Compile a definition; calls of one that is to be checked are those of `symtensor.checking`."""
    if not definition.check:
        return Function(definition)
    from symtensor.checking.checked import CheckedFunction  # most programs never check

    return CheckedFunction(definition)


class Function(Inspectable):
    """A compiled function. Call it with values for its inputs, by position or by name.

    What the compiler made of it is in the attributes of `Inspectable`: `stages`, `kernels`, …
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.name = definition.name
        """Name in messages: as given, else the file and line of the definition."""
        self.graph = definition.graph
        """The graph as it was defined, givens put in."""
        self.engine = get_engine(definition.engine)
        self.passes: list[Stage] = run_pipeline(
            definition.graph, definition.passes, verify="passes" in definition.check
        )
        """What each pass did, those that changed nothing included."""
        self.optimized: Graph = self.passes[-1].graph if self.passes else definition.graph
        """The graph after all passes: what the engine compiled."""
        start = time.perf_counter()
        self.executable: Executable = self.engine.compile(self.optimized)
        self.compile_seconds = time.perf_counter() - start
        """What the engine took, after the passes."""
        boxes = [None if s is None else s.attrs["store"] for s in definition.states]
        self.arguments = Arguments(definition.inputs, boxes, self.name, definition.allow_downcast)
        """Conversion, keywords and defaults of the inputs."""
        self._arity = len(definition.inputs)
        self._converters = self.arguments.converters
        self._outputs = len(self.optimized.outputs)
        self._stores: list[Store] = [v.attrs["store"] for v in self.optimized.variables()]
        self._reads_several = len(self._stores) > 1
        self._targets: list[Store] = [v.attrs["store"] for v, _ in self.optimized.updates]
        self._exclusive = Exclusive(self._targets)
        self._assemble = assembler(definition.structure)
        self._subsets: dict[Any, Function] = {}
        attach = getattr(self.executable, "attach", None)
        self._with_variables: Callable[[Sequence[Array]], list[Array]] | None = (
            None if attach is None else attach(self._stores, self._targets)
        )
        self._slow = self._call_by_position
        self._entry = self._bind()

    def _bind(self) -> Callable[..., Any] | None:
        """Return the engine's own way to do calls by position, where it has one."""
        bind = getattr(self.executable, "bind", None)
        form = _form_of(self._definition.structure, self._outputs)
        entry: Callable[..., Any] | None = None
        if bind is not None and form is not None:
            entry = bind(self._stores, self._targets, form, self._slow)
        return entry

    def __repr__(self) -> str:
        return f"<symtensor function {self.name}: {self._arity} inputs, {self.engine.name}>"

    @property
    def compile_count(self) -> int:
        """How often the engine compiled; 1 for engines that serve every size with one compile."""
        return getattr(self.executable, "compile_count", 1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs, in the nesting they were defined in.

        ``output_subset=[...]`` (positions, or keys of a dict) computes only some outputs; all
        updates happen nevertheless.
        """
        if kwargs and "output_subset" in kwargs:
            return self._subset(kwargs.pop("output_subset"))(*args, **kwargs)
        if self._targets:
            if kwargs or self._entry is None:
                return self._exclusive.run(self._call, args, kwargs)
            return self._exclusive.run(self._entry, *args)
        if kwargs or self._entry is None:
            return self._call(args, kwargs)
        return self._entry(*args)

    def _call_by_position(self, *args: Any) -> Any:
        return self._call(args, {})

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        arranged = args
        if kwargs or len(args) != self._arity:
            arranged = self.arguments.arrange(args, kwargs)
        arrays = [f(x) for f, x in zip(self._converters, arranged, strict=True)]
        if self._entry is not None and self._are_new(arrays, args):
            return self._entry(*arrays)  # which took no lists, keywords or other dtypes
        return self._run(arrays)

    def _are_new(self, arrays: Sequence[Array], args: Sequence[Any]) -> bool:
        """Return True for arrays that are not the arguments themselves, and need no more conversion."""
        if len(args) == len(arrays) and all(map(is_, arrays, args)):
            return False
        return all(f(x) is x for f, x in zip(self._converters, arrays, strict=True))

    def _run(self, arrays: Sequence[Array]) -> Any:
        if self._with_variables is not None:
            return self._assemble(self._with_variables(arrays))
        if self._reads_several:
            with together:
                state = [store.array for store in self._stores]
        else:
            state = [store.array for store in self._stores]
        values = self.executable(arrays, state)
        result = self._assemble(values)
        if self._targets:
            # one call into C: no signal handler runs before every variable has its next value
            new = map(setattr, self._targets, repeat("array"), values[self._outputs :])
            with together:
                deque(new, maxlen=0)
        return result

    def __getitem__(self, key: Key) -> Array:
        """Return the default value, or the state, of an input: by tensor, name or position."""
        return self.arguments.get_default(key)

    def __setitem__(self, key: Key, value: Any) -> None:
        """Replace the default value, or the state, of an input."""
        self.arguments.set_default(key, value)

    # --- other functions of the same definition --------------------------------------------------

    def copy(
        self,
        share_memory: bool = True,
        swap: Mapping[Variable, Variable] | None = None,
        delete_updates: bool = False,
        name: str | None = None,
    ) -> Function:
        """Return another function of the same definition; this one stays as it is.

        Without `share_memory` all variables become new ones with the present values. `swap`
        replaces variables by others of the same type. `delete_updates` leaves a pure function.
        """
        require_name(name, "a function")
        source = self if share_memory else copy.deepcopy(self)
        definition = source._current()
        if delete_updates:
            definition = without_updates(definition)
        if swap:
            graph = swap_variables(definition.graph, swap)
            definition = replace(definition, graph=graph)
        return make_function(replace(definition, name=name or self.name))

    def _current(self) -> Definition:
        """Return the definition with the defaults as they are now."""
        inputs = [
            spec if spec.update is not None else replace(spec, default=default)
            for spec, default in zip(self._definition.inputs, self.arguments.defaults, strict=True)
        ]
        return replace(self._definition, inputs=inputs)

    def _subset(self, chosen: Sequence[Any]) -> Function:
        """Return the function that computes only some outputs, compiled at its first use."""
        key = tuple(chosen)
        found = self._subsets.get(key)
        if found is not None:
            return found
        structure, graph = self._definition.structure, self._definition.graph
        if not isinstance(structure, (list, tuple, dict)):
            raise FunctionError(
                f"{self.name}: output_subset needs a list or dict of outputs", code="ST0710"
            )
        try:
            parts = {k: structure[k] for k in key}
        except (LookupError, TypeError):
            raise FunctionError(
                f"{self.name}: there are no outputs {list(chosen)}", code="ST0710"
            ) from None
        picked: list[int] = []
        nested = _renumber(parts if isinstance(structure, dict) else list(parts.values()), picked)
        graph = replace(graph, outputs=tuple(graph.outputs[i] for i in picked))
        definition = replace(self._definition, graph=graph, structure=nested)
        subset = make_function(definition)
        subset.arguments = self.arguments
        return self._subsets.setdefault(key, subset)

    def __copy__(self) -> Function:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        definition = self._current()
        if is_registered(definition.engine):
            definition = replace(definition, engine=self.engine.name)
        return make_function, (definition,)


# --- pieces --------------------------------------------------------------------------------------


def assembler(structure: Any) -> Callable[[list[Array]], Any]:
    """Return the function that puts output values into the nesting of the definition."""
    if structure is None:
        return lambda values: None
    if isinstance(structure, int):
        return lambda values: values[structure]
    if isinstance(structure, list) and structure == list(range(len(structure))):
        return lambda values: values[: len(structure)]
    return lambda values: _nest(structure, values)


def _form_of(structure: Any, outputs: int) -> str | None:
    """Return the form of a result that engines can make themselves, or None."""
    if structure is None:
        return "nothing" if outputs == 0 else None
    if structure == 0 and outputs == 1:
        return "one"
    return "list" if structure == list(range(outputs)) else None


def _nest(structure: Any, values: Sequence[Array]) -> Any:
    if isinstance(structure, dict):
        return {key: _nest(part, values) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(_nest(part, values) for part in structure)
    return None if structure is None else values[structure]


def _renumber(structure: Any, picked: list[int]) -> Any:
    """Return the nesting with its leaves numbered anew; `picked` collects the old numbers."""
    if isinstance(structure, dict):
        return {key: _renumber(part, picked) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(_renumber(part, picked) for part in structure)
    if structure is None:
        return None
    picked.append(structure)
    return len(picked) - 1


def without_updates(definition: Definition) -> Definition:
    """Return a definition that changes nothing; the states of inputs become plain defaults."""
    inputs = [
        spec if state is None else replace(spec, default=state.attrs["store"].array, update=None)
        for spec, state in zip(definition.inputs, definition.states, strict=True)
    ]
    graph = replace(definition.graph, updates=())
    return replace(definition, inputs=inputs, states=[None] * len(inputs), graph=graph)


def swap_variables(graph: Graph, swap: Mapping[Variable, Variable]) -> Graph:
    """Return the graph with variables replaced by others of the same type."""
    present = set(graph.variables())
    changes: dict[Node, Node] = {}
    for old, new in swap.items():
        if not isinstance(old, Variable) or not isinstance(new, Variable):
            raise FunctionError(f"swap: expected variables, found {old!r} and {new!r}")
        if old.node not in present:
            raise FunctionError(f"swap: the function has no variable {old!r}")
        if old.type != new.type:
            raise FunctionError(f"swap: {old!r} can't become {new!r}: the types differ")
        changes[old.node] = new.node
    nodes = replace_nodes([*graph.outputs, *(new for _, new in graph.updates)], changes)
    targets = [changes.get(target, target) for target, _ in graph.updates]
    if len(set(targets)) < len(targets):
        raise UpdateError("swap: two updates of one variable", code="ST0802")
    count = len(graph.outputs)
    updates = tuple(zip(targets, nodes[count:], strict=True))
    return Graph(graph.inputs, tuple(nodes[:count]), updates)


# --- tensor.eval ---------------------------------------------------------------------------------

CACHE_SIZE = 64

_cache: OrderedDict[Any, Function] = OrderedDict()
_cache_lock = threading.RLock()
forks.wait_for(_cache_lock)


def evaluate(tensor: Tensor, values: Mapping[Tensor, Any], **options: Any) -> Array:
    """Return the value of a tensor for the given placeholders: what ``tensor.eval`` does.

    `options` are those of `function`. The functions of the last `CACHE_SIZE` different requests are
    kept, so that evaluating a tensor again does not compile again.
    """
    if not isinstance(values, Mapping) or not all(isinstance(x, Tensor) for x in values):
        raise FunctionError(
            f"eval: expected values by placeholder, as {{x: 1.0}}, found {values!r}", code="ST0704"
        )
    options = {"on_unused_input": "ignore", "engine": get_engine(options.get("engine")), **options}
    key = (tensor.node, *(x.node for x in values), *sorted((k, str(v)) for k, v in options.items()))
    with _cache_lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
    if found is None:
        found = function(list(values), tensor, **options)
        with _cache_lock:
            _cache[key] = found
            if len(_cache) > CACHE_SIZE:
                _cache.popitem(last=False)
    result: Array = found(*values.values())
    return result


__all__ = ["Function", "In", "Input", "convert_argument", "evaluate", "function"]
