"""Dims, interning, graphs, text and verification."""

import gc
import random
import weakref

import hypothesis.strategies as hs
import numpy as np
import pytest
from hypothesis import given, settings

import symtensor as st
from symtensor.ir import dims as D
from symtensor.ir.graph import Graph, toposort
from symtensor.ir.literal import Literal
from symtensor.ir.node import make_node
from symtensor.ir.printer import print_graph
from symtensor.ir.types import TensorType
from symtensor.ir.verify import verify_graph
from symtensor.ops.registry import get_op

# --- dims ----------------------------------------------------------------------------------------

N, M = D.symbol("n"), D.symbol("m")
SYMBOLS = [D.as_symbol(N), D.as_symbol(M)]


def expressions(depth=3):
    """Strategy: (dim, function of n and m that computes it with Python ints)."""
    leaves = hs.one_of(
        hs.integers(-6, 6).map(lambda k: (k, lambda n, m, k=k: k)),
        hs.just((N, lambda n, m: n)),
        hs.just((M, lambda n, m: m)),
    )

    def combine(children):
        pairs = hs.tuples(children, children)
        return hs.one_of(
            pairs.map(lambda p: (p[0][0] + p[1][0], lambda n, m: p[0][1](n, m) + p[1][1](n, m))),
            pairs.map(lambda p: (p[0][0] - p[1][0], lambda n, m: p[0][1](n, m) - p[1][1](n, m))),
            pairs.map(lambda p: (p[0][0] * p[1][0], lambda n, m: p[0][1](n, m) * p[1][1](n, m))),
            pairs.map(
                lambda p: (D.maximum(p[0][0], p[1][0]),
                           lambda n, m: max(p[0][1](n, m), p[1][1](n, m)))
            ),
            hs.tuples(children, hs.integers(1, 5)).map(
                lambda p: (D.floordiv(p[0][0], p[1]), lambda n, m: p[0][1](n, m) // p[1])
            ),
        )  # fmt: skip

    return hs.recursive(leaves, combine, max_leaves=2**depth)


@settings(max_examples=300, deadline=None)
@given(expressions(), hs.integers(0, 9), hs.integers(0, 9))
def test_dims_compute_what_ints_compute(pair, n, m):
    dim, plain = pair
    assert D.evaluate(dim, dict(zip(SYMBOLS, (n, m), strict=True))) == plain(n, m)


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_what_is_proved_nonnegative_is(pair):
    dim, plain = pair
    if D.provably_nonnegative(dim):
        assert min(plain(n, m) for n in range(7) for m in range(7)) >= 0


def test_maxima_are_decided_where_bounds_tell():
    half = D.floordiv(N, 2)
    assert D.minimum(half, N) is half
    assert D.maximum(N, D.maximum(N - 1, 0)) is N
    assert D.maximum(N + M, D.maximum(N, M)) is N + M
    assert D.as_symbol(D.maximum(N, M)) is None  # neither is always the larger


@settings(max_examples=200, deadline=None)
@given(expressions(), expressions(), hs.integers(0, 9), hs.integers(0, 9))
def test_proofs_about_dims_hold(first, second, n, m):
    a, b = first[0], second[0]
    if D.same(a, b):
        assert first[1](n, m) == second[1](n, m)
    if D.provably_different(a, b):
        assert first[1](n, m) != second[1](n, m)
    bound = D.lower_bound(a)
    assert bound is None or bound <= first[1](n, m)


def test_dims_are_interned_and_simplify():
    assert N + M - N is M and (N * M) // M is N and D.maximum(N, 0) is N
    assert (2 * N + 4) // 2 is N + 2 and N - N == 0 and (N + 1) * (N - 1) is N * N - 1
    assert D.dim("batch") is D.dim("batch") and D.symbol("a") is not D.symbol("a")


def test_dims_have_no_value():
    for use in (int, bool, range):
        with pytest.raises(TypeError, match=r"value|known"):
            use(N)
    with pytest.raises(ValueError, match="identifier"):
        st.placeholder(("not a name",))


# --- nodes ---------------------------------------------------------------------------------------


def test_equal_nodes_are_one_object():
    x = st.placeholder((3,))
    assert (x + 1).node is (x + 1).node
    assert st.exp(x).node is not st.exp(st.placeholder((3,))).node
    assert st.constant(0.0).node is not st.constant(-0.0).node
    assert st.constant(1).node is not st.constant(1.0).node
    assert st.constant(True).node is not st.constant(1, "int8").node
    assert (x + 1) is not (x + 1)  # handles stay apart
    assert Literal(np.nan) == Literal(np.nan)


def test_dropped_graphs_are_collected():
    x = st.placeholder((2,))
    y = st.exp(x * 3)
    found = weakref.ref(y.node)
    del y
    gc.collect()
    assert found() is None


def test_nodes_know_the_users_line():
    x = st.placeholder((2,))
    y = st.exp(x)
    assert y.loc.file == __file__ and "st.exp(x)" in y.loc.source
    with pytest.raises(ValueError) as caught:
        st.dot(st.zeros((2, 3)), st.zeros((4, 5)))
    text = str(caught.value)
    assert __file__ in text and "inner sizes differ: 3 and 4" in text and "f32[2, 3]" in text


def test_every_error_names_a_line_of_the_users():
    x = st.placeholder((2,), "int8")
    wrong = [
        lambda: st.sum(x, 5),
        lambda: x + 300,
        lambda: st.constant(1j),
        lambda: st.constant([[1, 2], [3]]),
        lambda: st.reshape(x, (3,)),
        lambda: st.placeholder((-1,)),
        lambda: st.function([x], x, engine="lvm"),
        lambda: st.gradients(x, x),
        lambda: st.placeholder((2,)) * 10**400,
    ]
    for call in wrong:
        with pytest.raises(st.SymtensorError) as caught:
            call()
        assert f"--> {__file__}:" in str(caught.value), caught.value


def test_constants_do_not_follow_their_source():
    array = np.ones(3)
    x = st.constant(array)
    array[:] = 7
    assert x.eval(engine="numpy").tolist() == [1, 1, 1]


def test_tensors_refuse_to_be_values():
    x = st.placeholder((None,))
    for use in (bool, float, int, len, list, np.asarray):
        with pytest.raises(TypeError, match=r"symbolic|unknown"):
            use(x)
    with pytest.raises(TypeError, match="set_at"):
        x[0] = 1
    with pytest.raises(TypeError):
        if 0 < x < 1:
            pass
    assert x == x and x != st.placeholder((None,)) and x in [x]


# --- deep graphs ---------------------------------------------------------------------------------

DEEP = 100_000


def test_a_long_chain_builds_prints_differentiates_and_compiles():
    x = st.placeholder((), "float64", name="x")
    y = x
    for _ in range(DEEP // 2):
        y = st.sin(y) * 1.0000001
    graph = Graph((x.node,), (y.node,))
    assert len(graph.nodes()) > DEEP
    head = print_graph(graph, max_nodes=5)
    assert head.count("\n") < 10 and "more nodes" in head
    gradient = st.gradients(y, x)
    f = st.function([x], [y, gradient], engine="numpy")
    value, slope = f(0.5)
    assert 0 < value < 0.5 and 0 < slope < 1
    del graph, y, gradient, f
    gc.collect()


def test_a_long_chain_compiles_natively():
    x = st.placeholder((8,), "float64")
    y = x
    for _ in range(DEEP):
        y = y * 1.0000001
    f = st.function([x], y, engine="llvm")
    np.testing.assert_allclose(f(np.ones(8)), 1.0000001**DEEP, rtol=1e-8)


# --- text ----------------------------------------------------------------------------------------


def rich_graph():
    """A graph with symbolic sizes, a body, literals, all kinds of attributes and an update."""
    x = st.placeholder((None, 4), name="x")
    w = st.variable(np.ones((4, 4), "float32"), name="w")
    h, _ = st.scan(lambda row, s: st.tanh(row @ w + s), x, np.zeros(4, "float32"))
    loss = st.sum(h[::-1, 1:] * np.float32(0.1)) + st.constant(np.arange(40.0)).sum()
    big = st.cond(loss > 0, lambda: st.log(loss), lambda: loss * float("nan"))
    return Graph((x.node,), (big.node, h.node), ((w.node, (w * 0.5).node),))


def test_text_round_trips():
    graph = rich_graph()
    literals = []
    text = print_graph(graph, literals=literals)
    assert st.parse_graph(text, bind=graph, literals=literals) == graph
    fresh = st.parse_graph(text, literals=literals)
    again = []
    assert print_graph(fresh, literals=again) == text and len(again) == len(literals) == 1
    verify_graph(graph)
    verify_graph(fresh)


def test_names_that_occur_twice_or_hold_dots_round_trip():
    names = ["w", "w", "w.1", "w'", "w_"]
    tensors = [st.variable(np.ones(2, "float32"), name=name) for name in names]
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total * tensor
    text = print_graph(Graph((), (total.node,)))
    assert "%w.1 =" in text and print_graph(st.parse_graph(text)) == text


def test_variables_that_are_only_written_are_printed():
    w = st.variable(np.zeros(2), name="w")
    graph = Graph((), (), ((w.node, st.constant(np.ones(2)).node),))
    text = print_graph(graph)
    assert "%w = variable : f64[2]" in text
    assert st.parse_graph(text, bind=graph) == graph
    assert print_graph(st.parse_graph(text)) == text


def test_text_is_the_same_in_every_process():
    import subprocess
    import sys

    code = (
        "import symtensor as st; [st.placeholder((None,)) for _ in range({})];"
        "x = st.placeholder((None, 3), name='x');"
        "print(st.print_graph(st.function([x], st.sum(st.exp(x) * 2, 1), engine='numpy').graph))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code.format(n)], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": str(n), "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for n in (0, 5)
    }  # fmt: skip
    assert len(texts) == 1 and "exp %x" in texts.pop()


BAD_TEXT = {
    "graph { %0 = ad %1 : f32[] inputs outputs }": "did you mean add|no op named|earlier node",
    "graph { inputs %x outputs }": "earlier node",
    "graph { %0 = exp : f32[3] inputs outputs %0 }": "exp",
    "graph { %0 = placeholder : f32[-1] inputs outputs }": "negative",
    "graph { %0 = placeholder : g32[1] inputs outputs }": "dtype",
    "graph { %0 = constant {value = dense<f32[2]: 1.0>} : f32[2] inputs outputs %0 }": "fill",
    "graph { %0 = placeholder : f32[2] %1 = exp %0 : f32[3] inputs %0 outputs %1 }": "says",
    "": "expected",
    "graph {": "expected",
    "graph @": "expected",
}


@pytest.mark.parametrize("text", BAD_TEXT, ids=range(len(BAD_TEXT)))
def test_bad_text_names_line_and_column(text):
    with pytest.raises(st.ParseError, match="line 1, column") as caught:
        st.parse_graph(text)
    assert __import__("re").search(BAD_TEXT[text], str(caught.value))


def test_mangled_text_raises_only_our_errors():
    literals = []
    text = print_graph(rich_graph(), literals=literals)
    generator = random.Random(0)
    pieces = [*'%{}[]<>:,="!#-', "graph", "f32", "0", "nan", "9" * 30, "\n", "é"]
    survived = 0
    for _ in range(400):
        start = generator.randrange(len(text))
        end = start + generator.randrange(8)
        mangled = text[:start] + generator.choice(pieces) + text[end:]
        try:
            st.parse_graph(mangled, literals=literals)
            survived += 1
        except st.SymtensorError:
            pass
    assert survived < 300
    with pytest.raises(st.ParseError, match="deep"):
        st.parse_graph("graph { %0 = iota {a = " + "[" * 500 + " : f32[] inputs outputs }")


# --- verification --------------------------------------------------------------------------------


def test_the_verifier_finds_broken_graphs():
    x, y = st.placeholder((3,)), st.placeholder((3,))
    z = (x + y).node
    with pytest.raises(st.VerifyError, match="not among the inputs"):
        verify_graph(Graph((x.node,), (z,)), "a pass")
    with pytest.raises(st.VerifyError, match="after a pass"):
        verify_graph(Graph((x.node, x.node), (x.node,)), "a pass")
    with pytest.raises(st.VerifyError, match="expected a placeholder"):
        verify_graph(Graph((z,), (z,)))
    with pytest.raises(st.VerifyError, match="only variables"):
        verify_graph(Graph((x.node, y.node), (), ((x.node, z),)))
    w = st.variable(np.zeros(3, "float32"))
    with pytest.raises(st.VerifyError, match="updated twice"):
        verify_graph(Graph((x.node, y.node), (), ((w.node, z), (w.node, z))))
    with pytest.raises(st.VerifyError, match="updated with"):
        verify_graph(Graph((), (), ((w.node, st.constant(1.0).node),)))


def test_the_verifier_checks_types_against_inference():
    x = st.placeholder((3,))
    node = make_node(get_op("exp"), (x.node,))
    object.__setattr__(node, "type", TensorType(st.float64, (3,)))
    try:
        with pytest.raises(st.VerifyError, match="infers") as caught:
            verify_graph(Graph((x.node,), (node,)))
        assert "graph {" in "".join(caught.value.__notes__)
    finally:
        object.__setattr__(node, "type", x.type)


def test_producers_come_first():
    graph = rich_graph()
    place = {node: i for i, node in enumerate(graph.nodes())}
    assert all(place[x] < place[n] for n in place for x in n.inputs)
    assert toposort(graph.roots)[-1] in graph.roots


# --- inspection ----------------------------------------------------------------------------------


def test_debugprint_marks_shared_nodes(capsys):
    x = st.placeholder((2,), name="x")
    y = st.exp(x)
    st.debugprint(y * y + 1)
    out = capsys.readouterr().out
    assert "add" in out and "above]" in out and "exp" in out and "test_ir.py" in out
    st.debugprint(y * y + 1, depth=1)
    out = capsys.readouterr().out
    assert "exp [" not in out and "deeper" in out
    for _ in range(5000):
        y = y + 1
    st.debugprint(y)
    assert capsys.readouterr().out.count("\n") < 100


def test_exports():
    x = st.placeholder((2,), name='evil "\n<b>')
    w = st.variable(np.zeros(2, "float32"), name="w")
    f = st.function([x], x * x, updates=[(w, w + x)], engine="numpy")
    graph = st.to_networkx(f)
    assert graph.number_of_nodes() >= 4
    assert any(d["kind"] == "update" for _, _, d in graph.edges(data=True))
    square = next(n for n, d in graph.nodes(data=True) if d["op"] in ("multiply", "square"))
    assert graph.in_degree(square) in (1, 2)
    dot = st.to_dot(f)
    assert dot.startswith("digraph") and '\\"' in dot and "evil" in dot
    assert all(line.count('"') % 2 == line.count('\\"') % 2 for line in dot.splitlines())


def test_dot_draws_variables_that_are_only_written():
    x = st.placeholder((2,), name="x")
    w = st.variable(np.zeros(2, x.dtype.name), name="w")
    dot = st.to_dot(Graph((x.node,), (), ((w.node, (x * 2).node),)))
    assert '"%w" [label="w' in dot


def test_labels_of_many_leaves_of_one_name_differ():
    leaves = [st.placeholder((), name="x").node for _ in range(50)]
    graph = Graph(tuple(leaves), tuple(leaves))
    assert st.parse_graph(st.print_graph(graph), bind=graph) == graph


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("value", ["-0.0", "nan", "-nan", "inf", "-inf", "5e-324"])
def test_floats_round_trip_exactly(value, dtype):
    c = st.constant(np.array([float(value)]).astype(dtype))
    graph = Graph((), (c.node,))
    assert st.parse_graph(st.print_graph(graph)) == graph


def test_text_with_impossible_sizes_is_refused():
    sizes = ["floordiv(d0, 0)", "9999999, 9999999"]
    for size in sizes:
        with pytest.raises(st.errors.ParseError, match="line 1, column"):
            st.parse_graph("graph { %x = variable : f32[" + size + "] inputs outputs }")
