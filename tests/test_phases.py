"""Kernels of several loops and folds: each is shared by threads, and nothing depends on how."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import cuts, driver, jit, program, target

RNG = np.random.default_rng(5)
PART = cuts.PART
EDGES = [
    0,
    1,
    PART - 1,
    2 * PART,
    2 * PART + 1,
    5 * PART - 7,
    63 * PART + 13,
    70 * PART,
    131 * PART + 1,
]


@pytest.fixture(params=[1, 2, 3, 7])
def number_of_threads(request, with_threads):
    with_threads(request.param)
    return request.param


def compiled(inputs, outputs):
    return st.function(inputs, outputs, engine="llvm")


def has_phases(f):
    return any(
        call.phases[1:] and call.shared for call in f.executable.program.drivers[driver.NAME]
    )


FOLDS = {
    "sum": (
        lambda x: st.sum(x),
        lambda a: np.sum(a, dtype=np.float64 if a.dtype.kind == "f" else None),
    ),
    "max": (lambda x: st.max(x, initial=0), lambda a: np.max(a, initial=0)),
    "min": (lambda x: st.min(x, initial=0), lambda a: np.min(a, initial=0)),
    "any": (lambda x: st.any(x > 3), lambda a: np.any(a > 3)),
    "all": (lambda x: st.all(x > -4), lambda a: np.all(a > -4)),
}


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "int64", "uint32"]
)
def test_folds_to_one_value_are_right_at_the_ends_of_parts(fold, dtype):
    build, truth = FOLDS[fold]
    x = st.placeholder((None,), dtype)
    f = compiled([x], build(x))
    assert has_phases(f)
    for n in EDGES:
        given = (RNG.standard_normal(n) * 2).astype(x.dtype.numpy)
        if dtype == "uint32":
            given = given % 90
        wanted = truth(given.astype("float32") if dtype == "bfloat16" else given)
        tolerance = {"float16": 2e-3, "bfloat16": 1e-2}.get(dtype, 1e-6)
        found, near = np.asarray(f(given), "float64"), max(tolerance, 1e-9 * n)  # sums cancel
        np.testing.assert_allclose(found, np.float64(wanted), rtol=tolerance, atol=near)


def test_products_and_integers_are_exact():
    x = st.placeholder((None,), "int64")
    f = compiled([x], [st.prod(x), st.sum(x)])
    for n in EDGES[1:]:
        given = RNG.integers(1, 1 << 40, n) | 1
        product, total = f(given)
        assert product == np.prod(given) and total == np.sum(given)


@pytest.mark.parametrize("find, truth", [(st.argmax, np.argmax), (st.argmin, np.argmin)])
def test_the_first_extremum_is_found_over_all_parts(find, truth):
    x = st.placeholder((None,))
    f = compiled([x], find(x, 0))
    assert has_phases(f)
    for n in EDGES[1:]:
        for given in (
            RNG.integers(-3, 3, n).astype("float32"),  # many of equal value
            np.zeros(n, "float32"),
            np.full(n, np.inf if find is st.argmin else -np.inf, "float32"),
            RNG.standard_normal(n).astype("float32"),
        ):
            assert f(given) == truth(given)
            for places in (RNG.integers(0, n, 2), [n - 1]):
                given[places] = np.nan
                assert f(given) == truth(given)


def test_values_that_are_not_numbers_come_through():
    x = st.placeholder((None,))
    f = compiled([x], [st.sum(x), st.max(x), st.min(x)])
    n = 5 * PART
    for place in (0, PART, 3 * PART + 5, n - 1):
        given = RNG.standard_normal(n).astype("float32")
        given[place] = np.nan
        assert all(np.isnan(v) for v in f(given))
        given[place] = np.inf
        total, largest, smallest = f(given)
        assert total == np.inf and largest == np.inf and smallest == given.min()
        given[(place + PART) % n] = -np.inf
        total, largest, smallest = f(given)
        assert np.isnan(total) and largest == np.inf and smallest == -np.inf


def test_long_sums_stay_as_exact_as_the_compensated_one():
    x = st.placeholder((None,))
    f = compiled([x], st.sum(x))
    given = RNG.standard_normal(131 * PART + 77).astype("float32") + 3
    exact = given.astype("float64").sum()
    assert abs(f(given) - exact) <= 2 * np.spacing(np.float32(exact))


def several(x, y):
    """Return kernels of many phases: folds that need others, loops after folds, joins, paddings."""
    spread = st.sqrt(st.mean((x - st.mean(x)) ** 2))
    return [
        spread, (x - st.mean(x)) / spread, st.softmax(x), st.log_softmax(y), st.logsumexp(x * 2),
        st.concatenate([st.exp(x), y * 2, x - 1]), st.pad(st.tanh(y), 3), st.cumsum(x) / st.max(y),
        st.sum(x * y) / st.sqrt(st.sum(x * x) * st.sum(y * y)),
    ]  # fmt: skip


@pytest.mark.parametrize("n", [5, 3000, 4 * PART + 11, 40 * PART + 3])
def test_phases_follow_each_other(n, number_of_threads):
    xs = [st.placeholder((None,), "float64") for _ in range(2)]
    f, reference = (st.function(xs, several(*xs), engine=e) for e in ("llvm", "numpy"))
    given = [np.random.default_rng(seed).standard_normal(n) for seed in (1, 2)]
    if number_of_threads == 1:
        for found, wanted in zip(f(*given), reference(*given), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)
    _bits.setdefault(n, f(*given))
    for _ in range(3):
        for found, first in zip(f(*given), _bits[n], strict=True):
            np.testing.assert_array_equal(found.view("int64"), first.view("int64"))


_bits = {}
"""What is computed -> what the first number of threads gave."""


@pytest.mark.parametrize("shape", [(3, 70_000), (70_000, 3), (260, 257), (1, 1), (0, 5), (5, 0)])
def test_rows_that_do_not_follow_each_other_are_cut_between_rows(shape, number_of_threads):
    x, b = st.placeholder((None, None)), st.placeholder((None,))
    f = compiled(
        [x, b],
        [
            st.sum(st.transpose(x) * b[:, None]),
            st.sum(x[::2] * x[::2]),
            st.max(x[:, 1:], initial=0),
        ],
    )
    a, c = (
        RNG.standard_normal(shape).astype("float32"),
        RNG.standard_normal(shape[1]).astype("float32"),
    )
    total, squares, largest = f(a, c)
    np.testing.assert_allclose(total, (a.T * c[:, None]).sum(dtype="float64"), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(squares, (a[::2].astype("float64") ** 2).sum(), rtol=1e-5)
    assert largest == a[:, 1:].max(initial=0)


COLUMNS = [1, 2, 3, 7, 10, 16, 31, 32, 100, 256, 300, 511]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "bool"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_folds_to_a_few_columns_are_right_at_the_ends_of_parts(columns, dtype):
    x = st.placeholder((None, columns), dtype)
    f = compiled([x], [st.sum(x, 0), st.max(x, 0, initial=0), st.argmax(x, 0), st.any(x, 0)])
    assert has_phases(f)
    least = max(cuts.ROUNDS, PART // columns)
    for n in (1, least - 1, 2 * least + 1, 3 * least + 77):
        given = (RNG.standard_normal((n, columns)) * 2).astype(dtype)
        total, largest, place, some = f(given)
        exact = given.sum(0, dtype="float64") if given.dtype.kind == "f" else given.sum(0)
        near = {"float16": 0.1}.get(dtype, 1e-7 * n)
        np.testing.assert_allclose(
            total.astype("float64"), exact, rtol=2e-3 if near > 0.01 else 1e-6, atol=near
        )
        np.testing.assert_array_equal(largest, given.max(0, initial=0))
        np.testing.assert_array_equal(place, given.argmax(0))
        np.testing.assert_array_equal(some, given.any(0))


@pytest.mark.parametrize("columns", COLUMNS)
def test_statistics_of_channels_have_the_same_bits_with_any_number_of_threads(
    columns, number_of_threads
):
    x, scale = st.placeholder((None, 5, columns)), st.placeholder((columns,))
    mean = st.mean(x, (0, 1))
    f = compiled([x, scale], [mean, st.var(x, (0, 1)), st.sum(x * scale * st.relu(x), (0, 1))])
    n = max(cuts.ROUNDS, PART // columns)
    rng = np.random.default_rng(columns)
    a, b = (rng.standard_normal(s).astype("float32") for s in ((n, 5, columns), columns))
    found = f(a, b)
    if number_of_threads == 1:
        exact = a.astype("float64")
        wanted = (
            exact.mean((0, 1)),
            exact.var((0, 1)),
            (exact * b * np.maximum(exact, 0)).sum((0, 1)),
        )
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    first = _bits.setdefault(("channels", columns), found)
    for one, other in zip(found, first, strict=True):
        np.testing.assert_array_equal(one.view("int32"), other.view("int32"))


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_few_long_rows_are_cut(rows):
    x = st.placeholder((rows, None))
    f = compiled([x], [st.sum(x, 1), st.argmax(x, 1), st.std(x, 1)])
    assert has_phases(f)
    for n in (1, 2 * PART + 1, 70 * PART + 3):
        given = RNG.standard_normal((rows, n)).astype("float32")
        total, place, spread = f(given)
        np.testing.assert_allclose(total, given.sum(1, dtype="float64"), rtol=1e-5, atol=1e-9 * n)
        np.testing.assert_array_equal(place, given.argmax(1))
        np.testing.assert_allclose(spread, given.std(1, dtype="float64"), rtol=1e-5)


def test_refused_indices_are_told_from_every_phase():
    x, i = st.placeholder((None,)), st.placeholder((None,), "int64")
    taken = x[i]
    f = compiled([x, i], [st.sum(taken), taken / st.max(taken)])
    given, places = np.arange(1.0, 100.0, dtype="float32"), np.zeros(5 * PART, "int64")
    total, _ = f(given, places)
    assert total == 5 * PART
    for place in (0, 2 * PART, 5 * PART - 1):
        places[place] = 99
        with pytest.raises(st.IndexOutOfRange, match="99"):
            f(given, places)
        places[place] = 0


def test_phases_run_in_loops():
    x = st.placeholder((None, None))
    norms, _ = st.scan(lambda row: st.sqrt(st.sum(row * row)), [x])
    f = compiled([x], norms)
    a = RNG.standard_normal((7, 3 * PART)).astype("float32")
    np.testing.assert_allclose(f(a), np.linalg.norm(a.astype("float64"), axis=1), rtol=1e-6)


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2", "neon", "apple", "windows"])
def test_phases_compile_for_every_machine(name):
    x = st.placeholder((None,))
    chosen = target.named(name)
    z = st.placeholder((None, 37))
    roots = st.softmax(x).node, st.argmax(x, 0).node, st.var(z, 0).node
    graph = st.Graph((x.node, z.node), roots)
    assembly = jit.emit_assembly(program.build_program(graph, chosen).llvm_ir, chosen)
    assert "kernel0.2" in assembly


@pytest.mark.parametrize(
    "fold, shape", [(st.sum, (2, 100)), (st.var, (100, 256)), (st.std, (4, 900))]
)
def test_short_folds_are_one_function(fold, shape):
    x = st.placeholder(shape)
    f = compiled([x], fold(x, 0))
    assert not has_phases(f)
