// Scenes: what is to be seen of a graph, as placed boxes and lines.

const PAD = 14,
  HEAD = 26,
  NODE_H = 40,
  LEAF_H = 36,
  GROUP_H = 50;
const TITLE = "600 12px system-ui, sans-serif",
  SMALL = "10.5px ui-monospace, Menlo, Consolas, monospace";
const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();

function textWidth(text, font) {
  const key = font + text;
  if (!widths.has(key)) {
    pen.font = font;
    widths.set(key, pen.measureText(text).width);
  }
  return widths.get(key);
}
const cut = (text, limit) => (text.length > limit ? `${text.slice(0, limit - 1)}…` : text);

/** Title of a node; numbers that have no box stand among its operands. */
function nodeTitle(node, graph, showNumbers) {
  const entity = entities[node],
    inputs = graph.inputs.get(node) ?? [];
  if (showNumbers || entity.value !== undefined || !inputs.some(isNumber)) return cut(entity.title, 34);
  const operands = inputs.map((x) => (isNumber(x) ? entities[x].value : "·"));
  return cut(`${entity.title}(${operands.join(", ")})`, 34);
}

/** Place what is to be seen of a graph: groups in `open` show what is in them. */
function buildScene(graph, root, open, showNumbers) {
  const itemOf = new Map(),
    items = [];
  const add = (item) => {
    items.push(item);
    return item;
  };
  const visit = (group, parent, depth) => {
    for (const node of group.nodes) {
      const entity = entities[node],
        title = nodeTitle(node, graph, showNumbers);
      const spec = entity.attrs?.spec ? `  ${entity.attrs.spec.slice(1, -1)}` : "";
      const subtitle = cut(entity.type + spec, 40),
        isLeaf = !graph.inputs.get(node).length;
      const w = Math.max(64, textWidth(title, TITLE) + 26, textWidth(subtitle, SMALL) + 26);
      itemOf.set(
        node,
        add({
          kind: "node",
          node,
          parent,
          depth,
          title,
          subtitle,
          isLeaf,
          w,
          h: isLeaf ? LEAF_H : NODE_H,
          rank: graph.place.get(node),
        }),
      );
    }
    for (const inner of group.children) {
      const isOpen = open.has(inner.id),
        title = cut(inner.name, 48);
      const note = `${inner.count} node${inner.count === 1 ? "" : "s"}`;
      const item = add({
        kind: "group",
        group: inner,
        parent,
        depth,
        title,
        subtitle: note,
        isOpen,
        rank: inner.rank,
        w: Math.max(130, textWidth(title, TITLE) + 48, textWidth(note, SMALL) + 40),
        h: GROUP_H,
        children: [],
        lines: new Map(),
      });
      if (inner.control !== null) itemOf.set(inner.control, item);
      if (isOpen) visit(inner, item, depth + 1);
      else for (const node of nodesIn(inner)) itemOf.set(node, item);
    }
  };
  const whole = {
    kind: "group",
    group: root,
    parent: null,
    depth: -1,
    isOpen: true,
    children: [],
    lines: new Map(),
  };
  visit(root, whole, 0);
  for (const item of items) item.parent.children.push(item);
  for (const [node, inputs] of graph.inputs) {
    const to = itemOf.get(node);
    if (to) for (const x of inputs) connect(itemOf.get(x), to);
  }
  arrange(whole);
  const scene = { items: [], edges: [], itemOf, w: whole.w, h: whole.h };
  settle(whole, 0, 0, scene);
  return scene;
}

/** Note an edge at the group in which its two ends, or what they are in, stand side by side. */
function connect(from, to) {
  if (!from || from === to) return;
  let a = from,
    b = to;
  while (a.depth > b.depth) a = a.parent;
  while (b.depth > a.depth) b = b.parent;
  if (a === b) return;
  while (a.parent !== b.parent) {
    a = a.parent;
    b = b.parent;
  }
  if (!a.parent.lines.has(a)) a.parent.lines.set(a, new Map());
  const users = a.parent.lines.get(a);
  users.set(b, (users.get(b) ?? 0) + 1);
}

function arrange(item) {
  for (const inner of item.children) if (inner.kind === "group" && inner.isOpen) arrange(inner);
  const number = new Map(item.children.map((child, i) => [child, i]));
  item.edges = [];
  for (const [a, users] of item.lines) {
    for (const [b, count] of users) item.edges.push({ ends: [number.get(a), number.get(b)], count });
  }
  const found = layered(
    item.children,
    item.edges.map((edge) => edge.ends),
  );
  item.places = found;
  const head = item.depth < 0 ? 0 : HEAD;
  item.inner = { x: item.depth < 0 ? 0 : PAD, y: head + (head ? 6 : 0) };
  item.w = Math.max(found.w + 2 * item.inner.x, item.title ? textWidth(item.title, TITLE) + 90 : 0);
  item.h = found.h + item.inner.y + (item.depth < 0 ? 0 : PAD);
}

function settle(item, x, y, scene) {
  item.x = x;
  item.y = y;
  if (item.depth >= 0) scene.items.push(item);
  if (!item.isOpen) return;
  const left = x + item.inner.x,
    top = y + item.inner.y;
  item.children.forEach((child, i) => settle(child, left + item.places.x[i], top + item.places.y[i], scene));
  item.edges.forEach(({ ends: [a, b], count }, i) => {
    const bends = item.places.routes[i]?.map(([px, py]) => [left + px, top + py]) ?? null;
    scene.edges.push({ from: item.children[a], to: item.children[b], bends, count });
  });
}
