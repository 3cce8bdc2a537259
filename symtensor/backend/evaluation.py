"""Values, updates, compiled functions and gradients.

`eval` and the values of variables go through the numpy engine: nothing is compiled. `function`
compiles; a fed learning phase picks one of two compiled programs, each with the phase as a constant.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import symtensor as st
from symtensor.backend import tensors
from symtensor.backend.handles import KerasTensor
from symtensor.backend.sparse import SparsePlaceholder
from symtensor.backend.tensors import as_tensor
from symtensor.errors import AttributeValueError, GradientError
from symtensor.ir.graph import replace_nodes

Array = np.ndarray[Any, Any]

LARGE = 100_000
"""Elements from which compiling takes less time than it saves: NumPy draws a million random weights in a
second, native code in 50 ms."""


class Update(KerasTensor):
    """The next value of a variable, as a tensor; evaluating it stores it."""

    def __init__(self, target: st.Variable, value: Any) -> None:
        new = value if isinstance(value, st.Tensor) else as_tensor(value, target.dtype)
        super().__init__(st.specify_shape(st.cast(new, target.dtype), target.shape).node)
        self.target = target


_controls: list[list[Update]] = []


def get_value(x: Any) -> Array:
    """Return a copy of the value of a variable; other tensors are evaluated."""
    if isinstance(x, st.Variable):
        return x.get_value()
    return eval(x)


def batch_get_value(ops: Sequence[Any]) -> list[Array]:
    """Return the values of variables."""
    return [get_value(x) for x in ops]


def set_value(x: st.Variable, value: Any) -> None:
    """Replace the value of a variable; it is cast to the variable's dtype, its shape must fit."""
    x.set_value(np.asarray(value).astype(x.dtype.numpy))


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """Replace the values of variables, given as pairs; a scalar fills its variable."""
    for x, value in tuples:
        array = np.asarray(value)
        set_value(x, np.full(x.store.array.shape, array) if not array.ndim else array)


def update(x: st.Variable, new_x: Any) -> Update:
    """Return the update of a variable to a new value."""
    return Update(x, new_x)


def update_add(x: st.Variable, increment: Any) -> Update:
    """Return the update that adds to a variable, in its dtype."""
    return Update(x, x + st.cast(as_tensor(increment, x.dtype), x.dtype))


def update_sub(x: st.Variable, decrement: Any) -> Update:
    """Return the update that subtracts from a variable, in its dtype."""
    return Update(x, x - st.cast(as_tensor(decrement, x.dtype), x.dtype))


def moving_average_update(x: st.Variable, value: Any, momentum: Any) -> Update:
    """Return the update to ``x * momentum + value * (1 - momentum)``."""
    value = st.cast(as_tensor(value, x.dtype), x.dtype)
    return Update(x, x * momentum + value * (1 - momentum))


@contextmanager
def control_dependencies(control_inputs: Any) -> Iterator[None]:
    """Within, tensors made by `identity` are evaluated after the given updates, however nested."""
    _controls.append(_updates_among(control_inputs))
    try:
        yield
    finally:
        _controls.pop()


def _updates_among(given: Any) -> list[Update]:
    if isinstance(given, (list, tuple)):
        return [op for item in given for op in _updates_among(item)]
    return [given] if isinstance(given, Update) else []


def identity(x: Any, name: str | None = None) -> st.Tensor:
    """Return a new handle on the value of `x`, with attributes of its own."""
    out = tensors.identity(x)
    after = [op for ops in _controls for op in ops]
    if after:
        vars(out).update(_after=after)
    return out


def _pairs(updates: Any) -> dict[st.Variable, st.Tensor]:
    """Return variables and next values; of several updates of one variable the first counts."""
    found: dict[Any, Any] = {}
    for item in updates or ():
        op = item if isinstance(item, Update) else Update(*item)
        found.setdefault(op.target.node, op)
    return {op.target: op for op in found.values()}


def _ordered(outputs: list[st.Tensor], updates: dict[st.Variable, st.Tensor]) -> list[st.Tensor]:
    """Return outputs, where metrics and controlled tensors read the values after the updates."""
    following = {target.node: new.node for target, new in updates.items()}
    late = [bool(getattr(x, "_is_metric", False) or getattr(x, "_after", ())) for x in outputs]
    nodes = replace_nodes([x.node for x in outputs], following) if any(late) else []
    return [st.Tensor(nodes[i]) if late[i] else x for i, x in enumerate(outputs)]


def _collected(outputs: list[st.Tensor], updates: Any) -> dict[st.Variable, st.Tensor]:
    own = [x for x in outputs if isinstance(x, Update)]
    after = [op for x in outputs for op in getattr(x, "_after", ())]
    return _pairs([*(updates or ()), *own, *after])


def eval(x: Any) -> Array:
    """Return the value of a tensor without inputs; of an update, which it performs.

    The learning phase counts as 0. Nothing is compiled, unless there are more than `LARGE` elements.
    """
    return evaluate([as_tensor(x)])[0]


def evaluate(xs: list[st.Tensor]) -> list[Array]:
    """Return the values of tensors without inputs, computed at once; updates are performed."""
    updates = _collected(xs, ())
    givens = _phase_givens([*xs, *updates.values()], False)
    outputs = _ordered(xs, updates)
    engine = "llvm" if _elements([*outputs, *updates.values()]) > LARGE else "numpy"
    run = st.function([], outputs, list(updates.items()), givens, engine=engine, passes=[])
    values: list[Array] = run()
    return values


def _elements(xs: list[st.Tensor]) -> int:
    """Return how many elements tensors have, leaving out those of sizes that are not known."""
    sizes = (x.node.tensor_type.size for x in xs)
    return sum(size for size in sizes if isinstance(size, int))


def _phase_givens(roots: list[st.Tensor], phase: bool) -> dict[st.Tensor, Any]:
    if not tensors.depends_on_phase([x.node for x in roots]):
        return {}
    return {tensors.symbolic_learning_phase(): st.constant(phase)}


class KerasFunction:
    """A compiled function that takes one list and returns a list of arrays."""

    def __init__(self, inputs: Any, outputs: Any, updates: Any, name: str | None) -> None:
        phase = tensors.symbolic_learning_phase().node
        given = list(inputs)
        self.name = name
        self._phase_at = [
            i for i, x in enumerate(given) if isinstance(x, int) or x.node is phase
        ]  # a fixed phase is an int among the inputs
        self._inputs = [x for i, x in enumerate(given) if i not in self._phase_at]
        self._parts = [
            part for x in self._inputs for part in getattr(x, "parts", [x])
        ]  # a sparse input is fed in parts
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        plain = [as_tensor(x) for x in listed]
        self._updates = _collected(plain, updates)
        self._outputs = _ordered(plain, self._updates)
        self._programs: dict[bool, st.Function] = {}

    def __call__(self, inputs: Sequence[Any]) -> list[Array]:
        """Return the outputs for one value per input; values are cast to the inputs' dtypes."""
        values = list(inputs)
        phase = any(bool(values[i]) for i in self._phase_at)
        fed = [v for i, v in enumerate(values) if i not in self._phase_at]
        if len(self._parts) != len(self._inputs):
            fed = self._in_parts(fed)
        result: list[Array] = self.program(phase)(*fed)
        return result

    def _in_parts(self, fed: list[Any]) -> list[Any]:
        if len(fed) != len(self._inputs):
            raise AttributeValueError(
                f"expected {len(self._inputs)} inputs, found {len(fed)}", code="ST0707"
            )
        pairs = zip(self._inputs, fed, strict=True)
        values = [x.feed(v) if isinstance(x, SparsePlaceholder) else [v] for x, v in pairs]
        return [part for value in values for part in value]

    def program(self, phase: bool = False) -> st.Function:
        """Return the compiled function of one learning phase, compiled at its first use."""
        if phase not in self._programs:
            roots = [*self._outputs, *self._updates.values()]
            self._programs[phase] = st.function(
                self._parts,
                self._outputs,
                list(self._updates.items()),
                _phase_givens(roots, phase),
                name=self.name,
                on_unused_input="ignore",
                allow_downcast=True,
            )
        return self._programs[phase]


def function(
    inputs: Any, outputs: Any, updates: Any = None, name: str | None = None, **kwargs: Any
) -> KerasFunction:
    """Return a callable that takes a list of values and returns a list of arrays.

    All updates are computed from old values. Raises ValueError for other keywords.
    """
    for key in kwargs:
        raise AttributeValueError(f'Invalid argument "{key}" passed to K.function')
    return KerasFunction(inputs, outputs, updates, name)


def gradients(loss: st.Tensor, variables: Any) -> list[Any]:
    """Return the gradient of the sum of `loss` by each variable, None for unconnected ones."""
    listed = list(variables) if isinstance(variables, (list, tuple)) else [variables]
    if not isinstance(loss, st.Tensor):
        raise GradientError(f"gradients: expected a tensor as loss, found {loss!r}", code="ST0601")
    scalar = st.sum(loss) if loss.ndim else loss
    return list(st.gradients(scalar, listed, disconnected="none"))


def stop_gradient(variables: Any) -> Any:
    """Return a tensor, or a list of them, as constants for gradients."""
    if isinstance(variables, (list, tuple)):
        return [st.stop_gradient(x) for x in variables]
    return st.stop_gradient(variables)


def _print(x: Array, message: str, shown: int) -> Array:
    limit = sys.maxsize if shown < 0 else 0
    print(message, np.array2string(np.asarray(x), threshold=limit, edgeitems=max(shown, 1)))
    return x


_print_op = st.custom_op(
    "keras_print",
    _print,
    infer=lambda x, message, shown: x,
    vjp=lambda g, y, x, message, shown: (g,),
    doc="The operand; each evaluation prints it to stdout.",
)


def print_tensor(x: st.Tensor, message: str = "", summarize: int = 3) -> st.Tensor:
    """Return `x`; each evaluation prints the message and the value to stdout.

    Of longer axes the first and last `summarize` elements are shown; -1 shows all.
    """
    out: st.Tensor = _print_op(x, message=message, shown=summarize)
    return out
