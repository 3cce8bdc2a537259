"""Handles of tensors: attributes, NumPy operands, sessions, names."""

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
