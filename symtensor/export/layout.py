"""Layered layout: where the boxes and lines of a small directed graph go.

In: box sizes and edges from producers to users, without cycles. Out: a `Layout`, left upper corners
of boxes and a polyline per edge. Producers stand above their users; lines that pass other layers have
bends there, so that they cross no box. The steps are those of Sugiyama, Tagawa and Toda (1981):
layers by longest path, an order within layers by barycenters, then horizontal places. Same input,
same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]

LAYER_GAP, BOX_GAP, BEND_WIDTH = 34.0, 18.0, 6.0
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything goes."""

    corners: list[Point]
    """Left upper corner per box."""
    routes: list[list[Point]]
    """Points of the line of each edge, from the producer's lower side to the user's upper one."""
    width: float
    height: float


def layered_layout(boxes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    """Return a layout of boxes of sizes ``(width, height)``."""
    if not boxes:
        return Layout([], [], 0.0, 0.0)
    return _Layers(boxes, edges).layout()


class _Layers:
    """Boxes and bends in layers; numbers below ``len(boxes)`` are boxes, the others bends."""

    def __init__(self, boxes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> None:
        self.edges = edges
        self.widths = [w for w, _ in boxes]
        self.heights = [h for _, h in boxes]
        self.layer = _longest_paths(len(boxes), edges)
        self.chains = [self._chain(a, b) for a, b in edges]
        self.above: list[list[int]] = [[] for _ in self.widths]
        self.below: list[list[int]] = [[] for _ in self.widths]
        for chain in self.chains:
            for a, b in pairwise(chain):
                self.below[a].append(b)
                self.above[b].append(a)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for item in self._depth_first():
            self.rows[self.layer[item]].append(item)

    def _chain(self, a: int, b: int) -> list[int]:
        """Return an edge as a path with a new bend in each layer between."""
        chain = [a]
        for layer in range(self.layer[a] + 1, self.layer[b]):
            chain.append(len(self.layer))
            self.layer.append(layer)
            self.widths.append(BEND_WIDTH)
            self.heights.append(0.0)
        return [*chain, b]

    def _depth_first(self) -> list[int]:
        """Return all items in an order that keeps paths together."""
        order: dict[int, None] = {}
        starts = [i for i, above in enumerate(self.above) if not above]
        for start in starts:
            pending = [start]
            while pending:
                item = pending.pop()
                if item not in order:
                    order[item] = None
                    pending += reversed(self.below[item])
        return list(order)

    def layout(self) -> Layout:
        for sweep in range(SWEEPS):
            self._sort_rows(sweep % 2 == 0)
        left = self._places()
        tops = self._tops()
        count = len(self.heights) - sum(len(chain) - 2 for chain in self.chains)
        middle = [x + w / 2 for x, w in zip(left, self.widths, strict=True)]
        row_top = [tops[layer] for layer in self.layer]
        routes = [
            [(middle[a], row_top[a] + self.heights[a]), *((middle[i], row_top[i]) for i in bends),
             (middle[b], row_top[b])]
            for a, *bends, b in self.chains
        ]  # fmt: skip
        corners = [(left[i], row_top[i]) for i in range(count)]
        width = max(x + w for x, w in zip(left, self.widths, strict=True))
        return Layout(corners, routes, width, tops[-1] - LAYER_GAP)

    def _sort_rows(self, down: bool) -> None:
        """Order each row by the mean place of its neighbours in the row before."""
        place = {item: i for row in self.rows for i, item in enumerate(row)}
        neighbours = self.above if down else self.below
        for row in self.rows if down else reversed(self.rows):
            weight = {
                item: sum(place[x] for x in near) / len(near) if (near := neighbours[item])
                else place[item]
                for item in row
            }  # fmt: skip
            row.sort(key=lambda item, weight=weight: (weight[item], place[item]))  # type: ignore[misc]
            place.update((item, i) for i, item in enumerate(row))

    def _places(self) -> list[float]:
        """Return left sides: items drawn to the middle of their neighbours, none over another."""
        left = [0.0] * len(self.widths)
        for row in self.rows:
            x = 0.0
            for item in row:
                left[item] = x
                x += self.widths[item] + BOX_GAP
        for sweep in range(SWEEPS):
            neighbours = self.above if sweep % 2 == 0 else self.below
            for row in self.rows if sweep % 2 == 0 else reversed(self.rows):
                self._pull(row, neighbours, left)
        shift = min(left)
        return [x - shift for x in left]

    def _pull(self, row: list[int], neighbours: list[list[int]], left: list[float]) -> None:
        """Move a row's items towards their neighbours, those in each other's way together."""
        blocks: list[tuple[float, float, list[int]]] = []  # left side, width, items
        for item in row:
            near = neighbours[item]
            wanted = left[item]
            if near:
                centre = sum(left[x] + self.widths[x] / 2 for x in near) / len(near)
                wanted = centre - self.widths[item] / 2
            block = (wanted, self.widths[item] + BOX_GAP, [item])
            while blocks and blocks[-1][0] + blocks[-1][1] > block[0]:
                start, width, items = blocks.pop()
                n, m = len(items), len(block[2])
                mean = (start * n + (block[0] - width) * m) / (n + m)
                block = (mean, width + block[1], items + block[2])
            blocks.append(block)
        for x, _, items in blocks:
            for item in items:
                left[item] = x
                x += self.widths[item] + BOX_GAP

    def _tops(self) -> list[float]:
        """Return the upper side of each row, and of one more."""
        tops = [0.0]
        for row in self.rows:
            tops.append(tops[-1] + max(self.heights[item] for item in row) + LAYER_GAP)
        return tops


def _longest_paths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return a layer per box: below all its producers; boxes without any stand next to a user."""
    users: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for a, b in edges:
        users[a].append(b)
        waiting[b] += 1
    has_producer = [n > 0 for n in waiting]
    layer = [0] * count
    ready = [i for i in range(count) if waiting[i] == 0]
    for item in ready:
        for user in users[item]:
            layer[user] = max(layer[user], layer[item] + 1)
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    for item in range(count):
        if not has_producer[item] and users[item]:
            layer[item] = min(layer[user] for user in users[item]) - 1
    return layer
