"""K.rnn against a NumPy loop: masks, direction, unrolling, constants, gradients."""

import numpy as np
import pytest

from symtensor import backend as K
from symtensor import config

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3, 5, 4)).astype("f4")
H = RNG.normal(size=(3, 2)).astype("f4")
W = RNG.normal(size=(4, 2)).astype("f4")
U = RNG.normal(size=(2, 2)).astype("f4")
MASK = np.array([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1]])


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


def expected(x, mask, shift):
    h, out, outputs = H, np.zeros_like(H), []
    for t in range(x.shape[1]):
        new = np.tanh(x[:, t] @ W + h @ U + shift)
        keep = mask[:, t, None] != 0
        out, h = np.where(keep, new * 2, out), np.where(keep, new, h)
        outputs.append(out)
    return out, np.stack(outputs, 1), h


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_values(masked, unroll, backwards):
    x, h = K.placeholder((None, 5 if unroll else None, 4)), K.placeholder((None, 2))
    mask = K.placeholder(ndim=2) if masked else None
    w, u, shift = K.variable(W), K.variable(U), K.constant([0.5, -0.5])

    def step(now, states):
        new = K.tanh(K.dot(now, w) + K.dot(states[0], u) + states[1])
        return new * 2, [new]

    last, outputs, (state,) = K.rnn(step, x, [h], backwards, mask, [shift], unroll)
    loss = K.sum(outputs * outputs) + K.sum(state)
    feeds = [X, H, MASK] if masked else [X, H]
    inputs = [x, h, mask] if masked else [x, h]
    *found, value, g = K.function(inputs, [last, outputs, state, loss, *K.gradients(loss, [w])])(
        feeds
    )
    order = slice(None, None, -1 if backwards else 1)
    seen = MASK if masked else np.ones_like(MASK)
    wanted = expected(X[:, order], seen[:, order], [0.5, -0.5])
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)
    assert value.shape == () and g.shape == W.shape and np.isfinite(g).all() and abs(g).max() > 0


@pytest.mark.parametrize("unroll", [False, True])
def test_time_may_come_first_and_masked_outputs_be_zero(unroll):
    x, h, mask = K.placeholder((5, None, 4)), K.placeholder((None, 2)), K.placeholder((5, None))
    w, u = K.variable(W), K.variable(U)

    def step(now, states):
        new = K.tanh(K.dot(now, w) + K.dot(states[0], u))
        return new * 2, [new]

    last, outputs, (state,) = K.rnn(
        step, x, [h], mask=mask, unroll=unroll, time_major=True, zero_output_for_mask=True
    )
    found = K.function([x, h, mask], [last, outputs, state])([X.swapaxes(0, 1), H, MASK.T])
    _, repeated, kept = expected(X, MASK, 0)
    zeroed = np.where(MASK[..., None] != 0, repeated, 0)
    for a, b in zip(found, [zeroed[:, -1], zeroed.swapaxes(0, 1), kept], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(("step", "mask", "found"), [
    (lambda x, s: (x, []), None, "0 states, expected 1"),
    (lambda x, s: (x, s), np.ones((3, 5, 2)), "mask"),
    (lambda x, s: (x, s), np.ones(3), "mask"),
])  # fmt: skip
def test_wrong_steps_and_masks_are_refused(step, mask, found):
    with pytest.raises(ValueError, match=found):
        K.rnn(step, K.placeholder((None, 5, 2)), [K.placeholder((None, 2))], mask=mask)


def gradient_by_weights(unroll):
    x, w = K.placeholder((3, 5, 4)), K.variable(W)

    def step(now, states):
        new = K.tanh(K.dot(now, w) + states[0])
        return new, [new]

    zeros, mask = K.zeros((3, 2)), K.constant(MASK)
    _, outputs, _ = K.rnn(step, x, [zeros], unroll=unroll, mask=mask)
    return K.function([x], K.gradients(K.sum(outputs * outputs), [w]))([X])[0]


def test_unrolling_gives_the_same_gradient():
    np.testing.assert_allclose(
        gradient_by_weights(False), gradient_by_weights(True), rtol=1e-3, atol=1e-5
    )


def test_unrolling_an_unknown_length_is_refused():
    with pytest.raises(ValueError, match="known"):
        K.rnn(lambda x, s: (x, []), K.placeholder((None, None, 2)), [], unroll=True)
