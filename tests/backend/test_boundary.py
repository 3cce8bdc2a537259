"""K functions with wrong arguments: an error of ours that names the user's line.

The right arguments, of which one after the other is spoilt, are those of the catalogue.
"""

import numpy as np
import pytest
import wrong_arguments
from catalogue import FACTS, SAMPLES

from symtensor import AttributeValueError, SymtensorError
from symtensor import backend as K

LEFT_OUT = {
    "clear_session", "control_dependencies", "get_session", "manual_variable_initialization", "set_session",
}  # fmt: skip
"""What changes the state of all that follows, or takes anything."""

NOT_SHOWN = {
    "random_normal_variable": [(2, 3), 0.0, 1.0],
    "random_uniform_variable": [(2, 3), 0.0, 1.0],
    "rnn": [lambda x, states: (x, [x]), K.placeholder((2, 3, 4)), [K.placeholder((2, 4))]],
}
"""Calls that the catalogue does not show so, or with steps that fail by themselves."""

NAMES = sorted(set(K.__all__) - LEFT_OUT)


class _Caught(Exception):
    pass


def _shown_call(name, monkeypatch):
    """Return (args, kwargs) of a call of the function in the catalogue."""
    if name in NOT_SHOWN:
        return NOT_SHOWN[name], {}

    def caught(*args, **kwargs):
        raise _Caught(args, kwargs)

    uses = [
        lambda s=s: s.build(*(K.placeholder(x.shape, dtype=str(x.dtype)) for x in s.arrays))
        for s in SAMPLES
        if s.name == name
    ]
    uses += [fact.holds for fact in FACTS if name in fact.names]
    for use in uses:
        with monkeypatch.context() as patch:
            patch.setattr(K, name, caught)
            try:
                use()
            except _Caught as found:
                return found.args
    raise AssertionError("the catalogue does not call it")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_are_told(name, monkeypatch, clean):
    args, kwargs = _shown_call(name, monkeypatch)
    wrong_arguments.check(getattr(K, name), args, kwargs)


def test_what_is_expected_and_found_is_told():
    x = K.placeholder((2, 3), name="x")
    with pytest.raises(SymtensorError) as caught:
        K.batch_normalization(x, None, x, None, None, axis="last")
    text = str(caught.value)
    assert (
        "batch_normalization: expected (x, mean, var, beta, gamma, axis=-1, epsilon=0.001)" in text
    )
    assert "found (Tensor('x', f32[2, 3]), None, " in text
    assert "axis='last'): not all arguments converted" in text
    assert 'K.batch_normalization(x, None, x, None, None, axis="last")' in text


@pytest.mark.parametrize("text", ["2", ["2"], [[1, 2], [3]]], ids=repr)
def test_operators_take_numbers(text):
    x = K.placeholder((2, 3))
    for operation in (lambda: x * text, lambda: text - x, lambda: x.dot(text), lambda: x > text):
        with pytest.raises(SymtensorError, match="expected"):
            operation()


def test_errors_of_the_users_own_functions_stay_as_they_are():
    def step(x, states):
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$") as caught:
        K.rnn(step, K.zeros((2, 3, 4)), [K.zeros((2, 4))])
    assert not isinstance(caught.value, SymtensorError)
    with pytest.raises(TypeError, match="unexpected keyword") as caught:
        K.relu(1.0, beta=2)
    assert not isinstance(caught.value, SymtensorError)


@pytest.mark.parametrize("text", ["2", np.array("2"), ["2"]], ids=repr)
def test_text_is_no_number(text):
    for function in (K.constant, K.zeros, K.abs, K.cast_to_floatx):
        with pytest.raises(SymtensorError, match="expected"):
            function(text)
    with pytest.raises(AttributeValueError, match="a size: expected"):
        K.random_normal((2, "3"))
