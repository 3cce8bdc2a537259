"""Every example runs from the command line, warnings being errors."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# what programs on K functions print: a known number, or one above a bound
PRINTED = {
    "k_convnet": r"held-out digits right (9[6-9]|100)\.",
    "k_ctc": r"cost 2\.6687 1\.3545, .* read \[\[0, 1, 1\], \[1, 0, -1\]\]",
    "k_folds": r"polynomial 49, slope 62; average 6\.0078; 6 reaches 1 in 8 steps",
    "k_images": r"\(None, 24, 16, 1\), \(None, 11, 11, 1\).* the same images: True, sum 3100",
    "k_keras1": r"framed \(100, 1, 5, 6\), weak edges 47\.\d%",
    "k_linear_regression": r"2000 steps, loss 0\.482\d, from the normal equations 0\.00",
    "k_means": r"sum of squares 78\.86, of scikit-learn 78\.86",
    "k_mlp": r"held-out wines right (9\d|100)\.",
    "k_random": r"pi 3\.1[34]\d, dropped 0\.2[45]\d, truncated 0\.8[78]\d",
    "k_rnn": r"held-out digits right [89]\d\.",
    "k_session": r"counter/total 23, running means \[2\.0, 2\.25, 3\.833\]",
    "k_sparse": r"51% of the pixels, held-out digits right [89]\d\.",
}

SLOW_ON_JAX = {"k_convnet", "k_rnn", "keras_addition", "keras_ctc_digits",
               "keras_lstm", "keras_transfer"}  # fmt: skip


def test_every_program_on_k_functions_has_a_known_result():
    assert set(PRINTED) == {path.stem for path in EXAMPLES.glob("k_*.py")}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_example_runs(path):
    check_example(path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("k*_*.py")), ids=lambda p: p.stem)
def test_keras_example_runs_on_jax(path):
    pytest.importorskip("jax")
    if path.stem in SLOW_ON_JAX and "jax" not in os.environ.get("SYMTENSOR_TEST_ENGINES", ""):
        pytest.skip("takes long: make test-jax runs it")
    check_example(path, SYMTENSOR_ENGINE="jax")


def check_example(path, **settings):
    """Run an example as its users do, with environment variables; it must print what is known."""
    text = path.read_text(encoding="utf-8")
    for module in ("sklearn", "scipy", "jax"):
        if f"from {module}" in text or f"import {module}\n" in text:
            pytest.importorskip(module)
    keras = "from keras" in text  # of 2019: it warns
    if keras and (find_spec("keras") is None or find_spec("h5py") is None):
        pytest.skip("Keras is not installed")
    done = subprocess.run(
        [sys.executable, *(() if keras else ("-W", "error")), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **settings},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(PRINTED.get(path.stem, ""), done.stdout), done.stdout
