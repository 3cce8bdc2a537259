"""Variables on the devices: where calls find them, and how one takes over the memory of another's.

A call holds the values it reads until its programs are on their way. It takes those that it gives
next values, so that XLA may write into their memory; meanwhile whoever wants such a value waits for
the next one. A value that somebody else holds is not taken: a copy is. All values of a call are held
at one moment or none is, so no two calls wait for each other.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from symtensor.engines.base import Array
from symtensor.engines.jax.placement import Placement
from symtensor.ir.node import Node
from symtensor.ops.variables import Part, Store, together

changed = threading.Condition(together)
"""Notified when a value that was taken has been replaced."""


@dataclass(slots=True)
class Transfers:
    """Arrays and bytes moved between the host and the devices."""

    to_device: int = 0
    to_device_bytes: int = 0
    to_host: int = 0
    to_host_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sent(self, array: Array) -> None:
        """Count an array moved to the devices."""
        with self._lock:
            self.to_device += 1
            self.to_device_bytes += array.nbytes

    def fetched(self, array: Array) -> None:
        """Count an array moved to the host."""
        with self._lock:
            self.to_host += 1
            self.to_host_bytes += array.nbytes

    def __str__(self) -> str:
        return (
            f"transfers: {self.to_device} arrays ({self.to_device_bytes:,} bytes) to the device, "
            f"{self.to_host} ({self.to_host_bytes:,} bytes) to the host"
        )


class DeviceValue:
    """A value of a variable on the devices of a placement."""

    def __init__(self, array: Any, placement: Placement, transfers: Transfers) -> None:
        self.array, self.placement, self.transfers = array, placement, transfers
        self.readers = 0
        self.taken = False

    def fetch(self) -> Array:
        """Return the value as a NumPy array; raises LookupError if there is a newer one."""
        with changed:
            changed.wait_for(lambda: not self.taken)
            if self.array.is_deleted():
                raise LookupError("the memory of this value has been taken over")
            self.readers += 1
        try:
            value = self.placement.get(self.array)
        finally:
            with changed:
                self.readers -= 1
        self.transfers.fetched(value)
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the value."""
        return tuple(self.array.shape)

    def part(self) -> Part:
        """Return the pieces that this process alone, or first, has."""
        if self.placement.is_local:
            return 0, 1, None
        place = jax.process_index(), jax.process_count()
        if self.array.is_fully_replicated:
            return *place, None
        pieces = []
        for shard in self.array.addressable_shards:
            if shard.replica_id == 0:
                start = tuple(s.indices(n)[0] for s, n in zip(shard.index, self.shape, strict=True))
                pieces.append((start, np.array(shard.data)))
        return *place, pieces

    def agree(self) -> str:
        """Return a number that the first process draws, once it has been heard by all."""
        from jax.experimental import multihost_utils

        drawn = np.frombuffer(secrets.token_bytes(8), np.uint32)
        heard = np.asarray(multihost_utils.broadcast_one_to_all(drawn), np.uint32)
        return heard.tobytes().hex()


class Hold:
    """The present values of variables, for one call."""

    def __init__(self, values: Sequence[DeviceValue], wanted: Sequence[bool]) -> None:
        self.read: list[DeviceValue] = []
        self.taken: list[DeviceValue] = []
        self.arrays: list[Any] = []
        """What the programs read; the memory of those `wanted` is theirs."""
        for value, is_wanted in zip(values, wanted, strict=True):
            if is_wanted and value.readers:
                self.arrays.append(value.array.copy())
                continue
            self.arrays.append(value.array)
            if is_wanted:
                value.taken = True
                self.taken.append(value)
            else:
                value.readers += 1
                self.read.append(value)

    def release(self) -> None:
        """Let others have the values, or see that there are newer ones."""
        with changed:
            for value in self.read:
                value.readers -= 1
            for value in self.taken:
                value.taken = False
            changed.notify_all()


def hold(
    stores: Sequence[Store],
    nodes: Sequence[Node],
    wanted: Sequence[bool],
    placement: Placement,
    put: Callable[[Array, Node], DeviceValue],
) -> Hold:
    """Hold the present values of variables; those that are elsewhere are moved by `put` first."""
    while True:
        with changed:
            values = [store.elsewhere_or_array() for store in stores]
            here = [v for v in values if isinstance(v, DeviceValue)]
            if any(v.taken for v in here):
                changed.wait()
                continue
            here = [v for v in here if v.placement is placement]
            if len(here) == len(values):
                return Hold(here, wanted)
        for store, value, node in zip(stores, values, nodes, strict=True):
            if not any(value is v for v in here):
                array = value if isinstance(value, np.ndarray) else store.array
                store.mirror(put(array, node), array)
