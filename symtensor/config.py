"""Settings: one table of what can be set, and one order of who wins.

    with st.config(engine="numpy"):   over   SYMTENSOR_ENGINE   over   SYMTENSOR_FLAGS   over
    config.toml in the user's configuration folder   over   the default

Environment and file are read when a setting is asked for, never on import, so a change of the
environment counts from the next compile on. Unknown names are errors that suggest a near one; an
empty environment variable counts as absent.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from symtensor.errors import ConfigError
from symtensor.vocabulary import suggestion


def _boolean(text: Any) -> bool:
    if isinstance(text, bool):
        return text
    if str(text).lower() in ("1", "true", "yes", "on"):
        return True
    if str(text).lower() in ("0", "false", "no", "off", ""):
        return False
    raise ConfigError(f"expected true or false, found {text!r}")


def _count(value: Any) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = -1
    if count < 0 or isinstance(value, bool):
        raise ConfigError(f"expected a whole number, not negative, found {value!r}")
    return count


CHECKS = ("passes", "engine", "aliasing", "nan", "inf")
"""What a function can check at every call; see `symtensor.checking`."""


def checks(value: Any) -> frozenset[str]:
    """Return the names of checks meant by True, False, or names in a string or a list."""
    if not isinstance(value, (list, tuple, set, frozenset)):
        try:
            return frozenset(CHECKS if _boolean(value) else ())
        except ConfigError:
            value = [part.strip() for part in str(value).split(",") if part.strip()]
    for name in value:
        if name not in CHECKS:
            raise ConfigError(
                f"there is no check {name!r}{suggestion(str(name), CHECKS)}",
                help=f"checks: {', '.join(CHECKS)}",
            )
    return frozenset(value)


def _engine(value: Any) -> Any:
    """Return the name of an engine, or an engine itself (from a ``with`` block)."""
    if isinstance(value, str) and value:
        return value
    if callable(getattr(value, "compile", None)):
        return value
    raise ConfigError(f"expected the name of an engine, found {value!r}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set."""

    name: str
    default: Any
    parse: Callable[[Any], Any]
    doc: str


SETTINGS = {
    s.name: s
    for s in (
        Setting("engine", "llvm", _engine, "name of the engine that runs functions"),
        Setting("num_threads", 0, _count, "threads to compute with; 0: OMP_NUM_THREADS, or all"),
        Setting("cache", True, _boolean, "keep compiled code on disk"),
        Setting("cache_dir", "", str, "folder for compiled code; empty: in the user's caches"),
        Setting("cache_size", 256, _count, "MiB of compiled code to keep"),
        Setting("passes", "", str, "passes to switch off, e.g. -stabilize,-algebra"),
        Setting("verify", False, _boolean, "verify the graph after every pass"),
        Setting(
            "check", frozenset(), checks, "check functions at every call: 1, or names of checks"
        ),
        Setting("dump", False, _boolean, "print the graph after every pass that changed it"),
    )
}

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "symtensor_config", default=_NOTHING
)


def get(name: str) -> Any:
    """Return the value in force of a setting."""
    return get_with_origin(name)[0]


def get_with_origin(name: str) -> tuple[Any, str]:
    """Return the value in force of a setting and where it comes from."""
    setting = _known(name)
    overrides = _overrides.get()
    if name in overrides:
        return overrides[name], "with symtensor.config(...)"
    variable = f"SYMTENSOR_{name.upper()}"
    flags = _flags(os.environ.get("SYMTENSOR_FLAGS", ""))
    path = config_file()
    for found, origin in (
        (os.environ.get(variable) or None, variable),
        (flags.get(name), "SYMTENSOR_FLAGS"),
        (_stored(path).get(name), str(path)),
    ):
        if found is not None:
            return _parse(setting, found, origin), origin
    return setting.default, "default"


def _parse(setting: Setting, value: Any, origin: str) -> Any:
    try:
        return setting.parse(value)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {setting.name}: {error.message}") from None


def config(**settings: Any) -> contextlib.AbstractContextManager[None]:
    """Set values inside a ``with`` block, in this thread (or task) only.

    Raises `ConfigError` where it is called, not where the block begins.
    """
    parsed = {name: _parse(_known(name), value, "config") for name, value in settings.items()}
    return _overridden(parsed)


@contextlib.contextmanager
def _overridden(parsed: Mapping[str, Any]) -> Iterator[None]:
    token = _overrides.set({**_overrides.get(), **parsed})
    try:
        yield
    finally:
        _overrides.reset(token)


def engine(choice: Any) -> contextlib.AbstractContextManager[None]:
    """Run what is compiled inside a ``with`` block by this engine: a name or an engine."""
    return config(engine=choice)


def describe() -> str:
    """Return one line per setting: its value, where that comes from, and what it means."""
    lines = []
    for name, setting in SETTINGS.items():
        value, origin = get_with_origin(name)
        shown = ", ".join(sorted(value)) if isinstance(value, frozenset) else value
        lines.append(f"{name} = {shown!r} ({origin}): {setting.doc}")
    return "\n".join(lines)


def config_file() -> Path | None:
    """Return where the configuration file is looked for; None for users without a home."""
    windows = sys.platform == "win32"
    chosen = os.environ.get("APPDATA" if windows else "XDG_CONFIG_HOME")
    folder = Path(chosen) if chosen else home_folder()
    if folder is None:
        return None
    if not chosen and not windows:
        folder /= ".config"
    return folder / "symtensor" / "config.toml"


def home_folder() -> Path | None:
    """Return the user's home; None where there is none, as for the made-up users of containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _known(name: str) -> Setting:
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        raise ConfigError(
            f"there is no setting {name!r}",
            help=f"did you mean {near[0]}?" if near else f"settings: {', '.join(SETTINGS)}",
            code="ST1401",
        )
    return SETTINGS[name]


def _flags(text: str) -> dict[str, str]:
    out = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"SYMTENSOR_FLAGS: expected name=value, found {part!r}")
        out[_known(name.strip()).name] = value.strip()
    return out


_files: dict[Path, tuple[float, dict[str, Any]]] = {}


def _stored(path: Path | None) -> dict[str, Any]:
    """Return the settings of a file, read again when it changes."""
    if path is None:
        return {}
    try:
        changed = path.stat().st_mtime
    except OSError:
        return {}
    if path not in _files or _files[path][0] != changed:
        import tomllib  # here: most programs have no such file

        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
        for name in found:
            _known(name)
        _files[path] = changed, found
    return _files[path][1]
