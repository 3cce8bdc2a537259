"""Every example runs from the command line, warnings being errors."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_example_runs(path):
    text = path.read_text(encoding="utf-8")
    if "sklearn" in text:
        pytest.importorskip("sklearn")
    keras = "from keras" in text  # of 2019: it warns
    if keras and (find_spec("keras") is None or find_spec("h5py") is None):
        pytest.skip("Keras is not installed")
    done = subprocess.run(
        [sys.executable, *(() if keras else ("-W", "error")), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
