"""What the samples of reductions can't say: ties, kinks, extreme gradients, messages, structure."""

import numpy as np
import pytest

import symtensor as st
from symtensor.ops import reduction


def value(tensor, feeds=None):
    return tensor.eval(feeds or {}, engine="numpy")


def derivative(build, x):
    """The gradient of the sum of `build` at `x`."""
    t = st.placeholder(np.shape(x), "float64")
    return value(st.gradients(st.sum(build(t)), t), {t: np.asarray(x, dtype=float)})


# --- the IR --------------------------------------------------------------------------------------


def test_keepdims_is_a_reshape_of_the_same_reduction():
    x = st.placeholder((None, 3))
    assert st.sum(x, 1, keepdims=True).node.inputs[0] is st.sum(x, 1).node


def test_axes_are_sorted_and_counted_from_the_front():
    x = st.placeholder((2, 3, 4))
    assert st.sum(x, (-1, 0)).node is st.sum(x, (0, 2)).node


@pytest.mark.parametrize("reduce", [st.sum, st.prod, st.max, st.min])
def test_no_axes_give_the_operand_itself(reduce):
    x = st.placeholder((2, 3))
    assert reduce(x, ()) is x


def test_unknown_sizes_stay_symbolic():
    x = st.placeholder((None, 3, None))
    assert st.mean(x, 1).shape == (x.shape[0], x.shape[2])
    assert st.argmax(x).shape == ()


# --- gradients at ties and kinks -----------------------------------------------------------------


@pytest.mark.parametrize(("reduce", "x"), [(st.max, [3.0, 1.0, 3.0]), (st.min, [0.0, 2.0, 0.0])])
def test_equal_extrema_share_the_gradient(reduce, x):
    np.testing.assert_array_equal(derivative(reduce, x), [0.5, 0.0, 0.5])


def test_shares_are_counted_per_lane():
    x = [[1.0, 1.0, 0.0], [2.0, 3.0, 2.0]]
    expected = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]
    np.testing.assert_array_equal(derivative(lambda t: st.max(t, 1), x), expected)


def test_many_equal_extrema_in_half_precision():
    x = st.placeholder((3000,), "float16")
    found = value(st.gradients(st.max(x) * 3000, x), {x: np.ones(3000, "float16")})
    np.testing.assert_array_equal(found, np.ones(3000, "float16"))


def test_a_winning_initial_value_takes_the_gradient():
    np.testing.assert_array_equal(derivative(lambda t: st.max(t, initial=5.0), [1.0, 2.0]), [0, 0])
    np.testing.assert_array_equal(
        derivative(lambda t: st.max(t, initial=2.0), [1.0, 2.0]), [0, 0.5]
    )


@pytest.mark.parametrize("x", [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
def test_std_of_equal_elements_has_derivative_zero(x):
    np.testing.assert_array_equal(derivative(st.std, x), [0.0, 0.0, 0.0])


def test_norm_at_zero_has_derivative_zero():
    np.testing.assert_array_equal(derivative(st.norm, [0.0, 0.0]), [0.0, 0.0])


# --- products with zeros -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
        ([2.0, 0.0, 4.0], [0.0, 8.0, 0.0]),
        ([2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([5.0], [1.0]),
        ([], []),
    ],
)
def test_gradient_of_a_product(x, expected):
    np.testing.assert_array_equal(derivative(st.prod, x), expected)


@pytest.mark.parametrize("x", [[2.0, 3.0, 4.0], [0.0, 3.0, 4.0], [0.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
def test_second_derivatives_of_a_product(x):
    """d2/dxi dxj of a product is the product of the others, whatever is zero."""
    t = st.placeholder((3,), "float64")
    gradient = st.gradients(st.prod(t), t)
    rows = [st.gradients(gradient[i], t) for i in range(3)]
    hessian = value(st.stack(rows), {t: np.array(x)})
    expected = [
        [0 if i == j else np.prod(np.delete(x, [i, j])) for j in range(3)] for i in range(3)
    ]
    np.testing.assert_array_equal(hessian, expected)


def test_a_product_over_several_axes_keeps_the_order_of_elements():
    x = np.arange(1.0, 25.0).reshape(2, 3, 4) / 10
    found = derivative(lambda t: st.prod(t, (0, 2)), x)
    np.testing.assert_allclose(found, x.prod(axis=(0, 2), keepdims=True) / x, rtol=1e-13)


def test_gradient_of_a_running_product_with_zeros():
    x = [2.0, 0.0, 3.0, 0.0]
    # y = x0, x0 x1, x0 x1 x2, x0 x1 x2 x3
    np.testing.assert_array_equal(derivative(st.cumprod, x), [1.0, 8.0, 0.0, 0.0])


def test_gradient_of_a_reversed_running_sum_runs_forwards():
    weights = np.array([1.0, 10.0, 100.0])
    found = derivative(lambda t: st.cumsum(t, reverse=True) * weights, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(found, np.cumsum(weights))


# --- logsumexp -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([0.0, 0.0], [0.5, 0.5]),
        ([1000.0, 0.0], [1.0, 0.0]),
        ([-1000.0, -1000.0], [0.5, 0.5]),
        ([-np.inf, 0.0], [0.0, 1.0]),
        ([-np.inf, -np.inf], [0.0, 0.0]),
    ],
)
def test_gradient_of_logsumexp_is_softmax(x, expected):
    np.testing.assert_array_equal(derivative(st.logsumexp, x), expected)


def test_logsumexp_of_unknown_and_empty_sizes():
    x = st.placeholder((None, None), "float64")
    out = st.logsumexp(x, 1)
    np.testing.assert_array_equal(value(out, {x: np.zeros((2, 0))}), [-np.inf, -np.inf])
    np.testing.assert_allclose(value(out, {x: np.zeros((1, 4))}), [np.log(4.0)], rtol=1e-15)


# --- dtypes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "prod", "max", "cumsum", "mean", "var", "argmin", "any"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float32"])
def test_result_dtypes_are_numpys(name, dtype):
    x = st.placeholder((3,), dtype)
    expected = getattr(np, name)(np.ones(3, dtype)).dtype
    assert getattr(st, name)(x).dtype.numpy == expected


def test_bfloat16_adds_up_in_single():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.ones(1000, ml_dtypes.bfloat16)
    t = st.placeholder((1000,), "bfloat16")
    total, mean = st.sum(t), st.mean(t)
    assert total.dtype.name == "bfloat16"
    assert float(value(total, {t: x})) == 1000.0
    assert float(value(mean, {t: x})) == 1.0


# --- errors --------------------------------------------------------------------------------------


def test_an_empty_extremum_is_refused_when_building_if_the_size_is_known():
    with pytest.raises(st.ShapeError, match="axis 1 of f32\\[3, 0\\] is empty"):
        st.max(st.placeholder((3, 0)), 1)


def test_an_empty_extremum_is_refused_when_running_else():
    x = st.placeholder((None,))
    for out in (st.max(x), st.argmin(x)):
        with pytest.raises(ValueError, match=r"empty|zero-size"):
            value(out, {x: np.zeros(0, "float32")})


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_an_extremum_of_nothing_is_refused_where_there_are_no_rows_either(engine):
    x = st.placeholder((None, None))
    for build in (st.max, st.argmin):
        f = st.function([x], build(x, 1), engine=engine)
        assert f(np.zeros((0, 3), "float32")).shape == (0,)
        for rows in (0, 2):
            with pytest.raises(st.ShapeError, match="no extremum of nothing"):
                f(np.zeros((rows, 0), "float32"))


def test_errors_say_what_is_allowed():
    x = st.placeholder((2, 3))
    with pytest.raises(st.AttributeValueError, match=r"axis 2 is out of range(?s:.*)-2 to 1"):
        st.sum(x, 2)
    with pytest.raises(st.AttributeValueError, match="an axis is named twice"):
        st.sum(x, (1, -1))
    with pytest.raises(st.AttributeValueError, match="initial: expected a number of int8"):
        st.max(st.placeholder((2,), "int8"), initial=1.5)
    with pytest.raises(st.OutOfRangeError, match="300 does not fit int8"):
        st.max(st.placeholder((2,), "int8"), initial=300)


def test_no_gradient_flows_through_positions():
    x = st.placeholder((3,), "float64")
    with pytest.raises(st.GradientError, match="argmax"):
        st.gradients(st.cast(st.argmax(x), "float64"), x, disconnected="raise")


def test_accumulators():
    assert reduction.accumulator(st.float16) is st.float32
    assert reduction.accumulator(st.float64) is st.float64
    assert reduction.accumulator(st.int8) is st.int8
