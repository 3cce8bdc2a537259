"""Samples of every function of the Keras backend, a module per table or two of the specification."""

import importlib

from .sample import FACTS, SAMPLES, Fact, Sample, check

TABLES = (
    "algebra", "reductions", "elementwise", "activations", "shapes", "control", "losses",
    "convolution", "legacy", "ctc", "randomness", "settings", "tensors", "state",
)  # fmt: skip
for _table in TABLES:
    importlib.import_module(f"{__name__}.{_table}")

__all__ = ["FACTS", "SAMPLES", "Fact", "Sample", "check"]
