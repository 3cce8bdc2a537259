"""function(inputs, outputs, updates): from graph to callable.

Building: inputs, outputs and updates become a `Graph`; `givens` are substituted; placeholders that
nothing feeds and inputs that nothing needs are errors. The graph runs through the passes and the
engine compiles it. Calling: arguments are converted (never silently narrowed), the executable
computes outputs and next values from the old ones, and only when all of that has succeeded the
variables change, all at once.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symtensor.engines.base import Engine, Executable, get_engine
from symtensor.errors import (
    DTypeError,
    FunctionError,
    MissingInputError,
    ShapeError,
    SymtensorWarning,
    UnusedInputError,
    UpdateError,
)
from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops.build import as_tensor, cast_to
from symtensor.ops.variables import Store, Variable, variable_of
from symtensor.passes.pipeline import PassRecord, run_pipeline

Array = np.ndarray[Any, Any]
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a function with a name and a default value."""

    tensor: Tensor
    default: Any = _MISSING
    name: str | None = None

    @property
    def key(self) -> str | None:
        """The keyword by which it can be passed."""
        return self.name or self.tensor.name


@dataclass(slots=True)
class _Definition:
    """What `function` was asked for, checked."""

    inputs: list[Input]
    graph: Graph
    structure: Any
    """The nesting of the outputs, with leaf numbers at the leaves."""
    name: str
    engine: str | Engine | None
    passes: Any
    allow_downcast: bool | None
    records: list[PassRecord] = field(default_factory=list)


def function(
    inputs: Sequence[Any],
    outputs: Any = None,
    updates: Any = None,
    givens: Any = None,
    engine: str | Engine | None = None,
    name: str | None = None,
    on_unused_input: str = "raise",
    allow_downcast: bool | None = None,
    passes: Any = None,
    no_default_updates: bool | Sequence[Variable] = False,
) -> Function:
    """Compile a graph to a callable.

    `inputs`: placeholders, or `Input` for a default value or another keyword. `outputs`: a tensor
    (the call returns an array), or lists, tuples and dicts of them (it returns the same nesting), or
    None. `updates`: pairs (variable, next value) or a dict; all next values are computed from old
    values, then all are stored; if the call fails, none is. `givens` replaces tensors in all of
    this. `on_unused_input`: raise, warn or ignore. `allow_downcast`: True narrows arguments
    silently, False never, None only Python floats. `passes` switches passes off ("-stabilize") or
    lists those to run. Variables with a `default_update` are updated too, unless switched off.
    """
    specs = [_as_input(x) for x in inputs]
    leaves: list[Tensor] = []
    structure = _flatten(outputs, leaves)
    pairs = _update_pairs(updates)
    pairs += _default_updates(leaves, pairs, givens, no_default_updates)
    roots = [*leaves, *(new for _, new in pairs)]
    nodes = _substitute(roots, givens, specs)
    new_values = nodes[len(leaves) :]
    graph = Graph(
        tuple(spec.tensor.node for spec in specs),
        tuple(nodes[: len(leaves)]),
        tuple((v.node, n) for (v, _), n in zip(pairs, new_values, strict=True)),
    )
    _check_inputs(specs, graph, on_unused_input)
    where = location.current()
    definition = _Definition(
        specs, graph, structure, name or str(where or "function"), engine, passes, allow_downcast
    )
    return Function(definition)


# --- checking what was asked for -----------------------------------------------------------------


def _as_input(value: Any) -> Input:
    spec = value if isinstance(value, Input) else Input(value)
    x = spec.tensor
    if not isinstance(x, Tensor):
        raise FunctionError(f"expected placeholders as inputs, found {x!r}")
    if x.op.name != "placeholder":
        kind = "a variable" if isinstance(x, Variable) else f"the result of {x.op.name}"
        raise FunctionError(
            f"expected a placeholder as input, found {kind} {x!r}",
            help="replace it with givens={tensor: placeholder} to feed its value",
        )
    return spec


def _flatten(outputs: Any, leaves: list[Tensor]) -> Any:
    """Append the tensors of nested outputs to `leaves`; return the nesting with leaf numbers."""
    if outputs is None:
        return None
    if isinstance(outputs, dict):
        return {key: _flatten(value, leaves) for key, value in outputs.items()}
    if isinstance(outputs, (list, tuple)) and not isinstance(outputs, Tensor):
        items = [_flatten(value, leaves) for value in outputs]
        return items if isinstance(outputs, list) else tuple(items)
    leaves.append(as_tensor(outputs))
    return len(leaves) - 1


def _rebuild(structure: Any, values: Sequence[Any]) -> Any:
    if isinstance(structure, int):
        return values[structure]
    if isinstance(structure, dict):
        return {key: _rebuild(part, values) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(_rebuild(part, values) for part in structure)
    return None


def _update_pairs(updates: Any) -> list[tuple[Variable, Tensor]]:
    pairs = list(updates.items()) if isinstance(updates, Mapping) else list(updates or ())
    out: list[tuple[Variable, Tensor]] = []
    seen: set[Node] = set()
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise UpdateError(f"expected (variable, next value) pairs, found {pair!r}")
        target, value = pair
        if not isinstance(target, Variable):
            raise UpdateError(f"only variables can be updated, found {target!r}")
        if target.node in seen:
            raise UpdateError(f"two updates of the variable {target!r}")
        seen.add(target.node)
        out.append((target, _fit_update(target, value)))
    return out


def _fit_update(target: Variable, value: Any) -> Tensor:
    """Return the next value in the variable's dtype; a narrowing one is refused."""
    new = as_tensor(value, target.dtype)
    if new.dtype is not target.dtype:
        if not np.can_cast(new.dtype.numpy, target.dtype.numpy, "safe"):
            raise UpdateError(
                f"the update of {target!r} has type {new.type}",
                help=f"cast it: symtensor.cast(value, {target.dtype.name!r})",
            )
        new = cast_to(new, target.dtype)
    fits = new.ndim == target.ndim and all(
        unify_dims(a, b) is not None for a, b in zip(new.shape, target.shape, strict=True)
    )
    if not fits:
        error = UpdateError(f"the update of {target!r} has type {new.type}")
        error.add_context("function", [], new.loc)
        raise error
    from symtensor.ops.movement import specify_shape

    fixed = [d if isinstance(d, int) else None for d in target.shape]
    return specify_shape(new, fixed)


def _default_updates(
    leaves: list[Tensor],
    pairs: list[tuple[Variable, Tensor]],
    givens: Any,
    off: bool | Sequence[Variable],
) -> list[tuple[Variable, Tensor]]:
    """Return the default updates of every variable that outputs, updates or givens reach."""
    if off is True:
        return []
    excluded = {v.node for v in off or ()} | {v.node for v, _ in pairs}
    pending = [*leaves, *(new for _, new in pairs)]
    pending += [as_tensor(new) for _, new in _given_pairs(givens)]
    found: list[tuple[Variable, Tensor]] = []
    while pending:
        roots, pending = [t.node for t in pending], []
        for node in toposort(roots):
            if node.op.name != "variable" or node in excluded:
                continue
            update = node.attrs["store"].default_update
            if update is not None:
                excluded.add(node)
                new = _fit_update(variable_of(node), update)
                found.append((variable_of(node), new))
                pending.append(new)
    return found


def _given_pairs(givens: Any) -> list[tuple[Tensor, Any]]:
    return list(givens.items()) if isinstance(givens, Mapping) else list(givens or ())


def _substitute(roots: list[Tensor], givens: Any, specs: list[Input]) -> list[Node]:
    """Return the root nodes with `givens` put in, sizes included."""
    replacements: dict[Node, Node] = {}
    sizes: dict[Symbol, Dim] = {}
    fed = {spec.tensor.node for spec in specs}
    for old, value in _given_pairs(givens):
        if not isinstance(old, Tensor):
            raise FunctionError(f"givens: expected a tensor to replace, found {old!r}")
        if old.node in fed:
            raise FunctionError(f"givens: {old!r} is an input and can't be replaced too")
        new = as_tensor(value, old.dtype)
        if new.dtype is not old.dtype or new.ndim != old.ndim:
            raise FunctionError(f"givens: {old.type} can't be replaced by {new.type}")
        for a, b in zip(old.shape, new.shape, strict=True):
            symbol = D.as_symbol(a)
            if symbol is not None and symbol not in sizes:
                sizes[symbol] = b
            elif D.provably_different(D.substitute(a, sizes), b):
                raise ShapeError(f"givens: {old.type} can't be replaced by {new.type}")
        replacements[old.node] = new.node
    nodes = [x.node for x in roots]
    if not replacements:
        return nodes
    return replace_nodes(nodes, replacements, sizes)


def _check_inputs(specs: list[Input], graph: Graph, on_unused: str) -> None:
    nodes = [spec.tensor.node for spec in specs]
    if len(set(nodes)) != len(nodes):
        raise FunctionError("the same placeholder stands twice among the inputs")
    if on_unused not in ("raise", "warn", "ignore"):
        raise FunctionError(f"on_unused_input: raise, warn or ignore, found {on_unused!r}")
    needed = toposort(graph.roots)
    for node in needed:
        if node.op.name == "placeholder" and node not in nodes:
            error = MissingInputError(
                f"the outputs need {node!r}, which is not among the inputs",
                help="add it to the inputs, or give it a value with givens",
            )
            error.add_context("function", [], node.loc)
            raise error
    used = set(needed)
    bound = {s for n in needed for d in _node_dims(n) for s in D.symbols_in(d)}
    for node in nodes:
        sizes = {s for d in node.tensor_type.shape for s in D.symbols_in(d)}
        if node in used or sizes & bound or on_unused == "ignore":
            continue
        text = f"no output and no update needs the input {node!r}"
        if on_unused == "raise":
            raise UnusedInputError(text, help="drop it, or pass on_unused_input='ignore'")
        warnings.warn(text, SymtensorWarning, stacklevel=3)


def _node_dims(node: Node) -> Iterable[Dim]:
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    for t in types:
        yield from t.shape
    if node.op.name == "dim_value":
        yield node.attrs["dim"]


# --- the callable --------------------------------------------------------------------------------


class Function:
    """A compiled function. Call it with values for its inputs, by position or by name."""

    def __init__(self, definition: _Definition) -> None:
        self._definition = definition
        self.name = definition.name
        self.graph = definition.graph
        """The graph as it was defined."""
        self.engine = get_engine(definition.engine)
        self.stages: list[PassRecord] = run_pipeline(definition.graph, definition.passes)
        """What each pass did."""
        self.optimized = self.stages[-1].graph if self.stages else definition.graph
        """The graph after all passes: what the engine compiled."""
        self.executable: Executable = self.engine.compile(self.optimized)
        self.compile_count = 1
        """How often the engine compiled: once, whatever sizes come."""
        self._inputs = definition.inputs
        self._converters = [self._converter(spec) for spec in self._inputs]
        self._keys = self._keywords()
        self._stores = [node.attrs["store"] for node in self.optimized.variables()]
        self._targets: list[Store] = [v.attrs["store"] for v, _ in self.optimized.updates]
        self._locks = sorted({id(s): s for s in self._targets}.values(), key=id)
        self._simple = isinstance(definition.structure, int)

    def __repr__(self) -> str:
        return f"<symtensor function {self.name}: {len(self._inputs)} inputs, {self.engine.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != len(self._inputs):
            args = self._arrange(args, kwargs)
        arrays = [convert(x) for convert, x in zip(self._converters, args, strict=True)]
        if not self._targets:
            values = self.executable(arrays, [store.array for store in self._stores])
        else:
            values = self._run_with_updates(arrays)
        if self._simple:
            return values[0]
        return _rebuild(self._definition.structure, values)

    def _run_with_updates(self, arrays: list[Array]) -> list[Array]:
        """Compute everything, then store all next values; an exception before that stores none."""
        with ExitStack() as stack:
            for store in self._locks:
                stack.enter_context(store.lock)
            values = self.executable(arrays, [store.array for store in self._stores])
            count = len(values) - len(self._targets)
            for store, new in zip(self._targets, values[count:], strict=True):
                store.array = new
        return values[:count]

    # --- arguments ------------------------------------------------------------------------------

    def _keywords(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for i, spec in enumerate(self._inputs):
            if spec.key is not None:
                out[spec.key] = -1 if spec.key in out else i  # -1: two inputs share the name
        return out

    def _arrange(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return one value per input from positions, keywords and defaults."""
        if len(args) > len(self._inputs):
            raise FunctionError(f"{self.name}: {len(self._inputs)} inputs, {len(args)} given")
        values: list[Any] = [*args, *[_MISSING] * (len(self._inputs) - len(args))]
        for key, value in kwargs.items():
            index = self._keys.get(key)
            if index is None:
                known = ", ".join(self._keys) or "none has a name"
                raise FunctionError(f"{self.name}: there is no input {key!r}", help=known)
            if index < 0:
                raise FunctionError(f"{self.name}: two inputs are named {key!r}")
            if values[index] is not _MISSING:
                raise FunctionError(f"{self.name}: input {key!r} is given twice")
            values[index] = value
        for i, spec in enumerate(self._inputs):
            if values[i] is _MISSING:
                if spec.default is _MISSING:
                    label = spec.key or f"number {i}"
                    raise FunctionError(f"{self.name}: input {label} is missing")
                values[i] = spec.default
        return tuple(values)

    def _converter(self, spec: Input) -> Callable[[Any], Array]:
        type_, label = spec.tensor.type, spec.key or f"input {self._inputs.index(spec)}"
        dtype, rank = type_.dtype.numpy, type_.ndim
        allow = self._definition.allow_downcast

        def convert(value: Any) -> Array:
            if type(value) is np.ndarray and value.dtype is dtype and value.ndim == rank:
                return value
            return convert_argument(value, type_, label, allow)

        return convert

    # --- looking inside -------------------------------------------------------------------------

    def explain(self) -> str:
        """Return what the passes did and how the engine runs the result, as text."""
        lines = [f"function {self.name}, engine {self.engine.name}"]
        for record in self.stages:
            fired = ", ".join(f"{rule} x{n}" for rule, n in record.fired.items())
            change = f"{record.before} -> {record.after} nodes" if record.changed else "no change"
            lines.append(f"pass {record.name}: {change}{f' ({fired})' if fired else ''}")
        explain = getattr(self.executable, "explain", None)
        return "\n".join(lines + ([explain()] if explain else []))

    # --- copies ---------------------------------------------------------------------------------

    def copy(
        self,
        share_memory: bool = True,
        swap: Mapping[Variable, Variable] | None = None,
        delete_updates: bool = False,
        name: str | None = None,
    ) -> Function:
        """Return another function of the same definition.

        `swap` replaces variables by others of the same type; without `share_memory` all variables
        become new ones with the present values; `delete_updates` leaves a pure function.
        """
        graph = self.graph
        changes = {old.node: new.node for old, new in (swap or {}).items()}
        for old, new in (swap or {}).items():
            if old.type != new.type:
                raise FunctionError(f"swap: {old.type} can't be replaced by {new.type}")
        if not share_memory:
            changes |= {v: _fresh_variable(v) for v in graph.variables() if v not in changes}
        updates = () if delete_updates else graph.updates
        roots = replace_nodes([*graph.outputs, *(new for _, new in updates)], changes)
        targets = [changes.get(v, v) for v, _ in updates]
        count = len(graph.outputs)
        new_graph = Graph(
            graph.inputs, tuple(roots[:count]), tuple(zip(targets, roots[count:], strict=True))
        )
        d = self._definition
        return Function(
            _Definition(
                d.inputs, new_graph, d.structure, name or d.name, d.engine, d.passes,
                d.allow_downcast,
            )  # fmt: skip
        )

    def __copy__(self) -> Function:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        return self.copy(share_memory=False)

    def __reduce__(self) -> tuple[Any, ...]:
        from symtensor import serialize

        d = self._definition
        keys = [(spec.default is not _MISSING, spec.default if spec.default is not _MISSING else None,
                 spec.name) for spec in d.inputs]  # fmt: skip
        engine = d.engine if isinstance(d.engine, str) or d.engine is None else d.engine.name
        options = (d.structure, d.name, engine, d.passes, d.allow_downcast)
        return _restore, (serialize.pack_graph(self.graph), keys, options)


def _restore(packed: Any, keys: list[tuple[bool, Any, str | None]], options: Any) -> Function:
    from symtensor import serialize

    graph = serialize.unpack_graph(packed)
    inputs = [
        Input(Tensor(node), default if given else _MISSING, name)
        for node, (given, default, name) in zip(graph.inputs, keys, strict=True)
    ]
    structure, name, engine, passes, allow_downcast = options
    return Function(_Definition(inputs, graph, structure, name, engine, passes, allow_downcast))


def _fresh_variable(node: Node) -> Node:
    from symtensor.ops.variables import variable

    store: Store = node.attrs["store"]
    new = variable(store.array, name=node.name, shape=node.tensor_type.shape)
    new.store.default_update = store.default_update
    return new.node


def convert_argument(value: Any, type_: TensorType, label: str, allow: bool | None) -> Array:
    """Return a call's argument as an array of the input's dtype and rank.

    Arrays are accepted when NumPy promotion of both dtypes is the input's; Python numbers and lists
    when no value changes, or as floats for a float input unless `allow` is False; anything that casts
    when `allow` is True.
    """
    if isinstance(value, Tensor) and not isinstance(value, Variable):
        raise FunctionError(f"{label}: expected a value, found the symbolic {value!r}")
    if value is None:
        raise FunctionError(f"{label}: expected a value for {type_}, found None")
    array = np.asarray(value)
    dtype = type_.dtype.numpy
    if array.dtype.hasobject or array.dtype.kind in "USVcmM":
        raise DTypeError(f"{label}: expected {type_}, found {array.dtype} ({type(value).__name__})")
    if array.dtype != dtype and not _may_cast(array, value, dtype, allow):
        raise DTypeError(
            f"{label}: expected {type_}, found {array.dtype} of shape {array.shape}",
            help="convert it with .astype, or compile with allow_downcast=True",
        )
    if array.ndim != type_.ndim:
        raise ShapeError(
            f"{label}: expected {type_.ndim} axes ({type_}), found shape {array.shape}"
        )
    return array.astype(dtype, copy=False)


def _may_cast(array: Array, value: Any, dtype: np.dtype[Any], allow: bool | None) -> bool:
    if allow or np.result_type(array.dtype, dtype) == dtype:
        return True
    if isinstance(value, (np.ndarray, np.generic)):
        return False
    if array.dtype.kind == "f" and dtype.kind == "f" and allow is None and array.size <= 1:
        return True  # a Python float is weak, as in expressions
    with np.errstate(all="ignore"):
        there = array.astype(dtype)
        return bool(np.all((there.astype(array.dtype) == array) | (array != array)))


# --- tensor.eval ---------------------------------------------------------------------------------

_cache: dict[Any, Function] = {}
_cache_lock = threading.Lock()


def evaluate(tensor: Tensor, values: Mapping[Tensor, Any], **options: Any) -> Array:
    """Return the value of a tensor for the given placeholders: what ``tensor.eval`` does.

    Recent functions are kept, so that evaluating the same tensor again does not compile again.
    """
    key = (tensor.node, tuple(x.node for x in values), tuple(sorted(options.items())),
           get_engine(options.get("engine")).name)  # fmt: skip
    with _cache_lock:
        found = _cache.get(key)
    if found is None:
        options = {"on_unused_input": "ignore", "no_default_updates": True, **options}
        found = function(list(values), tensor, **options)
        with _cache_lock:
            if len(_cache) >= 64:
                _cache.clear()
            _cache[key] = found
    result: Array = found(*values.values())
    return result


__all__ = ["Function", "Input", "convert_argument", "evaluate", "function"]
