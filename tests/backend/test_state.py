"""Settings, variables, placeholders, updates, functions, phases, random numbers, loops."""

import inspect
import pickle

import numpy as np
import pytest

import symtensor as st
from symtensor import backend as K
from symtensor import config


@pytest.fixture(autouse=True)
def fresh_session():
    yield
    K.clear_session()
    K.set_floatx("float32")
    K.set_image_data_format("channels_last")


@pytest.fixture(params=["numpy", "llvm"])
def engine(request):
    with config(engine=request.param):
        yield request.param


def test_floatx_is_read_at_each_call():
    K.set_floatx("float64")
    assert K.dtype(K.variable([10])) == "float64" and K.cast_to_floatx(1).dtype == "float64"
    K.set_floatx("float32")
    assert K.dtype(K.variable([10])) == "float32"


def test_names_count_and_scope():
    assert [K.get_uid("dense"), K.get_uid("dense"), K.get_uid("x")] == [1, 2, 1]
    with K.name_scope("layer"), K.name_scope("inner"):
        names = [K.variable(0, name="kernel").name for _ in range(2)]
    assert names == ["layer/inner/kernel", "layer/inner/kernel_1"]
    K.clear_session()
    assert K.get_uid("dense") == 1


def test_variables():
    x = K.variable(np.arange(3), constraint=abs)
    assert K.is_variable(x) and x.constraint is abs and x.trainable and not K.is_placeholder(x)
    assert K.dtype(x) == "float32" and x._keras_shape == (3,) and not x._uses_learning_phase
    K.set_value(x, [4, 5, 6])
    K.batch_set_value([(x, 7)])
    np.testing.assert_array_equal(K.batch_get_value([x])[0], [7, 7, 7])
    with pytest.raises(TypeError):
        K.variable("", dtype="unsupported")


def test_a_variable_takes_the_value_of_an_expression():
    x = K.variable(K.concatenate([K.zeros((2,)), K.ones((1,))]))
    np.testing.assert_array_equal(K.get_value(x), [0, 0, 1])
    assert K.count_params(K.zeros((2, 3))) == 6
    np.testing.assert_array_equal(K.get_value(K.eye((2, 3))), np.eye(2, 3))


def test_constants():
    np.testing.assert_array_equal(K.eval(K.constant([1, 2, 3, 4], shape=(2, 2))), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(K.eval(K.constant(7, shape=(2,))), [7, 7])
    one = K.cast(1.0, "float32")
    assert K.ndim(one) == 0 and K.int_shape(one) == ()


def test_placeholders_and_shapes():
    x = K.placeholder((None, 3))
    assert K.int_shape(x) == (None, 3) and K.is_placeholder(x) and K.is_tensor(x)
    assert not K.is_tensor(np.ones(2)) and not K.is_keras_tensor(x)
    (found, size) = K.function([x], [K.shape(x), K.size(x)])([np.ones((2, 3))])
    assert list(found) == [2, 3] and size == 6


def test_a_static_shape_is_refined_and_never_lost():
    y = K.reshape(K.placeholder((None, 3)), (-1, 3))
    y._keras_shape = [5, 7]
    assert K.int_shape(y) == (5, 3)


def test_equal_expressions_carry_their_own_attributes():
    x = K.placeholder((2,))
    a, b = K.relu(x), K.relu(x)
    a._keras_history = 1
    assert a.node is b.node and not hasattr(b, "_keras_history")
    assert not hasattr(K.identity(a), "_keras_history")
    assert not hasattr(K.reshape(a, (2,)), "_keras_history")


def test_zero_dimensional_arrays_on_the_left():
    x = K.placeholder((2,))
    assert (
        K.is_tensor(K.cast_to_floatx(2.0) * x) and K.dtype(K.cast_to_floatx(2.0) * x) == "float32"
    )


@pytest.mark.parametrize("floatx", ["float16", "float32", "float64"])
def test_numpy_operands_are_as_weak_as_numbers(floatx):
    K.set_floatx(floatx)
    x = K.placeholder((None, 2))
    two, pair = np.float64(2), np.array([1.0, 2.0])
    built = [two * x, x * two, np.array(2.0) + x, x - pair, pair / x, x ** np.int64(2), x % two,
             x @ np.eye(2), np.maximum(pair, x), np.sqrt(2) * K.variable(1.0), [1.0, 2.0] * x,
             K.elu(x, two), K.batch_normalization(x, pair, pair, None, None, epsilon=two),
             K.random_normal((2,), two, two), K.map_fn(lambda e: e * two, x), -(x[0] * two)]  # fmt: skip
    assert {K.dtype(y) for y in built} == {floatx}
    assert K.dtype(x > two) == "bool" and K.dtype(K.arange(3) * np.int32(2)) == "int32"
    (found,) = K.function([x], [pair - x * two])([[[1, 1]]])
    assert found.tolist() == [[-1, 0]]


def test_a_tensor_of_the_library_keeps_numpys_rules():
    x = st.placeholder((2,), "float32")
    assert (x * np.float64(2)).dtype == st.float64
    assert K.dtype(K.relu(x) * np.float64(2)) == "float32"


def test_updates_read_old_values_and_metrics_new_ones(engine):
    a, b = K.variable(1.0), K.variable(10.0)
    metric = K.identity(a * 2)
    metric._is_metric = True
    step = K.function([], [a + b, metric], updates=[(a, b), K.update_add(b, 1), (a, b + 100)])
    assert [float(v) for v in step([])] == [11.0, 20.0]
    assert K.get_value(a) == 10 and K.get_value(b) == 11


def test_evaluating_an_update_performs_it():
    x = K.variable(3, dtype="int64")
    assert K.eval(K.update_add(x, 1)) == 4 and K.get_value(x) == 4
    K.eval(K.update_sub(x, 2))
    K.eval(K.update(x, x * 5))
    assert K.get_value(x) == 10 and K.get_value(x).dtype == "int64"
    y = K.variable(1.0)
    K.eval(K.moving_average_update(y, 3.0, 0.75))
    assert K.get_value(y) == 1.5


def test_controlled_tensors_come_after_their_updates_once():
    total = K.variable(0.0)
    with K.control_dependencies([K.update_add(total, 5)]):
        result = K.identity(total)
    assert K.eval(result) == 5 and K.get_value(total) == 5


def test_gradients(engine):
    x = K.placeholder((3,))
    y = x * K.exp(x)
    z = K.sum(y * y)
    found = K.gradients(z, [y, K.variable(1.0)])
    assert found[1] is None
    value = np.array([0.1, 0.2, 0.3], "f4")
    (g,) = K.function([x], [found[0]])([value])
    np.testing.assert_allclose(g, 2 * value * np.exp(value), rtol=1e-5)
    assert K.gradients(z, K.stop_gradient(x)) == [None]


def test_the_learning_phase(engine):
    x = K.placeholder((2,))
    y = K.in_train_phase(lambda: x + 1, x)
    assert (
        y._uses_learning_phase
        and not K.in_train_phase(x, x + 1, training=True)._uses_learning_phase
    )
    f = K.function([x, K.learning_phase()], [y])
    for phase in (0, 1, 1.0, False):
        np.testing.assert_array_equal(f([[1, 2], phase])[0], np.array([1, 2]) + bool(phase))
    np.testing.assert_array_equal(K.function([x], [y])([[1, 2]])[0], [1, 2])
    assert not isinstance(K.learning_phase(), int)
    K.set_learning_phase(1)
    assert K.learning_phase() == 1
    assert K.in_test_phase(3, 4).eval() == 4


def test_many_switches_one_behind_the_other_stay_small():
    """A branch given as a tensor is no part of the switch: 2**40 copies would be."""
    x = K.placeholder((None,))
    y = x
    for _ in range(40):
        y = K.in_train_phase(y + 1, lambda y=y: y + 2)
        y = K.switch(K.sum(x) > 0, y + 1, y - 1)
    run = K.function([x, K.learning_phase()], [y, *K.gradients(K.sum(y), [x])])
    for phase, each in ((1, 2), (0, 3)):
        value, gradient = run([np.array([1.0, 2.0]), phase])
        np.testing.assert_array_equal(value, np.array([1, 2]) + 40 * each)
        np.testing.assert_array_equal(gradient, [1, 1])


def test_the_learning_phase_is_fixed_within_a_scope():
    with pytest.raises(RuntimeError), K.learning_phase_scope(1):
        assert K.learning_phase() == 1
        with K.learning_phase_scope(0):
            assert K.learning_phase() == 0
        assert K.learning_phase() == 1
        raise RuntimeError
    assert K.is_tensor(K.learning_phase()) and K.learning_phase() is K.symbolic_learning_phase()
    with pytest.raises(ValueError, match="0 or 1"), K.learning_phase_scope(2):
        pass


def test_a_session_evaluates_tensors(engine):
    x, w = K.placeholder((None, 2)), K.variable([1.0, 2.0])
    y = K.in_train_phase(x * w, x)
    session = K.get_session()
    feed = {x: [[3, 4]], K.learning_phase(): 1}
    assert session.run(y, feed).tolist() == [[3, 8]]
    assert session.run(y, {x: [[3, 4]]}).tolist() == [[3, 4]]
    found = session.run({"w": w, "more": [K.sum(w), (w * 2,)]})
    assert found["w"].tolist() == [1, 2] and found["more"][0] == 3
    assert found["more"][1][0].tolist() == [2, 4]
    assert y.eval({x: [[1, 1]]}, session=session).tolist() == [[1, 1]]
    assert y.eval(feed_dict=feed).tolist() == [[3, 8]]
    assert K.shape(w).eval(session=K.get_session()).tolist() == [2]
    with K.get_session() as opened:
        assert opened.run(K.update_add(w, 1)).tolist() == [2, 3] and K.get_value(w).tolist() == [
            2,
            3,
        ]


def test_sessions_refuse_what_they_do_not_know():
    K.set_session(K.get_session())
    K.manual_variable_initialization(True)
    with pytest.raises(TypeError, match="get_session"):
        K.set_session(object())
    with pytest.raises(TypeError, match="str"):
        K.get_session().run("loss")
    with pytest.raises(TypeError, match="bool"):
        K.manual_variable_initialization("yes")


def test_functions_are_pickled_by_the_name_users_import():
    assert pickle.loads(pickle.dumps(K.relu)) is K.relu
    assert inspect.signature(K.relu).parameters.keys() >= {"alpha", "max_value", "threshold"}


def test_print_tensor(capsys):
    K.eval(K.print_tensor(K.constant([[1.0]]), "msg"))
    assert capsys.readouterr().out == "msg [[1.]]\n"


@pytest.mark.parametrize(("build", "mean", "std"), [
    (lambda s: K.random_normal(s, 2.0, 3.0), 2.0, 3.0),
    (lambda s: K.random_uniform(s, -1.0, 2.0), 0.5, 3 / 12**0.5),
    (lambda s: K.random_binomial(s, 0.25), 0.25, 0.1875**0.5),
    (lambda s: K.random_bernoulli(s, 0.25), 0.25, 0.1875**0.5),
    (lambda s: K.truncated_normal(s, 1.0, 2.0), 1.0, 0.87962566 * 2),
    (lambda s: K.random_normal_variable(s, 2.0, 3.0), 2.0, 3.0),
    (lambda s: K.random_uniform_variable(s, 0.0, 1.0), 0.5, 12**-0.5),
])  # fmt: skip
def test_random_numbers(build, mean, std):
    np.random.seed(7)
    x = K.eval(build((200, 200)))
    assert x.dtype == "float32" and x.shape == (200, 200)
    assert abs(x.mean() - mean) < 0.02 * std and abs(x.std() - std) < 0.02 * std


def test_draws_are_new_at_every_run_and_repeat_with_a_seed(engine):
    x = K.placeholder((None, 4))
    f = K.function([x], [K.random_uniform(K.shape(x), seed=3)])
    first, second = f([np.ones((2, 4))])[0], f([np.ones((2, 4))])[0]
    again = K.function([x], [K.random_uniform(K.shape(x), seed=3)])([np.ones((2, 4))])[0]
    assert not np.array_equal(first, second) and np.array_equal(first, again)


def test_dropout(engine):
    x = K.placeholder((100, 100))
    (y,) = K.function([x], [K.dropout(x, 0.25, noise_shape=(None, 1), seed=1)])(
        [np.ones((100, 100))]
    )
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)} and (y == y[:, :1]).all()
    assert 0.6 < (y > 0).mean() < 0.9


def test_arange():
    assert K.dtype(K.arange(3)) == "int32" and list(K.eval(K.arange(1, 7, 2))) == [1, 3, 5]
    assert K.eval(K.arange(-1)).shape == (0,)


def test_loops(engine):
    x = K.placeholder((None,))
    both = [
        K.map_fn(lambda e: e * 2, x),
        K.foldl(lambda a, e: a * 2 + e, x),
        K.foldr(lambda a, e: a * 2 + e, x),
    ]
    doubled, left, right = K.function([x], both)([[1, 2, 3]])
    assert list(doubled) == [2, 4, 6] and left == 11 and right == 17


def test_every_name_of_the_interface_is_exported():
    assert all(callable(getattr(K, name)) for name in K.__all__)
