"""Forward mode against finite differences and closed forms, op family by op family."""

import numpy as np
import pytest

import symtensor as st

GIVEN = np.array([0.3, -0.7, 1.2])
OPTIONS = {"engine": "numpy", "on_unused_input": "ignore"}
ALONG = np.array([0.5, 1.5, -0.25])

CASES = {
    "elementwise": lambda x: st.tanh(x) * st.exp(x),
    "linear": lambda x: st.sum(x * 3.0),
    "product": lambda x: st.dot(x, st.sin(x)),
    "softmax": lambda x: st.exp(x) / st.sum(st.exp(x)),
    "cond": lambda x: st.cond(st.sum(x) > 0, lambda: x * x, lambda: -x),
    "scan": lambda x: st.scan(lambda v, s: st.tanh(s * v + v), x, st.sum(x))[0],
    "bounded while": lambda x: st.while_loop(
        lambda v: st.sum(v * v) < 50.0, lambda v: v * v + v * 2.0, x, max_steps=4
    ),
}


def differences(f, step=1e-4):
    """Return Richardson's central difference of `f` along ALONG."""

    def central(h):
        return (f(GIVEN + h * ALONG) - f(GIVEN - h * ALONG)) / (2 * h)

    return (4 * central(step / 2) - central(step)) / 3


@pytest.mark.parametrize("case", CASES)
def test_forward_mode_against_differences(case):
    x, t = st.placeholder((3,), "float64"), st.placeholder((3,), "float64")
    y = CASES[case](x)
    forward = st.function([x, t], st.jvp(y, x, t), **OPTIONS)
    expected = differences(st.function([x], y, **OPTIONS))
    np.testing.assert_allclose(forward(GIVEN, ALONG), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_second_order_is_symmetric(case):
    x = st.placeholder((3,), "float64")
    loss = st.sum(CASES[case](x) ** 2)
    hessian = st.function([x], st.hessian(loss, x), **OPTIONS)(GIVEN)
    slope = st.function([x], st.gradients(loss, x), **OPTIONS)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(hessian @ ALONG, differences(slope), rtol=1e-6, atol=1e-8)


def test_tangents_pass_through_casts_in_the_type_of_the_result():
    x, t = st.placeholder((3,), "float32"), st.placeholder((3,), "float32")
    found = st.jvp(st.cast(x, "float64") * 2.0, x, t)
    assert str(found.dtype) == "float64"


def test_vectors_of_the_hessian_product_must_fit():
    x = st.placeholder((), "float64")
    with pytest.raises(st.GradientError, match="a vector"):
        st.hessian_vector_product(x * x, x, st.ones((2,), "float64"))
