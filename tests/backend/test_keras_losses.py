"""Losses and metrics of Keras on this backend, against NumPy in float64 and scikit-learn."""

import inspect
from types import FunctionType

import layer_truth as truth
import numpy as np
import pytest
from on_keras import CLASSES, KB, ROWS, drawn, keras, layers, models, sequential

losses, metrics = keras.losses, keras.metrics
pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(7)
NUMBERS = drawn(12, 4), drawn(12, 4, seed=1)
POSITIVE = abs(NUMBERS[0]) + 0.1, abs(NUMBERS[1]) + 0.1
SIGNS = np.sign(NUMBERS[0]), NUMBERS[1]
BITS = (NUMBERS[0] > 0).astype("f4"), truth.sigmoid(NUMBERS[1])
ONE_HOT = np.eye(4, dtype="f4")[RNG.integers(0, 4, 12)], truth.softmax(NUMBERS[1])
CHANCES = truth.softmax(NUMBERS[0]), truth.softmax(NUMBERS[1])
INDICES = ONE_HOT[0].argmax(-1)[:, None].astype("f4"), ONE_HOT[1]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def huber(t, p):
    e = abs(p - t)
    return np.where(e < 1, e**2 / 2, e - 0.5)


def chosen(t, p):
    return np.take_along_axis(p, t.astype(int), -1)[:, 0]


# name -> (targets and predictions, the loss of every sample)
LOSSES = {
    "mean_squared_error": (NUMBERS, lambda t, p: ((p - t) ** 2).mean(-1)),
    "mean_absolute_error": (NUMBERS, lambda t, p: abs(p - t).mean(-1)),
    "mean_absolute_percentage_error": (POSITIVE, lambda t, p: 100 * abs(p / t - 1).mean(-1)),
    "mean_squared_logarithmic_error": (
        POSITIVE,
        lambda t, p: (np.log1p(p) - np.log1p(t)).__pow__(2).mean(-1),
    ),
    "squared_hinge": (SIGNS, lambda t, p: (np.maximum(1 - t * p, 0) ** 2).mean(-1)),
    "hinge": (SIGNS, lambda t, p: np.maximum(1 - t * p, 0).mean(-1)),
    "categorical_hinge": (
        ONE_HOT,
        lambda t, p: np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0),
    ),
    "logcosh": (NUMBERS, lambda t, p: np.log(np.cosh(p - t)).mean(-1)),
    "huber_loss": (NUMBERS, huber),
    "categorical_crossentropy": (
        ONE_HOT,
        lambda t, p: -(t * np.log(p / p.sum(-1)[:, None])).sum(-1),
    ),
    "sparse_categorical_crossentropy": (
        INDICES,
        lambda t, p: -np.log(chosen(t, p) / p.sum(-1)),
    ),
    "binary_crossentropy": (
        BITS,
        lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1),
    ),
    "kullback_leibler_divergence": (CHANCES, lambda t, p: (t * np.log(t / p)).sum(-1)),
    "poisson": (POSITIVE, lambda t, p: (p - t * np.log(p)).mean(-1)),
    "cosine_proximity": (NUMBERS, lambda t, p: -(unit(t) * unit(p)).sum(-1)),
}
NO_LOSSES = {"deserialize_keras_object", "serialize_keras_object", "is_categorical_crossentropy",
             "serialize", "deserialize", "get"}  # fmt: skip


def test_no_loss_is_missing():
    found = {
        f.__name__ for name, f in vars(losses).items()
        if isinstance(f, FunctionType) and not name.startswith("_")
    }  # fmt: skip
    assert found - NO_LOSSES == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    """Values and, by differences of the truth, gradients."""
    (target, guess), says = LOSSES[name]
    t, p = KB.placeholder(target.shape), KB.placeholder(guess.shape)
    loss = getattr(losses, name)(t, p)
    run = KB.function([t, p], [loss, *KB.gradients(KB.sum(loss), [p])])
    value, gradient = run([target, guess])
    t64, p64 = target.astype("f8"), guess.astype("f8")
    np.testing.assert_allclose(value, says(t64, p64), rtol=1e-5, atol=1e-6)
    h = 1e-5
    for along in range(guess.shape[-1]):
        step = h * np.eye(guess.shape[-1])[along]
        slope = (says(t64, p64 + step) - says(t64, p64 - step)) / (2 * h)
        slope = slope[:, along] if slope.ndim == 2 else slope
        np.testing.assert_allclose(gradient[:, along], slope, rtol=1e-3, atol=1e-4)


def make_loss_classes():
    """Return objects of all classes of losses that need no arguments, with their functions."""
    classes = {
        name: c for name, c in vars(losses).items()
        if inspect.isclass(c) and issubclass(c, losses.Loss)
        and name not in ("Loss", "LossFunctionWrapper")
    }  # fmt: skip
    functions = {"Huber": "huber_loss", "KLDivergence": "kullback_leibler_divergence",
                 "LogCosh": "logcosh"}  # fmt: skip
    snake = lambda s: "".join(f"_{c.lower()}" if c.isupper() else c for c in s).lstrip("_")  # noqa: E731
    return {name: (c, functions.get(name, snake(name))) for name, c in classes.items()}


@pytest.mark.parametrize("name", make_loss_classes())
def test_classes_of_losses_reduce_and_weigh(name):
    make, function = make_loss_classes()[name]
    (target, guess), says = LOSSES[function]
    each = says(target.astype("f8"), guess.astype("f8"))
    weights = np.linspace(0, 2, 12, dtype="f4")
    weighted = each * (weights if each.ndim == 1 else weights[:, None])
    for reduction, wanted in {
        "none": weighted, "sum": weighted.sum(), "sum_over_batch_size": weighted.mean(),
    }.items():  # fmt: skip
        found = make(reduction=reduction)(KB.constant(target), KB.constant(guess), weights)
        np.testing.assert_allclose(KB.eval(found), wanted, rtol=1e-4, atol=1e-6)


def test_smooth_labels_and_logits():
    t, p = (x.astype("f8") for x in ONE_HOT)
    found = losses.CategoricalCrossentropy(label_smoothing=0.2)(*ONE_HOT)
    wanted = -((0.8 * t + 0.05) * np.log(p)).sum(-1).mean()
    np.testing.assert_allclose(KB.eval(found), wanted, rtol=1e-5)
    found = losses.BinaryCrossentropy(from_logits=True)(BITS[0], KB.constant(NUMBERS[1]))
    wanted = LOSSES["binary_crossentropy"][1](*(x.astype("f8") for x in BITS)).mean()
    np.testing.assert_allclose(KB.eval(found), wanted, rtol=1e-5)


def test_weights_of_samples_and_classes():
    model = sequential(layers.Dense(1, activation="sigmoid", input_shape=(5,)))
    model.compile("sgd", "binary_crossentropy")
    p = model.predict(ROWS)[:, 0].astype("f8")
    each = -np.where(CLASSES == 1, np.log(p), np.log(1 - p))
    weights = np.linspace(0.5, 3, 16)
    found = model.test_on_batch(ROWS, CLASSES, weights)
    np.testing.assert_allclose(found, (each * weights).mean(), rtol=1e-5)
    found = model.train_on_batch(ROWS, CLASSES, class_weight={0: 1.0, 1: 4.0})
    np.testing.assert_allclose(found, (each * np.where(CLASSES == 1, 4, 1)).mean(), rtol=1e-5)


def test_weights_of_time_steps():
    x, y = drawn(8, 6, 5), drawn(8, 6, 1)
    model = sequential(layers.Dense(1, input_shape=(6, 5)))
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    each = ((model.predict(x) - y) ** 2)[..., 0]
    weights = RNG.random((8, 6))
    found = model.test_on_batch(x, y, weights)
    np.testing.assert_allclose(found, (each * weights).mean(), rtol=1e-5)


def test_losses_of_layers_and_models_add_up():
    x = layers.Input((5,))
    inner = layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l1")
    h = inner(x)
    model = models.Model(x, layers.Dense(1)(h))
    model.add_loss(KB.mean(KB.square(h)))
    model.compile("sgd", "mse")
    w, b, v, c = (a.astype("f8") for a in model.get_weights())
    inside = ROWS @ w + b
    y = np.ones((16, 1))
    wanted = (((inside @ v + c) - y) ** 2).mean() + 0.01 * (w**2).sum()
    wanted += 0.01 * abs(inside).sum() + (inside**2).mean()
    np.testing.assert_allclose(model.evaluate(ROWS, y, 16, verbose=0), wanted, rtol=1e-4)
