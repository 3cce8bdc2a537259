"""The page of all functions of the Keras backend is what the code says."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "keras_table.py", "--check"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    text = (ROOT / "docs" / "keras-backend.md").read_text(encoding="utf-8")
    assert "| differs |" not in text and text.count("✓") > 100
