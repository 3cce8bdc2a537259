"""Recurrent loops: `rnn` over axis 1, with masks, on the library's scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import symtensor as st
from symtensor.backend import compatibility
from symtensor.backend.handles import adopt
from symtensor.backend.tensors import as_operand, as_tensor
from symtensor.errors import AttributeValueError, ShapeError

Step = Callable[..., Any]


def _time_first(x: st.Tensor) -> st.Tensor:
    return st.swapaxes(x, 0, 1)


def _masked(mask: st.Tensor, new: st.Tensor, old: st.Tensor) -> st.Tensor:
    """Return `new` for the samples whose mask is true, `old` for the others."""
    test = st.reshape(mask, (mask.shape[0], *(1,) * (new.ndim - 1)))
    return st.where(test, new, old)


def rnn(
    step_function: Step,
    inputs: Any,
    initial_states: Sequence[Any],
    go_backwards: bool = False,
    mask: Any = None,
    constants: Sequence[Any] | None = None,
    unroll: bool = False,
    input_length: int | None = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
) -> tuple[st.Tensor, st.Tensor, list[st.Tensor]]:
    """Return the last output, all outputs (samples, time, …) and the last states.

    ``step_function(x, states + constants)`` returns an output and the next states, as many as there
    are initial ones (ValueError). Of a list or tuple of inputs it gets a list or tuple of slices. Where
    `mask`, (samples, time) or (samples, time, 1), is 0 a step repeats the output before it, zeros at
    first or with `zero_output_for_mask` always, and keeps the states. `go_backwards` reverses inputs and
    mask; outputs stay in the order of computation. `unroll` needs a known number of steps (ValueError).
    With `time_major` inputs, mask and outputs are (time, samples, …). `input_length` is not needed: the
    inputs know it.
    """
    compatibility.complete_globals(step_function)
    arranged = (lambda v: v) if time_major else _time_first
    sequences = [arranged(x) for x in _inputs(inputs)]
    given = _slices_of(inputs)
    kind = sequences[0].dtype
    states = [as_operand(s, kind) for s in initial_states]
    fixed = [as_operand(c, kind) for c in constants or ()]
    if mask is not None:
        sequences.append(arranged(_mask(mask)))
    if go_backwards:
        sequences = [st.flip(s, 0) for s in sequences]
    # Called outside of the loop first: what a step makes once and keeps, as cells of Keras do with
    # masks of dropout, is the same at all steps then.
    first, _ = step_function(given([s[0] for s in sequences]), adopt([*states, *fixed]))
    if mask is not None:
        states = [st.zeros_like(first), *states]  # what is repeated before the first output
    run = _unrolled if unroll else _scanned
    step = _plain_step(step_function, given, fixed)
    if mask is not None:
        step = _masked_step(step, zero_output_for_mask)
    outputs, last = run(step, sequences, states)
    return outputs[-1], arranged(outputs), last[mask is not None :]


def _inputs(inputs: Any) -> list[st.Tensor]:
    xs = [as_tensor(x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs])]
    for x in xs:
        if x.ndim < 2:
            raise ShapeError(
                f"rnn: expected inputs (samples, time, …), found {x.type}", code="ST0106"
            )
    return xs


def _slices_of(inputs: Any) -> Callable[[Sequence[st.Tensor]], Any]:
    """Return the function that puts slices of inputs, with others behind, into the form of the inputs."""
    if isinstance(inputs, (list, tuple)):
        form, count = type(inputs), len(inputs)
        return lambda slices: form(adopt(list(slices[:count])))
    return lambda slices: adopt(slices[0])


def _mask(mask: Any) -> st.Tensor:
    seen = st.cast(as_tensor(mask), "bool")
    if seen.ndim == 3:
        seen = st.squeeze(seen, 2)
    if seen.ndim != 2:
        raise ShapeError(f"rnn: expected a mask (samples, time), found {seen.type}", code="ST0106")
    return seen


def _plain_step(step_function: Step, given: Step, fixed: list[st.Tensor]) -> Step:
    """Return the step as ``(slices, states) -> (output, next states)``."""

    def step(slices: Sequence[st.Tensor], states: Sequence[st.Tensor]) -> Any:
        output, following = step_function(given(slices), adopt([*states, *fixed]))
        following = [as_tensor(s) for s in following]
        if len(following) != len(states):
            raise AttributeValueError(
                f"rnn: the step returned {len(following)} states, expected {len(states)}",
                code="ST0108",
            )
        return as_tensor(output), following

    return step


def _masked_step(step: Step, zero_output: bool) -> Step:
    """Return the step that heeds the mask, the last of its slices.

    The first of its states is what stands where a sample is masked: the output before it, or zeros.
    """

    def masked(slices: Sequence[st.Tensor], states: Sequence[st.Tensor]) -> Any:
        output, following = step(slices, states[1:])
        shown = _masked(slices[-1], output, states[0])
        kept = [_masked(slices[-1], n, o) for n, o in zip(following, states[1:], strict=True)]
        return shown, [states[0] if zero_output else shown, *kept]

    return masked


def _unrolled(
    step: Step, sequences: list[st.Tensor], states: list[st.Tensor]
) -> tuple[st.Tensor, list[st.Tensor]]:
    count = sequences[0].shape[0]
    if not isinstance(count, int):
        raise ShapeError("rnn: unrolling needs a known number of time steps", code="ST0305")
    outputs = []
    for i in range(count):
        output, states = step([s[i] for s in sequences], states)
        outputs.append(output)
    return st.stack(outputs), states


def _scanned(
    step: Step, sequences: list[st.Tensor], states: list[st.Tensor]
) -> tuple[st.Tensor, list[st.Tensor]]:
    count = len(sequences)

    def fn(*arguments: st.Tensor) -> list[st.Tensor]:
        output, following = step(arguments[:count], arguments[count:])
        return [output, *following]

    stacked, _ = st.scan(fn, sequences, [None, *states], return_list=True)
    return stacked[0], [s[-1] for s in stacked[1:]]
