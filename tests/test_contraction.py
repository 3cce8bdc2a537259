"""What the samples of contractions can't say: the shape of the graph, guards, messages."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.schedule import CallStep
from symtensor.ir.graph import toposort
from symtensor.ops import contraction


def value(tensor, feeds):
    return tensor.eval(feeds, engine="numpy")


def ops(tensor):
    return [node.op.name for node in toposort([tensor.node])]


def contractions(tensor):
    return [n.attrs["spec"] for n in toposort([tensor.node]) if n.op.name == "contract"]


# --- one record for everything -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "spec"),
    [
        (lambda x, y: st.dot(x, y), "ab,bd->ad"),
        (lambda x, y: x @ y, "ab,bc->ac"),
        (lambda x, y: st.tensordot(x, y, 1), "ab,bd->ad"),
        (lambda x, y: st.einsum("ij,jk->ki", x, y), "ij,jk->ki"),
    ],
)
def test_products_of_matrices_are_one_contraction(build, spec):
    x, y = st.placeholder((2, 3)), st.placeholder((3, 4))
    out = build(x, y)
    assert contractions(out) == [spec]
    assert ops(out) == ["placeholder", "placeholder", "contract"]


def test_nothing_to_sum_is_a_product():
    x, y = st.placeholder((2,)), st.placeholder((3,))
    for out in (st.einsum("i,j->ij", x, y), st.outer(x, y), st.tensordot(x, y, 0)):
        assert "contract" not in ops(out)
        assert "multiply" in ops(out)


def test_gradients_are_contractions_of_the_same_operands():
    x, y = st.placeholder((2, 3), name="x"), st.placeholder((3, 4), name="y")
    g = st.placeholder((2, 4), name="g")
    gx, gy = st.gradients(None, [x, y], known={x @ y: g})
    assert (gx.op.name, gx.node.attrs["spec"]) == ("contract", "ac,bc->ab")
    assert (gy.op.name, gy.node.attrs["spec"]) == ("contract", "ab,ac->bc")
    assert gx.node.inputs == (g.node, y.node)
    assert gy.node.inputs == (x.node, g.node)


def test_repeated_batches_are_summed_in_the_gradient():
    x, y = st.placeholder((1, 2, 3), "float64"), st.placeholder((4, 3, 2), "float64")
    gx = st.gradients(st.sum(x @ y), x)
    b = np.arange(24.0).reshape(4, 3, 2)
    found = value(gx, {x: np.ones((1, 2, 3)), y: b})
    np.testing.assert_allclose(found, np.broadcast_to(b.sum((0, 2)), (1, 2, 3)), rtol=1e-14)


@pytest.mark.parametrize(
    ("shapes", "products"),
    [
        (((1, 50), (50, 60), (60, 70)), [(1, 60), (1, 70)]),
        (((50, 60), (60, 70), (70, 1)), [(60, 1), (50, 1)]),
        (((None, 50), (50, 60), (60, 1)), [(50, 1), (None, 1)]),
    ],
)
def test_einsum_contracts_the_cheap_pair_first(shapes, products):
    tensors = [st.placeholder(s) for s in shapes]
    out = st.einsum("ab,bc,cd->ad", *tensors)
    nodes = [n for n in toposort([out.node]) if n.op.name == "contract"]
    known = [tuple(d if isinstance(d, int) else None for d in n.type.shape) for n in nodes]
    assert known == products


def test_einsum_of_many_operands_matches_numpy():
    rng = np.random.default_rng(0)
    spec = "ea,fb,abcd,gc,hd->efgh"
    arrays = [rng.normal(size=s) for s in ((2, 3), (3, 2), (3, 2, 4, 2), (2, 4), (3, 2))]
    tensors = [st.placeholder((None,) * a.ndim, "float64") for a in arrays]
    found = value(st.einsum(spec, *tensors), dict(zip(tensors, arrays, strict=True)))
    np.testing.assert_allclose(found, np.einsum(spec, *arrays), rtol=1e-12)


# --- sizes ---------------------------------------------------------------------------------------


def test_unproved_sizes_are_guarded():
    x, y = st.placeholder((None, None)), st.placeholder((None, None))
    out = x @ y
    assert out.shape == (x.shape[0], y.shape[1])
    ones = np.ones((2, 3), "float32")
    assert value(out, {x: ones, y: ones.T}).shape == (2, 2)
    with pytest.raises(st.ShapeError, match=r"specify_shape.*(?s:.*)test_contraction\.py"):
        value(out, {x: ones, y: ones})


def test_the_same_name_needs_no_guard():
    x, y = st.placeholder((2, "inner")), st.placeholder(("inner", 4))
    assert "specify_shape" not in ops(x @ y)


def test_wrong_sizes_name_the_operands_and_the_line():
    x, w = st.placeholder((None, 784), name="x"), st.variable(np.zeros((785, 10), "f4"), name="W")
    with pytest.raises(st.ShapeError) as caught:
        st.dot(x, w)
    text = str(caught.value)
    assert "dot: inner sizes differ: 784 and 785" in text.splitlines()[0]
    assert "test_contraction.py" in text
    assert "placeholder 'x'" in text
    assert "f32[785, 10] variable 'W'" in text


def test_wrong_batch_sizes_are_called_so():
    with pytest.raises(st.ShapeError, match="matmul: batch sizes differ: 2 and 4"):
        st.placeholder((2, 3, 3)) @ st.placeholder((4, 3, 3))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ij,jk->i", "a label of one operand is missing"),
        ("ii,ik->k", "stands twice"),
        ("ijk,jk->i", "does not fit"),
    ],
)
def test_the_record_refuses_malformed_specs(spec, message):
    x, y = st.placeholder((2, 2)), st.placeholder((2, 2))
    from symtensor.ops.build import apply

    with pytest.raises(ValueError, match=message):
        apply(contraction.CONTRACT, x, y, spec=spec)


def test_the_record_wants_one_dtype():
    from symtensor.ops.build import apply

    x, y = st.placeholder((2, 2)), st.placeholder((2, 2), "float64")
    with pytest.raises(st.DTypeError, match="expected equal dtypes, found float32 and float64"):
        apply(contraction.CONTRACT, x, y, spec="ij,jk->ik")


def test_einsum_in_the_interleaved_form_is_refused():
    with pytest.raises(st.AttributeValueError, match="expected subscripts like"):
        st.einsum(st.placeholder((2, 2)), [0, 1])


# --- operands ------------------------------------------------------------------------------------


def test_arrays_lists_and_numbers_are_operands():
    x = st.placeholder((2, 2), "float64")
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(value(a @ x, {x: a}), a @ a)
    np.testing.assert_array_equal(value([1, 1] @ x, {x: a}), [4.0, 6.0])
    np.testing.assert_array_equal(value(st.dot(2, x), {x: a}), 2 * a)
    assert (x @ a.astype("float32")).dtype is st.float64


def test_the_result_of_bools_is_bool():
    x = st.placeholder((1, 300), "bool")
    ones = np.ones((1, 300), bool)
    found = value(x @ st.transpose(x), {x: ones})  # 300 would be 44 if it were counted in 8 bits
    np.testing.assert_array_equal(found, [[True]])
    assert found.dtype == bool


# --- diagonals -----------------------------------------------------------------------------------


def test_the_gradient_of_a_trace_is_the_identity():
    x = st.placeholder((3, 4), "float64")
    found = value(st.gradients(st.trace(x, 1), x), {x: np.zeros((3, 4))})
    np.testing.assert_array_equal(found, np.eye(3, 4, 1))


def test_diag_there_and_back():
    x = st.placeholder((None,), "float64")
    back = st.diag(st.diag(x, -2), -2)
    np.testing.assert_array_equal(value(back, {x: np.arange(4.0)}), np.arange(4.0))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_products_run_natively_and_add_up_in_float32(dtype):
    x, w = st.placeholder((None, 4096), dtype), st.placeholder((4096, 3), dtype)
    f = st.function([x, w], x @ w, engine="llvm")
    assert not any(isinstance(step, CallStep) for step in f.executable.program.schedule.steps)
    rng = np.random.default_rng(2)
    numpy_dtype = st.as_dtype(dtype).numpy
    a, b = rng.uniform(0, 1, (5, 4096)).astype(numpy_dtype), np.ones((4096, 3), numpy_dtype)
    exact = a.astype("float64") @ b.astype("float64")
    found = f(a, b)
    assert found.dtype == numpy_dtype
    rounding = 2.0**-10 if dtype == "float16" else 2.0**-7
    np.testing.assert_allclose(found.astype("float64"), exact, rtol=rounding)
