"""Matrix products: native code on every stride and size, and the contractions that use it."""

import ctypes
import functools

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import contraction, jit, target
from symtensor.codegen.gemm import Products, with_needed
from symtensor.codegen.product_blocks import scratch_bytes
from symtensor.codegen.schedule import CallStep, ContractStep
from symtensor.ir.dtypes import float32, float64, int32, int64

HOST = target.host()
POINTER, NUMBER = ctypes.c_void_p, ctypes.c_int64
TYPES = [POINTER] * 3 + [NUMBER] * 13 + [POINTER, NUMBER, NUMBER, POINTER]


@functools.cache
def load(products):
    """Return a module of products, loaded with what it calls."""
    libraries = [jit.load_pool(), *(load(x) for x in with_needed([products]) if x != products)]
    (objects,) = jit.emit_objects([jit.Text(lambda: products.module(HOST))], HOST)
    return jit.LoadedCode(objects, products.entries, libraries)


def native_call(dtype, may_be_vectors=True, entry=0):
    """Return ``call(a, b, c, d, *numbers)`` for arrays; d may be None."""
    products = Products(dtype, may_be_vectors)
    address = load(products).address(products.entries[entry])
    call = ctypes.CFUNCTYPE(None, *TYPES)(address)
    scratch = np.empty(scratch_bytes(HOST, dtype), np.uint8)

    def run(a, b, c, d, *numbers):
        pointers = [x.ctypes.data for x in (a, b, c)]
        added = (None, 0, 0) if d is None else (d.ctypes.data, *steps(d))
        call(*pointers, *numbers, *added, scratch.ctypes.data)

    return run


def steps(x):
    """Return the strides of an array in elements."""
    return [s // x.itemsize for s in x.strides]


def native(dtype, may_be_vectors=True, entry=0):
    """Return ``run(a, b, c, d)`` for 2-D arrays of any strides: ``c = d + a b``."""
    call = native_call(dtype, may_be_vectors, entry)

    def run(a, b, c, d=None):
        (am, ak), (bk, bn), (cm, cn) = map(steps, (a, b, c))
        call(a, b, c, d, *c.shape, a.shape[1], 1, am, ak, 0, bk, bn, 0, 0, cm, cn)

    return run


def laid_out(rng, dtype, rows, columns, layout):
    """Return random values as rows, as columns, as part of larger rows, or with gaps both ways."""
    full = rng.integers(-9, 9, (2 * rows, 2 * columns)).astype(dtype.numpy)
    if dtype.is_floating:
        full += rng.standard_normal(full.shape).astype(dtype.numpy)
    part = full[:rows, :columns]
    forms = [np.ascontiguousarray(part), np.asfortranarray(part), part, full[::2, ::2]]
    return forms[layout]


def addend_of(rng, dtype, c, kind):
    """Return nothing to add to, the result itself, or whole numbers: some for each, a row, a column, one."""
    apart = laid_out(rng, dtype, *c.shape, int(rng.integers(0, 4)))
    np.rint(apart, out=apart, casting="unsafe")
    repeated = [np.broadcast_to(x, c.shape) for x in (apart[:1], apart[:, :1], apart[:1, :1])]
    return [None, c, apart, *repeated][kind]


def check_product(run, rng, dtype, m, n, k, layouts, kind):
    a, b, c = (
        laid_out(rng, dtype, *shape, layout)
        for shape, layout in zip(((m, k), (k, n), (m, n)), layouts, strict=True)
    )
    frame = c.base.copy() if c.base is not None else None
    exact = np.float64 if dtype.is_floating else object
    wanted = (a.astype(exact) @ b.astype(exact)) if k else np.zeros((m, n), exact)
    d = addend_of(rng, dtype, c, kind)
    wanted = wanted if d is None else wanted + d.astype(exact)
    run(a, b, c, d)
    scale = np.finfo(dtype.numpy).eps * (k + 2) * 200 if dtype.is_floating else 0
    np.testing.assert_allclose(c.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=scale)
    if frame is not None and c.base.shape == frame.shape:
        c[...] = 0  # around c nothing may have changed
        outside = np.ones(frame.shape, bool)
        outside[
            np.ix_(*(range(0, n, 2) if layouts[2] == 3 else range(n // 2) for n in frame.shape))
        ] = 0
        if layouts[2] > 1:
            np.testing.assert_array_equal(c.base[outside], frame[outside])


@pytest.mark.parametrize("may_be_vectors", [True, False])
@pytest.mark.parametrize("entry", [0, 1], ids=["shared", "alone"])
@pytest.mark.parametrize("dtype", [float32, float64, int32, int64], ids=str)
def test_products_of_random_sizes_and_strides(dtype, entry, may_be_vectors):
    rng, run = np.random.default_rng(0), native(dtype, may_be_vectors, entry)
    for i in range(400):
        m, n = (int(x) for x in rng.integers(1, 80, 2))
        k = int(rng.integers(0, 700 if i % 5 == 0 else 60))
        m, n = (1 if i % 7 == 0 else m), (1 if i % 11 == 0 else n)
        check_product(run, rng, dtype, m, n, k, rng.integers(0, 4, 3), i % 6)


@pytest.mark.parametrize(
    "size", [(1, 1100, 5000), (1100, 1, 5000), (25, 1200, 530), (700, 30, 1030)]
)
def test_products_beyond_one_block(size):
    rng, run = np.random.default_rng(1), native(float32)
    for layouts, kind in zip(
        ((0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 3)), (3, 2, 0, 4), strict=True
    ):
        check_product(run, rng, float32, *size, layouts, kind)


@pytest.mark.parametrize("dtype", [float32, float64, int64], ids=str)
@pytest.mark.parametrize("n", [32, 45])
def test_rows_have_the_same_bits_whatever_rows_are_beside_them(dtype, n):
    """By tiles of any height, added to what the result holds or to another matrix."""
    rng, run = np.random.default_rng(n), native(dtype)
    a, b, d = (rng.standard_normal(s) * 100 for s in ((27, 530), (530, n), (27, n)))
    a, b, d = (x.astype(dtype.numpy) for x in (a, b, d))
    whole = d.copy()
    run(a, b, whole, whole)
    for m in range(2, 27):
        frame = np.full((m + 2, n), 7, dtype.numpy)
        in_place = frame[1:-1]
        in_place[...] = d[:m]
        run(a[:m], b, in_place, in_place)
        np.testing.assert_array_equal(in_place, whole[:m])
        run(a[:m], b, in_place, d[:m])
        np.testing.assert_array_equal(in_place, whole[:m])
        np.testing.assert_array_equal(frame[[0, -1]], np.full((2, n), 7))


@pytest.mark.parametrize("dtype", [float32, float64, int64], ids=str)
@pytest.mark.parametrize("n", [2, 5, 10, 17, 33])
def test_narrow_products_have_the_same_bits_however_the_left_operand_lies(dtype, n):
    """Rows side by side go through the transposed product; rows apart don't."""
    rng, run = np.random.default_rng(n), native(dtype)
    a, b, d = (rng.standard_normal(s) * 100 for s in ((610, 150), (610, n), (150, n)))
    a, b, d = (x.astype(dtype.numpy) for x in (a, b, d))
    side_by_side, apart = (np.full((150, n), 7, dtype.numpy) for _ in range(2))
    run(a.T, b, side_by_side, d)
    run(np.ascontiguousarray(a.T), b, apart, d)
    np.testing.assert_array_equal(side_by_side, apart)
    np.testing.assert_allclose(apart, d + a.T.astype("f8") @ b, rtol=1e-3, atol=1)
    run(a.T, b, d, d)
    np.testing.assert_array_equal(d, apart)


@pytest.mark.parametrize("dtype", [float32, int64], ids=str)
@pytest.mark.parametrize("m", [1, 30])
@pytest.mark.parametrize("k", [0, 1, 9, 96, 300, 600])
@pytest.mark.parametrize("n", [1, 5, 32, 140])
def test_products_of_several_rounds(dtype, m, k, n):
    """Sums over two labels: windows that overlap on the left, slices of a larger array on the right."""
    rng, rounds = np.random.default_rng(m + k + n), 5
    x = rng.integers(-9, 9, (m + rounds, k + rounds)).astype(dtype.numpy)
    weights = rng.integers(-9, 9, (rounds, k + 2, n)).astype(dtype.numpy)
    a = np.stack([x[r : r + m, r : r + k] for r in range(rounds)])
    b, c = weights[:, :k], rng.integers(-9, 9, (m, n)).astype(dtype.numpy)
    call = native_call(dtype)
    for kind in range(6):
        d = addend_of(rng, dtype, c, kind)
        wanted = (a @ b).sum(0) + (0 if d is None else d)
        row = x.shape[1]
        call(x, weights, c, d, m, n, k, rounds, row, 1, row + 1, n, 1, (k + 2) * n, 0, n, 1)
        np.testing.assert_array_equal(c, wanted)  # exact: small whole numbers


def placed(x, elements):
    """Return a copy of an array that begins some elements after a cache line."""
    room = np.empty(x.size + 64, x.dtype)
    start = -room.ctypes.data % 64 // x.itemsize + elements
    copy = room[start : start + x.size].reshape(x.shape)
    copy[...] = x
    return copy


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("k", [3, 4, 127, 1030])
@pytest.mark.parametrize("n", [2, 5, 16, 47, 64, 160])
def test_products_of_a_row_have_the_same_bits_wherever_operands_lie(dtype, k, n):
    rng, run = np.random.default_rng(k + n), native(dtype)
    a, b = (rng.standard_normal(s).astype(dtype.numpy) for s in ((1, k), (k, n)))
    by_rows, by_dots = np.empty((2, 1, n), dtype.numpy)
    run(placed(a, 0), placed(b, 0), by_rows)
    run(placed(a, 0), placed(b.T, 0).T, by_dots)
    bound = (k + 2) * np.finfo(dtype.numpy).eps * (abs(a).astype("f8") @ abs(b).astype("f8"))
    for got in (by_rows, by_dots):
        assert np.all(abs(got - a.astype("f8") @ b.astype("f8")) <= bound)
    for elements in range(1, 64 // dtype.itemsize):
        there, c = placed(b, elements), placed(np.empty_like(by_rows), (3 * elements) % 16)
        run(placed(a, elements // 2), there, c)
        np.testing.assert_array_equal(c, by_rows)
        run(placed(a, elements // 2), placed(b.T, elements).T, c)
        np.testing.assert_array_equal(c, by_dots)


@pytest.mark.parametrize("dtype", [float32, float64, int32], ids=str)
def test_a_sum_of_rows_has_the_same_bits_whatever_columns_are_beside_it(dtype):
    """So threads may cut a product wherever they like."""
    rng, run = np.random.default_rng(5), native(dtype)
    a, b = (rng.standard_normal(s) * 100 for s in ((1, 530), (530, 4300)))
    a, b = a.astype(dtype.numpy), b.astype(dtype.numpy)
    whole = np.empty((1, 4300), dtype.numpy)
    run(a, b, whole)
    for start, end in ((0, 2), (1, 7), (3, 20), (5, 38), (4000, 4297), (16, 4299), (4295, 4300)):
        some = np.empty((1, end - start), dtype.numpy)
        run(a, b[:, start:end], some)
        np.testing.assert_array_equal(some, whole[:, start:end])


def test_products_keep_nan_and_infinities():
    rng, run = np.random.default_rng(2), native(float32)
    a, b = (rng.standard_normal((33, 33)).astype("float32") for _ in range(2))
    a[3, 4], b[7, 31] = np.nan, np.inf
    c = np.empty_like(a)
    run(a, b, c)
    wanted = a.astype("float64") @ b.astype("float64")
    np.testing.assert_array_equal(np.isnan(c), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(c), np.isinf(wanted))


@pytest.mark.parametrize("machine", ["avx512", "avx2", "sse2", "neon", "apple", "windows"])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_tiles_are_vector_code_on_every_target(machine, dtype):
    there = target.named(machine)
    text = "".join(jit.emit_assembly(x.module(there), there)
                   for x in with_needed([Products(dtype, may_be_vectors=True)]))  # fmt: skip
    kind = "s" if dtype is float32 else "d"
    if there.triple.startswith(("aarch64", "arm64")):
        fused = "fmla" if machine != "apple" else "fmla."
    else:
        fused = f"vfmadd231p{kind}" if there.has_fma else f"mulp{kind}"
    assert text.count(fused) > 40  # every multiply-add of every tile is a vector instruction
    assert "fmaf" not in text.replace("vfma", "")


SPECS = [
    "ij,jk->ik", "ji,jk->ik", "ij,kj->ik", "ij,jk->ki", "bij,bjk->bik", "bij,jk->bik",
    "bthd,bshd->bhts", "bhts,bshd->bthd", "abc,abd->cd", "abc,dbc->ad", "acb,dbc->ad",
    "i,i->", "i,ij->j", "ij,j->i", "abij,abjk->abik", "aibj,jk->iakb", "ab,cabd->dc",
]  # fmt: skip
SIZES = dict(zip("abcdhijkst", (3, 4, 5, 6, 2, 17, 9, 33, 7, 8), strict=True))


@pytest.mark.parametrize("known", [True, False], ids=["static", "symbolic"])
@pytest.mark.parametrize("spec", SPECS)
def test_contractions_run_natively(spec, known):
    rng = np.random.default_rng(3)
    operands, _ = spec.split("->")
    arrays = [rng.standard_normal([SIZES[x] for x in term]) for term in operands.split(",")]
    inputs = [st.placeholder(a.shape if known else (None,) * a.ndim, "float64") for a in arrays]
    f = st.function(inputs, st.einsum(spec, *inputs), engine="llvm")
    steps = f.executable.program.schedule.steps
    assert any(isinstance(s, ContractStep) for s in steps)
    assert not any(isinstance(s, CallStep) for s in steps)
    np.testing.assert_allclose(f(*arrays), np.einsum(spec, *arrays), rtol=1e-12, atol=1e-12)


def test_views_of_operands_are_strides():
    x, y = st.placeholder((None, 40)), st.placeholder((20, 3))
    z = st.matmul(
        st.transpose(x)[::-2, 1:], st.broadcast_to(y[:, :1], (20, 5))[::-1][: x.shape[0] - 1]
    )
    f = st.function([x, y], z, engine="llvm")
    assert [type(s) for s in f.executable.program.schedule.steps] == [ContractStep]
    a, b = np.random.default_rng(4).standard_normal((2, 20, 40)).astype("float32")
    b = np.ascontiguousarray(b[:, :3])
    a = a[:11]
    wanted = a.T[::-2, 1:] @ np.broadcast_to(b[:, :1], (20, 5))[::-1][:10]
    np.testing.assert_allclose(f(a, b), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 32])
def test_the_window_of_a_convolution_is_summed_by_one_product(channels):
    x, kernel = st.placeholder((None, 8, 9, channels)), st.placeholder((3, 5, channels, 16))
    f = st.function([x, kernel], st.conv(x, kernel), engine="llvm")
    (text,) = [k.text for k in f.kernels if k.text.startswith(k.function)]
    assert f"inner < {5 * channels}  #" in text
    assert "rounds < 3  #" in text
    assert "c = a @ b" in text


@pytest.mark.parametrize("channels", [3, 32])
def test_the_gradient_by_a_kernel_goes_over_the_images_once(channels, monkeypatch):
    """The images are the outermost loop where the kernel stays in a cache, which changes no bit."""
    x, w = st.placeholder((None, 10, 12, channels)), st.placeholder((3, 5, channels, 16))
    gradient = st.gradients(st.sum(st.conv(x, w) ** 2), [w])[0]
    images = f"strides a {10 * 12 * channels}, b {8 * 8 * 16}, c 0"

    def outermost(f):
        return next(line for line in f.kernels[-1].text.splitlines() if "for l0 <" in line)

    near = st.function([x, w], gradient, engine="llvm")
    assert images in outermost(near)
    monkeypatch.setattr(contraction, "NEAR", 0)
    monkeypatch.setenv("SYMTENSOR_CACHE", "off")  # where no key knows of it
    far = st.function([x, w], gradient, engine="llvm")
    assert images not in outermost(far)
    rng = np.random.default_rng(8)
    kernel = rng.standard_normal(w.shape).astype("float32")
    for count in (0, 1, 5):
        values = rng.standard_normal((count, 10, 12, channels)).astype("float32")
        np.testing.assert_array_equal(near(values, kernel), far(values, kernel))
    truth = st.function([x, w], gradient, engine="numpy")(values, kernel)
    np.testing.assert_allclose(near(values, kernel), truth, rtol=1e-4, atol=1e-3)


def test_views_stored_for_a_product_live_until_the_last_reads_them():
    rng = np.random.default_rng(0)
    y, w, t = (rng.standard_normal(s) for s in ((2, 2, 3, 4), (8, 8), (2, 3, 8)))
    inputs = [st.placeholder(a.shape, "float64") for a in (y, w, t)]

    def rows(xp, y, w, t):
        """Return the product of two steps: merging axes after the transpose needs a copy."""
        merged = xp.reshape(xp.transpose(y, (0, 2, 1, 3)), (2, 3, 8))
        return xp.einsum("abc,abd->cd", merged, 2 * (merged @ w - t))

    f = st.function(inputs, rows(st, *inputs), engine="llvm")
    np.testing.assert_allclose(f(y, w, t), rows(np, y, w, t), rtol=1e-12)


def test_empty_sums_are_zero():
    x, y = st.placeholder((None, None, None)), st.placeholder((None, None, None))
    f = st.function([x, y], st.einsum("acb,dbc->ad", x, y), engine="llvm")
    for shape in ((3, 0, 2), (3, 2, 0), (0, 2, 2)):
        a, c, b = shape
        got = f(np.ones(shape, "float32"), np.ones((4, b, c), "float32"))
        np.testing.assert_array_equal(got, np.full((a, 4), float(b * c), "float32"))


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ((4, 5), (5, 6), {False}),
        ((1, 5), (5, 6), {True}),
        ((4, 5), (5, 1), {True}),
        ((None, 5), (5, 6), {True}),  # there may be one row
    ],
)
def test_programs_call_for_products_of_vectors_where_there_may_be_some(left, right, wanted):
    x, y = st.placeholder(left), st.placeholder(right)
    f = st.function([x, y], x @ y, engine="llvm")
    assert {products.may_be_vectors for products in f.executable.program.products} == wanted
    a, b = (np.arange(3 * 5 * 6, dtype="float32")[: rows * columns].reshape(rows, columns)
            for rows, columns in ((left[0] or 3, 5), right))  # fmt: skip
    np.testing.assert_allclose(f(a, b), a @ b)
