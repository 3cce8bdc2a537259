"""Saving and loading Keras models on this backend: HDF5, JSON, YAML, pickle, streams, single weights."""

import io
import pickle

import numpy as np
import pytest
from on_keras import CLASSES, KB, ROWS, SERIES, drawn, keras, layers, models, sequential

from symtensor.backend import compatibility

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore")


def classifier(name="a"):
    return sequential(
        layers.Dense(8, activation="relu", input_shape=(5,), name=f"{name}_1"),
        layers.BatchNormalization(name=f"{name}_2"), layers.Dropout(0.1),
        layers.Dense(2, activation="softmax", name=f"{name}_3"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    model = classifier()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(ROWS, CLASSES, epochs=3, verbose=0)
    return model


def check_same(loaded, model):
    """The loaded model predicts the same and takes the same next step."""
    np.testing.assert_array_equal(loaded.predict(ROWS), model.predict(ROWS))
    for a, b in zip(model.optimizer.get_weights(), loaded.optimizer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert KB.get_value(loaded.optimizer.iterations) == 3
    loaded.fit(ROWS, CLASSES, verbose=0)


def test_whole_models(fitted, tmp_path):
    path = tmp_path / "model.h5"
    fitted.save(str(path))
    check_same(models.load_model(str(path)), fitted)
    with h5py.File(path, "r") as file:
        assert file.attrs["backend"] == "symtensor.backend"
    fitted.save(path)  # a Path, and over an older file
    check_same(models.load_model(path), fitted)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        fitted.save(file.create_group("part"))
        check_same(models.load_model(file["part"]), fitted)


def test_streams_and_pickles(fitted):
    stream = io.BytesIO()
    fitted.save(stream)
    stream.seek(0)
    check_same(models.load_model(stream), fitted)
    check_same(pickle.loads(pickle.dumps(fitted)), fitted)


def test_configurations(fitted):
    pytest.importorskip("yaml")
    for fresh in (
        models.model_from_json(fitted.to_json()),
        models.model_from_yaml(fitted.to_yaml()),
        models.Sequential.from_config(fitted.get_config()),
        models.clone_model(fitted),
    ):
        assert (fresh.get_weights()[0] != fitted.get_weights()[0]).any()
        fresh.set_weights(fitted.get_weights())
        np.testing.assert_array_equal(fresh.predict(ROWS), fitted.predict(ROWS))


def test_weights_in_order_and_by_name(fitted, tmp_path):
    path = str(tmp_path / "weights.h5")
    fitted.save_weights(path)
    other = classifier("b")
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(ROWS), fitted.predict(ROWS))
    named = sequential(
        layers.Dense(8, input_shape=(5,), name="a_1"), layers.Dense(3, name="new"),
        layers.Dense(4, name="a_3"),
    )  # fmt: skip
    last = named.layers[-1].get_weights()[0]
    named.load_weights(path, by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(named.get_weights()[0], fitted.get_weights()[0])
    np.testing.assert_array_equal(named.layers[-1].get_weights()[0], last)  # another shape
    with pytest.raises(ValueError, match="shape"):
        named.load_weights(path, by_name=True)
    with pytest.raises(ValueError, match="layers"):
        sequential(layers.Dense(8, input_shape=(5,))).load_weights(path)


def test_weights_of_models_in_models_and_recurrent_layers(tmp_path):
    def build():
        inner = sequential(layers.LSTM(3, return_sequences=True, input_shape=(6, 5)))
        return sequential(
            inner, layers.Bidirectional(layers.GRU(2, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(3)),
            layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)]),
        )  # fmt: skip

    model, path = build(), str(tmp_path / "weights.h5")
    model.save_weights(path)
    other = build()
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(SERIES), model.predict(SERIES))
    model.save(path)
    np.testing.assert_array_equal(models.load_model(path).predict(SERIES), model.predict(SERIES))


def test_names_of_weights_are_paths(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        classifier().save_weights(tmp_path / "one.h5")
        keras.engine.saving.save_weights_to_hdf5_group(file, classifier().layers)
        assert "kernel" in "".join(file["a_1"].attrs["weight_names"])
        assert file["a_1"][file["a_1"].attrs["weight_names"][0]].shape == (5, 8)


def test_kernels_of_theano_are_turned(tmp_path):
    """Theano convolved, all others correlate: Keras turns the kernels of its files around."""
    model = sequential(layers.Conv2D(2, 3, input_shape=(8, 8, 3)))
    path = str(tmp_path / "weights.h5")
    model.save_weights(path)
    kernel = model.get_weights()[0]
    for backend, wanted in {"theano": kernel[::-1, ::-1], "tensorflow": kernel}.items():
        with h5py.File(path, "r+") as file:
            file.attrs["backend"] = backend.encode()
        model.load_weights(path)
        np.testing.assert_array_equal(model.get_weights()[0], wanted)
        model.set_weights([kernel, model.get_weights()[1]])


def test_objects_of_ones_own(tmp_path):
    class Scale(layers.Layer):
        def __init__(self, by=2.0, **options):
            super().__init__(**options)
            self.by = by

        def call(self, x):
            return x * self.by

        def get_config(self):
            return {**super().get_config(), "by": self.by}

    def cubic(target, guess):
        return KB.mean(KB.abs(target - guess) ** 3)

    model = sequential(Scale(3.0, input_shape=(5,)), layers.Dense(1))
    model.compile("sgd", cubic)
    model.fit(ROWS, CLASSES, verbose=0)
    path = str(tmp_path / "model.h5")
    model.save(path)
    with pytest.raises(ValueError, match="Scale"):
        models.load_model(path)
    loaded = models.load_model(path, {"Scale": Scale, "cubic": cubic})
    assert loaded.evaluate(ROWS, CLASSES, verbose=0) == model.evaluate(ROWS, CLASSES, verbose=0)
    with keras.utils.CustomObjectScope({"Scale": Scale, "cubic": cubic}):
        np.testing.assert_array_equal(models.load_model(path).predict(ROWS), model.predict(ROWS))


def test_lambdas_are_saved_as_code(tmp_path):
    model = sequential(layers.Lambda(lambda x: x**2 + 1, input_shape=(5,)))
    path = str(tmp_path / "model.h5")
    model.save(path)
    np.testing.assert_allclose(models.load_model(path).predict(ROWS), ROWS**2 + 1, rtol=1e-6)


def test_checkpoints_of_weights(tmp_path):
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    keep = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch:02d}.h5"), save_weights_only=True)
    model.fit(ROWS, CLASSES, epochs=2, verbose=0, callbacks=[keep])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["01.h5", "02.h5"]
    other = classifier()
    other.load_weights(str(tmp_path / "02.h5"))
    np.testing.assert_array_equal(other.predict(ROWS), model.predict(ROWS))


def test_matrices_in_files(tmp_path):
    path = str(tmp_path / "data.h5")
    with h5py.File(path, "w") as file:
        file["x"] = drawn(16, 5)
    x = keras.utils.HDF5Matrix(path, "x")
    model = classifier()
    np.testing.assert_array_equal(model.predict(x), model.predict(drawn(16, 5)))


def test_the_compatibility_layer_may_be_installed_twice(tmp_path):
    compatibility.install()
    compatibility.install()
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["name"], file.attrs["names"] = "a", ["b", "c"]
    with h5py.File(path) as file:  # without a mode an old file is still only read
        assert file.mode == "r"
        assert file.attrs["name"].decode() == "a" == file.attrs["name"]
        assert [n.decode("utf8") for n in file.attrs["names"]] == ["b", "c"]
    with pytest.raises(OSError):
        h5py.File(tmp_path / "missing.h5")
