"""Table A: configuration, names, sessions, phases."""

import numpy as np
import pytest

from symtensor import backend as K

from .sample import fact


@fact("backend")
def the_name_is_the_module():
    assert K.backend() == K.__name__


@fact("epsilon", "set_epsilon")
def epsilon_is_a_float():
    assert K.epsilon() == 1e-7
    K.set_epsilon(np.float32(0.25))
    assert K.epsilon() == 0.25 and type(K.epsilon()) is float
    K.set_epsilon(1e-7)


@fact("floatx", "set_floatx", "cast_to_floatx")
def floatx_is_read_at_each_call():
    assert K.floatx() == "float32"
    for kind in ("float16", "float64", "float32"):
        K.set_floatx(kind)
        made = K.variable([10]), K.constant(1), K.placeholder((2,)), K.zeros((2,)), K.eye(2)
        assert {K.dtype(x) for x in made} == {kind}
        cast = K.cast_to_floatx([1, 2])
        assert isinstance(cast, np.ndarray) and cast.dtype == kind


@fact("image_data_format", "set_image_data_format", "normalize_data_format")
def the_data_format_is_the_default():
    assert K.image_data_format() == "channels_last" == K.normalize_data_format(None)
    K.set_image_data_format("channels_first")
    assert K.image_data_format() == "channels_first" == K.normalize_data_format(None)
    x = K.placeholder((2, 3, 4, 4))
    assert K.int_shape(K.spatial_2d_padding(x)) == (2, 3, 6, 6)
    assert K.int_shape(K.conv2d(x, K.ones((2, 2, 3, 5)))) == (2, 5, 3, 3)
    assert K.normalize_data_format("Channels_Last") == "channels_last"
    K.set_image_data_format("channels_last")


@fact("image_dim_ordering", "set_image_dim_ordering")
def the_ordering_is_the_format_of_keras_1():
    assert K.image_dim_ordering() == "tf"
    K.set_image_dim_ordering("th")
    assert K.image_data_format() == "channels_first" and K.image_dim_ordering() == "th"
    K.set_image_dim_ordering("tf")
    with pytest.raises(ValueError, match="tf or th"):
        K.set_image_dim_ordering("channels_last")


@fact("get_uid", "reset_uids")
def each_prefix_counts_from_1():
    K.reset_uids()
    assert [K.get_uid("dense"), K.get_uid("dense"), K.get_uid("x"), K.get_uid()] == [1, 2, 1, 1]
    K.reset_uids()
    assert K.get_uid("dense") == 1


@fact("clear_session")
def clearing_forgets_names_and_the_phase():
    K.get_uid("dense")
    K.set_learning_phase(1)
    kept = K.variable(5.0, name="kernel")
    K.clear_session()
    assert K.get_uid("dense") == 1 and K.is_tensor(K.learning_phase())
    assert K.variable(0.0, name="kernel").name == kept.name and K.get_value(kept) == 5


@fact("get_session", "set_session", "manual_variable_initialization")
def the_session_evaluates():
    K.manual_variable_initialization(True)
    K.manual_variable_initialization(False)
    K.set_session(K.get_session())
    x = K.placeholder((None, 2))
    found = K.get_session().run([K.shape(x), x * 2], {x: [[1, 2]]})
    assert found[0].tolist() == [1, 2] and found[1].tolist() == [[2, 4]]


@fact("name_scope")
def scopes_are_put_before_names():
    K.clear_session()
    with K.name_scope("layer") as outer, K.name_scope("inner") as inner:
        names = [K.variable(0, name="kernel").name for _ in range(2)]
        K.size(K.zeros((2,)), name=inner)
    assert names == ["layer/inner/kernel", "layer/inner/kernel_1"]
    assert (outer, inner) == ("layer", "layer/inner") and K.variable(0, name="b").name == "b"


@fact("symbolic", "eager")
def decorators_change_nothing():
    assert K.symbolic(len) is len and K.eager(len) is len


@fact("control_dependencies")
def what_is_made_inside_comes_after():
    total = K.variable(1.0)
    with K.control_dependencies([[K.update_add(total, 5)], None]):
        result = K.identity(total)
    assert K.function([], [result])([])[0] == 6 and K.get_value(total) == 6
    with K.control_dependencies(None):
        assert K.eval(K.identity(total)) == 6


@fact("learning_phase", "set_learning_phase")
def a_phase_is_symbolic_until_it_is_fixed():
    x = K.placeholder((2,))
    y = K.in_train_phase(x + 1, x)
    run = K.function([x, K.learning_phase()], [y])
    for phase in (0, 1, 0.0, 1.0, True):
        np.testing.assert_array_equal(run([[1, 2], phase])[0], np.array([1, 2]) + bool(phase))
    K.set_learning_phase(1)
    assert K.learning_phase() == 1 and type(K.learning_phase()) is int
    fixed = K.function([x, K.learning_phase()], [K.in_train_phase(x + 1, x)])
    assert fixed([[1, 2], 1])[0].tolist() == [2, 3]
    K.clear_session()
