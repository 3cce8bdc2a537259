"""Tiled loops: two loops in square tiles, whose crosswise reads are transposed in registers.

Tiles are taken in blocks, so that all of a cache line is used while it is near. The transposed tiles
of a strip of a block lie on the stack while its rows are computed. Large results are written past the
caches (`symtensor.codegen.streaming`): their lines, which lie far apart, need not be read first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from symtensor.codegen.kernel import Affine, Axis, Buffer, Loop
from symtensor.codegen.lanes import memory_type
from symtensor.codegen.streaming import chosen, emit_fence, is_large, lone_store, rows_are_aligned
from symtensor.codegen.transposition import transposed
from symtensor.codegen.vector_loops import transposed_loads
from symtensor.ir.dtypes import bool_

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
        self.passes = self._passes_caches()
        """Condition that rows of tiles are stored past the caches, None where that is no question."""

    def _passes_caches(self) -> str | None:
        e, store = self.e, lone_store(self.nest)
        if store is None or not e.is_light(self.nest.body):
            return None
        whole = self.side * store.buffer.dtype.itemsize
        aligned = rows_are_aligned(e, self.nest.axis, store, whole)
        return e.s.emit(f"and i1 {aligned}, {is_large(e, self.nest, store)}", bool_, 1).text

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
        if self.passes is not None:
            emit_fence(e, self.passes)
        e.counted(self.loop.axis, self.first_row, self.last_row, 1, rest_of_row)
        e.counted(self.loop.axis, self.last_row, self.rows, 1, lambda: e.block(self.loop.body))

    def _block(self) -> None:
        down, across = (scope.index for scope in self.e.scopes[-2:])
        last = self.e.bounded(across, TILES * self.side, self.last_column)
        end = self.e.bounded(down, TILES * self.side, self.last_row)
        strip = partial(self._strip, across, last)
        self.e.counted(self.loop.axis, down, end, self.side, strip)

    def _strip(self, across: str, last: str) -> None:
        """Emit some rows of a block: transpose what is read across, then go row by row.

        A row is written along all of the block's tiles, so that its cache lines are filled at once.
        """
        e, axis = self.e, self.nest.axis
        first = e.scopes[-1].index
        tiles = self._tiles()

        def transpose() -> None:
            start = e.offset_from(across)
            with e.lanes(axis, self.side):
                for at, tile in tiles.items():
                    self._transpose(at, tile, start)

        def columns() -> None:
            number = e.difference(e.scopes[-2].index, first)
            place = e.plus(e.offset_from(across), number)
            with e.lanes(axis, self.side):
                e.tiles = {at: self._row_pointer(t, place, at) for at, t in tiles.items()}
                e.block(self.nest.body)
                e.tiles = {}

        e.counted(axis, across, last, self.side, transpose)

        def row() -> None:
            e.block(self.lets)
            e.counted(axis, across, last, self.side, columns)

        end = e.plus(first, self.side)
        usual = first
        if self.passes is not None:
            usual = chosen(e, self.passes, end, first)
            e.past_caches = True
            e.counted(self.loop.axis, first, usual, 1, row)
            e.past_caches = False
        e.counted(self.loop.axis, usual, end, 1, row)

    def _tiles(self) -> dict[tuple[Buffer, Affine], str]:
        """Return where the tiles of a strip lie, for each load that goes across."""
        e, start, tiles = self.e, 0, {}
        for load in transposed_loads(self.loop):
            tiles[load.data] = e.panel(start)
            start += TILES * self.side**2 * load.dtype.itemsize
        e.panel_bytes = max(e.panel_bytes, start)
        return tiles

    def _transpose(self, load: tuple[Buffer, Affine], tile: str, start: str) -> None:
        """Load a tile along the axis it is contiguous in; store its rows from place `start` on."""
        (buffer, at), e = load, self.e
        pointers = e.lane_pointers(buffer, at, e.step_of(at))
        columns = [e.load_raw(pointer, buffer.dtype, self.side) for pointer in pointers]
        kind = memory_type(buffer.dtype, self.side)
        place = self._row_pointer(tile, start, load)
        for number, row in enumerate(transposed(e.s, columns, buffer.dtype)):
            e.store_at(kind, row, e.element(kind, place, str(number)), buffer.dtype)

    def _row_pointer(self, tile: str, number: str, load: tuple[Buffer, Affine]) -> str:
        return self.e.element(memory_type(load[0].dtype, self.side), tile, number)
