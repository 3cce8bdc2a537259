"""Checkpoints: what is saved comes back, on every engine; a bad file or a crash loses nothing."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor import checkpoint
from symtensor.checkpoint import files

FORMATS = [".safetensors", ".npz"]
formats = pytest.mark.parametrize("suffix", FORMATS)
RNG = np.random.default_rng(0)
DTYPES = [d.name for d in st.ir.dtypes.STANDARD]


def everything() -> dict[str, Any]:
    """One array of each dtype, of several ranks, empty ones too."""
    shapes = [(), (0,), (3,), (2, 0, 4), (2, 3), (1, 1, 5)]
    out = {}
    for i, dtype in enumerate(DTYPES):
        values = RNG.integers(0, 2 if dtype == "bool" else 100, shapes[i % len(shapes)])
        out[f"layer/{dtype}"] = values.astype(dtype)
    out["special"] = np.array([np.nan, -0.0, np.inf, 5e-324])
    out["file"] = np.arange(3)  # a name that is also an argument of numpy.savez
    return out


@formats
def test_values_come_back_to_the_last_bit(suffix: str, tmp_path: Path) -> None:
    arrays = everything()
    saved = {name: st.variable(a) for name, a in arrays.items()}
    path = checkpoint.save(tmp_path / f"new/all{suffix}", saved, {"step": "12", "é": "ü\n"})
    fresh = {name: st.variable(np.zeros_like(a)) for name, a in arrays.items()}
    assert checkpoint.load(path, fresh) == {"step": "12", "é": "ü\n"}
    for name, array in arrays.items():
        found = fresh[name].get_value()
        assert found.dtype == array.dtype and found.shape == array.shape
        assert found.tobytes() == array.tobytes()
        found[...] = 0  # a copy: may be written
    assert sorted(os.listdir(tmp_path / "new")) == [f"all{suffix}"]


@formats
def test_bfloat16(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    v = st.variable(np.array([1.5, -2.0]), "bfloat16", name="v")
    checkpoint.save(tmp_path / f"b{suffix}", [v])
    w = st.variable(np.zeros(2), "bfloat16", name="v")
    checkpoint.load(tmp_path / f"b{suffix}", [w])
    assert w.get_value().astype("f4").tolist() == [1.5, -2.0]


def test_the_library_reads_ours_and_we_read_its(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    arrays = everything()
    files.write(tmp_path / "ours.safetensors", arrays, {"a": "b"})
    theirs = library.load_file(tmp_path / "ours.safetensors")
    library.save_file(arrays, tmp_path / "theirs.safetensors", metadata={"a": "b"})
    found, texts = checkpoint.read(tmp_path / "theirs.safetensors")
    assert texts == {"a": "b"} and set(found) == set(theirs) == set(arrays)
    for name, array in arrays.items():
        for other in (theirs[name], found[name]):
            assert other.dtype == array.dtype and other.tobytes() == array.tobytes()


def test_numpy_reads_ours(tmp_path: Path) -> None:
    arrays = everything()
    files.write(tmp_path / "ours.npz", arrays, {})
    with np.load(tmp_path / "ours.npz") as found:
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("engine", ["numpy", "llvm", "jax"])
@formats
def test_a_resumed_training_is_the_same_training(engine: str, suffix: str, tmp_path: Path) -> None:
    if engine == "jax":
        pytest.importorskip("jax")

    def program() -> tuple[Any, list[Any]]:
        x = st.placeholder((None, 4), "float64")
        w, b = st.variable(np.ones((4, 3)), name="w"), st.variable(np.zeros(3), name="b")
        stream = st.RandomStream(5)
        kept = st.dot(x, w) + b + stream.normal((3,), 0.0, 0.1, "float64")
        loss = st.mean(st.square(st.tanh(kept)))
        slopes = st.gradients(loss, [w, b])
        updates = [(v, v - 0.1 * g) for v, g in zip((w, b), slopes, strict=True)]
        step = st.function([x], loss, updates=updates, engine=engine)
        return step, [w, b, *stream.states]

    batches = RNG.standard_normal((6, 5, 4))
    step, variables = program()
    losses = [step(batch) for batch in batches[:3]]
    path = checkpoint.save(tmp_path / f"3{suffix}", variables, {"step": "3"})
    losses += [step(batch) for batch in batches[3:]]
    again, others = program()
    start = int(checkpoint.load(path, others)["step"])
    np.testing.assert_array_equal([again(batch) for batch in batches[start:]], losses[start:])


# --- what is refused -----------------------------------------------------------------------------


def pair() -> list[st.Variable]:
    return [st.variable(np.ones(3), name="a"), st.variable(np.ones((2, 2), "f4"), name="b")]


@formats
def test_damaged_files_are_refused_and_change_nothing(suffix: str, tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path / f"x{suffix}", pair(), {"k": "v"})
    whole = path.read_bytes()
    variables = pair()
    for v in variables:
        v.set_value(v.get_value() * 7)
    flipped = bytearray(whole)
    flipped[whole.index(np.ones(3).tobytes()) + 6] ^= 16
    for bad in (whole[:-1], whole[: len(whole) // 2], whole[:7], b"", bytes(flipped)):
        path.write_bytes(bad)
        with pytest.raises(st.errors.CheckpointError, match=f"x{suffix}"):
            checkpoint.load(path, variables)
    assert all((v.get_value() == 7).all() for v in variables)


@pytest.mark.parametrize(
    "row",
    [
        {"dtype": "F64", "shape": [3], "data_offsets": [0, 16]},
        {"dtype": "F64", "shape": [-3], "data_offsets": [0, 24]},
        {"dtype": "F64", "shape": [3], "data_offsets": [8, 32]},
        {"dtype": "F64", "shape": [3], "data_offsets": [24, 0]},
        {"dtype": "F8", "shape": [24], "data_offsets": [0, 24]},
        {"dtype": "F64", "shape": [2**62, 4], "data_offsets": [0, 24]},
        {"shape": [3], "data_offsets": [0, 24]},
        [],
    ],
)
def test_headers_that_lie_are_refused(row: Any, tmp_path: Path) -> None:
    text = json.dumps({"a": row}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    with pytest.raises(st.errors.CheckpointError):
        checkpoint.read(path)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([object()]))
    with pytest.raises(st.errors.CheckpointError, match="no whole checkpoint"):
        checkpoint.read(tmp_path / "x.npz")


def test_other_variables_are_refused_unless_asked_for(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path / "x.npz", pair())
    a, _ = pair()
    c = st.variable(np.zeros(2), name="c")
    a.set_value(np.zeros(3))
    with pytest.raises(st.errors.CheckpointError, match="missing c; too many: b"):
        checkpoint.load(path, [a, c])
    checkpoint.load(path, [a, c], strict=False)
    assert a.get_value().tolist() == [1, 1, 1] and c.get_value().tolist() == [0, 0]
    a.set_value(np.zeros(3))
    for wrong, error in (((3, 3), st.ShapeError), ((2, 2), st.DTypeError)):
        other = st.variable(np.zeros(wrong, "i4" if error is st.DTypeError else "f4"), name="b")
        with pytest.raises(error, match="b"):
            checkpoint.load(path, [a, other])
        assert a.get_value().tolist() == [0, 0, 0]


def test_names_must_tell_variables_apart(tmp_path: Path) -> None:
    a, b = pair()
    for bad, text in (([a, st.variable(1.0)], "without a name"),
                      ([a, b, st.variable(1.0, name="a")], "two variables named 'a'"),
                      ([a, a * 2], "expected variables")):  # fmt: skip
        with pytest.raises(st.errors.CheckpointError, match=text):
            checkpoint.save(tmp_path / "x.npz", bad)  # type: ignore[arg-type]
    with pytest.raises(st.errors.CheckpointError, match=r"\.npz or \.safetensors"):
        checkpoint.save(tmp_path / "x.bin", [a])
    with pytest.raises(st.errors.CheckpointError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "x.npz", [a])
    assert os.listdir(tmp_path) == []


# --- at one moment, whole or not at all ----------------------------------------------------------


@formats
def test_a_crash_while_writing_leaves_the_old_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = pair()
    path = checkpoint.save(tmp_path / f"x{suffix}", variables)
    before = path.read_bytes()

    def crash(*args: Any) -> None:
        raise OSError("no space left")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(files.os, name, crash)
            with pytest.raises(OSError, match="no space left"):
                checkpoint.save(path, variables)
        assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_values_are_taken_at_one_moment(tmp_path: Path) -> None:
    variables = [st.variable(np.zeros(1000), name=n) for n in "abc"]
    step = st.function([], None, updates=[(v, v + 1.0) for v in variables])
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            arrays, _ = checkpoint.read(checkpoint.save(tmp_path / "x.npz", variables))
            assert len({float(x) for array in arrays.values() for x in array[[0, -1]]}) == 1
    finally:
        stop.set()
        thread.join()


def test_parts_must_be_those_of_one_save(tmp_path: Path) -> None:
    pieces = {"v@0": ("v", [4], [0]), "v@2": ("v", [4], [2])}
    path = tmp_path / "x.npz"

    def write(number: int, key: str, step: str, save: str = "7") -> None:
        texts = {checkpoint.PIECES: json.dumps(pieces), "step": step, checkpoint.SAVE: save}
        files.write(checkpoint._part_path(path, number, 2), {key: np.arange(2.0) + number}, texts)

    write(0, "v@0", "1")
    with pytest.raises(st.errors.CheckpointError, match="all of them"):
        checkpoint.read(path)
    write(1, "v@2", "2")
    with pytest.raises(st.errors.CheckpointError, match="different saves"):
        checkpoint.read(path)
    write(1, "v@2", "1", "8")
    with pytest.raises(st.errors.CheckpointError, match=r"different saves.*was interrupted"):
        checkpoint.read(path)
    write(1, "v@0", "1")
    with pytest.raises(st.errors.CheckpointError, match="elements of 'v' are there twice"):
        checkpoint.read(path)
    write(1, "other", "1")
    with pytest.raises(st.errors.CheckpointError, match="elements of 'v' are missing"):
        checkpoint.read(path)
    write(1, "v@2", "1")
    arrays, texts = checkpoint.read(path)
    assert arrays["v"].tolist() == [0, 1, 1, 2] and texts == {"step": "1"}


def test_a_whole_file_and_parts_are_never_taken_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    v = st.variable(np.zeros(2), name="v")
    checkpoint.save(path, [v])
    files.write(checkpoint._part_path(path, 0, 1), {"v": np.ones(2)}, {})
    with pytest.raises(st.errors.CheckpointError, match="there whole and as the parts of 1"):
        checkpoint.load(path, [v])
    checkpoint.save(path, [v])  # replaces what was there
    assert os.listdir(tmp_path) == ["x.npz"]
    checkpoint.load(path, [v])


@pytest.mark.parametrize("header", [b"5", b"[]", b'{"v": 3}', b'{"__metadata__": 7}'])
def test_headers_that_are_none_are_refused(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(st.errors.CheckpointError, match="no whole checkpoint"):
        checkpoint.read(path)


def test_flipped_bits_of_a_compressed_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, v=RNG.standard_normal(50))
    whole = path.read_bytes()
    for position in range(30, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            arrays, _ = checkpoint.read(path)
        except st.errors.CheckpointError:
            continue
        for array in arrays.values():  # a flip in a date or the like
            np.testing.assert_array_equal(array, np.load(io.BytesIO(whole))["v"])
