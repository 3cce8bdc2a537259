"""Table D: values, updates, functions, gradients."""

import numpy as np
import pytest

from symtensor import backend as K

from .sample import A, fact


@fact("get_value", "set_value", "batch_get_value", "batch_set_value")
def values_are_read_and_replaced():
    x, count = K.variable(A), K.variable(3, dtype="int64")
    K.get_value(x)[:] = 0
    np.testing.assert_allclose(K.get_value(x), A, rtol=1e-6)
    K.set_value(x, A.tolist())
    K.batch_set_value([(count, 5.0), (x, 0)])
    found = K.batch_get_value([x, count])
    assert found[0].dtype == "float32" and not found[0].any() and found[0].shape == A.shape
    assert found[1] == 5 and found[1].dtype == "int64"
    assert K.batch_get_value([]) == [] and K.batch_set_value([]) is None
    with pytest.raises(ValueError):
        K.set_value(x, A[:2])


@fact("print_tensor")
def printing_is_an_identity():
    x = K.placeholder((2,))
    y = K.print_tensor(x * 2, "twice")
    (slope,) = K.gradients(K.sum(K.square(y)), [x])
    found = K.function([x], [y, slope])([[1, 2]])
    assert [v.tolist() for v in found] == [[2, 4], [8, 16]]


@fact("update", "update_add", "update_sub", "moving_average_update")
def updates_of_functions_and_of_eval():
    x, n, mean = K.variable([1.0, 2.0]), K.variable(7, dtype="int64"), K.variable(1.0)
    ops = [K.update(x, x * 3), K.update_add(n, 1), K.moving_average_update(mean, 3, 0.75)]
    assert K.function([], [n], updates=ops)([])[0] == 7
    assert K.get_value(x).tolist() == [3, 6] and K.get_value(n) == 8 and K.get_value(mean) == 1.5
    assert K.eval(K.update_sub(n, 2)) == 6 and K.get_value(n) == 6
    assert K.get_value(n).dtype == "int64"


@fact("function")
def functions_take_and_give_lists():
    x, n, unused = K.placeholder((None, 2)), K.placeholder((), dtype="int32"), K.placeholder((3,))
    v = K.variable([1.0, 2.0])
    run = K.function([x, n, unused], [x * 2, n + 1, v], name="train_function")
    found = run([[[1, 2]], 3.0, np.zeros(3)])
    assert isinstance(found, list) and [y.tolist() for y in found] == [[[2, 4]], 4, [1, 2]]
    assert [str(y.dtype) for y in found] == ["float32", "int32", "float32"]
    assert K.function([x], [x + 1])([np.array([[True, False]])])[0].tolist() == [[2, 1]]


@fact("function", "update")
def updates_read_old_values_and_metrics_new_ones():
    a, b = K.variable(1.0), K.variable(10.0)
    metric = K.identity(a * 2)
    metric._is_metric = True
    step = K.function([], [a + b, metric], updates=[(a, b), K.update_add(b, 1), (a, b + 100)])
    assert [float(v) for v in step([])] == [11.0, 20.0]
    assert K.get_value(a) == 10 and K.get_value(b) == 11


@fact("gradients")
def gradients_of_inputs_and_of_what_lies_between():
    x = K.placeholder((3,))
    y = x * K.exp(x)
    between, apart = K.gradients(K.sum(y * y), [y, K.variable(1.0)])
    assert apart is None
    (first,) = K.gradients(y, x)  # of the sum, by one tensor
    (second,) = K.gradients(K.sum(first), [x])
    value = np.array([0.1, 0.2, 0.3])
    found = K.function([x], [between, first, second])([value])
    for y, true in zip(found, (2 * value, 1 + value, 2 + value), strict=True):
        np.testing.assert_allclose(y, true * np.exp(value), rtol=1e-5)


@fact("stop_gradient")
def stopped_values_are_constants():
    x = K.placeholder((3,))
    assert K.gradients(K.sum(K.stop_gradient(x)), [x]) == [None]
    a, b = K.stop_gradient([x * 2, x])
    (slope,) = K.gradients(K.sum(a * x + b), [x])
    assert K.function([x], [slope])([[1, 2, 3]])[0].tolist() == [2, 4, 6]
