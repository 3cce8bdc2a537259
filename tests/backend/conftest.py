"""Initial weights, orders of batches and dropout come from NumPy's generator: the same in every test."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed the generator that Keras and the backend take seeds from."""
    np.random.seed(0)
