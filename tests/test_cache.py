"""Compiled code on disk: what is found again, what is refused, and that trouble costs only time."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import cache, jit
from symtensor.codegen.cache import (
    ABANDONED,
    ObjectCache,
    joined,
    object_key,
    parted,
    user_cache_folder,
)
from symtensor.codegen.target import OPTIONS, host, named

KEY, CODE = "5a" * 32, bytes(range(256)) * 3
POSIX = pytest.mark.skipif(os.name == "nt", reason="owners and modes are POSIX's")


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache folder in this test; returns where its entries will be."""
    for library in (jit.load_entry, jit.load_pool):
        library()  # compiled once per process, so not in this folder
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path))
    return tmp_path / "objects"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that LLVM compiles from now on."""
    texts: list[str] = []
    compile_object = jit.compile_object

    def record(text: str, target: Any) -> bytes:
        texts.append(text)
        return compile_object(text, target)

    monkeypatch.setattr(jit, "compile_object", record)
    return texts


@pytest.fixture
def store(tmp_path: Path) -> ObjectCache:
    return ObjectCache(tmp_path / "objects", 1 << 20)


def program(weight: Any = 2.0) -> st.Function:
    """Return a small function, with the same text every time."""
    x = st.placeholder((None,), "float64", name="x")
    return st.function([x], st.sqrt(x) * st.variable(np.asarray(weight)) + 0.25)


def check(function: st.Function, weight: Any = 2.0) -> None:
    x = np.array([0.0, 1.0, 2.25])
    np.testing.assert_array_equal(function(x), np.sqrt(x) * weight + 0.25)


def the_entry(folder: Path) -> Path:
    (found,) = folder.glob("*.o")
    return found


def code_and_program(folder: Path) -> tuple[Path, Path]:
    """Return the entries of one function: what was compiled, and what remembers it."""
    code, program = sorted(folder.glob("*.o"), key=lambda x: b"ELF" not in x.read_bytes())
    return code, program


def quiet(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


# --- found again ---------------------------------------------------------------------------------

COUNTING = """
import numpy as np, symtensor as st
from symtensor.codegen import jit
texts, compile_object = [], jit.compile_object
jit.compile_object = lambda text, target: texts.append(text) or compile_object(text, target)
x, y = st.placeholder((None, 3)), st.placeholder((None,))
w, b = st.variable(np.ones(3, "float32")), st.variable(np.float32(0))
loss = st.mean(st.square(st.tanh(x @ w + b) - y))
g, h = st.gradients(loss, [w, b])
f = st.function([x, y], [loss, st.sort(y)], updates=[(w, w - 0.1 * g), (b, b - 0.1 * h)])
f(np.ones((4, 3), "float32"), np.ones(4, "float32"))
value, _ = f(np.ones((4, 3), "float32"), np.ones(4, "float32"))
print(len(texts), value.tobytes().hex())
"""


def test_the_next_process_compiles_nothing(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    cold, value = quiet(COUNTING).split()
    entries = len(list(cache_folder.iterdir()))
    assert int(cold) >= entries > 0  # one for each module, which may be compiled in parts
    for seed in ("2", "3", "4"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        assert quiet(COUNTING).split() == ["0", value]
    assert len(list(cache_folder.iterdir())) == entries


def test_a_second_function_of_one_text_is_not_compiled(
    cache_folder: Path, compiled: list[str]
) -> None:
    check(program())
    assert code_and_program(cache_folder) and len(compiled) == 1
    check(program())
    assert len(compiled) == 1


def test_switched_off(cache_folder: Path, compiled: list[str], monkeypatch: Any) -> None:
    with st.config(cache=False):
        check(program())
        check(program())
    monkeypatch.setenv("SYMTENSOR_CACHE", "off")
    check(program())
    assert compiled.count(compiled[-1]) == 3 and not cache_folder.exists()


def test_the_folder_by_setting_and_by_convention(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.delenv("SYMTENSOR_CACHE_DIR")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    folder = user_cache_folder()
    assert folder is not None and folder.is_relative_to(tmp_path) and folder.name == "symtensor"
    found = cache.configured()
    assert found == ObjectCache(folder / "objects", 256 << 20)
    with st.config(cache_dir=tmp_path / "mine", cache_size=3):
        assert cache.configured() == ObjectCache(tmp_path / "mine" / "objects", 3 << 20)


@pytest.mark.parametrize("platform, folder", [
    ("linux", ".cache/symtensor"),
    ("darwin", "Library/Caches/symtensor"),
    ("win32", "AppData/Local/symtensor"),
])  # fmt: skip
def test_each_platform_has_its_folder(
    platform: str, folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert user_cache_folder() == tmp_path / folder


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home directory")

    for name in ("SYMTENSOR_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache.configured() is None
    check(program())


# --- keys ----------------------------------------------------------------------------------------


def test_keys_tell_apart_what_makes_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    here = host()
    keys = [
        object_key("text", here),
        object_key("text ", here),
        object_key("text", replace(here, cpu="other")),
        object_key("text", replace(here, features=here.features + ",+more")),
        object_key("text", replace(here, triple="other")),
        *(object_key("text", named(name)) for name in ("avx512", "avx2", "sse2", "neon", "apple")),
    ]
    changes: list[tuple[Any, str, Any]] = [
        (cache.llvmlite, "__version__", "0.0"),
        (cache.llvm, "llvm_version_info", (0, 0, 0)),
        (cache, "VERSION", 0),
    ]
    for owner, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            keys.append(object_key("text", here))
    with monkeypatch.context() as patch:
        patch.setitem(OPTIONS, "opt", 0)
        keys.append(object_key("text", here))
    assert len(set(keys)) == len(keys)
    assert object_key("text", here) == keys[0]


def test_values_of_weights_and_arrays_are_in_no_text(compiled: list[str]) -> None:
    def text(seed: int) -> str:
        rng = np.random.default_rng(seed)
        x = st.placeholder((None, 5), "float64")
        w, table = st.variable(rng.standard_normal((5, 7))), rng.standard_normal(7)
        bias = st.variable(rng.standard_normal())
        out = st.softmax(x @ w * table + bias)
        loss = st.sum(out * st.constant(rng.standard_normal((1, 7))))
        updates = [(w, w - 0.01 * st.gradients(loss, w))]
        return str(st.function([x], loss, updates=updates).executable.llvm_ir)

    assert text(1) == text(2)


# --- what is not as it was written ---------------------------------------------------------------


def test_what_is_stored_comes_back(store: ObjectCache) -> None:
    assert store.get(KEY) is None
    for code in (CODE, b"", b"other"):
        store.put(KEY, code)
        assert store.get(KEY) == code
    assert store.get("5b" * 32) is None


@pytest.mark.parametrize("objects", [[], [b""], [b"one"], [b"", b"two", b"", b"x" * 1000]])
def test_the_objects_of_a_module_come_back(objects: list[bytes]) -> None:
    assert parted(joined(objects)) == objects


def test_every_flipped_bit_is_noticed(store: ObjectCache) -> None:
    store.put(KEY, CODE)
    path = the_entry(store.folder)
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert store.get(KEY) is None, place
    path.write_bytes(whole)
    assert store.get(KEY) == CODE


def test_every_truncation_and_every_addition_is_noticed(store: ObjectCache) -> None:
    store.put(KEY, CODE)
    path = the_entry(store.folder)
    whole = path.read_bytes()
    for damaged in [whole[:length] for length in range(len(whole))] + [whole + b"\0", whole * 2]:
        path.write_bytes(damaged)
        assert store.get(KEY) is None, len(damaged)


def test_an_entry_under_another_name_is_foreign(store: ObjectCache) -> None:
    store.put(KEY, CODE)
    other = "5b" * 32
    the_entry(store.folder).rename(store.folder / f"{other}.o")
    assert store.get(other) is None


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _foreign(path: Path) -> None:
    path.write_bytes(b"\x7fELF" + os.urandom(5000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("which", [0, 1], ids=["code", "program"])
@pytest.mark.parametrize("damage", [_flip, _truncate, _foreign, _empty, Path.unlink])
def test_a_damaged_entry_is_compiled_and_written_anew(
    damage: Callable[[Path], None], which: int, cache_folder: Path, compiled: list[str]
) -> None:
    check(program())
    entry = code_and_program(cache_folder)[which]
    whole = entry.read_bytes()
    damage(entry)
    compiled.clear()
    check(program())
    assert len(compiled) == (which == 0) and entry.read_bytes() == whole
    check(program())
    assert len(compiled) == (which == 0)


def test_what_is_no_file_is_a_miss(store: ObjectCache) -> None:
    (store.folder / f"{KEY}.o").mkdir(parents=True)
    store.put(KEY, CODE)
    assert store.get(KEY) is None


# --- folders that are not ours alone -------------------------------------------------------------


@POSIX
def test_folder_and_entries_are_private(store: ObjectCache) -> None:
    before = os.umask(0)
    try:
        store.put(KEY, CODE)
    finally:
        os.umask(before)
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert the_entry(store.folder).stat().st_mode & 0o777 == 0o600


@POSIX
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(
    mode: int, store: ObjectCache, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, CODE)
    store.folder.chmod(mode)
    with caplog.at_level(logging.WARNING, "symtensor.cache"):
        assert store.get(KEY) is None and store.get(KEY) is None
        store.put("5b" * 32, CODE)
    assert len(caplog.records) == 1 and str(store.folder) in caplog.text
    store.folder.chmod(0o755)
    assert store.get(KEY) == CODE and store.get("5b" * 32) is None


@POSIX
def test_an_entry_that_others_may_write_to_is_refused(store: ObjectCache) -> None:
    store.put(KEY, CODE)
    the_entry(store.folder).chmod(0o622)
    assert store.get(KEY) is None
    store.put(KEY, CODE)
    assert store.get(KEY) == CODE


@POSIX
def test_what_another_user_owns_is_refused(store: ObjectCache, monkeypatch: Any) -> None:
    store.put(KEY, CODE)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert store.get(KEY) is None


@POSIX
def test_links_and_pipes_are_refused(store: ObjectCache, tmp_path: Path) -> None:
    store.put(KEY, CODE)
    entry = the_entry(store.folder)
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert store.get(KEY) is None
    entry.unlink()
    os.mkfifo(entry, 0o600)
    assert store.get(KEY) is None
    store.put(KEY, CODE)
    assert store.get(KEY) == CODE
    store.folder.rename(tmp_path / "moved")
    store.folder.symlink_to(tmp_path / "moved")
    assert store.get(KEY) is None


# --- trouble with files --------------------------------------------------------------------------

TROUBLE = {
    "os.mkdir": errno.EROFS,
    "os.lstat": errno.EACCES,
    "os.open": errno.EMFILE,
    "os.fstat": errno.EIO,
    "os.utime": errno.EROFS,
    "os.replace": errno.EACCES,
    "os.scandir": errno.EIO,
    "tempfile.mkstemp": errno.ENOSPC,
}


@pytest.mark.parametrize("call", TROUBLE)
def test_trouble_costs_only_time(call: str, store: ObjectCache, monkeypatch: Any) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(TROUBLE[call], os.strerror(TROUBLE[call]))

    key = "0" + KEY[1:]  # one whose entry makes the cache look through its folder
    for written in (False, True):
        if written:
            store.put(key, CODE)
        with monkeypatch.context() as patch:
            owner, _, name = call.partition(".")
            patch.setattr(getattr(cache, owner), name, fail)
            assert store.get(key) in (None, CODE)
            store.put(key, CODE)
        assert not list(store.folder.glob("*.tmp"))


def test_a_disk_that_fills_up_leaves_nothing(store: ObjectCache, monkeypatch: Any) -> None:
    def full(path: Path, parts: Any) -> None:
        header, _ = parts
        write(path, iter_and_fail(header))

    def iter_and_fail(header: bytes) -> Iterator[bytes]:
        yield header
        raise OSError(errno.ENOSPC, "no space left on device")

    write = cache._write_whole
    monkeypatch.setattr(cache, "_write_whole", full)
    store.put(KEY, CODE)
    assert store.get(KEY) is None and not list(store.folder.iterdir())


def test_a_file_in_place_of_the_folder(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path / "file"))
    check(program())


@POSIX
def test_a_read_only_folder_is_read(cache_folder: Path, compiled: list[str]) -> None:
    check(program())
    cache_folder.chmod(0o500)
    try:
        compiled.clear()
        check(program())
        x = st.placeholder((None,), "float64")
        assert st.function([x], st.exp(-x) + 0.5)([0.0]) == 1.5
    finally:
        cache_folder.chmod(0o700)
    assert len(compiled) == 1


# --- size ----------------------------------------------------------------------------------------


def keys(count: int) -> list[str]:
    return [f"{number % 16:x}{number:063x}" for number in range(1, count + 1)]


def test_entries_used_longest_ago_go_first(store: ObjectCache) -> None:
    small = replace(store, limit=12_000)
    for age, key in enumerate(keys(10)):
        store.put(key, bytes(2000))
        os.utime(store.folder / f"{key}.o", (0, 1e9 - age))
    oldest, *_ = list(reversed(keys(10)))
    assert store.get(oldest) is not None  # which makes it the youngest
    small.trim()
    left = {key for key in keys(10) if small.get(key) is not None}
    assert left == {oldest, *keys(4)}


def test_the_size_stays_bounded(store: ObjectCache) -> None:
    small = replace(store, limit=20_000)
    for key in keys(200):
        small.put(key, bytes(1000))
    assert sum(p.stat().st_size for p in store.folder.iterdir()) < 20_000 + 16 * 1100


def test_code_beyond_the_limit_is_not_stored(store: ObjectCache) -> None:
    small = replace(store, limit=100)
    small.put(KEY, CODE)
    assert small.get(KEY) is None and not store.folder.exists()


def test_what_dead_processes_left_is_removed(store: ObjectCache) -> None:
    store.put(KEY, CODE)
    old, new = store.folder / "old.tmp", store.folder / "new.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    long_ago = new.stat().st_mtime - ABANDONED - 1
    os.utime(old, (long_ago, long_ago))
    store.trim()
    assert not old.exists() and new.exists() and store.get(KEY) == CODE


# --- several processes ---------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from symtensor.codegen.cache import ObjectCache
store = ObjectCache(Path(sys.argv[1]), 60_000)
seed = int(sys.argv[2])
keys = [f"{n:x}{n:063x}" for n in range(16)]
print("ready", flush=True)
found = 0
for number in range(400):
    key = keys[(number * 7 + seed) % 16]
    code = (key * 100).encode() * (1 + number % 3 + seed % 2)
    store.put(key, code)
    other = keys[(number * 5 + seed) % 16]
    got = store.get(other)
    found += got is not None
    assert got is None or len(got) % 6400 == 0 and got == (other * (len(got) // 64)).encode()
assert found > 100, found
"""


def test_eight_writers_some_of_them_killed(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(seed)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(8)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers[::3]:
        writer.kill()
    for seed, writer in enumerate(writers):
        _, complaints = writer.communicate()
        assert seed % 3 == 0 or (writer.returncode == 0 and not complaints), complaints
    store = ObjectCache(folder, 60_000)
    for number in range(16):
        key = f"{number:x}{number:063x}"
        store.put(key, key.encode())
        assert store.get(key) == key.encode()
