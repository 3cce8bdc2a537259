"""Every Python block of README and docs runs, and prints what the page says it prints.

The blocks of a page run in order and share their names. A ``text`` block right behind one is what it
prints; in it ``...`` stands for any text. A comment ``<!-- not run: why -->`` right before a block
keeps it from running.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"(?ms)^```(?P<kind>\w*)\n(?P<text>.*?)^```$")
NOT_RUN = re.compile(r"<!-- not run: .+? -->\s*\Z")


class Block(NamedTuple):
    """A piece of Python in a page."""

    line: int
    code: str
    printed: str | None


def blocks_of(text):
    """Yield the blocks to run."""
    fences = list(FENCE.finditer(text))
    for fence, following in zip_longest(fences, fences[1:]):
        if fence["kind"] != "python" or NOT_RUN.search(text[: fence.start()]):
            continue
        printed = None
        if following and following["kind"] == "text":
            between = text[fence.end() : following.start()]
            printed = following["text"] if not between.strip() else None
        yield Block(text[: fence.start("text")].count("\n"), fence["text"], printed)


def matches(found, expected):
    pattern = r".*?".join(re.escape(piece) for piece in expected.strip().split("..."))
    return re.fullmatch(pattern, found.strip(), re.DOTALL) is not None


WITH_CODE = [page for page in PAGES if any(blocks_of(page.read_text(encoding="utf-8")))]


def run(page):
    """Run the blocks of a page."""
    names = {"__name__": "__main__"}
    for block in blocks_of(page.read_text(encoding="utf-8")):
        code = compile("\n" * block.line + block.code, str(page), "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, names)
        if block.printed is not None and not matches(out.getvalue(), block.printed):
            raise AssertionError(f"{page.name}:{block.line} prints\n{out.getvalue()}")


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page, tmp_path):
    if "from keras" in page.read_text(encoding="utf-8") and find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    if page.name == "jax-engine.md":
        pytest.importorskip("jax")
    done = subprocess.run(  # a process of its own: pages register ops, passes and engines
        [sys.executable, "-W", "error", __file__, str(page)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_are_found_and_compared():
    text = "# A\n```python\nprint(1 / 3)\n```\n```text\n0.33...\n```\n<!-- not run: no -->\n"
    text += "```python\n1 / 0\n```\n```python\nx = 1\n```\nThen\n```text\nother\n```\n"
    assert list(blocks_of(text)) == [
        Block(2, "print(1 / 3)\n", "0.33...\n"), Block(12, "x = 1\n", None)
    ]  # fmt: skip
    assert matches("0.333\n", "0.33...\n") and not matches("0.4\n", "0.33...\n")


def test_the_site_builds_without_warnings(tmp_path):
    for module in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(module)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "-q",
            "-b",
            "html",
            ROOT / "docs",
            tmp_path / "site",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert (site / "tutorial" / "op.html").exists()
    assert "symtensor.placeholder" in (site / "reference.html").read_text(encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
