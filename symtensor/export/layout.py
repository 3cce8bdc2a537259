"""Layered layout: where the boxes and lines of a small directed graph go.

In: box sizes and edges from producers to users, without cycles. Out: a `Layout`, left upper corners
of boxes and a polyline per edge. Producers stand above their users; lines that pass other layers have
bends there, so that they cross no box; lines that pass very many run through lanes beside the picture,
one for all those of a producer, so that there are never more bends than some per line. The steps are those
of Sugiyama, Tagawa and Toda (1981): layers by longest path, an order within layers by barycenters, then
horizontal places. Same input, same picture.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]

LAYER_GAP, BOX_GAP, BEND_WIDTH = 34.0, 18.0, 6.0
SWEEPS = 12
REACH = 16
"""Layers down to which a line goes between boxes."""
LANE_GAP = 6.0
SHELVES = 8
"""Heights between two layers at which lines go to their lanes."""


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
        self.chains = [self._chain(a, b) for a, b in edges if not self._is_long(a, b)]
        self.above: list[list[int]] = [[] for _ in self.widths]
        self.below: list[list[int]] = [[] for _ in self.widths]
        for chain in self.chains:
            for a, b in pairwise(chain):
                self.below[a].append(b)
                self.above[b].append(a)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for item in self._depth_first():
            self.rows[self.layer[item]].append(item)

    def _is_long(self, a: int, b: int) -> bool:
        return self.layer[b] - self.layer[a] > REACH

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
        width = max(x + w for x, w in zip(left, self.widths, strict=True))
        lanes = self._lanes()
        chains = iter(self.chains)
        routes = []
        for a, b in self.edges:
            if self._is_long(a, b):
                inner = self._through_lane(a, b, lanes[a], width, middle, tops)
            else:
                inner = [(middle[i], row_top[i]) for i in next(chains)[1:-1]]
            start, end = (middle[a], row_top[a] + self.heights[a]), (middle[b], row_top[b])
            routes.append([start, *inner, end])
        corners = [(left[i], row_top[i]) for i in range(count)]
        width += LANE_GAP * (max(lanes.values()) + 2) if lanes else 0.0
        return Layout(corners, routes, width, tops[-1] - LAYER_GAP)

    def _lanes(self) -> dict[int, int]:
        """Return the lane of each box that long lines come from; one is free again after the last."""
        last: dict[int, int] = {}
        for a, b in self.edges:
            if self._is_long(a, b):
                last[a] = max(last.get(a, 0), self.layer[b])
        lanes: dict[int, int] = {}
        busy: list[tuple[int, int]] = []  # last layer, lane
        free: list[int] = []
        for item in sorted(last, key=lambda i: (self.layer[i], i)):
            while busy and busy[0][0] < self.layer[item]:
                heapq.heappush(free, heapq.heappop(busy)[1])
            lanes[item] = heapq.heappop(free) if free else len(busy)
            heapq.heappush(busy, (last[item], lanes[item]))
        return lanes

    def _through_lane(
        self, a: int, b: int, lane: int, width: float, middle: list[float], tops: list[float]
    ) -> list[Point]:
        """Return the bends of a long line: below the row it comes from and above the one it goes to."""
        shelf = LAYER_GAP * (lane % SHELVES + 1) / (SHELVES + 1)
        x = width + LANE_GAP * (lane + 1)
        below, above = (tops[layer] - LAYER_GAP for layer in (self.layer[a] + 1, self.layer[b]))
        return [(middle[a], below + shelf / 2), (x, below + shelf),
                (x, above + shelf / 2), (middle[b], above + shelf)]  # fmt: skip

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
        blocks: list[tuple[float, float, int]] = []  # left side, width, number of items
        for item in row:
            near = neighbours[item]
            wanted = left[item]
            if near:
                centre = sum(left[x] + self.widths[x] / 2 for x in near) / len(near)
                wanted = centre - self.widths[item] / 2
            block = (wanted, self.widths[item] + BOX_GAP, 1)
            while blocks and blocks[-1][0] + blocks[-1][1] > block[0]:
                start, width, n = blocks.pop()
                mean = (start * n + (block[0] - width) * block[2]) / (n + block[2])
                block = (mean, width + block[1], n + block[2])
            blocks.append(block)
        items = iter(row)
        for x, _, count in blocks:
            for item in itertools.islice(items, count):
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
