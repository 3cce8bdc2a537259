"""Where arrays live: one device, or the devices of a mesh, cut as their shardings say.

A mesh names its axes, ``{"batch": 8}``; a sharding names for each axis of a tensor the axis of the
mesh over which it is cut, or None. XLA's partitioner does the rest, so a sharding changes where
things are computed and never what. An axis whose size the devices do not divide stays whole: any
batch size works. What no sharding names lives on every device.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from symtensor.errors import EngineError
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor

Array = np.ndarray[Any, Any]
Spec = tuple[str | None, ...]
Key = Tensor | str
MeshLike = Mapping[str, int] | Any
"""Sizes by name, or a `jax.sharding.Mesh`."""


def as_mesh(mesh: MeshLike) -> Mesh:
    """Return a mesh of the first devices, given sizes by name; raises where there are too few."""
    if isinstance(mesh, Mesh):
        return mesh
    if not isinstance(mesh, Mapping) or not all(
        isinstance(n, int | np.integer) and n > 0 for n in mesh.values()
    ):
        raise EngineError(
            f"expected a jax.sharding.Mesh or positive sizes by name for the mesh, found {mesh!r}",
            help='for example mesh={"batch": 8}',
        )
    count, devices = math.prod(mesh.values()), jax.devices()
    if count > len(devices):
        raise EngineError(
            f"the mesh {dict(mesh)} needs {count} devices, found {len(devices)}",
            help="for CPUs, set XLA_FLAGS=--xla_force_host_platform_device_count="
            f"{count} before jax starts",
        )
    return Mesh(np.array(devices[:count]).reshape(tuple(mesh.values())), tuple(mesh))


class Placement:
    """The shardings of nodes on one device or on a mesh."""

    def __init__(
        self,
        mesh: MeshLike | None = None,
        shardings: Mapping[Key, Sequence[str | None]] | None = None,
        device: Any = None,
    ) -> None:
        self.process = os.getpid()
        self.mesh = None if mesh is None else as_mesh(mesh)
        self.device = jax.local_devices()[0] if device is None else device
        self.by_name: dict[str, Spec] = {}
        self.by_node: dict[Node, Spec] = {}
        for key, spec in (shardings or {}).items():
            self._add(key, tuple(spec))

    def _add(self, key: Key, spec: Spec) -> None:
        if self.mesh is None:
            raise EngineError("shardings need a mesh", help='pass mesh={"batch": n} as well')
        unknown = {axis for axis in spec if axis is not None} - set(self.mesh.axis_names)
        named = [axis for axis in spec if axis is not None]
        if unknown or len(set(named)) != len(named):
            raise EngineError(
                f"the sharding {spec} of {key!r} does not name distinct axes of the mesh "
                f"{dict(self.mesh.shape)}"
            )
        if isinstance(key, str):
            self.by_name[key] = spec
            return
        if len(spec) != key.ndim:
            raise EngineError(f"{key!r} has {key.ndim} axes, its sharding {spec} names {len(spec)}")
        self.by_node[key.node] = spec

    def check_process(self) -> None:
        """Raise in a fork: it has none of the threads that XLA waits for."""
        if os.getpid() != self.process:
            raise EngineError(
                "jax was started before this process was forked, and can't compute in a fork",
                help='start processes with multiprocessing.get_context("spawn")',
            )

    def check(self, nodes: Iterable[Node]) -> None:
        """Raise for a node whose name is that of a sharding for another number of axes."""
        for node in nodes:
            spec, ndim = self._named(node), node.tensor_type.ndim
            if spec and len(spec) != ndim:
                raise EngineError(
                    f"{node.name!r} has {ndim} axes, its sharding {spec} names {len(spec)}"
                )

    @property
    def platform(self) -> str:
        """What computes: cpu, gpu, tpu."""
        devices = [self.device] if self.mesh is None else self.mesh.devices.flat
        return str(next(iter(devices)).platform)

    @property
    def is_local(self) -> bool:
        """False when other processes hold some of the devices."""
        return self.mesh is None or not self.mesh.is_multi_process

    def _named(self, node: Node) -> Spec:
        return self.by_node.get(node) or self.by_name.get(node.name or "") or ()

    def spec(self, node: Node, shape: Sequence[int]) -> Spec:
        """Return the mesh axis of each axis of a node; an axis that does not divide stays whole."""
        named = self._named(node)
        if self.mesh is None or len(named) != len(shape):
            return (None,) * len(shape)
        sizes = self.mesh.shape
        return tuple(
            axis if axis is not None and n % sizes[axis] == 0 else None
            for axis, n in zip(named, shape, strict=True)
        )

    def sharding(self, node: Node | None = None, shape: Sequence[int] = ()) -> Sharding:
        """Return where a node of a shape lives; None: on every device."""
        if self.mesh is None:
            return SingleDeviceSharding(self.device)
        spec = () if node is None else self.spec(node, shape)
        return NamedSharding(self.mesh, PartitionSpec(*spec))

    def put(self, array: Array, node: Node | None = None) -> Any:
        """Return an array on the devices, never in the memory of `array`.

        Every process passes the whole array and keeps what its own devices need.
        """
        sharding = self.sharding(node, array.shape)
        if self.is_local:
            return jax.device_put(array, sharding, may_alias=False)
        return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at].copy())

    def get(self, array: Any) -> Array:
        """Return an array of the devices as a NumPy array of its own; for pieces held by other
        processes all processes must ask at once."""
        if not array.is_fully_addressable and not array.is_fully_replicated:
            from jax.experimental import multihost_utils

            return np.array(multihost_utils.process_allgather(array, tiled=True))
        return np.array(array)

    def describe(self, nodes: Iterable[Node]) -> list[str]:
        """Return a line for the mesh and for each node that is cut over it."""
        if self.mesh is None:
            return [f"on {self.device}"]
        lines = [f"on a mesh of {dict(self.mesh.shape)} {self.platform} devices"]
        for node in nodes:
            named = self._named(node)
            if named:
                lines.append(f"cut over the mesh: {node.name or node.op.name} {node.type} {named}")
        return lines
