"""Pipelines of stages against the same layers one after the other, and against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symtensor as st

RNG = np.random.default_rng(0)
ENGINES = ["numpy", "llvm"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stages", [1, 2, 5])
@pytest.mark.parametrize("micro", [1, 3, 8])
def test_values_and_gradients_are_those_of_the_layers(engine: str, stages: int, micro: int) -> None:
    x = st.placeholder((None, None, 4), "float64")
    w, b = st.placeholder((stages, 4, 4), "float64"), st.placeholder((stages, 1, 4), "float64")
    piped = st.pipelined(lambda h: st.tanh(h @ w + b) + h, x, stages)
    plain: Any = x
    for i in range(stages):
        plain = st.tanh(plain @ w[i] + b[i]) + plain
    losses = [st.sum(st.sin(3 * y)) for y in (piped, plain)]
    slopes = [g for loss in losses for g in st.gradients(loss, [x, w, b])]
    f = st.function([x, w, b], [piped, *slopes], engine=engine)
    given = [RNG.standard_normal(s) for s in ((micro, 2, 4), (stages, 4, 4), (stages, 1, 4))]
    value, *found = f(*given)
    wanted = given[0]
    for i in range(stages):
        wanted = np.tanh(wanted @ given[1][i] + given[2][i]) + wanted
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    for one, other in zip(found[:3], found[3:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_runs_while_it_fills_spoils_no_gradient(engine: str) -> None:
    x, w = st.placeholder((3, 2), "float64"), st.placeholder((4, 2), "float64")

    def layer(h: st.Tensor) -> st.Tensor:  # NaN at 0, and so would its gradient be
        return h * w / st.sqrt(st.sum(h * h, 1, keepdims=True))

    slopes = st.gradients(st.sum(st.pipelined(layer, x, 4)[:, 0]), [x, w])
    for slope in st.function([x, w], slopes, engine=engine)(
        RNG.uniform(1, 2, (3, 2)), np.ones((4, 2))
    ):
        assert np.isfinite(slope).all()


def test_what_is_no_pipeline() -> None:
    x = st.placeholder((3, 2))
    for stages in (0, 2.0, x):
        with pytest.raises(st.AttributeValueError, match="expected an integer of at least 1"):
            st.pipelined(lambda h: h, x, stages)  # type: ignore[arg-type]
    with pytest.raises(st.ShapeError, match="expected an axis of micro-batches"):
        st.pipelined(lambda h: h, 1.0, 2)
    with pytest.raises(st.SymtensorError):
        st.pipelined(lambda h: h[:, :1], x, 2)
