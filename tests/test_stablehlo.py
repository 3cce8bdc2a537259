"""StableHLO text: read by MLIR's own parser and verifier, run by XLA, compared with the NumPy engine."""

import numpy as np
import pytest

import symtensor as st
from symtensor.export.stablehlo.lowering import covers
from symtensor.testing.conformance import built_in_ops
from symtensor.testing.samples import all_samples

NOT_COVERED = {
    "arange", "argsort", "assert", "bincount", "cholesky", "count_up", "det", "eigh", "inv", "nextafter",
    "polygamma", "print", "product_of_others", "qr", "random_bits", "searchsorted", "slogdet",
    "solve", "solve_triangular", "sort", "svd", "top_places",
}  # fmt: skip
LOOSE = {"float16": 2e-2, "bfloat16": 6e-2, "float32": 3e-5, "float64": 1e-11}


# --- the text ------------------------------------------------------------------------------------


def test_text_of_a_small_graph():
    x = st.placeholder((2, 3), name="x")
    text = st.to_stablehlo(st.sum(st.exp(x) * 2, axis=1))
    assert text == (
        "module @symtensor {\n"
        "  func.func public @main(%arg0: tensor<2x3xf32>) -> (tensor<2xf32>) {\n"
        "    %0 = stablehlo.exponential %arg0 : tensor<2x3xf32>\n"
        "    %1 = stablehlo.constant dense<2.000000000e+00> : tensor<f32>\n"
        "    %2 = stablehlo.broadcast_in_dim %1, dims = [] : (tensor<f32>) -> tensor<2x3xf32>\n"
        "    %3 = stablehlo.multiply %0, %2 : tensor<2x3xf32>\n"
        "    %4 = stablehlo.constant dense<0.000000000e+00> : tensor<f32>\n"
        "    %5 = stablehlo.reduce(%3 init: %4) applies stablehlo.add across dimensions = [1] : "
        "(tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>\n"
        "    return %5 : tensor<2xf32>\n"
        "  }\n"
        "}\n"
    )


def test_sizes_must_be_given_and_fit():
    x, y = st.placeholder((None, 3), name="x"), st.placeholder((None,), name="y")
    f = st.function([x, y], st.sum(x) * y)
    assert "tensor<7x3xf32>" in st.to_stablehlo(f, (7, 3), (2,))
    with pytest.raises(st.ShapeError, match=r"fixed sizes[\s\S]*shape, or an array"):
        st.to_stablehlo(f)
    with pytest.raises(st.ShapeError, match="expected 2 shapes, found 1"):
        st.to_stablehlo(f, (7, 3))
    with pytest.raises(st.ShapeError, match="x: expected"):
        st.to_stablehlo(f, (7, 4), (2,))


def test_an_op_without_a_form_is_named_with_its_line():
    x = st.placeholder((4,), name="x")
    with pytest.raises(st.LoweringError, match=r"sort \(.*test_stablehlo.py:\d+\).*"):
        st.to_stablehlo(st.sort(x) + st.nextafter(x, x))


def test_every_op_is_covered_or_listed():
    seen = set()
    for sample in all_samples():
        for node in sample_graph(sample).nodes() if sample.raises is None else ():
            if covers(node):
                seen.add(node.op.name)
    elsewhere = {"parameter", "variable", "steered", "specify_shape", "dim_value"}
    assert set(built_in_ops()) - seen - NOT_COVERED <= elsewhere
    assert not seen & NOT_COVERED


# --- run by XLA ----------------------------------------------------------------------------------


def run_xla(text, arrays):
    """Parse, verify, compile and run a module with the XLA that comes with JAX."""
    jax = pytest.importorskip("jax")
    pytest.importorskip("jaxlib.mlir")
    from jax._src.interpreters import mlir
    from jaxlib import xla_client
    from jaxlib.mlir import ir

    client = jax.devices("cpu")[0].client
    with jax.enable_x64(True):
        with mlir.make_ir_context():
            module = ir.Module.parse(text)
            assert module.operation.verify()
            devices = xla_client.DeviceList(tuple(client.local_devices()[:1]))
            program = client.compile_and_load(module, devices, xla_client.CompileOptions())
        return [np.asarray(x) for x in program.execute([jax.device_put(a) for a in arrays])]


def sample_graph(sample):
    xs = [st.placeholder(a.shape, a.dtype) for a in sample.inputs]
    built = sample.build(*xs)
    outputs = [built] if isinstance(built, st.Tensor) else list(built)
    return st.Graph(tuple(x.node for x in xs), tuple(t.node for t in outputs))


def exportable(sample):
    if sample.raises is not None or sample.id == "digamma/edges/float64[3]":
        return False  # digamma(-inf) is NaN in CHLO
    graph = sample_graph(sample)
    names = {n.op.name for n in graph.nodes()}
    return (
        not names & NOT_COVERED
        and all(covers(n) for n in graph.nodes())
        and all(isinstance(d, int) for n in graph.nodes() for d in sizes(n))
    )


def sizes(node):
    types = node.type if isinstance(node.type, tuple) else (node.type,)
    return [d for t in types for d in t.shape]


def reference(graph, arrays):
    return st.get_engine("numpy").compile(graph)(arrays, [])


def close(found, wanted):
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    if wanted.dtype.kind in "iub":
        np.testing.assert_array_equal(found, wanted)
        return
    rtol = LOOSE[wanted.dtype.name]
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    scale = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=1e-30)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * min(scale, 1.0))


def plain(array):
    """Return the array in native byte order and without subnormals, which XLA takes for 0."""
    array = np.array(array, array.dtype.newbyteorder("="))
    if array.dtype.kind == "f":
        tiny = np.abs(array) < np.finfo(array.dtype).tiny
        array = np.where(tiny, np.copysign(0, array), array).astype(array.dtype)
    return array


SAMPLES = [s for s in all_samples() if exportable(s)]


@pytest.mark.parametrize("sample", SAMPLES, ids=[s.id for s in SAMPLES])
def test_samples(sample):
    graph, arrays = sample_graph(sample), [plain(a) for a in sample.inputs]
    found = run_xla(st.to_stablehlo(graph), arrays)
    with np.errstate(all="ignore"):
        wanted = reference(graph, arrays)
    for a, b in zip(found, wanted, strict=True):
        close(a, b)


def check_function(f, *arrays):
    """Compare outputs and next values of a function with what XLA makes of its export."""
    state = [v.attrs["store"].array.copy() for v in f.optimized.variables()]
    found = run_xla(st.to_stablehlo(f, *arrays), [*arrays, *state])
    wanted = st.get_engine("numpy").compile(f.optimized)(list(arrays), state)
    for a, b in zip(found, wanted, strict=True):
        close(a, b)


def test_a_training_step_with_updates():
    rng = np.random.default_rng(0)
    x, y = st.placeholder((None, 5), name="x"), st.placeholder((None,), "int32", name="y")
    w = st.variable(rng.standard_normal((5, 3)).astype("f4"), name="w")
    loss = st.mean(st.sparse_categorical_crossentropy(y, x @ w, from_logits=True))
    f = st.function([x, y], loss, updates=[(w, w - 0.1 * st.gradients(loss, w))])
    check_function(f, rng.standard_normal((7, 5)).astype("f4"), np.arange(7, dtype="i4") % 3)


def test_a_scan_and_its_gradient():
    rng = np.random.default_rng(1)
    xs, u = st.placeholder((None, 4), "float64", name="xs"), st.placeholder((4, 4), "float64")
    last = st.foldl(lambda h, a: st.tanh(a + h @ u), xs, st.zeros((4,), "float64"))
    loss = st.sum(last * last)
    f = st.function([xs, u], [loss, *st.gradients(loss, [xs, u])])
    assert any(n.op.name == "scan" for n in f.optimized.nodes())
    check_function(f, rng.standard_normal((6, 4)), rng.standard_normal((4, 4)) * 0.5)


def test_a_convolution_and_its_gradients():
    rng = np.random.default_rng(2)
    x, k = st.placeholder((None, 8, 8, 2), "float64"), st.placeholder((3, 3, 2, 4), "float64")
    loss = st.sum(st.max_pool(st.relu(st.conv(x, k)), (2, 2)))
    f = st.function([x, k], [loss, *st.gradients(loss, [x, k])])
    check_function(f, rng.standard_normal((2, 8, 8, 2)), rng.standard_normal((3, 3, 2, 4)))
