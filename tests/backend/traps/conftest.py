"""The traps are tried on both engines, each in a backend as it is when imported."""

import pytest

from symtensor import backend as K
from symtensor import config


@pytest.fixture(params=["numpy", "llvm"], autouse=True)
def engine(request):
    with config(engine=request.param):
        yield request.param


@pytest.fixture(autouse=True)
def clean():
    yield
    K.clear_session()
    K.set_floatx("float32")
    K.set_image_data_format("channels_last")
