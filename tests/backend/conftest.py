"""Initial weights, orders of batches and dropout come from NumPy's generator: the same in every test.

Tests that change settings of the backend ask for `clean`.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from symtensor import backend as K


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed the generator that Keras and the backend take seeds from."""
    np.random.seed(0)


@pytest.fixture
def clean() -> Iterator[None]:
    """Put back the settings that a test may have changed."""
    yield
    K.clear_session()
    K.set_floatx("float32")
    K.set_epsilon(1e-7)
    K.set_image_data_format("channels_last")
