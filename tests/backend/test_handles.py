"""Handles of tensors: attributes, NumPy operands, sessions, names."""

import inspect
import pickle

import numpy as np
import pytest

import symtensor as st
from symtensor import backend as K
from symtensor import config
from symtensor.backend import evaluation


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


def test_equal_expressions_carry_their_own_attributes():
    x = K.placeholder((2,))
    a, b = K.relu(x), K.relu(x)
    a._keras_history = 1
    assert a.node is b.node and not hasattr(b, "_keras_history")
    assert not hasattr(K.identity(a), "_keras_history")
    assert not hasattr(K.reshape(a, (2,)), "_keras_history")


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


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_arrays_take_the_dtype_of_the_tensor_beside_them(kind):
    """In floatx a float64 operand would be rounded, and a float16 tensor widened."""
    x, row, third = K.placeholder((3, 4), dtype=kind), np.arange(4.0), np.float64(1) / 3
    square, yes = np.eye(4) / 3, K.constant(True, "bool")
    built = {
        "dot": K.dot(x, square), "dot to the left": K.dot(np.eye(3), x),
        "batch_dot": K.batch_dot(x, np.ones((3, 4)), 1), "bias_add": K.bias_add(x, row),
        "concatenate": K.concatenate([x, np.ones((3, 4))]), "stack": K.stack([x, np.ones((3, 4))]),
        "switch": K.switch(K.greater(x, 0), third, x), "scalar switch": K.switch(yes, x, np.ones((3, 4))),
        "in_train_phase": K.in_train_phase(np.ones((3, 4)), x), "pow": K.pow(third, x),
        "conv1d": K.conv1d(x[None], np.ones((2, 4, 5))), "clip": K.clip(x, row, row + third),
        "batch_normalization": K.batch_normalization(x, row, row, row, row),
        "normalize_batch_in_training": K.normalize_batch_in_training(x, row, row, [0])[0],
        "rnn": K.rnn(lambda n, s: (n * s[1], [n + s[0]]), x[None], [np.ones((1, 4))],
                     constants=[np.ones((1, 4))])[0],
        "foldl": K.foldl(lambda a, e: a + e * third, x, initializer=row),
        "T": x.T * third, "sum": x.sum(0) * third, "reshape": third * x.reshape(-1), "x.dot": x.dot(square),
    }  # fmt: skip
    assert {name: K.dtype(y) for name, y in built.items()} == dict.fromkeys(built, kind)
    if kind == "float64":
        found = K.function([x], [built["dot"]])([np.ones((3, 4))])[0]
        assert (found == third).all()


def test_fractions_beside_ints_stay_fractions():
    n = K.placeholder((3,), dtype="int32")
    half = np.float32(0.5)
    built = [K.greater(n, half), K.maximum(n, half), K.maximum(n, np.array([0.5, 0.5, 0.5]))]
    found = K.function([n], built)([[0, 1, 2]])
    assert found[0].tolist() == [False, True, True]
    assert found[1].tolist() == found[2].tolist() == [0.5, 1, 2]


def test_lists_of_tensors_are_stacked():
    a, b = K.variable([1.0, 2.0]), K.variable([3.0, 0.0])
    built = [
        K.sum([a, b]),
        K.max([a, b], axis=0),
        K.mean([K.sum(a), 2.0]),
        K.stack([[a, b], [b, a]]),
    ]
    found = K.function([], built)([])
    assert [y.tolist() for y in found[:3]] == [6, [3, 2], 2.5] and found[3].shape == (2, 2, 2)


def test_axes_and_strides_may_be_numbers_of_numpy():
    x, one = K.placeholder((2, 4, 3)), np.int64(1)
    assert K.int_shape(K.sum(x, axis=one)) == K.int_shape(K.sum(x, axis=np.array([1]))) == (2, 3)
    assert K.int_shape(K.sum(x, axis=range(2))) == (3,)
    assert (
        K.int_shape(K.reverse(x, one)) == K.int_shape(K.reverse(x, np.array([0, 1]))) == (2, 4, 3)
    )
    assert K.int_shape(K.batch_dot(x, x, one)) == K.int_shape(K.batch_dot(x, x, np.array([1, 1])))
    assert K.int_shape(K.conv1d(x, K.ones((2, 3, 5)), strides=np.int64(2))) == (2, 2, 5)
    assert K.int_shape(K.expand_dims(x, one)) == (2, 1, 4, 3)


def test_functions_of_reals_give_floatx_for_ints():
    n = K.arange(3)
    for f in (K.exp, K.log, K.sqrt, K.sin, K.cos, K.sigmoid, K.tanh, K.softmax, K.elu, K.logsumexp):
        assert K.dtype(f(n)) == "float32"
    for f in (K.round, K.abs, K.sign, K.square, K.relu, K.identity):
        assert K.dtype(f(n)) == "int32"


def test_a_tensor_of_the_library_keeps_numpys_rules():
    x = st.placeholder((2,), "float32")
    assert (x * np.float64(2)).dtype == st.float64
    assert K.dtype(K.relu(x) * np.float64(2)) == "float32"


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
        assert opened.run(K.update_add(w, 1)).tolist() == [2, 3]
    assert K.get_value(w).tolist() == [2, 3]


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


def test_large_initial_values_are_native_and_the_same(monkeypatch):
    engines = []
    function = evaluation.st.function
    monkeypatch.setattr(
        evaluation.st, "function", lambda *a, **k: engines.append(k["engine"]) or function(*a, **k)
    )
    values = {}
    for large in (1000, 100_000):
        monkeypatch.setattr(evaluation, "LARGE", large)
        values[large] = K.eval(K.truncated_normal((40, 50), seed=3))
    assert engines == ["llvm", "numpy"]
    np.testing.assert_allclose(values[1000], values[100_000], rtol=1e-5, atol=1e-6)


def test_the_shape_as_tensorflow_gives_it():
    x = K.placeholder((None, 3))
    assert x.get_shape() == (None, 3) and x.get_shape().as_list() == [None, 3]
    assert K.sum(x * 2.0, axis=0).get_shape().as_list() == [3]
