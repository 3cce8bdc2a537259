"""Traps of Keras backends: what Keras asks of tensors, functions and updates."""

import copy
import importlib
import sys

import numpy as np
import pytest
from running import A, run

from symtensor import backend as K


def test_tensors_are_keys_and_equal_only_themselves():
    x, y = K.placeholder((2,)), K.placeholder((2,))
    assert {x: 1, y: 2}[y] == 2 and x in [x] and y not in [x] and (x == y) is False


@pytest.mark.parametrize(
    "scalar", [2, 2.0, np.float32(2), np.float64(2), np.array(2.0), np.int64(2)]
)
def test_operators_take_numbers_of_all_kinds(scalar):
    x = K.placeholder((2,))
    built = [x + scalar, scalar + x, x - scalar, scalar - x, x * scalar, scalar * x, x / scalar,
             scalar / x, x // scalar, x**scalar, scalar**x, -x]  # fmt: skip
    assert {K.dtype(y) for y in built} == {"float32"}
    found = K.function([x], built)([[1.0, 4.0]])
    wanted = [[3, 6], [3, 6], [-1, 2], [1, -2], [2, 8], [2, 8], [0.5, 2], [2, 0.5], [0, 2], [1, 16],
              [2, 16], [-1, -4]]  # fmt: skip
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    compared = [x < scalar, x <= scalar, x > scalar, x >= scalar]
    assert {K.dtype(y) for y in compared} == {"bool"}


def test_operators_in_place_make_new_tensors():
    x = y = K.variable(1.0)
    y += 1
    y *= 3
    assert y is not x and K.eval(y) == 6 and K.eval(x) == 1


def test_tensors_are_indexed():
    def build(x):
        n = K.shape(x)
        return [x[0], x[:, 1:3], x[..., -1], x[:, None], x[: n[0] - 1], x[n[0] - 1], x[K.argmax(x[:, 0])],
                x[::-1]]  # fmt: skip

    found = run(build, A, shapes=[(None, 4)])
    wanted = [A[0], A[:, 1:3], A[..., -1], A[:, None], A[:2], A[2], A[A[:, 0].argmax()], A[::-1]]
    for y, true in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(y, true)


def test_tensors_are_no_conditions_and_have_no_unknown_length():
    x = K.placeholder((None, 2))
    with pytest.raises(TypeError):
        bool(K.greater(x, 0))
    with pytest.raises(TypeError):
        list(x)
    assert len(list(K.placeholder((3, 2)))) == 3


def test_tensors_are_printed_without_evaluating():
    for x in (K.placeholder((None, 2)), K.variable(A), K.random_normal((2,)) * 2):
        assert isinstance(repr(x), str) and isinstance(str(x), str)


def test_tensors_are_copied_by_keras_configs():
    x = K.variable(1.0)
    assert copy.copy(x) is not None


def test_bare_pairs_are_updates():
    state, x = K.variable([0.0]), K.placeholder((1,))
    step = K.function([x], [state * 1], updates=[(state, state + x)])
    assert [step([[2]])[0].tolist() for _ in range(2)] == [[0], [2]]


def test_what_is_made_after_ops_runs_them_once():
    total = K.variable(0.0)
    op = K.update_add(total, 5)
    with K.control_dependencies([op]):
        result = K.identity(total)
    assert K.eval(result) == 5 and K.get_value(total) == 5
    assert K.function([], [result], updates=[op])([])[0] == 10 and K.get_value(total) == 10


def test_gradients_are_clipped_by_a_scalar_condition():
    x = K.placeholder((2,))
    (g,) = K.gradients(K.sum(K.square(x)), [x])
    norm = K.sqrt(sum([K.sum(K.square(v)) for v in [g]]))
    clipped = K.function([x], [K.switch(K.greater_equal(norm, 1.0), g * 1.0 / norm, g)])
    np.testing.assert_allclose(clipped([[3, 4]])[0], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(clipped([[0.3, 0.0]])[0], [0.6, 0.0], rtol=1e-6)


def test_names_are_in_the_modules_dict():
    assert set(K.__all__) <= set(vars(K))


def test_importing_again_is_harmless():
    before = sys.modules["symtensor.backend"]
    x = K.variable(1.0)
    again = importlib.reload(before)
    assert again.is_variable(x) and again.eval(again.relu(x)) == 1
