"""What comes with Keras, on this backend: applications, wrappers for scikit-learn, preprocessing."""

import os
import subprocess
import sys

import numpy as np
import pytest
from on_keras import CLASSES, KB, ROWS, TARGETS, drawn, keras, layers, models, sequential

from symtensor import backend

applications, optimizers = keras.applications, keras.optimizers
pytestmark = pytest.mark.filterwarnings("ignore")


# --- applications, without their weights (those would be fetched) ------------------------------------


def test_an_application_trains():
    """27 layers that ask for the learning phase stand one behind the other."""
    base = applications.MobileNet(
        weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg", alpha=0.25
    )
    assert base.count_params() == 218_544
    model = models.Model(base.input, layers.Dense(2, activation="softmax")(base.output))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = drawn(4, 32, 32, 3), np.array([0, 1, 0, 1])
    before = base.get_weights()[0]
    assert np.isfinite(model.train_on_batch(x, y))
    assert (base.get_weights()[0] != before).any()
    np.testing.assert_allclose(model.predict(x).sum(-1), 1, rtol=1e-5)


# --- scikit-learn --------------------------------------------------------------------------------


def build_classifier(units=2, rate=0.1):
    model = sequential(layers.Dense(units, activation="softmax", input_shape=(5,)))
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_classifiers():
    from keras.wrappers.scikit_learn import KerasClassifier

    names = np.array(["no", "yes"])[CLASSES]
    classifier = KerasClassifier(build_classifier, epochs=100, verbose=0)
    classifier.fit(ROWS, names)
    assert classifier.score(ROWS, names) >= 0.9
    assert set(classifier.predict(ROWS)) == {"no", "yes"}
    np.testing.assert_allclose(classifier.predict_proba(ROWS).sum(-1), 1, rtol=1e-5)


def test_scikit_learn_searches_and_validates():
    model_selection = pytest.importorskip("sklearn.model_selection")
    from keras.wrappers.scikit_learn import KerasClassifier

    def build(units=4):
        model = sequential(
            layers.Dense(units, activation="relu", input_shape=(4,)),
            layers.Dense(3, activation="softmax"),
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).standard_normal((60, 4)).astype("float32")
    y = np.arange(60) % 3
    wrapper = KerasClassifier(build, epochs=2, batch_size=20, verbose=0)
    scores = model_selection.cross_val_score(wrapper, x, y, cv=3)
    assert scores.shape == (3,) and (scores >= 0).all()
    search = model_selection.GridSearchCV(wrapper, {"units": [2, 5]}, cv=2).fit(x, y)
    assert search.best_params_["units"] in (2, 5)


def test_regressors():
    from keras.wrappers.scikit_learn import KerasRegressor

    def build(rate=0.1):
        model = sequential(layers.Dense(1, input_shape=(5,)))
        model.compile(optimizers.Adam(rate), "mse")
        return model

    y = ROWS @ np.arange(5.0)
    regressor = KerasRegressor(build, epochs=200, verbose=0)
    regressor.fit(ROWS, y)
    np.testing.assert_allclose(regressor.predict(ROWS), y, atol=0.2)
    assert regressor.score(ROWS, y) > -0.01  # the negative loss
    assert regressor.get_params()["epochs"] == 200
    with pytest.raises(ValueError, match="parameter"):
        regressor.set_params(unknown=1)


# --- data ----------------------------------------------------------------------------------------


def test_images_on_the_fly():
    pytest.importorskip("scipy")
    from keras.preprocessing.image import ImageDataGenerator

    images = drawn(16, 8, 8, 3) + 5
    source = ImageDataGenerator(
        featurewise_center=True, rotation_range=20, width_shift_range=0.1, horizontal_flip=True
    )
    source.fit(images)
    model = sequential(
        layers.Conv2D(2, 3, input_shape=(8, 8, 3)), layers.Flatten(), layers.Dense(1)
    )
    model.compile("sgd", "mse")
    history = model.fit_generator(source.flow(images, TARGETS, batch_size=8), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_texts_and_series():
    from keras.preprocessing.sequence import TimeseriesGenerator, pad_sequences
    from keras.preprocessing.text import Tokenizer

    words = Tokenizer(num_words=20)
    words.fit_on_texts(["the cat sat", "the dog sat down"])
    numbers = pad_sequences(words.texts_to_sequences(["the cat", "dog down the sat"]), maxlen=4)
    assert numbers.shape == (2, 4) and (numbers[0, :2] == 0).all()
    model = sequential(layers.Embedding(20, 3, mask_zero=True), layers.GRU(2), layers.Dense(1))
    np.testing.assert_allclose(
        model.predict(numbers)[0], model.predict(numbers[:1, 2:])[0], rtol=1e-5, atol=1e-6
    )
    np.random.seed(0)  # the initializers draw their seeds there
    series = TimeseriesGenerator(np.sin(np.arange(60) / 3)[:, None], np.sin(np.arange(60) / 3), 8)
    model = sequential(layers.SimpleRNN(8, input_shape=(8, 1)), layers.Dense(1))
    model.compile(optimizers.Adam(0.02), "mse")
    history = model.fit_generator(series, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


def test_utilities(capsys):
    utils = keras.utils
    np.testing.assert_array_equal(utils.to_categorical([0, 2], 3), np.eye(3)[[0, 2]])
    np.testing.assert_allclose(np.linalg.norm(utils.normalize(ROWS), axis=1), 1, rtol=1e-6)
    model = sequential(layers.Dense(2, input_shape=(5,), name="first"))
    model.summary()
    out = capsys.readouterr().out
    assert "first (Dense)" in out and "Total params: 12" in out
    with pytest.raises(ValueError, match="TensorFlow"):
        utils.multi_gpu_model(model, 2)
    assert KB.count_params(model.layers[0].kernel) == 10


def test_keras_passes_on_every_function_of_the_backend():
    """Keras names `clear_session` and its like for TensorFlow only; users call them all the same."""
    missing = [name for name in backend.__all__ if not hasattr(KB, name)]
    assert missing == []
    KB.clear_session()
    assert sequential(layers.Dense(1, input_shape=(2,))).layers[0].name == "dense_1"


@pytest.mark.parametrize("first", ["from symtensor import backend", "import keras"])
def test_a_session_is_cleared_before_there_is_a_layer(first):
    """Whichever of both is imported first."""
    program = f"{first}; from keras import backend as K; K.clear_session(); print(K.backend())"
    environment = {**os.environ, "KERAS_BACKEND": "symtensor.backend"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "symtensor.backend\n", done.stderr
