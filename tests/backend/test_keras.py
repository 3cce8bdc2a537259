"""Keras 2.3.1 itself, on this backend."""

import numpy as np
import pytest
from on_keras import CLASSES, KB, ROWS, SERIES, TARGETS, keras, layers, models, sequential, trained

from symtensor import backend as K

callbacks, metrics, optimizers = keras.callbacks, keras.metrics, keras.optimizers
pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(4)


def test_the_backend_and_its_settings_are_shared():
    assert KB.backend() == "symtensor.backend"
    for module, other in ((KB, K), (K, KB)):
        module.set_floatx("float64")
        assert other.floatx() == "float64" and K.dtype(other.variable(1)) == "float64"
        module.set_floatx("float32")
        assert other.floatx() == "float32"


def test_embedding_with_a_mask():
    words = RNG.integers(0, 10, (16, 6))
    model = sequential(
        layers.Embedding(10, 4, mask_zero=True, input_length=6), layers.LSTM(4),
        layers.Dense(1, activation="sigmoid"),
    )  # fmt: skip
    losses = trained(model, words, CLASSES, "binary_crossentropy", optimizers.Adam(0.05), 30)
    assert losses[-1] < 0.6 * losses[0]


def test_several_inputs_and_outputs_and_shared_layers():
    a, b = layers.Input((5,)), layers.Input((5,))
    shared, norm = layers.Dense(4, activation="tanh"), layers.BatchNormalization()
    p, q = shared(a), shared(b)
    joined = layers.concatenate([
        norm(p), norm(q), layers.add([p, q]), layers.multiply([p, q]), layers.dot([p, q], 1),
        layers.maximum([p, q]), layers.average([p, q]), layers.subtract([p, q]),
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


OPTIMIZERS = [
    "sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam",
    lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
    lambda: optimizers.Adam(amsgrad=True, decay=0.1, clipvalue=0.5),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(OPTIMIZERS)))
def test_optimizers(number):
    chosen = OPTIMIZERS[number]
    model = sequential(
        layers.Dense(4, activation="relu", input_shape=(5,), kernel_regularizer="l2",
                     kernel_constraint="max_norm"),
        layers.Dense(1),
    )  # fmt: skip
    losses = trained(
        model, ROWS, TARGETS, optimizer=chosen if isinstance(chosen, str) else chosen(), epochs=30
    )
    assert losses[-1] < losses[0]


def test_sgd_takes_the_steps_of_the_formula():
    model = sequential(layers.Dense(1, input_shape=(5,), use_bias=False))
    model.compile(optimizers.SGD(0.1), "mse")
    (w,) = (v.astype("f8") for v in model.get_weights())
    for _ in range(3):
        model.train_on_batch(ROWS, TARGETS)
        w = w - 0.1 * 2 / 16 * ROWS.T @ (ROWS @ w - TARGETS)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    "mse mae mape msle squared_hinge hinge categorical_hinge logcosh huber_loss "
    "kullback_leibler_divergence poisson cosine_proximity categorical_crossentropy".split(),
)
def test_losses(loss):
    model = sequential(layers.Dense(4, activation="softmax", input_shape=(5,)))
    trained(model, ROWS, np.eye(4, dtype="f4")[RNG.integers(0, 4, 16)], loss)


def test_metrics_of_an_epoch_are_those_of_its_end():
    """A metric reads what the updates of the same call stored; scikit-learn knows the values."""
    truth = pytest.importorskip("sklearn.metrics")
    model = sequential(layers.Dense(1, activation="sigmoid", input_shape=(5,)))
    model.compile(
        "sgd", "binary_crossentropy",
        metrics=["acc", metrics.Precision(), metrics.Recall(), metrics.TruePositives(), "mae"],
    )  # fmt: skip
    guess = model.predict(ROWS)[:, 0]
    found = model.evaluate(ROWS, CLASSES, batch_size=5, verbose=0)[1:]
    said = guess > 0.5
    wanted = [
        truth.accuracy_score(CLASSES, said),
        truth.precision_score(CLASSES, said, zero_division=0),
        truth.recall_score(CLASSES, said),
        (said & (CLASSES == 1)).sum(),
        abs(guess - CLASSES).mean(),
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_callbacks_and_generators(tmp_path):
    model = sequential(layers.Dense(1, input_shape=(5,)))
    model.compile("sgd", "mse")
    model.fit(
        ROWS, TARGETS, validation_split=0.25, verbose=0, epochs=4,
        callbacks=[
            callbacks.ModelCheckpoint(str(tmp_path / "best.h5"), save_best_only=True),
            callbacks.EarlyStopping(patience=3), callbacks.ReduceLROnPlateau(patience=1),
            callbacks.CSVLogger(str(tmp_path / "log.csv")), callbacks.TerminateOnNaN(),
            callbacks.LearningRateScheduler(lambda epoch: 0.05 / (epoch + 1)),
        ],
    )  # fmt: skip
    assert (tmp_path / "best.h5").exists()
    np.testing.assert_allclose(KB.get_value(model.optimizer.lr), 0.05 / 4, rtol=1e-6)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5

    class Batches(keras.utils.Sequence):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return ROWS[i * 8 : i * 8 + 8], TARGETS[i * 8 : i * 8 + 8]

    model.fit_generator(Batches(), epochs=2, verbose=0, workers=2)
    last = model.evaluate(*Batches()[1], verbose=0)  # Keras 2.3.1 reports the last batch's loss
    np.testing.assert_allclose(model.evaluate_generator(Batches()), last, rtol=1e-5)
    np.testing.assert_allclose(model.predict_generator(Batches()), model.predict(ROWS), rtol=1e-6)


def test_saving_models_and_weights(tmp_path):
    model = sequential(
        layers.Dense(8, activation="relu", input_shape=(5,)), layers.BatchNormalization(),
        layers.Dropout(0.1), layers.Dense(2, activation="softmax"),
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(ROWS, CLASSES, epochs=3, verbose=0)
    guess = model.predict(ROWS)
    model.save(str(tmp_path / "model.h5"))
    loaded = models.load_model(str(tmp_path / "model.h5"))
    np.testing.assert_array_equal(loaded.predict(ROWS), guess)
    for a, b in zip(model.optimizer.get_weights(), loaded.optimizer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    loaded.fit(ROWS, CLASSES, verbose=0)
    model.save_weights(str(tmp_path / "weights.h5"))
    fresh = models.model_from_json(model.to_json())
    fresh.load_weights(str(tmp_path / "weights.h5"))
    np.testing.assert_array_equal(fresh.predict(ROWS), guess)
    model.trainable = False
    assert models.clone_model(model).count_params() == model.count_params()


def test_a_frozen_model_in_a_model():
    base = sequential(layers.Dense(4, input_shape=(5,)))
    base.trainable = False
    (kernel, _) = base.get_weights()
    trained(sequential(base, layers.Dense(1)), ROWS, TARGETS)
    np.testing.assert_array_equal(base.get_weights()[0], kernel)


def test_ctc_and_sparse_inputs():
    sparse = pytest.importorskip("scipy.sparse")
    x, label = layers.Input((6, 5)), layers.Input((2,))
    steps, length = layers.Input((1,)), layers.Input((1,))
    y = layers.Dense(4, activation="softmax")(x)
    cost = layers.Lambda(lambda a: KB.ctc_batch_cost(*a), output_shape=(1,))(
        [label, y, steps, length]
    )
    model = models.Model([x, label, steps, length], cost)
    model.compile(optimizers.Adam(0.1), lambda target, found: found)
    given = [SERIES, RNG.integers(0, 3, (16, 2)), np.full((16, 1), 6), np.full((16, 1), 2)]
    losses = model.fit(given, np.zeros((16, 1)), epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]

    matrix = sparse.random(16, 30, 0.1, format="csr", dtype="f4", random_state=1)
    inputs = layers.Input((30,), sparse=True)
    model = models.Model(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    model.fit(matrix, TARGETS, batch_size=16, verbose=0)
    w, b = model.get_weights()
    np.testing.assert_allclose(model.predict(matrix, batch_size=16), matrix @ w + b, rtol=1e-4)


def test_the_wrapper_for_scikit_learn():
    from keras.wrappers.scikit_learn import KerasClassifier

    def build():
        model = sequential(layers.Dense(2, activation="softmax", input_shape=(5,)))
        model.compile(optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    signs = (ROWS[:, 0] > 0).astype("i4")
    classifier = KerasClassifier(build, epochs=100, verbose=0)
    classifier.fit(ROWS, signs)
    assert classifier.score(ROWS, signs) >= 0.9
