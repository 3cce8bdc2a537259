// The keyboard.

const KEYS = {
  "/": [
    "/",
    "search",
    () => {
      $("query").focus();
      $("query").select();
    },
  ],
  "[": ["[", "pass before", (app) => app.setStage(app.stage - 1)],
  "]": ["]", "pass after", (app) => app.setStage(app.stage + 1)],
  x: ["x", "changes of the pass, before and after", (app) => app.setDiff(!app.diff)],
  ArrowUp: ["↑", "to the first operand", (app) => move(app, "up")],
  ArrowDown: ["↓", "to the first reader", (app) => move(app, "down")],
  ArrowLeft: ["←", "to the node before in the text", (app) => move(app, "left")],
  ArrowRight: ["→", "to the node after in the text", (app) => move(app, "right")],
  Enter: ["Enter", "open or fold the selected group", (app) => app.enter()],
  e: ["e", "open one level more", (app) => app.openMore()],
  c: ["c", "fold everything", (app) => app.foldAll()],
  g: [
    "g",
    "group by something else",
    (app) => cycle(GROUPINGS, app.grouping, (name) => app.setGrouping(name)),
  ],
  o: ["o", "colour by something else", (app) => cycle(OVERLAYS, app.overlay, (name) => app.setOverlay(name))],
  k: ["k", "numbers as nodes", (app) => app.flipNumbers()],
  t: ["t", "next tab", (app) => cycle(TABS, app.tab, (name) => app.setTab(name))],
  f: ["f", "fit all", (app) => app.view.fit(true)],
  "+": ["+", "closer", (app) => app.view.zoomAt(1.25, app.view.size[0] / 2, app.view.size[1] / 2)],
  "-": ["-", "farther", (app) => app.view.zoomAt(0.8, app.view.size[0] / 2, app.view.size[1] / 2)],
  b: ["b", "back to what was selected before", (app) => app.back()],
  d: ["d", "light or dark", (app) => app.flipTheme()],
  Escape: [
    "Esc",
    "select nothing",
    (app) => {
      if (!$("help").hidden) app.toggleHelp();
      else app.clear();
    },
  ],
  "?": ["?", "this help", (app) => app.toggleHelp()],
};

/** Go along edges, or along the text. */
function move(app, direction) {
  const { kind, id } = app.selection,
    { graph } = app;
  const shows = (node) => app.numbers || !isNumber(node) || graph.roles.has(node);
  if (kind !== "node" || !graph.has(id)) {
    app.select("node", graph.order.find(shows));
    return;
  }
  const order = graph.order.filter(shows),
    at = order.indexOf(id);
  const next = {
    up: () => graph.inputs.get(id).find(shows),
    down: () => graph.users.get(id).find(shows),
    left: () => order[at - 1],
    right: () => order[at + 1],
  }[direction]();
  if (next !== undefined) app.select("node", next);
}

function helpBox() {
  const rows = Object.values(KEYS).flatMap(([name, text]) => [
    el("dt", {}, el("kbd", {}, name)),
    el("dd", {}, text),
  ]);
  return el("div", {}, el("h3", {}, "Keyboard"), el("dl", {}, ...rows));
}

/** Go to the next of a table's keys. */
function cycle(table, chosen, act) {
  const keys = Object.keys(table);
  act(keys[(keys.indexOf(chosen) + 1) % keys.length]);
}
