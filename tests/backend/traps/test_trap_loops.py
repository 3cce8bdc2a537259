"""Traps of Keras backends: recurrent loops, switches, maps and folds (table J)."""

import numpy as np
import pytest
from running import CUBE, A, run

from symtensor import backend as K

# --- J: control flow -----------------------------------------------------------------------------


def test_a_masked_step_repeats_the_output_and_keeps_the_state():
    x = np.arange(1, 7, dtype="f4").reshape(1, 6, 1)
    mask = np.array([[0, 1, 0, 0, 1, 0]], "f4")

    def step(now, states):
        return now * 10, [states[0] + now]

    def build(a, m):
        last, outputs, states = K.rnn(step, a, [K.zeros_like(a[:, 0])], mask=m)
        return [last, outputs, states[0]]

    last, outputs, state = run(build, x, mask)
    assert outputs.ravel().tolist() == [0, 20, 20, 20, 50, 50] and last == 50 and state == 7


@pytest.mark.parametrize("kind", ["bool", "uint8", "float32"])
@pytest.mark.parametrize("last", [False, True])
def test_masks_of_any_dtype_with_or_without_a_last_axis(kind, last):
    mask = np.array([[1, 0, 1], [0, 1, 1]]).astype(kind)
    mask = mask[..., None] if last else mask

    def build(a, m):
        return K.rnn(lambda now, s: (now + s[0], [now + s[0]]), a, [a[:, 0] * 0], mask=m)[0]

    wanted = [CUBE[0, [0, 2]].sum(0), CUBE[1, 1:].sum(0)]
    np.testing.assert_allclose(run(build, CUBE, mask), wanted, rtol=1e-5)


def test_going_backwards_reverses_input_and_mask_but_not_outputs():
    x, mask = np.arange(4, dtype="f4").reshape(1, 4, 1), np.array([[1, 1, 0, 1]])

    def build(a, m):
        _, outputs, states = K.rnn(
            lambda now, s: (now, [s[0] * 10 + now]), a, [a[:, 0] * 0], go_backwards=True, mask=m
        )
        return [outputs, states[0]]

    outputs, state = run(build, x, mask)
    assert outputs.ravel().tolist() == [3, 3, 1, 0] and state == 310


def test_output_and_state_are_masked_by_their_own_rank():
    x = np.ones((2, 3, 4), "f4")
    mask = np.array([[1, 1, 0], [1, 0, 0]])

    def step(now, states):
        new = states[0] + K.reshape(now, (2, 2, 2))
        return K.sum(new, axis=(1, 2)), [new]

    def build(a, m):
        last, _, states = K.rnn(step, a, [K.zeros((2, 2, 2))], mask=m)
        return [last, states[0]]

    last, state = run(build, x, mask)
    assert last.tolist() == [8, 4] and state[:, 0, 0].tolist() == [2, 1]


def test_unrolling_one_step():
    def build(a):
        last, outputs, states = K.rnn(
            lambda now, s: (now + s[0], [s[0] + 1]), a, [a[:, 0] * 0], unroll=True
        )
        return [last, outputs, states[0]]

    last, outputs, state = run(build, CUBE[:, :1])
    np.testing.assert_array_equal(last, CUBE[:, 0])
    assert outputs.shape == (2, 1, 4) and (state == 1).all()


def test_a_loop_without_states_takes_a_mask():
    def build(a, m):
        return K.rnn(lambda now, s: (now * 2, []), a, [], mask=m)[1]

    found = run(build, CUBE, np.array([[1, 0, 1], [0, 1, 0]]))
    np.testing.assert_allclose(found[0, 1], CUBE[0, 0] * 2, rtol=1e-6)
    assert not found[1, 0].any()


def test_a_step_that_reads_the_phase_marks_the_last_output():
    x = K.placeholder((None, 3, 4))
    last, _, _ = K.rnn(lambda now, s: (K.in_train_phase(now * 2, now), []), x, [])
    assert last._uses_learning_phase
    run = K.function([x, K.learning_phase()], [last])
    np.testing.assert_allclose(run([CUBE, 1])[0], CUBE[:, -1] * 2, rtol=1e-6)
    np.testing.assert_allclose(run([CUBE, 0])[0], CUBE[:, -1], rtol=1e-6)


def test_a_dropout_mask_made_outside_is_a_constant_of_the_loop():
    x = K.placeholder((2, 3, 4))
    noise = K.dropout(K.ones_like(x[:, 0]), 0.5, seed=1)
    _, outputs, _ = K.rnn(lambda now, s: (s[0] * 1, []), x, [], constants=[noise])
    (found,) = K.function([x], [outputs])([CUBE])
    assert (found == found[:, :1]).all() and set(np.unique(found)) == {0, 2}


def test_states_keep_a_static_size():
    """What Keras makes of inputs for an initial state."""
    x = K.placeholder((None, 5, 3))
    state = K.tile(K.expand_dims(K.sum(K.zeros_like(x), axis=(1, 2))), [1, 7])
    assert K.int_shape(state) == (None, 7)


def test_a_scalar_condition_takes_branches_of_two_kinds():
    x = K.placeholder((None, 4))
    for condition, wanted in ((True, A * 2), (False, A)):
        test = K.constant(condition, dtype="bool")
        y = K.switch(test, lambda: x * 2, x)
        np.testing.assert_allclose(K.function([x], [y])([A])[0], wanted)


def test_a_condition_is_aligned_with_the_leading_axes():
    found = run(lambda c, x: K.switch(c, x, x * 0), np.array([1, 0], "i4"), CUBE)
    assert (found[0] == CUBE[0]).all() and not found[1].any()
    with pytest.raises(ValueError):
        K.switch(K.placeholder((2, 3)), K.placeholder((2,)), K.placeholder((2,)))


def test_many_switches_one_behind_the_other_stay_small():
    """A branch given as a tensor is no part of the switch: 2**40 copies would be."""
    x = K.placeholder((None,))
    y = x
    for _ in range(40):
        y = K.in_train_phase(y + 1, lambda y=y: y + 2)
        y = K.switch(K.sum(x) > 0, y + 1, y - 1)
    step = K.function([x, K.learning_phase()], [y, *K.gradients(K.sum(y), [x])])
    for phase, each in ((1, 2), (0, 3)):
        value, slope = step([np.array([1.0, 2.0]), phase])
        np.testing.assert_array_equal(value, np.array([1, 2]) + 40 * each)
        np.testing.assert_array_equal(slope, [1, 1])


def test_map_fn_may_give_another_dtype():
    x = K.placeholder((None,), dtype="int32")
    y = K.map_fn(lambda i: K.cast(i, "float32") * 0.5, x, dtype="float32")
    assert K.function([x], [y])([[1, 2]])[0].tolist() == [0.5, 1]


def test_map_fn_may_index_outer_tensors():
    x = K.placeholder((None, 4))
    y = K.map_fn(lambda i: K.sum(x[i]), K.arange(3), dtype="float32")
    np.testing.assert_allclose(K.function([x], [y])([A])[0], A.sum(1), rtol=1e-5)


def test_map_fn_takes_several_tensors():
    y = K.map_fn(lambda pair: pair[0] * pair[1], (K.constant([1.0, 2]), K.constant([3.0, 4])),
                 dtype="float32")  # fmt: skip
    assert K.eval(y).tolist() == [3, 8]


def test_folds_go_their_way():
    """In float32 1 + 1e-20 - 1 depends on the order."""
    x = np.array([1e-20, 1, -1], "f4")
    left, right = run(lambda v: [K.foldl(lambda a, e: a + e, v), K.foldr(lambda a, e: a + e, v)], x)
    assert left == 0 and right == np.float32(1e-20)
