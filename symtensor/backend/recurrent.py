"""Recurrent loops: `rnn` over axis 1, with masks, on the library's scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import symtensor as st
from symtensor.backend.tensors import as_tensor

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
) -> tuple[st.Tensor, st.Tensor, list[st.Tensor]]:
    """Return the last output, all outputs (samples, time, …) and the last states.

    ``step_function(x, states + constants)`` returns an output and the next states. Where `mask`
    (samples, time) is 0 a step repeats the output before it (zeros at first) and keeps the states.
    `go_backwards` reverses inputs and mask; outputs stay in the order of computation. `unroll` needs
    a known number of steps (ValueError).
    """
    x = _time_first(as_tensor(inputs))
    states = [as_tensor(s) for s in initial_states]
    fixed = [as_tensor(c) for c in constants or ()]
    sequences = [x]
    if mask is not None:
        seen = st.cast(as_tensor(mask), "bool")
        seen = st.squeeze(seen, 2) if seen.ndim == 3 else seen
        sequences.append(_time_first(seen))
    if go_backwards:
        sequences = [st.flip(s, 0) for s in sequences]
    if mask is not None:
        # what the first step would return, for its type: zeros are repeated before it
        first, _ = step_function(x[0], [*states, *fixed])
        states = [st.zeros_like(first), *states]
    run = _unrolled if unroll else _scanned
    outputs, last = run(_one_step(step_function, fixed, mask is not None), sequences, states)
    return outputs[-1], _time_first(outputs), last[mask is not None :]


def _one_step(step_function: Step, fixed: list[st.Tensor], masked: bool) -> Step:
    """Return the step as ``(slices, states) -> (output, next states)``.

    With a mask the output before is the first of the states.
    """

    def plain(slices: Sequence[st.Tensor], states: Sequence[st.Tensor]) -> Any:
        output, following = step_function(slices[0], [*states, *fixed])
        return output, list(following)

    def guarded(slices: Sequence[st.Tensor], states: Sequence[st.Tensor]) -> Any:
        output, following = step_function(slices[0], [*states[1:], *fixed])
        kept = [_masked(slices[1], n, o)
                for n, o in zip([output, *following], states, strict=True)]  # fmt: skip
        return kept[0], kept

    return guarded if masked else plain


def _unrolled(
    step: Step, sequences: list[st.Tensor], states: list[st.Tensor]
) -> tuple[st.Tensor, list[st.Tensor]]:
    count = sequences[0].shape[0]
    if not isinstance(count, int):
        raise ValueError("rnn: unrolling needs a known number of time steps")
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
