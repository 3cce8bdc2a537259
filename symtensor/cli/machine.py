"""Commands about the installation: ``info``, ``cache`` and ``doctor``."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

from symtensor.cli.text import example, size, table

PACKAGES = ("numpy", "llvmlite", "networkx", "ml_dtypes", "onnx", "scipy", "Keras")


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser(
        "info",
        help="show versions, machine, settings, engines and passes",
        description="Show versions, machine, settings with where they come from, engines and passes.",
        epilog=example("info"),
    )
    parser.set_defaults(run=info)
    parser = commands.add_parser(
        "cache",
        help="show or clear the compiled code on disk",
        description="Show or clear the compiled code on disk.",
        epilog=example("cache info", "cache clear"),
    )
    parser.add_argument("what", choices=("info", "clear"), nargs="?", default="info")
    parser.set_defaults(run=cache)
    parser = commands.add_parser(
        "doctor",
        help="check that everything works here, and say what to do where not",
        description="Check Python, packages, settings, LLVM, engines, threads and the cache. Exit code 1 "
        "when something is wrong.",
        epilog=example("doctor"),
    )
    parser.set_defaults(run=doctor)


def info(options: Any) -> int:
    """Print what is here."""
    import symtensor
    from symtensor.codegen.target import host, processors, threads_wanted
    from symtensor.config import describe
    from symtensor.engines.base import available_engines
    from symtensor.ops.registry import OPS
    from symtensor.passes.pipeline import PIPELINE

    target = host()
    rows = [
        ("symtensor", symtensor.__version__),
        ("Python", f"{platform.python_version()} on {sys.platform}"),
    ]
    rows += [(name, version) for name in PACKAGES if (version := _version(name))]
    rows += [
        ("processor", f"{target.cpu}, {target.triple}, vectors of {target.vector_bits} bits"),
        ("threads", f"{threads_wanted()} of {processors()}"),
        ("engines", ", ".join(available_engines())),
        ("ops", str(len(OPS))),
    ]
    print(table(rows))
    print(f"\nsettings\n{describe()}")
    print("\npasses\n" + table([(step.name, step.reason) for step in PIPELINE]))
    return 0


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def cache(options: Any) -> int:
    """Show or clear the cache."""
    from symtensor.codegen.cache import configured

    found = configured()
    if found is None:
        print("the cache is switched off (setting `cache`), or there is no folder for it")
        return 0
    entries = found.entries()
    if options.what == "clear":
        found.clear()
        print(f"removed {len(entries)} entries, {size(sum(entries.values()))}, from {found.folder}")
        return 0
    rows = [
        ("folder", str(found.folder)),
        ("entries", str(len(entries))),
        ("size", f"{size(sum(entries.values()))} of {size(found.limit)}"),
    ]
    print(table(rows))
    return 0


def doctor(options: Any) -> int:
    """Check the installation."""
    from symtensor.cli.health import examine

    findings = examine()
    for finding in findings:
        print(finding)
    wrong = sum(finding.status == "wrong" for finding in findings)
    print(
        f"\n{wrong} of {len(findings)} checks found something wrong" if wrong else "\nall is well"
    )
    return 1 if wrong else 0
