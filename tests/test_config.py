"""Settings: who wins, what is refused, and that importing reads nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import symtensor as st
from symtensor.config import SETTINGS, config_file, describe, get, get_with_origin


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("SYMTENSOR_FLAGS", *(f"SYMTENSOR_{s.upper()}" for s in SETTINGS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYMTENSOR_CACHE", "off")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    return tmp_path


def write_file(text: str) -> None:
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_each_source_wins_over_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_with_origin("engine") == ("llvm", "default")
    write_file('engine = "from_file"')
    assert get_with_origin("engine") == ("from_file", str(config_file()))
    monkeypatch.setenv("SYMTENSOR_FLAGS", "verify=1, engine=from_flags")
    assert get_with_origin("engine") == ("from_flags", "SYMTENSOR_FLAGS")
    assert get("verify") is True
    monkeypatch.setenv("SYMTENSOR_ENGINE", "from_variable")
    assert get_with_origin("engine") == ("from_variable", "SYMTENSOR_ENGINE")
    with st.config(engine="outer"):
        with st.config(verify=False, engine="inner"):
            assert get("engine") == "inner" and get("verify") is False
        assert get("engine") == "outer" and get("verify") is True
    assert get("engine") == "from_variable"


def test_a_call_argument_wins_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMTENSOR_ENGINE", "llvm")
    x = st.placeholder(())
    with st.config(engine="llvm"):
        assert st.function([x], x, engine="numpy").engine.name == "numpy"
    with st.config(engine="numpy"):
        assert st.function([x], x).engine.name == "numpy"
    assert st.function([x], x).engine.name == "llvm"


def test_a_with_block_takes_an_engine_too() -> None:
    mine = st.get_engine("numpy")
    x = st.placeholder(())
    with st.config(engine=mine):
        assert st.function([x], x).engine is mine


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMTENSOR_ENGINE", "")
    assert get_with_origin("engine") == ("llvm", "default")


def test_unknown_names_are_refused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(st.ConfigError, match="did you mean engine"), st.config(engin="numpy"):
        pass
    write_file('engien = "numpy"')
    with pytest.raises(st.ConfigError, match="did you mean engine"):
        get("engine")
    write_file("")
    monkeypatch.setenv("SYMTENSOR_FLAGS", "enigne=numpy")
    with pytest.raises(st.ConfigError, match="did you mean engine"):
        get("verify")


@pytest.mark.parametrize("flags", ["engine", "verify=perhaps", "=3"])
def test_malformed_flags_are_refused(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMTENSOR_FLAGS", flags)
    with pytest.raises(st.ConfigError):
        get("verify")


def test_a_malformed_file_is_named() -> None:
    write_file("engine = ")
    with pytest.raises(st.ConfigError, match=r"config\.toml"):
        get("engine")
    write_file("engine = 3")
    with pytest.raises(st.ConfigError, match=r"config\.toml: engine: expected the name"):
        get("engine")


def test_users_without_a_home_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home directory")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name)
    assert config_file() is None and get_with_origin("engine") == ("llvm", "default")


@pytest.mark.parametrize("text", ["-1", "many", "1.5"])
def test_sizes_are_whole_numbers(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMTENSOR_CACHE_SIZE", text)
    with pytest.raises(
        st.ConfigError, match="SYMTENSOR_CACHE_SIZE: cache_size: expected a whole number"
    ):
        get("cache_size")


def test_a_failed_block_restores_what_was() -> None:
    with pytest.raises(RuntimeError), st.config(engine="numpy"):
        raise RuntimeError
    assert get("engine") == "llvm"
    with pytest.raises(st.ConfigError), st.config(engine="numpy", verify="perhaps"):
        pass
    assert get("engine") == "llvm"


def test_blocks_hold_in_their_thread_and_task_only() -> None:
    seen: dict[str, str] = {}
    with st.config(engine="numpy"):
        thread = threading.Thread(target=lambda: seen.update(thread=get("engine")))
        thread.start()
        thread.join()

    async def task(name: str) -> None:
        with st.config(engine=name):
            await asyncio.sleep(0)
            seen[name] = get("engine")

    async def both() -> None:
        await asyncio.gather(task("one"), task("two"))

    asyncio.run(both())
    assert seen == {"thread": "llvm", "one": "one", "two": "two"}


def test_description_shows_value_and_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMTENSOR_ENGINE", "numpy")
    lines = describe().splitlines()
    assert len(lines) == len(SETTINGS)
    assert lines[0].startswith("engine = 'numpy' (SYMTENSOR_ENGINE): ")


def test_import_reads_no_settings_and_loads_no_compiler(tmp_path: Path) -> None:
    (tmp_path / "symtensor").mkdir()
    (tmp_path / "symtensor" / "config.toml").write_text("this is not TOML")
    program = (
        "import os, sys\n"
        "os.environ['SYMTENSOR_FLAGS'] = 'nonsense'\n"
        "import symtensor\n"
        "print([m for m in ('llvmlite', 'networkx', 'tomllib', 'scipy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
