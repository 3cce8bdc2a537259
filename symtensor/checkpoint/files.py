"""Files of named arrays, written whole or not at all.

Two formats by suffix: ``.safetensors`` (a JSON header with dtype, shape and offsets, then the bytes;
read by the library of that name and by many others) and ``.npz`` (NumPy's). Both carry a mapping of
strings beside the arrays. A file is written under another name, forced to disk and then renamed, so
there is always the old one or the new one. Reading runs no code from the file, and refuses what is
cut off, overlaps or has flipped bits: `CheckpointError`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from symtensor.errors import CheckpointError, DTypeError
from symtensor.ir.dtypes import as_dtype

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
Texts = Mapping[str, str]

CHECKSUM = "symtensor.crc32"
"""Key under which a safetensors file written here holds the CRC-32 of its data."""
DTYPES = "symtensor.dtypes"
"""Key under which an npz file holds the dtypes that NumPy's format does not know."""
METADATA = "__metadata__"
BROKEN = (
    ValueError, KeyError, TypeError, AttributeError, EOFError, DTypeError,
    zipfile.BadZipFile, zlib.error, RuntimeError, struct.error,
)  # fmt: skip
"""What reading raises where a file is not what it seems."""

_SHORT = {"bool": "BOOL", "bfloat16": "BF16"} | {
    f"{kind}{bits}": f"{kind[0].upper()}{bits}"
    for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64) if (kind, bits) != ("float", 8)
}  # fmt: skip
_LONG = {short: name for name, short in _SHORT.items()}


def write(path: Path, arrays: Arrays, metadata: Texts) -> None:
    """Write a file in the format of its suffix."""
    save = _write_npz if _is_npz(path) else _write_safetensors
    with _replacing(path) as file:
        save(file, arrays, metadata)


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and texts of a file."""
    load = _read_npz if _is_npz(path) else _read_safetensors
    try:
        return load(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except BROKEN as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is no whole checkpoint: {error}") from error


def _is_npz(path: Path) -> bool:
    if path.suffix not in (".npz", ".safetensors"):
        raise CheckpointError(f"expected a name ending in .npz or .safetensors, found {path.name}")
    return path.suffix == ".npz"


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` once all of it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the name, too, shall survive a crash
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# --- safetensors ---------------------------------------------------------------------------------


def _write_safetensors(file: IO[bytes], arrays: Arrays, metadata: Texts) -> None:
    texts, header = dict(metadata), {}
    offset, checksum = 0, 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        short = _SHORT[as_dtype(array.dtype).name]
        header[name] = {"dtype": short, "shape": array.shape, "data_offsets": (offset, end)}
        checksum = zlib.crc32(_bytes(array), checksum)
        offset = end
    texts[CHECKSUM] = str(checksum)
    text = json.dumps({METADATA: texts, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays.values():
        file.write(_bytes(array))


def _bytes(array: Array) -> Any:
    """Return the elements in C order and little endian."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.byteorder == ">":
        flat = flat.astype(flat.dtype.newbyteorder("<"))
    return flat.view(np.uint8).data


def _read_safetensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise CheckpointError(f"{path} is cut off: its header says {length} bytes")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop(METADATA, {})
    body = memoryview(data)[8 + length :]
    rows = sorted(header.items(), key=lambda row: row[1]["data_offsets"])
    arrays, position = {}, 0
    for name, row in rows:
        start, end = row["data_offsets"]
        if start != position or end < start:
            raise CheckpointError(f"{path}: {name!r} is not where the one before it ends")
        arrays[name] = _array(path, name, row, body[start:end])
        position = end
    if position != len(body):
        raise CheckpointError(f"{path}: expected {position} bytes of data, found {len(body)}")
    if CHECKSUM in metadata and int(metadata.pop(CHECKSUM)) != zlib.crc32(body):
        raise CheckpointError(f"{path}: the data is damaged: its checksum is another one")
    return {name: arrays[name] for name in header}, metadata


def _array(path: Path, name: str, row: Mapping[str, Any], data: memoryview) -> Array:
    if row["dtype"] not in _LONG:
        raise CheckpointError(f"{path}: {name!r} has the dtype {row['dtype']}, which we have not")
    dtype, shape = as_dtype(_LONG[row["dtype"]]).numpy, tuple(row["shape"])
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"{path}: {name!r} of shape {shape} has {len(data)} bytes")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


# --- npz -----------------------------------------------------------------------------------------


def _write_npz(file: IO[bytes], arrays: Arrays, metadata: Texts) -> None:
    foreign = {name: "bfloat16" for name, x in arrays.items() if x.dtype.name == "bfloat16"}
    texts = json.dumps({**metadata, DTYPES: json.dumps(foreign)})
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in {**arrays, METADATA: np.array(texts)}.items():
            plain = array.view(np.uint16) if name in foreign else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(plain), allow_pickle=False)


def _read_npz(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    # opened here: of a file that is none NumPy leaves closing to chance
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except OSError as error:  # a seek to a position that a damaged directory names
            raise ValueError(str(error)) from error
    metadata = json.loads(str(arrays.pop(METADATA, "{}")))
    for name, dtype in json.loads(metadata.pop(DTYPES, "{}")).items():
        arrays[name] = arrays[name].view(as_dtype(dtype).numpy)
    return arrays, metadata
