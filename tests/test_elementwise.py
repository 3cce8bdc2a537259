"""Elementwise ops beyond what the catalogue checks per op: rules that agree with each other, kinks,
branches that are not taken, operands of all kinds, errors."""

import inspect

import numpy as np
import pytest

import symtensor as st
from symtensor.ops import special
from symtensor.ops.families import Elementwise
from symtensor.ops.interpret import run_graph
from symtensor.ops.registry import OPS
from symtensor.ops.scalars import CALLS, NumpyScalars
from symtensor.testing import checks, conformance
from symtensor.testing.compare import assert_close

INF, NAN = np.inf, np.nan
ENGINES = ("numpy", "llvm")
ELEMENTWISE = [name for name, op in OPS.items() if isinstance(op.family, Elementwise)]
SAMPLES = conformance.samples_by_op()
COMPOSED = {"softplus": 2, "logaddexp": 2, "logaddexp2": 2}
"""Ops whose scalar rule is a formula where NumPy has one function: ULP allowed between the two."""


def value(tensor, feeds=None, engine="numpy"):
    return tensor.eval(feeds or {}, engine=engine)


def slope(build, at, seed=None, engine="numpy"):
    """The derivative of sum(seed * build(x)) at the points `at`."""
    at = np.asarray(at)
    x = st.placeholder(at.shape, "float64")
    y = build(x)
    loss = st.sum(y if seed is None else y * np.asarray(seed))
    return value(st.gradients(loss, x), {x: at}, engine)


# --- two rules of one op say the same ------------------------------------------------------------


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_scalar_rule_agrees_with_evaluate(name):
    scalars, seen = NumpyScalars(), []

    def compare(node, operands, computed):
        if node.op.name == name:
            seen.append(node)
            with np.errstate(all="ignore"):
                found = node.op.family.scalar(scalars, *operands, **node.attrs)
            assert_close(np.asarray(found), np.asarray(computed), ulp=COMPOSED.get(name, 0))
        return computed

    for sample in SAMPLES[name]:
        if sample.truth is not None:
            arrays = [np.asarray(a, order="C") for a in sample.inputs]
            run_graph(checks.sample_graph(sample), arrays, watch=compare)
    assert seen


def test_the_vocabulary_is_covered():
    assert set(special.CALLS) == set(CALLS)


def test_declared_laws_hold():
    """`commutative` and `linear` are promises that passes build on."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50))
    for name in ELEMENTWISE:
        op = OPS[name]
        if op.commutative:
            a, b = (x > 0, y > 0) if name.startswith(("logical", "bitwise")) else (x, y)
            np.testing.assert_array_equal(op.evaluate(np, a, b), op.evaluate(np, b, a), name)
        if op.linear and name not in ("cast", "where"):
            operands = (x, y)[: len(op.linear)]
            doubled = op.evaluate(np, *(2 * v for v in operands))
            np.testing.assert_array_equal(doubled, 2 * op.evaluate(np, *operands), name)


# --- special functions at the ends of their range ------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_lgamma_at_the_ends_of_the_range(engine):
    at = np.array([-INF, INF, 1e306, -1.7e308, 0.0, -3.0, NAN, 1.0, 2.0])
    x = st.placeholder(at.shape, "float64")
    expected = [INF, INF, INF, INF, INF, INF, NAN, 0.0, 0.0]
    np.testing.assert_array_equal(value(st.lgamma(x), {x: at}, engine), expected)


# --- gradients -----------------------------------------------------------------------------------

KINKS = {
    "relu": (st.relu, 0.0, 0.0),
    "abs": (st.abs, 0.0, 0.0),
    "sqrt": (st.sqrt, 0.0, INF),
    "maximum of itself": (lambda x: st.maximum(x, x), 1.0, 1.0),
    "maximum at a tie": (lambda x: st.maximum(x, 2.0), 2.0, 0.5),
    "minimum at a tie": (lambda x: st.minimum(2.0, x), 2.0, 0.5),
    "fmax at a tie": (lambda x: st.fmax(x, 2.0), 2.0, 0.5),
    "fmax beside NaN": (lambda x: st.fmax(x, NAN), 2.0, 1.0),
    "clip inside": (lambda x: st.clip(x, 0, 1), 0.5, 1.0),
    "clip at the lower bound": (lambda x: st.clip(x, 0, 1), 0.0, 1.0),
    "clip at the upper bound": (lambda x: st.clip(x, 0, 1), 1.0, 1.0),
    "clip outside": (lambda x: st.clip(x, 0, 1), 2.0, 0.0),
    "clip at its only bound": (lambda x: st.clip(x, 0, None), 0.0, 1.0),
    "clip at its only upper bound": (lambda x: st.clip(x, None, 1), 1.0, 1.0),
    "0 ** y": (lambda y: st.power(0.0, y), 2.0, 0.0),
    "0 ** -y": (lambda y: st.power(0.0, y), -1.0, 0.0),
    "x ** 1 at 0": (lambda x: st.power(x, 1.0), 0.0, 1.0),
    "x ** 0 at 0": (lambda x: st.power(x, 0.0), 0.0, 0.0),
    "hypot at the origin": (lambda x: st.hypot(x, 0.0), 0.0, 0.0),
    "xlogy at 0": (lambda y: st.xlogy(0.0, y), 2.0, 0.0),
    "floor": (st.floor, 1.5, 0.0),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", KINKS)
def test_derivative_at_a_kink(name, engine):
    build, at, expected = KINKS[name]
    np.testing.assert_array_equal(slope(build, at, engine=engine), expected)


UNSELECTED = {
    "sqrt": (st.sqrt, [0.0, -1.0]), "log": (st.log, [0.0, -1.0]), "log2": (st.log2, [0.0]),
    "log10": (st.log10, [0.0]), "log1p": (st.log1p, [-1.0]), "rsqrt": (st.rsqrt, [0.0]),
    "cbrt": (st.cbrt, [0.0]), "reciprocal": (st.reciprocal, [0.0]), "exp": (st.exp, [1e3]),
    "exp2": (st.exp2, [2e3]), "expm1": (st.expm1, [1e3]), "sinh": (st.sinh, [1e3]),
    "cosh": (st.cosh, [1e3]), "arcsin": (st.arcsin, [1.0, 2.0]), "arccos": (st.arccos, [-1.0]),
    "arccosh": (st.arccosh, [1.0]), "arctanh": (st.arctanh, [1.0, -1.0]),
    "1 / x": (lambda x: 1 / x, [0.0]), "x / 0": (lambda x: x / (x * 0), [1.0, 0.0]),
    "x ** 0.5": (lambda x: x**0.5, [0.0]), "x ** -1.5": (lambda x: x**-1.5, [0.0]),
    "0 ** x": (lambda x: st.power(0.0, x), [-1.0]), "x % 0": (lambda x: 3.0 % x, [0.0]),
    "fmod": (lambda x: st.fmod(3.0, x), [0.0]), "lgamma": (st.lgamma, [0.0, -1.0]),
    "digamma": (st.digamma, [0.0]), "arctan2": (lambda x: st.arctan2(x, x), [0.0]),
    "hypot": (lambda x: st.hypot(x, x), [0.0]), "xlogy": (lambda x: st.xlogy(1.0, x), [0.0]),
    "logaddexp": (lambda x: st.logaddexp(x, -INF), [-INF]), "sin": (st.sin, [INF, -INF]),
    "cos": (st.cos, [INF]), "tan": (st.tan, [INF]), "power": (lambda x: x**x, [0.0, -1.5]),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", UNSELECTED)
def test_an_unselected_branch_sends_back_zero(name, engine):
    build, at = UNSELECTED[name]
    found = slope(lambda x: st.where(np.zeros(len(at), bool), build(x), 0.0), at, engine=engine)
    np.testing.assert_array_equal(found, np.zeros(len(at)))


def test_ties_share_between_operands():
    x, y = st.placeholder((3,), "float64"), st.placeholder((3,), "float64")
    feeds = {x: np.array([1.0, 2.0, 3.0]), y: np.array([2.0, 2.0, 2.0])}
    gx, gy = st.gradients(st.sum(st.maximum(x, y)), [x, y])
    np.testing.assert_array_equal(value(gx, feeds), [0, 0.5, 1])
    np.testing.assert_array_equal(value(gy, feeds), [1, 0.5, 0])


def test_clip_sends_the_cotangent_to_the_bound_that_decides():
    x, low, high = (st.placeholder((4,), "float64") for _ in range(3))
    feeds = {x: np.array([-1.0, 0.5, 2.0, 0.5]), low: np.array([0.0, 0, 0, 1]),
             high: np.array([1.0, 1, 1, -1])}  # fmt: skip
    y = st.clip(x, low, high)
    np.testing.assert_array_equal(value(y, feeds), [0, 0.5, 1, -1])
    found = [value(g, feeds) for g in st.gradients(st.sum(y), [x, low, high])]
    np.testing.assert_array_equal(found, [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]])


# --- comparisons are exact -----------------------------------------------------------------------

COMPARISONS = (st.less, st.less_equal, st.greater, st.greater_equal, st.equal, st.not_equal)


@pytest.mark.parametrize("number", [-1, -129, 300, 2**63, 2**64, -(2**63) - 1])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
@pytest.mark.parametrize("compare", COMPARISONS, ids=lambda f: f.__name__)
def test_python_integers_of_any_size_compare_exactly(compare, dtype, number):
    at = np.array([np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max], dtype)
    x = st.placeholder(at.shape, dtype)
    truth = getattr(np, compare.__name__)
    np.testing.assert_array_equal(value(compare(x, number), {x: at}), truth(at, number))
    np.testing.assert_array_equal(value(compare(number, x), {x: at}), truth(number, at))


def test_mixed_signs_compare_exactly_against_an_array():
    at = np.array([2**63, 5, 0], np.uint64)
    x = st.placeholder((3,), "uint64")
    for other in (np.array([-1, 5, -(2**63)]), [-1, 5, 0]):
        for compare in COMPARISONS:
            truth = getattr(np, compare.__name__)(at, other)
            np.testing.assert_array_equal(value(compare(x, other), {x: at}), truth)


# --- operands and errors -------------------------------------------------------------------------


def test_python_numbers_are_weak():
    for dtype in ("float16", "float32", "int8", "uint8"):
        x = st.placeholder((3,), dtype)
        assert st.add(x, 1).dtype is st.multiply(2, x).dtype is x.dtype
    assert st.add(st.placeholder((3,), "int32"), 1.5).dtype.name == "float64"
    assert st.add(st.placeholder((3,), "float32"), np.float64(1.5)).dtype.name == "float64"
    with pytest.raises(st.SymtensorError, match="300 does not fit"):
        st.add(st.placeholder((3,), "uint8"), 300)


def test_lists_and_arrays_are_operands():
    x = st.placeholder((2,), "float64")
    at = np.array([1.0, 2.0])
    np.testing.assert_array_equal(value(st.add(x, [3, 4]), {x: at}), [4, 6])
    np.testing.assert_array_equal(value(st.maximum([3, 1], x), {x: at}), [3, 2])
    np.testing.assert_array_equal(value(st.exp([0.0, 1.0])), np.exp([0.0, 1.0]))


def test_a_dtype_outside_the_domain_is_named():
    x = st.placeholder((2,), "float64")
    with pytest.raises(st.DTypeError, match="expected integers or bool, found float64") as caught:
        st.bitwise_and(x, x)
    assert "bitwise_and" in str(caught.value)
    with pytest.raises(st.DTypeError, match="expected numbers, found bool"):
        st.subtract(x > 0, x < 1)


def test_help_shows_the_operands():
    assert str(inspect.signature(st.exp)) == "(x, /)"
    assert str(inspect.signature(st.arctan2)) == "(y, x, /)"
    assert st.hypot.__doc__ and st.hypot.__name__ == "hypot"
    with pytest.raises(TypeError, match="hypot: expected 2 operands, found 1"):
        st.hypot(1.0)


@pytest.mark.parametrize("decimals", [0, 1, 3, -1, -2])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_round_as_numpy(dtype, decimals):
    at = np.array([15, 25, -15, 149.5, -250, 0.5, 2.675, -0.05]).astype(dtype)
    x = st.placeholder(at.shape, dtype)
    found = value(st.round(x, decimals), {x: at})
    np.testing.assert_array_equal(found, np.round(at, decimals), strict=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_integer_power_refuses_a_negative_exponent(engine):
    x = st.placeholder((2,), "int64")
    with pytest.raises(ValueError, match="negative"):
        value(st.power(2, x), {x: np.array([3, -1])}, engine)
    np.testing.assert_array_equal(value(st.power(-2, x), {x: np.array([63, 64])}, engine),
                                  np.power(-2, np.array([63, 64])))  # fmt: skip


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_an_integer_to_a_negative_power_is_no_matter_of_shapes(engine):
    x, y = st.placeholder((None,), "int32"), st.placeholder((None,), "int32")
    f = st.function([x, y], x**y, engine=engine)
    with pytest.raises(st.AttributeValueError, match="negative integer power"):
        f(np.array([2, 3], np.int32), np.array([1, -1], np.int32))
