"""Native kernels at odd sizes: every count around the vector widths, against NumPy in float64."""

import re

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import jit, program, streaming, target

RNG = np.random.default_rng(7)
SIZES = [*range(35), 47, 48, 49, 63, 64, 65, 70]


def compiled(inputs, outputs):
    return st.function(inputs, outputs, engine="llvm")


# --- reductions over columns -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint16", "bool"])
def test_columns_of_any_number_fold(dtype):
    x = st.placeholder((None, None), dtype)
    outputs = [st.sum(x, 0), st.max(x, 0, initial=-0 if dtype == "bool" else 1), st.any(x, 0)]
    f = compiled([x], outputs)
    for columns in (*SIZES, 257, 300, 1031):
        given = (RNG.standard_normal((67, columns)) * 5).astype(dtype)
        total, largest, some = f(given)
        wide = given.astype("float64") if given.dtype.kind == "f" else given
        rounding = 1e-2 if dtype == "float16" else 1e-5
        np.testing.assert_allclose(total, wide.sum(0), rtol=rounding, atol=rounding)
        np.testing.assert_array_equal(
            largest, given.max(0, initial=given.dtype.type(dtype != "bool"))
        )
        np.testing.assert_array_equal(some, (given != 0).any(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_means_and_variances_of_columns(dtype):
    x = st.placeholder((None, None), dtype)
    f = compiled([x], [st.mean(x, 0), st.var(x, 0), st.std(x, 0) * 2 + 1])
    for columns in (1, 3, 15, 17, 70, 255, 300, 1031):
        given = (RNG.standard_normal((130, columns)) + 3).astype(dtype)
        wide = given.astype("longdouble")
        mean, var, shifted = f(given)
        np.testing.assert_allclose(mean, wide.mean(0), rtol=1e-6)
        np.testing.assert_allclose(var, wide.var(0), rtol=1e-5)
        np.testing.assert_allclose(shifted, wide.std(0) * 2 + 1, rtol=1e-5)


def test_a_column_sums_to_the_same_bits_wherever_it_stands():
    x = st.placeholder((None, None))
    f = compiled([x], st.sum(x * x, 0))
    column = RNG.standard_normal(1000).astype("float32")
    for columns in SIZES[1:]:
        assert len(set(f(np.repeat(column[:, None], columns, 1)).tolist())) == 1


def test_sizes_do_not_narrow_the_lanes():
    """The dim under a mean is an int64 scalar; the float32 lanes keep their width."""
    x = st.placeholder((None, None))

    def lanes(y):
        return max(map(int, re.findall(r"<(\d+) x float>", compiled([x], y).executable.llvm_ir)))

    assert lanes(st.mean(x, 1)) == lanes(st.sum(x, 1)) and lanes(st.mean(x, 0)) == lanes(
        st.sum(x, 0)
    )


# --- transposed reads --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64", "bool"])
def test_transposed_reads_go_by_tiles(dtype):
    x, y = st.placeholder((None, None), dtype), st.placeholder((None, None), dtype)
    b = st.placeholder((None,), dtype)
    f = compiled([x, y, b], [st.transpose(x), st.where(st.transpose(x) > y, b[:, None], y)])
    assert any("tiled" in text for text in f.executable.kernels().values())
    for rows in (0, 1, 3, 8, 15, 16, 17, 33, 130, 260):
        for columns in (0, 1, 7, 16, 31, 64, 129, 257):
            given = (RNG.standard_normal((rows, columns)) * 9).astype(dtype)
            other = (RNG.standard_normal((columns, rows)) * 9).astype(dtype)
            bias = (RNG.standard_normal(columns) * 9).astype(dtype)
            turned, chosen = f(given, other, bias)
            np.testing.assert_array_equal(turned, given.T)
            wanted = np.where(given.T > other, bias[:, None], other)
            np.testing.assert_array_equal(chosen, wanted)


@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1), (1, 0, 2)])
def test_permuted_axes(axes):
    x, y = st.placeholder((None, None, None)), st.placeholder((None, None, None))
    f = compiled([x, y], st.transpose(x, axes) * 2 + st.transpose(y, axes)[::-1])
    assert any("tiled" in text for text in f.executable.kernels().values()) == (axes != (1, 0, 2))
    for shape in ((3, 17, 33), (18, 5, 16), (1, 40, 1), (16, 1, 70), (0, 3, 4)):
        a, b = (RNG.standard_normal(shape).astype("float32") for _ in range(2))
        np.testing.assert_array_equal(
            f(a, b), a.transpose(axes) * np.float32(2) + b.transpose(axes)[::-1]
        )


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2", "neon", "apple", "windows"])
def test_tiles_are_shuffles_on_every_machine(name):
    x = st.placeholder((None, None))
    graph = st.Graph((x.node,), (st.transpose(st.exp(x)).node,))
    chosen = target.named(name)
    text = program.build_program(graph, chosen).llvm_ir
    side = min(chosen.lanes(32), 16)
    assert text.count("shufflevector") >= side * (side.bit_length() - 1)
    assert "memcpy" not in jit.emit_assembly(text, chosen)


# --- where the extremum is -----------------------------------------------------------------------------


def tied(shape, dtype):
    """Few distinct values, so that most extrema are tied."""
    return RNG.integers(0, 4, shape).astype(dtype)


@pytest.mark.parametrize("size", [1, 16, 31, 32, 33, 47, 100])
def test_long_bodies_give_the_same_bits_side_by_side_and_alone(size):
    x, y = st.placeholder((None,), "float32"), st.placeholder((None,), "float32")
    gates = st.sigmoid(x) * st.tanh(y) + st.erf(x + y) * st.exp(-y * y) + st.log(st.abs(x))
    f = compiled([x, y], gates * st.sigmoid(gates) - st.tanh(gates))
    a, b = RNG.standard_normal((2, size)).astype("float32")
    alone = [f(a[i : i + 1], b[i : i + 1])[0] for i in range(size)]
    np.testing.assert_array_equal(f(a, b), alone)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint64", "bool"])
def test_argmax_and_argmin_take_the_first(dtype):
    x = st.placeholder((None, None), dtype)
    outputs = [op(x, axis=axis) for op in (st.argmax, st.argmin) for axis in (0, 1, None)]
    f = compiled([x], outputs)
    assert "call-out" not in f.explain()
    for rows in (1, 2, 17, 65, 130):
        for columns in (1, 7, 16, 33, 64, 70, 300):
            given = tied((rows, columns), dtype)
            wanted = [op(given, axis=a) for op in (np.argmax, np.argmin) for a in (0, 1, None)]
            for found, right in zip(f(given), wanted, strict=True):
                assert found.dtype == np.int64
                np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("rows", [2, 65, 200])
def test_argmax_of_values_that_are_folds_themselves(rows):
    """The blocks of the inner sum lie inside a block of the outer loop, whose indices go on."""
    x = st.placeholder((None, 70))
    f = compiled([x], [st.argmax(st.sum(x * x, 1), 0), st.argmin(st.sum(st.exp(x), 1), 0)])
    given = RNG.standard_normal((rows, 70)).astype(np.float32)
    found = f(given)
    assert [int(y) for y in found] == [(given**2).sum(1).argmax(), np.exp(given).sum(1).argmin()]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_argmax_of_nan_and_infinities(dtype):
    x = st.placeholder((None, None), dtype)
    f = compiled([x], [st.argmax(x, 1), st.argmin(x, 1), st.argmax(x, 0), st.argmin(x, 0)])
    for n in (1, 5, 16, 17, 64, 129):
        given = RNG.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], (40, n)).astype(dtype)
        given[0], given[1], given[2] = -np.inf, np.inf, np.nan
        wanted = [
            np.argmax(given, 1),
            np.argmin(given, 1),
            np.argmax(given, 0),
            np.argmin(given, 0),
        ]
        for found, right in zip(f(given), wanted, strict=True):
            np.testing.assert_array_equal(found, right)


def test_argmax_fuses_with_what_surrounds_it():
    x = st.placeholder((None, None))
    f = compiled([x], st.argmax(st.tanh(x) * 2, axis=1) * 3 + 1)
    assert len(f.executable.program.schedule.steps) == 1
    given = RNG.standard_normal((9, 50)).astype("float32")
    np.testing.assert_array_equal(f(given), given.argmax(1) * 3 + 1)
    assert compiled([x], st.argmax(x[:, :1], 1))(given).tolist() == [0] * 9
    with pytest.raises(ValueError, match="extremum"):
        f(np.zeros((3, 0), "float32"))
    assert f(np.zeros((0, 3), "float32")).shape == (0,)


# --- reading where data says ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "bool"])
@pytest.mark.parametrize("index", ["int64", "int8", "uint16", "int32"])
def test_gathers_are_loads(dtype, index):
    x, i = st.placeholder((None, None), dtype), st.placeholder((None,), index)
    outputs = [st.take(x, i, 0), st.take(x, i, 1), st.take(x, i, 0, mode="clip"),
               st.take(x, i, 1, mode="wrap")]  # fmt: skip
    f = compiled([x, i], outputs)
    assert "call-out" not in f.explain()
    for rows, columns in ((20, 31), (3, 70), (17, 1), (64, 64)):
        given = (RNG.standard_normal((rows, columns)) * 9).astype(dtype)
        low = 0 if index.startswith("u") else -min(rows, columns)
        for count in (0, 1, 7, 16, 33):
            at = RNG.integers(low, min(rows, columns), count).astype(index)
            wanted = [given[at], given[:, at], np.take(given, at, 0, mode="clip"),
                      np.take(given, at, 1, mode="wrap")]  # fmt: skip
            for found, right in zip(f(given, at), wanted, strict=True):
                np.testing.assert_array_equal(found, right)


def test_gathers_fuse_with_what_surrounds_them():
    x, i = st.placeholder((None, None)), st.placeholder((None, None), "int64")
    f = compiled([x, i], st.sum(st.take(2 * x, i + 1, axis=0) * 3, axis=-1))
    assert len(f.executable.program.schedule.steps) == 1
    g = compiled([x, i], st.tanh(st.take_along_axis(st.transpose(x), i, axis=1)))
    assert len(g.executable.program.schedule.steps) == 1
    for rows, columns in ((5, 7), (16, 33), (40, 64)):
        given = RNG.standard_normal((rows, columns)).astype("float32")
        at = RNG.integers(-rows, rows, (columns, 13))
        wanted = np.take_along_axis(given.T, at, 1).astype("float64")
        np.testing.assert_allclose(g(given, at), np.tanh(wanted), rtol=1e-6)
        at = RNG.integers(-rows, rows - 1, (3, 13))
        wanted = (given.astype("float64") * 6)[at + 1].sum(-1)
        np.testing.assert_allclose(f(given, at), wanted, rtol=1e-5, atol=1e-5)


def test_a_gather_from_a_softmax_needs_no_softmax():
    """Each row is read at one place: the loss is one kernel and stores nothing on its way."""
    x, y = st.placeholder((None, None), "float64"), st.placeholder((None,), "int64")
    picked = st.take_along_axis(st.log_softmax(x), y[:, None], axis=1)
    f = compiled([x, y], -st.mean(picked))
    assert len(f.executable.program.schedule.steps) == 1
    again = st.take(st.softmax(x), st.concatenate([y, y]), axis=1)
    g = compiled([x, y], again)
    assert "recomputed wherever an index names it" in g.explain()
    for rows, columns in ((1, 1), (5, 3), (40, 33)):
        given, at = RNG.standard_normal((rows, columns)), RNG.integers(-columns, columns, rows)
        shifted = given - given.max(1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        np.testing.assert_allclose(f(given, at), -logs[np.arange(rows), at].mean(), rtol=1e-12)
        np.testing.assert_allclose(g(given, at), np.hstack([np.exp(logs)[:, at]] * 2), rtol=1e-11)
        if columns < 100:
            with pytest.raises(IndexError):
                f(given, at + 100)


def refusal(f, *given):
    with pytest.raises(IndexError) as caught:
        f(*given)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("read", [
    lambda x, i: st.take(x, i, 0), lambda x, i: st.take(x, i, 1) * 2 + 1,
    lambda x, i: st.take(x, i, 0)[:1], lambda x, i: st.min(st.take(x, i, 1)),
    lambda x, i: st.take(st.sqrt(st.abs(x)) * 3, i, 0)[::2, ::-1], lambda x, i: x[i, i],
    lambda x, i: st.take_along_axis(x, st.broadcast_to(i, (4, i.shape[0])), 1),
    lambda x, i: st.broadcast_to(st.take(x, i, 0)[:, 0], (0, i.shape[0])),
    lambda x, i: st.take(st.full((1, 4), 2.0), i, 0), lambda x, i: st.take(x[:1], i, 0),
    lambda x, i: st.add_at(x[:1], i, 3), lambda x, i: st.set_at(x[:, :0], i, 3),
    lambda x, i: st.max(st.take(x, i, 0)[:, 1:2], 1), lambda x, i: st.take(x[:, :0], i, 0),
])  # fmt: skip
def test_indices_out_of_range_are_refused_as_by_the_reference(read):
    for dtype, bad in (("int64", 4), ("int64", -5), ("int8", 100), ("uint64", 2**64 - 1)):
        x, i = st.placeholder((4, 4)), st.placeholder((None,), dtype)
        out = read(x, i)
        native, reference = (
            st.function([x, i], out, engine=engine, on_unused_input="ignore")
            for engine in ("llvm", "numpy")
        )
        given = RNG.standard_normal((4, 4)).astype("float32")
        for count in (2, 19):
            at = np.zeros(count, dtype)
            np.testing.assert_array_equal(native(given, at), reference(given, at))
            at[-1] = bad
            assert refusal(native, given, at) == refusal(reference, given, at)
            np.testing.assert_array_equal(native(given, at * 0), reference(given, at * 0))


# --- written piece by piece ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "bool"])
def test_joining_and_padding_write_in_place(dtype):
    x, y = st.placeholder((None, None), dtype), st.placeholder((None, None), dtype)
    outputs = [st.concatenate([x, st.logical_not(y), x], 0), st.concatenate([x, x[:, ::-1]], 1),
               st.stack([x, x, x], -1), st.pad(x, ((1, 2), (3, 0)), constant_values=1),
               st.pad(st.transpose(x), 1, mode="reflect")]  # fmt: skip
    f = compiled([x, y], outputs)
    assert "call-out" not in f.explain()
    for rows, columns in ((2, 2), (5, 16), (17, 31), (33, 70), (40, 129)):
        a, b = ((RNG.standard_normal((rows + k, columns)) * 9).astype(dtype) for k in (0, 3))
        flipped = np.logical_not(b)
        joined = np.concatenate([a, flipped, a], 0)
        wanted = [joined, np.concatenate([a, a[:, ::-1]], 1), np.stack([a, a, a], -1),
                  np.pad(a, ((1, 2), (3, 0)), constant_values=1), np.pad(a.T, 1, mode="reflect")]  # fmt: skip
        for found, right in zip(f(a, b), wanted, strict=True):
            np.testing.assert_array_equal(found, right)


def test_producers_write_straight_into_a_join():
    x, y = st.placeholder((None, 8)), st.placeholder((None, 8))
    f = compiled([x, y], st.concatenate([st.exp(x) * 2, st.softmax(y)], 0))
    assert len(f.executable.program.schedule.steps) == 1
    a, b = (RNG.standard_normal((n, 8)).astype("float32") for n in (3, 0))
    np.testing.assert_allclose(f(a, b), np.exp(a) * 2, rtol=1e-6)
    assert f(b, b).shape == (0, 8)


@pytest.mark.parametrize("bounds", [
    (slice(1, None), slice(2, -1)), (slice(None, None, 2), slice(None)),
    (slice(None, None, -1), slice(None, None, 3)), (slice(3, 1), slice(None)),
    (slice(9, 99), slice(-99, 2)), (slice(None, None, -2), slice(5, 0, -2)),
])  # fmt: skip
def test_gradients_and_updates_of_slices(bounds):
    x, v = st.placeholder((None, None), "float64"), st.placeholder((), "float64")
    loss = st.sum(st.square(x[bounds])) + st.sum(x[1:, :1] * 3)
    f = compiled([x, v], [st.gradients(loss, [x])[0], st.set_at(x, bounds, v)])
    assert "call-out" not in f.explain()
    for shape in ((1, 1), (2, 3), (8, 17), (20, 70), (0, 4), (11, 0)):
        given = RNG.standard_normal(shape)
        slope, changed = np.zeros(shape), given.copy()
        slope[bounds] += 2 * given[bounds]
        slope[1:, :1] += 3
        changed[bounds] = 7
        found = f(given, 7.0)
        np.testing.assert_array_equal(found[0], slope)
        np.testing.assert_array_equal(found[1], changed)


# --- writing where data says ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_scatters_keep_their_order(dtype):
    """np.add.at adds one after the other, and so do we: equal to the last bit."""
    x, v = st.placeholder((None, None), dtype), st.placeholder((None, None), dtype)
    i = st.placeholder((None,), "int64")
    added, put = st.add_at(x, i, v), st.set_at(x, i, v)
    f = compiled([x, i, v], [added, put])
    flat = compiled([x, i], st.add_at(x, (i, i), 1))
    assert "call-out" not in f.explain() and "call-out" not in flat.explain()
    for rows, columns in ((3, 1), (5, 16), (40, 33), (7, 70), (4, 0)):
        given = (RNG.standard_normal((rows, columns)) * 9).astype(dtype)
        for count in (0, 1, 17, 100):
            at = RNG.integers(-rows, rows, count)
            values = (RNG.standard_normal((count, columns)) * 9).astype(dtype)
            total, last = given.copy(), given.copy()
            np.add.at(total, at, values)
            last[at] = values
            found = f(given, at, values)
            np.testing.assert_array_equal(found[0], total)
            np.testing.assert_array_equal(found[1], last)
            if columns:
                at = RNG.integers(0, min(rows, columns), count)
                counted = given.copy()
                np.add.at(counted, (at, at), 1)
                np.testing.assert_array_equal(flat(given, at), counted)


def test_column_sums_are_scattered_in_order():
    x, i = st.placeholder((None, None), "float64"), st.placeholder((None,), "int64")
    f = compiled([x, i], st.add_at(st.zeros(3, "float64"), i, st.sum(x, 0)))
    given = RNG.standard_normal((40, 100))
    at = RNG.integers(0, 3, 100)
    wanted = np.zeros(3)
    np.add.at(wanted, at, given.sum(0))
    np.testing.assert_allclose(f(given, at), wanted, rtol=1e-12)


def test_gradients_of_embeddings():
    table, i = st.placeholder((None, None), "float64"), st.placeholder((None, None), "int32")
    loss = st.sum(st.square(st.take(table, i, axis=0)))
    f = compiled([table, i], st.gradients(loss, [table])[0])
    assert "call-out" not in f.explain()
    given = RNG.standard_normal((20, 33))
    at = RNG.integers(-20, 20, (5, 13)).astype("int32")
    wanted = np.zeros_like(given)
    np.add.at(wanted, at, 2 * given[at])
    np.testing.assert_allclose(f(given, at), wanted, rtol=1e-14)


def test_scatters_refuse_what_the_reference_refuses():
    x, i = st.placeholder((4, 3)), st.placeholder((None,), "int64")
    out = st.add_at(x, i, 1)
    native, reference = (st.function([x, i], out, engine=e) for e in ("llvm", "numpy"))
    given = np.ones((4, 3), "float32")
    for bad in (4, -5, 2**40):
        at = np.array([0, 1, bad])
        assert refusal(native, given, at) == refusal(reference, given, at)
    np.testing.assert_array_equal(native(given, [1, 1]), reference(given, [1, 1]))


def test_positions_that_only_a_call_tells_are_checked():
    x, n = st.placeholder((None,)), st.placeholder((None,))
    out = st.set_at(x, slice(2, 2 + n.shape[0]), n * 2)
    f = compiled([x, n], out)
    assert f(np.ones(5, "float32"), np.zeros(3, "float32")).tolist() == [1, 1, 0, 0, 0]
    with pytest.raises((IndexError, ValueError)):
        f(np.ones(4, "float32"), np.zeros(3, "float32"))


# --- running sums and products -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint64"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running_folds_are_numpys_to_the_last_bit(name, dtype):
    x = st.placeholder((None, None, None), dtype)
    op, truth = getattr(st, name), getattr(np, name)
    outputs = [op(x, axis=axis) for axis in (0, 1, 2, None)]
    outputs.append(st.flip(op(st.flip(x, 1), axis=1), 1))
    f = compiled([x], outputs)
    assert "call-out" not in f.explain()
    for shape in ((3, 4, 5), (1, 1, 1), (17, 2, 33), (2, 70, 1), (0, 3, 2), (5, 0, 2), (2, 9, 300)):
        given = RNG.choice([-1.5, -1, -0.0, 0.1, 1, 2.5, 3], shape).astype(dtype)
        wanted = [truth(given, axis=axis) for axis in (0, 1, 2, None)]
        wanted.append(truth(given[:, ::-1], axis=1)[:, ::-1])
        for found, right in zip(f(given), wanted, strict=True):
            assert found.tobytes() == np.ascontiguousarray(right).tobytes()


def test_running_folds_fuse_their_operand():
    x = st.placeholder((None, None), "float64")
    y = st.cumsum(st.transpose(x) * 2 + 1, axis=0)
    f = compiled([x], y)
    assert len(f.executable.program.schedule.steps) == 1
    g = compiled([x], st.gradients(st.sum(st.square(y)), [x])[0])
    assert "call-out" not in g.explain()
    for shape in ((7, 33), (20, 1), (1, 64), (0, 4)):
        given = RNG.standard_normal(shape)
        running = np.cumsum(given.T * 2 + 1, axis=0)
        np.testing.assert_array_equal(f(given), running)
        slope = 2 * np.cumsum((2 * running)[::-1], axis=0)[::-1].T
        np.testing.assert_allclose(g(given), slope, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_running_sums_of_nan_infinity_and_half(dtype):
    x = st.placeholder((None,), dtype)
    f = compiled([x], st.cumsum(x))
    given = np.array([1, 2049, 0.5, np.inf, 3, -np.inf, 2, np.nan], dtype)
    with np.errstate(invalid="ignore"):
        wanted = np.cumsum(given, dtype="float32").astype(dtype)
    np.testing.assert_array_equal(f(given), wanted)


@pytest.mark.parametrize("axis", [0, 1])
def test_writing_along_an_axis(axis):
    """Rows of their own never meet, so these go by vectors; equal places in a row still add up."""
    x, i = st.placeholder((None, None), "float64"), st.placeholder((None, None), "int64")
    weights = st.placeholder((None, None), "float64")
    loss = st.sum(weights * st.take_along_axis(x, i, axis))
    f = compiled([x, i, weights], [st.gradients(loss, [x])[0], st.put_along_axis(x, i, 7, axis)])
    assert "call-out" not in f.explain()
    for rows, columns, count in ((3, 5, 1), (17, 4, 1), (40, 33, 2), (9, 70, 17), (64, 2, 40)):
        given = RNG.standard_normal((rows, columns))
        shape = (count, columns) if axis == 0 else (rows, count)
        at = RNG.integers(-given.shape[axis], given.shape[axis], shape)
        scale = RNG.standard_normal(shape)
        slope, written = np.zeros_like(given), given.copy()
        grid = list(np.indices(shape))
        grid[axis] = at
        np.add.at(slope, tuple(grid), scale)
        np.put_along_axis(written, at, 7, axis)
        found = f(given, at, scale)
        np.testing.assert_allclose(found[0], slope, rtol=1e-13)
        np.testing.assert_array_equal(found[1], written)


@pytest.mark.parametrize("few", [2, 4, 16])
def test_what_is_summed_over_a_short_axis_and_read_along_it_is_computed_once(few):
    x, y = st.placeholder((few, None)), st.placeholder((None, few, None))
    f = compiled([x, y], [x - st.mean(x, 0), st.softmax(y, 1)])
    assert len(f.executable.kernels()) == 2
    assert "repeat" not in f.explain()
    for columns in SIZES:
        a, b = RNG.standard_normal((few, columns)), RNG.standard_normal((3, few, columns))
        powers = np.exp(b)
        wanted = [a - a.mean(0), powers / powers.sum(1, keepdims=True)]
        for found, truth in zip(f(a.astype("f4"), b.astype("f4")), wanted, strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)


def test_what_is_summed_over_a_long_axis_and_read_along_it_is_stored():
    x = st.placeholder((17, None))
    f = compiled([x], x - st.mean(x, 0))
    assert len(f.executable.kernels()) == 2


# --- rows that loops share ---------------------------------------------------------------------------


def reloads(f):
    return sum(text.count("reload") for text in f.executable.kernels().values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_computes_each_exponential_once(dtype):
    x = st.placeholder((None, None), dtype)
    f = compiled([x], st.softmax(x))
    assert reloads(f) == 1
    for columns in (*SIZES[1:], 257, 300):
        given = (RNG.standard_normal((9, columns)) * 5).astype(dtype)
        wide = np.exp(given.astype("float64") - given.max(1, keepdims=True))
        wanted = wide / wide.sum(1, keepdims=True)
        np.testing.assert_allclose(f(given), wanted, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_what_a_loop_keeps_is_its_own():
    """Two values, two places; a result read elsewhere keeps nothing; cheap values are computed."""
    x = st.placeholder((None, 50), "float64")
    e, t = st.exp(x), st.tanh(x)
    total = st.sum(e * t, 1, keepdims=True)
    f = compiled([x], [e / total, t / total, x / st.sum(x + 1, 1, keepdims=True)])
    assert reloads(f) == 2
    given = RNG.standard_normal((7, 50))
    a, b = np.exp(given), np.tanh(given)
    sums = (a * b).sum(1, keepdims=True)
    wanted = [a / sums, b / sums, given / (given + 1).sum(1, keepdims=True)]
    for found, truth in zip(f(given), wanted, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_folds_and_loops_read_back_what_the_first_of_them_computed(dtype):
    x = st.placeholder((None, None), dtype)
    e = st.exp(x)
    share = e / st.sum(e, 1, keepdims=True)
    f = compiled([x], e * st.sum(share * st.sqrt(e), 1, keepdims=True))
    (text,) = f.executable.kernels().values()
    assert text.count("exp(") == 1 and reloads(f) == 2
    for columns in (*SIZES[1:], 257, 300):
        given = RNG.standard_normal((9, columns)).astype(dtype)
        wide = np.exp(given.astype("float64"))
        wanted = wide * (wide**1.5).sum(1, keepdims=True) / wide.sum(1, keepdims=True)
        np.testing.assert_allclose(f(given), wanted, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_a_fold_stores_what_a_loop_would_store_as_it_is():
    x = st.placeholder((None, None))
    total = st.sum(x, 1, keepdims=True)
    share = x / total
    f = compiled([x], [share, x * (total + st.sum(share * share, 1, keepdims=True))])
    (text,) = f.executable.kernels().values()
    assert text.count("divide(") == 1 and "reload" not in text
    for shape in [(1, 1), (3, 17), (5, 300), (2, 70_001), (0, 4), (4, 0)]:
        given = RNG.uniform(1, 2, shape).astype("f4")
        sums = given.sum(1, keepdims=True, dtype="f8")
        part = given / sums
        wanted = part, given * (sums + (part * part).sum(1, keepdims=True))
        for found, truth in zip(f(given), wanted, strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-5)


def test_rows_of_another_length_are_not_shared():
    x = st.placeholder((None, 8), "float64")
    y = st.exp(x[:, :4]) / st.sum(st.exp(x), 1, keepdims=True)
    z = st.exp(x[:, ::-1]) / st.sum(st.exp(x), 1, keepdims=True)
    given = RNG.standard_normal((5, 8))
    sums = np.exp(given).sum(1, keepdims=True)
    found = compiled([x], [y, z])(given)
    np.testing.assert_allclose(found[0], np.exp(given[:, :4]) / sums, rtol=1e-12)
    np.testing.assert_allclose(found[1], np.exp(given[:, ::-1]) / sums, rtol=1e-12)


@pytest.mark.parametrize("rows", [16, None])
def test_a_sum_beside_a_sum_inside_another_sum(rows):
    """Both run over the rows, but the inner one varies with a loop that is not open outside."""
    d, h = st.placeholder((rows, 1), "float32"), st.placeholder((rows, 4), "float32")
    total = st.sum(d, 0) * st.sum(st.square(st.sum(h * d, 0)))
    a, b = RNG.normal(size=(16, 1)).astype("f4"), RNG.normal(size=(16, 4)).astype("f4")
    wanted = a.sum(0, dtype="f8") * ((a.astype("f8") * b).sum(0) ** 2).sum()
    np.testing.assert_allclose(st.function([d, h], total)(a, b), wanted, rtol=1e-5)


# --- stores past the caches ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
def test_large_results_are_right_to_the_last_element(dtype):
    count = streaming.LARGE // 2 // np.dtype(dtype).itemsize
    x = st.placeholder((None,), dtype)
    f = compiled([x], st.logical_not(x) if dtype == "bool" else x * 2 + x)
    for n in (count - 1, count + 1, count + 13):  # around the size from which on it matters
        given = (np.arange(n) % 41).astype(dtype)
        wanted = ~given if dtype == "bool" else given * 3
        np.testing.assert_array_equal(f(given), wanted)


def test_large_pieces_of_a_join_begin_anywhere():
    x, y = st.placeholder((None,)), st.placeholder((None,))
    f = compiled([x, y], st.concatenate([x + 1, y * 2]))
    big = np.arange(streaming.LARGE // 8 + 5, dtype="float32")
    for n in (1, 3, 17):
        wanted = np.concatenate([big[:n] + 1, big * 2])
        np.testing.assert_array_equal(f(big[:n], big), wanted)


@pytest.mark.parametrize("columns", [1024, 1023])
def test_large_transposed_results_are_right(columns):
    rows = streaming.LARGE // 8 // columns + 1
    x, b = st.placeholder((None, None)), st.placeholder((None,))
    f = compiled([x, b], [st.transpose(x) + 1, st.transpose(x) * b])
    given = RNG.standard_normal((rows, columns), "float32")
    for n in (rows - 21, rows, rows // 16 * 16 + 16):  # around the size from which on it matters
        a = np.resize(given, (n, columns))
        one, times = f(a, a[:, 3].copy())
        np.testing.assert_array_equal(one, a.T + 1)
        np.testing.assert_array_equal(times, a.T * a[:, 3])


@pytest.mark.parametrize("name, word", [("avx512", "vmovnt"), ("sse2", "movnt")])
def test_tiles_can_be_stored_past_the_caches(name, word):
    x = st.placeholder((None, None))
    chosen = target.named(name)
    text = program.build_program(st.Graph((x.node,), ((st.transpose(x) + 1).node,)), chosen).llvm_ir
    assert word in jit.emit_assembly(text, chosen)


@pytest.mark.parametrize("name, word", [("avx512", "vmovnt"), ("sse2", "movnt")])
def test_light_loops_can_store_past_the_caches(name, word):
    x = st.placeholder((None,))
    chosen = target.named(name)
    text = program.build_program(st.Graph((x.node,), ((x * 2 + 1).node,)), chosen).llvm_ir
    assert word in jit.emit_assembly(text, chosen)
    heavy = program.build_program(st.Graph((x.node,), (st.erf(st.sin(x)).node,)), chosen).llvm_ir
    assert "nontemporal" not in heavy
