"""One Keras of the benchmark, in a process of its own: it trains an epoch whenever it is told to.

It reads names of models, a line each, and answers each with a JSON line: the seconds an epoch took and
its mean loss. ``KERAS_BACKEND`` chooses what computes; Keras 2 and Keras 3 both run this file.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SAMPLES, BATCH, CLASSES = 2048, 64, 10


def cnn(layers: Any) -> tuple[list[Any], tuple[int, ...]]:
    """Return layers and the shape of a sample."""
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(CLASSES, activation="softmax"),
    ], (28, 28, 1)


def lstm(layers: Any) -> tuple[list[Any], tuple[int, ...]]:
    """Return layers and the shape of a sample."""
    return [
        layers.LSTM(64, return_sequences=True),
        layers.LSTM(64),
        layers.Dense(CLASSES, activation="softmax"),
    ], (50, 32)


MODELS: dict[str, Callable[[Any], tuple[list[Any], tuple[int, ...]]]] = {
    "Keras CNN 32-64 of 28x28, an epoch of 2,048": cnn,
    "Keras LSTM 64-64 of 50x32, an epoch of 2,048": lstm,
}


def start(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return the first value of a weight: small, for some backends clip the probabilities in a loss."""
    scale = 0.5 * np.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.0
    return rng.standard_normal(shape) * scale


def training(name: str) -> Callable[[], float]:
    """Return what trains an epoch and returns its mean loss; all start from the same numbers."""
    from keras import layers, models

    rng = np.random.default_rng(0)
    parts, shape = MODELS[name](layers)
    model = models.Sequential(parts)
    model.build((None, *shape))
    model.compile("adam", "sparse_categorical_crossentropy")
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights([start(rng, shape) for shape in shapes])
    x = rng.standard_normal((SAMPLES, *shape)).astype(np.float32)
    y = rng.integers(0, CLASSES, SAMPLES)

    def epoch() -> float:
        told = model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
        return float(told.history["loss"][0])

    return epoch


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # for what libraries print
    if hasattr(os, "sched_setaffinity"):
        threads = int(os.environ["OMP_NUM_THREADS"])
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    with contextlib.redirect_stdout(sys.stderr):
        import keras
    print(json.dumps({"version": keras.__version__}), file=answers, flush=True)
    made: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in made:
            made[name] = training(name)
        start = time.perf_counter()
        loss = made[name]()
        record = {"seconds": time.perf_counter() - start, "loss": loss}
        print(json.dumps(record), file=answers, flush=True)


if __name__ == "__main__":
    main()
