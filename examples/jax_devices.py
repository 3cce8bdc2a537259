"""One training four times: by NumPy, by LLVM, by XLA, and by XLA on eight devices with a batch each.

The devices are virtual ones of this CPU, so what the table at the end shows is what a mesh costs, not
what it gains; on eight GPUs only ``XLA_FLAGS`` goes. With an argument the loss curves are drawn there
(``curves.svg``; needs matplotlib).
"""

import os
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before jax starts

import jax
import numpy as np

import symtensor as st
from symtensor.engines.jax import JaxEngine

BATCH, STEPS = 256, 40
RNG = np.random.default_rng(0)
CENTERS = RNG.standard_normal((10, 64))
LABELS = RNG.integers(0, 10, STEPS * BATCH).astype("int32")
IMAGES = (CENTERS[LABELS] + 2 * RNG.standard_normal((STEPS * BATCH, 64))).astype("float32")


def network(engine):
    """Return a step of training on a batch; always from the same weights."""
    rng = np.random.default_rng(1)
    x, y = st.placeholder((None, 64), name="x"), st.placeholder((None,), "int32", name="y")
    w, v = (
        st.variable((rng.standard_normal(shape) / 8).astype("float32"), name=name)
        for name, shape in (("w", (64, 128)), ("v", (128, 10)))
    )
    noise = st.RandomStream(3).dropout_mask((128,), 0.1)  # the same bits on every engine
    logits = st.dot(st.relu(st.dot(x, w)) * noise, v)
    loss = st.mean(st.sparse_categorical_crossentropy(y, logits, from_logits=True))
    slopes = st.gradients(loss, [w, v])
    updates = [(p, p - 0.2 * g) for p, g in zip((w, v), slopes, strict=True)]
    return st.function([x, y], loss, updates=updates, engine=engine)


def data_parallel(devices):
    """Return an engine that cuts each batch over so many devices; weights are on all of them."""
    return JaxEngine(mesh={"batch": devices}, shardings={"x": ("batch", None), "y": ("batch",)})


def curve(engine):
    step = network(engine)
    batches = zip(np.split(IMAGES, STEPS), np.split(LABELS, STEPS), strict=True)
    return np.array([step(*batch) for batch in batches])


def milliseconds(engine):
    step = network(engine)
    step(IMAGES[:BATCH], LABELS[:BATCH])  # compiles
    start = time.perf_counter()
    for _ in range(20):
        step(IMAGES[:BATCH], LABELS[:BATCH])
    return (time.perf_counter() - start) / 20 * 1000


def draw(curves, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for (name, losses), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
        pyplot.plot(losses, style, label=name)
    pyplot.xlabel("step")
    pyplot.ylabel("loss")
    pyplot.legend()
    pyplot.savefig(path)


def main():
    engines = {"numpy": "numpy", "llvm": "llvm", "jax": "jax", "jax on 8": data_parallel(8)}
    curves = {name: curve(engine) for name, engine in engines.items()}
    for name, losses in curves.items():
        apart = np.abs(losses / curves["numpy"] - 1).max()
        print(f"{name:9} loss {losses[0]:.4f} -> {losses[-1]:.4f}, within {apart:.1e} of numpy")
        assert apart < 1e-3 and losses[-1] < 0.5 * losses[0]
    print(f"\ndevices   ms a step of {BATCH} (on {os.cpu_count()} cores)")
    for devices in (1, 2, 4, 8):
        print(f"{devices:7}   {milliseconds(data_parallel(devices)):.2f}")
    print(f"jax {jax.__version__} on {jax.devices()[0].platform}")
    if len(sys.argv) > 1:
        draw(curves, sys.argv[1])


if __name__ == "__main__":
    main()
