"""What the passes did, as remarks and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from symtensor.engines.records import Remark
from symtensor.passes.pipeline import Stage


def remarks_of_stages(stages: Iterable[Stage]) -> Iterator[Remark]:
    """Yield a remark for each firing of a rule on a known node."""
    for stage in stages:
        kind = "stabilized" if stage.name == "stabilize" else "rewritten"
        for found in stage.rewrites:
            yield Remark(kind, found.before, found.rule, (found.after,), stage.name)


def explain_passes(stages: Iterable[Stage]) -> Iterator[str]:
    """Yield a line per pass: nodes before and after, and how often each rule fired."""
    for stage in stages:
        fired = ", ".join(f"{rule} x{n}" for rule, n in stage.fired.items())
        change = f"{stage.before} -> {stage.after} nodes" if stage.changed else "no change"
        yield f"pass {stage.name}: {change}{f' ({fired})' if fired else ''}"
