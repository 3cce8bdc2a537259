"""The suite keeps compiled code in a folder of its own, shared by the processes of one run.

``SYMTENSOR_TEST_ENGINES=jax`` runs the tests that run on several engines, and those of the default
engine, on the engines named instead: `make test-jax`.
"""

import os
from collections.abc import Callable, Iterator

import pytest

CHOSEN = os.environ.get("SYMTENSOR_TEST_ENGINES", "")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Point this process, and those it starts, to the run's own cache folder."""
    run = tmp_path_factory.getbasetemp()
    worker = "PYTEST_XDIST_WORKER" in os.environ
    folder = (run.parent if worker else run) / "symtensor-cache"
    os.environ["SYMTENSOR_CACHE_DIR"] = str(folder)


@pytest.fixture
def with_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Return a function that sets how many threads compute."""
    from symtensor.codegen import threads  # once the folder of the cache is chosen

    def choose(count: int) -> None:
        monkeypatch.setenv("SYMTENSOR_NUM_THREADS", str(count))
        threads.stop()
        threads.start()

    yield choose
    monkeypatch.undo()
    threads.stop()
    threads.start()


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the parameter, or the fixture, named engine the chosen engines."""
    if not CHOSEN or "engine" not in metafunc.fixturenames:
        return
    names, markers = CHOSEN.split(","), metafunc.definition.own_markers
    given = [m for m in markers if m.name == "parametrize" and m.args[0] == "engine"]
    if not given:
        markers.append(pytest.mark.parametrize("engine", names, indirect=True).mark)
    elif all(isinstance(value, str) for value in given[0].args[1]):
        markers[markers.index(given[0])] = pytest.mark.parametrize("engine", names).mark
