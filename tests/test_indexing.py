"""What the samples of indexing can't say: random indices, messages, who wins, memory safety."""

import hypothesis.strategies as hs
import numpy as np
import pytest
from hypothesis import given, settings

import symtensor as st
from symtensor.ir.graph import toposort
from symtensor.ops import indexing
from symtensor.ops.build import apply
from symtensor.ops.interpret import run_graph

ENGINES = ("numpy", "llvm")
engines = pytest.mark.parametrize("engine", ENGINES)


def ops(tensor):
    return [node.op.name for node in toposort([tensor.node])]


def run(build, *arrays, symbolic=False):
    inputs = [st.placeholder([None] * a.ndim if symbolic else a.shape, a.dtype) for a in arrays]
    out = build(*inputs)
    graph = st.Graph(tuple(x.node for x in inputs), (out.node,))
    return run_graph(graph, arrays)[0]


# --- x[index] against NumPy ----------------------------------------------------------------------

X = np.arange(60.0).reshape(3, 4, 5)
small = hs.integers(-6, 6)
slices = hs.builds(
    slice, hs.none() | small, hs.none() | small, hs.none() | hs.sampled_from([-2, -1, 1, 2, 3])
)


def arrays_of(strategy):
    shapes = hs.sampled_from([(), (1,), (2,), (0,), (2, 1), (1, 2)])
    return shapes.flatmap(
        lambda shape: hs.lists(strategy, min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
        .map(lambda flat: np.array(flat, dtype=np.int64).reshape(shape))
    )  # fmt: skip


masks = hs.sampled_from([(3,), (4,), (5,), (3, 4), (4, 5)]).flatmap(
    lambda shape: hs.lists(
        hs.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))
    ).map(lambda flat: np.array(flat).reshape(shape))
)
items = hs.one_of(
    hs.integers(-3, 2), slices, hs.none(), hs.just(...), arrays_of(hs.integers(-3, 2)), masks
)
indices = hs.lists(items, max_size=5).map(tuple)


def outcome(compute):
    """The value, or that it is an error that NumPy users catch."""
    try:
        return compute()
    except (IndexError, ValueError) as error:
        assert isinstance(error, st.SymtensorError) or type(error).__module__ == "builtins"
        return None


def assert_same(found, wanted):
    assert (found is None) == (wanted is None), f"found {found}, NumPy gives {wanted}"
    if wanted is not None:
        np.testing.assert_array_equal(found, wanted)
        assert np.shape(found) == np.shape(wanted)


@settings(max_examples=500, deadline=None)
@given(indices, hs.booleans())
def test_reading_is_what_numpy_does(index, symbolic):
    wanted = outcome(lambda: X[index])
    assert_same(outcome(lambda: run(lambda x: x[index], X, symbolic=symbolic)), wanted)


@settings(max_examples=300, deadline=None)
@given(indices, hs.booleans(), hs.booleans())
def test_writing_is_what_numpy_does(index, add, symbolic):
    def wanted():
        out = X.copy()
        values = -np.arange(1.0, 1 + X[index].size).reshape(X[index].shape)
        if add:
            np.add.at(out, index, values)
        else:
            out[index] = values
        return out, values

    expected = outcome(wanted)
    if expected is None:
        return
    out, values = expected
    write = st.add_at if add else st.set_at
    found = outcome(lambda: run(lambda x: write(x, index, values), X, symbolic=symbolic))
    assert_same(found, out)


@settings(max_examples=100, deadline=None)
@given(indices)
def test_the_gradient_of_reading_counts_the_reads(index):
    wanted = outcome(lambda: X[index])
    if wanted is None:
        return
    counts = np.zeros_like(X)
    np.add.at(counts, index, 1.0)
    x = st.placeholder(X.shape, "float64")
    (g,) = st.gradients(st.sum(x[index]), [x], disconnected="zero")
    np.testing.assert_array_equal(g.eval({x: X}, engine="numpy"), counts)


# --- structure -----------------------------------------------------------------------------------


def test_basic_indices_are_views():
    x = st.placeholder((4, 5, 6))
    assert ops(x[1, ::2, None, -1]) == ["placeholder", "slice", "reshape"]
    assert ops(x[2:]) == ["placeholder", "slice"]


def test_one_gather_reads_at_all_index_tensors():
    x, i = st.placeholder((4, 5, 6)), st.placeholder((3,), "int64")
    assert ops(x[i]).count("gather") == ops(x[:, i, i]).count("gather") == 1
    assert x[:, i].node.inputs[0].attrs["axes"] == (1,)
    assert "slice" not in ops(x[:, i])


def test_a_number_beside_a_tensor_joins_it():
    x, i = st.placeholder((4, 5, 6)), st.placeholder((3,), "int64")
    assert x[0, :, i].shape == (3, 5)
    assert x[:, 0, i].shape == (4, 3)
    assert x[..., i, None, 0].shape == (3, 4, 1)


def test_writing_into_a_part_copies_the_whole_once():
    x = st.placeholder((4, 5))
    assert ops(st.set_at(x, 1, 0.0)).count("update_slice") == 1
    assert "update_slice" not in ops(st.set_at(x, ..., 0.0))
    i = st.placeholder((2,), "int64")
    assert "update_slice" not in ops(st.set_at(x, i, 0.0))
    both = ops(st.add_at(x, (slice(1, 3), i), 1.0))
    assert (both.count("scatter"), both.count("update_slice")) == (1, 1)


def test_the_gradient_of_an_embedding_adds_rows():
    table = st.placeholder((1000, 8), "float64")
    words = st.placeholder((None,), "int64")
    (g,) = st.gradients(st.sum(table[words] ** 2), [table])
    scatter = next(n for n in toposort([g.node]) if n.op.name == "scatter")
    assert scatter.attrs["mode"] == "add" and scatter.inputs[1].tensor_type.ndim == 2
    values = np.ones((1000, 8))
    got = g.eval({table: values, words: np.array([3, 5, 3])})
    assert got[3].tolist() == [4.0] * 8 and got[5].tolist() == [2.0] * 8 and got.sum() == 48.0


# --- who wins ------------------------------------------------------------------------------------


def test_of_equal_positions_the_last_wins_and_alone_has_a_gradient():
    x, v = st.placeholder((3,), "float64"), st.placeholder((4,), "float64")
    y = st.set_at(x, [0, 1, 0, 0], v)
    feeds = {x: np.zeros(3), v: np.array([1.0, 2.0, 3.0, 4.0])}
    assert y.eval(feeds).tolist() == [4.0, 2.0, 0.0]
    gx, gv = st.gradients(st.sum(y * np.array([1.0, 10.0, 100.0])), [x, v])
    feeds |= {x: np.ones(3)}
    assert gx.eval(feeds, on_unused_input="ignore").tolist() == [0.0, 0.0, 100.0]
    assert gv.eval(feeds, on_unused_input="ignore").tolist() == [0.0, 10.0, 0.0, 1.0]


def test_negative_and_positive_indices_name_the_same_place():
    x, v = st.placeholder((3,), "float64"), st.placeholder((2,), "float64")
    i = st.placeholder((2,), "int64")
    y = st.set_at(x, i, v)
    (gv,) = st.gradients(st.sum(y), [v])
    feeds = {x: np.zeros(3), v: np.array([1.0, 2.0]), i: np.array([2, -1])}
    assert y.eval(feeds).tolist() == [0.0, 0.0, 2.0]
    assert gv.eval(feeds, on_unused_input="ignore").tolist() == [0.0, 1.0]


def test_what_is_overwritten_may_be_nan():
    x = st.placeholder((3,), "float64")
    y = st.sum(st.set_at(st.log(x), 0, 0.0))
    (g,) = st.gradients(y, [x])
    values = np.array([-1.0, 1.0, 2.0])
    assert np.isfinite(y.eval({x: values}))
    np.testing.assert_array_equal(g.eval({x: values})[1:], [1.0, 0.5])


# --- messages ------------------------------------------------------------------------------------


@engines
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x, i: st.take(x, i, 1), "index 7 is out of range for axis 1 of size 4"),
        (lambda x, i: x[:, i] * 2, "index 7 is out of range for axis 1 of size 4"),
        (lambda x, i: st.add_at(x, (slice(None), i), 1.0), "index 7 .* axis 1 of size 4"),
        (lambda x, i: st.set_at(x, i, 1.0), "index 7 is out of range for axis 0 of size 3"),
        (lambda x, i: st.gather(x, 0 * i, i), "index 7 is out of range for axis 1 of size 4"),
        (lambda x, i: st.take_along_axis(x, i[None], 1), "index 7 .* axis 1 of size 4"),
        (lambda x, i: x[-i], "index -7 is out of range for axis 0 of size 3"),
    ],
)
def test_a_bad_index_is_named_with_axis_and_size_and_line(engine, build, message):
    x, i = st.placeholder((3, 4), "float64"), st.placeholder((1,), "int64")
    f = st.function([x, i], build(x, i), engine=engine)
    with pytest.raises(st.IndexOutOfRange, match=message) as caught:
        f(np.ones((3, 4)), np.array([7]))
    assert "test_indexing.py" in str(caught.value)


def test_indices_known_to_be_wrong_are_refused_when_built():
    x = st.placeholder((3, 4))
    with pytest.raises(IndexError, match="index 3 is out of range for axis 0 of size 3"):
        x[3]
    with pytest.raises(IndexError, match="index -5 is out of range for axis 1 of size 4"):
        x[0, -5]
    with pytest.raises(IndexError, match="too many indices: 3 for a tensor of 2 axes"):
        x[0, 0, 0]
    with pytest.raises(IndexError, match="a boolean index of size 2 does not fit axis 0 of size 3"):
        x[np.array([True, False])]
    with pytest.raises(IndexError, match="expected an integer, found 'a'"):
        x["a"]
    with pytest.raises(TypeError, match="a slice bound must be an int or a dim, found 'a'"):
        x["a":]


def test_a_symbolic_mask_says_what_to_use():
    x = st.placeholder((3,))
    with pytest.raises(st.SymbolicValueError, match=r"symtensor\.where"):
        x[x > 0]


def test_a_tensor_as_slice_bound_says_what_to_use():
    x, n = st.placeholder((3,)), st.placeholder((), "int64")
    with pytest.raises(TypeError, match=r"symtensor\.take"):
        x[:n]


def test_masks_fix_unknown_sizes():
    x = st.placeholder((None, 2), "float64")
    y = x[np.array([True, False, True])]
    assert y.shape == (2, 2)
    with pytest.raises(st.ShapeError):
        y.eval({x: np.ones((4, 2))})


def test_values_must_fit():
    x = st.placeholder((3, 4))
    with pytest.raises(st.ShapeError, match=r"does not broadcast to \(4,\)"):
        st.set_at(x, 0, np.ones(3, "f4"))
    with pytest.raises(TypeError, match="set_at"):
        x[0] = 1.0


# --- memory safety -------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 0), (2,), (-1,), (0, 1), ()])
def test_axes_that_mean_nothing_are_refused(axes):
    x, i = st.placeholder((3, 4)), st.placeholder((2,), "int64")
    with pytest.raises(ValueError):
        apply(indexing.GATHER, x, i, axes=axes)
    with pytest.raises(ValueError):
        apply(indexing.SCATTER, x, st.zeros((2, 4)), i, axes=axes, mode="set")


@engines
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_extreme_indices_of_every_dtype_are_refused(engine, dtype):
    x, i = st.placeholder((None,), "float64"), st.placeholder((None,), dtype)
    f = st.function([x, i], [x[i] + 1, st.add_at(x, i, 1.0)], engine=engine)
    for extreme in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        if extreme:
            with pytest.raises(IndexError):
                f(np.ones(5), np.array([1, extreme], dtype))
    assert f(np.ones(5), np.array([1, 1], dtype))[1].tolist() == [1, 3, 1, 1, 1]
    assert f(np.ones(0), np.zeros(0, dtype))[0].shape == (0,)


@engines
def test_inputs_are_never_written(engine):
    x, i = st.placeholder((None,), "float64"), st.placeholder((None,), "int64")
    f = st.function([x, i], [st.set_at(x, i, 9.0), st.set_at(x, slice(0, 2), 8.0)], engine=engine)
    values = np.arange(4.0)
    for out in f(values, np.array([0, 3])):
        assert not np.shares_memory(out, values)
    assert values.tolist() == [0, 1, 2, 3]


# --- one axis ------------------------------------------------------------------------------------


def test_out_of_range_classes_are_rows_of_zeros():
    i = st.placeholder((None,), "int64")
    hot = st.one_hot(i, 3, "int32")
    got = hot.eval({i: np.array([2, -1, 3, 0])})
    assert got.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_clip_and_wrap_never_fail():
    x, i = st.placeholder((None,), "float64"), st.placeholder((None,), "int64")
    far = np.array([-(2**63), -4, 0, 5, 2**63 - 1])
    values = np.arange(3.0)
    # NumPy's own "wrap" subtracts the length until it fits: for these indices, forever.
    for mode, rows in (("clip", np.clip(far, 0, 2)), ("wrap", far % 3)):
        got = st.take(x, i, 0, mode).eval({x: values, i: far})
        np.testing.assert_array_equal(got, values[rows])
