"""The catalogue of samples: every op is in it, and every sample holds in every way.

Values on each engine, unknown sizes and errors are checked by the conformance kit, in
`test_conformance.py`; here come the types, the text, the gradients, the passes and fusion.
"""

from __future__ import annotations

import numpy as np
import pytest

import symtensor as st
from symtensor.ops.registry import OPS
from symtensor.testing import Sample, checks, conformance

NO_SAMPLES = {
    "placeholder": "its value is the argument: every sample has some",
    "parameter": "stands for a body's argument: the samples of scan, cond and while have some",
    "variable": "its value is state: see test_function.py",
    "result": "picks a result: the samples of ops with several results have some",
    "steered": "is what custom_gradient builds: see the tests of derivatives",
}
NO_GRADIENT_SAMPLE = {
    "floor_divide", "heaviside", "isinf", "isnan", "isneginf", "isposinf", "nextafter",
    "not_equal", "signbit",  # zero derivative, or none
    "print", "specify_shape", "steered",  # identities; need an effect, a guard or a user's rule
    "random_bits", "while",  # integer result; refuses reverse mode unless bounded
}  # fmt: skip

SAMPLES = conformance.samples_by_op()
BUILT_IN = conformance.built_in_ops()
everything = pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)


def test_every_op_has_samples() -> None:
    missing = {
        name
        for name in BUILT_IN
        if name not in NO_SAMPLES and not any(s.truth is not None for s in SAMPLES.get(name, ()))
    }
    assert not missing, f"ops without a sample: {', '.join(sorted(missing))}"
    assert set(NO_SAMPLES) <= set(OPS)


def test_every_gradient_rule_is_checked() -> None:
    checked: set[str] = set()
    for sample in (s for samples in SAMPLES.values() for s in samples):
        if checks.differentiable_inputs(sample):
            checked |= {node.op.name for node in checks.sample_graph(sample).nodes()}
    rules = {name for name, op in BUILT_IN.items() if op.vjp is not None}
    missing = rules - checked - NO_GRADIENT_SAMPLE
    assert not missing, f"gradient rules without a sample: {', '.join(sorted(missing))}"


def test_every_sample_has_an_own_name() -> None:
    names = [s.id for samples in SAMPLES.values() for s in samples]
    assert len(set(names)) == len(names)


@everything
def test_types_are_as_inferred(samples: list[Sample]) -> None:
    checks.check_types(samples)


@everything
def test_text_reads_back(samples: list[Sample]) -> None:
    checks.check_text(samples)


@everything
def test_values_without_passes(samples: list[Sample]) -> None:
    checks.check_values(samples, "numpy", passes=[])


@everything
def test_values_inside_a_fused_expression(samples: list[Sample]) -> None:
    checks.check_fused(samples, "llvm")


@everything
def test_gradients(samples: list[Sample]) -> None:
    for sample in samples:
        checks.check_gradient(sample)


# --- the checks themselves: each must find its fault ---------------------------------------------

HALF = np.array([0.5, -1.5])


def fails(check: object, *args: object) -> str:
    with pytest.raises(AssertionError) as caught:
        check(*args)  # type: ignore[operator]
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def test_a_wrong_value_is_found() -> None:
    sample = Sample("tanh", lambda x: st.tanh(x), (HALF,), lambda x: np.tanh(x) + 1e-15, ulp=1)
    text = fails(checks.check_values, [sample], "numpy")
    assert "2 of 2 elements differ" in text or "1 of 2 elements differ" in text
    assert "tanh/float64[2]" in text and "ULP" in text


def test_a_wrong_dtype_or_shape_is_found() -> None:
    narrow = Sample("tanh", lambda x: st.tanh(x), (HALF,), lambda x: np.tanh(x).astype("f4"))
    assert "expected dtype float32" in fails(checks.check_values, [narrow], "numpy")
    long = Sample("tanh", lambda x: st.tanh(x), (HALF,), lambda x: np.tanh(x)[:1])
    assert "expected shape (1,)" in fails(checks.check_values, [long], "numpy")


def test_a_zero_of_the_wrong_sign_is_found() -> None:
    sample = Sample("abs", lambda x: st.abs(x), (np.array(-0.0),), lambda x: x)
    assert "expected np.float64(-0.0)" in fails(checks.check_values, [sample], "numpy")


def test_a_missing_error_is_found() -> None:
    sample = Sample("tanh", lambda x: st.tanh(x), (HALF,), raises=ValueError)
    assert "nothing was raised" in fails(checks.check_errors, [sample], "numpy")


def test_a_size_that_was_built_in_is_found() -> None:
    def build(x: st.Tensor) -> st.Tensor:
        return st.sum(x) / 2.0

    sample = Sample("mean", build, (HALF,), np.mean, resize=[(np.ones(3),)])
    checks.check_values([sample], "numpy")
    fails(checks.check_sizes, [sample], "numpy")


@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_gradient_is_found(order: int) -> None:
    name = f"slightly_wrong_{order}"
    # order 1: the rule is off; order 2: its own derivative is
    cos = st.custom_op(f"cos_{order}", np.cos, vjp=lambda g, y, x: (-g * st.sin(x) * 1.0001,))
    factor = 1.0001 if order == 1 else 1.0
    wrong = st.custom_op(name, np.sin, vjp=lambda g, y, x: (g * cos(x) * factor,))
    try:
        sample = Sample(name, lambda x: wrong(x), (HALF,), np.sin, order=2)
        text = fails(checks.check_gradient, sample)
        assert ("Jacobian" if order == 1 else "second derivative") in text
        assert "analytic" in text and "numeric" in text
    finally:
        for op in (name, f"cos_{order}"):
            OPS.pop(op, None)
