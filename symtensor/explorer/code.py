"""LLVM text and assembly, taken apart by function; the phases of a kernel are under its name."""

from __future__ import annotations

import re

_DEFINE = re.compile(r'^define [^@]*@"?([^("]+)"?\(')
_LABEL = re.compile(r"^_?([A-Za-z$][\w.$]*):")
_PHASE = re.compile(r"\.\d+$")
"""What ends the name of a phase."""
_NOISE = re.compile(
    r"^\s*(\.(cfi_|size|type|p2align|globl|def|scl|endef|seh_|addrsig|file|text|intel_syntax|build_version)"
    r"|\.L?func_(begin|end)|\.subsections|[#;@]+\s*--? ?(Begin|End) function)"
)


def functions_of_llvm(text: str | None) -> dict[str, str]:
    """Return name -> text of each function defined in an LLVM module."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in (text or "").splitlines():
        start = _DEFINE.match(line)
        if start:
            current = found.setdefault(_PHASE.sub("", start[1]), [])
        if current is not None:
            current.append(line)
            if line == "}":
                current = None
    return {name: "\n".join(lines) for name, lines in found.items()}


def functions_of_assembly(text: str | None) -> dict[str, str]:
    """Return name -> instructions and labels of each function, without directives."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in (text or "").splitlines():
        label = _LABEL.match(line)
        if label and not label[1].startswith(("L", "Lfunc")):
            current = found.setdefault(_PHASE.sub("", label[1]), [])
        if line.lstrip().startswith((".section", ".data", ".rodata")):
            current = None
        if current is not None and line.strip() and not _NOISE.match(line):
            current.append(line.expandtabs(8).rstrip())
    return {name: "\n".join(lines) for name, lines in found.items() if len(lines) > 1}
