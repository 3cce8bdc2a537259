"""Recurrent layers of Keras on this backend: masks, states, dropout, cells, wrappers."""

import layer_truth as truth
import numpy as np
import pytest
from on_keras import KB, SERIES, TARGETS, drawn, keras, layers, models, sequential, trained

pytestmark = pytest.mark.filterwarnings("ignore")
ConvRNN2D = keras.layers.convolutional_recurrent.ConvRNN2D
KINDS = [layers.SimpleRNN, layers.GRU, layers.LSTM]
TRUTHS = [truth.simple_rnn, truth.gru, truth.lstm]
MOVIES = drawn(4, 6, 5, 5, 2)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


# --- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "says"), list(zip(KINDS, TRUTHS, strict=True)))
def test_masked_steps_do_not_count(kind, says):
    """Each sample's result is that of its own steps alone, wherever the masked ones are."""
    steps = np.random.default_rng(2).random((16, 6)) < 0.6
    steps[0] = True
    x = np.where(steps[..., None], SERIES, 0)
    model = sequential(layers.Masking(input_shape=(6, 5)), kind(4))
    weights = [w.astype("f8") for w in model.get_weights()]
    found = model.predict(x)
    for row, there, last in zip(x, steps, found, strict=True):
        if there.any():
            close(last, says(weights, row[None, there])[0, -1])
        else:
            close(last, 0)


def test_masked_outputs_repeat_the_one_before():
    x = SERIES.copy()
    x[:, [0, 3]] = 0
    model = sequential(layers.Masking(input_shape=(6, 5)), layers.GRU(4, return_sequences=True))
    out = model.predict(x)
    np.testing.assert_array_equal(out[:, 0], 0)
    np.testing.assert_array_equal(out[:, 3], out[:, 2])


def test_a_mask_goes_both_ways_and_through_distributed_layers():
    x = SERIES.copy()
    x[:, 4:] = 0
    model = sequential(
        layers.Masking(input_shape=(6, 5)),
        layers.TimeDistributed(layers.Dense(3)),
        layers.Bidirectional(layers.GRU(2)),
    )  # fmt: skip
    kernel, bias, *weights = (w.astype("f8") for w in model.get_weights())
    y = x[:, :4] @ kernel + bias
    wanted = [truth.gru(w, z)[:, -1] for w, z in ((weights[:3], y), (weights[3:], y[:, ::-1]))]
    close(model.predict(x), np.concatenate(wanted, -1))


def test_words_of_number_zero_are_no_words():
    words = np.random.default_rng(0).integers(1, 10, (16, 6))
    model = sequential(layers.Embedding(10, 4, mask_zero=True), layers.LSTM(4))
    short = model.predict(words)
    close(model.predict(np.pad(words, [(0, 0), (0, 3)])), short)
    close(model.predict(np.pad(words, [(0, 0), (2, 0)])), short)


def test_masked_steps_have_no_loss():
    """Keras still divides by the number of all steps."""
    x, y = SERIES.copy(), drawn(16, 6, 1)
    x[:, 4:] = 0
    model = sequential(layers.Masking(input_shape=(6, 5)), layers.Dense(1))
    model.compile("sgd", "mse")
    loss = model.evaluate(x, y, verbose=0, batch_size=16)
    close(loss, np.sum((model.predict(x) - y)[:, :4] ** 2) / y.size)


# --- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_stateful_layers_go_on_where_they_stopped(kind):
    whole = sequential(kind(4, batch_input_shape=(8, 6, 5)))
    parts = sequential(kind(4, stateful=True, batch_input_shape=(8, 3, 5)))
    parts.set_weights(whole.get_weights())
    x = SERIES[:8]
    first = parts.predict(x[:, :3], batch_size=8)
    close(parts.predict(x[:, 3:], batch_size=8), whole.predict(x, batch_size=8))
    parts.reset_states()
    np.testing.assert_array_equal(parts.predict(x[:, :3], batch_size=8), first)


def test_stateful_convolutions():
    whole = sequential(layers.ConvLSTM2D(2, 3, batch_input_shape=(4, 6, 5, 5, 2)))
    parts = sequential(layers.ConvLSTM2D(2, 3, stateful=True, batch_input_shape=(4, 3, 5, 5, 2)))
    parts.set_weights(whole.get_weights())
    parts.predict(MOVIES[:, :3], batch_size=4)
    found = parts.predict(MOVIES[:, 3:], batch_size=4)
    close(found, whole.predict(MOVIES))
    with pytest.raises(ValueError, match="shape"):
        parts.layers[0].reset_states([np.zeros((1, 1))] * 2)


def test_states_set_by_hand_and_training_with_states():
    model = sequential(
        layers.GRU(3, stateful=True, batch_input_shape=(8, 6, 5)), layers.Dense(1)
    )  # fmt: skip
    model.compile("sgd", "mse")
    model.fit(SERIES, TARGETS, batch_size=8, epochs=2, shuffle=False, verbose=0)
    layer = model.layers[0]
    state = drawn(8, 3)
    layer.reset_states(state)
    close(KB.get_value(layer.states[0]), state)


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_takes_the_states_of_an_encoder(kind):
    """Reading the second half from the states after the first is reading all."""
    half = layers.Input((3, 5)), layers.Input((3, 5))
    reader, writer = kind(4, return_state=True), kind(4, return_sequences=True)
    _, *states = reader(half[0])
    out = writer(half[1], initial_state=states)
    model = models.Model(half, out)
    reader.set_weights(writer.get_weights())
    whole = sequential(kind(4, return_sequences=True, input_shape=(6, 5)))
    whole.set_weights(writer.get_weights())
    close(model.predict([SERIES[:, :3], SERIES[:, 3:]]), whole.predict(SERIES)[:, 3:])


def test_states_of_both_directions():
    x = layers.Input((6, 5))
    out, *states = layers.Bidirectional(layers.LSTM(3, return_state=True))(x)
    found = models.Model(x, [out, *states]).predict(SERIES)
    close(found[0], np.concatenate([found[1], found[3]], -1))


def test_any_length_with_one_compile():
    model = sequential(layers.LSTM(4, return_sequences=True, input_shape=(None, 5)))
    weights = [w.astype("f8") for w in model.get_weights()]
    for length in (2, 6, 9):
        x = drawn(3, length, 5)
        close(model.predict(x), truth.lstm(weights, x))
    assert model.predict_function.program().compile_count == 1


# --- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_of_a_layer_drops_the_same_inputs_at_every_step(kind):
    """Nothing comes through where the input is dropped, and what stays is scaled by 1 / (1 - p)."""
    layer = kind(5, dropout=0.5, return_sequences=True, activation="linear", implementation=1)
    x = layers.Input((6, 5))
    y = layer(x)
    run = KB.function([x, KB.learning_phase()], [y])
    if kind is layers.SimpleRNN:  # the identity, and no recurrence
        layer.set_weights([np.eye(5), np.zeros((5, 5)), np.zeros(5)])
        (out,) = run([np.ones((16, 6, 5)), 1])
        assert set(np.unique(out)) == {0.0, 2.0}
        assert (out == out[:, :1]).all()
        (out,) = run([np.ones((16, 6, 5)), 0])
        assert (out == 1).all()
    else:
        first, second = (run([SERIES, 1])[0] for _ in range(2))
        assert abs(first - second).max() > 1e-3
        np.testing.assert_array_equal(run([SERIES, 0])[0], run([SERIES, 0])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_dropout_trains(kind):
    layer = kind(4, dropout=0.2, recurrent_dropout=0.2, implementation=2)
    trained(sequential(layers.InputLayer((6, 5)), layer, layers.Dense(1)), SERIES, TARGETS)
    assert layer.output._uses_learning_phase


# --- cells and wrappers --------------------------------------------------------------------------


class Leaky(layers.Layer):
    """A cell: h' = h / 2 + x w + the sum of a constant of the sequence."""

    def __init__(self, units, **options):
        self.units = self.state_size = units
        super().__init__(**options)

    def build(self, shape):
        shape = shape[0] if isinstance(shape, list) else shape
        self.kernel = self.add_weight(
            shape=(shape[-1], self.units), initializer="uniform", name="kernel"
        )
        super().build(shape)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def call(self, x, states, constants=()):
        h = states[0] / 2 + KB.dot(x, self.kernel)
        for constant in constants:
            h = h + KB.sum(constant, -1, keepdims=True)
        return h, [h]


def test_a_cell_of_ones_own_with_constants():
    x, c = layers.Input((6, 5)), layers.Input((3,))
    layer = layers.RNN(Leaky(4), return_sequences=True)
    model = models.Model([x, c], layer(x, constants=c))
    (kernel,) = model.get_weights()
    given, h = drawn(16, 3), np.zeros((16, 4))
    out = model.predict([SERIES, given])
    for t in range(6):
        h = h / 2 + SERIES[:, t] @ kernel + given.sum(-1, keepdims=True)
        close(out[:, t], h)
    again = models.Model.from_config(model.get_config(), {"Leaky": Leaky})
    again.set_weights(model.get_weights())
    close(again.predict([SERIES, given]), out)


def test_convolutional_cells():
    cell = layers.ConvLSTM2DCell(3, 2)
    model = sequential(ConvRNN2D(cell, return_sequences=True, input_shape=(6, 5, 5, 2)))
    weights = [w.astype("f8") for w in model.get_weights()]
    close(model.predict(MOVIES), truth.conv_lstm(weights, MOVIES))


def test_convolutional_recurrence_backwards_and_with_dropout():
    x = layers.InputLayer((6, 5, 5, 2))
    layer = layers.ConvLSTM2D(2, 3, dropout=0.2, recurrent_dropout=0.2)
    trained(sequential(x, layer, layers.Flatten(), layers.Dense(1)), MOVIES, TARGETS[:4])
    model = sequential(layers.ConvLSTM2D(2, 3, go_backwards=True, input_shape=(6, 5, 5, 2)))
    weights = [w.astype("f8") for w in model.get_weights()]
    close(model.predict(MOVIES), truth.conv_lstm(weights, MOVIES[:, ::-1])[:, -1])


def test_distributed_layers_of_a_fixed_batch():
    """Keras then loops with K.rnn; its step reads a global that nobody has set."""
    vars(keras.layers.wrappers).pop("uses_learning_phase", None)
    x = layers.Input(batch_shape=(16, 6, 5))
    y = layers.TimeDistributed(layers.Dense(2))(x)
    assert not y._uses_learning_phase
    z = layers.TimeDistributed(layers.Dropout(0.5))(y)
    assert z._uses_learning_phase
    model = models.Model(x, z)
    kernel, bias = model.get_weights()
    close(model.predict(SERIES, batch_size=16), SERIES @ kernel + bias)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "concat", None])
def test_ways_to_merge_directions(mode):
    x = layers.Input((6, 5))
    layer = layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True), mode)
    found = models.Model(x, layer(x)).predict(SERIES)
    weights = [w.astype("f8") for w in layer.get_weights()]
    parts = np.split(truth.both_ways(truth.simple_rnn, weights, SERIES), 2, -1)
    merge = {"sum": sum, "mul": np.prod, "ave": np.mean, "concat": np.concatenate, None: list}[mode]
    options = {"mul": {"axis": 0}, "ave": {"axis": 0}, "concat": {"axis": -1}}.get(mode, {})
    for a, b in zip(found, merge(parts, **options), strict=True):
        close(a, b)
