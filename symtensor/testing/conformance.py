"""The conformance kit: what an engine must do, as named cases.

    import pytest
    from symtensor.testing import conformance

    @pytest.mark.parametrize("case", conformance.cases(), ids=str)
    def test_my_engine(case):
        case.run(MyEngine())

or, without pytest, ``print(conformance.run(MyEngine()))``; for engines that have a name
``python -m symtensor.testing.conformance numpy llvm jax`` prints one table. A case raises an
exception when the engine fails it. Cases that need a capability the engine does not claim are
skipped. Values come from the catalogue of samples, whose truth is NumPy and SciPy; the contracts
(fresh results, any memory layout, errors, updates, threads) are in `symtensor.testing.contracts`.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from symtensor.engines.base import CAPABILITIES, Engine, get_engine
from symtensor.ir.node import Op
from symtensor.ops.registry import OPS
from symtensor.testing import checks, contracts
from symtensor.testing.samples import Sample, all_samples

Check = Callable[[Engine], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that an engine must do."""

    name: str
    check: Check
    needs: frozenset[str] = frozenset()
    """Capabilities without which the case does not apply."""

    def applies_to(self, engine: Engine) -> bool:
        """Return True when the engine claims all the case needs."""
        return self.needs <= engine.capabilities()

    def run(self, engine: Engine) -> None:
        """Check the engine; does nothing where the case does not apply."""
        if self.applies_to(engine):
            self.check(engine)

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Report:
    """What became of each case."""

    engine: str
    claims: frozenset[str] = frozenset()
    passed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, BaseException] = field(default_factory=dict)

    def count(self, kind: str) -> str:
        """Return how many cases of a kind passed, of those that apply."""
        passed, failed, skipped = (
            sum(name.partition("/")[0] == kind for name in names)
            for names in (self.passed, self.failed, self.skipped)
        )
        told = f"{passed} of {passed + failed}"
        return f"{told} ({skipped} do not apply)" if skipped else told

    def __str__(self) -> str:
        lines = [
            f"{self.engine}: {len(self.passed)} passed, {len(self.failed)} failed, "
            f"{len(self.skipped)} do not apply"
        ]
        for name, error in self.failed.items():
            text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
            lines.append(f"{name}\n    " + text.replace("\n", "\n    "))
        return "\n".join(lines)


def cases() -> list[Case]:
    """Return all cases: the interface, the contracts, then each op of the catalogue."""
    found = [Case("interface", check_interface)]
    for check in contracts.CONTRACTS:
        needs = frozenset(contracts.NEEDS.get(check, ()))
        found.append(Case(f"contract/{check.__name__.replace('_', ' ')}", check, needs))
    for op, samples in samples_by_op().items():
        found += _op_cases(op, samples)
    return found


def _op_cases(op: str, samples: list[Sample]) -> list[Case]:
    def values(engine: Engine) -> None:
        checks.check_values(samples, engine)

    def sizes(engine: Engine) -> None:
        checks.check_sizes(samples, engine)

    def errors(engine: Engine) -> None:
        checks.check_errors(samples, engine)

    out = [
        Case(f"values/{op}", values),
        Case(f"sizes/{op}", sizes, frozenset({"symbolic"})),
    ]
    if any(sample.raises is not None for sample in samples):
        out.append(Case(f"errors/{op}", errors, frozenset({"bounds_error"})))
    return out


def samples_by_op() -> dict[str, list[Sample]]:
    """Return the catalogue, grouped by the op that a sample covers, in a fixed order."""
    found: dict[str, list[Sample]] = {}
    for sample in all_samples():
        found.setdefault(sample.op, []).append(sample)
    return found


def built_in_ops() -> dict[str, Op]:
    """Return the ops that the catalogue must cover: those that no user, test or backend has made."""
    custom = {"symtensor.ops.custom", "symtensor.backend"}
    return {
        name: op
        for name, op in OPS.items()
        if op.infer.__module__.startswith("symtensor.")
        and not any(op.infer.__module__.startswith(module) for module in custom)
    }


def check_interface(engine: Engine) -> None:
    """Check that the engine has the members of the protocol, and claims known capabilities."""
    assert isinstance(engine, Engine), f"{engine!r} lacks members of the Engine protocol"
    assert engine.name and isinstance(engine.name, str)
    unknown = engine.capabilities() - set(CAPABILITIES)
    assert not unknown, f"unknown capabilities: {', '.join(sorted(unknown))}"


def table(reports: Iterable[Report]) -> str:
    """Return a Markdown table: a row per kind of case and per capability, a column per engine."""
    columns = list(reports)
    kinds = dict.fromkeys(
        name.partition("/")[0]
        for report in columns
        for name in (*report.passed, *report.failed, *report.skipped)
    )
    rows = [["", *(report.engine for report in columns)]]
    rows += [[kind, *(report.count(kind) for report in columns)] for kind in kinds]
    rows += [
        [f"claims `{name}`: {meaning}", *("yes" if name in r.claims else "no" for r in columns)]
        for name, meaning in CAPABILITIES.items()
    ]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(names: Sequence[str]) -> int:
    """Run all cases on the engines named; print the table, then what failed."""
    with contextlib.redirect_stderr(io.StringIO()):  # where the op `print` writes
        reports = [run(get_engine(name)) for name in names or ("numpy", "llvm")]
    print(table(reports))
    failed = [report for report in reports if report.failed]
    for report in failed:
        print(f"\n{report}")
    return 1 if failed else 0


def run(engine: Engine, chosen: Iterable[Case] | None = None) -> Report:
    """Run cases (all by default) and return a report; nothing is raised."""
    report = Report(engine.name, engine.capabilities())
    for case in cases() if chosen is None else chosen:
        if not case.applies_to(engine):
            report.skipped.append(case.name)
            continue
        try:
            case.check(engine)
        except Exception as error:  # an engine may fail in any way
            report.failed[case.name] = error
        else:
            report.passed.append(case.name)
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
