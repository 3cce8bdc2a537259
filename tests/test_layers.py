"""Imports go down only: the law of the package's layers, read from the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "symtensor"

LAYERS = [
    {"source", "errors", "error_codes", "vocabulary", "forks", "nesting"},
    {"ir"},
    {"config"},
    {"ops"},
    {"autodiff", "passes"},
    {"codegen"},
    {"engines"},
    {"serialize"},
    {"inspect", "export", "explorer"},
    {"arguments", "checkpoint", "definition", "function", "checking"},
    {"testing"},
    {"cli"},
    {"backend", "__main__", "__init__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
APART = [("autodiff", "passes"), ("passes", "autodiff")]
"""Packages of one layer that must not know each other."""


def part_of(path):
    """Return the top-level part of the package that a file belongs to."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports_of(path):
    """Yield (line, part) for every import of a symtensor module that runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "symtensor":
                names = [f"symtensor.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("symtensor."):
                yield node.lineno, name.split(".")[1]


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    part = part_of(path)
    assert part in RANK, f"{part} has no layer: add it to LAYERS"
    for line, other in imports_of(path):
        assert other in RANK, f"{path}:{line}: {other} has no layer"
        allowed = RANK[other] <= RANK[part] and (part, other) not in APART
        assert allowed, f"{path}:{line}: {part} must not import {other}"


def test_every_package_has_files():
    assert len(FILES) > 50 and {part_of(p) for p in FILES} >= {"ir", "ops", "codegen"}


def test_importing_is_light():
    import subprocess
    import sys

    code = (
        "import sys, symtensor; "
        "heavy = {'llvmlite', 'networkx', 'scipy', 'ml_dtypes'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_stay_readable():
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 700}
    assert not long, long
