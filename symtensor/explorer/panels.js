// The panels around the graph: source, inspector, tables. Each takes the app and returns elements.

const link = (app, node, text) =>
  (node >= 0 ? el("button", { class: "link", onclick: () => app.select("node", node), "data-node": node }, text)
    : el("span", { class: "mono" }, text));
const nodeName = (node) => {
  const entity = entities[node];
  return `${entity.label} ${entity.name && entity.label !== `%${entity.name}` ? `${entity.op} ${entity.name}` : entity.op}`;
};
const nodeLink = (app, node) => (isNumber(node) ? el("span", { class: "mono muted" }, entities[node].value) : link(app, node, nodeName(node)));
const swatch = (kind) => el("span", { class: "swatch", style: { background: `var(--${kind})` } });
const facts = (rows) => el("dl", { class: "facts" }, ...rows.filter(([, given]) => given !== undefined && given !== null && given !== "")
  .flatMap(([name, given, mono]) => [el("dt", {}, name), el("dd", { class: mono ? "mono" : "" }, ...(Array.isArray(given) ? given : [given]))]));

/** What a cost is for the present sizes, and its formula where it has one. */
function costText(dim, unit) {
  const number = amount(value(dim), unit);
  return typeof dim === "number" ? number : `${number}  =  ${dim.text}`;
}

// --- source ---------------------------------------------------------------------------------------

/** Share of each line in the time of all kernels, or in their operations and bytes. */
function lineShares() {
  const shares = new Map();
  let total = 0;
  for (const kernel of kernels) {
    const cost = kernelCost(kernel), whole = hasTimes ? timeOf(kernel) : cost.flops + cost.bytes;
    const weights = kernel.nodes.map((node) => value(entities[node].flops) + 1);
    const sum = weights.reduce((a, b) => a + b, 0);
    kernel.nodes.forEach((node, i) => {
      const line = entities[node].line;
      if (line !== undefined) shares.set(line, (shares.get(line) ?? 0) + (whole * weights[i]) / sum);
    });
    total += whole;
  }
  for (const [line, share] of shares) shares.set(line, total ? share / total : 0);
  return shares;
}

function sourcePanel(app) {
  const shares = lineShares(), byPlace = new Map();
  data.lines.forEach(([file, number], line) => byPlace.set(`${file}:${number}`, line));
  const pieces = [];
  for (const [file, lines] of Object.entries(data.source)) {
    pieces.push(el("div", { class: "file", title: file }, `\u200e${file}`));
    const block = el("div", { class: "code" });
    let last = null;
    for (const [number, text] of Object.entries(lines).map(([n, t]) => [Number(n), t])) {
      if (last !== null && number > last + 1) block.append(el("div", { class: "row gap" }, el("span", { class: "n" }, "⋯")));
      last = number;
      const line = byPlace.get(`${file}:${number}`), share = shares.get(line) ?? 0;
      const live = line !== undefined;
      block.append(el("div", {
        class: `row${live ? " live marked-line" : ""}${app.isLit("line", line) ? " chosen" : ""}`,
        "data-line": live ? line : undefined,
        title: live && share ? `${(100 * share).toFixed(1)} % of ${hasTimes ? "the time" : "operations and bytes"}` : undefined,
        onclick: live ? () => app.select("line", line) : undefined,
      },
      el("span", { class: "heat", style: { background: share > 0.004 ? "var(--heat)" : "transparent", opacity: String(0.25 + 0.75 * Math.sqrt(share)) } }),
      el("span", { class: "n", style: { opacity: live ? "1" : "" } }, String(number)),
      el("span", {}, ...coloured(text, "python"), "\u200b")));
    }
    pieces.push(block);
  }
  if (!pieces.length) pieces.push(el("p", { class: "empty" }, "No node of this function knows its line."));
  return pieces;
}

// --- inspector ------------------------------------------------------------------------------------

const card = (title, note, open, ...children) =>
  el("details", { class: "card", open, "data-card": title }, el("summary", {}, title, el("span", { class: "muted" }, note ?? "")), ...children);

function inspectorPanel(app) {
  const { kind, id } = app.selection;
  if (kind === "node") return nodePanel(app, id);
  if (kind === "kernel") return kernelPanel(app, kernelNamed.get(id));
  if (kind === "line") return linePanel(app, id);
  if (kind === "group") return groupPanel(app, id);
  return overviewPanel(app);
}

function overviewPanel(app) {
  const total = kernels.map(kernelCost).reduce((sum, c) => ({ flops: sum.flops + c.flops, bytes: sum.bytes + c.bytes }), { flops: 0, bytes: 0 });
  const first = graphAt(0), last = graphAt(data.stages.length - 1);
  const kinds = new Map();
  for (const kernel of kernels) kinds.set(kernel.kind, (kinds.get(kernel.kind) ?? 0) + 1);
  const seconds = data.passes.reduce((sum, p) => sum + p.seconds, 0);
  return [
    el("div", { class: "lead" }, el("div", { class: "big" }, data.name),
      el("div", { class: "muted" }, "Click a box, a line or a kernel to follow it from your code to machine code.")),
    el("div", { class: "body", style: { paddingTop: "10px" } }, facts([
      ["engine", data.engine],
      ["nodes", `${first.order.length} as defined, ${last.order.length} compiled`],
      ["passes", `${data.passes.length}, of which ${data.stages.length - 1} changed something, ${duration(seconds)}`],
      ["steps", [...kinds].map(([name, n]) => `${n} ${name}${n > 1 ? "s" : ""}`).join(", ")],
      ["operations", kernels.length ? amount(total.flops, "FLOP") : ""],
      ["bytes moved", kernels.length ? amount(total.bytes, "B") : ""],
      ["peak memory", data.memory ? amount(value(data.memory.peak), "B") : ""],
      ["time", hasTimes ? duration([...times.values()].reduce((sum, row) => sum + row.seconds, 0)) : ""],
    ])),
    ...(kernels.length ? [dearest(app)] : []),
    tally("Rules that fired", data.stages.flatMap((stage) => Object.entries(stage.fired))),
    tally("Why nodes are stored", countBy(data.remarks.filter(([kind]) => kind === "stored"), (remark) => remark[3])),
    tally("Call-outs to NumPy", countBy(data.remarks.filter(([kind]) => kind === "call-out"), (remark) => `${remark[2].split(" ")[0]}: ${remark[3]}`)),
    data.memory ? card("Peak memory", "", false, el("div", { class: "body mono" }, `${formula(data.memory.peak)} bytes`)) : null,
    data.llvm.symtensor_driver ? card("Driver, LLVM", "", false, codeBlock(data.llvm.symtensor_driver, "llvm")) : null,
  ];
}

/** The kernels that take the most time, or else operations and bytes. */
function dearest(app) {
  const work = (kernel) => (hasTimes ? timeOf(kernel) : kernelCost(kernel).flops + kernelCost(kernel).bytes);
  const total = kernels.reduce((sum, kernel) => sum + work(kernel), 0) || 1;
  const rows = [...kernels].sort((a, b) => work(b) - work(a)).slice(0, 7).filter((kernel) => work(kernel) > 0);
  return card(hasTimes ? "Where the time goes" : "Most operations and bytes", "", true, el("div", { class: "body shares" }, ...rows.flatMap((kernel) => [
    kernelLink(app, kernel), el("span", { class: "bar hot" }, el("i", { style: { width: `${(100 * work(kernel)) / work(rows[0])}%` } })),
    el("span", { class: "mono" }, `${((100 * work(kernel)) / total).toFixed(1)} %`),
    el("span", { class: "mono muted" }, cut(kernel.outputs.map((x) => `${entities[x].op} ${entities[x].type}`).join(", "), 40)),
  ])));
}

function countBy(rows, key) {
  const counts = new Map();
  for (const row of rows) counts.set(key(row), (counts.get(key(row)) ?? 0) + 1);
  return [...counts];
}

function tally(title, rows) {
  const counts = new Map();
  for (const [name, n] of rows) counts.set(name, (counts.get(name) ?? 0) + n);
  if (!counts.size) return null;
  const sum = [...counts.values()].reduce((a, b) => a + b, 0);
  return card(title, String(sum), counts.size <= 8, el("div", { class: "body" }, facts([...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => [String(n), name]))));
}

/** The way from a line to machine code, as buttons that open its steps. */
function ladder(app, steps) {
  const row = el("div", { class: "ladder" });
  steps.filter(([, title]) => title).forEach(([name, title, act], i) => {
    if (i) row.append(el("span", {}, "→"));
    row.append(el("button", { onclick: act ?? (() => app.openCard(name)) }, title));
  });
  return row;
}

function nodePanel(app, node) {
  const entity = entities[node], graph = app.graph, inputs = graph.inputs.get(node) ?? entity.inputs;
  const users = graph.users.get(node) ?? [], mine = kernelsOf.get(node) ?? [];
  const kernel = mine.includes(app.kernel) ? app.kernel : mine[0];
  const remarks = remarksOf.get(node) ?? [];
  const gone = graph.has(node) ? "" : "not in the graph of this pass";
  return [
    el("div", { class: "lead" },
      el("div", { class: "big" }, swatch(entity.class), entity.title, " ", el("span", { class: "mono muted" }, entity.label)),
      gone ? el("div", { class: "minus" }, gone) : null,
      ladder(app, [
        ["Source", entity.line === undefined ? null : lineName(entity.line), () => app.select("line", entity.line)],
        ["Node", entity.op], ["Kernel", kernel?.name, () => app.select("kernel", kernel.name)], ["Loops", kernel && "loops"],
        ["LLVM", kernel && data.llvm[kernel.function] && "LLVM"], ["Assembly", kernel && data.assembly[kernel.function] && "assembly"],
      ])),
    sourceCard(app, entity.line),
    card("Node", entity.type, true, el("div", { class: "body" },
      el("pre", { class: "mono", style: { whiteSpace: "pre-wrap", paddingBottom: "6px" } }, ...coloured(nodeText(node, graph), "ir")),
      facts([
        ["role", (graph.roles.get(node) ?? []).join(", ")],
        ["scope", entity.scope, true], ["derived", entity.origin],
        ["reads", inputs.length ? [el("div", { class: "links" }, ...inputs.map((x) => nodeLink(app, x)))] : ""],
        ["read by", users.length ? [el("div", { class: "links" }, ...users.slice(0, 40).map((x) => nodeLink(app, x)), users.length > 40 ? `… ${users.length} in all` : "")] : ""],
        ["computed in", mine.length ? [el("div", { class: "links" }, ...mine.map((k) => kernelLink(app, k)))] : ""],
        ["bytes", costText(entity.size, "B"), true], ["operations", value(entity.flops) ? costText(entity.flops, "FLOP") : "", true],
      ]))),
    remarks.length ? card("Remarks", String(remarks.length), true, el("div", { class: "body" }, ...remarks.map((r) => remarkLine(app, r)))) : null,
    ...(kernel ? kernelCards(app, kernel, node) : []),
  ];
}

const kernelLink = (app, kernel) => el("button", { class: "link", onclick: () => app.select("kernel", kernel.name) }, `${kernel.name} ${kernel.function || kernel.kind}`);

function sourceCard(app, line) {
  if (line === undefined) return null;
  const [file, number, columns] = data.lines[line], lines = data.source[file] ?? {};
  const rows = [number - 1, number, number + 1].filter((n) => lines[n] !== undefined);
  if (!rows.length) return null;
  return card("Source", lineName(line), true, codeBlock(rows.map((n) => lines[n]).join("\n"), "python",
    (text, n) => (n === number ? { class: "chosen live", onclick: () => app.select("line", line), title: columns.length ? `columns ${columns[0]} to ${columns[1]}` : undefined } : {}), rows[0]));
}

function remarkLine(app, [kind, node, what, why, into, where]) {
  return el("div", { class: "note" }, el("b", {}, kind), why ? ` — ${why}` : "",
    ...(into.length ? [" → ", ...into.flatMap(([x, text], i) => [i ? ", " : "", link(app, x, text)])] : []),
    el("span", { class: "muted" }, where ? `  (${where})` : ""));
}

function kernelPanel(app, kernel) {
  const lines = [...new Set(kernel.nodes.map((node) => entities[node].line))].filter((line) => line !== undefined);
  return [
    el("div", { class: "lead" }, el("div", { class: "big" }, kernel.name, " ", el("span", { class: "mono muted" }, kernel.function || kernel.kind)),
      ladder(app, [
        ["Lines", lines.length && `${lines.length} line${lines.length > 1 ? "s" : ""}`], ["Nodes", `${kernel.nodes.length} node${kernel.nodes.length > 1 ? "s" : ""}`],
        ["Kernel", kernel.kind], ["Loops", "loops"], ["LLVM", data.llvm[kernel.function] && "LLVM"], ["Assembly", data.assembly[kernel.function] && "assembly"],
      ])),
    card("Lines", String(lines.length), lines.length <= 12, el("div", { class: "body" }, ...lines.map((line) =>
      el("div", {}, el("button", { class: "link", onclick: () => app.select("line", line) }, lineName(line)), "  ", el("span", { class: "mono" }, ...coloured(cut(sourceText(line), 80), "python")))))),
    card("Nodes", String(kernel.nodes.length), kernel.nodes.length <= 30, el("div", { class: "body links" }, ...kernel.nodes.map((node) => nodeLink(app, node)))),
    ...kernelCards(app, kernel, null),
  ];
}

function kernelCards(app, kernel, node) {
  const cost = kernelCost(kernel), row = times.get(kernel.name);
  const op = node === null ? null : entities[node].op;
  const mentions = (line) => op !== null && new RegExp(`(= |\\b)${op.replace(/\W/g, "\\$&")}\\(`).test(line);
  const llvm = data.llvm[kernel.function], assembly = data.assembly[kernel.function];
  const notes = data.remarks.filter((r) => r[5] === kernel.name);
  const repeats = kernels.filter((other) => other !== kernel && other.function && other.function === kernel.function);
  return [
    card("Kernel", `${kernel.name} · ${kernel.kind}`, true, el("div", { class: "body" }, facts([
      ["runs", value(kernel.runs) === 1 ? "" : costText(kernel.runs, "")],
      ["operations", costText(kernel.flops, "FLOP"), true],
      ["reads", costText(kernel.read, "B"), true], ["writes", costText(kernel.written, "B"), true],
      ["intensity", cost.bytes ? `${(cost.flops / cost.bytes).toPrecision(3)} FLOP per byte` : ""],
      ["lanes", kernel.lanes > 1 ? `${kernel.lanes} elements at a time` : "one element at a time"],
      ["threads", kernel.shared ? "may share it" : "one"],
      ["time", row ? timeText(row) : ""],
      ["loads", kernel.reads.length ? [el("div", { class: "links" }, ...kernel.reads.map((x) => nodeLink(app, x)))] : ""],
      ["stores", [el("div", { class: "links" }, ...kernel.outputs.map((x) => nodeLink(app, x)))]],
      ["same code as", repeats.length ? [el("div", { class: "links" }, ...repeats.slice(0, 12).map((k) => kernelLink(app, k)))] : ""],
    ]), ...notes.map((r) => remarkLine(app, r)))),
    card("Loops", kernel.function, true, codeBlock(kernel.text, "loops", (line) => {
      const hit = mentions(line), found = nodeOfLoopLine(kernel, line);
      return {
        class: `${hit ? "marked" : ""}${found >= 0 ? " live" : ""}`,
        onclick: found >= 0 ? () => app.select("node", found) : undefined,
      };
    })),
    llvm ? card("LLVM", `${llvm.split("\n").length} lines`, false, lazy(() => codeBlock(llvm, "llvm"))) : null,
    assembly ? card("Assembly", `${assembly.split("\n").length} lines`, false, lazy(() => codeBlock(assembly, "assembly"))) : null,
  ];
}

const limitText = (kernel) => { const row = times.get(kernel.name); return row?.of_limit ? `${(100 * row.of_limit).toFixed(0)} %` : ""; };

function timeText(row) {
  const parts = [duration(row.seconds)];
  if (row.flops_per_second) parts.push(`${amount(row.flops_per_second, "FLOP/s")}`);
  if (row.bytes_per_second) parts.push(`${amount(row.bytes_per_second, "B")}/s`);
  if (row.of_limit) parts.push(`${(row.of_limit * 100).toFixed(0)} % of the machine's limit (${row.bound})`);
  return parts.join(", ");
}

/** The node that a line of a loop tree computes, where only one can be meant. */
function nodeOfLoopLine(kernel, line) {
  const word = /= (\w+)(?:\(| over )/.exec(line)?.[1];
  if (!word) return -1;
  kernel.byOp ??= Map.groupBy ? Map.groupBy(kernel.nodes, (node) => entities[node].op)
    : kernel.nodes.reduce((map, node) => map.set(entities[node].op, [...(map.get(entities[node].op) ?? []), node]), new Map());
  const found = kernel.byOp.get(word) ?? [];
  return found.length === 1 ? found[0] : -1;
}

/** An element made when it is first opened. */
function lazy(make) {
  const holder = el("div");
  holder.make = () => { holder.replaceChildren(make()); holder.make = null; };
  return holder;
}

function linePanel(app, line) {
  const graph = app.graph, nodes = graph.order.filter((node) => entities[node].line === line);
  const derived = nodes.filter((node) => entities[node].origin), own = nodes.filter((node) => !entities[node].origin);
  const mine = kernels.filter((kernel) => kernel.nodes.some((node) => entities[node].line === line));
  const share = lineShares().get(line) ?? 0;
  return [
    el("div", { class: "lead" }, el("div", { class: "big" }, lineName(line)),
      el("div", { class: "mono" }, ...coloured(sourceText(line), "python")),
      el("div", { class: "muted" }, `${(share * 100).toFixed(1)} % of ${hasTimes ? "the time" : "all operations and bytes"}`)),
    sourceCard(app, line),
    card("Nodes", `${own.length} at this pass`, true, el("div", { class: "body links" }, ...own.map((node) => nodeLink(app, node)))),
    derived.length ? card("Derived from it", String(derived.length), true, el("div", { class: "body links" }, ...derived.map((node) => nodeLink(app, node)))) : null,
    card("Kernels", String(mine.length), true, el("div", { class: "body" }, ...mine.map((kernel) => el("div", {}, kernelLink(app, kernel),
      el("span", { class: "muted" }, `  ${kernel.kind}, ${amount(kernelCost(kernel).flops, "FLOP")}, ${amount(kernelCost(kernel).bytes, "B")}`))))),
  ];
}

function groupPanel(app, id) {
  const group = app.groups.get(id);
  if (!group) return overviewPanel(app);
  const nodes = [...nodesIn(group)], counts = new Map();
  for (const node of nodes) counts.set(entities[node].op, (counts.get(entities[node].op) ?? 0) + 1);
  const flops = nodes.reduce((sum, node) => sum + value(entities[node].flops) * runsOf(node), 0);
  const control = group.control;
  return [
    el("div", { class: "lead" }, el("div", { class: "big" }, group.name), el("div", { class: "muted" }, `${nodes.length} nodes, ${amount(flops, "FLOP")}`),
      el("div", { class: "ladder" }, el("button", { onclick: () => app.toggleGroup(id) }, app.open.has(id) ? "Fold (Enter)" : "Open (Enter)"),
        control === null ? null : el("button", { onclick: () => app.select("node", control) }, `the node ${entities[control].label}`))),
    card("Ops", String(counts.size), true, el("div", { class: "body" }, facts([...counts].sort((a, b) => b[1] - a[1]).map(([op, n]) => [op, String(n)])))),
    nodes.length <= 400 ? card("Nodes", "", nodes.length <= 60, el("div", { class: "body links" }, ...nodes.map((node) => nodeLink(app, node)))) : null,
  ];
}

const runsOf = (node) => { const kernel = kernelsOf.get(node)?.[0]; return kernel ? value(kernel.runs) : 1; };

// --- tabs -----------------------------------------------------------------------------------------

function kernelsTab(app) {
  if (!kernels.length) return [el("p", { class: "empty" }, `The engine ${data.engine} does not tell its kernels.`)];
  const rows = kernels.map((kernel) => ({ kernel, ...kernelCost(kernel), seconds: timeOf(kernel) }));
  const most = { flops: 1, bytes: 1, seconds: 1e-12 };
  for (const row of rows) for (const key of Object.keys(most)) most[key] = Math.max(most[key], row[key]);
  const by = app.sorting;
  if (by) rows.sort((a, b) => b[by] - a[by]);
  const bar = (share, hot) => el("span", { class: `bar${hot ? " hot" : ""}` }, el("i", { style: { width: `${100 * share}%` } }));
  const head = (text, key, number) => el("th", {
    class: number ? "number" : "", "aria-sort": key === null ? undefined : by === key ? "descending" : "none",
    onclick: key === null ? undefined : () => { app.sorting = by === key ? "" : key; app.renderTab(); },
  }, text, by === key && key ? " ↓" : "");
  const table = el("table", {}, el("thead", {}, el("tr", {},
    head("step", ""), head("kind", null), head("computes", null), head("code", null), head("runs", null, true), head("FLOP", "flops", true), head("", null),
    head("bytes", "bytes", true), head("", null), head("FLOP/B", null, true), hasTimes ? head("time", "seconds", true) : null, hasTimes ? head("", null) : null, hasTimes ? head("of limit", null, true) : null)));
  const body = el("tbody");
  for (const { kernel, flops, bytes, runs, seconds } of rows) {
    const outputs = kernel.outputs.map((x) => `${entities[x].op} ${entities[x].type}`).join(", ");
    const depth = kernel.name.split(".").length - 1;
    body.append(el("tr", { class: app.isLit("kernel", kernel.name) ? "current" : "", "data-kernel": kernel.name, onclick: () => app.select("kernel", kernel.name) },
      el("td", { class: "mono", style: { paddingLeft: `${10 + 14 * depth}px` } }, el("span", { class: "swatch", style: { background: kernelColour(kernel) } }), kernel.name), el("td", {}, kernel.kind),
      el("td", { class: "mono long", title: outputs }, outputs), el("td", { class: "mono muted" }, kernel.function),
      el("td", { class: "number" }, runs === 1 ? "" : amount(runs, "")), el("td", { class: "number" }, flops ? amount(flops, "") : ""), el("td", {}, bar(flops / most.flops)),
      el("td", { class: "number" }, bytes ? amount(bytes, "B") : ""), el("td", {}, bar(bytes / most.bytes)),
      el("td", { class: "number" }, bytes && flops ? (flops / bytes).toPrecision(2) : ""),
      hasTimes ? el("td", { class: "number" }, duration(seconds)) : null, hasTimes ? el("td", {}, bar(seconds / most.seconds, true)) : null,
      hasTimes ? el("td", { class: "number" }, limitText(kernel)) : null));
  }
  table.append(body);
  return [table];
}

const kernelColour = (kernel) => `hsl(${(kernel.index * 137.5) % 360} 62% 56%)`;

function memoryTab(app) {
  if (!data.memory) return [el("p", { class: "empty" }, `The engine ${data.engine} does not plan its memory.`)];
  const pane = document.getElementById("pane");
  const sums = new Map();
  for (const [, kind, , , bytes] of data.memory.buffers) sums.set(kind, (sums.get(kind) ?? 0) + value(bytes));
  const chips = el("div", { class: "chips" }, el("span", { class: "muted" }, "peak ", el("b", {}, amount(value(data.memory.peak), "B")), el("span", { class: "mono" }, `  =  ${formula(data.memory.peak)}`)));
  const kinds = el("div", { class: "chips" }, ...[...sums].map(([kind, bytes]) => el("span", { class: "muted" }, swatch(BUFFER_COLOURS[kind] ?? "other"), `${kind} ${amount(bytes, "B")}`)),
    data.memory.scratch ? el("span", { class: "muted" }, `scratch ${amount(data.memory.scratch, "B")}`) : null);
  const chart = memoryChart(Math.max(560, pane.clientWidth - 12), Math.max(150, pane.clientHeight - 74), app.selection.kind === "node" ? app.selection.id : -1,
    (node) => node >= 0 && app.select("node", node),
    (row, event) => app.tip(row && [el("b", {}, `${row.name} · ${row.kind}`), el("div", {}, row.what), el("code", {}, `${amount(row.bytes, "B")} = ${row.text}, steps ${row.first} to ${row.last}`)], event));
  return [chips, kinds, chart];
}

function remarksTab(app) {
  const kinds = new Map();
  for (const [kind] of data.remarks) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  if (!kinds.size) return [el("p", { class: "empty" }, "Nothing to remark.")];
  const chips = el("div", { class: "chips" }, ...[...kinds].map(([kind, n]) => el("button", {
    class: "chip toggle", "aria-pressed": String(app.remarkKind === kind),
    onclick: () => { app.remarkKind = app.remarkKind === kind ? null : kind; app.renderTab(); },
  }, kind, el("small", {}, String(n)))));
  const body = el("tbody"), rows = data.remarks.filter(([kind]) => !app.remarkKind || kind === app.remarkKind);
  for (const [kind, node, what, why, into, where] of rows.slice(0, 1500)) {
    const line = node >= 0 ? entities[node].line : undefined;
    body.append(el("tr", { class: app.isLit("node", node) ? "current" : "", onclick: () => node >= 0 && app.select("node", node) },
      el("td", {}, el("b", {}, kind)), el("td", { class: "mono" }, cut(what, 56)), el("td", { class: "wide" }, why, into.length ? ` → ${into.map(([, text]) => text).join(", ")}` : ""),
      el("td", { class: "muted" }, where), el("td", { class: "mono muted" }, line === undefined ? "" : lineName(line))));
  }
  return [chips, el("table", {}, el("thead", {}, el("tr", {}, ...["decision", "node", "why", "by", "line"].map((text) => el("th", {}, text)))), body),
    rows.length > 1500 ? el("p", { class: "empty" }, `${rows.length - 1500} more: choose a kind`) : null];
}

function passesTab(app) {
  const body = el("tbody"), most = Math.max(...data.passes.map((p) => p.seconds), 1e-9);
  for (const pass of data.passes) {
    const stage = data.stages.findIndex((s) => s.name === pass.name), found = data.stages[stage];
    const fired = Object.entries(found?.fired ?? {}).sort((a, b) => b[1] - a[1]).map(([rule, n]) => `${rule} ×${n}`).join("; ");
    const delta = pass.after - pass.before;
    body.append(el("tr", { class: stage === app.stage && stage > 0 ? "current" : "", onclick: () => stage > 0 && app.setStage(stage) },
      el("td", {}, pass.changed ? el("b", {}, pass.name) : el("span", { class: "muted" }, pass.name)), el("td", { class: "number" }, String(pass.before)), el("td", { class: "number" }, String(pass.after)),
      el("td", { class: `number ${delta < 0 ? "plus" : delta > 0 ? "moved" : "muted"}` }, delta ? (delta > 0 ? `+${delta}` : String(delta)) : "0"),
      el("td", { class: "number" }, duration(pass.seconds)), el("td", {}, el("span", { class: "bar" }, el("i", { style: { width: `${(100 * pass.seconds) / most}%` } }))),
      el("td", { class: "wide muted" }, fired || found?.reason || "")));
  }
  return [el("table", {}, el("thead", {}, el("tr", {}, ...[["pass"], ["before", 1], ["after", 1], ["change", 1], ["time", 1], [""], ["rules that fired"]].map(([text, number]) => el("th", { class: number ? "number" : "" }, text)))), body)];
}

function textTab(app) {
  const rows = graphRows(app.graph), block = el("div", { class: "code" });
  rows.slice(0, MOST_ROWS).forEach(([text, node], i) => {
    block.append(el("div", {
      class: `row${node === null ? "" : " live"}${node !== null && app.isLit("node", node) ? " chosen" : ""}`, "data-node": node ?? undefined,
      onclick: node === null ? undefined : () => app.select("node", node),
    }, el("span", { class: "n" }, String(i + 1)), el("span", {}, ...coloured(text, "ir"))));
  });
  if (rows.length > MOST_ROWS) block.append(el("div", { class: "row gap" }, `${rows.length - MOST_ROWS} more lines`));
  return [block];
}

// --- what a pass changed --------------------------------------------------------------------------

const AROUND = 2;                 // unchanged lines shown beside changed ones

function changesTab(app) {
  if (app.stage === 0) return [el("p", { class: "empty" }, "This is the graph as you defined it. Move to a pass to see what it changed.")];
  const stage = data.stages[app.stage], before = graphAt(app.stage - 1), now = app.graph, found = changesAt(app.stage);
  const fired = Object.entries(stage.fired);
  const rules = el("div", { class: "chips" }, el("span", { class: "minus" }, `− ${found.removed.size} removed`), el("span", { class: "plus" }, `+ ${found.added.size} added`), el("span", { class: "moved" }, `${found.rewired.size} read other operands`),
    ...fired.map(([rule, n]) => el("button", { class: "chip", title: "Show where it fired", onclick: () => app.nextRewrite(rule) }, rule, el("small", {}, `×${n}`))));
  const rows = alignRows(before, now, found), table = el("div", { class: "difftext" });
  const isNear = rows.map(() => false);
  rows.forEach((row, i) => {
    if (row.kind) for (let j = Math.max(0, i - AROUND); j <= Math.min(rows.length - 1, i + AROUND); j += 1) isNear[j] = true;
  });
  for (let i = 0; i < rows.length; i += 1) {
    if (isNear[i] || app.wholeDiff) { table.append(...diffCells(app, rows[i], before, now)); continue; }
    let end = i;
    while (end < rows.length && !isNear[end]) end += 1;
    table.append(el("div", { class: "fold", onclick: () => { app.wholeDiff = true; app.renderTab(); } }, `⋯ ${end - i} unchanged`));
    i = end - 1;
  }
  return [rules, table];
}

function diffCells(app, { left, right, kind }, before, now) {
  const cell = (node, graph, style) => el("div", {
    class: `${node === null ? "" : `live ${style}`}`, onclick: node === null ? undefined : () => app.select("node", node),
  }, ...(node === null ? ["\u200b"] : coloured(nodeText(node, graph), "ir")));
  return [cell(left, before, kind === "rewired" ? "rewired" : kind ? "del" : ""), cell(right, now, kind === "rewired" ? "rewired" : kind ? "add" : "")];
}

/** Rows of two graphs side by side: what both have in one row, in the order of both where it agrees. */
function alignRows(before, now, found) {
  const place = new Map(now.order.map((node, i) => [node, i]));
  const common = before.order.filter((node) => place.has(node));
  const kept = new Set(rising(common.map((node) => place.get(node))).map((i) => common[i]));
  const rows = [];
  let i = 0, j = 0;
  while (i < before.order.length || j < now.order.length) {
    const a = before.order[i], b = now.order[j];
    if (i < before.order.length && !kept.has(a)) { rows.push({ left: a, right: null, kind: "del" }); i += 1; }
    else if (j < now.order.length && !kept.has(b)) { rows.push({ left: null, right: b, kind: "add" }); j += 1; }
    else { rows.push({ left: a, right: b, kind: found.rewired.has(b) ? "rewired" : "" }); i += 1; j += 1; }
  }
  return beside(rows);
}

/** Move lines that were removed beside lines that were added after them. */
function beside(rows) {
  const out = [];
  for (let i = 0; i < rows.length;) {
    const gone = [], come = [];
    while (i < rows.length && (rows[i].kind === "del" || rows[i].kind === "add")) { (rows[i].kind === "del" ? gone : come).push(rows[i]); i += 1; }
    for (let k = 0; k < Math.max(gone.length, come.length); k += 1) out.push({ left: gone[k]?.left ?? null, right: come[k]?.right ?? null, kind: "change" });
    if (i < rows.length && rows[i].kind !== "del" && rows[i].kind !== "add") { out.push(rows[i]); i += 1; }
  }
  return out;
}

/** Positions of a longest rising subsequence. */
function rising(numbers) {
  const ends = [], previous = new Int32Array(numbers.length).fill(-1);
  numbers.forEach((number, i) => {
    let low = 0, high = ends.length;
    while (low < high) { const middle = (low + high) >> 1; if (numbers[ends[middle]] < number) low = middle + 1; else high = middle; }
    if (low) previous[i] = ends[low - 1];
    ends[low] = i;
  });
  const found = [];
  for (let i = ends.length ? ends[ends.length - 1] : -1; i >= 0; i = previous[i]) found.push(i);
  return found.reverse();
}
