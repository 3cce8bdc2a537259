"""Where arrays live: one device, or the devices of a mesh, cut as their shardings say.

A mesh names its axes, ``{"batch": 8}``; a sharding names for each axis of a tensor the axis of the
mesh over which it is cut, or None. A program may say so itself (``placeholder(…, shard=…)``); what
an engine is given goes before, and axes that its mesh has not are none. XLA's partitioner does the
rest, so a sharding changes where things are computed and never what. An axis whose size the devices
do not divide stays whole: any batch size works. What no sharding names lives on every device.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


Shardings = tuple[dict[str, Spec], dict[Node, Spec]]
"""Those by name and those by node."""


@dataclass(frozen=True, slots=True)
class Described:
    """Devices as other processes can find theirs: one, or those of a mesh with its sizes by name."""

    sizes: dict[str, int] | None
    platform: str
    ids: tuple[int, ...]
    """Numbers of the devices in the order of the mesh; none for the first device."""

    def found(self) -> tuple[Mesh | None, Any]:
        """Return the mesh, or the one device that is not the first; raises where some are missing.

        A mesh of the first devices is one of the first devices here, whatever they are.
        """
        if self.sizes is not None and self.ids == tuple(range(len(self.ids))):
            return as_mesh(self.sizes), None
        there = {d.id: d for d in jax.devices(self.platform)} if self.ids else {}
        missing = [n for n in self.ids if n not in there]
        if missing:
            raise EngineError(f"expected {self.platform} devices {missing}, found {sorted(there)}")
        devices = [there[n] for n in self.ids]
        if self.sizes is None:
            return None, devices[0] if devices else None
        grid = np.array(devices).reshape(tuple(self.sizes.values()))
        return Mesh(grid, tuple(self.sizes)), None


class Placement:
    """The shardings of nodes on one device or on a mesh."""

    def __init__(
        self,
        mesh: MeshLike | None = None,
        shardings: Mapping[Key, Sequence[str | None] | None] | None = None,
        device: Any = None,
    ) -> None:
        self.process = os.getpid()
        self.mesh = None if mesh is None else as_mesh(mesh)
        self.device = jax.local_devices()[0] if device is None else device
        self.by_name: dict[str, Spec] = {}
        self.by_node: dict[Node, Spec] = {}
        self.met: set[str] = set()
        """Names of shardings that some graph had."""
        if not isinstance(shardings, Mapping | None):
            raise EngineError(f"expected shardings by tensor or name, found {shardings!r}")
        for key, spec in (shardings or {}).items():
            self._add(key, spec)

    def _add(self, key: Any, given: Any) -> None:
        if self.mesh is None:
            raise EngineError("shardings need a mesh", help='pass mesh={"batch": n} as well')
        if not isinstance(key, Tensor | str):
            raise EngineError(f"shardings: expected a tensor or its name, found {key!r}")
        spec = () if given is None else _as_spec(key, given, self.mesh)
        if isinstance(key, str):
            self.by_name[key] = spec
            return
        if spec and len(spec) != key.ndim:
            raise EngineError(f"{key!r} has {key.ndim} axes, its sharding {spec} names {len(spec)}")
        self.by_node[key.node] = spec

    def described(self) -> tuple[Described, Shardings]:
        """Return what a pickle holds: which devices, then the shardings by name and by node."""
        shardings = self.by_name, self.by_node
        if self.mesh is not None:
            ids = tuple(d.id for d in self.mesh.devices.flat)
            return Described(dict(self.mesh.shape), self.platform, ids), shardings
        is_first = self.device == jax.local_devices()[0]
        return Described(None, self.platform, () if is_first else (self.device.id,)), shardings

    def check_process(self) -> None:
        """Raise in a fork: it has none of the threads that XLA waits for."""
        if os.getpid() != self.process:
            raise EngineError(
                "jax was started before this process was forked, and can't compute in a fork",
                help='start processes with multiprocessing.get_context("spawn")',
            )

    def check(self, nodes: Sequence[Node]) -> None:
        """Raise for a sharding by name that is for another number of axes, or is misspelled.

        A name that is no node's and near to none may be that of another function.
        """
        for node in nodes:
            spec, ndim = self._named(node), node.tensor_type.ndim
            if spec and len(spec) != ndim:
                raise EngineError(
                    f"{node.name!r} has {ndim} axes, its sharding {spec} names {len(spec)}"
                )
        names = {node.name for node in nodes if node.name}
        self.met |= names & self.by_name.keys()
        for name in self.by_name.keys() - self.met:
            near = [n for n in sorted(names - self.by_name.keys()) if _is_misspelled(name, n)]
            if near:
                raise EngineError(
                    f"shardings name {name!r}; the function has no placeholder or variable of that name",
                    help=f"did you mean {near[0]!r}?",
                )

    @property
    def platform(self) -> str:
        """What computes: cpu, gpu, tpu."""
        devices = [self.device] if self.mesh is None else self.mesh.devices.flat
        return str(next(iter(devices)).platform)

    @property
    def is_many(self) -> bool:
        """True for more devices than one."""
        return self.mesh is not None and self.mesh.size > 1

    @property
    def is_local(self) -> bool:
        """False when other processes hold some of the devices."""
        return self.mesh is None or not self.mesh.is_multi_process

    def _named(self, node: Node) -> Spec:
        """Return the mesh axis of each axis; nothing for a node that lives whole on every device."""
        if self.mesh is None:
            return ()
        for given in (self.by_node.get(node), self.by_name.get(node.name or "")):
            if given is not None:
                return given
        spec: Spec = node.attrs.get("shard", ())
        return tuple(axis if axis in self.mesh.axis_names else None for axis in spec)

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

    def describe(self, nodes: Sequence[Node]) -> list[str]:
        """Return a line for the mesh and for each node that is cut over it."""
        if self.mesh is None:
            return [f"on {self.device}"]
        lines = [f"on a mesh of {dict(self.mesh.shape)} {self.platform} devices"]
        for node in nodes:
            named = self._named(node)
            if any(named):
                lines.append(f"cut over the mesh: {node.name or node.op.name} {node.type} {named}")
        absent = self.by_name.keys() - {node.name for node in nodes}
        lines += [f"not here: {name}, which shardings name" for name in sorted(absent)]
        return lines


def _as_spec(key: Key, given: Any, mesh: Mesh) -> Spec:
    """Return a sharding as a tuple; raises for one that does not name distinct axes of the mesh."""
    if not isinstance(given, tuple | list | PartitionSpec):
        raise EngineError(
            f"the sharding of {key!r}: expected a mesh axis or None for each of its axes, "
            f"found {given!r}",
            help='for example ("batch", None); None alone keeps it whole',
        )
    spec = tuple(given)
    named = [axis for axis in spec if axis is not None]
    known = all(isinstance(axis, str) and axis in mesh.axis_names for axis in named)
    if not known or len(set(named)) != len(named):
        raise EngineError(
            f"the sharding {spec} of {key!r} does not name distinct axes of the mesh "
            f"{dict(mesh.shape)}"
        )
    return spec


def _is_misspelled(name: str, other: str) -> bool:
    """Return True for names that are alike; those that only count on (w1, w2) are not."""
    a, b = (re.sub(r"\d+", "#", text.casefold()) for text in (name, other))
    return name.casefold() == other.casefold() or (
        a != b and difflib.SequenceMatcher(None, a, b).ratio() > 0.75
    )
