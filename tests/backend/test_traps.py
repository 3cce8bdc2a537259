"""What goes wrong in backends for Keras: the specification's list of traps, one test each.

In the order of the tables A to O, then what Keras asks of tensors, functions and updates.
"""

import copy
import importlib
import sys

import numpy as np
import pytest
import scipy.sparse

from symtensor import backend as K
from symtensor import config

A = np.random.default_rng(0).normal(size=(3, 4)).astype("f4")
CUBE = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("f4")


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


@pytest.fixture(autouse=True)
def clean():
    yield
    K.clear_session()
    K.set_floatx("float32")
    K.set_image_data_format("channels_last")


def run(build, *arrays, shapes=None):
    """Return what a K expression, or a list of them, gives for arrays."""
    shapes = shapes or [np.shape(x) for x in arrays]
    xs = [
        K.placeholder(s, dtype=str(np.asarray(x).dtype))
        for s, x in zip(shapes, arrays, strict=True)
    ]
    built = build(*xs)
    several = isinstance(built, list)
    found = K.function(xs, built if several else [built])([np.asarray(x) for x in arrays])
    return found if several else found[0]


def value_and_slope(build, x):
    x = np.asarray(x, "f4")

    def both(t):
        y = build(t)
        return [y, *K.gradients(K.sum(y), [t])]

    return run(both, x)


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


# --- E, F: products, reductions ------------------------------------------------------------------


def test_dot_takes_the_last_axis_but_one_of_the_second():
    x, y = K.ones((2, 3)), K.ones((4, 3, 5))
    assert K.int_shape(K.dot(x, y)) == (2, 4, 5)
    x = K.placeholder((None, None, 3))
    assert K.int_shape(K.dot(x, K.ones((3, 5)))) == (None, None, 5)


@pytest.mark.parametrize(("shapes", "axes"), [
    (((32, 20), (30,)), None), (((2, 3), (2, 3)), 0), (((2, 3), (2, 3)), [1, 0]),
    (((2, 3), (4, 3)), 1), (((2, 3), (2, 4)), 1), (((2, 3), (2, 3)), [[1], [1]]),
    (((2, 3), (2, 3)), (1, 1, 1)),
])  # fmt: skip
def test_batch_dot_refuses(shapes, axes):
    with pytest.raises(ValueError):
        K.batch_dot(*map(K.placeholder, shapes), axes)


@pytest.mark.parametrize(("left", "right", "axes", "shape"), [
    ((32, 20, 1), (32, 30, 20), [1, 2], (32, 1, 30)), ((32, 20), (32, 20), 1, (32, 1)),
    ((32, 20), (32, 20, 7), None, (32, 7)), ((2, 3, 4), (2, 4), None, (2, 3)),
    ((None, 3, 4), (None, 4, 5), None, (None, 3, 5)), ((2, 3, 4), (2, 5, 4), -1, (2, 3, 5)),
    ((4, 2, 3, 5), (4, 3, 6, 7), [2, 1], (4, 2, 5, 6, 7)),
])  # fmt: skip
def test_batch_dot_has_the_shape(left, right, axes, shape):
    assert K.int_shape(K.batch_dot(K.placeholder(left), K.placeholder(right), axes)) == shape


def test_transpose_reverses_all_axes():
    assert K.int_shape(K.transpose(K.placeholder((2, None, 4)))) == (4, None, 2)


def test_gather_takes_indices_of_any_rank():
    i = K.placeholder((None, 7), dtype="int32")
    assert K.int_shape(K.gather(K.zeros((10, 4, 5)), i)) == (None, 7, 4, 5)


def test_equal_maxima_share_the_gradient():
    assert value_and_slope(K.max, [3, 1, 3])[1].tolist() == [0.5, 0, 0.5]
    assert value_and_slope(K.min, [3, 1, 1])[1].tolist() == [0, 0.5, 0.5]


def test_bools_are_summed_after_a_cast():
    assert run(lambda x: K.sum(K.cast(x, "int32")), A > 0) == (A > 0).sum()


def test_prod_takes_a_list_of_scalars():
    x = K.placeholder((None, 3, 4))
    size = K.prod([K.shape(x)[a] for a in (0, 2)])
    assert K.function([x], [K.cast(size, "float32")])([CUBE])[0] == 8


def test_running_sums_go_along_axis_0():
    assert run(K.cumsum, np.ones((2, 2), "f4")).tolist() == [[1, 1], [2, 2]]
    assert run(K.cumprod, np.full((2, 2), 2, "f4")).tolist() == [[2, 2], [4, 4]]


def test_a_variance_is_that_of_the_population():
    np.testing.assert_allclose(run(lambda x: K.var(x, 0), A), A.var(0), rtol=1e-5)


def test_the_mean_of_ints_is_a_float():
    found = run(K.mean, np.array([1, 2], "i4"))
    assert found == 1.5 and found.dtype == "float32"
    assert run(lambda x: K.mean(K.equal(x, 1)), np.array([1, 2, 1, 1])) == 0.75


def test_any_and_all_are_bools():
    found = run(lambda x: [K.any(x), K.all(x, axis=1), K.all(K.concatenate([x, x]))], A > 0)
    assert {str(y.dtype) for y in found} == {"bool"}


def test_argmax_is_the_first_maximum_in_int64():
    found = run(K.argmax, np.array([[1, 3, 3], [2, 2, 2]], "f4"))
    assert found.tolist() == [1, 0] and found.dtype == "int64"


def test_logsumexp_does_not_overflow():
    assert run(K.logsumexp, np.array([1000, 1000], "f4")) == np.float32(1000 + np.log(2))


# --- G, H: elements, normalization ---------------------------------------------------------------


def test_the_gradient_of_abs_at_0_is_0():
    assert value_and_slope(K.abs, [-2, 0, 3])[1].tolist() == [-1, 0, 1]


def test_roots_of_negatives_are_0():
    value, slope = value_and_slope(K.sqrt, [-1, 0, 4, np.inf])
    assert value.tolist() == [0, 0, 2, np.inf] and slope.tolist() == [0, np.inf, 0.25, 0]


def test_the_logarithm_of_0_is_infinite():
    found = run(K.log, np.array([0, -1], "f4"))
    assert found[0] == -np.inf and np.isnan(found[1])


def test_halves_are_rounded_to_even():
    assert run(K.round, np.array([0.5, 1.5, 2.5, -2.5], "f4")).tolist() == [0, 2, 2, -2]


def test_the_sign_of_0_is_0():
    assert run(K.sign, np.array([0, -0.0], "f4")).tolist() == [0, 0]


def test_a_power_may_be_a_tensor():
    t = K.cast(K.variable(3, dtype="int64"), "float32")
    np.testing.assert_allclose(K.eval(K.pow(0.9, t)), 0.9**3, rtol=1e-6)
    np.testing.assert_allclose(K.eval(K.pow(K.variable(0.9), t)), 0.9**3, rtol=1e-6)
    found = K.function([], [1.0 - K.pow(K.variable(0.9), t)])([])[0]
    np.testing.assert_allclose(found, 1 - 0.9**3, rtol=1e-5)


def test_bounds_of_clip():
    value, slope = value_and_slope(lambda x: K.clip(x, 0, 1), [-1, 0, 0.5, 1, 2])
    assert value.tolist() == [0, 0, 0.5, 1, 1] and slope.tolist() == [0, 1, 1, 1, 0]
    assert run(lambda x: K.clip(x, 3, 1), A).tolist() == np.full((3, 4), 3).tolist()
    assert (run(lambda x: K.clip(x, 0.25, None), A) >= 0.25).all()
    assert (run(lambda x: K.clip(x, None, 0.25), A) <= 0.25).all()
    assert run(lambda x: K.clip(x, 0, None), np.array([-3, 4], "i4")).tolist() == [0, 4]


def test_comparisons_with_numbers_and_0_d_arrays():
    x = K.placeholder((2,), dtype="int32")
    assert K.function([x], [K.equal(x, 0)])([[0, 3]])[0].tolist() == [True, False]
    smoothing = K.cast_to_floatx(0.1)
    condition = K.greater(smoothing, 0)
    assert K.is_tensor(condition)
    assert K.eval(K.switch(condition, lambda: K.constant(1.0), lambda: K.constant(2.0))) == 1


def test_ints_are_compared_with_fractions():
    found = run(lambda x: [K.greater(x, 0.5), K.maximum(x, 1.5)], np.array([0, 1, 2], "i4"))
    assert found[0].tolist() == [False, True, True] and found[1].tolist() == [1.5, 1.5, 2]


def test_unknown_sizes_take_the_known_side():
    y, target = K.placeholder((None, 10)), K.placeholder(ndim=2)
    for built in (y - target, target * y, K.square(target - y), K.equal(target, y)):
        assert K.int_shape(built) == (None, 10)
    weights = K.placeholder(ndim=1)
    assert K.ndim(K.mean(K.square(y - target), axis=-1) * weights) == 1


def test_batch_statistics_have_no_reduced_axes():
    x = K.placeholder((None, 5, 6, 3))
    normed, mean, variance = K.normalize_batch_in_training(x, None, None, [0, 1, 2])
    assert K.int_shape(normed) == (None, 5, 6, 3)
    assert K.int_shape(mean) == K.int_shape(variance) == (3,)
    _, mean, _ = K.normalize_batch_in_training(x, K.ones((5,)), K.zeros((5,)), [0, 2, 3])
    assert K.int_shape(mean) == (5,)


def test_epsilon_stands_under_the_root():
    found = K.eval(K.batch_normalization(K.constant([1.0]), 0.0, 0.0, None, None))
    np.testing.assert_allclose(found, [1e-3**-0.5], rtol=1e-5)


def test_beta_comes_before_gamma():
    x = K.constant([[1.0]])
    zero, one = K.constant([0.0]), K.constant([1.0 - 1e-3])
    beta, gamma = K.constant([10.0]), K.constant([2.0])
    np.testing.assert_allclose(K.eval(K.batch_normalization(x, zero, one, beta, gamma)), [[12]])


def test_a_vector_of_zeros_is_normalized_to_zeros():
    assert run(K.l2_normalize, np.zeros(3, "f4")).tolist() == [0, 0, 0]
    tiny = np.full(4, 1e-7, "f4")  # its squares sum up to less than TensorFlow's 1e-12
    np.testing.assert_allclose(run(K.l2_normalize, tiny), np.full(4, 0.1), rtol=1e-5)


# --- I: shapes -----------------------------------------------------------------------------------


def test_reshape_leaves_unknown_sizes_open():
    x = K.placeholder((None, 6))
    assert K.int_shape(K.reshape(x, (-1, 2, 3))) == (None, 2, 3)
    assert K.int_shape(K.reshape(x, (K.shape(x)[0], 3, 2))) == (None, 3, 2)


def test_images_are_not_shifted_by_half_a_pixel():
    x = np.arange(4, dtype="f4").reshape(1, 1, 4, 1)
    found = run(lambda a: K.resize_images(a, 1, 2, "channels_last", "bilinear"), x)
    assert found.ravel().tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]


@pytest.mark.parametrize(
    ("layout", "how"), [("channels_middle", "nearest"), ("channels_last", "cubic")]
)
def test_resizing_refuses(layout, how):
    with pytest.raises(ValueError):
        K.resize_images(K.placeholder((1, 2, 2, 1)), 2, 2, layout, how)
    with pytest.raises(ValueError):
        K.resize_volumes(K.placeholder((1, 2, 2, 2, 1)), 2, 2, 2, "channels_middle")


def test_repeated_elements_have_a_keras_shape():
    y = K.repeat_elements(K.placeholder((None, 3, 4)), 2, axis=2)
    assert y._keras_shape == K.int_shape(y) == (None, 3, 8)
    x = K.placeholder((None, None))
    assert K.repeat_elements(x, 3, axis=1)._keras_shape == (None, None)


def test_repeat_is_for_matrices():
    assert K.int_shape(K.repeat(K.placeholder((None, 4)), 3)) == (None, 3, 4)
    with pytest.raises((ValueError, AssertionError)):
        K.repeat(K.placeholder((2, 3, 4)), 3)


def test_arange_of_a_negative_bound_is_empty():
    found = K.eval(K.arange(-5))
    assert found.shape == (0,) and found.dtype == "int32"
    assert K.dtype(K.arange(0, 1, 0.5, dtype="float32")) == "float32"


def test_arange_of_a_symbolic_bound():
    x = K.placeholder((None, 2))
    found = K.function([x], [K.arange(K.shape(x)[0]), K.arange(1, K.shape(x)[0] + 1)])([A[:, :2]])
    assert [y.tolist() for y in found] == [[0, 1, 2], [1, 2, 3]]


def test_tile_counts_from_the_last_axis():
    assert run(lambda x: K.tile(x, 2), CUBE).shape == (2, 3, 8)
    assert run(lambda x: K.tile(x, (2, 1)), CUBE).shape == (2, 6, 4)
    assert run(lambda x: K.tile(x, K.constant([1, 2, 1], dtype="int32")), CUBE).shape == (2, 6, 4)


def test_expand_dims_appends():
    assert K.int_shape(K.expand_dims(K.placeholder((None, 3)))) == (None, 3, 1)
    assert K.int_shape(K.expand_dims(K.placeholder((None, 3)), -2)) == (None, 1, 3)


def test_stacks_take_numbers():
    x = K.placeholder((None, 3))
    assert K.function([x], [K.stack([1, K.shape(x)[0]])])([A[:, :3]])[0].tolist() == [1, 3]


def test_indices_outside_are_rows_of_zeros():
    found = run(lambda i: K.one_hot(i, 2), np.array([0, 2, -1], "i4"))
    assert found.tolist() == [[1, 0], [0, 0], [0, 0]] and found.dtype == "float32"


def test_reverse_takes_ints_and_lists():
    np.testing.assert_array_equal(run(lambda x: K.reverse(x, -1), A), A[:, ::-1])
    np.testing.assert_array_equal(run(lambda x: K.reverse(x, (0, -1)), A), A[::-1, ::-1])


def test_slices_have_the_rank_of_the_tensor():
    np.testing.assert_array_equal(run(lambda x: K.slice(x, [1, 0], [-1, 2]), A), A[1:, :2])
    with pytest.raises(ValueError):
        K.slice(K.placeholder((3, 4)), [0], [1])


def test_bools_and_ints_are_concatenated():
    assert run(lambda x: K.all(K.concatenate([x, x], axis=0), axis=-1), A > 9).dtype == "bool"


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


# --- K, L: activations and losses ----------------------------------------------------------------


def test_relu_at_its_threshold_is_0():
    assert run(lambda x: K.relu(x, threshold=1.0), np.array([1, 1.5], "f4")).tolist() == [0, 1.5]


def test_relu_below_its_threshold_starts_there():
    assert run(lambda x: K.relu(x, 0.5, threshold=1.0), np.array([-1], "f4")).tolist() == [-1]


def test_relu_takes_a_maximum_of_0_and_0_d_arrays():
    assert not run(lambda x: K.relu(x, max_value=0.0), A).any()
    alpha = K.cast_to_floatx(0.5)
    assert run(lambda x: K.relu(x, alpha=alpha), np.array([-2], "f4")).tolist() == [-1]


def test_relu_of_infinities_and_nan():
    x = np.array([-np.inf, np.inf, np.nan], "f4")
    found = run(lambda v: [K.relu(v, max_value=6), K.relu(v, threshold=1.0)], x)
    np.testing.assert_array_equal(found, [[0, 6, np.nan], [0, np.inf, np.nan]])


def test_the_slope_at_the_maximum_of_relu_is_1():
    assert value_and_slope(lambda x: K.relu(x, max_value=1.0), [0.5, 1, 2])[1].tolist() == [1, 1, 0]


def test_softplus_and_softmax_do_not_overflow():
    x = np.array([1000, -1000], "f4")
    assert run(K.softplus, x).tolist() == [1000, 0] and run(K.softmax, x).tolist() == [1, 0]


def test_hard_sigmoid_is_flat_beyond_two_and_a_half():
    found = run(K.hard_sigmoid, np.array([-3, -2.5, 0, 2.5, 3], "f4"))
    assert found.tolist() == [0, 0, 0.5, 1, 1]


def test_the_target_comes_first():
    target, output = K.constant([[0.0, 1.0]]), K.constant([[0.25, 0.75]])
    for loss in (K.categorical_crossentropy, K.binary_crossentropy):
        np.testing.assert_allclose(K.eval(loss(target, output)).max(), -np.log(0.75), rtol=1e-5)


def test_probabilities_are_scaled_to_sum_to_1():
    found = K.eval(K.categorical_crossentropy(K.constant([[0.0, 1]]), K.constant([[2.0, 6]])))
    np.testing.assert_allclose(found, -np.log(0.75), rtol=1e-6)


def test_the_class_axis_is_gone():
    y, p = K.placeholder((None, 5, 3)), K.placeholder((None, 5, 3))
    assert K.int_shape(K.categorical_crossentropy(y, p)) == (None, 5)
    labels = K.placeholder((None, 5, 1))
    assert K.int_shape(K.sparse_categorical_crossentropy(labels, p)) == (None, 5)
    with pytest.raises(ValueError):
        K.categorical_crossentropy(y, p, axis=3)


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64", "uint8"])
def test_labels_of_any_dtype(kind):
    p = K.constant([[0.25, 0.75], [0.5, 0.5]])
    found = K.eval(K.sparse_categorical_crossentropy(K.constant([1, 0], dtype=kind), p))
    np.testing.assert_allclose(found, -np.log([0.75, 0.5]), rtol=1e-5)


def test_sparse_probabilities_are_clipped_first_and_scaled_after():
    p = np.array([[0.0, 2.0, 2.0]], "f4")
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    found = K.eval(K.sparse_categorical_crossentropy(K.constant([0]), K.constant(p)))
    np.testing.assert_allclose(found, -np.log(clipped[0, :1] / clipped.sum()), rtol=1e-5)


def test_a_saturated_binary_loss_is_that_of_tensorflow():
    found = K.eval(K.binary_crossentropy(K.constant([1.0]), K.constant([0.0])))
    np.testing.assert_allclose(found, [15.42495], rtol=1e-5)  # recorded, TensorFlow 2.21


def test_losses_see_through_softmax_and_sigmoid():
    z = K.placeholder((1, 2))
    target = K.constant([[1.0, 0.0]])
    for loss in (K.categorical_crossentropy(target, K.softmax(z)),
                 K.sparse_categorical_crossentropy(K.constant([0]), K.softmax(z)),
                 K.binary_crossentropy(target, K.sigmoid(z))[:, 0]):  # fmt: skip
        found, slope = K.function([z], [loss, *K.gradients(loss, [z])])([[[-200.0, 0.0]]])
        np.testing.assert_allclose(found, [200], rtol=1e-5)
        np.testing.assert_allclose(slope[0, 0], -1, rtol=1e-5)


def test_ties_count_among_the_top():
    p = np.array([[1, 3, 3], [1, 2, 3]], "f4")
    assert run(lambda a, i: K.in_top_k(a, i, 1), p, np.array([2, 1])).tolist() == [True, False]


# --- M: random numbers ---------------------------------------------------------------------------


def test_numbers_are_new_at_every_run():
    draw = K.function([], [K.random_normal((4,))])
    assert not np.array_equal(draw([])[0], draw([])[0])


def test_truncated_numbers_are_redrawn_and_not_clipped():
    (x,) = K.function([], [K.truncated_normal((200, 200), 0.0, 1.0, seed=3)])([])
    assert abs(x).max() <= 2 and (abs(x) == 2).mean() < 1e-3 and abs(x.std() - 0.8796) < 0.01


@pytest.mark.parametrize("level", [-0.1, 1.0, 1.5])
def test_dropout_refuses_a_level(level):
    with pytest.raises(ValueError):
        K.dropout(K.placeholder((2,)), level)


def test_dropout_asks_for_no_phase():
    x = K.placeholder((50, 50))
    y = K.dropout(x, 0.5, seed=1)
    assert not y._uses_learning_phase
    assert 0.3 < (K.function([x], [y])([np.ones((50, 50))])[0] == 0).mean() < 0.7


def test_dropout_of_one_node_has_one_mask():
    x = K.placeholder((50,))
    y = K.dropout(x, 0.5)
    a, b = K.function([x], [y + 0, y * 3])([np.ones(50)])
    np.testing.assert_array_equal(a * 3, b)


# --- N, O: convolution, CTC ----------------------------------------------------------------------


def test_kernels_are_not_flipped():
    x = np.array([1, 0, 0], "f4").reshape(1, 3, 1)
    kernel = np.array([1, 2, 3], "f4").reshape(3, 1, 1)
    assert run(lambda a, k: K.conv1d(a, k), x, kernel).tolist() == [[[1]]]


def test_the_odd_padding_goes_to_the_end():
    x, kernel = np.arange(5, dtype="f4").reshape(1, 5, 1), np.array([1, 10], "f4").reshape(2, 1, 1)
    found = run(lambda a, k: K.conv1d(a, k, padding="same"), x, kernel)
    assert found.ravel().tolist() == [10, 21, 32, 43, 4]


def test_causal_padding_is_in_front():
    x, kernel = np.arange(5, dtype="f4").reshape(1, 5, 1), np.array([1, 10], "f4").reshape(2, 1, 1)
    found = run(lambda a, k: K.conv1d(a, k, padding="causal", dilation_rate=2), x, kernel)
    assert found.ravel().tolist() == [0, 10, 20, 31, 42]
    with pytest.raises(ValueError):
        K.conv2d(K.placeholder((1, 4, 4, 1)), K.ones((2, 2, 1, 1)), padding="causal")


def test_the_batch_of_a_transposed_convolution_may_be_unknown():
    x, kernel = K.placeholder((None, 3, 3, 2)), K.ones((2, 2, 5, 2))
    for batch in (None, K.shape(x)[0]):
        y = K.conv2d_transpose(x, kernel, (batch, 6, 6, 5), (2, 2))
        assert K.int_shape(y) == (None, 6, 6, 5)
    y = K.conv2d_transpose(x, kernel, (None, K.shape(x)[1] * 2, 6, 5), (2, 2))
    assert K.function([x], [y])([np.ones((4, 3, 3, 2))])[0].shape == (4, 6, 6, 5)


def test_depthwise_channels_are_in_the_order_of_the_input():
    x = np.array([1, 10], "f4").reshape(1, 1, 1, 2)
    kernel = np.array([[1, 2], [3, 4]], "f4").reshape(1, 1, 2, 2)
    assert run(K.depthwise_conv2d, x, kernel).ravel().tolist() == [1, 2, 30, 40]


def test_means_leave_the_padding_out():
    x = np.full((1, 3, 3, 1), 4, "f4")
    found = run(lambda a: K.pool2d(a, (2, 2), (2, 2), "same", pool_mode="avg"), x)
    assert found.ravel().tolist() == [4, 4, 4, 4]
    found = run(lambda a: K.pool2d(-a, (2, 2), (2, 2), "same"), x)
    assert found.ravel().tolist() == [-4, -4, -4, -4]


@pytest.mark.parametrize("option", [
    {"pool_mode": "median"}, {"padding": "full"}, {"data_format": "channels_middle"},
])  # fmt: skip
def test_pooling_refuses(option):
    with pytest.raises(ValueError):
        K.pool2d(K.placeholder((1, 4, 4, 1)), (2, 2), **option)
    with pytest.raises(ValueError):
        K.pool3d(K.placeholder((1, 4, 4, 4, 1)), (2, 2, 2), **option)


def test_a_bias_of_another_rank_is_refused():
    with pytest.raises(ValueError):
        K.bias_add(K.placeholder((1, 4, 4, 2)), K.ones((4, 2)))
    with pytest.raises(ValueError):
        K.bias_add(K.placeholder((1, 4, 2)), K.ones((2,)), data_format="channels_middle")


def test_a_full_bias_is_reshaped_for_channels_first():
    bias = np.arange(6, dtype="f4").reshape(3, 2)
    found = run(lambda x, b: K.bias_add(x, b, "channels_first"), np.zeros((1, 2, 3), "f4"), bias)
    assert found[0].tolist() == bias.reshape(2, 3).tolist()


def test_zeros_made_anew_are_kernels():
    """ConvLSTM makes its initial state by a convolution with a new variable of zeros."""
    x = K.placeholder((None, 5, 5, 2))
    y = K.conv2d(
        K.sum(K.zeros_like(K.expand_dims(x, 1)), axis=1), K.zeros((3, 3, 2, 4)), padding="same"
    )
    assert K.int_shape(y) == (None, 5, 5, 4)


def test_labels_are_padded_with_anything():
    y = K.constant(np.full((2, 4, 3), 1 / 3))
    lengths, counts = K.constant([[4], [4]]), K.constant([[1], [1]])
    found = K.eval(K.ctc_batch_cost(K.constant([[1, -1], [1, 7]]), y, lengths, counts))
    assert found.shape == (2, 1) and found[0] == found[1]


def test_more_labels_than_steps_are_an_error():
    y, one = K.constant(np.full((1, 2, 3), 1 / 3)), K.constant([[2]])
    cost = K.function([], [K.ctc_batch_cost(K.constant([[1, 1]]), y, one, one)])
    with pytest.raises(Exception, match="time steps"):
        cost([])


# --- what Keras asks of tensors and functions ----------------------------------------------------


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
