"""Table J: conditions, phases and loops."""

import numpy as np

from symtensor import backend as K

from .sample import BOOLS, CUBE, RNG, ROW, A, B, fact, sample

# fmt: off

W, U = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 2))
STATE = RNG.normal(size=(2, 2))
SHIFT = RNG.normal(size=2)
MASK = np.array([[1, 0, 1], [0, 1, 0]], "i4")

YES, NO = np.array(True), np.array(False)
sample("switch", np.where, YES, A, B)
sample("switch", np.where, NO, A, B, note="to the second")
sample("switch", np.where, np.array(2, "i4"), A, B, note="any number but 0 is true")
sample("switch", np.where, BOOLS, A, B, note="elements")
sample("switch", lambda c, x, y: np.where(c[:, None], x, y), BOOLS[:, 0], A, B, note="rows")
sample("switch", lambda c, x, y: np.where(c[:, None, None], x, y), BOOLS[:2, 0], CUBE, CUBE[::-1],
       note="leading axes")
sample("switch", lambda c, x, y: np.where(c, x * 2, y), NO, A, B, note="functions",
       build=lambda c, x, y: K.switch(c, lambda: x * 2, lambda: y))
sample("switch", lambda g: g * 0.5 / np.linalg.norm(g), A, note="the norm of a gradient limited",
       build=lambda g: K.switch(K.greater_equal(K.sqrt(K.sum(K.square(g))), 0.5),
                                g * 0.5 / K.sqrt(K.sum(K.square(g))), g))
for phase in (True, False):
    sample("in_train_phase", lambda x, y, t: x if t else y, A, B, np.array(phase), note=f"{phase}",
           build=lambda x, y, t: K.in_train_phase(x, lambda: y, t))
    sample("in_test_phase", lambda x, y, t: y if t else x, A, B, np.array(phase), note=f"{phase}",
           build=lambda x, y, t: K.in_test_phase(x, y, training=t))
sample("in_train_phase", lambda x, y: y, A, B, note="an unfed phase is 0")
sample("in_test_phase", lambda x, y: x, A, B, note="an unfed phase is 0")
sample("map_fn", lambda x: x.sum(1) ** 2, A,
       build=lambda x: K.map_fn(lambda e: K.square(K.sum(e)), x))
sample("map_fn", lambda x: np.array([0.0, 2.0, 4.0]), A, slopes=False, note="another dtype",
       build=lambda x: K.map_fn(lambda i: 2.0 * K.cast(i, x.dtype), K.arange(3), dtype=x.dtype))
sample("map_fn", lambda x: x[[0, 1, 2]], A, note="elements of an outer tensor",
       build=lambda x: K.map_fn(lambda i: x[i], K.arange(3), dtype=x.dtype))
sample("foldl", lambda x: (x[0] * 2 + x[1]) * 2 + x[2], A,
       build=lambda x: K.foldl(lambda a, e: a * 2 + e, x))
sample("foldl", lambda x, s: (((s * 2 + x[0]) * 2 + x[1]) * 2 + x[2]), A, ROW, note="an initializer",
       build=lambda x, s: K.foldl(lambda a, e: a * 2 + e, x, initializer=s))
sample("foldr", lambda x: (x[2] * 2 + x[1]) * 2 + x[0], A,
       build=lambda x: K.foldr(lambda a, e: a * 2 + e, x))
sample("foldr", lambda x, s: (((s * 2 + x[2]) * 2 + x[1]) * 2 + x[0]), A, ROW, note="an initializer",
       build=lambda x, s: K.foldr(lambda a, e: a * 2 + e, x, initializer=s))


def recurrence(x, state, w, u, shift=0.0, mask=None, backwards=False, zeroed=False):
    """Return last output, outputs and last state of a loop whose output is twice its state."""
    mask = np.ones(x.shape[:2]) if mask is None else mask
    order = range(x.shape[1])[:: -1 if backwards else 1]
    out, outputs = np.zeros_like(state), []
    for t in order:
        new = np.tanh(x[:, t] @ w + state @ u + shift)
        keep = mask[:, t, None] != 0
        out = np.where(keep, new * 2, 0 * out if zeroed else out)
        state = np.where(keep, new, state)
        outputs.append(out)
    return out, np.stack(outputs, 1), state


def loop(x, state, w, u, shift=None, mask=None, **options):
    def step(now, states):
        new = K.tanh(K.dot(now, w) + K.dot(states[0], u) + (0.0 if shift is None else states[1]))
        return new * 2, [new]

    constants = None if shift is None else [shift]
    last, outputs, (after,) = K.rnn(step, x, [state], mask=mask, constants=constants, **options)
    return last, outputs, after


THREE = ("float",) * 3
LOOPS = {
    "scanned": {}, "backwards": {"go_backwards": True}, "unrolled": {"unroll": True, "input_length": 3},
    "unrolled backwards": {"unroll": True, "go_backwards": True},
}
for note, options in LOOPS.items():
    known, back = "unroll" in options, "go_backwards" in options
    sample("rnn", lambda *a, back=back: recurrence(*a, backwards=back), CUBE, STATE, W, U, SHIFT,
           build=lambda *a, options=options: loop(*a, **options), note=note, gives=THREE,
           known=known)
    sample("rnn", lambda x, s, w, u, m, back=back: recurrence(x, s, w, u, 0.0, m, back), CUBE,
           STATE, W, U, MASK, note=f"{note}, masked", gives=THREE, known=known,
           build=lambda x, s, w, u, m, options=options: loop(x, s, w, u, mask=m, **options))
sample("rnn", lambda x, s, w, u, m: recurrence(x, s, w, u, 0.0, m[..., 0]), CUBE, STATE, W, U,
       MASK[..., None] != 0, note="a mask of bools with a last axis of 1", gives=THREE, known=True,
       build=lambda x, s, w, u, m: loop(x, s, w, u, mask=m))




def pair_loop(x, y, state, mask=None, **options):
    """Loop over two sequences at once."""

    def step(now, states):
        new = K.tanh(now[0] * 2 + now[1] + states[0])
        return new, [new]

    return K.rnn(step, (x, y), [state], mask=mask, **options)[0]


def pair_recurrence(x, y, state, mask=None):
    mask = np.ones(x.shape[:2]) if mask is None else mask
    for t in range(x.shape[1]):
        state = np.where(mask[:, t, None] != 0, np.tanh(x[:, t] * 2 + y[:, t] + state), state)
    return state


PAIR = (CUBE, CUBE[::-1] + 0.5, CUBE[:, 0] * 0)
for unroll in (False, True):
    sample("rnn", pair_recurrence, *PAIR, note=f"two inputs, unrolled {unroll}", known=unroll,
           build=lambda x, y, s, unroll=unroll: pair_loop(x, y, s, unroll=unroll))
sample("rnn", pair_recurrence, *PAIR, MASK, note="two inputs, masked", build=pair_loop)


def time_first(x, *rest):
    """Return the truth with time in front, and zeros for masked outputs."""
    last, outputs, state = recurrence(x.swapaxes(0, 1), *rest[:-1], 0.0, rest[-1].T, zeroed=True)
    return last, outputs.swapaxes(0, 1), state


for unroll in (False, True):
    sample("rnn", time_first, CUBE.swapaxes(0, 1), STATE, W, U, MASK.T, gives=THREE, known=unroll,
           note=f"time first, masked outputs 0, unrolled {unroll}",
           build=lambda x, s, w, u, m, unroll=unroll: loop(
               x, s, w, u, mask=m, unroll=unroll, time_major=True, zero_output_for_mask=True))


@fact("rnn")
def without_states_a_loop_maps():
    x = K.placeholder((None, 3, 4))
    last, outputs, states = K.rnn(lambda now, states: (now * 2, []), x, [])
    found = K.function([x], [last, outputs])([CUBE])
    np.testing.assert_allclose(found[0], CUBE[:, -1] * 2, rtol=1e-6)
    np.testing.assert_allclose(found[1], CUBE * 2, rtol=1e-6)
    assert list(states) == []
