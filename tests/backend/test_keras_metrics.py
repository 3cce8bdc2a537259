"""Metrics of Keras on this backend: over several batches, against NumPy and scikit-learn."""

import inspect

import numpy as np
import pytest
from on_keras import CLASSES, KB, ROWS, keras, layers, sequential
from test_keras_losses import BITS, INDICES, LOSSES, ONE_HOT

metrics = keras.metrics
pytestmark = pytest.mark.filterwarnings("ignore")


def of(loss):
    """Return data and the mean of a loss."""
    data, says = LOSSES[loss]
    return data, lambda t, p: says(t, p).mean()


def top(k):
    return lambda t, p: np.mean([c in row.argsort()[-k:] for c, row in zip(t, p, strict=True)])


def at_rate(rate, positives):
    """Return the share of right ones of a kind, at the threshold where the other's is next to `rate`."""

    def says(t, p):
        t, p = t.ravel() > 0.5, p.ravel()
        points = [((p[t] > c).mean(), (p[~t] <= c).mean()) for c in np.arange(0, 200) / 199]
        shares = [(a, b) if positives else (b, a) for a, b in points]
        return min(shares, key=lambda share: abs(share[1] - rate))[0]

    return says


def counted(which):
    """Return the number of (true, predicted) pairs of a kind."""
    return lambda t, p: ((t > 0.5) == which[0])[(p > 0.5) == which[1]].sum()


TARGET = ONE_HOT[0].argmax(-1)
# name -> (arguments, targets and predictions, the metric of all of them)
METRICS = {
    **{name: ((), *of(loss)) for name, loss in {
        "MeanSquaredError": "mean_squared_error", "MeanAbsoluteError": "mean_absolute_error",
        "MeanAbsolutePercentageError": "mean_absolute_percentage_error",
        "MeanSquaredLogarithmicError": "mean_squared_logarithmic_error",
        "Hinge": "hinge", "SquaredHinge": "squared_hinge", "CategoricalHinge": "categorical_hinge",
        "LogCoshError": "logcosh", "Poisson": "poisson",
        "KLDivergence": "kullback_leibler_divergence",
        "BinaryCrossentropy": "binary_crossentropy",
        "CategoricalCrossentropy": "categorical_crossentropy",
        "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    }.items()},
    "CosineSimilarity": ((), LOSSES["cosine_proximity"][0],
                         lambda t, p: -LOSSES["cosine_proximity"][1](t, p).mean()),
    "RootMeanSquaredError": ((), LOSSES["mean_squared_error"][0],
                             lambda t, p: np.sqrt(((t - p) ** 2).mean())),
    "Accuracy": ((), (TARGET, np.roll(TARGET, 1)), lambda t, p: (t == p).mean()),
    "BinaryAccuracy": ((), BITS, lambda t, p: ((p > 0.5) == t).mean()),
    "CategoricalAccuracy": ((), ONE_HOT, lambda t, p: (t.argmax(-1) == p.argmax(-1)).mean()),
    "SparseCategoricalAccuracy": ((), INDICES, lambda t, p: (t[:, 0] == p.argmax(-1)).mean()),
    "TopKCategoricalAccuracy": ((2,), ONE_HOT, lambda t, p: top(2)(t.argmax(-1), p)),
    "SparseTopKCategoricalAccuracy": ((2,), INDICES, lambda t, p: top(2)(t[:, 0], p)),
    "TruePositives": ((), BITS, counted((True, True))),
    "FalsePositives": ((), BITS, counted((False, True))),
    "TrueNegatives": ((), BITS, counted((False, False))),
    "FalseNegatives": ((), BITS, counted((True, False))),
    "Precision": ((), BITS, lambda t, p: (t * (p > 0.5)).sum() / (p > 0.5).sum()),
    "Recall": ((), BITS, lambda t, p: (t * (p > 0.5)).sum() / t.sum()),
    "SensitivityAtSpecificity": ((0.6,), BITS, at_rate(0.6, True)),
    "SpecificityAtSensitivity": ((0.6,), BITS, at_rate(0.6, False)),
}  # fmt: skip
ABSTRACT = {"Metric", "Reduce", "MeanMetricWrapper", "SensitivitySpecificityBase"}
ELSEWHERE = {"Mean", "Sum", "AUC"}  # below


def test_no_metric_is_missing():
    found = {
        name for name, c in vars(metrics).items()
        if inspect.isclass(c) and issubclass(c, metrics.Metric) and not name.startswith("_")
    }  # fmt: skip
    assert found == set(METRICS) | ABSTRACT | ELSEWHERE


def fed(metric, target, guess):
    """Return the value after two batches, fed as `fit` does: one function, called twice."""
    t, p = KB.placeholder((None, *target.shape[1:])), KB.placeholder((None, *guess.shape[1:]))
    run = KB.function([t, p], [metric(t, p)])
    run([target[:5], guess[:5]])
    (value,) = run([target[5:], guess[5:]])
    return value


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_several_batches(name):
    arguments, (target, guess), says = METRICS[name]
    metric = getattr(metrics, name)(*arguments)
    wanted = says(target.astype("f8"), guess.astype("f8"))
    np.testing.assert_allclose(fed(metric, target, guess), wanted, rtol=1e-5)
    np.testing.assert_allclose(KB.eval(metric.result()), wanted, rtol=1e-5)
    metric.reset_states()
    np.testing.assert_allclose(fed(metric, target, guess), wanted, rtol=1e-5)
    assert type(metric).from_config(metric.get_config()).name == metric.name


def test_sums_and_means_with_weights():
    total, mean = metrics.Sum(), metrics.Mean()
    for values, weights in (([1.0, 2.0], None), ([3.0, 5.0], [1.0, 0.5])):
        found = KB.eval(total(values, weights)), KB.eval(mean(values, weights))
    np.testing.assert_allclose(found, [8.5, 8.5 / 3.5], rtol=1e-6)


def test_areas_under_curves():
    truth = pytest.importorskip("sklearn.metrics")
    target, guess = (x.ravel() for x in BITS)
    area = KB.eval(metrics.AUC(num_thresholds=2000)(target, guess))
    np.testing.assert_allclose(area, truth.roc_auc_score(target, guess), atol=2e-3)
    area = KB.eval(metrics.AUC(2000, curve="PR", summation_method="minoring")(target, guess))
    precision, recall, _ = truth.precision_recall_curve(target, guess)
    least = np.minimum(precision[:-1], precision[1:])
    np.testing.assert_allclose(area, (least * -np.diff(recall)).sum(), atol=0.02)


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


@pytest.mark.parametrize(
    ("units", "loss", "target"),
    [(1, "binary_crossentropy", CLASSES),
     (3, "categorical_crossentropy", np.eye(3)[CLASSES]),
     (3, "sparse_categorical_crossentropy", CLASSES)],
)  # fmt: skip
def test_accuracy_means_what_the_loss_says(units, loss, target):
    model = sequential(layers.Dense(units, activation="sigmoid" if units == 1 else "softmax",
                                    input_shape=(5,)))  # fmt: skip
    model.compile("sgd", loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    weights = np.linspace(0, 1, 16)
    _, plain, weighted = model.evaluate(ROWS, target, 7, verbose=0, sample_weight=weights)
    guess = model.predict(ROWS)
    right = (guess[:, 0] > 0.5 if units == 1 else guess.argmax(-1)) == CLASSES
    np.testing.assert_allclose(plain, right.mean(), rtol=1e-6)
    np.testing.assert_allclose(weighted, (right * weights).sum() / weights.sum(), rtol=1e-6)


def test_a_metric_of_ones_own():
    def bias(target, guess):
        return KB.mean(guess - target)

    model = sequential(layers.Dense(1, input_shape=(5,)))
    model.compile("sgd", "mse", metrics=[bias])
    _, found = model.evaluate(ROWS, CLASSES, 16, verbose=0)
    np.testing.assert_allclose(found, (model.predict(ROWS)[:, 0] - CLASSES).mean(), rtol=1e-5)
