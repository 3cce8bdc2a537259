"""Settings: one table of what can be set, and one order of who wins.

    with st.config(engine="numpy"):   over   SYMTENSOR_ENGINE   over   SYMTENSOR_FLAGS   over
    config.toml in the user's configuration folder   over   the default

Nothing is read before the first use. Unknown names are errors that suggest a near one.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symtensor.errors import ConfigError


def _boolean(text: Any) -> bool:
    if isinstance(text, bool):
        return text
    if str(text).lower() in ("1", "true", "yes", "on"):
        return True
    if str(text).lower() in ("0", "false", "no", "off", ""):
        return False
    raise ConfigError(f"expected true or false, found {text!r}")


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
        Setting("engine", "llvm", str, "name of the engine that runs functions"),
        Setting("passes", "", str, "passes to switch off, e.g. -stabilize,-algebra"),
        Setting("verify", False, _boolean, "verify the graph after every pass"),
        Setting("dump", False, _boolean, "print the graph after every pass that changed it"),
    )
}

_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "symtensor_config", default={}
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
    if variable in os.environ:
        return setting.parse(os.environ[variable]), variable
    flags = _flags(os.environ.get("SYMTENSOR_FLAGS", ""))
    if name in flags:
        return setting.parse(flags[name]), "SYMTENSOR_FLAGS"
    path = config_file()
    stored = _stored(path)
    if name in stored:
        return setting.parse(stored[name]), str(path)
    return setting.default, "default"


@contextlib.contextmanager
def config(**settings: Any) -> Iterator[None]:
    """Set values inside a ``with`` block, in this thread (or task) only."""
    parsed = {name: _known(name).parse(value) for name, value in settings.items()}
    token = _overrides.set({**_overrides.get(), **parsed})
    try:
        yield
    finally:
        _overrides.reset(token)


def config_file() -> Path:
    """Return where the configuration file is looked for."""
    if sys.platform == "win32":
        folder = os.environ.get("APPDATA", str(Path.home()))
    else:
        folder = os.environ.get("XDG_CONFIG_HOME", str(Path.home() / ".config"))
    return Path(folder) / "symtensor" / "config.toml"


def _known(name: str) -> Setting:
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        raise ConfigError(
            f"there is no setting {name!r}",
            help=f"did you mean {near[0]}?" if near else f"settings: {', '.join(SETTINGS)}",
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


def _stored(path: Path) -> dict[str, Any]:
    """Return the settings of a file, read again when it changes."""
    try:
        changed = path.stat().st_mtime
    except OSError:
        return {}
    if path not in _files or _files[path][0] != changed:
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
        for name in found:
            _known(name)
        _files[path] = changed, found
    return _files[path][1]
