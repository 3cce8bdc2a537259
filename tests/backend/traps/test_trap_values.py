"""Traps of Keras backends: configuration, variables, asking, updates, gradients (tables A to D)."""

import numpy as np
import pytest
import scipy.sparse
from running import A, run, value_and_slope

from symtensor import backend as K

# --- A: configuration, names, phases -------------------------------------------------------------


@pytest.mark.parametrize("bad", ["", "beerfloat", 123, None])
def test_a_wrong_floatx_is_refused_and_the_value_stays(bad):
    with pytest.raises(ValueError):
        K.set_floatx(bad)
    assert K.floatx() == "float32"


def test_cast_to_floatx_gives_0_d_arrays_that_stand_left_of_tensors():
    alpha = K.cast_to_floatx(2.0)
    assert isinstance(alpha, np.ndarray) and alpha.shape == () and alpha.dtype == "float32"
    x = K.placeholder((2,))
    built = [alpha * x, alpha + x, alpha - x, alpha / x, alpha**x, x * alpha]
    assert all(K.is_tensor(y) and K.dtype(y) == "float32" for y in built)
    found = K.function([x], built)([[1.0, 2.0]])
    assert [y.tolist() for y in found] == [[2, 4], [3, 4], [1, 0], [2, 1], [2, 4], [2, 4]]


def test_data_formats_are_lower_cased_and_checked():
    assert K.normalize_data_format("CHANNELS_FIRST") == "channels_first"
    for bad in ("channels_middle", 3):
        with pytest.raises(ValueError):
            K.normalize_data_format(bad)
    with pytest.raises(ValueError):
        K.set_image_data_format("channels_middle")
    assert K.image_data_format() == "channels_last"


def test_uids_begin_with_1():
    K.reset_uids()
    assert K.get_uid("dense") == 1 and K.get_uid("dense") == 2


def test_a_shape_is_evaluated_by_a_session():
    x = K.variable(A)
    assert K.shape(x).eval(session=K.get_session()).tolist() == [3, 4]


def test_a_scope_may_be_given_as_a_name():
    with K.name_scope("metrics") as scope:
        assert K.eval(K.size(K.variable(A), name=scope)) == 12


def test_names_are_unique_within_a_scope():
    with K.name_scope("a"), K.name_scope("b"):
        names = {K.variable(0, name="kernel").name for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("a/b/kernel") for name in names)


def test_an_unfed_phase_is_0():
    y = K.in_train_phase(K.variable(1.0), K.variable(2.0))
    assert K.eval(y) == 2 and K.function([], [y])([])[0] == 2


def test_isinstance_tells_a_fixed_phase():
    assert not isinstance(K.learning_phase(), int)
    K.set_learning_phase(np.int64(1))
    assert K.learning_phase() is 1  # noqa: F632  as Keras asks
    with pytest.raises(ValueError):
        K.set_learning_phase(2)


def test_training_given_as_a_value_picks_at_once():
    small, large = K.placeholder((2,)), K.placeholder((3,))
    for training, shape in ((1, (2,)), (True, (2,)), (0, (3,)), (False, (3,))):
        y = K.in_train_phase(small, lambda: large, training=training)
        assert K.int_shape(y) == shape and y._uses_learning_phase is False
    assert K.in_train_phase(small, small * 2)._uses_learning_phase is True


# --- B: variables, placeholders, constants -------------------------------------------------------


def test_ints_become_floatx_variables():
    assert K.dtype(K.variable(np.arange(3))) == K.dtype(K.variable(True)) == "float32"
    with pytest.raises(TypeError):
        K.variable("", dtype="unsupported")


def test_a_variable_evaluates_an_expression():
    x = K.variable(K.concatenate([K.zeros((2,)), K.ones((1,)), K.constant([5.0])]))
    assert K.get_value(x).tolist() == [0, 0, 1, 5]
    assert K.get_value(K.variable(K.random_uniform((2, 2), 3, 4))).min() >= 3


def test_a_variable_copies_its_array():
    array = np.ones(3, "f4")
    x = K.variable(array)
    array[:] = 5
    assert K.get_value(x).tolist() == [1, 1, 1]


def test_attributes_can_be_set_on_tensors():
    for x in (K.variable(1.0), K.placeholder((2,)), K.constant(1.0) + 1):
        x._tracked = x._call_result = 7
        assert x._tracked == 7 and not hasattr(x, "_keras_history")


def test_a_constant_takes_a_flat_list_and_a_shape():
    x = K.constant([1, 2, 3, 4, 5, 6], shape=(2, 3))
    assert K.int_shape(x) == (2, 3) and K.eval(x).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert K.eval(K.constant(False, dtype="bool")).tolist() is False


def test_the_shape_of_a_placeholder_wins_and_none_is_refused():
    assert K.int_shape(K.placeholder((2, None), ndim=5)) == (2, None)
    assert K.int_shape(K.placeholder([None, 3])) == (None, 3) and K.ndim(K.placeholder(())) == 0
    with pytest.raises(ValueError):
        K.placeholder()


def test_arrays_are_no_keras_tensors_but_an_error():
    with pytest.raises(ValueError):
        K.is_keras_tensor(A)
    assert not K.is_keras_tensor(K.placeholder((2,))) and not K.is_keras_tensor(K.variable(1.0))


def test_a_variable_of_zeros_is_dense():
    assert not K.is_sparse(K.zeros((3, 3))) and K.is_sparse(K.variable(scipy.sparse.eye(3)))


def test_zeros_takes_an_int():
    assert K.int_shape(K.zeros(1)) == (1,) and K.is_variable(K.zeros(1))


def test_zeros_of_a_symbolic_shape_is_a_tensor():
    x = K.placeholder((None, 2))
    y = K.zeros(K.shape(x))
    assert not K.is_variable(y) and K.int_shape(y) == (None, 2)


def test_zeros_like_is_of_floatx_whatever_it_is_like():
    for kind in ("int32", "bool", "float64"):
        x = K.placeholder((2,), dtype=kind)
        assert K.dtype(K.zeros_like(x)) == K.dtype(K.ones_like(x)) == "float32"
    assert K.dtype(K.zeros_like(x, dtype="bool")) == "bool"


def test_cast_takes_a_python_number():
    one = K.cast(1.0, K.floatx())
    assert K.is_tensor(one) and K.ndim(one) == 0 and K.int_shape(one) == () and K.eval(one) == 1


def test_cast_takes_the_dtype_of_a_tensor():
    x = K.placeholder((2,), dtype="float64")
    assert K.dtype(K.cast(K.placeholder((2,), dtype="bool"), x.dtype)) == "float64"


def test_an_identity_is_another_object():
    x = K.variable(1.0)
    x._keras_history = 1
    y = K.identity(x)
    assert y is not x and not hasattr(y, "_keras_history") and not K.is_variable(y)


def test_the_mean_of_a_normal_variable_is_heeded():
    x = K.get_value(K.random_normal_variable((500,), 100.0, 1.0, seed=1))
    assert abs(x.mean() - 100) < 0.5


def test_the_number_of_elements_of_a_scalar_is_an_int():
    assert K.count_params(K.variable(1.0)) == 1
    assert isinstance(int(K.count_params(K.zeros((2, 3)))), int)


# --- C: asking -----------------------------------------------------------------------------------


def test_a_shape_is_reckoned_with():
    def build(x):
        n = K.shape(x)
        return [n[0], n[-1], n[1:], n * 2 + 1, K.stack([n[0], 7]), K.prod([n[a] for a in (0, 1)]),
                K.reshape(x, (n[1], n[0])), K.cast(n[0], "float32") * 0.5]  # fmt: skip

    found = run(build, A, shapes=[(None, None)])
    assert [y.tolist() for y in found[:6]] == [3, 4, [4], [7, 9], [3, 7], 12]
    assert found[6].shape == (4, 3) and found[7] == 1.5
    assert {str(y.dtype) for y in found[:6]} == {"int32"}


def test_a_shape_makes_random_numbers_and_noise():
    def build(x):
        n = K.shape(x)
        return [K.random_uniform((n[0], 2)), K.dropout(x, 0.5, noise_shape=(n[0], 1))]

    assert [y.shape for y in run(build, A, shapes=[(None, 4)])] == [(3, 2), (3, 4)]


def test_a_shape_set_by_a_layer_may_be_a_list():
    y = K.placeholder((None, 3)) * 2
    y._keras_shape = [None, 3]
    assert K.int_shape(y) == (None, 3)


def test_a_layers_shape_only_refines_the_static_one():
    y = K.placeholder((None, 3)) * 2
    y._keras_shape = (5, 7)
    assert K.int_shape(y) == (5, 3)


def test_the_dtype_of_a_variable_is_a_plain_name():
    assert K.dtype(K.variable(1.0)) == "float32" and "float32" in str(K.variable(1.0).dtype)


def test_evaluating_gives_arrays_or_numbers_of_numpy():
    found = K.eval(K.sum(K.variable(A)))
    assert isinstance(found, (np.ndarray, np.generic)) and np.shape(found) == ()


# --- D: values, updates, functions, gradients ----------------------------------------------------


def test_evaluating_an_update_performs_it():
    x = K.variable(3, dtype="int64")
    assert K.eval(K.update_add(x, 1)) == 4 and K.get_value(x) == 4
    assert K.eval(K.update_sub(x, 2)) == 2 and K.get_value(x) == 2
    assert K.eval(K.update(x, x * 5)) == 10 and K.get_value(x) == 10


def test_a_value_read_is_a_copy():
    x = K.variable(A)
    K.get_value(x)[:] = 7
    assert (K.get_value(x) == A).all()


def test_a_value_set_is_cast_and_its_shape_is_checked():
    x = K.variable([1, 2], dtype="int64")
    for value in ([3.0, 4.0], (3, 4), np.array([3, 4], "u1")):
        K.set_value(x, value)
        assert K.get_value(x).dtype == "int64" and K.get_value(x).tolist() == [3, 4]
    with pytest.raises(ValueError):
        K.set_value(x, [1, 2, 3])


def test_metrics_are_reset_by_the_int_0():
    x, y = K.variable(5.0), K.variable([1.0, 2.0])
    K.batch_set_value([(x, 0), (y, 0)])
    assert K.get_value(x) == 0 and K.get_value(y).tolist() == [0, 0]


def test_printing_goes_to_stdout(capsys):
    x = K.print_tensor(K.constant([[1.0]]), message="msg")
    assert K.eval(x) == 1 and capsys.readouterr().out == "msg [[1.]]\n"
    K.eval(K.print_tensor(K.arange(10), "long", summarize=2))
    K.eval(K.print_tensor(K.arange(10), "all", summarize=-1))
    assert capsys.readouterr().out == "long [0 1 ... 8 9]\nall [0 1 2 3 4 5 6 7 8 9]\n"


def test_the_count_of_iterations_stays_int64():
    n = K.variable(0, dtype="int64", name="iterations")
    run = K.function([], [K.cast(n, K.floatx())], updates=[K.update_add(n, 1)])
    assert [float(run([])[0]) for _ in range(3)] == [0, 1, 2] and K.get_value(n).dtype == "int64"


def test_a_moving_average_casts_the_value():
    x = K.variable([1.0])
    K.eval(K.moving_average_update(x, K.constant([3.0], dtype="float64"), 0.5))
    assert K.get_value(x).tolist() == [2.0] and K.get_value(x).dtype == "float32"


def test_feeds_are_cast_down():
    x, n = K.placeholder((2,)), K.placeholder((2,), dtype="int32")
    add = K.function([x, n], [x + 1, n + 1])
    for feed in (np.array([1, 2]), np.array([1.0, 2.0]), np.array([True, True]), [1, 2]):
        a, b = add([feed, np.asarray(feed, "f8")])
        assert a.dtype == "float32" and b.dtype == "int32"


def test_a_function_ignores_unused_inputs_and_takes_a_name():
    x, y = K.placeholder((2,)), K.placeholder((None, 3))
    assert K.function([x, y], [x * 2], name="f")([[1, 2], np.ones((4, 3))])[0].tolist() == [2, 4]


@pytest.mark.parametrize("option", ["options", "run_metadata", "feed_dict_", "mode"])
def test_a_function_refuses_unknown_options(option):
    with pytest.raises(ValueError, match=f'Invalid argument "{option}" passed to K.function'):
        K.function([], [], **{option: None})


def test_outputs_may_be_variables_and_inputs_scalars():
    v, n = K.variable([1.0, 2.0]), K.placeholder(())
    found = K.function([n], [v, n * 2])([3])
    assert found[0].tolist() == [1, 2] and found[1] == 6


def test_updates_read_old_values():
    a, b = K.variable(1.0), K.variable(2.0)
    K.function([], [], updates=[(a, b), (b, a)])([])
    assert K.get_value(a) == 2 and K.get_value(b) == 1


def test_the_first_of_repeated_updates_counts():
    a = K.variable(1.0)
    K.function([], [], updates=[K.update(a, a + 1), (a, a + 100)])([])
    assert K.get_value(a) == 2


def test_metrics_are_read_after_the_updates():
    total, count = K.variable(0.0), K.variable(0.0)
    x = K.placeholder(())
    result = K.identity(total / count)
    result._is_metric = True
    ops = [K.update_add(total, x), K.update_add(count, 1.0)]
    step = K.function([x], [x * 1, result], updates=ops)
    assert [float(step([v])[1]) for v in (4, 8)] == [4, 6]


def test_gradients_of_what_lies_between():
    x = K.placeholder((3,))
    y = x * K.exp(x)
    (slope,) = K.gradients(K.sum(K.square(y)), [y])
    value = np.array([0.1, 0.2, 0.3], "f4")
    np.testing.assert_allclose(
        K.function([x], [slope])([value])[0], 2 * value * np.exp(value), rtol=1e-5
    )


def test_gradients_of_one_tensor_are_a_list():
    x = K.placeholder((3,))
    found = K.gradients(K.sum(K.square(x)), x)
    assert isinstance(found, list) and len(found) == 1


def test_gradients_have_gradients():
    def third(x):
        y = K.sum(K.pow(x, 4))
        for _ in range(3):
            (y,) = K.gradients(K.sum(y), [x])
        return y

    np.testing.assert_allclose(run(third, np.array([1, 2], "f4")), [24, 48], rtol=1e-5)


@pytest.mark.parametrize("name", ["argmax", "argmin", "round", "greater", "cast", "shape", "any"])
def test_there_is_no_gradient_through(name):
    x = K.placeholder((3,))
    y = {
        "greater": lambda: K.cast(K.greater(x, 0), "float32"),
        "cast": lambda: K.cast(K.cast(x, "int32"), "float32"),
        "any": lambda: K.cast(K.any(x), "float32"),
        "round": lambda: K.round(x),
    }.get(name, lambda: K.cast(getattr(K, name)(x), "float32"))()
    assert K.gradients(K.sum(y), [x]) == [None]
    assert K.gradients(K.sum(x), [K.variable(1.0)]) == [None]


def test_a_sign_has_a_gradient_of_0():
    assert [v.tolist() for v in value_and_slope(K.sign, [-2, 0, 3])] == [[-1, 0, 1], [0, 0, 0]]


def test_a_list_of_stopped_gradients_is_taken_apart():
    x = K.placeholder((2,))
    a, b = K.stop_gradient([x, x * 2])
    assert K.is_tensor(a) and K.gradients(K.sum(a + b), [x]) == [None]
    c, d = K.stop_gradient((x, x))
    assert K.is_tensor(c) and K.is_tensor(d)
