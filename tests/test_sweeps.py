"""Folds over columns in kernels that go over rows: right for all shapes, the same bits for all threads."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import jit, program, sweeps, target

RNG = np.random.default_rng(23)
ROWS = [0, 1, 2, 63, 64, 65, 129, 600, 70 * 64 * 8 + 5]
COLUMNS = [2, 15, 16, 17, 33, 48, 64, 100]


def compiled(inputs, outputs, updates=None):
    return st.function(inputs, outputs, updates, engine="llvm")


def steps(f):
    return f.executable.program.schedule.steps


def is_one_sweep(f):
    return len(steps(f)) == 1 and bool(steps(f)[0].columns)


def values(dtype, *shape):
    if dtype == "bool":
        return RNG.random(shape) < 0.9
    if np.dtype(dtype).kind in "iu":
        return RNG.integers(0, 5, shape).astype(dtype)
    return RNG.standard_normal(shape).astype(dtype)


FOLDS = {
    "sum": (st.sum, lambda a, axis: a.sum(axis, dtype="f8" if a.dtype.kind == "f" else None)),
    "prod": (st.prod, lambda a, axis: a.astype("f8").prod(axis)),
    "max": (st.max, lambda a, axis: a.max(axis)),
    "min": (st.min, lambda a, axis: a.min(axis)),
    "any": (lambda x, axis: st.any(x > 0.5, axis), lambda a, axis: (a > 0.5).any(axis)),
    "all": (lambda x, axis: st.all(x < 2, axis), lambda a, axis: (a < 2).all(axis)),
}


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_rows_and_columns_are_folded_in_one_sweep(fold, columns):
    build, truth = FOLDS[fold]
    x = st.placeholder((None, columns), "float64")
    f = compiled([x], [build(x, 0), build(x, 1)])
    assert is_one_sweep(f)
    for rows in ROWS[fold in ("max", "min") :]:
        a = np.exp2(RNG.uniform(-0.01, 0.01, (rows, columns)))
        for found, axis in zip(f(a), (0, 1), strict=True):
            np.testing.assert_allclose(found, truth(a, axis), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64", "uint32"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_elements_are_stored_and_folded_in_one_sweep(dtype, columns):
    x = st.placeholder((None, columns), dtype)
    y = st.maximum(x, 1)
    f = compiled([x], [y, st.sum(y, 0), st.max(y, 0)])
    lanes = target.host().lanes(max(np.dtype(dtype).itemsize * 8, 32))
    assert is_one_sweep(f) == (columns % lanes == 0 or columns >= 4 * lanes)
    for rows in ROWS[1:-1]:
        a = values(dtype, rows, columns)
        wide = np.maximum(a, 1)
        total = wide.sum(0, dtype="f8" if wide.dtype.kind == "f" else None)
        found = f(a)
        np.testing.assert_array_equal(found[0], wide)
        tolerance = {"float16": 1e-3, "float32": 1e-6}.get(dtype, 1e-13)
        np.testing.assert_allclose(found[1], total.astype(found[1].dtype), rtol=tolerance)
        np.testing.assert_array_equal(found[2], wide.max(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_columns_are_summed_as_precisely_as_numpy_pairs(dtype):
    x = st.placeholder((None, 64), dtype)
    f = compiled([x], [x * 2, st.sum(x, 0)])
    assert is_one_sweep(f)
    a = RNG.random((300_001, 64)).astype(dtype)
    exact = a.sum(0, dtype="longdouble")
    ours = np.abs(f(a)[1] - exact).max()
    assert ours <= max(
        np.abs(np.sort(a.T.copy(), axis=-1).sum(1) - exact).max(), np.spacing(exact[0])
    )


def test_nan_and_infinities_stay_in_their_columns():
    x = st.placeholder((None, 32), "float32")
    f = compiled([x], [x + 1, st.sum(x, 0), st.max(x, 0), st.min(x, 0)])
    a = np.ones((500, 32), "float32")
    a[400, 3], a[77, 5], a[9, 6], a[10, 6] = np.nan, np.inf, np.inf, -np.inf
    _, total, most, least = f(a)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(total, a.sum(0))
    np.testing.assert_array_equal(most, a.max(0))
    np.testing.assert_array_equal(least, a.min(0))


def test_the_bits_depend_on_sizes_alone(with_threads):
    x, w = st.placeholder((None, 96), "float32"), st.placeholder((96,), "float32")
    y = st.tanh(x * w)
    f = compiled([x, w], [y, st.sum(y, 0), st.sum(x * x, 0) / 7, st.sum(y, 1)])
    assert is_one_sweep(f)
    for rows in (64, 1000, 50_000):
        a, b = values("float32", rows, 96), values("float32", 96)
        with_threads(1)
        wanted = f(a, b)
        for count in (2, 5):
            with_threads(count)
            for found, truth in zip(f(a, b), wanted, strict=True):
                assert found.tobytes() == truth.tobytes()


def test_columns_of_several_axes():
    x = st.placeholder((None, 6, 4, 32), "float32")
    y = st.exp(x)
    f = compiled([x], [y, st.sum(y, (0, 1, 2)), st.max(x, (0, 1, 2))])
    assert is_one_sweep(f)
    g = compiled([x], [y, st.sum(y, 0), st.max(x, 0)])
    assert is_one_sweep(g)
    kept = compiled([x], [y, st.sum(y, (0, 1, 2), keepdims=True)])
    assert is_one_sweep(kept)
    for rows in (1, 3, 200):
        a = values("float32", rows, 6, 4, 32)
        e = np.exp(a.astype("f8"))
        np.testing.assert_allclose(f(a)[1], e.sum((0, 1, 2)), rtol=1e-6)
        np.testing.assert_array_equal(f(a)[2], a.max((0, 1, 2)))
        np.testing.assert_allclose(g(a)[1], e.sum(0), rtol=1e-6)
        np.testing.assert_array_equal(g(a)[2], a.max(0))
        np.testing.assert_allclose(kept(a)[1], e.sum((0, 1, 2), keepdims=True), rtol=1e-6)


def test_loops_that_cannot_be_joined_are_folded_over_too():
    """Rows of a window: neither the rows nor the columns lie side by side."""
    x = st.placeholder((None, 9, 40), "float32")
    y = x[:, 1:8, 3:35] * 2
    f = compiled([x], [y, st.sum(y, (0, 1)), st.sum(y, 2)])
    assert is_one_sweep(f)
    g = compiled([x], [y, st.sum(y, 0)])
    for rows in (1, 2, 65, 300):
        a = values("float32", rows, 9, 40)
        b = a[:, 1:8, 3:35].astype("f8") * 2
        for found, truth in zip(f(a), [b, b.sum((0, 1)), b.sum(2)], strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-4)
        for found, truth in zip(g(a), [b, b.sum(0)], strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-4)


def test_what_only_the_columns_read_is_not_stored():
    x = st.placeholder((None, 64), "float64")
    centred = x - st.mean(x, 1, keepdims=True)
    f = compiled([x], st.sum(centred / st.sqrt(st.mean(centred * centred, 1, keepdims=True)), 0))
    assert is_one_sweep(f)
    assert len(steps(f)[0].roots) == 1
    a = values("float64", 333, 64)
    c = a - a.mean(1, keepdims=True)
    np.testing.assert_allclose(f(a), (c / a.std(1, keepdims=True)).sum(0), rtol=1e-11, atol=1e-12)


def test_what_reads_the_columns_runs_after_them():
    """Neither by itself nor through something else may a kernel wait for its own columns."""
    x = st.placeholder((None, 64), "float64")
    centred = x - st.mean(x, 0)
    scaled = centred / st.sqrt(st.mean(centred * centred, 0))
    f = compiled([x], [centred, scaled, st.sum(scaled * scaled, 1), st.sum(scaled, 0)])
    a = values("float64", 200, 64)
    c = a - a.mean(0)
    s = c / a.std(0)
    for found, truth in zip(f(a), [c, s, (s * s).sum(1), s.sum(0)], strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-11)
    turned = st.sum(x, 0) @ st.ones((64, 64), "float64")
    g = compiled([x], [x * 2 + turned, turned])
    np.testing.assert_allclose(g(a)[0], a * 2 + a.sum(), rtol=1e-10, atol=1e-11)


def test_what_is_learned_is_updated_after_it_has_been_read():
    x, w = st.placeholder((None, 48), "float32"), st.placeholder((None, 48), "float32")
    shift = st.variable(np.zeros(48, "float32"), name="shift")
    y = st.tanh(x + shift)
    slope = st.gradients(st.sum(y * w), shift)
    f = compiled([x, w], [y], {shift: shift - 0.1 * slope})
    truth = np.zeros(48)
    for rows in (10, 1000, 64):
        a, b = values("float32", rows, 48), values("float32", rows, 48)
        np.testing.assert_allclose(f(a, b)[0], np.tanh(a + truth), rtol=1e-4, atol=1e-5)
        truth -= 0.1 * (b * (1 - np.tanh(a + truth) ** 2)).sum(0)
        np.testing.assert_allclose(shift.get_value(), truth, rtol=1e-4, atol=1e-4)


def test_columns_that_are_read_turned_or_too_many_have_their_own_kernel():
    x = st.placeholder((40, 40), "float64")
    f = compiled([x], [x.T * 2, st.sum(x.T * 2, 0)])
    a = values("float64", 40, 40)
    for found, truth in zip(f(a), [a.T * 2, (a.T * 2).sum(0)], strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-13)
    wide = st.placeholder((None, 200_000), "float32")
    g = compiled([wide], [wide * 2, st.sum(wide, 0)])
    assert not any(step.columns for step in steps(g))


def test_rows_are_swept_within_native_loops():
    x = st.placeholder((5, 64, 32), "float64")

    def step(rows, total):
        y = st.tanh(rows + total)
        return st.sum(y, 0), y

    (_, found), _ = st.scan(step, x, [st.zeros((32,), "float64"), None])
    f = compiled([x], found)
    assert any(
        step.columns
        for body in f.executable.program.schedule.bodies.values()
        for step in body.steps
    )
    a, total = values("float64", 5, 64, 32), np.zeros(32)
    for i in range(5):
        y = np.tanh(a[i] + total)
        total = y.sum(0)
        np.testing.assert_allclose(f(a)[i], y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name, register", [("avx2", "ymm"), ("neon", ".4s"), ("sse2", "xmm")])
def test_sweeps_are_vector_code_on_every_machine(name, register):
    x = st.placeholder((None, 64), "float32")
    y = st.maximum(x, 0)
    results = (y, st.sum(y, 0), st.sum(y, 1), st.sum(y))
    graph = st.Graph((x.node,), tuple(v.node for v in results))
    chosen = target.named(name)
    built = program.build_program(graph, chosen)
    assert len(built.schedule.steps[0].columns) == 2
    assert jit.emit_assembly(built.llvm_ir, chosen).count(register) > 50


def test_the_memory_of_the_accumulators_is_reported():
    x = st.placeholder((None, 64), "float32")
    f = compiled([x], [x * 2, st.sum(x, 0)])
    needed = f.executable.program.partial_bytes
    assert 0 < needed <= sweeps.SCRATCH + 4 * 64 * 1024
    assert f.executable.program.scratch_bytes >= needed
    few = st.placeholder((128, 64), "float32")
    g = compiled([few], [few * 2, st.sum(few, 0)])
    assert g.executable.program.partial_bytes < needed / 16


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loss_and_its_gradient_are_one_sweep(dtype, with_threads):
    x, y = st.placeholder((None, 24), dtype), st.placeholder((None, 24), dtype)
    loss = st.mean(st.square(x - y))
    f = compiled([x, y], [loss, st.gradients(loss, x), st.max(x - y)])
    assert is_one_sweep(f)
    for rows in (1, 2, 63, 700, 40_000):
        a, b = values(dtype, rows, 24), values(dtype, rows, 24)
        d = a.astype("f8") - b
        with_threads(1)
        found = f(a, b)
        for result, truth in zip(found, [np.mean(d * d), 2 * d / d.size, d.max()], strict=True):
            np.testing.assert_allclose(result, truth, rtol=2e-6, atol=1e-30)
        with_threads(5)
        for result, same in zip(f(a, b), found, strict=True):
            assert result.tobytes() == same.tobytes()


def test_all_is_folded_where_rows_are():
    x, w = st.placeholder((None, 40), "float64"), st.placeholder((None, 40), "float64")
    p = st.softmax(x)
    loss = st.sum(p * p * w)
    f = compiled([x, w], [loss, st.gradients(loss, x), st.max(p)])
    assert is_one_sweep(f)
    for rows in (1, 5, 200, 3000):
        a, b = values("float64", rows, 40), values("float64", rows, 40)
        e = np.exp(a - a.max(1, keepdims=True))
        q = e / e.sum(1, keepdims=True)
        slope = 2 * q * b
        truth = (q * q * b).sum(), q * (slope - (q * slope).sum(1, keepdims=True)), q.max()
        for found, wanted in zip(f(a, b), truth, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


def test_columns_that_need_other_columns_are_folded_after_these():
    """Also where both are folds of one kernel, which reads its own element inside of its folds."""
    x = st.placeholder((None, 64), "float64")
    mean = st.mean(x, 0)
    centred = x - mean
    f = compiled([x], [st.exp(x), mean, st.mean(centred * centred, 0)])
    for rows in (1, 50, 2000):
        a = values("float64", rows, 64)
        for found, truth in zip(f(a), [np.exp(a), a.mean(0), a.var(0)], strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-13)


def test_very_many_columns_have_parts_of_few_rows(with_threads):
    x = st.placeholder((None, 30_011), "float32")
    y = st.tanh(x)
    f = compiled([x], [y, st.sum(y, 0), st.max(x, 0), st.sum(y)])
    assert is_one_sweep(f)
    for rows in (1, 17, 90):
        a = values("float32", rows, 30_011)
        t = np.tanh(a.astype("f8"))
        with_threads(1)
        found = f(a)
        for result, truth in zip(found, [t, t.sum(0), a.max(0), t.sum()], strict=True):
            np.testing.assert_allclose(result, truth, rtol=1e-5, atol=1e-5)
        with_threads(5)
        for result, same in zip(f(a), found, strict=True):
            assert result.tobytes() == same.tobytes()


def test_what_is_the_same_in_all_columns_has_a_sum_for_each():
    """What is folded need not vary with the columns, or not with all of their axes."""
    x = st.placeholder((None, 6, 32), "float64")
    w = st.placeholder((x.shape[0], 32), "float64")
    one = st.broadcast_to(st.constant(-1.5, "float64"), x.shape)
    row = st.broadcast_to(w[:, :1, None], x.shape)
    wide = st.broadcast_to(w[:, None, :], x.shape)
    e = st.exp(x)
    folds = [st.sum(one, 0), st.sum(row, 0) / 2, st.sum(wide, 0) / 2, st.max(row, 0)]
    functions = [
        st.function([x, w], [e, *found], on_unused_input="ignore", engine="llvm")
        for fold in folds
        for found in ([fold], [fold - st.sum(e, 0)])
    ]
    assert all(map(is_one_sweep, functions[1::2]))
    for rows in (1, 2, 65, 700):
        a, b = values("float64", rows, 6, 32), values("float64", rows, 32)
        ones, total = np.ones((6, 32)), np.exp(a).sum(0)
        truths = [-1.5 * rows * ones, b[:, 0].sum() / 2 * ones, b.sum(0) / 2 * ones, b[:, 0].max()]
        wanted = [x for truth in truths for x in (truth * ones, truth - total)]
        for f, truth in zip(functions, wanted, strict=True):
            np.testing.assert_allclose(f(a, b)[1], truth, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_all_is_folded_beside_the_columns(fold, columns, with_threads):
    build, truth = FOLDS[fold]
    x = st.placeholder((None, columns), "float64")
    f = compiled([x], [build(x, 0), build(x, 1), build(x, None)])
    assert is_one_sweep(f)
    for rows in ROWS[1:]:
        a = np.exp2(RNG.uniform(-1e-4, 1e-4, (rows, columns)))
        with_threads(1)
        found = f(a)
        for result, axis in zip(found, (0, 1, None), strict=True):
            np.testing.assert_allclose(result, truth(a, axis), rtol=1e-12)
        with_threads(5)
        for result, same in zip(f(a), found, strict=True):
            assert result.tobytes() == same.tobytes()


@pytest.mark.parametrize("dtype, tolerance", [("float16", 1e-3), ("float32", 1e-6), ("int32", 0)])
def test_a_loss_joins_what_is_stored_and_its_columns(dtype, tolerance):
    """The sum is rounded once to 16 bits, not in each column."""
    x, y = st.placeholder((None, 48), dtype), st.placeholder((None, 48), dtype)
    error = x - y
    f = compiled([x, y], [error * 2, st.sum(error, 0), st.sum(error * error), st.max(error)])
    assert is_one_sweep(f)
    for rows in (1, 2, 63, 300):
        a, b = (np.round(values(dtype, rows, 48) * 4) / 8 for _ in range(2))
        a, b = a.astype(dtype), b.astype(dtype)
        d = a.astype("f8") - b
        for found, truth in zip(f(a, b), [d * 2, d.sum(0), (d * d).sum(), d.max()], strict=True):
            np.testing.assert_allclose(found, truth, rtol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_long_loss_beside_columns_is_summed_as_precisely_as_numpy_pairs(dtype):
    x = st.placeholder((None, 64), dtype)
    f = compiled([x], [x * 2, st.sum(x, 0), st.sum(x)])
    assert is_one_sweep(f)
    a = RNG.random((300_001, 64)).astype(dtype)
    exact = a.sum(dtype="longdouble")
    assert np.abs(f(a)[2] - exact) <= max(np.abs(np.sum(a) - exact), np.spacing(exact))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("columns", [2, 17, 64])
def test_values_of_rows_are_folded_where_their_rows_are(columns, keepdims, with_threads):
    x = st.placeholder((None, 3, columns), "float64")
    row = st.sum(x * x, 2, keepdims=True)
    kept = row if keepdims else row[:, :, 0]
    f = compiled([x], [x / row, st.sum(x, (0, 1)), st.mean(kept * kept), st.max(kept, None)])
    g = compiled([x], [x / row, st.mean(kept * kept), st.max(kept, None)])
    assert is_one_sweep(f) and is_one_sweep(g)
    for rows in (1, 2, 30, 65, 3000):
        a = values("float64", rows, 3, columns)
        r = (a * a).sum(2, keepdims=True)
        with_threads(1)
        found = f(a)
        truths = [a / r, a.sum((0, 1)), np.mean(r * r), r.max()]
        for result, truth in zip(found, truths, strict=True):
            np.testing.assert_allclose(result, truth, rtol=1e-11, atol=1e-12)
        for result, truth in zip(g(a), truths[:1] + truths[2:], strict=True):
            np.testing.assert_allclose(result, truth, rtol=1e-11)
        with_threads(5)
        for result, same in zip(f(a), found, strict=True):
            assert result.tobytes() == same.tobytes()


@pytest.mark.parametrize("columns", [600, 40])
def test_a_classifier_is_one_sweep_where_its_rows_are_long(columns):
    """Of short ones the logarithms of many rows at a time take less than a kernel of their own costs."""
    x, t = st.placeholder((None, columns), "float64"), st.placeholder((None,), "int32")
    bias = st.variable(np.zeros(columns), name="bias")
    loss = st.mean(st.sparse_categorical_crossentropy(t, x + bias, from_logits=True))
    slope = st.gradients(loss, bias)
    f = compiled([x, t], [loss, st.gradients(loss, x)], {bias: bias - 0.1 * slope})
    assert is_one_sweep(f) == (columns > 512)
    a, b = values("float64", 90, columns), RNG.integers(0, columns, 90).astype("int32")
    e = np.exp(a - a.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    d = (p - np.eye(columns)[b]) / 90
    found = f(a, b)
    np.testing.assert_allclose(found[0], -np.mean(np.log(p[np.arange(90), b])), rtol=1e-11)
    np.testing.assert_allclose(found[1], d, rtol=1e-11, atol=1e-15)
    after = -0.1 * d.sum(0)
    np.testing.assert_allclose(bias.get_value(), after, rtol=1e-10, atol=1e-15)
    with pytest.raises(st.IndexOutOfRange, match=r"index (600|40) is out of range"):
        f(a, np.where(np.arange(90) == 77, columns, b).astype("int32"))
    np.testing.assert_allclose(bias.get_value(), after, rtol=1e-10, atol=1e-15)


def test_a_layer_norm_with_all_gradients_and_its_loss_is_one_sweep():
    torch = pytest.importorskip("torch")
    x, w = st.placeholder((None, 96), "float64"), st.placeholder((None, 96), "float64")
    scale, shift = st.placeholder((96,), "float64"), st.placeholder((96,), "float64")
    centred = x - st.mean(x, -1, keepdims=True)
    y = centred / st.sqrt(st.mean(centred * centred, -1, keepdims=True) + 1e-5) * scale + shift
    loss = st.sum(y * w)
    f = compiled([x, w, scale, shift], [y, loss, *st.gradients(loss, [x, scale, shift])])
    assert is_one_sweep(f)
    arrays = [values("float64", *shape) for shape in [(77, 96), (77, 96), (96,), (96,)]]
    a, b, s, t = (torch.tensor(one, requires_grad=True) for one in arrays)
    there = torch.nn.functional.layer_norm(a, (96,), s, t, eps=1e-5)
    total = (there * b).sum()
    truth = [there, total, *torch.autograd.grad(total, [a, s, t])]
    for found, wanted in zip(f(*arrays), truth, strict=True):
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-9, atol=1e-10)


def test_a_loss_of_what_columns_are_needed_for_is_folded_after_them():
    x = st.placeholder((None, 64), "float64")
    mean = st.mean(x, 0)
    f = compiled([x], [st.exp(x), mean, st.sum(st.square(x - mean))])
    assert any(step.columns == (mean.node,) for step in steps(f))
    for rows in (1, 50, 2000):
        a = values("float64", rows, 64)
        for found, truth in zip(f(a), [np.exp(a), a.mean(0), a.var(0).sum() * rows], strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-13)


def test_it_is_said_why_folds_have_a_kernel_of_their_own():
    x = st.placeholder((None, 64), "float32")
    wide, few = st.placeholder((None, 200_000), "float32"), st.placeholder((20, 64), "float32")
    wider, unknown = st.placeholder((99, 9000), "float32"), st.placeholder((None, None), "float32")
    odd = st.placeholder((None, 17), "float32")
    even, deep = st.placeholder((64, 64), "float32"), st.placeholder((None, 4, 64), "float32")
    mean, row = st.mean(x, 0), st.sum(x * x, 1, keepdims=True)
    cases = {
        "its columns are more than 131,072,": ([wide], [wide * 2, st.sum(wide, 0)]),
        "131,072, or may be": ([unknown], [unknown * 2, st.sum(unknown, 0)]),
        "more than 8,192, and its rows few": ([wider], [wider * 2, st.sum(wider, 0)]),
        "fewer than 32 rows": ([few], [few * 2, st.sum(few, 0)]),
        "no whole vectors": ([odd], [odd * 2, st.sum(odd, 0)]),
        "where an element stands": ([x], [x * 2, st.argmax(x, 0)]),
        "that kernel writes pieces": ([x], [st.pad(x * 2, 1), st.sum(x * 2, 0)]),
        "that kernel turns what it reads": ([even], [even.T * 2, st.sum(even, 0)]),
        "that kernel has other loops": ([x], [x[:, :32] * 2, st.sum(x, 0)]),
        "that kernel folds other rows": ([deep], [deep * 2, st.sum(deep, 0), st.sum(deep, (0, 1))]),
        "many instructions for each row": ([x], [x * row, st.sum(x, 0), st.sum(st.log(row))]),
        "that kernel needs its result": ([x], [st.exp(x - mean), mean]),
        "knows after its last row": ([x], [st.exp(x), mean, st.sum(st.square(x - mean))]),
    }
    for why, (inputs, outputs) in cases.items():
        f = compiled(inputs, outputs)
        told = [remark for remark in f.remarks if remark.kind == "not fused"]
        assert len(steps(f)) > 1 and any(why in remark.why for remark in told), (why, told)
        assert all(remark.into for remark in told)


def test_values_of_rows_that_are_the_same_in_all_rows_count_once_for_each():
    x, n = st.placeholder((1, 1), "float64"), st.placeholder((None, 48), "float64")
    wide = st.broadcast_to(x, n.shape)
    row = st.max(wide, 1, keepdims=True)
    f = st.function([x, n], [wide * row, st.sum(row)], on_unused_input="ignore", engine="llvm")
    assert is_one_sweep(f)
    for rows in (1, 65, 700):
        a = values("float64", 1, 1)
        found = f(a, values("float64", rows, 48))
        np.testing.assert_array_equal(found[0], np.broadcast_to(a * a, (rows, 48)))
        np.testing.assert_allclose(found[1], rows * a[0, 0], rtol=1e-13)


def test_a_fold_of_columns_is_no_row_of_theirs():
    """It has one element along the first axis, as a result of a single row would have."""
    x = st.placeholder((None, 64, 1), "float64")
    columns = st.sum(x, 0, keepdims=True)
    f = compiled([x], [st.max(x, (1, 2)), columns, st.sum(columns * 2, (1, 2))])
    for rows in (1, 50, 700):
        a = values("float64", rows, 64, 1)
        truths = [a.max((1, 2)), a.sum(0, keepdims=True), [a.sum() * 2]]
        for found, truth in zip(f(a), truths, strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rows", [2, 8, 16, 17])
def test_few_rows_are_not_folded_again_for_each(rows):
    """Columns of few rows are folded inside of their loop: nothing joins that keeps rows outside."""
    x = st.placeholder((rows, 2000), "float64")
    scaled = x / (1 + st.sum(st.exp(x), 0))
    f = compiled([x], [st.sum(st.square(scaled) * x), scaled])
    lines = [line for kernel in f.kernels for line in kernel.text.splitlines() if "r0 <" in line]
    assert lines and all(len(line) - len(line.lstrip()) <= 6 for line in lines)  # in one loop
    a = values("float64", rows, 2000)
    wanted = a / (1 + np.exp(a).sum(0))
    for found, right in zip(f(a), ((wanted**2 * a).sum(), wanted), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-11)
