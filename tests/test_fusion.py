"""What shares a kernel: results of rows, values of one row at a time, joins of joins; against float64."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import jit, program, target

RNG = np.random.default_rng(11)
SIZES = [0, 1, 2, 7, 16, 17, 65, 130]


def compiled(inputs, outputs):
    return st.function(inputs, outputs, engine="llvm")


def kernels(f):
    return len(f.executable.program.schedule.steps)


# --- results of rows -------------------------------------------------------------------------------


def layer_norm(dtype, columns):
    """Return inputs, and the norm with what the cotangent `w` brings to each of them."""
    x, w = st.placeholder((33, columns), dtype), st.placeholder((33, columns), dtype)
    scale, shift = st.placeholder((columns,), dtype), st.placeholder((columns,), dtype)
    mean = st.mean(x, 1, keepdims=True)
    spread = st.sqrt(st.mean(st.square(x - mean), 1, keepdims=True) + 1e-3)
    y = (x - mean) / spread * scale + shift
    return [x, scale, shift, w], [y, *st.gradients(st.sum(y * w), [x, scale, shift])]


def layer_norm_truth(x, scale, shift, w):
    x, scale, shift, w = (a.astype("float64") for a in (x, scale, shift, w))
    spread = np.sqrt(x.var(1, keepdims=True) + 1e-3)
    normal = (x - x.mean(1, keepdims=True)) / spread
    g = w * scale
    inner = g - g.mean(1, keepdims=True) - normal * (g * normal).mean(1, keepdims=True)
    return normal * scale + shift, inner / spread, (w * normal).sum(0), w.sum(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_norm_and_all_its_gradients_are_one_sweep(dtype):
    for columns in (1, 2, 7, 16, 17, 65, 130):
        f = compiled(*layer_norm(dtype, columns))
        assert kernels(f) == 1 or columns == 1
        given = [RNG.standard_normal(s).astype(dtype) for s in ((33, columns), columns, columns)]
        given.append(RNG.standard_normal((33, columns)).astype(dtype))
        for found, wanted in zip(f(*given), layer_norm_truth(*given), strict=True):
            tolerance = 2e-4 if dtype == "float32" else 1e-11
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def test_rows_have_the_same_bits_with_any_number_of_threads(with_threads):
    f = compiled(*layer_norm("float32", 9000))
    given = [RNG.standard_normal(s).astype("f4") for s in ((33, 9000), 9000, 9000, (33, 9000))]
    with_threads(1)
    wanted = f(*given)
    for count in (2, 5):
        with_threads(count)
        np.testing.assert_equal(f(*given), wanted)


def test_a_kernel_returns_what_it_folds_for_its_rows():
    x = st.placeholder((None, None, None), "float64")
    total, squares = st.sum(x, 2), st.sum(x * x, 2)
    f = compiled([x], [x - total[:, :, None], total, squares, st.exp(x) * squares[:, :, None]])
    assert kernels(f) == 1
    for rows in (0, 1, 5):
        for columns in SIZES:
            a = RNG.standard_normal((rows, 3, columns))
            sums, wide = a.sum(2), (a * a).sum(2)
            wanted = [a - sums[:, :, None], sums, wide, np.exp(a) * wide[:, :, None]]
            for found, truth in zip(f(a), wanted, strict=True):
                np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-12)


def test_rows_that_a_kernel_waits_for_have_their_own():
    """What is computed elsewhere from a sum of rows can't come back to the kernel that sums."""
    x = st.placeholder((None, 40), "float64")
    total = st.sum(x, 1)
    weight = st.cumsum(total)  # a kernel of its own
    scaled = x * total[:, None] + weight[:, None]
    crossed = x - total[:, None] + st.sum(total * total) * st.sum(x * x, 1, keepdims=True)
    a = RNG.standard_normal((40, 40))
    sums = a.sum(1)
    found = compiled([x], [scaled, crossed])(a)
    np.testing.assert_allclose(
        found[0], a * sums[:, None] + sums.cumsum()[:, None], rtol=1e-11, atol=1e-11
    )
    wanted = a - sums[:, None] + (sums**2).sum() * (a * a).sum(1, keepdims=True)
    np.testing.assert_allclose(found[1], wanted, rtol=1e-11)


def test_rows_that_are_read_turned_are_stored_before():
    x = st.placeholder((None, None), "float64")
    total = st.sum(x, 1)
    f = compiled([x], [x - total[:, None], x + total, x * total[::-1, None]])
    a = RNG.standard_normal((23, 23))
    sums = a.sum(1)
    for found, truth in zip(f(a), [a - sums[:, None], a + sums, a * sums[::-1, None]], strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name, register", [("avx2", "ymm"), ("neon", ".2d"), ("sse2", "xmm")])
def test_row_results_are_vector_code_on_every_machine(name, register):
    inputs, outputs = layer_norm("float64", 700)
    graph = st.Graph(tuple(x.node for x in inputs), tuple(x.node for x in outputs))
    chosen = target.named(name)
    assembly = jit.emit_assembly(program.build_program(graph, chosen).llvm_ir, chosen)
    assert assembly.count(register) > 100


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loss_and_its_gradient_read_the_logits_once(dtype):
    """The statistics of the softmax are stored by the gradient; the loss is a sum of them."""
    x, t = st.placeholder((None, 12), dtype), st.placeholder((None, 12), dtype)
    loss = st.sum(st.categorical_crossentropy(t, x, from_logits=True))
    f = compiled([x, t], [loss, st.gradients(loss, x)])
    assert kernels(f) == 2
    for rows in (1, 5, 40):
        a, b = (RNG.standard_normal((rows, 12)).astype(dtype) for _ in range(2))
        logits, wide = a.astype("float64"), b.astype("float64")
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(f(a, b)[0], -(wide * logs).sum(), rtol=tolerance)
        wanted = np.exp(logs) * wide.sum(1, keepdims=True) - wide
        np.testing.assert_allclose(f(a, b)[1], wanted, rtol=tolerance, atol=tolerance)


# --- one element a row -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_of_labels_and_its_gradient_read_the_logits_once(dtype):
    x, t = st.placeholder((None, None), dtype), st.placeholder((None,), "int32")
    loss = st.sum(st.sparse_categorical_crossentropy(t, x, from_logits=True))
    f = compiled([x, t], [loss, st.gradients(loss, x)])
    assert kernels(f) == 2 and "scatter" not in "".join(f.executable.kernels().values())
    for rows in (1, 6):
        for columns in SIZES[1:]:
            logits, labels = RNG.standard_normal((rows, columns)), RNG.integers(columns, size=rows)
            here = np.arange(rows), labels
            logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            slope = np.exp(logs)
            slope[here] -= 1
            found = f(logits.astype(dtype), labels.astype("int32"))
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(found[0], -logs[here].sum(), rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(found[1], slope, rtol=tolerance, atol=tolerance)
            with pytest.raises(st.errors.IndexOutOfRange):
                f(logits.astype(dtype), np.full(rows, columns, "int32"))


def test_what_a_loss_picks_of_probabilities_is_computed_again():
    """One element a row costs less to compute again than all cost to store."""
    x, t = st.placeholder((None, 40), "float64"), st.placeholder((None,), "int32")
    loss = st.sum(st.sparse_categorical_crossentropy(t, st.softmax(x)))
    f = compiled([x, t], [loss, st.gradients(loss, x)])
    assert kernels(f) == 1  # rows, and the sum of their losses beside them
    assert "clip" not in [r.node.op.name for r in f.remarks if r.kind == "stored"]
    for rows in (1, 6, 33):
        logits, labels = RNG.standard_normal((rows, 40)), RNG.integers(40, size=rows)
        here = np.arange(rows), labels
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        slope = shares.copy()
        slope[here] -= 1
        found = f(logits, labels.astype("int32"))
        np.testing.assert_allclose(found[0], -np.log(shares[here]).sum(), rtol=1e-12)
        np.testing.assert_allclose(found[1], slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_norm_divides_each_element_once_and_takes_roots_of_columns(dtype):
    x, w = st.placeholder((None, 4, 9), dtype), st.placeholder((None, 4, 9), dtype)
    scale, shift = st.placeholder((9,), dtype), st.placeholder((9,), dtype)
    centred = x - st.mean(x, (0, 1))
    y = centred / st.sqrt(st.mean(centred * centred, (0, 1)) + 1e-3) * scale + shift
    f = compiled([x, scale, shift, w], [y, *st.gradients(st.sum(y * w), [x, scale, shift])])
    texts = [k.text for k in f.kernels]
    assert len(texts) <= 4
    assert texts[-1].count("divide(") == 1 and "sqrt" not in texts[-1]
    given = RNG.normal(2, 3, (6, 4, 9)), RNG.normal(size=9), RNG.normal(size=9)
    arrays = [a.astype(dtype) for a in (*given, RNG.normal(size=(6, 4, 9)))]
    rows = [a.reshape(-1, 9).T if a.ndim == 3 else a[:, None] for a in arrays]
    wanted = layer_norm_truth(*rows[:3], rows[3])
    found = f(*arrays)
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    for got, truth in zip(found[:2], wanted[:2], strict=True):
        rows_of_it = got.reshape(-1, 9).T
        np.testing.assert_allclose(rows_of_it, truth, rtol=tolerance, atol=tolerance)
    a, b = rows[0].astype("f8"), rows[3].astype("f8")
    normal = (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(found[2], (b * normal).sum(1), rtol=1e-4, atol=tolerance)
    np.testing.assert_allclose(found[3], b.sum(1), rtol=1e-4, atol=tolerance)


def test_a_number_that_an_index_names_of_what_is_folded():
    """No loop is around it."""
    x, i = st.placeholder((3, 4), "float64"), st.placeholder((), "int64")
    totals = st.sum(st.exp(x), 1)
    f = compiled([x, i], [st.log(totals)[i], st.exp(-totals / st.sqrt(totals))[i]])
    given = RNG.standard_normal((3, 4))
    for at in (0, 2, -1):
        sums = np.exp(given).sum(1)[at]
        np.testing.assert_allclose(f(given, at), [np.log(sums), np.exp(-np.sqrt(sums))], rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_writing_one_element_along_an_axis_is_a_selection(axis, dtype):
    shape = [3, 4, 5]
    one = [1 if a == axis else n for a, n in enumerate(shape)]
    x, v, i = st.placeholder(shape, dtype), st.placeholder(one, dtype), st.placeholder(one, "int64")
    f = compiled([x, v, i], st.put_along_axis(x, i, v, axis))
    assert "select instead of scattering" in f.explain()
    a, b = ((RNG.standard_normal(s) * 3).astype(dtype) for s in (shape, one))
    at = RNG.integers(-shape[axis], shape[axis], one)
    wanted = a.copy()
    np.put_along_axis(wanted, at, b, axis)
    np.testing.assert_array_equal(f(a, b, at), wanted)
    for wrong in (shape[axis], -shape[axis] - 1):
        at.flat[-1] = wrong
        with pytest.raises(st.errors.IndexOutOfRange):
            f(a, b, at)


def test_rows_that_may_meet_are_scattered():
    x, i = st.placeholder((4, 5), "float64"), st.placeholder((4, 2), "int64")
    f = compiled([x, i], [st.put_along_axis(x, i, st.ones((4, 2)), 1),
                          st.gradients(st.sum(x[:, i[:, 0]] ** 2), x)])  # fmt: skip
    assert "select instead" not in f.explain()
    a, at = RNG.standard_normal((4, 5)), RNG.integers(5, size=(4, 2))
    wanted, slope = a.copy(), np.zeros((4, 5))
    np.put_along_axis(wanted, at, 1.0, 1)
    for column in at[:, 0]:
        slope[:, column] += 2 * a[:, column]
    np.testing.assert_array_equal(f(a, at)[0], wanted)
    np.testing.assert_allclose(f(a, at)[1], slope)


# --- joins of joins ----------------------------------------------------------------------------------


def test_pieces_of_pieces_are_written_where_they_belong():
    x, y = st.placeholder((None, None), "float64"), st.placeholder((None, 4), "float64")
    padded = st.pad(x * 2, ((0, 0), (1, 2)), constant_values=7)
    inner = st.concatenate([st.exp(x), padded], 1)
    f = compiled([x, y], st.pad(st.concatenate([inner, y - 1, padded + 1], 1), ((2, 0), (0, 3))))
    g = compiled([x, y], st.concatenate([inner, y - 1, st.pad(x, ((0, 0), (2, 0)))], 1))
    assert (kernels(f), kernels(g)) == (2, 1)  # what is read twice, or computed with, is stored
    for rows in (1, 5):
        for columns in SIZES:
            a, b = RNG.standard_normal((rows, columns)), RNG.standard_normal((rows, 4))
            wide = np.pad(a * 2, ((0, 0), (1, 2)), constant_values=7)
            parts = [np.exp(a), wide, b - 1]
            wanted = np.pad(np.concatenate([*parts, wide + 1], 1), ((2, 0), (0, 3)))
            np.testing.assert_allclose(f(a, b), wanted, rtol=1e-15)
            wanted = np.concatenate([*parts, np.pad(a, ((0, 0), (2, 0)))], 1)
            np.testing.assert_allclose(g(a, b), wanted, rtol=1e-15)


def test_a_piece_that_is_replaced_in_part_is_written_before():
    x, y = st.placeholder((6, None), "float64"), st.placeholder((2, None), "float64")
    replaced = st.set_at(st.concatenate([x, x[::-1]]), slice(3, 9, 3), y)
    spread = st.set_at(st.zeros_like(x), slice(None, None, 2), st.pad(x[:2], ((0, 1), (0, 0))))
    f = compiled([x, y], [replaced, spread])
    assert kernels(f) == 2
    for columns in SIZES:
        a, b = RNG.standard_normal((6, columns)), RNG.standard_normal((2, columns))
        wanted, zeros = np.concatenate([a, a[::-1]]), np.zeros_like(a)
        wanted[3:9:3], zeros[::2] = b, np.pad(a[:2], ((0, 1), (0, 0)))
        np.testing.assert_array_equal(f(a, b)[0], wanted)
        np.testing.assert_array_equal(f(a, b)[1], zeros)


def test_a_join_is_written_once_whoever_pads_it():
    x = st.placeholder((50, 20), "float64")
    f = compiled(
        [x], st.concatenate([x, st.pad(st.concatenate([x, x * x], 1), ((0, 0), (1, 1)))], 1)
    )
    assert kernels(f) == 1 and f.memory((50, 20)).temporaries == 0
    a = RNG.standard_normal((50, 20))
    wanted = np.concatenate([a, np.pad(np.concatenate([a, a * a], 1), ((0, 0), (1, 1)))], 1)
    np.testing.assert_array_equal(f(a), wanted)


CUTS = [(0, 9), (1, 3), (2, 7), (4, 5), (5, 5), (6, 9), (3, 6)]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("cut", CUTS)
def test_slices_of_joins_read_the_pieces_that_they_touch(axis, cut):
    sizes = [(2, None), (4, None), (3, None)] if axis == 0 else [(None, 2), (None, 4), (None, 3)]
    free = st.placeholder((None,), "float64").shape[0]
    x, y, z = (st.placeholder([free if d is None else d for d in s], "float64") for s in sizes)
    joined = st.concatenate([x, y, z], axis)
    widths = [(2, 1) if a == axis else (0, 0) for a in (0, 1)]
    padded = st.pad(y * 3, widths, constant_values=0.5)
    shown = tuple(slice(*cut) if a == axis else slice(None) for a in (0, 1))
    f = compiled([x, y, z], [(st.exp(joined) + 1)[shown], (padded + padded)[shown]])
    assert ("read the pieces of a join x2" in f.explain()) == (cut != (0, 9))
    for count in (1, 5, 17):
        bytes_shown = 8 * count * (cut[1] - cut[0])
        shapes = [tuple(count if d is None else d for d in s) for s in sizes]
        assert f.memory(*shapes).temporaries <= 2 * (bytes_shown + 64) or cut == (0, 9)
        given = [RNG.standard_normal([count if d is None else d for d in s]) for s in sizes]
        whole = np.concatenate(given, axis)
        np.testing.assert_allclose(f(*given)[0], (np.exp(whole) + 1)[shown], rtol=1e-14)
        wide = np.pad(given[1] * 3, widths, constant_values=0.5)
        np.testing.assert_array_equal(f(*given)[1], (wide + wide)[shown])


def test_joins_of_which_more_is_read_stay_whole():
    """Overlapping slices would compute elements twice; what is returned, or folded, is there anyway."""
    x = st.placeholder((3, 20), "float64")
    e = st.exp(st.concatenate([x, x * 2], 1))
    overlapping = [e[:, 5:30], e[:, 10:35]]
    returned = [st.concatenate([x, x], 1), st.concatenate([x, x], 1)[:, 5:25]]
    f = compiled([x], [*overlapping, *returned])
    assert "pieces of a join" not in f.explain()
    a = RNG.standard_normal((3, 20))
    powers, twice = np.exp(np.concatenate([a, a * 2], 1)), np.concatenate([a, a], 1)
    wanted = [powers[:, 5:30], powers[:, 10:35], twice, twice[:, 5:25]]
    for found, truth in zip(f(a), wanted, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-14)


def test_what_is_split_as_it_was_joined_is_not_joined():
    x, y = st.placeholder((None, 4), "float64"), st.placeholder((None, 4), "float64")
    left, right = st.split(st.tanh(st.concatenate([x, y + 1], 1)), 2, 1)
    f = compiled([x, y], left * right)
    assert kernels(f) == 1
    a, b = RNG.standard_normal((2, 7, 4))
    np.testing.assert_allclose(f(a, b), np.tanh(a) * np.tanh(b + 1), rtol=1e-13)


@pytest.mark.parametrize("axes", [(1,), (0,), (1, 2), (0, 1, 3)])
def test_joins_share_kernels_with_roots_that_have_axes_of_one_element(axes):
    x = st.placeholder((None, 5), "float64")
    wide = x
    for axis in axes:
        wide = st.expand_dims(wide, axis)
    for outputs in (
        [wide * 2, st.concatenate([x, x * 3], 1)],
        [st.concatenate([x, x * 3], 1), wide * 2],
        [x * 2, st.concatenate([wide, wide * 3], -1)],
    ):
        f = compiled([x], outputs)
        wanted = st.function([x], outputs, engine="numpy")
        for rows in (0, 1, 7):
            a = RNG.standard_normal((rows, 5))
            for found, truth in zip(f(a), wanted(a), strict=True):
                np.testing.assert_array_equal(found, truth)


def test_joined_axes_are_read_through_beside_axes_of_one_element():
    x = st.placeholder((None, 6), "float64")
    e = st.tanh(x - st.sum(x))
    total, long = st.sum(x, keepdims=True), st.reshape(x, (-1,))
    for outputs in (
        [st.reshape(e, (-1,)) + total],
        [st.reshape(e, (-1,)) + total, st.reshape(e, (-1,)) * 3],
        [st.reshape(e, (1, -1)) + long, long * 3],
        [long * 3, st.reshape(e, (-1, 1)) + st.expand_dims(long, 1)],
        [st.reshape(e, (1, -1, 1)) * 2, st.reshape(e, (-1,)) + long, st.sum(e)],
    ):
        f, wanted = compiled([x], outputs), st.function([x], outputs, engine="numpy")
        for rows in (1, 7, 40):
            a = RNG.standard_normal((rows, 6))
            for found, truth in zip(f(a), wanted(a), strict=True):
                np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-13)


def test_what_is_folded_of_a_stored_view_is_computed_after_it():
    """A kernel that the view reads may not fold it: each would wait for the other."""
    x = st.placeholder((32,), "float64")
    y = st.tanh(x)
    wide = st.broadcast_to(y, (33, 32))
    f = st.function([x], [wide, y - st.max(wide)], engine="llvm", passes=[])
    a = RNG.standard_normal(32)
    np.testing.assert_allclose(f(a)[0], np.broadcast_to(np.tanh(a), (33, 32)), rtol=1e-14)
    np.testing.assert_allclose(f(a)[1], np.tanh(a) - np.tanh(a).max(), rtol=1e-13, atol=1e-15)


def test_norms_one_upon_another_keep_kernels_of_their_own():
    """Computing one again in every fold of the next takes longer than reading it."""
    x = st.placeholder((None, 64), "float64")
    y = x
    for factor in range(2, 8):
        centred = y - st.mean(y, 1, keepdims=True)
        y = centred / st.sqrt(st.mean(centred * centred, 1, keepdims=True) + 1e-5) * factor
    f = compiled([x], y)
    assert kernels(f) >= 4
    a = RNG.standard_normal((40, 64))
    truth = a
    for factor in range(2, 8):
        truth = truth - truth.mean(1, keepdims=True)
        truth = truth / np.sqrt(truth.var(1, keepdims=True) + 1e-5) * factor
    np.testing.assert_allclose(f(a), truth, rtol=1e-10, atol=1e-11)


def test_what_is_read_under_another_shape_is_stored_before():
    """A kernel may not read its own result as memory: it would read what an earlier call has left there."""
    x = st.placeholder((100, 100), "float64")
    y = st.exp(x)
    flat = st.reshape(y, (-1,))
    for fold in (st.max, lambda v: st.cast(st.argmax(v), "float64"), st.sum):
        f = compiled([x], [y, x * 2 - fold(flat)])
        for _ in range(3):
            a = RNG.standard_normal((100, 100))
            e = np.exp(a)
            folded = {st.max: e.max(), st.sum: e.sum()}.get(fold, float(e.argmax()))
            for found, truth in zip(f(a), (e, a * 2 - folded), strict=True):
                np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-11)


def test_rows_that_read_columns_of_a_square_are_another_kernel():
    """Both have as many results; those of the one are not what the loops of the other have at hand."""
    x = st.placeholder((40, 40), "float64")
    centred = x - st.mean(x, 1, keepdims=True)
    y = centred / st.sqrt(st.mean(centred * centred, 1, keepdims=True) + 0.1)
    low, high = st.min(y, 0), st.max(y, 0)
    f = compiled([x], [low * st.max(low), high * 0.1, st.tanh(high - 1)])
    a = RNG.standard_normal((40, 40))
    c = a - a.mean(1, keepdims=True)
    z = c / np.sqrt((c * c).mean(1, keepdims=True) + 0.1)
    truths = [z.min(0) * z.min(0).max(), z.max(0) * 0.1, np.tanh(z.max(0) - 1)]
    for found, truth in zip(f(a), truths, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-13)


def test_rows_that_fold_all_columns_of_a_square_are_another_kernel():
    x = st.placeholder((40, 40), "float64")
    y = x * st.min(x, 1, keepdims=True)
    most = st.max(y, 0, keepdims=True)
    row = st.sum(y * most, 1, keepdims=True) * 0.1
    f = compiled([x], [row * st.sum(row, 0, keepdims=True), most])
    a = RNG.standard_normal((40, 40))
    b = a * a.min(1, keepdims=True)
    r = (b * b.max(0)).sum(1, keepdims=True) * 0.1
    np.testing.assert_allclose(f(a)[0], r * r.sum(), rtol=1e-11)
    np.testing.assert_allclose(f(a)[1], b.max(0, keepdims=True), rtol=1e-13)
