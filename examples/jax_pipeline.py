"""A deep network as a pipeline: each device holds some of the layers, micro-batches pass through.

One program, trained by NumPy, by LLVM, by XLA on one device, on four with two layers each, and on
eight: two such pipelines, each with half of every batch. The devices are virtual ones of this CPU.
"""

import os
import re

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before jax starts

import jax
import numpy as np

import symtensor as st
from symtensor.engines.jax import JaxEngine

LAYERS, UNITS, MICROBATCHES, STEPS = 8, 32, 8, 40
RNG = np.random.default_rng(0)
X = RNG.standard_normal((256, 10)).astype("float32")
Y = np.sin(X.sum(1) / 3)


def network(engine):
    """Return a step of training and the weights of the layers; always from the same start."""
    rng = np.random.default_rng(1)
    x, y = st.placeholder((None, 10), name="x"), st.placeholder((None,), name="y")
    shapes = {"first": (10, UNITS), "layers": (LAYERS, UNITS, UNITS), "last": (UNITS,)}
    first, layers, last = weights = [
        st.variable((rng.standard_normal(s) / s[-1] ** 0.5).astype("float32"), name=name)
        for name, s in shapes.items()
    ]
    cut = st.swapaxes(st.reshape(x @ first, (-1, MICROBATCHES, UNITS)), 0, 1)
    done = st.pipelined(lambda h: h + st.tanh(h @ layers) / LAYERS, cut, LAYERS)
    guess = st.reshape(st.swapaxes(done, 0, 1), (-1, UNITS)) @ last
    loss = st.mean(st.square(guess - y))
    slopes = st.gradients(loss, weights)
    updates = [(w, w - 0.1 * g) for w, g in zip(weights, slopes, strict=True)]
    return st.function([x, y], loss, updates=updates, engine=engine), layers


def pipeline(**mesh):
    """Return an engine for a mesh with an axis "pipe", and maybe one for the batch."""
    shardings = {"layers": ("pipe", None, None)}
    if "batch" in mesh:
        shardings |= {"x": ("batch", None), "y": ("batch",)}
    return JaxEngine(mesh=mesh, shardings=shardings)


def moves(step):
    """Return from which device to which the programs of a step send micro-batches, round by round."""
    programs = "".join(program.run.as_text() for program in step.executable.programs.values())
    sent = r"collective-permute\(.*source_target_pairs={(\S+)},.*while/body"
    return sorted(set(re.findall(sent, programs)))


def main():
    engines = {
        "numpy": "numpy",
        "llvm": "llvm",
        "jax": "jax",
        "4 devices": pipeline(pipe=4),
        "8 devices": pipeline(batch=2, pipe=4),
    }
    for name, engine in engines.items():
        step, layers = network(engine)
        losses = np.array([step(X, Y) for _ in range(STEPS)])
        result = losses, layers.get_value()
        if name == "numpy":
            reference = result
        apart = max(np.abs(a - b).max() for a, b in zip(result, reference, strict=True))
        print(f"{name:9} loss {losses[0]:.4f} -> {losses[-1]:.4f}, within {apart:.0e} of numpy")
        assert apart < 1e-4 and losses[-1] < 0.5 * losses[0]
        if "devices" in name:
            print("          each tick sends", " and ".join(moves(step)))
            assert moves(step)
    print(f"jax {jax.__version__} on {jax.devices()[0].platform}")


if __name__ == "__main__":
    main()
