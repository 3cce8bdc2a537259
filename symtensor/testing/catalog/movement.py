"""Samples of views, joining and padding. Truth is NumPy; all of it exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from symtensor.ops import contraction, effects, joining, movement, padding, slicing
from symtensor.testing.samples import Array, Sample

X = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
M = np.linspace(0.5, 2.0, 6).reshape(2, 3)
LARGER = (np.linspace(-3.0, 1.0, 105).reshape(3, 5, 7),)
EMPTY = np.zeros((0, 3))


def _views() -> Iterator[Sample]:
    yield Sample("transpose", movement.transpose, (X,), np.transpose, resize=(LARGER,))
    yield Sample("transpose", lambda x: movement.transpose(x, (1, 2, 0)), (X,),
                 lambda x: np.transpose(x, (1, 2, 0)), resize=(LARGER,), note="(1, 2, 0)")  # fmt: skip
    yield Sample("transpose", lambda x: movement.transpose(x) + 1, (np.asfortranarray(M),),
                 lambda x: x.T + 1, note="F order")  # fmt: skip
    yield Sample("transpose", lambda x: movement.moveaxis(x, 0, -1), (X,),
                 lambda x: np.moveaxis(x, 0, -1), note="moveaxis")  # fmt: skip
    yield Sample("transpose", lambda x: movement.swapaxes(x, 0, 2), (X,),
                 lambda x: np.swapaxes(x, 0, 2), note="swapaxes")  # fmt: skip
    for shape in ((-1,), (6, 4), (2, -1), (4, 3, 2), (1, 24), (2, 1, 3, 4)):
        yield Sample("reshape", lambda x, s=shape: movement.reshape(x, s), (X,),
                     lambda x, s=shape: np.reshape(x, s), symbolic=(), note=str(shape))  # fmt: skip
    yield Sample("reshape", lambda x: movement.reshape(x * 2, (-1,)) + 1, (X,),
                 lambda x: x.reshape(-1) * 2 + 1, resize=(LARGER,), note="fused")  # fmt: skip
    yield Sample("reshape", lambda x: movement.reshape(movement.transpose(x), (-1,)), (X,),
                 lambda x: x.T.reshape(-1), resize=(LARGER,), note="of transpose")  # fmt: skip
    yield Sample("reshape", lambda x: movement.reshape(x, (-1, 3)), (EMPTY,),
                 lambda x: x.reshape(-1, 3), note="empty")  # fmt: skip
    yield Sample("reshape", lambda x: movement.reshape(x, (0, -1)), (EMPTY,), raises=ValueError)
    yield Sample("reshape", lambda x: movement.reshape(x, (5, 5)), (X,), raises=ValueError,
                 note="wrong size")  # fmt: skip
    yield Sample("reshape", lambda x: movement.reshape(x, (-1, -1)), (X,), raises=ValueError,
                 note="two unknown")  # fmt: skip
    yield Sample("reshape", lambda x: movement.squeeze(x[:, :1]), (M,), lambda x: x[:, 0],
                 symbolic=(), note="squeeze")  # fmt: skip
    yield Sample("reshape", lambda x: movement.squeeze(x, 0), (M,), raises=ValueError,
                 note="squeeze wrong")  # fmt: skip
    yield Sample("reshape", lambda x: movement.expand_dims(x, (0, -1)), (M,),
                 lambda x: np.expand_dims(x, (0, -1)), note="expand_dims")  # fmt: skip
    for shape in ((2, 3), (4, 2, 3), (1, 2, 3)):
        yield Sample("broadcast_to", lambda x, s=shape: movement.broadcast_to(x, s), (M,),
                     lambda x, s=shape: np.broadcast_to(x, s), symbolic=(), note=str(shape))  # fmt: skip
    yield Sample("broadcast_to", lambda x: movement.broadcast_to(x, (2, 3)), (M[:, :1],),
                 lambda x: np.broadcast_to(x, (2, 3)), symbolic=())  # fmt: skip
    yield Sample("broadcast_to", lambda x: movement.broadcast_to(x, (0,)), (np.ones(1),),
                 lambda x: np.broadcast_to(x, (0,)), symbolic=(), note="to nothing")  # fmt: skip
    yield Sample("broadcast_to", lambda x: movement.broadcast_to(x, (3, 2)), (M,),
                 raises=ValueError)  # fmt: skip
    yield Sample("broadcast_to", lambda x: movement.broadcast_to(x, (-1, 3)), (M,),
                 raises=ValueError, note="negative")  # fmt: skip
    for k in (1, 2, 3, -5):
        yield Sample("transpose", lambda x, k=k: movement.rot90(x, k, (1, 2)), (X,),
                     lambda x, k=k: np.rot90(x, k, (1, 2)), resize=(LARGER,), note=f"rot90 {k}")  # fmt: skip
    scalar = np.array(1.5)
    for x in (scalar, np.ones(3), M):
        yield Sample("reshape", movement.atleast_1d, (x,), np.atleast_1d, note="atleast_1d")
        yield Sample("reshape", movement.atleast_2d, (x,), np.atleast_2d, note="atleast_2d")
        yield Sample("reshape", movement.atleast_3d, (x,), np.atleast_3d, note="atleast_3d")
    yield Sample("specify_shape", lambda x: movement.specify_shape(x, (2, None)), (M,),
                 lambda x: x)  # fmt: skip
    yield Sample("specify_shape", lambda x: movement.specify_shape(x, (3, 3)), (M,),
                 raises=ValueError, note="wrong")  # fmt: skip


SLICES: list[Any] = [
    slice(None), slice(1, None), slice(None, -1), slice(None, None, -1), slice(None, None, 2),
    slice(3, 0, -2), slice(5, 2), slice(-100, 100), slice(-2, None), slice(None, None, -3),
]  # fmt: skip


def _slices() -> Iterator[Sample]:
    x = np.linspace(-1, 1, 7)
    more = (np.linspace(0, 2, 20),), (np.linspace(0, 2, 1),), (np.zeros(0),)
    for item in SLICES:
        yield Sample("slice", lambda v, i=item: v[i], (x,), lambda v, i=item: v[i], resize=more,
                     note=str(item))  # fmt: skip
        yield Sample("slice", lambda v, i=item: (v * 2)[i] + 1, (x,),
                     lambda v, i=item: (v * 2)[i] + 1, resize=more, note=f"fused {item}")  # fmt: skip
    yield Sample("slice", lambda v: v[::0], (x,), raises=ValueError)
    yield Sample("slice", movement.flip, (X,), np.flip, resize=(LARGER,), note="flip")
    yield Sample("slice", lambda v: movement.flip(v, 1), (X,), lambda v: np.flip(v, 1))
    place = (np.array([1.0, 2.0, 3.0]),)
    yield Sample("place", lambda v: slicing.place(v, (9,), (1,), (3,), 7.0), place,
                 lambda v: np.array([7.0, v[0], 7, 7, v[1], 7, 7, v[2], 7]), symbolic=())  # fmt: skip
    for offset in (0, 1, -1, 5):
        yield Sample("diagonal", lambda v, k=offset: contraction.diagonal(v, k), (M,),
                     lambda v, k=offset: np.diagonal(v, k), note=str(offset))  # fmt: skip
    yield Sample("diagonal", lambda v: contraction.diagonal(v, 0, 0, 2), (X,),
                 lambda v: np.diagonal(v, 0, 0, 2), note="axes")  # fmt: skip


def _layouts() -> Iterator[Sample]:
    """Inputs that are not contiguous: what reads memory must follow their strides."""
    wide = np.linspace(-1.0, 1.0, 30).reshape(5, 6)
    unaligned = np.frombuffer(b"\0" + wide.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    layouts = {
        "F order": np.asfortranarray(wide),
        "negative strides": wide[::-1, ::-1],
        "every other": wide[::2, 1::2],
        "zero strides": np.broadcast_to(wide[0], (4, 6)),
        "unaligned": unaligned.reshape(5, 6),
        "swapped bytes": wide.astype(">f8"),
    }
    for note, x in layouts.items():
        yield Sample("slice", lambda v: v[1:, ::-2] * 2, (x,), lambda v: v[1:, ::-2] * 2.0,
                     note=note)  # fmt: skip
        yield Sample("reshape", lambda v: movement.ravel(v.T), (x,), lambda v: v.T.ravel() * 1.0,
                     note=f"of transpose, {note}")  # fmt: skip
        yield Sample("concatenate", lambda v: joining.concatenate([v, v + 1], 1), (x,),
                     lambda v: np.concatenate([v * 1.0, v + 1], 1), note=note)  # fmt: skip
        yield Sample("place", lambda v: padding.pad(v, ((1, 0), (0, 2))), (x,),
                     lambda v: np.pad(v * 1.0, ((1, 0), (0, 2))), note=note)  # fmt: skip


def _joins() -> Iterator[Sample]:
    for axis in (0, 1, -1):
        yield Sample("concatenate", lambda a, b, c, k=axis: joining.concatenate([a, b, c], k),
                     (M, M * 2, M + 1), lambda a, b, c, k=axis: np.concatenate([a, b, c], k),
                     symbolic=(), note=str(axis))  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a, b]),
                 (np.ones(2), np.zeros(3)), lambda a, b: np.concatenate([a, b]),
                 resize=((np.ones(5), np.zeros(1)), (np.zeros(0), np.ones(2))))  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a * 2, b + 1], -1),
                 (M, M[:, :1]), lambda a, b: np.concatenate([a * 2, b + 1], -1),
                 resize=((np.ones((4, 2)), np.zeros((4, 1))),), note="computed parts")  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a, b], None), (M, X),
                 lambda a, b: np.concatenate([a, b], None), note="flattened")  # fmt: skip
    yield Sample("concatenate", lambda a: joining.concatenate([a, [1, 2]]), (np.ones(2, "f4"),),
                 lambda a: np.array([1, 1, 1, 2.0]), note="with a list")  # fmt: skip
    yield Sample("concatenate", lambda a: joining.stack([a, 1.0, 2]), (np.array(3.0, "f4"),),
                 lambda a: np.array([3, 1, 2], "f4"), note="stack weak scalars")  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a, b]), (np.ones(2), M),
                 raises=ValueError, note="ranks")  # fmt: skip
    yield Sample("concatenate", lambda a: joining.concatenate([a, a]), (np.array(1.0),),
                 raises=ValueError, note="0-d")  # fmt: skip
    yield Sample("concatenate", lambda a: joining.concatenate([]), (M,), raises=ValueError,
                 note="nothing")  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a, b]), (EMPTY, M),
                 lambda a, b: np.concatenate([a, b]), symbolic=(), note="empty")  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a, b]),
                 (np.ones(2, "int8"), np.zeros(3, "float32")),
                 lambda a, b: np.concatenate([a, b]), note="promotes")  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.concatenate([a, b], 1), (M, M.T),
                 raises=ValueError)  # fmt: skip
    yield Sample("concatenate", lambda a, b: joining.stack([a, b], 1), (M, M * 2),
                 lambda a, b: np.stack([a, b], 1), note="stack")  # fmt: skip


def _parts() -> Iterator[Sample]:
    yield Sample("slice", lambda v: joining.split(v, 2, 2), (X,), lambda v: np.split(v, 2, 2),
                 note="split")  # fmt: skip
    yield Sample("slice", lambda v: joining.split(v, [1, 2], 1), (X,),
                 lambda v: np.split(v, [1, 2], 1), note="split at")  # fmt: skip
    yield Sample("slice", lambda v: joining.split(v, [2, -1]), (np.arange(6.0),),
                 lambda v: np.split(v, [2, -1]), note="split from the end")  # fmt: skip
    for sections in (4, 0, -1):
        yield Sample("slice", lambda v, n=sections: joining.split(v, n, 1), (M,),
                     raises=ValueError, note=f"split {sections}")  # fmt: skip
    more = (np.linspace(0, 1, 12),), (np.linspace(0, 1, 2),), (np.zeros(0),)
    yield Sample("slice", lambda v: joining.array_split(v, 3), (np.linspace(0, 1, 7),),
                 lambda v: np.array_split(v, 3), resize=more, note="array_split")  # fmt: skip
    yield Sample("slice", lambda v: joining.unstack(v, 1), (M,),
                 lambda v: [v[:, 0], v[:, 1], v[:, 2]], symbolic=(), note="unstack")  # fmt: skip
    for reps in (2, (2, 1), (1, 2, 3), (0, 2)):
        yield Sample("reshape", lambda v, r=reps: joining.tile(v, r), (M,),
                     lambda v, r=reps: np.tile(v, r), note=f"tile {reps}")  # fmt: skip
    for along in (None, 0, 1):
        yield Sample("reshape", lambda v, a=along: joining.repeat(v, 3, a), (M,),
                     lambda v, a=along: np.repeat(v, 3, a), note=f"repeat {along}")  # fmt: skip
    yield Sample("gather", lambda v: joining.repeat(v, [1, 0, 2], 1), (M,),
                 lambda v: np.repeat(v, [1, 0, 2], 1), symbolic=(), note="repeat by list")  # fmt: skip
    for wrong in ([1, 2], [1, -1, 2], [0.5, 1, 2]):
        yield Sample("gather", lambda v, r=wrong: joining.repeat(v, r, 1), (M,),
                     raises=ValueError, note=f"repeat {wrong}")  # fmt: skip
    for count in (-1, 0):
        yield Sample("reshape", lambda v, n=count: joining.repeat(v, n, 0), (M,),
                     **_negative_or(count, lambda v: v[:0]), note=f"repeat {count} times")  # fmt: skip
        yield Sample("reshape", lambda v, n=count: joining.tile(v, n), (M,),
                     **_negative_or(count, lambda v: v[:, :0]), note=f"tile {count} times")  # fmt: skip


def _rolls() -> Iterator[Sample]:
    for shift, along in ((1, None), (-1, 0), (5, 1), ((1, 2), (0, 1)), (1, (0, 1)), ((1, 1), 0)):
        yield Sample("concatenate", lambda v, s=shift, a=along: joining.roll(v, s, a), (M,),
                     lambda v, s=shift, a=along: np.roll(v, s, a), note=f"roll {shift} {along}")  # fmt: skip


def _pads() -> Iterator[Sample]:
    widths = ((1, 2), (2, 1))
    for mode in ("constant", "edge", "reflect", "symmetric", "wrap"):
        yield Sample("place", lambda v, m=mode: padding.pad(v, widths, m), (M,),
                     lambda v, m=mode: np.pad(v, widths, m), note=f"pad {mode}")  # fmt: skip
        yield Sample("place", lambda v, m=mode: padding.pad(v, 3, m) * 2, (np.arange(2.0),),
                     lambda v, m=mode: np.pad(v, 3, m) * 2, resize=((np.arange(5.0),),),
                     note=f"pad far {mode}")  # fmt: skip
    for values in (9.0, (1, 2), ((1, 2), (3, 4))):
        yield Sample("place", lambda v, c=values: padding.pad(v, 1, constant_values=c), (M,),
                     lambda v, c=values: np.pad(v, 1, constant_values=c), note=f"pad {values}")  # fmt: skip
    for wrong in (-1, ((1, 2), (1, 2), (1, 2)), (1, 2, 3)):
        yield Sample("place", lambda v, w=wrong: padding.pad(v, w), (M,), raises=ValueError,
                     note=f"pad {wrong}")  # fmt: skip
    yield Sample("gather", lambda v: padding.pad(v, 1, "edge"), (np.zeros(0),), raises=ValueError,
                 note="pad nothing")  # fmt: skip
    yield Sample("place", lambda v: padding.pad(v, 1, constant_values=300), (np.ones(2, "u1"),),
                 raises=OverflowError, note="pad 300")  # fmt: skip
    yield Sample("place", lambda v: padding.pad(v, 1, constant_values=2.5), (M,),
                 lambda v: np.pad(v, 1, constant_values=2.5), note="pad value")  # fmt: skip
    yield Sample("place", lambda v: padding.pad(v, 1, "mirror"), (M,), raises=ValueError)


def _negative_or(count: int, truth: Any) -> dict[str, Any]:
    """Return what a sample expects of a count: an error when negative, else `truth`."""
    return {"raises": ValueError} if count < 0 else {"truth": truth}


def _steering() -> Iterator[Sample]:
    yield Sample("stop_gradient", effects.stop_gradient, (M,), lambda x: x, wrt=())
    yield Sample("grad_scale", lambda x: effects.grad_scale(x, 1.0), (M,), lambda x: x)
    yield Sample("grad_clip", lambda x: effects.grad_clip(x, -9, 9), (M,), lambda x: x, order=1)


def _dtypes() -> Iterator[Sample]:
    for dtype in ("bool", "int8", "uint16", "int64", "float16", "float32"):
        x: Array = (np.arange(6).reshape(2, 3) % 3).astype(dtype)
        yield Sample("transpose", movement.transpose, (x,), np.transpose)
        yield Sample("slice", lambda v: v[::-1, 1:], (x,), lambda v: v[::-1, 1:])
        yield Sample("concatenate", lambda v: joining.concatenate([v, v]), (x,),
                     lambda v: np.concatenate([v, v]))  # fmt: skip


SAMPLES = [
    *_views(),
    *_slices(),
    *_layouts(),
    *_joins(),
    *_parts(),
    *_rolls(),
    *_pads(),
    *_steering(),
    *_dtypes(),
]
