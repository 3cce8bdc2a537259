"""Error codes: every one is explained, every explanation is true, and every message has one."""

import re
from pathlib import Path

import numpy as np
import pytest

import symtensor as st
from symtensor import error_codes, errors
from symtensor.cli.explaining import document

ROOT = Path(__file__).parent.parent
CLASSES = [
    c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, st.SymtensorError)
]


def codes_in_source():
    """Return every code that the package raises, and where."""
    found = {c.code: f"class {c.__name__}" for c in CLASSES}
    for path in sorted((ROOT / "symtensor").rglob("*.py")):
        if path.parent.name != "error_codes":
            for code in re.findall(r'code="(ST\d{4})"', path.read_text(encoding="utf-8")):
                found.setdefault(code, str(path))
    return found


def run(program, engine="llvm"):
    with st.config(engine=engine):
        exec(compile(program, "<explanation>", "exec"), {"st": st, "np": np, "__name__": "user"})


def test_raised_codes_are_explained_and_explained_codes_are_raised():
    assert set(codes_in_source()) == set(error_codes.EXPLANATIONS)


@pytest.mark.parametrize("code", error_codes.EXPLANATIONS)
def test_examples_of_explanations(code):
    entry = error_codes.EXPLANATIONS[code]
    if entry.wrong:
        with pytest.raises(st.SymtensorError) as caught:
            run(entry.wrong)
        assert caught.value.code == code, caught.value
        assert str(caught.value).startswith(f"error[{code}]: ")
        run(entry.right)


def test_the_document_is_up_to_date():
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == document()
