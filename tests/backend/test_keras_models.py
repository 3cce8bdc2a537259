"""Models of Keras on this backend: inputs and outputs, sharing, training loops, callbacks, generators."""

import json
import os
from importlib.util import find_spec

import numpy as np
import pytest
from on_keras import (
    CLASSES,
    KB,
    ROWS,
    SERIES,
    TARGETS,
    drawn,
    keras,
    layers,
    models,
    sequential,
    trained,
)

from symtensor import backend as K

callbacks, optimizers = keras.callbacks, keras.optimizers
pytestmark = pytest.mark.filterwarnings("ignore")


def linear():
    model = sequential(layers.Dense(1, input_shape=(5,)))
    model.compile("sgd", "mse")
    return model


class Batches(keras.utils.Sequence):
    """Two halves of the data."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return ROWS[i * 8 : i * 8 + 8], TARGETS[i * 8 : i * 8 + 8]


def test_the_backend_and_its_settings_are_shared():
    assert KB.backend() == "symtensor.backend"
    for module, other in ((KB, K), (K, KB)):
        module.set_floatx("float64")
        assert other.floatx() == "float64" and K.dtype(other.variable(1)) == "float64"
        module.set_floatx("float32")
        assert other.floatx() == "float32"


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_models_in_other_precisions(kind):
    KB.set_floatx(kind)
    try:
        model = sequential(layers.Dense(3, activation="tanh", input_shape=(5,)), layers.Dense(1))
        trained(model, ROWS, TARGETS, optimizer="sgd")
        assert {w.dtype for w in model.get_weights()} == {np.dtype(kind)}
        assert model.predict(ROWS).dtype == kind
    finally:
        KB.set_floatx("float32")


def test_images_with_channels_first():
    KB.set_image_data_format("channels_first")
    try:
        model = sequential(
            layers.Conv2D(3, 3, input_shape=(2, 8, 8)), layers.MaxPooling2D(),
            layers.BatchNormalization(axis=1), layers.GlobalAveragePooling2D(), layers.Dense(1),
        )  # fmt: skip
        assert model.layers[0].output_shape == (None, 3, 6, 6)
        trained(model, drawn(16, 2, 8, 8), TARGETS)
    finally:
        KB.set_image_data_format("channels_last")


# --- graphs of layers ----------------------------------------------------------------------------


def test_several_inputs_and_outputs_and_shared_layers():
    a, b = layers.Input((5,)), layers.Input((5,))
    shared, norm = layers.Dense(4, activation="tanh"), layers.BatchNormalization()
    p, q = shared(a), shared(b)
    joined = layers.concatenate([
        norm(p), norm(q), layers.add([p, q]), layers.multiply([p, q]), layers.dot([p, q], 1),
        layers.maximum([p, q]), layers.minimum([p, q]), layers.average([p, q]),
        layers.subtract([p, q]),
    ])  # fmt: skip
    outs = [
        layers.Dense(1, name="u")(joined),
        layers.Dense(2, activation="softmax", name="v")(joined),
    ]
    model = models.Model([a, b], outs)
    model.compile(
        optimizers.Adam(0.02), {"u": "mse", "v": "sparse_categorical_crossentropy"},
        metrics={"v": "accuracy"}, loss_weights={"u": 1.0, "v": 0.5},
    )  # fmt: skip
    y = [TARGETS, CLASSES]
    before = model.evaluate([ROWS, ROWS[::-1]], y, verbose=0)
    model.fit([ROWS, ROWS[::-1]], y, epochs=40, verbose=0)
    after = model.evaluate([ROWS, ROWS[::-1]], y, verbose=0)
    assert after[0] < 0.8 * before[0]
    np.testing.assert_allclose(after[0], after[1] + 0.5 * after[2], rtol=1e-5)


def test_a_shared_layer_has_the_gradients_of_both_uses():
    a, b = layers.Input((5,)), layers.Input((5,))
    shared = layers.Dense(1, use_bias=False)
    model = models.Model([a, b], layers.add([shared(a), shared(b)]))
    model.compile(optimizers.SGD(0.1), "mse")
    (w,) = model.get_weights()
    model.train_on_batch([ROWS, 2 * ROWS], TARGETS)
    x = 3 * ROWS
    np.testing.assert_allclose(
        model.get_weights()[0], w - 0.1 * 2 / 16 * x.T @ (x @ w - TARGETS), rtol=1e-4, atol=1e-6
    )


def test_models_in_models_and_frozen_ones():
    base = sequential(layers.Dense(4, input_shape=(5,)), layers.BatchNormalization())
    base.trainable = False
    before = base.get_weights()
    x = layers.Input((5,))
    model = models.Model(x, layers.Dense(1)(base(x)))
    assert len(model.trainable_weights) == 2
    trained(model, ROWS, TARGETS)
    for a, b in zip(base.get_weights()[:4], before, strict=False):
        np.testing.assert_array_equal(a, b)
    base.trainable = True
    model.compile("sgd", "mse")
    model.train_on_batch(ROWS, TARGETS)
    assert (base.get_weights()[0] != before[0]).any()


def test_a_subclass_of_model():
    class Two(models.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = layers.Dense(4, activation="relu"), layers.Dense(1)

        def call(self, x):
            return self.outer(self.inner(x))

    model = Two()
    model.compile("adam", "mse")
    losses = model.fit(ROWS, TARGETS, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    w, b, v, c = model.get_weights()
    wanted = np.maximum(ROWS @ w + b, 0) @ v + c
    np.testing.assert_allclose(model.predict(ROWS), wanted, rtol=1e-5, atol=1e-6)


def test_a_layer_of_ones_own_with_updates_and_losses():
    class Counting(layers.Layer):
        def build(self, shape):
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
            super().build(shape)

        def call(self, x):
            self.add_update(KB.update_add(self.seen, KB.cast(KB.shape(x)[0], "float32")), inputs=x)
            self.add_loss(KB.sum(KB.abs(self.scale)))
            return x * self.scale

    layer = Counting(input_shape=(5,))
    model = sequential(layer, layers.Dense(1))
    model.compile("sgd", "mse")
    loss = model.evaluate(ROWS, TARGETS, 16, verbose=0)
    np.testing.assert_allclose(loss, 5 + ((model.predict(ROWS) - TARGETS) ** 2).mean(), rtol=1e-5)
    model.fit(ROWS, TARGETS, batch_size=5, epochs=2, verbose=0)
    assert KB.get_value(layer.seen) == 32


def test_batch_normalization_learns_the_statistics():
    model = sequential(layers.BatchNormalization(momentum=0.5, input_shape=(5,)))
    model.compile("sgd", "mse")
    x = 3 * ROWS + 2
    model.train_on_batch(x, np.zeros_like(x))
    _, _, mean, variance = model.get_weights()
    np.testing.assert_allclose(mean, 0.5 * x.mean(0), rtol=1e-4)
    unbiased = x.var(0) * 16 / (16 - 1 - 1e-3)
    np.testing.assert_allclose(variance, 0.5 + 0.5 * unbiased, rtol=1e-4)


def test_what_a_layer_computes_can_be_looked_at():
    model = sequential(
        layers.Dense(4, activation="relu", input_shape=(5,)), layers.Dropout(0.5), layers.Dense(1)
    )
    look = KB.function([model.input, KB.learning_phase()], [model.layers[1].output])
    w, b = model.layers[0].get_weights()
    wanted = np.maximum(ROWS @ w + b, 0)
    np.testing.assert_allclose(look([ROWS, 0])[0], wanted, rtol=1e-5, atol=1e-6)
    (dropped,) = look([ROWS, 1])
    np.testing.assert_allclose(dropped[dropped > 0], 2 * wanted[dropped > 0], rtol=1e-5)
    (slope,) = KB.gradients(KB.sum(model.output), [model.input])
    (found,) = KB.function([model.input], [slope])([ROWS])
    v, _ = model.layers[2].get_weights()
    np.testing.assert_allclose(found, ((wanted > 0) * v[:, 0]) @ w.T, rtol=1e-5, atol=1e-6)


# --- noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "mean", "deviation"),
    [(layers.Dropout(0.25), 1, (1 / 3) ** 0.5), (layers.GaussianNoise(0.5), 1, 0.5),
     (layers.GaussianDropout(0.2), 1, 0.5), (layers.AlphaDropout(0.2), None, None),
     (layers.SpatialDropout1D(0.25), 1, (1 / 3) ** 0.5)],
    ids=lambda v: getattr(v, "name", ""),
)  # fmt: skip
def test_noise_while_training(layer, mean, deviation):
    x = layers.Input((40, 50))
    run = KB.function([x, KB.learning_phase()], [layer(x)])
    ones = np.ones((20, 40, 50), "f4")
    if mean is None:  # keeps mean and variance of what has 0 and 1
        ones, mean, deviation = drawn(20, 40, 50), 0, 1
    (out,) = run([ones, 1])
    np.testing.assert_allclose(out.mean(), mean, atol=0.06)
    np.testing.assert_allclose(out.std(), deviation, atol=0.06)
    np.testing.assert_array_equal(run([ones, 0])[0], ones)
    assert (run([ones, 1])[0] != out).any()
    if isinstance(layer, layers.SpatialDropout1D):
        assert (out == out[:, :1]).all()


# --- training loops ------------------------------------------------------------------------------


def test_callbacks(tmp_path):
    model = linear()
    seen = []
    model.fit(
        ROWS, TARGETS, validation_split=0.25, verbose=0, epochs=4,
        callbacks=[
            callbacks.ModelCheckpoint(str(tmp_path / "best.h5"), save_best_only=True),
            callbacks.EarlyStopping(patience=3), callbacks.ReduceLROnPlateau(patience=1),
            callbacks.CSVLogger(str(tmp_path / "log.csv")), callbacks.TerminateOnNaN(),
            callbacks.LearningRateScheduler(lambda epoch: 0.05 / (epoch + 1)),
            callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["lr"])),
        ],
    )  # fmt: skip
    assert (tmp_path / "best.h5").exists()
    np.testing.assert_allclose(seen, [0.05, 0.025, 0.05 / 3, 0.0125], rtol=1e-6)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5


def test_callbacks_that_act():
    class Bad(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            KB.set_value(self.model.layers[0].kernel, np.full((5, 1), np.nan))

    model = linear()
    model.fit(ROWS, TARGETS, 4, epochs=5, verbose=0, callbacks=[Bad(), callbacks.TerminateOnNaN()])
    assert model.stop_training
    model = linear()
    KB.set_value(model.optimizer.lr, 0.0)
    stop = callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True, min_delta=1e-3)
    slower = callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1e-3)
    KB.set_value(model.optimizer.lr, 1e-9)
    history = model.fit(ROWS, TARGETS, epochs=9, verbose=0, callbacks=[slower, stop])
    assert len(history.epoch) == 2
    np.testing.assert_allclose(KB.get_value(model.optimizer.lr), 0.5e-9, rtol=1e-5)


def test_a_remote_monitor_posts():
    pytest.importorskip("requests")
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    posted = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        monitor = callbacks.RemoteMonitor(root=root, send_as_json=True)
        linear().fit(ROWS, TARGETS, verbose=0, callbacks=[monitor])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert set(json.loads(posted[0])) == {"loss", "epoch"}


def test_tensorboard_says_what_it_needs():
    if find_spec("tensorflow"):
        pytest.skip("TensorFlow is there")
    with pytest.raises(ImportError, match="TensorFlow"):
        callbacks.TensorBoard()


def test_generators():
    model = linear()
    model.fit_generator(Batches(), epochs=2, verbose=0, workers=2)
    last = model.evaluate(*Batches()[1], verbose=0)  # Keras 2.3.1 reports the last batch's loss
    np.testing.assert_allclose(model.evaluate_generator(Batches()), last, rtol=1e-5)
    np.testing.assert_allclose(model.predict_generator(Batches()), model.predict(ROWS), rtol=1e-6)

    def forever():
        while True:
            yield from (Batches()[i] for i in range(2))

    before = model.evaluate(ROWS, TARGETS, verbose=0)
    history = model.fit_generator(
        forever(), steps_per_epoch=2, epochs=20, verbose=0, validation_data=(ROWS, TARGETS)
    )
    assert history.history["val_loss"][-1] < before
    model.fit(Batches(), epochs=1, verbose=0)  # fit takes them too


def test_generators_in_other_processes():
    """Forked workers make the batches; compiled functions and the thread pool stay here."""
    if not hasattr(os, "fork"):
        pytest.skip("the platform has no fork")
    model = linear()
    model.fit_generator(Batches(), epochs=2, verbose=0, workers=2, use_multiprocessing=True)
    assert np.isfinite(model.evaluate(ROWS, TARGETS, verbose=0))


def test_batches_one_by_one():
    model = linear()
    w, b = model.get_weights()
    loss = model.test_on_batch(ROWS, TARGETS)
    np.testing.assert_allclose(loss, ((ROWS @ w + b - TARGETS) ** 2).mean(), rtol=1e-5)
    assert model.train_on_batch(ROWS, TARGETS) == pytest.approx(loss, rel=1e-6)
    assert model.test_on_batch(ROWS, TARGETS) < loss
    np.testing.assert_array_equal(model.predict_on_batch(ROWS), model.predict(ROWS))


def test_ctc_and_sparse_inputs():
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(4)
    x, label = layers.Input((6, 5)), layers.Input((2,))
    steps, length = layers.Input((1,)), layers.Input((1,))
    y = layers.Dense(4, activation="softmax")(x)
    cost = layers.Lambda(lambda a: KB.ctc_batch_cost(*a), output_shape=(1,))(
        [label, y, steps, length]
    )
    model = models.Model([x, label, steps, length], cost)
    model.compile(optimizers.Adam(0.1), lambda target, found: found)
    given = [SERIES, rng.integers(0, 3, (16, 2)), np.full((16, 1), 6), np.full((16, 1), 2)]
    losses = model.fit(given, np.zeros((16, 1)), epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]

    matrix = sparse.random(16, 30, 0.1, format="csr", dtype="f4", random_state=1)
    inputs = layers.Input((30,), sparse=True)
    model = models.Model(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    model.fit(matrix, TARGETS, batch_size=16, verbose=0)
    w, b = model.get_weights()
    np.testing.assert_allclose(model.predict(matrix, batch_size=16), matrix @ w + b, rtol=1e-4)
