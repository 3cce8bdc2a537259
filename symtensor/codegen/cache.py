"""Compiled code on disk: what one process compiled, the next one only links.

    <folder>/<key>.o = magic | key | length of code | SHA-256 of all else | code
    code             = number of object files of the module | length of each | the files

The key is the SHA-256 of everything that the code depends on: the module's text, processor and
options, LLVM. Weights are no part of a text, so they are no part of a key. What is remembered of programs
and texts (`symtensor.codegen.recall`, `sources`) has entries of the same form. An entry is used when all
of it is as it was written; anything else is a miss, and the entry is written anew. Code is loaded from
here, so folder and entries must belong to this user and be writable by nobody else; the checksum is
against accidents only. Entries appear whole or not at all, without locks. What goes wrong with files
never raises: it costs a compile.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from symtensor.codegen.target import Target
from symtensor.config import get as get_setting
from symtensor.config import home_folder

VERSION = 2
"""To be raised when code for the same text and target changes for a reason the key does not see."""
MAGIC = b"symtenso"
_HEADER = struct.Struct("<8s32sQ32s")
ABANDONED = 3600.0
"""Seconds after which a temporary file was left behind by a process that died."""
_SAFE_OPEN = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)  # a link could lead to a file of somebody else's choice
    | getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for its other end
)

_log = logging.getLogger("symtensor.cache")
_refused: set[str] = set()


def object_key(text: str, target: Target) -> str:
    """Return the key of the object file for a module's text, 64 hexadecimal digits."""
    parts = [str(VERSION), llvmlite.__version__, repr(llvm.llvm_version_info)]
    parts += [target.fingerprint, text]
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(struct.pack("<Q", len(data)))  # no two lists of parts run together
        digest.update(data)
    return digest.hexdigest()


def joined(objects: Sequence[bytes]) -> bytes:
    """Return the object files of a module as the code of one entry."""
    lengths = list(map(len, objects))
    return struct.pack(f"<{len(lengths) + 1}Q", len(lengths), *lengths) + b"".join(objects)


def parted(code: bytes) -> list[bytes]:
    """Return the object files that `joined` has put together."""
    (count,) = struct.unpack_from("<Q", code)
    lengths = struct.unpack_from(f"<{count}Q", code, 8)
    ends = itertools.accumulate(lengths, initial=8 * (count + 1))
    return [code[start:end] for start, end in itertools.pairwise(ends)]


def configured() -> ObjectCache | None:
    """Return the cache that the settings ask for; None when they switch it off."""
    if not get_setting("cache"):
        return None
    chosen = get_setting("cache_dir")
    folder = Path(chosen) if chosen else user_cache_folder()
    if folder is None:
        return None
    return ObjectCache(folder / "objects", get_setting("cache_size") << 20)


def user_cache_folder() -> Path | None:
    """Return symtensor's folder by the platform's convention; None for users without a home."""
    variable, below_home = {
        "win32": ("LOCALAPPDATA", "AppData/Local"),
        "darwin": ("", "Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen) / "symtensor"
    home = home_folder()
    return None if home is None else home / below_home / "symtensor"


@dataclass(frozen=True, slots=True)
class ObjectCache:
    """Object files in a folder, up to `limit` bytes in all; those used longest ago go first."""

    folder: Path
    limit: int

    def get(self, key: str) -> bytes | None:
        """Return the code stored under a key, or None. Never raises `OSError`."""
        path = self._path(key)
        try:
            if not self._is_private():
                return None
            entry = _read_entry(path, self.limit)
        except OSError:
            return None
        code = _code_of(entry, key)
        if code is not None:
            with contextlib.suppress(OSError):
                os.utime(path)  # the time of last use, whatever the file system keeps of it
        return code

    def put(self, key: str, code: bytes) -> None:
        """Store code under a key. Never raises `OSError`."""
        header = _header(key, code)
        if len(header) + len(code) > self.limit:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_private():
                return
            _write_whole(self._path(key), (header, code))
            if key.startswith("0"):  # looking through the folder is for one entry in sixteen
                self.trim()
        except OSError as error:
            _log.debug("%s: not stored: %s", self.folder, error)

    def entries(self) -> dict[str, int]:
        """Return the bytes of each entry, by key."""
        try:
            found = [x for x in os.scandir(self.folder) if x.name.endswith(".o")]
            return {x.name[:-2]: x.stat(follow_symlinks=False).st_size for x in found}
        except OSError:
            return {}

    def remove(self, key: str) -> None:
        """Remove an entry, if it is there."""
        _remove(str(self._path(key)))

    def clear(self) -> None:
        """Remove all entries; other processes may be using the folder."""
        for key in self.entries():
            self.remove(key)

    def trim(self) -> None:
        """Remove what was used longest ago beyond the limit, and what dead processes left."""
        entries: list[tuple[float, int, str]] = []
        for item in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # another process trims too
                found = item.stat(follow_symlinks=False)
                if item.name.endswith(".o"):
                    entries.append((found.st_mtime, found.st_size, item.path))
                elif item.name.endswith(".tmp") and found.st_mtime < time.time() - ABANDONED:
                    _remove(item.path)
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            _remove(path)
            total -= size

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.o"

    def _is_private(self) -> bool:
        """Return True when nobody else can put code into the folder; tell once when one can."""
        found = os.lstat(self.folder)
        if stat.S_ISDIR(found.st_mode) and _only_mine(found):
            return True
        name = str(self.folder)
        if name not in _refused:
            _refused.add(name)
            _log.warning("%s: not used for compiled code: it must be a folder of yours that "
                         "nobody else may write to", name)  # fmt: skip
        return False


def _only_mine(found: os.stat_result) -> bool:
    """Return True for what this user owns and no other may write to.

    Windows tells neither here; there the user's folder is private by its access list.
    """
    if sys.platform == "win32":
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read_entry(path: Path, limit: int) -> bytes:
    """Return the bytes of an entry, none for what can't be one; asks the open file, not the name."""
    number = os.open(path, _SAFE_OPEN)
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or not _only_mine(found) or found.st_size > limit:
            return b""
        with open(number, "rb", closefd=False) as file:
            return file.read(found.st_size)
    finally:
        os.close(number)


def _header(key: str, code: bytes) -> bytes:
    named = bytes.fromhex(key)
    digest = hashlib.sha256(_HEADER.pack(MAGIC, named, len(code), bytes(32)) + code).digest()
    return _HEADER.pack(MAGIC, named, len(code), digest)


def _code_of(entry: bytes, key: str) -> bytes | None:
    """Return the code of an entry that is exactly what `_write_whole` wrote for the key."""
    code = entry[_HEADER.size :]
    return code if entry[: _HEADER.size] == _header(key, code) else None


def _write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file that others see whole or not at all.

    It is not forced to the disk: what a crash of the machine leaves half, the checksum finds.
    """
    number, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")  # opened for this user only
    try:
        with open(number, "wb") as file:
            file.writelines(parts)
        os.replace(name, path)
    except BaseException:
        _remove(name)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
