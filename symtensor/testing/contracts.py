"""What every engine must keep apart from numbers; one function per promise.

Each takes an engine and raises `AssertionError` when the promise is broken. They go through
`symtensor.function`, or through the executable itself where the promise is about that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from symtensor.engines.base import Engine
from symtensor.errors import (
    AssertionFailed,
    IndexOutOfRange,
    LinAlgError,
    ShapeError,
    SymtensorError,
)
from symtensor.function import function
from symtensor.ir.graph import Graph
from symtensor.ir.tensor import Tensor
from symtensor.ops import (
    contraction,
    creation,
    effects,
    elementwise,
    indexing,
    joining,
    linalg,
    movement,
    reduction,
    statistics,
    subscript,
    trigonometry,
)
from symtensor.ops.inputs import constant, dim_value, placeholder
from symtensor.ops.variables import variable
from symtensor.source import user_location

Array = np.ndarray[Any, Any]
Contract = Callable[[Engine], None]


def _execute(
    engine: Engine, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arrays: Sequence[Array]
) -> list[Array]:
    graph = Graph(tuple(x.node for x in inputs), tuple(y.node for y in outputs))
    return engine.compile(graph)(arrays, [])


# --- results -------------------------------------------------------------------------------------


def results_are_fresh(engine: Engine) -> None:
    """Inputs, views of them, constants and repeated results all come back as separate arrays."""
    x = placeholder((2, 3), "float64")
    fixed = constant(np.ones((2, 3)))
    y = elementwise.exp(x)
    views = [x.T, x[0], x.reshape(6), movement.broadcast_to(x, (2, 2, 3))]
    array = np.arange(6.0).reshape(2, 3)
    executable = engine.compile(
        Graph((x.node,), tuple(t.node for t in (x, x, *views, fixed, fixed, y, y, y[0])))
    )
    first = executable([array], [])
    kept = [value.copy() for value in first]
    for a, b in itertools.combinations([array, *first], 2):
        assert not np.shares_memory(a, b), "two results, or a result and an input, share memory"
    for value in first:
        value[...] = -1.0
    np.testing.assert_array_equal(array, np.arange(6.0).reshape(2, 3))
    for value, before in zip(executable([array], []), kept, strict=True):
        np.testing.assert_array_equal(value, before)


def results_are_plain_arrays(engine: Engine) -> None:
    """Results are writeable C-contiguous arrays of the declared dtype, 0-d ones included."""
    x = placeholder((3, 4), "float32")
    outputs = [x.T, movement.flip(x), reduction.sum(x), x[:, ::2], x[1, 2]]
    arrays = _execute(engine, [x], outputs, [np.ones((3, 4), "f4")])
    for tensor, value in zip(outputs, arrays, strict=True):
        assert type(value) is np.ndarray and value.dtype == tensor.dtype.numpy
        assert value.flags.c_contiguous and value.flags.writeable and value.flags.aligned
        assert value.shape == tensor.shape


def results_in_order(engine: Engine) -> None:
    """Outputs come first, in order, then the next values of the updates."""
    x, v, w = placeholder((), "float64"), variable(np.array(1.0)), variable(np.array(2.0))
    graph = Graph(
        (x.node,),
        ((x + 1.0).node, (w * 1.0).node),
        ((w.node, (x * v).node), (v.node, (x + w).node)),
    )
    state = [node.attrs["store"].array for node in graph.variables()]
    values = engine.compile(graph)([np.array(5.0)], state)
    assert [float(value) for value in values] == [6.0, 2.0, 5.0, 7.0]


def inputs_are_never_written(engine: Engine) -> None:
    """Read-only arrays are accepted, and no argument changes."""
    x = placeholder((4,), "float64")
    v = variable(np.arange(4.0))
    graph = Graph((x.node,), ((x * x + v).node, (-x).node), ((v.node, (v + 1.0).node),))
    executable = engine.compile(graph)
    for writeable in (True, False):
        array, state = np.arange(4.0), np.arange(4.0)
        array.flags.writeable = state.flags.writeable = writeable
        outputs = executable([array], [state])
        np.testing.assert_array_equal(array, np.arange(4.0))
        np.testing.assert_array_equal(state, np.arange(4.0))
        np.testing.assert_array_equal(outputs[0], [0.0, 2.0, 6.0, 12.0])
        np.testing.assert_array_equal(outputs[2], [1.0, 2.0, 3.0, 4.0])


# --- arguments -----------------------------------------------------------------------------------


def memory_layouts(engine: Engine) -> None:
    """C and Fortran order, negative and zero strides, slices, unaligned memory all read right."""
    base = np.arange(48.0).reshape(6, 8)
    raw = np.zeros(base.nbytes + 1, np.uint8)[1:]
    unaligned = raw.view(np.float64).reshape(6, 8)
    unaligned[...] = base
    x = placeholder((None, None), "float64")
    outputs = [elementwise.exp(x * 0.01), reduction.sum(x, 1), contraction.dot(x, x.T)]
    executable = engine.compile(Graph((x.node,), tuple(y.node for y in outputs)))
    layouts = [
        base, np.asfortranarray(base), base[::-1, ::-1], base[::2, 1::3], base.T, unaligned,
        np.broadcast_to(base[:1], (6, 8)), np.broadcast_to(base[:, :1], (6, 8)),
        base[2:2], base[:, 3:3],
    ]  # fmt: skip
    for a in layouts:
        exp, total, product = executable([a], [])
        np.testing.assert_allclose(exp, np.exp(a * 0.01), rtol=1e-14)
        np.testing.assert_allclose(total, a.sum(1), rtol=1e-14)
        np.testing.assert_allclose(product, a @ a.T, rtol=1e-12)


def the_same_array_twice(engine: Engine) -> None:
    """One array, or overlapping views of one, may be passed for several inputs."""
    x, y = placeholder((3,), "float64"), placeholder((3,), "float64")
    base = np.arange(5.0)
    for a, b in ((base[:3], base[:3]), (base[:3], base[1:4]), (base[2::-1], base[:3])):
        added, product = _execute(engine, [x, y], [x + y, x * y], [a, b])
        np.testing.assert_array_equal(added, a + b)
        np.testing.assert_array_equal(product, a * b)


def one_compile_for_all_sizes(engine: Engine) -> None:
    """An executable with unknown sizes serves any size, 0 and 1 included."""
    x, w = placeholder(("n", 3), "float64"), placeholder((3, None), "float64")
    y = reduction.sum(trigonometry.tanh(contraction.dot(x, w)), 0) * dim_value(x.shape[0])
    f = function([x, w], [y, x.shape[0]], engine=engine)
    rng = np.random.default_rng(0)
    for n, m in ((4, 2), (1, 1), (0, 5), (7, 0), (33, 17), (4, 2)):
        a, b = rng.standard_normal((n, 3)), rng.standard_normal((3, m))
        value, size = f(a, b)
        np.testing.assert_allclose(value, np.tanh(a @ b).sum(0) * n, rtol=1e-12, atol=1e-14)
        assert size == n
    assert f.compile_count == 1


def zero_and_many_axes(engine: Engine) -> None:
    """0-d tensors and tensors of six axes work."""
    x, y = placeholder((), "float64"), placeholder((2, 1, 2, 1, 3, 1), "float64")
    a, b = np.array(2.0), np.arange(12.0).reshape(2, 1, 2, 1, 3, 1)
    out = _execute(engine, [x, y], [x * x, x + y, reduction.sum(y, (0, 4)) - x], [a, b])
    np.testing.assert_array_equal(out[0], 4.0)
    np.testing.assert_array_equal(out[1], b + 2.0)
    np.testing.assert_array_equal(out[2], b.sum((0, 4)) - 2.0)


# --- errors --------------------------------------------------------------------------------------


def _fails(
    kind: type[SymtensorError], engine: Engine, inputs: Sequence[Tensor], y: Tensor, *args: Any
) -> SymtensorError:
    f = function(inputs, y, engine=engine)
    try:
        f(*args)
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, nothing was raised")


def _says_where(error: SymtensorError) -> bool:
    """Return True for an error with the user's line, where there is a user: not under `python -m`."""
    return error.location is not None or user_location() is None


def wrong_sizes_are_refused(engine: Engine) -> None:
    """Sizes that contradict the declared or each other's are `ShapeError`s that name the input."""
    x = placeholder((None, 3), name="rows")
    y = placeholder((x.shape[0],), name="weights")
    total = reduction.sum(x) + reduction.sum(y)
    error = _fails(ShapeError, engine, [x, y], total, np.ones((2, 4), "f4"), np.ones(2, "f4"))
    assert "rows" in str(error) and "3" in str(error)
    error = _fails(ShapeError, engine, [x, y], total, np.ones((2, 3), "f4"), np.ones(5, "f4"))
    assert "weights" in str(error)


def unequal_sizes_are_refused(engine: Engine) -> None:
    """Unknown sizes never broadcast: those that differ at run time are an error with the line."""
    x, y = placeholder((None,)), placeholder((None,))
    added = x + y
    for a, b in ((3, 4), (3, 1), (1, 3)):
        error = _fails(ShapeError, engine, [x, y], added, np.ones(a, "f4"), np.ones(b, "f4"))
        assert _says_where(error) and error.op


def indices_are_checked(engine: Engine) -> None:
    """An index outside its axis is an `IndexOutOfRange` (an IndexError), on read and on write."""
    x, i = placeholder((3,), "float64"), placeholder((None,), "int64")
    read, written = indexing.take(x, i), subscript.add_at(x, i, 1.0)
    base = np.arange(3.0)
    for bad in (3, -4, 2**40, -(2**40)):
        for y in (read, written):
            error = _fails(IndexOutOfRange, engine, [x, i], y, base, np.array([0, bad]))
            assert _says_where(error)
    value = function([x, i], read, engine=engine)(base, np.array([-1, 0, 2]))
    np.testing.assert_array_equal(value, [2.0, 0.0, 2.0])


def failed_assertions_are_raised(engine: Engine) -> None:
    """An `assert_` whose condition is false ends the call, with its message."""
    x = placeholder((None,))
    y = effects.assert_(x, x > 0, "must be positive") * 2.0
    error = _fails(AssertionFailed, engine, [x], y, np.array([1, -1], "f4"))
    assert "must be positive" in str(error)


def singular_matrices_are_refused(engine: Engine) -> None:
    """A matrix without the result that was asked for is a `LinAlgError`."""
    x = placeholder((2, 2), "float64")
    _fails(LinAlgError, engine, [x], linalg.cholesky(x), -np.eye(2))
    _fails(LinAlgError, engine, [x], linalg.inv(x), np.zeros((2, 2)))


# --- updates -------------------------------------------------------------------------------------


def updates_are_simultaneous(engine: Engine) -> None:
    """All next values come from old values; outputs see old values."""
    a, b = variable(np.array([1.0, 2.0])), variable(np.array([3.0, 4.0]))
    f = function([], [a, b], updates=[(a, b), (b, a[::-1])], engine=engine)
    first = f()
    np.testing.assert_array_equal(first, [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(a.get_value(), [3.0, 4.0])
    np.testing.assert_array_equal(b.get_value(), [2.0, 1.0])
    assert not np.shares_memory(a.get_value(borrow=True), b.get_value(borrow=True))


def a_failed_call_changes_nothing(engine: Engine) -> None:
    """When anything in a call fails, every variable keeps its value."""
    a, b = variable(np.arange(3.0)), variable(np.array(1.0))
    i = placeholder((), "int64")
    f = function([i], a + 1.0, updates=[(b, b + 1.0), (a, a * a[i])], engine=engine)
    before = a.get_value(borrow=True)
    for bad in (3, -4):
        try:
            f(bad)
        except IndexError:
            pass
        else:
            raise AssertionError("expected an IndexError")
        assert a.get_value(borrow=True) is before and b.get_value() == 1.0
    f(2)
    np.testing.assert_array_equal(a.get_value(), [0.0, 2.0, 4.0])
    assert b.get_value() == 2.0


def variables_may_change_size(engine: Engine) -> None:
    """A variable of unknown size can grow by its own update."""
    log = variable(np.zeros(0), shape=(None,))
    x = placeholder((), "float64")
    grown = joining.concatenate([log, movement.reshape(x, (1,))])
    f = function([x], updates=[(log, grown)], engine=engine)
    for value in (1.0, 2.0, 3.0):
        assert f(value) is None
    np.testing.assert_array_equal(log.get_value(), [1.0, 2.0, 3.0])


# --- many calls ----------------------------------------------------------------------------------


def threads_do_not_meet(engine: Engine) -> None:
    """Calls from several threads, of several sizes, give what they give alone."""
    x = placeholder((None, 8), "float64")
    y = trigonometry.tanh(contraction.dot(x, creation.ones((8, 8), "float64"))) + reduction.sum(x)
    f = function([x], y, engine=engine)
    count = variable(np.array(0))
    tick = function([], count, updates=[(count, count + 1)], engine=engine)
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((n % 7, 8)) for n in range(120)]
    alone = [f(a) for a in arrays]

    def work(a: Array) -> Array:
        tick()
        result: Array = f(a)
        return result

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(work, arrays))
    for value, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert count.get_value() == len(arrays), "updates by concurrent calls were lost"


def equal_calls_give_equal_bits(engine: Engine) -> None:
    """The same arguments give the same bits, call after call and compile after compile."""
    x = placeholder((None,), "float32")
    y = [reduction.sum(x), elementwise.exp(x), statistics.logsumexp(x)]
    a = np.random.default_rng(2).standard_normal(1003).astype("f4")
    runs = [function([x], y, engine=engine)(a) for _ in range(2)]
    runs.append(function([x], y, engine=engine)(a.copy()))
    for other in runs[1:]:
        for value, first in zip(other, runs[0], strict=True):
            assert value.tobytes() == first.tobytes()


CONTRACTS: tuple[Contract, ...] = (
    results_are_fresh, results_are_plain_arrays, results_in_order, inputs_are_never_written,
    memory_layouts, the_same_array_twice, one_compile_for_all_sizes, zero_and_many_axes,
    wrong_sizes_are_refused, unequal_sizes_are_refused, indices_are_checked,
    failed_assertions_are_raised, singular_matrices_are_refused, updates_are_simultaneous,
    a_failed_call_changes_nothing, variables_may_change_size, threads_do_not_meet,
    equal_calls_give_equal_bits,
)  # fmt: skip

NEEDS: dict[Contract, tuple[str, ...]] = {
    memory_layouts: ("symbolic",),
    one_compile_for_all_sizes: ("symbolic", "one_compile"),
    unequal_sizes_are_refused: ("symbolic",),
    indices_are_checked: ("bounds_error",),
    a_failed_call_changes_nothing: ("bounds_error",),
    variables_may_change_size: ("symbolic",),
    threads_do_not_meet: ("symbolic", "deterministic"),
    equal_calls_give_equal_bits: ("deterministic",),
}
"""Contract -> capabilities without which it does not apply."""
