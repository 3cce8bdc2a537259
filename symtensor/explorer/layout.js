// Layered layout of boxes and edges, by Sugiyama's steps: layers by longest path, order by barycenters,
// places by pulling. Parts that do not hang together are laid out each by itself and packed on shelves.

const LAYER_GAP = 30,
  BOX_GAP = 16,
  BEND = 8,
  LONG = 14,
  SWEEPS = 8,
  SHELF_GAP = 26;

/**
 * boxes: [{w, h, rank}], edges: [[from, to]]. Ranks decide between what edges leave open; edges that close
 * a circle are drawn, but decide nothing.
 * Returns {x, y (left upper corners), w, h, routes (points between, per edge, or null)}.
 */
function layered(boxes, edges) {
  const routes = edges.map(() => null);
  const x = new Float64Array(boxes.length),
    y = new Float64Array(boxes.length);
  const parts = components(boxes.length, edges);
  const laid = parts.map((part) => layoutPart(part, boxes, edges));
  const shelves = pack(laid);
  laid.forEach((part, i) => {
    const [dx, dy] = shelves.places[i];
    part.items.forEach((item, j) => {
      x[item] = part.x[j] + dx;
      y[item] = part.y[j] + dy;
    });
    part.edges.forEach((edge, j) => {
      routes[edge] = part.routes[j]?.map(([a, b]) => [a + dx, b + dy]) ?? null;
    });
  });
  return { x, y, w: shelves.w, h: shelves.h, routes };
}

function components(count, edges) {
  const parent = Int32Array.from({ length: count }, (_, i) => i);
  const find = (i) => {
    while (parent[i] !== i) {
      parent[i] = parent[parent[i]];
      i = parent[i];
    }
    return i;
  };
  for (const [a, b] of edges) parent[find(a)] = find(b);
  const parts = new Map();
  for (let i = 0; i < count; i += 1) {
    const head = find(i);
    if (!parts.has(head)) parts.set(head, { items: [], edges: [] });
    parts.get(head).items.push(i);
  }
  edges.forEach(([a], i) => parts.get(find(a)).edges.push(i));
  return [...parts.values()];
}

/** Put rectangles on shelves so that all together is about as wide as a screen. */
function pack(parts) {
  const area = parts.reduce((sum, p) => sum + (p.w + SHELF_GAP) * (p.h + SHELF_GAP), 0);
  const widest = Math.max(0, ...parts.map((p) => p.w));
  const limit = Math.max(widest, Math.sqrt(area * 1.9));
  const order = parts.map((_, i) => i).sort((a, b) => parts[b].h - parts[a].h || a - b);
  const places = [];
  let left = 0,
    top = 0,
    height = 0,
    w = 0;
  for (const i of order) {
    const part = parts[i];
    if (left > 0 && left + part.w > limit) {
      left = 0;
      top += height + SHELF_GAP;
      height = 0;
    }
    places[i] = [left, top];
    left += part.w + SHELF_GAP;
    height = Math.max(height, part.h);
    w = Math.max(w, left - SHELF_GAP);
  }
  return { places, w, h: top + height };
}

function layoutPart(part, boxes, allEdges) {
  const { items, edges: numbers } = part;
  const local = new Map(items.map((item, i) => [item, i]));
  const w = items.map((i) => boxes[i].w),
    h = items.map((i) => boxes[i].h);
  const edges = numbers.map((e) => [local.get(allEdges[e][0]), local.get(allEdges[e][1])]);
  const rank = sequence(
    items.map((i) => boxes[i].rank),
    edges,
  );
  const layer = layersOf(rank, edges);
  const above = items.map(() => []),
    below = items.map(() => []);
  const chains = edges.map(([a, b]) => {
    const span = layer[b] - layer[a];
    if (span < 1 || span > LONG) return null;
    const chain = [a];
    for (let l = layer[a] + 1; l < layer[b]; l += 1) {
      chain.push(layer.length);
      layer.push(l);
      w.push(BEND);
      h.push(0);
      above.push([]);
      below.push([]);
    }
    chain.push(b);
    for (let i = 1; i < chain.length; i += 1) {
      below[chain[i - 1]].push(chain[i]);
      above[chain[i]].push(chain[i - 1]);
    }
    return chain;
  });
  const last = layer.reduce((a, b) => Math.max(a, b), 0);
  const rows = Array.from({ length: last + 1 }, () => []);
  for (const item of depthFirst(above, below, rank)) rows[layer[item]].push(item);
  const full = rows.filter((row) => row.length);
  const place = new Float64Array(layer.length);
  full.forEach((row) =>
    row.forEach((item, i) => {
      place[item] = i;
    }),
  );
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) sortRows(full, sweep % 2 ? below : above, sweep % 2, place);
  const left = placesOf(full, w, above, below);
  const tops = new Float64Array(layer.length);
  let top = 0;
  for (const row of full) {
    const height = Math.max(...row.map((i) => h[i]));
    for (const item of row) tops[item] = top;
    top += height + LAYER_GAP;
  }
  const mid = (i) => left[i] + w[i] / 2;
  const routes = chains.map((chain) => chain && chain.slice(1, -1).map((i) => [mid(i), tops[i]]));
  let width = 0;
  for (let i = 0; i < left.length; i += 1) width = Math.max(width, left[i] + w[i]);
  return {
    items,
    edges: numbers,
    routes,
    w: width,
    h: top - LAYER_GAP,
    x: items.map((_, i) => left[i]),
    y: items.map((_, i) => tops[i]),
  };
}

/**
 * Place of each item in an order with producers first. Where groups read each other in a circle, the one
 * of the lowest rank breaks it.
 */
function sequence(rank, edges) {
  const users = rank.map(() => []),
    waiting = new Int32Array(rank.length),
    place = new Array(rank.length).fill(-1);
  for (const [a, b] of edges)
    if (a !== b) {
      users[a].push(b);
      waiting[b] += 1;
    }
  const least = (items) => items.reduce((a, b) => (rank[b] < rank[a] ? b : a));
  let ready = rank.map((_, i) => i).filter((i) => !waiting[i]);
  for (let next = 0; next < rank.length; next += 1) {
    const item = ready.length ? least(ready) : least(rank.map((_, i) => i).filter((i) => place[i] < 0));
    ready = ready.filter((i) => i !== item);
    place[item] = next;
    for (const user of users[item]) {
      waiting[user] -= 1;
      if (!waiting[user] && place[user] < 0) ready.push(user);
    }
  }
  return place;
}

/** A layer per item, below all its producers; those without any stand next to their users. */
function layersOf(rank, edges) {
  const count = rank.length,
    users = rank.map(() => []),
    producers = new Int32Array(count);
  for (const [a, b] of edges)
    if (rank[a] < rank[b]) {
      users[a].push(b);
      producers[b] += 1;
    }
  const layer = new Array(count).fill(0);
  const order = rank.map((_, i) => i).sort((a, b) => rank[a] - rank[b]);
  for (const i of order) for (const user of users[i]) layer[user] = Math.max(layer[user], layer[i] + 1);
  for (let i = count - 1; i >= 0; i -= 1) {
    const item = order[i];
    if (!producers[item] && users[item].length)
      layer[item] = Math.min(...users[item].map((u) => layer[u])) - 1;
  }
  return layer;
}

function depthFirst(above, below, rank) {
  const seen = new Uint8Array(above.length),
    order = [];
  const starts = above
    .map((_, i) => i)
    .filter((i) => !above[i].length)
    .sort((a, b) => (rank[a] ?? 0) - (rank[b] ?? 0));
  for (const start of [...starts, ...above.keys()]) {
    const stack = [start];
    while (stack.length) {
      const item = stack.pop();
      if (seen[item]) continue;
      seen[item] = 1;
      order.push(item);
      for (let i = below[item].length - 1; i >= 0; i -= 1) stack.push(below[item][i]);
    }
  }
  return order;
}

function sortRows(rows, near, isUp, place) {
  const weight = new Map();
  for (const row of isUp ? [...rows].reverse() : rows) {
    for (const item of row) {
      const others = near[item];
      let sum = 0;
      for (const other of others) sum += place[other];
      weight.set(item, others.length ? sum / others.length : place[item]);
    }
    row.sort((a, b) => weight.get(a) - weight.get(b) || place[a] - place[b]);
    row.forEach((item, i) => {
      place[item] = i;
    });
  }
}

/** Left sides: items drawn to the middle of their neighbours, none over another. */
function placesOf(rows, w, above, below) {
  const left = new Float64Array(w.length);
  for (const row of rows) {
    let x = 0;
    for (const item of row) {
      left[item] = x;
      x += w[item] + BOX_GAP;
    }
  }
  for (let sweep = 0; sweep < SWEEPS + 2; sweep += 1) {
    const isUp = sweep % 2 === 1,
      near = isUp ? below : above;
    for (const row of isUp ? [...rows].reverse() : rows) pull(row, near, left, w);
  }
  let least = Infinity;
  for (const row of rows) for (const item of row) least = Math.min(least, left[item]);
  for (const row of rows) for (const item of row) left[item] -= least;
  return left;
}

function pull(row, near, left, w) {
  const blocks = []; // [start, width, items]
  for (const item of row) {
    let wanted = left[item];
    const others = near[item];
    if (others.length) {
      let sum = 0;
      for (const other of others) sum += left[other] + w[other] / 2;
      wanted = sum / others.length - w[item] / 2;
    }
    let block = [wanted, w[item] + BOX_GAP, [item]];
    while (blocks.length && blocks[blocks.length - 1][0] + blocks[blocks.length - 1][1] > block[0]) {
      const [start, width, items] = blocks.pop();
      const n = items.length,
        m = block[2].length;
      block = [(start * n + (block[0] - width) * m) / (n + m), width + block[1], items.concat(block[2])];
    }
    blocks.push(block);
  }
  for (const [start, , items] of blocks) {
    let x = start;
    for (const item of items) {
      left[item] = x;
      x += w[item] + BOX_GAP;
    }
  }
}
