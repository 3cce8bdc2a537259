"""Tiled loops: two loops in square tiles, whose crosswise reads are transposed in registers.

Tiles are taken in blocks, so that all of a cache line is used while it is near. A transposed tile
lies on the stack while its rows are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symtensor.codegen.kernel import Affine, Axis, Buffer, Loop, Value
from symtensor.codegen.lanes import memory_type
from symtensor.codegen.lower import transposed_loads
from symtensor.codegen.transposition import transposed

if TYPE_CHECKING:
    from symtensor.codegen.emit import Emitter

SIDE = 16
"""Most rows and columns of a tile."""
TILES = 8
"""Tiles along each side of a block."""


def emit_tiles(emitter: Emitter, loop: Loop) -> None:
    """Emit a tiled loop: tiles, the columns that are left of them, the rows that are left."""
    _Tiles(emitter, loop).run()


class _Tiles:
    def __init__(self, emitter: Emitter, loop: Loop) -> None:
        self.e = emitter
        self.loop = loop
        *self.lets, nest = loop.body
        assert isinstance(nest, Loop)
        self.nest = nest
        self.side = min(emitter.base, SIDE)
        self.first_row, self.rows = emitter.bounds(loop)
        self.columns = emitter.size(nest.axis.extent)
        self.last_row = emitter.main_end(self.rows, self.side, self.first_row)
        self.last_column = emitter.main_end(self.columns, self.side)

    def run(self) -> None:
        e, size = self.e, TILES * self.side
        down, across = Axis("down", 0), Axis("across", 0)

        def blocks_across() -> None:
            e.counted(across, "0", self.last_column, size, self._block)

        def rest_of_row() -> None:
            e.block(self.lets)
            rest = self.last_column, self.columns
            e.counted(self.nest.axis, *rest, 1, lambda: e.block(self.nest.body))

        e.counted(down, self.first_row, self.last_row, size, blocks_across)
        e.counted(self.loop.axis, self.first_row, self.last_row, 1, rest_of_row)
        e.counted(self.loop.axis, self.last_row, self.rows, 1, lambda: e.block(self.loop.body))

    def _block(self) -> None:
        down, across = (scope.index for scope in self.e.scopes[-2:])

        def row_of_tiles() -> None:
            self._part(self.nest.axis, across, self.last_column, self._tile)

        self._part(self.loop.axis, down, self.last_row, row_of_tiles)

    def _part(self, axis: Axis, first: str, end: str, body: Callable[[], None]) -> None:
        last = self.e.bounded(first, TILES * self.side, end)
        self.e.counted(axis, first, last, self.side, body)

    def _tile(self) -> None:
        """Emit one tile: transpose what is read across, then go row by row."""
        e, axis = self.e, self.nest.axis
        first = e.scopes[-2].index
        with e.lanes(axis, self.side):
            tiles = {x.data: self._transposed(x) for x in transposed_loads(self.loop)}

        def row() -> None:
            e.block(self.lets)
            number = e.offset_from(first)
            with e.lanes(axis, self.side):
                e.tiles = {at: self._row_pointer(t, number, at) for at, t in tiles.items()}
                e.block(self.nest.body)
                e.tiles = {}

        e.counted(self.loop.axis, first, e.plus(first, self.side), 1, row)

    def _transposed(self, load: Value) -> str:
        """Load a tile along the axis it is contiguous in; return where its rows now lie."""
        buffer, at = load.data
        dtype, e = buffer.dtype, self.e
        pointers = e.lane_pointers(buffer, at, e.step_of(at))
        columns = [e.load_raw(pointer, dtype, self.side) for pointer in pointers]
        kind = memory_type(dtype, self.side)
        tile = e.stack(f"[{self.side} x {kind}]")
        for number, row in enumerate(transposed(e.s, columns, dtype)):
            e.store_at(kind, row, self._row_pointer(tile, str(number), load.data), dtype)
        return tile

    def _row_pointer(self, tile: str, number: str, load: tuple[Buffer, Affine]) -> str:
        return self.e.element(memory_type(load[0].dtype, self.side), tile, number)
