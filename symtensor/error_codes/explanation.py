"""What an error code means: a title, a text, a wrong program and the same one mended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """One kind of mistake."""

    code: str
    title: str
    text: str
    wrong: str = ""
    right: str = ""

    @property
    def description(self) -> str:
        """The text as one line."""
        return " ".join(self.text.split())

    def __str__(self) -> str:
        parts = [f"{self.code}: {self.title}", self.description]
        if self.wrong:
            parts.append(f"Wrong:\n\n{_indented(self.wrong)}")
        if self.right:
            parts.append(f"Right:\n\n{_indented(self.right)}")
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """Return the entry as a section of docs/errors.md."""
        lines = [f"## {self.code}: {self.title}", self.description]
        if self.wrong:
            lines.append(f"<!-- not run: it is wrong -->\n```python\n{self.wrong}\n```")
        if self.right:
            lines.append(f"Instead:\n\n```python\n{self.right}\n```")
        return "\n\n".join(lines)


def _indented(program: str) -> str:
    return "\n".join(f"    {line}" for line in program.splitlines())
