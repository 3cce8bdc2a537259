"""Reverse and forward mode beyond what the catalogue checks per op."""

import sys

import numpy as np
import pytest

import symtensor as st

RNG = np.random.default_rng(3)


def value(x, feeds=None, **options):
    return x.eval(feeds or {}, engine="numpy", **options)


# --- what gradients() promises -------------------------------------------------------------------


def test_shape_of_the_answer():
    x, y = st.placeholder((2,), "float64"), st.placeholder((2,), "float64")
    loss = st.sum(x * y)
    assert isinstance(st.gradients(loss, x), st.Tensor)
    assert isinstance(st.gradients(loss, [x]), list)
    twice = st.gradients(loss, (x, x))
    assert len(twice) == 2 and twice[0].node is twice[1].node


def test_intermediate_tensors_and_equal_builds():
    x = st.placeholder((3,), "float64")
    square = x * x
    loss = st.sum(st.exp(square))
    found = st.gradients(loss, square)
    given = np.array([0.1, -0.5, 0.3])
    np.testing.assert_allclose(value(found, {x: given}), np.exp(given**2))
    again = st.gradients(loss, x * x)  # equal nodes are one node
    assert again.node is found.node


def test_loss_must_be_a_float_scalar():
    x = st.placeholder((3,), "float64")
    with pytest.raises(st.GradientError, match="0-d float loss") as caught:
        st.gradients(x * 2, x)
    assert "symtensor.sum" in str(caught.value) and __file__ in str(caught.value)
    with pytest.raises(st.GradientError, match="0-d float loss"):
        st.gradients(st.argmax(x), x)
    with pytest.raises(st.GradientError, match="expected tensors"):
        st.gradients(st.sum(x), "x")
    with pytest.raises(st.GradientError, match="known"):
        st.gradients(None, x)


def test_known_cotangents_are_seeds():
    x = st.placeholder((3,), "float64")
    y = st.sin(x)
    seed = np.array([1.0, 2.0, 3.0])
    given = np.array([0.1, 0.2, 0.3])
    found = st.gradients(None, x, known={y: st.constant(seed)})
    np.testing.assert_allclose(value(found, {x: given}), seed * np.cos(given))
    both = st.gradients(st.sum(x), x, known={y: st.constant(seed)})
    np.testing.assert_allclose(value(both, {x: given}), 1 + seed * np.cos(given))


def test_known_cotangents_must_fit():
    x = st.placeholder((3,), "float64")
    with pytest.raises(st.GradientError, match="known: a cotangent"):
        st.gradients(None, x, known={x * 2: st.ones((2,), "float64")})


def test_long_chains_do_not_recurse():
    x = st.placeholder((), "float64")
    y = x
    for _ in range(20_000):
        y = y * 0.5 + x
    assert st.gradients(y, x).dtype == x.dtype


def test_disconnected_by_choice():
    x, other = st.placeholder((2,), "float32"), st.placeholder((2,), "float32", name="other")
    loss = st.sum(x)
    zeros = st.gradients(loss, other)
    assert zeros.dtype is st.float32 and value(zeros).tolist() == [0, 0]
    assert st.gradients(loss, other, disconnected="none") is None
    with pytest.raises(st.GradientError, match="does not depend on"):
        st.gradients(loss, other, disconnected="raise")
    with pytest.raises(st.AttributeValueError, match="expected zero, none or raise"):
        st.gradients(loss, other, disconnected="ignore")


def test_the_error_tells_where_the_path_broke():
    x = st.placeholder((2,), "float64")
    hard = st.cast(st.argmax(x), "float64")
    with pytest.raises(st.GradientError, match="argmax gives i64") as caught:
        st.gradients(hard * 2, x, disconnected="raise")
    assert __file__ in str(caught.value)


def test_nothing_flows_past_constants():
    x = st.placeholder((), "float64")
    y = x * 3
    loss = y * x
    found = st.gradients(loss, [x, y], consider_constant=[y])
    assert value(found[0], {x: 2.0}) == 6 and value(found[1], {x: 2.0}) == 2
    assert value(st.gradients(st.stop_gradient(y) * x, x), {x: 2.0}) == 6


def test_steered_gradients():
    x = st.placeholder((3,), "float64")
    given = np.array([-3.0, 0.5, 3.0])
    through = lambda f: value(st.gradients(st.sum(st.square(f(x))), x), {x: given})  # noqa: E731
    np.testing.assert_allclose(through(lambda v: st.grad_scale(v, -1)), -2 * given)
    np.testing.assert_allclose(through(lambda v: st.grad_clip(v, -1, 1)), [-1, 1, 1])
    both = st.grad_clip(x, -1, 1) + st.grad_clip(x, -3, 3)
    np.testing.assert_allclose(value(st.gradients(st.sum(both * 10), x), {x: given}), [4, 4, 4])


def test_custom_gradient_replaces_the_rule():
    straight = st.custom_gradient(lambda x: st.round(x), lambda g, y, x: [g])
    x = st.placeholder((2,), "float64")
    loss = st.sum(straight(x) * np.array([2.0, 3.0]))
    for engine in ("numpy", "llvm"):
        f = st.function([x], [loss, st.gradients(loss, x)], engine=engine)
        found, gradient = f(np.array([0.6, 1.2]))
        assert found == 5 and gradient.tolist() == [2, 3]


def test_gradient_dtypes_follow_the_variable():
    x, y = st.placeholder((), "float32"), st.placeholder((), "float64")
    loss = x * y
    gx, gy = st.gradients(loss, [x, y])
    assert gx.dtype is st.float32 and gy.dtype is st.float64


def test_missing_rules_are_errors_with_the_users_line():
    rough = st.custom_op("rough_for_test", evaluate=lambda x: x + 1, replace=True)
    x = st.placeholder((2,), "float64")
    with pytest.raises(st.GradientError, match="has no gradient rule") as caught:
        st.gradients(st.sum(rough(x)), x)
    assert __file__ in str(caught.value)
    wrong = st.custom_op(
        "wrong_for_test", evaluate=lambda x: x, vjp=lambda g, y, x: [st.sum(g)], replace=True
    )
    with pytest.raises(st.GradientError, match="returned f64"):
        st.gradients(st.sum(wrong(x)), x)


def test_ties_share_and_kinks_are_zero():
    x = st.placeholder((3,), "float64")
    given = np.array([2.0, 2.0, 1.0])
    np.testing.assert_allclose(value(st.gradients(st.max(x), x), {x: given}), [0.5, 0.5, 0])
    zero = np.zeros(3)
    for f in (st.relu, st.abs, st.sign):
        assert value(st.gradients(st.sum(f(x)), x), {x: zero}).tolist() == [0, 0, 0]
    np.testing.assert_allclose(
        value(st.gradients(st.sum(st.maximum(x, 0.0)), x), {x: zero}), [0.5, 0.5, 0.5]
    )
    assert value(st.gradients(st.norm(x), x), {x: zero}).tolist() == [0, 0, 0]
    products = st.gradients(st.prod(x), x)
    assert value(products, {x: np.array([6.0, 0, 0])}).tolist() == [0, 0, 0]
    assert value(products, {x: np.array([6.0, 0, 2])}).tolist() == [0, 12, 0]


# --- forward mode --------------------------------------------------------------------------------


def network():
    x, w = st.placeholder((None, 4), "float64"), st.placeholder((4, 3), "float64")
    hidden = st.tanh(x @ w)
    walked, _ = st.scan(lambda row, s: st.sin(row + s), hidden, st.zeros(3, "float64"))
    y = st.log_softmax(walked) * st.sort(hidden) + st.max(x, axis=1, keepdims=True)
    return x, w, y


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_forward_and_reverse_agree(engine):
    x, w, y = network()
    dx, dw = st.placeholder((None, 4), "float64"), st.placeholder((4, 3), "float64")
    dx = st.specify_shape(dx, x.shape)
    u = st.placeholder((None, 3), "float64")
    u = st.specify_shape(u, y.shape)
    forward = st.jvp(y, [x, w], [dx, dw])
    gx, gw = st.vjp([y], [x, w], [u])
    inputs = [x, w, st.Tensor(dx.node.inputs[0]), dw, st.Tensor(u.node.inputs[0])]
    f = st.function(inputs, [st.sum(forward * u), st.sum(gx * dx) + st.sum(gw * dw)], engine=engine)
    for n in (5, 1):
        shapes = ((n, 4), (4, 3), (n, 4), (4, 3), (n, 3))
        left, right = f(*(RNG.standard_normal(s) for s in shapes))
        np.testing.assert_allclose(left, right, rtol=1e-12)


def test_jacobian_and_hessian_against_closed_forms():
    x = st.placeholder((None,), "float64")
    a = RNG.standard_normal((6, 4))
    y = st.exp(st.constant(a) @ st.specify_shape(x, (4,)))
    given = 0.3 * RNG.standard_normal(4)
    found = value(st.jacobian(y, x), {x: given})
    np.testing.assert_allclose(found, np.exp(a @ given)[:, None] * a, rtol=1e-12)
    loss = st.sum(y)
    curvature = (a.T * np.exp(a @ given)) @ a
    np.testing.assert_allclose(value(st.hessian(loss, x), {x: given}), curvature, rtol=1e-10)
    v = RNG.standard_normal(4)
    product = st.hessian_vector_product(loss, x, st.constant(v))
    np.testing.assert_allclose(value(product, {x: given}), curvature @ v, rtol=1e-10)
    assert not value(st.hessian(st.sum(3 * x), x), {x: given}).any()


def test_jacobian_of_symbolic_sizes_loops():
    x = st.placeholder((None, 2), "float64")
    y = st.square(x)
    f = st.function([x], st.jacobian(y, x), engine="llvm")
    for n in (1, 5):
        given = RNG.standard_normal((n, 2))
        wanted = np.einsum("ij,ik,jl->ijkl", 2 * given, np.eye(n), np.eye(2))
        np.testing.assert_allclose(f(given), wanted)
    assert f.compile_count == 1


def test_jvp_checks_its_arguments():
    x = st.placeholder((2,), "float64")
    with pytest.raises(st.GradientError, match="tangents"):
        st.jvp(x * 2, [x], [])
    with pytest.raises(st.GradientError, match="tangent"):
        st.jvp(x * 2, x, st.zeros(3))
    assert value(st.jvp(st.argmax(x), x, st.ones_like(x)), {x: np.ones(2)}) == 0


def test_gradients_stay_small():
    """The gradient graph of a deep network has at most five times its nodes (reliability R22)."""
    x = st.placeholder((None, 8), "float64")
    weights = [st.placeholder((8, 8), "float64") for _ in range(10)]
    h = x
    for w in weights:
        h = st.layer_norm(st.relu(h @ w))
    loss = st.mean(st.square(h))
    forward = len(st.Graph((), (loss.node,)).nodes())
    whole = len(st.Graph((), tuple(g.node for g in st.gradients(loss, weights))).nodes())
    assert whole < 5 * forward


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_a_transposed_convolution_of_unknown_sizes_has_gradients_and_checks_them(engine):
    x = st.placeholder((None, None, None, 3), "float64")
    kernel = st.placeholder((2, 2, 4, 3), "float64")
    weights = np.random.default_rng(0).standard_normal((2, 6, 6, 4))
    loss = st.sum(st.conv_transpose(x, kernel, (6, 6), strides=2) * weights)
    f = st.function([x, kernel], st.gradients(loss, [x, kernel]), engine=engine)
    given = np.random.default_rng(1).standard_normal((2, 3, 3, 3))
    filters = np.random.default_rng(2).standard_normal((2, 2, 4, 3))
    blocks = weights.reshape(2, 3, 2, 3, 2, 4)
    by_x, by_kernel = f(given, filters)
    np.testing.assert_allclose(by_x, np.einsum("niajbc,abcf->nijf", blocks, filters), rtol=1e-12)
    np.testing.assert_allclose(by_kernel, np.einsum("niajbc,nijf->abcf", blocks, given), rtol=1e-12)
    for sizes in ((2, 2, 3, 3), (2, 3, 4, 3)):
        with pytest.raises(st.ShapeError):
            f(np.ones(sizes), filters)


# --- sums of cotangents ------------------------------------------------------------------------------


def normalized(x, axes):
    centered = x - st.mean(x, axes, keepdims=True)
    return centered / st.sqrt(st.mean(centered * centered, axes, keepdims=True) + 1e-3)


def truth_of_normalized(x, g, axes):
    """The gradient in closed form (Ioffe and Szegedy, 2015)."""
    deviation = np.sqrt(x.var(axes, keepdims=True) + 1e-3)
    z = (x - x.mean(axes, keepdims=True)) / deviation
    mean, along = g.mean(axes, keepdims=True), (g * z).mean(axes, keepdims=True)
    return (g - mean - z * along) / deviation


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("axes", [(1,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("size", [6, None])
def test_normalizations_against_the_closed_form(engine, axes, size):
    x, g = st.placeholder((None, size, 5), "float64"), st.placeholder((None, size, 5), "float64")
    scale = st.placeholder((5,), "float64")
    loss = st.sum(normalized(x, axes) * scale * g)
    f = st.function([x, g, scale], st.gradients(loss, [x, scale]), engine=engine)
    a, b, c = RNG.normal(3, 2, size=(4, 6, 5)), RNG.normal(size=(4, 6, 5)), RNG.normal(size=5)
    of_x, of_scale = f(a, b, c)
    np.testing.assert_allclose(of_x, truth_of_normalized(a, b * c, axes), rtol=1e-10, atol=1e-12)
    z = (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + 1e-3)
    np.testing.assert_allclose(of_scale, (z * b).sum((0, 1)), rtol=1e-10)


def summed(found, axes):
    """Return what a graph sums over `axes`."""
    nodes = st.Graph((), (found.node,)).nodes()
    return [n.inputs[0] for n in nodes if n.op.name == "sum" and n.attrs["axes"] == axes]


@pytest.mark.parametrize("axes, shape", [((0,), (5,)), ((1,), (3, 1))])
def test_what_is_the_same_along_summed_axes_leaves_the_sum(axes, shape):
    x, g = st.placeholder((3, 5), "float64"), st.placeholder((3, 5), "float64")
    mean, deviation = st.placeholder(shape, "float64"), st.placeholder(shape, "float64")
    centered = (x - mean) / st.sqrt(1 + deviation)
    found = st.gradients(None, mean, known={centered * (deviation - 3): g})
    assert summed(found, axes) == [g.node]
    f = st.function([g, deviation], found, engine="numpy")
    a, c = RNG.normal(size=(3, 5)), RNG.normal(size=shape) ** 2
    wanted = (-a / np.sqrt(1 + c) * (c - 3)).sum(axes, keepdims=len(shape) == 2)
    np.testing.assert_allclose(f(a, c), wanted, rtol=1e-12)


def test_sums_without_a_common_factor_stay_as_they_are():
    x, bias = st.placeholder((None, 5), "float64"), st.placeholder((5,), "float64")
    y = st.tanh(x + bias)
    for loss in (st.sum(y * 0.5 + st.square(y)), st.sum(x * (bias * 2)), st.sum(y / st.sum(y))):
        assert len(summed(st.gradients(loss, bias), (0,))) == 1


def test_long_totals_of_products_do_not_take_long():
    x, factor = st.placeholder((7, 3), "float64"), st.placeholder((7, 1), "float64")
    terms = x * factor
    for _ in range(3000):
        terms = terms + st.sin(x * factor)
    found = st.gradients(st.sum(terms), factor)
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 1))
    wanted = (a * (1 + 3000 * np.cos(a * b))).sum(1, keepdims=True)
    np.testing.assert_allclose(value(found, {x: a, factor: b}), wanted, rtol=1e-9)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_rows_that_a_condition_drops_have_zero_gradients(engine):
    """Their deviation is 0, so the factor that leaves the sum is infinite."""
    x, chosen = st.placeholder((None, 4), "float64"), st.placeholder((None, 1), "bool")
    centered = x - st.mean(x, 1, keepdims=True)
    deviation = st.sqrt(st.mean(centered * centered, 1, keepdims=True))
    kept = st.where(chosen, centered / deviation, 0.0)
    weights = st.constant(np.arange(4.0))
    f = st.function([x, chosen], st.gradients(st.sum(kept * weights), x), engine=engine)
    given = np.array([[2.0, 2, 2, 2], [1, 2, 4, 8]])
    found = f(given, np.array([[False], [True]]))
    np.testing.assert_array_equal(found[0], 0)
    z = (given[1] - given[1].mean()) / given[1].std()
    wanted = (np.arange(4.0) - 1.5 - z * (z * np.arange(4.0)).mean()) / given[1].std()
    np.testing.assert_allclose(found[1], wanted, rtol=1e-12)
    assert np.isnan(f(given, np.array([[True], [True]]))[0]).all()


# --- provenance ----------------------------------------------------------------------------------


def lines_of(found):
    return [end.node.loc.line for end in found.ends]


def test_provenance_names_every_place_where_a_path_ends():
    x = st.placeholder((3,), name="x")
    here = sys._getframe().f_lineno
    stopped = st.stop_gradient(x * 2)
    index = st.argmax(x)
    loss = st.sum(stopped) + st.cast(index, "float32")
    found = st.why_no_gradient(loss, x)
    assert not found.connected and found.reached
    assert sorted(lines_of(found)) == [here + 1, here + 2]
    assert "passes no gradient on to its operand 0" in str(found)
    assert "argmax gives i64[]: only floats carry gradients" in str(found)
    assert "stop_gradient -> sum -> add" in str(found)


def test_provenance_of_a_path_that_carries():
    x = st.placeholder((3,), name="x")
    loss = st.sum(x * st.stop_gradient(x))
    found = st.why_no_gradient(loss, x)
    assert found.connected and str(found).startswith("a gradient flows to")
    assert st.gradients(loss, x, disconnected="none") is not None


def test_provenance_of_another_tensor_of_the_same_name():
    old, new = (st.variable(np.zeros(3, "f"), name="w") for _ in range(2))
    found = st.why_no_gradient(st.sum(old), new)
    assert not found.reached and "reads another variable of this name" in str(found)
    with pytest.raises(st.GradientError, match="this other variable 'w'"):
        st.gradients(st.sum(old), new, disconnected="raise")


def test_provenance_knows_constants_integers_and_ops_without_rules():
    x = st.placeholder((3,), name="x")
    y = x * 2
    found = st.why_no_gradient(st.sum(y), x, consider_constant=[y])
    assert not found.connected and "is in consider_constant" in str(found)
    assert st.gradients(st.sum(y), x, disconnected="none", consider_constant=[y]) is None
    whole = st.sum(st.cast(x, "int32"))
    assert "sum gives i64[]" in str(st.why_no_gradient(whole, x))
    step = st.custom_op("step_without_rule", evaluate=lambda x: np.floor(x))
    assert "no gradient rule" in str(st.why_no_gradient(st.sum(step(x)), x))
    with pytest.raises(st.GradientError, match="expected two tensors"):
        st.why_no_gradient(1.0, x)


def test_provenance_agrees_with_gradients_inside_loops():
    x = st.placeholder((3,), name="x")
    state = st.scan(lambda s: s * x, None, st.ones((3,)), n_steps=2)[0]
    loss = st.sum(state)
    assert st.why_no_gradient(loss, x).connected
    assert st.gradients(loss, x, disconnected="none") is not None
