"""Every layer of Keras on this backend: values against NumPy, one step of training, configurations."""

import inspect

import numpy as np
import pytest
from layer_catalog import CASES
from on_keras import KB, drawn, layers, models

import symtensor as st

pytestmark = pytest.mark.filterwarnings("ignore")

MODELS = {"Model", "Sequential"}  # among the layers once Keras has made one from a configuration
ABSTRACT = {"Layer", "RNN", "Recurrent", "ConvRecurrent2D", "InputLayer"}
ONLY_TENSORFLOW = {"CuDNNGRU", "CuDNNLSTM"}
ELSEWHERE = {"ConvLSTM2DCell"}  # in test_keras_recurrent


KNOWN = {"Highway": layers.Highway, "KB": KB}  # to make layers from their configurations


def test_no_layer_is_missing():
    known = {getattr(layers, label.split()[0]) for label in CASES}
    known |= {getattr(layers, name) for name in ABSTRACT | ONLY_TENSORFLOW | ELSEWHERE}
    missing = [
        name for name, found in vars(layers).items()
        if inspect.isclass(found) and issubclass(found, layers.Layer) and found not in known
        and name not in MODELS
    ]  # fmt: skip
    assert missing == []


@pytest.mark.parametrize("name", sorted(ONLY_TENSORFLOW))
def test_layers_of_cudnn_say_what_they_need(name):
    with pytest.raises(RuntimeError, match="TensorFlow"):
        getattr(layers, name)(3)


def inputs_of(case):
    if case.words:
        return [np.random.default_rng(0).integers(0, case.words, (6, *s)) for s in case.shapes]
    return [drawn(6, *shape, seed=i) for i, shape in enumerate(case.shapes)]


def draw_weights(model):
    """Give a model weights that no initializer would; variances stay positive. Return them."""
    rng = np.random.default_rng(1)
    values = [rng.uniform(-0.6, 0.6, w.shape) for w in model.get_weights()]
    names = [w.name for w in model.weights]
    values = [abs(v) + 0.3 if "variance" in n else v for n, v in zip(names, values, strict=True)]
    model.set_weights(values)
    return [w.astype("f8") for w in model.get_weights()]


@pytest.mark.parametrize("label", CASES)
def test_values(label):
    case = CASES[label]
    given = [layers.Input(shape) for shape in case.shapes]
    layer = case.make()
    model = models.Model(given, layer(given if len(given) > 1 else given[0]))
    weights, xs = draw_weights(model), inputs_of(case)
    wanted = case.says(weights, *(x.astype("f8") for x in xs))
    found = model.predict(xs)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)
    assert all(n in (None, m) for n, m in zip(model.output_shape, found.shape, strict=True))

    again = models.Model.from_config(model.get_config(), KNOWN)
    again.set_weights(model.get_weights())
    with st.engine("numpy"):
        np.testing.assert_allclose(again.predict(xs), wanted, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("label", CASES)
def test_training_reaches_every_weight(label):
    case = CASES[label]
    given = [layers.Input(shape) for shape in case.shapes]
    xs = given if case.words else [layers.Dense(KB.int_shape(x)[-1])(x) for x in given]
    y = case.make()(xs if len(xs) > 1 else xs[0])
    model = models.Model(given, layers.Dense(1)(layers.Lambda(KB.batch_flatten)(y)))
    model.compile("sgd", "mse")
    old = [w.copy() for w in model.get_weights()]
    loss = model.train_on_batch(inputs_of(case), drawn(6, 1, seed=9))
    assert np.isfinite(loss)
    names = [w.name for w in model.weights]
    stuck = [n for n, a, b in zip(names, old, model.get_weights(), strict=True) if (a == b).all()]
    assert stuck == []
