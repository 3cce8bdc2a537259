"""What the samples of movement can't say: shapes of unknown size, structure, checks, memory safety."""

import hypothesis.strategies as hs
import numpy as np
import pytest
from hypothesis import given, settings

import symtensor as st
from symtensor.ir import dims as D
from symtensor.ir.graph import toposort
from symtensor.ir.node import make_node
from symtensor.ops import slicing
from symtensor.ops.build import apply
from symtensor.ops.registry import get_op

ENGINES = ("numpy", "llvm")
engines = pytest.mark.parametrize("engine", ENGINES)


def ops(tensor):
    return [node.op.name for node in toposort([tensor.node])]


def compiled(build, *shapes, engine):
    inputs = [st.placeholder(shape, "float64") for shape in shapes]
    return st.function(inputs, build(*inputs), engine=engine)


# --- slices: clamping in dims --------------------------------------------------------------------

N = D.symbol("n")
bounds = hs.one_of(hs.none(), hs.integers(-12, 12))


@settings(max_examples=300, deadline=None)
@given(bounds, bounds, hs.integers(-4, 4).filter(bool), hs.integers(0, 9))
def test_slices_of_unknown_axes_clamp_as_in_python(start, stop, step, n):
    env = {D.as_symbol(N): n}
    first, length = slicing.slice_bounds(N, start, stop, step)
    wanted = range(n)[start:stop:step]
    count = D.evaluate(length, env)
    assert count == len(wanted)
    if count:
        assert D.evaluate(first, env) == wanted[0]


@settings(max_examples=200, deadline=None)
@given(bounds, bounds, hs.integers(-4, 4).filter(bool), hs.integers(0, 9))
def test_slices_of_fixed_axes_have_plain_lengths(start, stop, step, n):
    first, length = slicing.slice_bounds(n, start, stop, step)
    assert isinstance(first, int) and length == len(range(n)[start:stop:step])


def test_neighbours_have_one_length_and_need_no_guard():
    x = st.placeholder((None, 3))
    assert x[1:].shape[0] is x[:-1].shape[0]
    assert "specify_shape" not in ops(x[1:] - x[:-1])


def test_bounds_may_be_dims():
    x = st.placeholder((None, 4), "float64")
    n = x.shape[0]
    assert x[: n // 2].shape[0] is n // 2
    values = np.arange(20.0).reshape(5, 4)
    np.testing.assert_array_equal(x[n // 2 :].eval({x: values}), values[2:])


def test_everything_is_no_slice():
    x = st.placeholder((None, 3))
    assert x[:].node is x[...].node is x[:, :3].node is x[0:, ::1].node is x.node


def test_reversing_twice_is_nothing():
    x = st.placeholder((None, 3))
    assert st.optimize(st.Graph((x.node,), (x[::-1][::-1].node,))).outputs == (x.node,)


# --- positions are checked -----------------------------------------------------------------------


@engines
@pytest.mark.parametrize("index", [5, -4, (slice(None), 4), (0, -5)])
def test_positions_on_unknown_axes_are_checked_when_it_runs(engine, index):
    f = compiled(lambda x: x[index] * 2, (None, None), engine=engine)
    np.testing.assert_array_equal(f(np.ones((6, 5)))[()], np.ones((6, 5))[index] * 2)
    with pytest.raises(st.IndexOutOfRange, match=r"index -?\d is out of range for axis \d of size"):
        f(np.ones((3, 4)))


@engines
def test_the_message_has_the_index_as_it_was_written(engine):
    f = compiled(lambda x: x[:, -3], (None, None), engine=engine)
    with pytest.raises(IndexError, match="index -3 is out of range for axis 1 of size 2") as caught:
        f(np.ones((4, 2)))
    assert "test_movement.py" in str(caught.value)


@engines
def test_a_dim_as_position_does_not_count_from_the_end(engine):
    f = compiled(lambda x: x[x.shape[0] - 3], (None,), engine=engine)
    assert f(np.arange(5.0)) == 2.0
    with pytest.raises(IndexError):
        f(np.arange(2.0))


@pytest.mark.parametrize(
    "attrs",
    [
        {"starts": (3,), "steps": (1,), "lengths": (3,)},
        {"starts": (-1,), "steps": (1,), "lengths": (1,)},
        {"starts": (4,), "steps": (-2,), "lengths": (4,)},
        {"starts": (0,), "steps": (0,), "lengths": (2,)},
        {"starts": (0,), "steps": (1,), "lengths": (-1,)},
        {"starts": (0, 0), "steps": (1, 1), "lengths": (1, 1)},
    ],
)
def test_slices_that_leave_their_operand_are_refused_when_built(attrs):
    x = st.placeholder((5,))
    with pytest.raises((ValueError, IndexError)):
        apply(slicing.SLICE, x, **attrs)


@engines
def test_slices_that_leave_their_operand_are_refused_when_they_run(engine):
    def build(x):
        return apply(slicing.SLICE, x, starts=(2,), steps=(3,), lengths=(x.shape[0],)) + 1

    f = compiled(build, (None,), engine=engine)
    assert f(np.zeros(0)).shape == (0,)
    with pytest.raises(st.IndexOutOfRange, match="of size 3"):
        f(np.zeros(3))


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("transpose", {"perm": (0, 0)}),
        ("transpose", {"perm": (0, 2)}),
        ("transpose", {"perm": (0,)}),
        ("reshape", {"shape": (-2, -3)}),
        ("broadcast_to", {"shape": (-1, 2, 3)}),
        ("place", {"shape": (2, 2), "starts": (0, 0), "steps": (1, 1), "fill": 0.0}),
        ("concatenate", {"axis": 2}),
    ],
)
def test_attributes_that_mean_nothing_are_refused(op, attrs):
    x = st.placeholder((2, 3))
    with pytest.raises((ValueError, IndexError)):
        make_node(get_op(op), (x.node,), attrs)


# --- sizes that turn out negative ----------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda x: st.zeros((-1, 2)),
        lambda x: st.repeat(x, -1),
        lambda x: st.tile(x, (2, -1)),
        lambda x: st.reshape(x, (-2, -3)),
        lambda x: st.pad(x, -1),
        lambda x: st.broadcast_to(x, (-4, 2, 3)),
        lambda x: st.placeholder((2, -1)),
    ],
)
def test_negative_sizes_are_refused_when_built(build):
    with pytest.raises(ValueError, match=r"negative|elements|at least 0"):
        build(st.placeholder((2, 3)))


@engines
@pytest.mark.parametrize(
    "build",
    [
        lambda x: st.tile(x, x.shape[0] - 3) + 1,
        lambda x: st.zeros(x.shape[0] - 3, "float64") + 1,
        lambda x: st.arange(x.shape[0] - 3) * 2,
        lambda x: st.pad(x, x.shape[0] - 3),
        lambda x: st.sum(st.full((x.shape[0] - 2,), 1.0)) + x,
    ],
)
def test_negative_sizes_do_no_harm_when_it_runs(engine, build):
    f = compiled(build, (None,), engine=engine)
    f(np.ones(5))
    try:  # what clamps or adds up nothing has a value; the rest says what is wrong
        f(np.ones(1))
    except st.SymtensorError as error:
        assert "negative" in str(error)


# --- structure -----------------------------------------------------------------------------------


def test_views_keep_no_copies_and_no_steps_that_do_nothing():
    x = st.placeholder((2, 1, 3))
    assert st.transpose(x, (0, 1, 2)) is x
    assert st.reshape(x, (2, 1, 3)) is x
    assert st.broadcast_to(x, (2, 1, 3)) is x
    assert st.expand_dims(st.squeeze(x, 1), 1).shape == x.shape
    assert st.moveaxis(x, 0, 0) is x and st.roll(x, 0, 0) is x and st.pad(x, 0) is x
    assert st.concatenate([x], 1) is x


def test_gradients_of_views_are_views_back():
    x = st.placeholder((4, 6), "float64")
    g = st.placeholder((2, 3), "float64")
    y = x[::2, 3:]
    (back,) = st.gradients(None, [x], known={y: g})
    assert back.op.name == "place" and back.node.inputs == (g.node,)
    z = st.placeholder((2, 3), "float64")
    (again,) = st.gradients(None, [g], known={back: st.placeholder((4, 6), "float64")})
    assert again.op.name == "slice" and again.shape == z.shape


def test_gradients_of_parts_are_slices_of_the_whole():
    a, b = st.placeholder((None, 3), "float64"), st.placeholder((None, 3), "float64")
    y = st.concatenate([a, b])
    g = st.placeholder(y.shape, "float64")
    ga, gb = st.gradients(None, [a, b], known={y: g})
    for back, x in ((ga, a), (gb, b)):
        assert back.op.name == "slice" and back.node.inputs == (g.node,)
        assert back.shape == x.shape


# --- sizes that must agree -----------------------------------------------------------------------


@engines
def test_unknown_sizes_off_the_joined_axis_are_checked(engine):
    f = compiled(lambda a, b: st.concatenate([a, b], 1), (None, 2), (None, 3), engine=engine)
    assert f(np.ones((4, 2)), np.ones((4, 3))).shape == (4, 5)
    with pytest.raises(st.ShapeError):
        f(np.ones((4, 2)), np.ones((3, 3)))


@engines
def test_unknown_sizes_must_divide_into_equal_parts(engine):
    f = compiled(lambda x: st.split(x, 3), (None,), engine=engine)
    assert [part.tolist() for part in f(np.arange(6.0))] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(st.ShapeError):
        f(np.arange(7.0))


@pytest.mark.parametrize("n", range(0, 8))
def test_uneven_parts_of_an_unknown_size(n):
    f = compiled(lambda x: st.array_split(x, 3), (None,), engine="numpy")
    parts = f(np.arange(float(n)))
    assert [p.tolist() for p in parts] == [p.tolist() for p in np.array_split(np.arange(n), 3)]


@pytest.mark.parametrize("cut", [st.split, st.array_split])
def test_more_parts_than_a_graph_can_have_are_refused(cut):
    with pytest.raises(
        st.errors.AttributeValueError, match="at most 1,000,000 parts, found 1,000,"
    ):
        cut(st.placeholder((None,)), 10**30)


def test_sizes_known_to_differ_are_refused_with_both_operands():
    a, b = st.placeholder((2, 3), name="a"), st.placeholder((2, 4), name="b")
    with pytest.raises(st.ShapeError, match="sizes 3 and 4 differ on axis 1"):
        st.concatenate([a, b])


def test_squeeze_of_an_unknown_size_is_checked():
    x = st.placeholder((None, 3))
    y = st.squeeze(x, 0)
    assert y.shape == (3,)
    with pytest.raises(st.ShapeError):
        y.eval({x: np.ones((2, 3), "f4")})


def test_a_row_too_many_names_the_positions():
    with pytest.raises(st.ShapeError, match="only one size may be -1"):
        st.reshape(st.placeholder((6,)), (-1, -1))
    with pytest.raises(st.AttributeValueError, match="rot90"):
        st.rot90(st.placeholder((2, 2)), 1, (0, 0))
    with pytest.raises(st.AttributeValueError, match="3 shifts for 2 axes"):
        st.roll(st.placeholder((2, 2)), (1, 2, 3), (0, 1))


# --- random chains of views against NumPy --------------------------------------------------------

MOVES = [
    lambda x, xp: xp.transpose(x),
    lambda x, xp: x[::-1],
    lambda x, xp: x[..., 1:],
    lambda x, xp: x[:, ::2],
    lambda x, xp: xp.reshape(x, (-1, 2)) if x.size and x.size % 2 == 0 else x,
    lambda x, xp: xp.concatenate([x, x], 0),
    lambda x, xp: xp.pad(x, 1),
    lambda x, xp: xp.roll(x, 1, 0),
    lambda x, xp: xp.repeat(x, 2, 1),
    lambda x, xp: xp.tile(x, (1, 2)),
    lambda x, xp: x * 2 + 1,
]


@settings(max_examples=60, deadline=None)
@given(hs.lists(hs.sampled_from(MOVES), min_size=1, max_size=5), hs.sampled_from(ENGINES))
def test_chains_of_moves_are_what_numpy_does(moves, engine):
    values = np.arange(12.0).reshape(3, 4)
    x = st.placeholder(values.shape, "float64")
    y = x
    for move in moves:
        values, y = move(values, np), move(y, st)
    np.testing.assert_array_equal(y.eval({x: np.arange(12.0).reshape(3, 4)}, engine=engine), values)
