"""ONNX models: checked by onnx, run by its reference evaluator, compared with the NumPy engine."""

import numpy as np
import pytest

import symtensor as st

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from symtensor.export.onnx.lowering import covers  # noqa: E402
from symtensor.testing.conformance import built_in_ops  # noqa: E402
from symtensor.testing.samples import all_samples  # noqa: E402

NOT_COVERED = {
    "arange", "arctan2", "argsort", "assert", "bincount", "cholesky", "count_up", "cumprod", "det", "digamma",
    "eigh", "inv", "lgamma", "nextafter", "polygamma", "print", "product_of_others", "qr",
    "random_bits", "searchsorted", "slogdet", "solve", "solve_triangular", "sort", "svd", "top_places",
}  # fmt: skip
LOOSE = {"float16": 2e-2, "bfloat16": 6e-2, "float32": 3e-5, "float64": 1e-11}


def sample_graph(sample, symbolic=False):
    free = range(len(sample.inputs)) if sample.symbolic is None else sample.symbolic
    xs = [
        st.placeholder(
            (None,) * a.ndim if symbolic and i in free else a.shape, a.dtype, name=f"x{i}"
        )
        for i, a in enumerate(sample.inputs)
    ]
    built = sample.build(*xs)
    outputs = [built] if isinstance(built, st.Tensor) else list(built)
    return st.Graph(tuple(x.node for x in xs), tuple(t.node for t in outputs))


def run(model, arrays):
    onnx.checker.check_model(model, full_check=True)
    names = [x.name for x in model.graph.input]
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))


def close(found, wanted, single=False):
    """Compare; with `single`, as float32: that is how onnx's evaluator computes Erf."""
    found = np.asarray(found)
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    if wanted.dtype.kind in "iub":
        np.testing.assert_array_equal(found, wanted)
        return
    rtol = 1e-6 if single and wanted.dtype == np.float64 else LOOSE[wanted.dtype.name]
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    scale = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=1e-30)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * min(scale, 1.0))


def exportable(sample):
    if sample.raises is not None:
        return False
    graph = sample_graph(sample)
    return all(covers(n) for n in graph.nodes())


SAMPLES = [s for s in all_samples() if exportable(s)]


@pytest.mark.parametrize("sample", SAMPLES, ids=[s.id for s in SAMPLES])
def test_samples(sample):
    graph = sample_graph(sample)
    arrays = [np.array(a, a.dtype.newbyteorder("=")) for a in sample.inputs]
    with np.errstate(all="ignore"):
        wanted = st.get_engine("numpy").compile(graph)(arrays, [])
    for a, b in zip(run(st.to_onnx(graph), arrays), wanted, strict=True):
        close(a, b, single=any(n.op.name in ("erf", "erfc") for n in graph.nodes()))


RESIZED = [s for s in SAMPLES if s.resize and s.symbolic != ()]


@pytest.mark.parametrize("sample", RESIZED, ids=[s.id for s in RESIZED])
def test_samples_of_symbolic_sizes(sample):
    graph = sample_graph(sample, symbolic=True)
    if not all(map(covers, graph.nodes())):
        pytest.skip("with symbolic sizes it uses other ops")
    model = st.to_onnx(graph)
    for arrays in (sample.inputs, *sample.resize):
        if sample.op == "scan" and 0 in arrays[0].shape:
            continue  # the evaluator has no Scan of no steps
        wanted = st.get_engine("numpy").compile(graph)(arrays, [])
        for a, b in zip(run(model, arrays), wanted, strict=True):
            close(a, b, single=any(n.op.name in ("erf", "erfc") for n in graph.nodes()))


# --- functions -----------------------------------------------------------------------------------


def check_function(f, *calls):
    """Compare outputs and next values with what onnx makes of the export, for several sizes."""
    model = st.to_onnx(f)
    state = [v.attrs["store"].array.copy() for v in f.optimized.variables()]
    engine = st.get_engine("numpy").compile(f.optimized)
    for arrays in calls:
        for a, b in zip(run(model, arrays), engine(list(arrays), state), strict=True):
            close(a, b)
    return model


def test_a_training_step_of_any_batch_size():
    rng = np.random.default_rng(0)
    x, y = st.placeholder((None, 5), name="x"), st.placeholder((None,), "int32", name="y")
    w = st.variable(rng.standard_normal((5, 3)).astype("f4"), name="w")
    loss = st.mean(st.sparse_categorical_crossentropy(y, x @ w, from_logits=True))
    f = st.function([x, y], loss, updates=[(w, w - 0.1 * st.gradients(loss, w))])
    batches = [
        (rng.standard_normal((n, 5)).astype("f4"), np.arange(n, dtype="i4") % 3) for n in (7, 2)
    ]
    model = check_function(f, *batches)
    assert [x.name for x in model.graph.input] == ["x", "y"]
    assert [x.name for x in model.graph.output] == ["output", "next w"]
    assert "w" in [t.name for t in model.graph.initializer]
    assert any(__file__ in node.doc_string for node in model.graph.node)


def test_a_scan_and_its_gradient():
    rng = np.random.default_rng(1)
    xs, u = st.placeholder((None, 4), "float64", name="xs"), st.placeholder((4, 4), "float64")
    last = st.foldl(lambda h, a: st.tanh(a + h @ u), xs, st.zeros((4,), "float64"))
    loss = st.sum(last * last)
    f = st.function([xs, u], [loss, *st.gradients(loss, [xs, u])])
    calls = [(rng.standard_normal((n, 4)), rng.standard_normal((4, 4)) * 0.5) for n in (6, 1)]
    model = check_function(f, *calls)
    assert "Scan" in [node.op_type for node in model.graph.node]


def test_a_convolution_and_its_gradients():
    rng = np.random.default_rng(2)
    x, k = st.placeholder((None, 8, 8, 2), "float64"), st.placeholder((3, 3, 2, 4), "float64")
    loss = st.sum(st.max_pool(st.relu(st.conv(x, k)), (2, 2)))
    f = st.function([x, k], [loss, *st.gradients(loss, [x, k])])
    check_function(f, *[(rng.standard_normal((n, 8, 8, 2)), rng.standard_normal((3, 3, 2, 4)))
                        for n in (2, 3)])  # fmt: skip


def test_a_loop_until():
    x = st.placeholder((), "float64", name="x")
    (last,) = st.while_loop(lambda v: v < 100.0, lambda v: v * 3.0, [x])
    f = st.function([x], last)
    check_function(f, (np.array(2.0),), (np.array(500.0),))


# --- what has no form ----------------------------------------------------------------------------


def test_an_op_without_a_form_is_named_with_its_line():
    x = st.placeholder((4,), name="x")
    with pytest.raises(st.LoweringError, match=r"nextafter \(.*test_onnx.py:\d+\), sort \("):
        st.to_onnx(st.sort(x) + st.nextafter(x, x))


def test_it_can_be_an_op_of_our_own_to_look_at():
    x = st.placeholder((4,), name="x")
    model = st.to_onnx(st.sort(x) * 2, custom_ops=True)
    onnx.checker.check_model(model)
    own = [node for node in model.graph.node if node.domain == "symtensor"]
    assert [node.op_type for node in own] == ["sort"]
    assert [(a.name, a.s) for a in own[0].attribute] == [("axis", b"0")]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(st.SymtensorError, match=r"pip install 'symtensor\[onnx\]'"):
        st.to_onnx(st.placeholder((2,)))


def test_every_op_is_covered_or_listed():
    graphs = [sample_graph(s) for s in all_samples() if s.raises is None]
    seen = {n.op.name for g in graphs for n in g.nodes() if covers(n)}
    elsewhere = {"parameter", "variable", "steered", "specify_shape", "dim_value"}
    assert set(built_in_ops()) - seen - NOT_COVERED <= elsewhere and not seen & NOT_COVERED
