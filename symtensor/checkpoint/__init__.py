"""Saving variables to a file and reading them back: with every engine, on any layout of devices.

    checkpoint.save("run/100.safetensors", [*weights, *stream.states], {"step": "100"})
    step = int(checkpoint.load("run/100.safetensors", [*weights, *stream.states])["step"])

Values are taken at one moment: no call changes a variable meanwhile. A file holds whole arrays, so
what eight devices saved one restores. Where other processes hold parts of the values, all processes
call `save`, each writes a file of its own parts (``100.00002-of-00008.safetensors``), and `load`
puts them together, if they are of one save: they agree on its number before they write. Restoring
changes all variables or, after an error, none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from symtensor.checkpoint import files
from symtensor.errors import CheckpointError
from symtensor.ops.variables import Exclusive, Store, Variable, together, value_for

Array = np.ndarray[Any, Any]
Variables = Mapping[str, Variable] | Iterable[Variable]

PIECES = "symtensor.pieces"
"""Key of the table of pieces in a file of one process: key -> (name, whole shape, first position)."""
SAVE = "symtensor.save"
"""Key of the number of the save in a file of one process."""


def save(
    path: str | PathLike[str], variables: Variables, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the values of variables, and texts that belong to them; return the file written.

    `variables` is a mapping, or named variables. The suffix of `path` chooses the format:
    ``.safetensors`` or ``.npz``. What was there is replaced when all has been written. Raises
    `CheckpointError` for variables without a name of their own.
    """
    path, named = Path(path), _named(variables)
    texts = {str(k): str(v) for k, v in (metadata or {}).items()}
    stores = [variable.store for variable in named.values()]
    (number, count), arrays, more = Exclusive(stores).run(_own_values, named)
    texts |= more
    if count > 1:
        path = _part_path(path, number, count)
        files.write(path, arrays, texts)
        return path
    files.write(path, arrays, texts)
    for part in _part_files(path):  # of an older save by several processes
        part.unlink(missing_ok=True)
    return path


def _own_values(
    named: Mapping[str, Variable],
) -> tuple[tuple[int, int], dict[str, Array], dict[str, str]]:
    """Return which process this is of how many, what it writes, and texts for those that read it."""
    parts = {k: _part(variable.store) for k, variable in named.items()}
    spread = next((k for k, (_, count, _) in parts.items() if count > 1), None)
    number, count = (0, 1) if spread is None else parts[spread][:2]
    arrays: dict[str, Array] = {}
    table: dict[str, Any] = {}
    for name, (own, _, pieces) in parts.items():
        if pieces is None:  # whole, and the same in all processes
            if number == 0:
                arrays[name] = named[name].store.array
            continue
        assert own == number
        for start, array in pieces:
            key = f"{name}@{','.join(map(str, start))}"
            arrays[key] = array
            shape = named[name].store.elsewhere_or_array().shape
            table[key] = name, shape, start
    if spread is None:
        return (number, count), arrays, {}
    return (number, count), arrays, {SAVE: _agree(named[spread].store), PIECES: json.dumps(table)}


def load(path: str | PathLike[str], variables: Variables, *, strict: bool = True) -> dict[str, str]:
    """Give variables the values of a file; return the texts that were saved with them.

    With `strict` the file must hold these variables and no others; else what only one side has is
    left alone. Raises `CheckpointError`, or `ShapeError` and `DTypeError` for a value that does not
    fit its variable; all variables keep their values then.
    """
    named = _named(variables)
    arrays, texts = read(path)
    if strict and set(arrays) != set(named):
        missing, more = sorted(set(named) - set(arrays)), sorted(set(arrays) - set(named))
        raise CheckpointError(
            f"{path} holds other variables than these: "
            + "; ".join([*([f"missing {', '.join(missing)}"] if missing else []),
                         *([f"too many: {', '.join(more)}"] if more else [])]),
            help="strict=False restores what both have",
        )  # fmt: skip
    common = [name for name in named if name in arrays]
    values = [value_for(named[name].type, arrays[name], name, borrow=True) for name in common]
    stores = [named[name].store for name in common]
    Exclusive(stores).run(_replace, stores, values)
    return texts


def _replace(stores: Sequence[Store], values: Sequence[Array]) -> None:
    with together:
        for store, value in zip(stores, values, strict=True):
            store.array = value


def read(path: str | PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and texts of a checkpoint, the parts of several processes put together."""
    path = Path(path)
    parts = _parts_of(path)
    if not parts:
        return files.read(path)
    if path.exists():
        raise CheckpointError(
            f"{path} is there whole and as the parts of {len(parts)} processes: of two saves",
            help="remove the one that is not wanted",
        )
    whole = _Whole(path)
    for part in parts:
        whole.add(*files.read(part))
    return whole.arrays(), whole.texts


def _named(variables: Variables) -> dict[str, Variable]:
    """Return variables by name; each must have one, and another than the rest."""
    if isinstance(variables, Mapping):
        return {str(name): variable for name, variable in variables.items()}
    out: dict[str, Variable] = {}
    for variable in variables:
        if not isinstance(variable, Variable):
            raise CheckpointError(f"expected variables, found {variable!r}")
        name = variable.name
        if not name or out.setdefault(name, variable) is not variable:
            what = "a variable without a name" if not name else f"two variables named {name!r}"
            raise CheckpointError(
                f"{what} can't be found again in a file",
                help="pass a mapping of names to variables",
            )
    return out


# --- parts ---------------------------------------------------------------------------------------


def _part(store: Store) -> tuple[int, int, list[tuple[tuple[int, ...], Array]] | None]:
    """Return number and count of the processes that hold a value, and the pieces held here."""
    value = store.elsewhere_or_array()
    return (0, 1, None) if isinstance(value, np.ndarray) else value.part()


def _agree(store: Store) -> str:
    """Return the number of a save, the same in all processes."""
    value = store.elsewhere_or_array()
    assert not isinstance(value, np.ndarray)
    return value.agree()


def _part_path(path: Path, number: int, count: int) -> Path:
    return path.with_name(f"{path.stem}.{number:05}-of-{count:05}{path.suffix}")


def _part_files(path: Path) -> dict[Path, tuple[int, int]]:
    """Return the files of parts that are there, with their numbers and counts."""
    pattern = re.compile(
        rf"{re.escape(path.stem)}\.(\d{{5}})-of-(\d{{5}}){re.escape(path.suffix)}$"
    )
    there = path.parent.glob(f"*{path.suffix}")
    return {p: (int(m[1]), int(m[2])) for p in there if (m := pattern.match(p.name))}


def _parts_of(path: Path) -> list[Path]:
    """Return the files of all processes; raises where some are missing."""
    found = _part_files(path)
    if not found:
        return []
    counts = {count for _, count in found.values()}
    wanted = range(max(counts))
    if len(counts) > 1 or {number for number, _ in found.values()} != set(wanted):
        names = ", ".join(sorted(p.name for p in found))
        raise CheckpointError(f"{path}: expected the parts of one save, all of them; found {names}")
    return [_part_path(path, number, len(wanted)) for number in wanted]


class _Whole:
    """Arrays put together from pieces."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: dict[str, str] = {}
        self._parts = 0
        self._save: str | None = None
        self._arrays: dict[str, Array] = {}
        self._filled: dict[str, Array] = {}

    def add(self, arrays: Mapping[str, Array], texts: dict[str, str]) -> None:
        """Add the part of one process."""
        table = json.loads(texts.pop(PIECES, "{}"))
        save = texts.pop(SAVE, None)  # files of before had none
        if self._parts and (self.texts, self._save) != (texts, save):
            raise CheckpointError(
                f"{self.path}: the parts are of different saves, one of which was interrupted",
                help="saves with names of their own, as of their steps, leave the one before whole",
            )
        self.texts, self._save = texts, save
        self._parts += 1
        for key, array in arrays.items():
            name, shape, start = table.get(key, (key, array.shape, (0,) * array.ndim))
            if name not in self._arrays:
                self._arrays[name] = np.empty(shape, array.dtype)
                self._filled[name] = np.zeros(shape, bool)
            at = tuple(slice(s, s + n) for s, n in zip(start, array.shape, strict=True))
            if self._filled[name][at].any():
                raise CheckpointError(f"{self.path}: elements of {name!r} are there twice")
            self._arrays[name][at], self._filled[name][at] = array, True

    def arrays(self) -> dict[str, Array]:
        """Return the arrays; all their elements must have been there."""
        for name, filled in self._filled.items():
            if not filled.all():
                raise CheckpointError(f"{self.path}: elements of {name!r} are missing")
        return self._arrays


__all__ = ["load", "read", "save"]
