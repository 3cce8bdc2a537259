// What a pass changed: as two graphs side by side, and as text.

const MOST_CHANGED = 20; // changed nodes drawn on each side

/** Draw the changed parts of the graph before and after the pass. */
function showChanges(app) {
  const found = changesAt(app.stage),
    before = graphAt(app.stage - 1);
  const sides = [
    { view: app.other, graph: before, own: found.removed },
    { view: app.view, graph: app.graph, own: found.added },
  ];
  $("view-before").hidden = false;
  const [left, right] = sides.map(({ view, graph, own }) => {
    const chosen = changedNodes(app.selection, graph, new Set([...own, ...found.rewired]));
    view.show(buildScene(graph, groupTree(graph, "none", true, chosen.shown), new Set(), false));
    return chosen.drawn < chosen.all
      ? ` · ${chosen.drawn} of ${chosen.all} shown; select a line below for others`
      : "";
  });
  requestAnimationFrame(() => {
    for (const { view } of sides) {
      view.resized();
      view.fit();
    }
  });
  app.caption("view-before", `before ${data.stages[app.stage].name}: ${found.removed.size} nodes go${left}`);
  app.caption(
    "view-main",
    `after: ${found.added.size} come, ${found.rewired.size} read other operands${right}`,
  );
}

/** Changed nodes, as many as can be looked at, those near the selected one first, and their neighbours. */
function changedNodes({ kind, id }, graph, changed) {
  const order = graph.order.filter((node) => changed.has(node));
  const at = kind === "node" && graph.has(id) ? graph.place.get(id) : 0;
  const start = Math.max(0, order.findIndex((node) => graph.place.get(node) >= at) - 4);
  const chosen = order.slice(start, start + MOST_CHANGED),
    shown = new Set(chosen);
  for (const node of chosen) {
    for (const x of [...graph.inputs.get(node), ...graph.users.get(node).slice(0, 4)])
      if (!isNumber(x)) shown.add(x);
  }
  return { shown, all: order.length, drawn: chosen.length };
}

const AROUND = 2; // unchanged lines shown beside changed ones

function changesTab(app) {
  if (app.stage === 0)
    return [
      el(
        "p",
        { class: "empty" },
        "This is the graph as you defined it. Move to a pass to see what it changed.",
      ),
    ];
  const stage = data.stages[app.stage],
    before = graphAt(app.stage - 1),
    now = app.graph,
    found = changesAt(app.stage);
  const fired = Object.entries(stage.fired);
  const rules = el(
    "div",
    { class: "chips" },
    el("span", { class: "minus" }, `− ${found.removed.size} removed`),
    el("span", { class: "plus" }, `+ ${found.added.size} added`),
    el("span", { class: "moved" }, `${found.rewired.size} read other operands`),
    ...fired.map(([rule, n]) =>
      el(
        "button",
        { class: "chip", title: "Show where it fired", onclick: () => app.nextRewrite(rule) },
        rule,
        el("small", {}, `×${n}`),
      ),
    ),
  );
  const rows = alignRows(before, now, found),
    table = el("div", { class: "difftext" });
  const isNear = rows.map(() => false);
  rows.forEach((row, i) => {
    if (row.kind)
      for (let j = Math.max(0, i - AROUND); j <= Math.min(rows.length - 1, i + AROUND); j += 1)
        isNear[j] = true;
  });
  for (let i = 0; i < rows.length; i += 1) {
    if (isNear[i] || app.wholeDiff) {
      table.append(...diffCells(app, rows[i], before, now));
      continue;
    }
    let end = i;
    while (end < rows.length && !isNear[end]) end += 1;
    table.append(
      el(
        "div",
        {
          class: "fold",
          onclick: () => {
            app.wholeDiff = true;
            app.renderTab();
          },
        },
        `⋯ ${end - i} unchanged`,
      ),
    );
    i = end - 1;
  }
  return [rules, table];
}

function diffCells(app, { left, right, kind }, before, now) {
  const cell = (node, graph, style) =>
    el(
      "div",
      {
        class: `${node === null ? "" : `live ${style}`}`,
        onclick: node === null ? undefined : () => app.select("node", node),
      },
      ...(node === null ? ["\u200b"] : coloured(nodeText(node, graph), "ir")),
    );
  return [
    cell(left, before, kind === "rewired" ? "rewired" : kind ? "del" : ""),
    cell(right, now, kind === "rewired" ? "rewired" : kind ? "add" : ""),
  ];
}

/** Rows of two graphs side by side: what both have in one row, in the order of both where it agrees. */
function alignRows(before, now, found) {
  const place = new Map(now.order.map((node, i) => [node, i]));
  const common = before.order.filter((node) => place.has(node));
  const kept = new Set(rising(common.map((node) => place.get(node))).map((i) => common[i]));
  const rows = [];
  let i = 0,
    j = 0;
  while (i < before.order.length || j < now.order.length) {
    const a = before.order[i],
      b = now.order[j];
    if (i < before.order.length && !kept.has(a)) {
      rows.push({ left: a, right: null, kind: "del" });
      i += 1;
    } else if (j < now.order.length && !kept.has(b)) {
      rows.push({ left: null, right: b, kind: "add" });
      j += 1;
    } else {
      rows.push({ left: a, right: b, kind: found.rewired.has(b) ? "rewired" : "" });
      i += 1;
      j += 1;
    }
  }
  return beside(rows);
}

/** Move lines that were removed beside lines that were added after them. */
function beside(rows) {
  const out = [];
  for (let i = 0; i < rows.length;) {
    const gone = [],
      come = [];
    while (i < rows.length && (rows[i].kind === "del" || rows[i].kind === "add")) {
      (rows[i].kind === "del" ? gone : come).push(rows[i]);
      i += 1;
    }
    for (let k = 0; k < Math.max(gone.length, come.length); k += 1)
      out.push({ left: gone[k]?.left ?? null, right: come[k]?.right ?? null, kind: "change" });
    if (i < rows.length && rows[i].kind !== "del" && rows[i].kind !== "add") {
      out.push(rows[i]);
      i += 1;
    }
  }
  return out;
}

/** Positions of a longest rising subsequence. */
function rising(numbers) {
  const ends = [],
    previous = new Int32Array(numbers.length).fill(-1);
  numbers.forEach((number, i) => {
    let low = 0,
      high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[ends[middle]] < number) low = middle + 1;
      else high = middle;
    }
    if (low) previous[i] = ends[low - 1];
    ends[low] = i;
  });
  const found = [];
  for (let i = ends.length ? ends[ends.length - 1] : -1; i >= 0; i = previous[i]) found.push(i);
  return found.reverse();
}
