"""The suite keeps compiled code in a folder of its own, shared by the processes of one run."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Point this process, and those it starts, to the run's own cache folder."""
    run = tmp_path_factory.getbasetemp()
    worker = "PYTEST_XDIST_WORKER" in os.environ
    folder = (run.parent if worker else run) / "symtensor-cache"
    os.environ["SYMTENSOR_CACHE_DIR"] = str(folder)
