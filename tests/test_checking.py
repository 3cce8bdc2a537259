"""The self-check of functions: every fault that it is for is put in, and must be found and blamed."""

import subprocess
import sys

import numpy as np
import pytest

import symtensor as st
from symtensor.checking.agreement import Spread
from symtensor.checking.checked import CheckedFunction
from symtensor.engines.numpy import NumpyEngine
from symtensor.ir.graph import replace_nodes
from symtensor.ops.elementwise_rule import NUMERIC, elementwise
from symtensor.ops.interpret import run_graph
from symtensor.ops.registry import OPS
from symtensor.passes.pipeline import Pass


def vector(name="x", dtype="float64"):
    return st.placeholder((None,), dtype, name=name)


def here():
    return sys._getframe(1).f_lineno


def replacing(old, new):
    """Return a pass that replaces the op `old` by the op `new`."""

    def run(graph, fired):
        changes = {}
        for node in graph.nodes():
            if node.op.name == old:
                made = getattr(st, new)(*map(st.Tensor, node.inputs)).node
                changes[node] = made
                fired[f"{old} -> {new}"] += 1
        if not changes:
            return graph
        roots = replace_nodes(graph.roots, changes)
        return st.Graph(graph.inputs, tuple(roots[: len(graph.outputs)]), graph.updates)

    return Pass(f"wrong_{new}", run, "a fault put in by a test")


class Faulty:
    """The NumPy engine with a fault in its results."""

    name = "faulty"

    def __init__(self, fault):
        self.fault = fault
        self.inner = NumpyEngine()

    def capabilities(self):
        return self.inner.capabilities()

    def supports(self, node):
        return True

    def compile(self, graph):
        run = self.inner.compile(graph)
        return lambda inputs, variables: self.fault(run(inputs, variables), inputs, variables)


# --- passes and engines --------------------------------------------------------------------------


def test_a_pass_that_changes_values_is_named():
    x = vector()
    f = st.function([x], st.sin(x) + 1, passes=[replacing("sin", "tanh")], check=True)
    with pytest.raises(st.CheckError, match="the pass wrong_tanh changed") as caught:
        f(np.array([0.5, 1.0]))
    assert caught.value.code == "ST1501" and "sin -> tanh x1" in str(caught.value)
    assert "expected 1.479425538604203 at [0]" in str(caught.value)


def test_a_pass_that_changes_little_is_found_and_rounding_is_not():
    x = vector()
    tiny = st.function([x], st.sin(x) * (1 + 1e-12), check="passes")
    tiny(np.array([0.5, 1.0]))

    def run(graph, fired):
        old = st.Tensor(graph.outputs[0])
        return st.Graph(graph.inputs, ((old * (1 + 1e-12)).node,))

    f = st.function([x], st.sin(x), passes=[Pass("a_little", run, "a fault")], check="passes")
    with pytest.raises(st.CheckError, match="the pass a_little"):
        f(np.array([0.5, 1.0]))


def test_a_pass_that_breaks_an_invariant_is_named_when_compiling():
    x = vector()

    def run(graph, fired):
        return st.Graph((), graph.outputs)

    with pytest.raises(st.VerifyError, match="after loses_inputs"):
        st.function([x], st.sin(x), passes=[Pass("loses_inputs", run, "a fault")], check=True)


def test_stabilized_forms_pass_where_the_naive_form_is_wrong():
    x = vector()
    naive = [
        st.log(1 - st.sigmoid(x)), st.log(1 + x), st.log(st.sum(st.exp(x))), st.log(st.sigmoid(x)),
    ]  # fmt: skip
    f = st.function([x], naive, check=True)
    assert any(stage.changed for stage in f.passes)
    for value in (np.array([40.0, 1e-10, 3.0]), np.array([700.0, 1e-18, 0.0])):
        f(value)


def test_an_engine_that_differs_is_named():
    def fault(results, inputs, variables):
        return [r + 1e-6 for r in results]

    x = vector()
    f = st.function([x], st.sin(x), engine=Faulty(fault), check=True)
    with pytest.raises(st.CheckError, match="the engine faulty gives another output 0") as caught:
        f(np.array([0.5, 1.0]))
    assert caught.value.code == "ST1504"


def test_a_scalar_rule_that_contradicts_evaluate_is_blamed():
    twice = elementwise(
        "twice_of_a_test",
        NUMERIC,
        evaluate=lambda xp, x: xp.multiply(x, 2),
        scalar=lambda s, x: s.mul(x, s.const(3, s.dtype(x))),
        doc="A rule that is wrong natively.",
    )
    try:
        x = vector()
        y = st.exp(x) + 1
        z, line = twice(y), here()
        f = st.function([x], st.sum(z * y), engine="llvm", check="engine")
        with pytest.raises(st.CheckError, match="the engine llvm gives another output 0") as caught:
            f([0.0, 1.0])
    finally:
        del OPS["twice_of_a_test"]
    (label,) = caught.value.labels
    assert label.text == "twice_of_a_test(2.0) is 6.0 on llvm, 4.0 by its rule `evaluate`"
    assert (label.place.file, label.place.line) == (__file__, line)


def test_sums_in_another_order_are_rounding():
    rng = np.random.default_rng(0)
    x = vector(dtype="float32")
    f = st.function([x], [st.sum(x), st.sum(x * x), st.mean(st.sin(x))], check=True)
    f(rng.standard_normal(100_000).astype("float32"))


def test_the_spread_is_of_the_values_that_cancel():
    x = vector(dtype="float32")
    graph = st.Graph((x.node,), (st.sum(x).node,))
    values = np.array([1e8, 1.0, -1e8], "float32")
    spread = Spread(graph, [values], [], [np.float32(0.0)[()] * np.ones((), "float32")])
    assert not spread.unexplained(0, np.array(1.0, "float32")).any()
    assert spread.unexplained(0, np.array(1e6, "float32")).any()


# --- comparisons ---------------------------------------------------------------------------------


def unequal_by_rounding():
    """Return a scalar and the graph of whether 3 * x / 3 is x, which is so in exact arithmetic only."""
    x = st.placeholder((), "float64")
    return x, st.equal(x * 3.0 / 3.0 * 7.0 / 7.0, x)


def test_the_equality_of_computed_floats_is_rounding():
    x, same = unequal_by_rounding()
    graph = st.Graph((x.node,), (same.node,))
    draws = np.random.default_rng(0).uniform(1, 2, 1000)
    naive = [d for d in draws if d * 3.0 / 3.0 * 7.0 / 7.0 != d]
    assert naive  # else there is nothing to see
    spread = Spread(graph, [np.array(naive[0])], [], [np.array(False)])
    assert not spread.unexplained(0, np.array(True)).any()


def test_an_equality_that_no_rounding_decides_is_a_fault():
    x = st.placeholder((), "float64")
    graph = st.Graph((x.node,), (st.equal(x, x + 1.0).node,))
    assert (
        Spread(graph, [np.array(1.5)], [], [np.array(False)]).unexplained(0, np.array(True)).all()
    )
    graph = st.Graph((x.node,), (st.less(x, 1.5).node,))  # exactly 1.5: no lots are drawn
    assert (
        Spread(graph, [np.array(1.5)], [], [np.array(False)]).unexplained(0, np.array(True)).all()
    )


def spread_of(build, *arrays):
    """Return the spread of the results that the reference gives."""
    xs = [st.placeholder(a.shape, a.dtype) for a in arrays]
    ys = build(*xs)
    graph = st.Graph(tuple(x.node for x in xs), tuple(y.node for y in ys))
    return Spread(graph, arrays, [], run_graph(graph, arrays))


def test_no_undecided_comparison_of_many_is_a_fault():
    """Each of the runs with moved values answers at random, but not the first two."""
    x = np.random.default_rng(0).uniform(1, 2, 200_000)
    spread = spread_of(lambda x: [st.less(x * 3.0 / 3.0, x * 7.0 / 7.0 + 1e-16)], x)
    assert not spread.unexplained(0, ~spread.results[0]).any()


def test_computed_floats_that_are_equal_by_chance_are_undecided():
    x = np.random.default_rng(0).uniform(1, 2, 1000)
    spread = spread_of(lambda x: [st.equal(x * 3.0 / 3.0, x * 7.0 / 7.0)], x)
    equal = spread.results[0]
    assert equal.any() and not spread.unexplained(0, np.zeros_like(equal)).any()


def test_the_largest_of_computed_floats_is_one_of_them():
    x = np.random.default_rng(0).uniform(1, 2, (50, 4))
    spread = spread_of(lambda x: [st.equal(st.exp(x), st.max(st.exp(x), 1, keepdims=True))], x)
    assert spread.results[0].sum() == 50
    assert spread.unexplained(0, ~spread.results[0])[spread.results[0]].all()


def test_whole_numbers_that_are_computed_are_decided():
    x = np.arange(-6.0, 6.0)
    spread = spread_of(lambda x: [st.equal(st.floor(x / 2.0), st.ceil(x / 2.0))], x + 0.25)
    assert spread.unexplained(0, ~spread.results[0]).all()


def test_a_single_number_is_rounded_as_others_are():
    """Beyond it single precision is exact, and a unit of it is many of double precision."""
    x = np.array(1.03, "float32")
    spread = spread_of(lambda x: [st.cast(st.exp(x), "float64")], x)
    above = np.nextafter(spread.results[0].astype("float32"), np.float32(9))
    assert not spread.unexplained(0, above.astype("float64")).any()


def test_loops_count_exactly():
    x = np.array(1.0)
    spread = spread_of(lambda x: [st.while_loop(lambda s: s < 9.0, lambda s: s + 1.0, x)], x)
    assert spread.results[0] == 9 and spread.unexplained(0, np.array(10.0)).all()


def test_a_reference_that_takes_no_other_values_explains_nothing():
    x = np.full(40, 1.25)
    spread = spread_of(lambda x: [st.assert_(x + 1, st.equal(x, 1.25))], x)
    assert spread.unexplained(0, spread.results[0] + 1e-9).all()


# --- NaN and infinity ----------------------------------------------------------------------------


def test_the_first_nan_is_traced_to_its_line():
    x = vector()
    line = here() + 1
    y = st.log(x - 1)
    f = st.function([x], st.sum(st.exp(x * 0) * y), check=True)
    assert f(np.array([2.0, 3.0])) == np.log(2.0)
    with pytest.raises(st.NonFiniteError, match=r"nan at \[1\], where operand 0 is -0.5") as caught:
        f(np.array([2.0, 0.5]))
    assert (caught.value.place.line, caught.value.op) == (line, "log")
    assert isinstance(caught.value, FloatingPointError)


def test_the_infinity_behind_a_nan_is_told_too():
    x = vector()
    big = st.exp(x)
    f = st.function([x], big - big * 2, check=True)
    with pytest.raises(st.NonFiniteError, match="operand 0 is inf and operand 1 is inf") as caught:
        f(np.array([1.0, 1000.0]))
    assert "exp: inf at [1], where operand 0 is 1000.0" in str(caught.value)


def test_a_nan_made_inside_a_loop_is_traced_into_its_step():
    x = vector()
    line = here() + 1
    state = st.scan(lambda a, s: s * st.log(a), x, st.constant(1.0))[0]
    f = st.function([x], state, check=True)
    with pytest.raises(st.NonFiniteError, match=r"log: output 0 holds nan") as caught:
        f(np.array([2.0, -1.0, 3.0]))
    assert caught.value.place.line == line


def test_masks_and_what_was_fed_are_no_faults():
    x = vector()
    masked = st.softmax(st.where(x > 0, x, -np.inf))
    f = st.function([x], masked, check=True)
    f(np.array([1.0, -1.0]))
    f(np.array([1.0, np.nan]))


def test_only_the_checks_asked_for_run():
    x = vector()
    f = st.function([x], st.log(x), check=["passes", "nan"])
    assert f(np.array([0.0])).tolist() == [-np.inf]
    with pytest.raises(st.NonFiniteError):
        f(np.array([-1.0]))
    with pytest.raises(st.ConfigError, match="there is no check 'nans'; did you mean nan"):
        st.function([x], x + 1, check=["nans"])


# --- memory --------------------------------------------------------------------------------------


def found_by(fault, match, updates=False):
    x = vector()
    v = st.variable(np.zeros(2), name="v")
    given = [(v, v + x)] if updates else None
    f = st.function([x], [x + v, x * 2], updates=given, engine=Faulty(fault), check="aliasing")
    with pytest.raises(st.CheckError, match=match) as caught:
        for _ in range(3):
            kept.append(f(np.ones(2)))
    assert caught.value.code == "ST1503"


kept = []


def test_changed_arguments_are_found():
    def fault(results, inputs, variables):
        inputs[0][0] = 7
        return results

    found_by(fault, "changed its argument 'x'")


def test_changed_variables_are_found():
    def fault(results, inputs, variables):
        variables[0][0] = 7
        return results

    found_by(fault, "wrote into the array of the variable 'v'")


@pytest.mark.parametrize(
    ("take", "match"),
    [
        (lambda results, inputs, variables: inputs[0], "output 0 is an argument"),
        (lambda results, inputs, variables: inputs[0][:], "shares memory with an argument"),
        (lambda results, inputs, variables: variables[0], "output 0 is a variable"),
        (lambda results, inputs, variables: results[1][:], "shares memory with output 1"),
    ],
    ids=["argument", "view", "variable", "output"],
)
def test_results_that_share_memory_are_found(take, match):
    def fault(results, inputs, variables):
        return [take(results, inputs, variables), *results[1:]]

    found_by(fault, match)


def test_results_that_a_later_call_writes_over_are_found():
    buffer = np.zeros(2)

    def fault(results, inputs, variables):
        buffer[:] = np.random.default_rng().standard_normal(2)
        return [buffer[:], *results[1:]]

    found_by(fault, "wrote over a result that an earlier call had returned")


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_a_rule_that_writes_into_its_operands_is_named(engine):
    def rule(x):
        x[0] = 5
        return x * 2

    op = st.custom_op("writes_into_its_operand", evaluate=rule, replace=True)
    x = vector()
    line = here() + 1
    y = op(x)
    f = st.function([x], y + 1, engine=engine, check=True)
    with pytest.raises(st.CheckError, match="the rule of writes_into_its_operand writes") as caught:
        f(np.ones(3))
    assert caught.value.place.line == line


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_a_rule_that_writes_into_a_value_of_the_graph_is_named(engine):
    def double(x):
        return np.multiply(x, 2, out=x)

    op = st.custom_op("doubles_its_operand", evaluate=double, replace=True)
    x = vector()
    line = here() + 1
    y = op(x + 1)
    f = st.function([x], [y, x + 1], engine=engine, check="aliasing")
    with pytest.raises(st.CheckError, match="the rule of doubles_its_operand writes") as caught:
        f(np.ones(3))
    assert caught.value.place.line == line


def test_a_call_that_fails_has_changed_nothing():
    x, i = vector(), st.placeholder((), "int64", name="i")
    v = st.variable(np.zeros(()), name="v")
    f = st.function([x, i], None, updates=[(v, v + x[i])], check=True)
    with pytest.raises(st.IndexOutOfRange):
        f(np.ones(3), 5)
    f(np.ones(3), 1)
    assert v.get_value() == 1


# --- which functions -----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_checked_functions_do_what_functions_do(engine):
    x, y = vector(), vector("y")
    v = st.variable(np.zeros(3), name="v")
    rng = st.RandomStream(3)
    outputs = {"sum": x + y + v, "pair": (x * 2, st.sum(rng.normal((3,))))}
    f = st.function([x, st.Input(y, default=np.ones(3))], outputs, {v: v + x}, engine=engine,
                    check=True)  # fmt: skip
    assert isinstance(f, CheckedFunction)
    for step in range(3):
        out = f(x=np.ones(3))
        np.testing.assert_allclose(out["sum"], 2 + step)
        assert isinstance(out["pair"], tuple)
    assert f(np.ones(3), output_subset=["sum"]).keys() == {"sum"}
    twin = f.copy(share_memory=False)
    assert isinstance(twin, CheckedFunction)
    twin([1, 2, 3])


def test_the_setting_checks_every_function(monkeypatch):
    x = vector()
    monkeypatch.setenv("SYMTENSOR_CHECK", "1")
    assert isinstance(st.function([x], x + 1), CheckedFunction)
    assert type(st.function([x], x + 1, check=False)) is st.Function
    monkeypatch.setenv("SYMTENSOR_CHECK", "nan,aliasing")
    assert st.function([x], x + 1).checks == {"nan", "aliasing"}
    monkeypatch.setenv("SYMTENSOR_CHECK", "0")
    assert type(st.function([x], x + 1)) is st.Function


def test_a_function_that_is_not_checked_pays_nothing():
    x = vector()
    f = st.function([x], x + 1, engine="llvm")
    assert type(f) is st.Function and type(f).__call__ is st.Function.__call__
    assert type(f._entry).__name__ == "builtin_function_or_method"  # the engine's own, unwrapped
    code = (
        "import sys, numpy as np, symtensor as st; x = st.placeholder((None,)); "
        "st.function([x], x + 1)([1.0]); "
        "assert not [m for m in sys.modules if m.startswith('symtensor.checking')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_printing_nodes_print_once(capfd):
    x = vector()
    f = st.function([x], st.print_(x, "seen ") + 1, check=True)
    f(np.ones(1))
    assert capfd.readouterr().err.count("seen") == 1


def test_an_engine_that_returns_no_arrays_is_found():
    def fault(results, inputs, variables):
        return [float(results[0])]

    x = vector()
    f = st.function([x], st.sum(x), engine=Faulty(fault), check=True)
    with pytest.raises(st.CheckError, match="output 0 is a float, expected an array"):
        f(np.ones(2))
