"""Operands packed before a loop: the same bits as products that pack for themselves, and told of."""

import ctypes

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import jit, target
from symtensor.codegen.gemm import Products
from symtensor.codegen.microkernels import blocking
from symtensor.codegen.product_blocks import scratch_bytes
from symtensor.codegen.schedule import LoopStep
from symtensor.ir.dtypes import float32, float64, int64

HOST = target.host()


def entries(dtype):
    """Return the native product and the native packing."""
    products = Products(dtype)
    (objects,) = jit.emit_objects([jit.Text(lambda: products.module(HOST))], HOST)
    code = jit.LoadedCode(objects, products.entries, [jit.load_pool()])
    entry, _, packing = products.entries
    p, i = ctypes.c_void_p, ctypes.c_int64
    product = ctypes.CFUNCTYPE(None, p, p, p, *[i] * 13, p, i, i, p)(code.address(entry))
    pack = ctypes.CFUNCTYPE(None, p, p, i, i, i, i)(code.address(packing))
    product.code = pack.code = code
    return product, pack


@pytest.mark.parametrize("dtype", [float32, float64, int64], ids=str)
@pytest.mark.parametrize("transposed", [False, True], ids=["rows", "columns"])
def test_products_with_panels_have_the_same_bits(dtype, transposed):
    product, pack = entries(dtype)
    width, rng = blocking(HOST, dtype).width, np.random.default_rng(0)
    scratch = np.empty(scratch_bytes(HOST, dtype), np.uint8)
    for m, n, k in [(1, 40, 9), (3, 1, 5), (12, 64, 64), (37, 130, 300), (50, 1100, 20), (5, 7, 0)]:
        a = (9 * rng.standard_normal((m, k))).astype(dtype.numpy)
        b = (9 * rng.standard_normal((n, k) if transposed else (k, n))).astype(dtype.numpy)
        bk, bn = (1, k) if transposed else (n, 1)
        panels = np.empty(-(-n // width) * width * k, dtype.numpy)
        pack(b.ctypes.data, panels.ctypes.data, n, k, bk, bn)
        found, wanted = np.ones((2, m, n), dtype.numpy)
        forms = [(found, panels, (width, 1, 0, k)), (wanted, b, (bk, bn, 0, 0))]
        for adds in (False, True):
            for c, right, strides in forms:
                addend = (c.ctypes.data, n, 1) if adds else (None, 0, 0)
                product(a.ctypes.data, right.ctypes.data, c.ctypes.data, m, n, k, 1, k, 1, 0,
                        *strides, n, 1, *addend, scratch.ctypes.data)  # fmt: skip
            np.testing.assert_array_equal(found, wanted)
        right = b.T if transposed else b
        exact = 1 + 2 * (a.astype(np.float64) @ right.astype(np.float64)) - 1
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-2)


def network(steps, rows, width, dtype="float64"):
    """Return inputs, and the states of a recurrence through a matrix and its transpose."""
    x = st.placeholder((steps, rows, width), dtype)
    u, v = (st.placeholder((width, width), dtype) for _ in range(2))
    states, _ = st.scan(
        lambda row, h: st.tanh(row + h @ u + (h * h) @ st.transpose(v)),
        [x],
        [st.zeros((rows, width), dtype)],
    )
    return [x, u, v], states


def unrolled(xp, x, u, v, start):
    h, out = start, []
    for t in range(x.shape[0]):
        h = xp.tanh(x[t] + h @ u + (h * h) @ xp.transpose(v))
        out.append(h)
    return xp.stack(out)


def packed(fn):
    """Return what remarks say is packed before loops: operands, and products that read them."""
    return [r.node for r in fn.remarks if r.kind == "packed" and "before the loop" in r.why]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(5, 3, 4), (4, 13, 33), (6, 40, 70)])
def test_loops_compute_what_their_steps_do_one_by_one(dtype, size):
    inputs, states = network(*size, dtype)
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(t.shape).astype(dtype) / size[2] for t in inputs]
    fn = st.function(inputs, states, engine="llvm")
    assert len(packed(fn)) == 4  # two operands, two products that read them
    apart = st.function(
        inputs, unrolled(st, *inputs, st.zeros(size[1:], dtype)), engine="llvm", passes=[]
    )
    assert not any(isinstance(s, LoopStep) for s in apart.executable.program.schedule.steps)
    got = fn(*arrays)
    np.testing.assert_array_equal(got, apart(*arrays))
    exact = [a.astype("float64") for a in arrays]
    wanted = unrolled(np, *exact, np.zeros(size[1:]))
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


def test_sizes_may_be_symbolic():
    steps, rows, width = (st.dim(name) for name in ("steps", "rows", "width"))
    inputs, states = network(steps, rows, width)
    fn = st.function(inputs, states, engine="llvm")
    assert len(packed(fn)) == 4
    rng = np.random.default_rng(2)
    for size in [(3, 2, 5), (0, 2, 5), (5, 1, 40), (2, 0, 3), (2, 3, 0), (9, 17, 21)]:
        arrays = [rng.standard_normal(s) for s in (size, (size[2],) * 2, (size[2],) * 2)]
        got = fn(*arrays)
        if size[0]:
            wanted = unrolled(np, *arrays, np.zeros(size[1:]))
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-11)
        assert got.shape == size


def test_products_of_one_operand_share_its_panels():
    x, u = st.placeholder((5, 6, 8), "float64"), st.placeholder((8, 8), "float64")
    states, _ = st.scan(
        lambda row, h: st.tanh(row + h @ u + (2 * h) @ u), [x], [st.zeros((6, 8), "float64")]
    )
    fn = st.function([x, u], states, engine="llvm")
    program = fn.executable.program
    assert sum(slot.packed is not None for slot in program.slots) == 1
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((5, 6, 8)), rng.standard_normal((8, 8))
    h, wanted = np.zeros((6, 8)), []
    for row in a:
        h = np.tanh(row + h @ b + (2 * h) @ b)
        wanted.append(h)
    np.testing.assert_allclose(fn(a, b), wanted, rtol=1e-12)


def test_what_changes_in_the_loop_is_not_packed():
    x, u = st.placeholder((5, 6, 8), "float64"), st.placeholder((8, 8), "float64")
    (h, m), _ = st.scan(
        lambda row, h, m: [row + h @ m, m @ u], [x], [st.zeros((6, 8), "float64"), u]
    )
    fn = st.function([x, u], [h, m], engine="llvm")
    (operand,) = {node for node in packed(fn) if node.op.name == "parameter"}
    assert operand.tensor_type.shape == (8, 8)
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((5, 6, 8)), rng.standard_normal((8, 8))
    state, matrix = np.zeros((6, 8)), b
    for t, row in enumerate(a):
        state, matrix = row + state @ matrix, matrix @ b
        np.testing.assert_allclose(fn(a, b)[0][t], state, rtol=1e-10)


def test_loops_in_loops_and_two_calls():
    """The panels of an inner loop are made anew where its operand is another one."""
    x = st.placeholder((3, 4, 5), "float64")
    weights = st.placeholder((3, 5, 5), "float64")

    def outer(rows, w, h):
        states, _ = st.scan(lambda row, s: st.tanh(row + s @ w), [st.stack([rows] * 4)], [h])
        return states[-1]

    states, _ = st.scan(outer, [x, weights], [st.zeros((4, 5), "float64")])
    fn = st.function([x, weights], states, engine="llvm")
    rng = np.random.default_rng(5)
    for _ in range(2):
        a, w = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 5, 5))
        h = np.zeros((4, 5))
        for t in range(3):
            for _ in range(4):
                h = np.tanh(a[t] + h @ w[t])
            np.testing.assert_allclose(fn(a, w)[t], h, rtol=1e-12)
