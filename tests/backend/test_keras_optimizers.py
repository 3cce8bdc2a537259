"""Optimizers, initializers, constraints and regularizers of Keras on this backend, against formulas."""

import inspect
import itertools

import numpy as np
import pytest
from on_keras import KB, ROWS, TARGETS, drawn, keras, layers, sequential, trained

optimizers, initializers = keras.optimizers, keras.initializers
constraints, regularizers = keras.constraints, keras.regularizers
pytestmark = pytest.mark.filterwarnings("ignore")
EPSILON = 1e-7


# --- optimizers: generators that take gradients and yield what to add to the weights -----------------


def sgd(rate=0.01, momentum=0.0, nesterov=False, decay=0.0):
    v, change = 0.0, 0.0
    for t in itertools.count():
        g = yield change
        now = rate / (1 + decay * t)
        v = momentum * v - now * g
        change = momentum * v - now * g if nesterov else v


def rmsprop(rate=0.001, rho=0.9):
    a, change = 0.0, 0.0
    while True:
        g = yield change
        a = rho * a + (1 - rho) * g**2
        change = -rate * g / (np.sqrt(a) + EPSILON)


def adagrad(rate=0.01):
    a, change = 0.0, 0.0
    while True:
        g = yield change
        a = a + g**2
        change = -rate * g / (np.sqrt(a) + EPSILON)


def adadelta(rate=1.0, rho=0.95):
    a, d, change = 0.0, 0.0, 0.0
    while True:
        g = yield change
        a = rho * a + (1 - rho) * g**2
        step = g * np.sqrt(d + EPSILON) / np.sqrt(a + EPSILON)
        d = rho * d + (1 - rho) * step**2
        change = -rate * step


def adam(rate=0.001, b1=0.9, b2=0.999, amsgrad=False, infinite=False):
    m, v, highest, change = 0.0, 0.0, 0.0, 0.0
    for t in itertools.count(1):
        g = yield change
        m = b1 * m + (1 - b1) * g
        v = np.maximum(b2 * v, abs(g)) if infinite else b2 * v + (1 - b2) * g**2
        highest = np.maximum(highest, v) if amsgrad else v
        unbiased = 1.0 if infinite else np.sqrt(1 - b2**t)
        scale = highest if infinite else np.sqrt(highest)
        change = -rate * unbiased * m / (1 - b1**t) / (scale + EPSILON)


def nadam(rate=0.002, b1=0.9, b2=0.999):
    m, v, product, change = 0.0, 0.0, 1.0, 0.0
    for t in itertools.count(1):
        g = yield change
        now, following = (b1 * (1 - 0.5 * 0.96 ** (0.004 * n)) for n in (t, t + 1))
        product *= now
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        ahead = (1 - now) * g / (1 - product) + following * m / (1 - product * following)
        change = -rate * ahead / (np.sqrt(v / (1 - b2**t)) + EPSILON)


RULES = {
    "SGD": [({}, sgd, {}), ({"momentum": 0.9}, sgd, {"momentum": 0.9}),
            ({"momentum": 0.9, "nesterov": True, "decay": 0.1}, sgd,
             {"momentum": 0.9, "nesterov": True, "decay": 0.1})],
    "RMSprop": [({}, rmsprop, {}), ({"rho": 0.5}, rmsprop, {"rho": 0.5})],
    "Adagrad": [({}, adagrad, {})],
    "Adadelta": [({}, adadelta, {})],
    "Adam": [({}, adam, {}), ({"amsgrad": True}, adam, {"amsgrad": True})],
    "Adamax": [({}, adam, {"rate": 0.002, "infinite": True})],
    "Nadam": [({}, nadam, {})],
}  # fmt: skip


def test_no_optimizer_is_missing():
    found = {
        c.__name__ for c in vars(optimizers).values()
        if inspect.isclass(c) and issubclass(c, optimizers.Optimizer)
    }  # fmt: skip
    assert found == {*RULES, "Optimizer", "TFOptimizer"}


def steps(optimizer, count=6):
    """Return the weights after each step of a linear regression, and its gradients there."""
    model = sequential(layers.Dense(1, input_shape=(5,), use_bias=False))
    model.compile(optimizer, "mse")
    weights = [model.get_weights()[0].astype("f8")]
    for _ in range(count):
        model.train_on_batch(ROWS, TARGETS)
        weights.append(model.get_weights()[0].astype("f8"))
    gradients = [2 / 16 * ROWS.T @ (ROWS @ w - TARGETS) for w in weights[:-1]]
    return weights, gradients


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in RULES for i in range(len(RULES[name]))]
)
def test_steps_are_those_of_the_formula(name, number):
    options, rule, constants = RULES[name][number]
    optimizer = getattr(optimizers, name)(**options)
    weights, gradients = steps(optimizer)
    changes = rule(**constants)
    next(changes)
    for before, after, g in zip(weights, weights[1:], gradients, strict=False):
        np.testing.assert_allclose(after - before, changes.send(g), rtol=2e-3, atol=1e-7)
    assert KB.eval(optimizer.iterations) == 6
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    losses = trained(
        sequential(layers.Dense(4, activation="relu", input_shape=(5,)), layers.Dense(1)),
        ROWS, TARGETS, optimizer=again, epochs=20,
    )  # fmt: skip
    assert losses[-1] < losses[0]


def test_gradients_are_clipped():
    weights, gradients = steps(optimizers.SGD(0.1, clipnorm=0.2))
    for before, after, g in zip(weights, weights[1:], gradients, strict=False):
        size = np.linalg.norm(g)
        wanted = g * min(1, 0.2 / size)
        np.testing.assert_allclose(before - after, 0.1 * wanted, rtol=1e-3, atol=1e-7)
    weights, gradients = steps(optimizers.SGD(0.1, clipvalue=0.05))
    for before, after, g in zip(weights, weights[1:], gradients, strict=False):
        np.testing.assert_allclose(
            before - after, 0.1 * np.clip(g, -0.05, 0.05), rtol=1e-3, atol=1e-7
        )


def test_an_optimizer_goes_on_from_its_weights():
    model = sequential(layers.Dense(1, input_shape=(5,)))
    other = sequential(layers.Dense(1, input_shape=(5,)))
    for m in (model, other):
        m.compile("adam", "mse")
        m._make_train_function()
    model.fit(ROWS, TARGETS, verbose=0, epochs=2)
    other.set_weights(model.get_weights())
    other.optimizer.set_weights(model.optimizer.get_weights())
    for m in (model, other):
        m.train_on_batch(ROWS, TARGETS)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_unconnected_weight_is_told():
    model = sequential(layers.Dense(1, input_shape=(5,)), layers.Lambda(KB.round))
    model.add(layers.Lambda(lambda x: KB.stop_gradient(x)))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="None"):
        model.train_on_batch(ROWS, TARGETS)


# --- initializers --------------------------------------------------------------------------------

SHAPE = (200, 100)
# name -> (arguments, mean, standard deviation, largest absolute value)
SPREADS = {
    "RandomNormal": ((1.0, 0.3, 1), 1.0, 0.3, None),
    "RandomUniform": ((-0.2, 0.2, 1), 0.0, 0.4 / 12**0.5, 0.2),
    "TruncatedNormal": ((0.0, 0.3, 1), 0.0, 0.3 * 0.87962566, 0.6),
    "VarianceScaling": ((2.0, "fan_in", "normal", 1), 0.0, (2 / 200) ** 0.5, None),
    "glorot_uniform": ((1,), 0.0, (2 / 300) ** 0.5, (6 / 300) ** 0.5),
    "glorot_normal": ((1,), 0.0, (2 / 300) ** 0.5, None),
    "he_uniform": ((1,), 0.0, (2 / 200) ** 0.5, (6 / 200) ** 0.5),
    "he_normal": ((1,), 0.0, (2 / 200) ** 0.5, None),
    "lecun_uniform": ((1,), 0.0, (1 / 200) ** 0.5, (3 / 200) ** 0.5),
    "lecun_normal": ((1,), 0.0, (1 / 200) ** 0.5, None),
    "Zeros": ((), 0.0, 0.0, 0.0),
    "Ones": ((), 1.0, 0.0, 1.0),
    "Constant": ((0.5,), 0.5, 0.0, 0.5),
}


def test_no_initializer_is_missing():
    found = {
        c.__name__ for c in vars(initializers).values()
        if inspect.isclass(c) and issubclass(c, initializers.Initializer)
    }  # fmt: skip
    assert found == {n for n in SPREADS if n[0].isupper()} | {
        "Initializer",
        "Orthogonal",
        "Identity",
    }


@pytest.mark.parametrize("name", SPREADS)
def test_initializers_spread_as_they_say(name):
    arguments, mean, deviation, largest = SPREADS[name]
    make = getattr(initializers, name)
    value = KB.eval(KB.variable(make(*arguments)(SHAPE)))
    assert value.shape == SHAPE and value.dtype == np.float32
    np.testing.assert_allclose(value.mean(), mean, atol=0.03 * deviation + 1e-7)
    np.testing.assert_allclose(value.std(), deviation, rtol=0.03, atol=1e-7)
    assert largest is None or abs(value).max() <= np.float32(largest)
    again = KB.eval(KB.variable(make(*arguments)(SHAPE)))
    np.testing.assert_array_equal(value, again)  # the seed is the same, or there is none


def test_orthogonal_and_identity():
    q = KB.eval(KB.variable(initializers.Orthogonal(2.0, seed=1)((4, 6))))
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(
        KB.eval(KB.variable(initializers.Identity(3.0)((4, 4)))), 3 * np.eye(4, dtype="f4")
    )


# --- constraints and regularizers ----------------------------------------------------------------


def norms(w):
    return np.linalg.norm(w, axis=0, keepdims=True)


CONSTRAINTS = {
    "MaxNorm": (lambda: constraints.MaxNorm(1.5), lambda w: w * np.minimum(1, 1.5 / norms(w))),
    "NonNeg": (constraints.NonNeg, lambda w: np.maximum(w, 0)),
    "UnitNorm": (constraints.UnitNorm, lambda w: w / norms(w)),
    "MinMaxNorm": (
        lambda: constraints.MinMaxNorm(1.0, 1.5, 0.5),
        lambda w: w * (0.5 * np.clip(norms(w), 1, 1.5) + 0.5 * norms(w)) / norms(w),
    ),
}


def test_no_constraint_is_missing():
    found = {
        c.__name__ for c in vars(constraints).values()
        if inspect.isclass(c) and issubclass(c, constraints.Constraint)
    }  # fmt: skip
    assert found == {*CONSTRAINTS, "Constraint"}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_hold_after_a_step(name):
    make, says = CONSTRAINTS[name]
    model = sequential(layers.Dense(3, input_shape=(5,), kernel_constraint=make(), use_bias=False))
    model.compile(optimizers.SGD(0.1), "mse")
    w = 1.5 * drawn(5, 3)
    model.set_weights([w])
    y = drawn(16, 3)
    model.train_on_batch(ROWS, y)
    free = w.astype("f8") - 0.1 * 2 / 48 * ROWS.T @ (ROWS @ w - y)
    np.testing.assert_allclose(model.get_weights()[0], says(free), rtol=1e-4, atol=1e-6)


def test_regularizers():
    w = drawn(5, 3)
    for regularizer, wanted in [
        (regularizers.l1(0.1), 0.1 * abs(w).sum()),
        (regularizers.l2(0.2), 0.2 * (w**2).sum()),
        (regularizers.l1_l2(0.1, 0.2), 0.1 * abs(w).sum() + 0.2 * (w**2).sum()),
    ]:
        np.testing.assert_allclose(KB.eval(regularizer(KB.variable(w))), wanted, rtol=1e-5)
