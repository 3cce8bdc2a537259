"""The jax engine on a GPU, where there is one: contracts, a sample of the catalogue, a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.testing import conformance

jax = pytest.importorskip("jax")


@pytest.fixture(scope="module")
def engine() -> Any:
    from symtensor.engines.jax import JaxEngine

    try:
        device = jax.devices("gpu")[0]
    except RuntimeError:
        found = ", ".join(sorted({d.platform for d in jax.devices()}))
        pytest.skip(f"needs a GPU and a jax built for it; jax finds only: {found}")
    return JaxEngine(device=device)


CASES = conformance.cases()
CHOSEN = [c for c in CASES if c.name.startswith("contract/")] + CASES[::10]


@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_conforms_on_the_gpu(case: conformance.Case, engine: Any) -> None:
    if not case.applies_to(engine):
        pytest.skip("the engine does not claim what the case needs")
    case.run(engine)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_quotients_and_roots_are_right_to_the_last_bit(dtype: str, engine: Any) -> None:
    """XLA's own of single precision are not: x / x is not always 1."""
    rng, edges = np.random.default_rng(0), [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 3.0]
    a, b = (np.append(rng.normal(size=300_000), grid).astype(dtype)
            for grid in map(np.ravel, np.meshgrid(edges, edges)))  # fmt: skip
    x, y = st.placeholder(a.shape, dtype), st.placeholder(b.shape, dtype)
    outputs = [x / y, st.reciprocal(y), st.sqrt(x), st.rsqrt(x), x / 3, x / x]
    found = st.function([x, y], outputs, engine=engine, passes=[])(a, b)
    with np.errstate(all="ignore"):
        root = np.sqrt(a)
        wanted = [a / b, 1 / b, root, 1 / root, a / a.dtype.type(3), a / a]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_a_training_on_the_gpu_is_that_of_the_reference(engine: Any) -> None:
    from mesh_program import network

    (step, weights, batches), (same, others, _) = network(engine), network("numpy")
    losses = [step(*batch) for batch in batches]
    np.testing.assert_allclose(losses, [same(*batch) for batch in batches], rtol=1e-4)
    for name, w in weights.items():
        np.testing.assert_allclose(w.get_value(), others[name].get_value(), rtol=1e-3, atol=1e-5)
    assert isinstance(st.get_engine(engine), type(engine)) and "on cuda" in step.explain().lower()
