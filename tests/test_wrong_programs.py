"""Wrong programs: each gives a symtensor error at the right line of the user's, with its code.

A program of `wrong_programs/*.txt` starts at ``== title``. The line at fault ends in
``#! CODE text``: the error's place must be that line, its code CODE, and its message must hold the
text. A line that ends in ``#~`` must be shown too: the call that failed, or where an operand was
built. Programs run on both engines.
"""

import linecache
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import symtensor as st
from symtensor import backend as K
from symtensor.error_codes import EXPLANATIONS
from symtensor.ops.registry import OPS

FOLDER = Path(__file__).parent / "wrong_programs"


@dataclass(frozen=True)
class Program:
    theme: str
    title: str
    source: str
    line: int
    code: str
    text: str
    also: tuple[int, ...]

    def __str__(self):
        return f"{self.theme}: {self.title}"


def read(path):
    for part in re.split(r"^== ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
        title, _, source = part.partition("\n")
        lines = source.rstrip().splitlines()
        marked = [i for i, line in enumerate(lines, 1) if "#!" in line]
        assert len(marked) == 1, f"{path.name}: {title}: mark one line with #!"
        code, _, text = lines[marked[0] - 1].partition("#!")[2].strip().partition(" ")
        also = tuple(i for i, line in enumerate(lines, 1) if "#~" in line)
        yield Program(
            path.stem, title, "\n".join(lines) + "\n", marked[0], code, text.strip(), also
        )


PROGRAMS = [program for path in sorted(FOLDER.glob("*.txt")) for program in read(path)]


def error_of(program, engine):
    """Run a program as if it were a file of the user's; return the error it ends with."""
    file = f"<{program}>"
    text = program.source
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    code = compile(text, file, "exec")
    known = set(OPS)
    with st.config(engine=engine):
        try:
            exec(code, {"np": np, "st": st, "K": K, "__name__": "wrong_program"})
        except Exception as error:
            return error
        finally:
            for name in set(OPS) - known:  # the next engine defines them again
                del OPS[name]
    raise AssertionError(f"{program}: nothing was raised")


def test_there_are_many():
    assert len(PROGRAMS) >= 200
    assert len({(p.theme, p.title) for p in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_a_wrong_program_is_told_what_is_wrong(program, engine):
    error = error_of(program, engine)
    assert isinstance(error, st.SymtensorError), repr(error)
    text = str(error)
    file = f"<{program}>"
    assert (error.place.file, error.place.line) == (file, program.line), text
    assert error.code == program.code and program.code in EXPLANATIONS, text
    assert program.text in text.splitlines()[0], text
    for line in program.also:
        assert f"{file}:{line}" in text or re.search(rf"^ *{line} \| ", text, re.M), text
