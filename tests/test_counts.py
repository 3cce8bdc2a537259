"""Counts, sizes and amounts: what isn't one is refused, by name when built, by value when called."""

import numpy as np
import pytest

import symtensor as st

engines = pytest.mark.parametrize("engine", ["numpy", "llvm"])
others = pytest.mark.parametrize("engine", ["llvm"])
"""Engines that say what the reference says."""

X = st.placeholder((4, 6), name="x")
V = st.placeholder((None,), name="v")
N = V.shape[0]
IMAGE = st.placeholder((2, 8, 8, 3), name="image")
KERNEL = np.zeros((3, 3, 3, 4), "float32")
FILTERS = np.zeros((3, 3, 4, 3), "float32")


def looped(n):
    return st.scan(lambda h: h + 1, None, [st.zeros((3,))], n_steps=n)[0]


def summed(n):
    rows = st.ones((5, 3))
    return st.scan(lambda row, h: h + row, rows, [st.zeros((3,))], n_steps=n)[0]


# what takes a count, and a good one
COUNTS = {
    "scan": (looped, 2),
    "scan of rows": (summed, 2),
    "while_loop": (lambda n: st.while_loop(lambda v: v < 9, lambda v: v * v, V[0], n), 2),
    "repeat": (lambda n: st.repeat(X, n, 0), 2),
    "tile": (lambda n: st.tile(X, (1, n)), 2),
    "one_hot": (lambda n: st.one_hot(st.constant([0, 1]), n), 2),
    "pad": (lambda n: st.pad(X, n), 2),
    "pad after": (lambda n: st.pad(X, ((0, n), (0, 0)), mode="edge"), 2),
    "split": (lambda n: st.concatenate(st.split(X, n)), 2),
    "array_split": (lambda n: st.concatenate(st.array_split(X, n)), 2),
    "pool": (lambda n: st.max_pool(IMAGE, n), 2),
    "pool strides": (lambda n: st.max_pool(IMAGE, 2, n), 2),
    "conv strides": (lambda n: st.conv(IMAGE, KERNEL, strides=n), 2),
    "conv dilation": (lambda n: st.conv(IMAGE, KERNEL, dilation=(1, n)), 2),
    "conv groups": (lambda n: st.conv(IMAGE, KERNEL, groups=n), 1),
    "conv padding": (lambda n: st.conv(IMAGE, KERNEL, padding=n), 2),
    "conv paddings": (lambda n: st.conv(IMAGE, KERNEL, padding=[n, 1]), 2),
    "pool paddings": (lambda n: st.average_pool(IMAGE, 2, padding=[(0, n), (1, 1)]), 2),
    "conv_transpose": (lambda n: st.conv_transpose(IMAGE[..., :3], FILTERS, (n, 10)), 10),
    "windows": (lambda n: st.windows(X, n, 0), 2),
    "overlap_add": (lambda n: st.overlap_add(st.windows(X, 2, 0), (n,), 0), 4),
    "linspace": (lambda n: st.linspace(0, st.sum(X), n), 2),
    "binomial": (lambda n: st.RandomStream(0).binomial((2,), n), 2),
    "top_k": (lambda n: st.top_k(X, n)[0], 2),
    "diff": (lambda n: st.diff(X, n), 2),
    "pipelined": (lambda n: st.pipelined(lambda h: h, X, n), 2),
    "zeros": (lambda n: st.zeros((2, n)), 2),
    "eye": (lambda n: st.eye(3, n), 2),
    "uniform": (lambda n: st.RandomStream(0).uniform((n,)), 2),
    "broadcast_to": (lambda n: st.broadcast_to(X, (n, 4, 6)), 2),
    "reshape": (lambda n: st.reshape(X, (n, -1)), 2),
}


@pytest.mark.parametrize("bad", [-3, np.int64(-3), 2.5, np.float32(2), "2"], ids=repr)
@pytest.mark.parametrize("op", COUNTS)
def test_a_bad_count_is_refused_when_built(op, bad):
    build, _ = COUNTS[op]
    with pytest.raises((st.AttributeValueError, st.ShapeError)) as caught:
        build(bad)
    assert "found" in caught.value.message
    assert caught.value.place.file == __file__


@pytest.mark.parametrize("op", COUNTS)
def test_whatever_is_an_integer_will_do(op):
    build, good = COUNTS[op]
    assert build(np.int64(good)).type == build(np.array(good)).type == build(good).type


# what takes an integer of either sign, and one
INTEGERS = {
    "roll": (lambda n: st.roll(X, n, 1), 2),
    "rot90": (lambda n: st.rot90(X, n), 1),
    "diagonal": (lambda n: st.diagonal(X, n), 1),
    "reshape": (lambda n: st.reshape(X, (n, 24)), -1),
    "matrix_power": (lambda n: st.linalg.matrix_power(st.eye(3), n), 2),
    "randint": (lambda n: st.RandomStream(0).randint((2,), n, 9), 2),
    "windows axis": (lambda n: st.windows(X, 2, n), 1),
    "average": (lambda n: st.average(X, n, np.ones(4)), 0),
    "arange step": (lambda n: st.arange(0, N, n), 2),
    "eye": (lambda n: st.eye(3, 3, n), 1),
    "tril": (lambda n: st.tril(X, n), -1),
    "triu": (lambda n: st.triu(X, n), 1),
    "tensordot": (lambda n: st.tensordot(X, st.transpose(X), n), 1),
    "seed": (lambda n: st.RandomStream(n).uniform((2,)), 1),
}


@pytest.mark.parametrize("op", INTEGERS)
def test_other_integers(op):
    build, good = INTEGERS[op]
    assert build(np.int64(good)).ndim == build(np.array(good)).ndim == build(good).ndim
    with pytest.raises((st.AttributeValueError, st.ShapeError, st.DTypeError)):
        build(good + 0.5)


def test_transpose_takes_one_integer():
    assert V.transpose(np.int64(0)) is V
    for given in ((np.array([1, 0]),), ([1, 0],), (1, np.int64(0)), (None,), ()):
        assert X.transpose(*given).node is X.transpose(1, 0).node


FEWER = N - 10
CALLED = {
    "scan": lambda: looped(FEWER),
    "last of a scan": lambda: looped(FEWER)[-1:],
    "scan of rows": lambda: summed(FEWER),
    "state of a scan": lambda: st.scan(lambda h: st.zeros((3,)), None, [V[:3]], n_steps=FEWER)[0],
    "until": lambda: st.scan(
        lambda h: (h + 1, st.until(h[0] > 9)), None, [st.zeros((3,))], n_steps=FEWER
    )[0],
    "tensor": lambda: looped(st.cast(st.sum(V), "int64") - 10),
    "repeat": lambda: st.repeat(V, FEWER),
    "tile": lambda: st.tile(V, FEWER),
    "zeros": lambda: st.zeros((FEWER,)),
    "sum of nothing": lambda: st.sum(st.ones((FEWER, FEWER)) * V[0]),
    "mean": lambda: st.mean(st.ones((FEWER, 2)) * V[0]),
    "product": lambda: st.ones((2, FEWER)) @ (st.ones((FEWER, 3)) * V[0]),
    "concatenate": lambda: st.concatenate([st.zeros((FEWER,)), V]),
    "max": lambda: st.max(st.ones((FEWER,)) * V[0]),
    "eye": lambda: st.sum(st.eye(FEWER) * V[0]),
    "one_hot": lambda: st.one_hot(st.constant([0, 1]), FEWER),
    "pad": lambda: st.pad(V, FEWER),
    "pad before": lambda: st.pad(V, ((N - 7, 3),), mode="edge"),
    "pad after": lambda: st.pad(V, ((3, N - 7),), mode="wrap"),
    "reshape": lambda: st.reshape(V, (N - 6, N - 10)),
    "uniform": lambda: st.RandomStream(0).uniform((FEWER,)) + 0 * V[0],
    "bincount": lambda: st.bincount(st.cast(V, "int64"), FEWER),
}


@others
@pytest.mark.parametrize("op", CALLED)
def test_a_bad_count_is_refused_alike_when_called(op, engine):
    built = CALLED[op]()
    said = []
    for name in ("numpy", engine):
        f = st.function([V], built, engine=name, on_unused_input="ignore")
        with pytest.raises((st.AttributeValueError, st.ShapeError)) as caught:
            f(np.ones(5, "float32"))
        assert caught.value.place.file == __file__
        assert "negative" in caught.value.message or "at least 0" in caught.value.message
        f(np.ones(12, "float32")) if "reshape" not in op else None
        said.append(caught.value.message)
    assert said[0] == said[1]


WIDTHS = {  # pairs of widths that 5 elements make wrong, and what is said of them
    "before": (((N - 7, 3),), 0.0, "found -2 before and 3 after axis 0 of size 5"),
    "after": (((3, N - 7),), 0.0, "found 3 before and -2 after axis 0 of size 5"),
    "both": (N - 7, 0.0, "found -2 before and -2 after axis 0 of size 5"),
    "more than there is": (N - 20, 0.0, "found -15 before and -15 after axis 0 of size 5"),
    "of two values": (((2, N - 7),), ((1.0, 2.0),), "found 0 before and -2 after axis 0 of size 7"),
}


@engines
@pytest.mark.parametrize("case", WIDTHS)
def test_a_negative_width_is_named(case, engine):
    widths, values, text = WIDTHS[case]
    f = st.function([V], st.pad(V, widths, constant_values=values), engine=engine)
    with pytest.raises(st.ShapeError, match=f"a width must not be negative, {text}") as caught:
        f(np.ones(5, "float32"))
    assert (caught.value.code, caught.value.op) == ("ST0110", "place")
    assert "st.pad(V, widths" in caught.value.place.source


@engines
def test_the_place_of_nothing_does_not_matter(engine):
    slope = st.gradients(st.sum(V[9:] ** 2), V)
    f = st.function([V], slope, engine=engine)
    np.testing.assert_array_equal(f(np.ones(5, "float32")), np.zeros(5))


@engines
def test_a_count_that_is_data_counts(engine):
    n = st.placeholder((), "int64", name="n")
    f = st.function([n], looped(n), engine=engine)
    assert f(4).shape == (4, 3)
    assert f(0).shape == (0, 3)
    with pytest.raises(st.AttributeValueError, match="at least 0, found -3"):
        f(-3)


def test_a_count_that_is_a_tensor_is_an_integer():
    with pytest.raises(st.DTypeError, match="integer scalar"):
        looped(st.placeholder((), name="n"))


@engines
@pytest.mark.parametrize("mode", ["constant", "edge", "wrap", "reflect", "symmetric"])
def test_widths_that_are_differences_of_sizes(mode, engine):
    x = np.arange(1, 10, dtype="float32")
    y = st.pad(V, ((N - 7, N - 6),), mode=mode)
    f = st.function([V], [y, st.gradients(st.sum(y * y), V)], engine=engine)
    padded, slope = f(x)
    np.testing.assert_array_equal(padded, np.pad(x, (2, 3), mode))
    counts = [(padded == v).sum() for v in x]
    np.testing.assert_allclose(slope, 2 * x * counts)


NOTHING = {
    "reflected, then its maximum": lambda v: st.max(st.pad(v, 3, mode="reflect")),
    "a maximum, then reflected": lambda v: st.max(v) + st.pad(v, 3, mode="reflect"),
    "indexed": lambda v: v[st.constant([0, 1])],
    "set": lambda v: st.put_along_axis(v, st.constant([0, 1]), 1.0, 0),
    "after a guard": lambda v: st.specify_shape(v, (2,)) + v[st.constant([0, 1])],
    "before a guard": lambda v: v[st.constant([0, 1])] + st.specify_shape(v * 2, (2,)),
    "in a loop": lambda v: st.map_(lambda i: v[st.cast(i, "int64")], st.arange(3)),
}


@others
@pytest.mark.parametrize("op", NOTHING)
def test_nothing_is_refused_alike(op, engine):
    """Of two things wrong with the sizes the first one is told."""
    said = []
    for name in ("numpy", engine):
        f = st.function([V], NOTHING[op](V), engine=name, passes=[])
        with pytest.raises((st.IndexOutOfRange, st.ShapeError)) as caught:
            f(np.ones(0, "float32"))
        said.append((type(caught.value), caught.value.message))
    assert said[0] == said[1]
