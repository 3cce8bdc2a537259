"""Python operators, methods, NumPy's functions on tensors, and the public namespace."""

import inspect
import operator
import subprocess
import sys

import numpy as np
import pytest

import symtensor as st

A = np.array([[1.5, -2.0, 3.0], [0.5, 4.0, -1.0]])
B = np.array([[2.0, 0.5, -1.0], [3.0, -2.0, 2.5]])


def value(tensor, feeds=None):
    return tensor.eval(feeds or {}, engine="numpy")


def floats(shape=(2, 3)):
    return st.placeholder(shape, "float64", name="t")


# --- operators -----------------------------------------------------------------------------------

ARITHMETIC = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


@pytest.mark.parametrize("op", ARITHMETIC, ids=lambda op: op.__name__)
def test_float_operators_match_numpy(op):
    x, y = floats(), floats()
    feeds = {x: A, y: B}
    cases = ((op(x, y), op(A, B)), (op(x, 2), op(A, 2)), (op(2, x), op(2, A)), (op(A, y), op(A, B)))
    for found, expected in cases:
        np.testing.assert_array_equal(value(found, feeds), expected)


@pytest.mark.parametrize(
    "op", [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
)
def test_bit_operators_match_numpy(op):
    x = st.placeholder((3,), "int32")
    a = np.array([1, 6, -7], "int32")
    np.testing.assert_array_equal(value(op(x, 3), {x: a}), op(a, 3))
    np.testing.assert_array_equal(value(op(3, abs(x)), {x: a}), op(3, abs(a)))


def test_unary_operators_match_numpy():
    x, k = floats(), st.placeholder((3,), "int8")
    np.testing.assert_array_equal(value(-x, {x: A}), -A)
    np.testing.assert_array_equal(value(abs(x), {x: A}), abs(A))
    assert +x is x
    np.testing.assert_array_equal(value(~k, {k: np.int8([0, 1, -2])}), [-1, -2, 1])


def test_power_and_divmod_match_numpy():
    x = floats()
    np.testing.assert_allclose(value(2**x, {x: A}), 2**A, rtol=1e-15)
    np.testing.assert_array_equal(value(x**2, {x: A}), A**2)
    quotient, rest = divmod(x, 2)
    np.testing.assert_array_equal(value(quotient, {x: A}), A // 2)
    np.testing.assert_array_equal(value(rest, {x: A}), A % 2)


def test_equality_is_identity():
    x = floats()
    assert x == x
    assert x != x + 0
    assert {x: 1}[x] == 1
    np.testing.assert_array_equal(value(st.equal(x, 4.0), {x: A}), A == 4)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("sum", (0,)), ("prod", (1,)), ("mean", ()), ("var", (0,)), ("std", ((0, 1),)),
        ("max", (1,)), ("min", ()), ("any", (0,)), ("all", ()), ("argmax", (1,)), ("argmin", ()),
        ("cumsum", (1,)), ("reshape", (3, 2)), ("reshape", ((-1,),)), ("transpose", ()),
        ("transpose", (1, 0)), ("flatten", ()), ("clip", (-1.0, 2.0)), ("astype", ("int32",)),
        ("dot", (B.T,)),
    ],
)  # fmt: skip
def test_methods_match_numpy(name, args):
    x = floats()
    expected = getattr(A, name)(*args)
    found = value(getattr(x, name)(*args), {x: A})
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found.dtype == expected.dtype


def test_keepdims_and_ddof_of_methods():
    x = floats()
    np.testing.assert_allclose(
        value(x.var(0, keepdims=True, ddof=1), {x: A}), A.var(0, keepdims=True, ddof=1), rtol=1e-14
    )


@pytest.mark.parametrize(
    "index",
    [0, -1, (1, 2), slice(1), (slice(None), slice(None, None, -1)), (..., 0), (None, 0), [1, 0]],
    ids=str,
)
def test_indexing_matches_numpy(index):
    x = floats()
    np.testing.assert_array_equal(value(x[index], {x: A}), A[index])


def test_iteration_runs_over_the_first_axis():
    x = floats()
    rows = list(x)
    assert len(rows) == len(x) == 2
    np.testing.assert_array_equal(value(rows[1], {x: A}), A[1])


@pytest.mark.parametrize(
    "use",
    [bool, float, int, np.asarray, lambda x: [1][x], lambda x: 0 < x < 1, lambda x: x or 1],
)
def test_a_value_that_is_not_there_is_refused(use):
    with pytest.raises(st.SymbolicValueError, match="is symbolic"):
        use(st.placeholder((), "float64"))


def test_assignment_is_refused_with_the_functional_form():
    with pytest.raises(st.SymbolicValueError, match="set_at"):
        floats()[0] = 1.0


def test_python_scalars_are_weak_and_numpy_scalars_are_not():
    x = st.placeholder((2,), "float32")
    assert (x + 1.5).dtype is st.float32
    assert (1 / x).dtype is st.float32
    assert (x + np.float64(1.5)).dtype is st.float64
    assert (np.float64(1.5) + x).dtype is st.float64
    with pytest.raises(OverflowError, match="300 does not fit int8"):
        st.placeholder((2,), "int8") + 300


# --- NumPy's functions ---------------------------------------------------------------------------

FUNCTIONS = {
    "exp": np.exp,
    "add array": lambda t: np.add(B, t),
    "array + t": lambda t: B + t,
    "multiply": lambda t: np.multiply(t, 2),
    "matmul": lambda t: np.matmul(B.T, t),
    "array @ t": lambda t: B.T @ t,
    "sum": lambda t: np.sum(t, axis=0),
    "mean": lambda t: np.mean(t, 1, keepdims=True),
    "amax": lambda t: np.amax(t, axis=1),
    "concatenate": lambda t: np.concatenate([t, B], axis=1),
    "concat": lambda t: np.concat([B, t]),
    "stack": lambda t: np.stack([t, t * 2], axis=-1),
    "where": lambda t: np.where(t > 0, t, -1.0),
    "clip": lambda t: np.clip(t, -1, 2),
    "reshape": lambda t: np.reshape(t, (3, 2)),
    "transpose": np.transpose,
    "permute_dims": lambda t: np.permute_dims(t, (1, 0)),
    "einsum": lambda t: np.einsum("ij,kj->ik", t, B),
    "tensordot": lambda t: np.tensordot(t, B, axes=2),
    "dot": lambda t: np.dot(t, B.T),
    "maximum": lambda t: np.maximum(t, B),
    "true_divide": lambda t: np.true_divide(1, t),
    "mod": lambda t: np.mod(t, 2),
    "absolute": np.absolute,
    "radians": np.radians,
    "around": lambda t: np.around(t, 0),
    "expand_dims": lambda t: np.expand_dims(t, 0),
    "diff": lambda t: np.diff(t, 2),
    "ptp": lambda t: np.ptp(t, axis=0),
    "sort": lambda t: np.sort(t, axis=0),
    "cumsum": lambda t: np.cumsum(t, axis=1),
    "copy": np.copy,
    "norm": lambda t: np.linalg.norm(t),
    "solve": lambda t: np.linalg.solve(t @ t.T, np.ones(2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_functions_build_nodes(name):
    x = floats()
    built = FUNCTIONS[name](x)
    assert isinstance(built, st.Tensor)
    np.testing.assert_allclose(value(built, {x: A}), FUNCTIONS[name](A), rtol=1e-12)


def test_numpy_functions_of_the_type():
    x = st.placeholder((None, 3))
    assert np.shape(x) == x.shape
    assert np.ndim(x) == 2
    assert np.size(floats()) == 6


def test_numpys_divmod_gives_two_tensors():
    x = floats()
    quotient, rest = np.divmod(x, 2)
    assert (quotient.op.name, rest.op.name) == ("floor_divide", "remainder")


REFUSALS = {
    "no symbolic form": (lambda t: np.median(t), "numpy.median has no symbolic form"),
    "near name": (lambda t: np.cumulative_sum(t), "numpy.cumulative_sum has no symbolic form"),
    "ufunc": (lambda t: np.gcd(t, 1), "numpy.gcd has no symbolic form"),
    "linalg": (lambda t: np.linalg.eig(t), "numpy.linalg.eig has no symbolic form"),
    "reduce": (lambda t: np.add.reduce(t), r"numpy.add.reduce (?s:.*)use symtensor.sum"),
    "accumulate": (lambda t: np.multiply.accumulate(t), "use symtensor.cumprod"),
    "outer": (lambda t: np.multiply.outer(t, t), "use symtensor.outer"),
    "at": (lambda t: np.add.at(t, [0], 1), "use symtensor.add_at"),
    "out": (lambda t: np.add(t, 1, out=np.zeros((2, 3))), "can't be written into an array"),
    "out of a function": (lambda t: np.sum(t, out=np.zeros(())), "can't be written into an array"),
    "in place": (lambda t: np.copyto(np.zeros((2, 3)), t), "tensors are immutable"),
    "put_along_axis": (lambda t: np.put_along_axis(t, [[0]], 1, 0), "returns a new tensor"),
    "dtype": (lambda t: np.sum(t, dtype=int), r"symtensor.sum\(x, axis=None, \*, keepdims=False\)"),
    "where": (lambda t: np.add(t, 1, where=[True]), "unexpected keyword argument 'where'"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_numpy_can_and_symbols_cannot_is_a_type_error(name):
    call, message = REFUSALS[name]
    with pytest.raises(TypeError, match=message):
        call(floats())


def test_in_place_operators_on_arrays_are_refused():
    array = np.zeros((2, 3))
    with pytest.raises(TypeError, match=r"write `x = x \+ t`"):
        array += floats()


def test_in_place_operators_on_tensors_rebind():
    x = floats()
    y = x
    y += 1
    assert y is not x
    np.testing.assert_array_equal(value(y, {x: A}), A + 1)


# --- the namespace -------------------------------------------------------------------------------


def test_every_public_name_exists():
    missing = [name for name in st.__all__ if not hasattr(st, name)]
    assert missing == []


def test_the_namespace_is_small_enough_to_read():
    assert len(dir(st)) <= 400


def test_public_functions_are_documented():
    public = {name: getattr(st, name) for name in st.__all__}
    functions = {name: f for name, f in public.items() if inspect.isfunction(f)}
    assert len(functions) > 200
    assert [name for name, f in functions.items() if not f.__doc__] == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("reduce_sum", "symtensor calls it sum"),
        ("cholesky", "symtensor calls it linalg.cholesky"),
        ("inv", "symtensor calls it reciprocal or linalg.inv"),
        ("switch", "symtensor calls it where"),
        ("shared", "symtensor calls it variable"),
        ("grad", "symtensor calls it gradients"),
        ("unsqueeze", "symtensor calls it expand_dims"),
        ("sofmax", "did you mean softmax"),
    ],
)
def test_unknown_names_are_answered(name, answer):
    with pytest.raises(AttributeError, match=f"symtensor has no '{name}'; {answer}"):
        getattr(st, name)


def test_the_words_of_other_libraries_lead_to_public_names():
    from symtensor.vocabulary import OTHER_WORDS

    public = set(st.__all__)
    assert {ours for ours in OTHER_WORDS.values() if ours not in public} == set()
    assert {other for other in OTHER_WORDS if other in public} == set()


def test_importing_is_light():
    """Neither the compiler nor the graph library nor the engines are loaded by the import."""
    code = (
        "import sys, symtensor; heavy = {'llvmlite', 'networkx', 'scipy', 'symtensor.engines.llvm'}"
        "; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_subpackages_are_reachable_without_importing_them():
    assert st.testing.check_gradients.__name__ == "check_gradients"
