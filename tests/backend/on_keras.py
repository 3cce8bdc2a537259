"""Keras 2.3.1 on this backend, for the tests beside this file: its modules, small data, `trained`.

Where Keras is not installed, a test file that imports from here is skipped.
"""

import os
import warnings

import numpy as np
import pytest

from symtensor.backend import compatibility

os.environ["KERAS_BACKEND"] = "symtensor.backend"
compatibility.install()  # other tests of the process may have imported the backend already
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Keras is of 2019
    keras = pytest.importorskip("keras", minversion="2.3.1")

KB, layers, models = keras.backend, keras.layers, keras.models


def drawn(*shape, seed=0):
    """Return normal numbers, float32: the same for the same shape and seed."""
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


SERIES = drawn(16, 6, 5)
ROWS = SERIES[:, 0]
TARGETS = drawn(16, 1, seed=1)
CLASSES = (ROWS[:, 0] > 0).astype("i4")


def sequential(*stack):
    return models.Sequential([layer for layer in stack if isinstance(layer, layers.Layer)])


def trained(model, x, y, loss="mse", optimizer="adam", epochs=2):
    """Train; the weights and losses must stay finite, some weight must change, predictions fit."""
    model.compile(optimizer, loss)
    before = model.get_weights()
    found = model.fit(x, y, epochs=epochs, batch_size=8, verbose=0).history["loss"]
    after = model.get_weights()
    assert np.isfinite(found).all()
    assert all(np.isfinite(w).all() for w in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    assert len(model.predict(x)) == len(y)
    return found
