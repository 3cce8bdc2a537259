"""Trains a small network on layouts of devices; what `test_jax_mesh.py` runs in processes of its own.

python mesh_program.py FOLDER LAYOUTS [COORDINATOR PROCESSES NUMBER]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import symtensor as st
from symtensor import checkpoint
from symtensor.ops.variables import variable_of

LAYOUTS: dict[str, tuple[Any, dict[str, tuple[str | None, ...]]]] = {
    "one": (None, {}),
    "data": ({"batch": 8}, {"x": ("batch", None), "y": ("batch",)}),
    "tensor": ({"model": 8}, {"W1": (None, "model"), "b1": ("model",), "W2": ("model", None)}),
    "both": (
        {"batch": 2, "model": 4},
        {"x": ("batch", None), "y": ("batch",), "W1": (None, "model"), "b1": ("model",),
         "W2": ("model", None)},
    ),
    "annotated": ({"batch": 2, "model": 4}, {}),
    "pipe": ({"pipe": 8}, {"W": ("pipe", None, None), "b": ("pipe", None, None)}),
    "pipe and data": (
        {"batch": 2, "pipe": 4},
        {"x": ("batch", None), "y": ("batch",), "W": ("pipe", None, None), "b": ("pipe", None, None)},
    ),
}  # fmt: skip

Network = tuple[st.Function, dict[str, st.Variable], list[Any]]
"""A step of training, its weights and the batches."""


def network_of(layout: str, engine: Any) -> Network:
    """Return the network that a layout is for."""
    if layout.startswith("pipe"):
        return deep(engine)
    return network(engine, LAYOUTS["both"][1] if layout == "annotated" else {})


def descent(
    inputs: Sequence[st.Tensor],
    loss: st.Tensor,
    weights: Mapping[str, Any],
    rate: float,
    engine: Any,
) -> st.Function:
    """Return a step down the gradient."""
    slopes = st.gradients(loss, list(weights.values()))
    updates = [(w, w - rate * g) for w, g in zip(weights.values(), slopes, strict=True)]
    return st.function(inputs, loss, updates=updates, engine=engine)


def batches_of(rng: np.random.Generator, last: int) -> list[Any]:
    """Return six batches of 64 and one of `last`."""
    return [
        (rng.standard_normal((size, 16)).astype("f4"), rng.integers(0, 10, size).astype("i4"))
        for size in (64, 64, 64, 64, 64, 64, last)
    ]


def network(
    engine: Any, shards: Mapping[str, tuple[str | None, ...]] = MappingProxyType({})
) -> Network:
    """Return a step of training, its variables, and batches; the last does not divide by 8."""
    rng = np.random.default_rng(0)
    x = st.placeholder((None, 16), name="x", shard=shards.get("x"))
    y = st.placeholder((None,), "int32", name="y", shard=shards.get("y"))
    shapes = {"W1": (16, 32), "b1": (32,), "W2": (32, 10)}
    weights = {k: st.variable(rng.standard_normal(s).astype("f4") / 4, name=k, shard=shards.get(k))
               for k, s in shapes.items()}  # fmt: skip
    noise = st.RandomStream(7).uniform((32,), 0.9, 1.1)
    hidden = st.tanh(st.dot(x, weights["W1"]) + weights["b1"]) * noise
    logits = st.dot(hidden, weights["W2"])
    loss = st.mean(st.sparse_categorical_crossentropy(y, logits, from_logits=True))
    step = descent([x, y], loss, weights, 0.3, engine)
    return step, weights, batches_of(rng, 7)


STAGES, MICROBATCHES = 8, 4


def deep(engine: Any) -> Network:
    """Return a network of eight layers of one form, which work on micro-batches at the same time."""
    rng = np.random.default_rng(2)
    x, y = st.placeholder((None, 16), name="x"), st.placeholder((None,), "int32", name="y")
    shapes = {"V": (16, 24), "W": (STAGES, 24, 24), "b": (STAGES, 1, 24), "U": (24, 10)}
    weights = {k: st.variable(rng.standard_normal(s).astype("f4") / 4, name=k)
               for k, s in shapes.items()}  # fmt: skip
    first = st.dot(x, weights["V"])
    cut = st.swapaxes(st.reshape(first, (-1, MICROBATCHES, 24)), 0, 1)  # each over all devices
    done = st.pipelined(lambda h: st.tanh(h @ weights["W"] + weights["b"]) + h, cut, STAGES)
    logits = st.dot(st.reshape(st.swapaxes(done, 0, 1), (-1, 24)), weights["U"])
    loss = st.mean(st.sparse_categorical_crossentropy(y, logits, from_logits=True))
    step = descent([x, y], loss, weights, 0.1, engine)
    return step, weights, batches_of(rng, 12)


def variables(step: st.Function) -> list[st.Variable]:
    """Return all that a step of training reads or updates."""
    return [variable_of(node) for node in step.graph.variables()]


def train(layout: str, engine: Any, path: Path) -> dict[str, Any]:
    """Return the losses, the trained variables, and what became of a call that fails.

    Half-way all is saved and a program of its own goes on from there; and again at the end, by the
    same texts.
    """
    step, weights, batches = network_of(layout, engine)
    losses = [step(*batch) for batch in batches[:3]]
    checkpoint.save(path.with_suffix(".safetensors"), variables(step), {"step": "3"})
    losses += [step(*batch) for batch in batches[3:]]
    cut = {f"{k} cut": _piece(w) for k, w in weights.items()}
    found = {k: w.get_value() for k, w in weights.items()}
    try:
        step(np.zeros((8, 16), "f4"), np.full(8, 99, "i4"))
    except IndexError as error:
        failed = type(error).__name__
    kept = all(np.array_equal(found[k], w.get_value()) for k, w in weights.items())
    checkpoint.save(path.with_name(f"{path.name} end.safetensors"), variables(step), {"step": "3"})
    programs = "".join(p.run.as_text() for p in step.executable.programs.values())  # type: ignore[attr-defined]
    return {
        "losses": losses, **found, **cut, "failed": failed, "kept": kept,
        "explain": step.explain(), "programs": programs,
    }  # fmt: skip


def _piece(variable: st.Variable) -> tuple[int, ...]:
    """Return the shape of what one device holds."""
    value: Any = variable.store.elsewhere_or_array()
    return tuple(value.array.addressable_shards[0].data.shape)


def main(folder: str, layouts: str, *distributed: str) -> None:
    import jax

    if distributed:
        address, count, number = distributed
        jax.distributed.initialize(address, int(count), int(number))
    from symtensor.engines.jax import JaxEngine

    for layout in layouts.split(","):
        mesh, shardings = LAYOUTS[layout]
        result = train(layout, JaxEngine(mesh=mesh, shardings=shardings), Path(folder) / layout)
        result |= {"devices": len(jax.devices()), "local": len(jax.local_devices())}
        np.savez(Path(folder) / f"{layout}-{jax.process_index()}.npz", **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
