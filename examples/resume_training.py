"""A training that can be stopped at any moment and goes on where it was, to the last bit.

    python resume_training.py FOLDER     # run it, stop it with Ctrl-C, run it again

Weights, Adam's moments and the states of random draws are variables, so a checkpoint of all variables
of the step is the whole training. Without a folder it stops itself, and shows that nothing changed.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import symtensor as st
from symtensor import checkpoint

STEPS = 60


def build():
    """Return a step of training and its variables by name."""
    rng = np.random.default_rng(0)
    x, y = st.placeholder((None, 8), name="x"), st.placeholder((None,), name="y")
    weights = {
        "w": st.variable((rng.standard_normal((8, 16)) / 3).astype("float32")),
        "v": st.variable((rng.standard_normal(16) / 4).astype("float32")),
    }
    stream = st.RandomStream(1)
    hidden = st.tanh(st.dot(x, weights["w"])) * stream.dropout_mask((16,), 0.1)
    loss = st.mean(st.square(st.dot(hidden, weights["v"]) - y))
    variables, updates = dict(weights), {}
    slopes = st.gradients(loss, list(weights.values()))
    for (name, p), g in zip(weights.items(), slopes, strict=True):
        m = variables[f"{name}/momentum"] = st.variable(np.zeros_like(p.get_value()))
        updates[m] = 0.9 * m + g
        updates[p] = p - 0.02 * updates[m]
    variables |= {f"random/{i}": state for i, state in enumerate(stream.states)}
    return st.function([x, y], loss, updates=updates), variables


def batch(number):
    """Return a batch; which one it is depends on its number only."""
    rng = np.random.default_rng(number)
    x = rng.standard_normal((32, 8)).astype("float32")
    return x, np.sin(x.sum(1))


def train(folder, stop=STEPS):
    """Go on from the last checkpoint, if there is one, to step `stop`; return the losses."""
    step, variables = build()
    path, start = Path(folder) / "last.safetensors", 0
    if path.exists():
        start = int(checkpoint.load(path, variables)["step"])
        print(f"going on from step {start}")
    losses = []
    for number in range(start, stop):
        losses.append(step(*batch(number)))
        if (number + 1) % 10 == 0:
            checkpoint.save(path, variables, {"step": str(number + 1)})
    return losses


def main():
    if len(sys.argv) > 1:
        print(f"loss {train(sys.argv[1])[-1]:.4f}")
        return
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        whole = train(one)
        train(two, stop=34)  # as if it crashed at step 34: the checkpoint is of step 30
        rest = train(two)
    np.testing.assert_array_equal(rest, whole[30:])
    print(f"loss {whole[0]:.4f} -> {whole[-1]:.4f}; {len(rest)} resumed steps have the same bits")


if __name__ == "__main__":
    main()
