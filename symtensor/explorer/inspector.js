// The panel on the right: what is selected, and the way from a line to machine code.

const card = (title, note, open, ...children) =>
  el(
    "details",
    { class: "card", open, "data-card": title },
    el("summary", {}, title, el("span", { class: "muted" }, note ?? "")),
    ...children,
  );

function inspectorPanel(app) {
  const { kind, id } = app.selection;
  if (kind === "node") return nodePanel(app, id);
  if (kind === "kernel") return kernelPanel(app, kernelNamed.get(id));
  if (kind === "line") return linePanel(app, id);
  if (kind === "group") return groupPanel(app, id);
  return overviewPanel(app);
}

function overviewPanel(app) {
  const total = kernels
    .map(kernelCost)
    .reduce((sum, c) => ({ flops: sum.flops + c.flops, bytes: sum.bytes + c.bytes }), { flops: 0, bytes: 0 });
  const first = graphAt(0),
    last = graphAt(data.stages.length - 1);
  const kinds = new Map();
  for (const kernel of kernels) kinds.set(kernel.kind, (kinds.get(kernel.kind) ?? 0) + 1);
  const seconds = data.passes.reduce((sum, p) => sum + p.seconds, 0);
  return [
    el(
      "div",
      { class: "lead" },
      el("div", { class: "big" }, data.name),
      el(
        "div",
        { class: "muted" },
        "Click a box, a line or a kernel to follow it from your code to machine code.",
      ),
    ),
    el(
      "div",
      { class: "body", style: { paddingTop: "10px" } },
      facts([
        ["engine", data.engine],
        ["nodes", `${first.order.length} as defined, ${last.order.length} compiled`],
        [
          "passes",
          `${data.passes.length}, of which ${data.stages.length - 1} changed something, ${duration(seconds)}`,
        ],
        ["steps", [...kinds].map(([name, n]) => `${n} ${name}${n > 1 ? "s" : ""}`).join(", ")],
        ["operations", kernels.length ? amount(total.flops, "FLOP") : ""],
        ["bytes moved", kernels.length ? amount(total.bytes, "B") : ""],
        ["peak memory", data.memory ? amount(value(data.memory.peak), "B") : ""],
        ["time", hasTimes ? duration([...times.values()].reduce((sum, row) => sum + row.seconds, 0)) : ""],
      ]),
    ),
    ...(kernels.length ? [dearest(app)] : []),
    tally(
      "Rules that fired",
      data.stages.flatMap((stage) => Object.entries(stage.fired)),
    ),
    tally(
      "Why nodes are stored",
      countBy(
        data.remarks.filter(([kind]) => kind === "stored"),
        (remark) => remark[3],
      ),
    ),
    tally(
      "Call-outs to NumPy",
      countBy(
        data.remarks.filter(([kind]) => kind === "call-out"),
        (remark) => `${remark[2].split(" ")[0]}: ${remark[3]}`,
      ),
    ),
    data.memory
      ? card(
          "Peak memory",
          "",
          false,
          el("div", { class: "body mono" }, `${formula(data.memory.peak)} bytes`),
        )
      : null,
    data.llvm.symtensor_driver
      ? card("Driver, LLVM", "", false, codeBlock(data.llvm.symtensor_driver, "llvm"))
      : null,
  ];
}

/** The kernels that take the most time, or else operations and bytes. */
function dearest(app) {
  const work = (kernel) => (hasTimes ? timeOf(kernel) : kernelCost(kernel).flops + kernelCost(kernel).bytes);
  const total = kernels.reduce((sum, kernel) => sum + work(kernel), 0) || 1;
  const rows = [...kernels]
    .sort((a, b) => work(b) - work(a))
    .slice(0, 7)
    .filter((kernel) => work(kernel) > 0);
  return card(
    hasTimes ? "Where the time goes" : "Most operations and bytes",
    "",
    true,
    el(
      "div",
      { class: "body shares" },
      ...rows.flatMap((kernel) => [
        kernelLink(app, kernel),
        el(
          "span",
          { class: "bar hot" },
          el("i", { style: { width: `${(100 * work(kernel)) / work(rows[0])}%` } }),
        ),
        el("span", { class: "mono" }, `${((100 * work(kernel)) / total).toFixed(1)} %`),
        el(
          "span",
          { class: "mono muted" },
          cut(kernel.outputs.map((x) => `${entities[x].op} ${entities[x].type}`).join(", "), 40),
        ),
      ]),
    ),
  );
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
  return card(
    title,
    String(sum),
    counts.size <= 8,
    el(
      "div",
      { class: "body" },
      facts([...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => [String(n), name])),
    ),
  );
}

/** The way from a line to machine code, as buttons that open its steps. */
function ladder(app, steps) {
  const row = el("div", { class: "ladder" });
  steps
    .filter(([, title]) => title)
    .forEach(([name, title, act], i) => {
      if (i) row.append(el("span", {}, "→"));
      row.append(el("button", { onclick: act ?? (() => app.openCard(name)) }, title));
    });
  return row;
}

function nodePanel(app, node) {
  const entity = entities[node],
    graph = app.graph,
    inputs = graph.inputs.get(node) ?? entity.inputs;
  const users = graph.users.get(node) ?? [],
    mine = kernelsOf.get(node) ?? [];
  const kernel = mine.includes(app.kernel) ? app.kernel : mine[0];
  const remarks = remarksOf.get(node) ?? [];
  const gone = graph.has(node) ? "" : "not in the graph of this pass";
  return [
    el(
      "div",
      { class: "lead" },
      el(
        "div",
        { class: "big" },
        swatch(entity.class),
        entity.title,
        " ",
        el("span", { class: "mono muted" }, entity.label),
      ),
      gone ? el("div", { class: "minus" }, gone) : null,
      ladder(app, [
        [
          "Source",
          entity.line === undefined ? null : lineName(entity.line),
          () => app.select("line", entity.line),
        ],
        ["Node", entity.op],
        ["Kernel", kernel?.name, () => app.select("kernel", kernel.name)],
        ["Loops", kernel && "loops"],
        ["LLVM", kernel && data.llvm[kernel.function] && "LLVM"],
        ["Assembly", kernel && data.assembly[kernel.function] && "assembly"],
      ]),
    ),
    sourceCard(app, entity.line),
    card(
      "Node",
      entity.type,
      true,
      el(
        "div",
        { class: "body" },
        el(
          "pre",
          { class: "mono", style: { whiteSpace: "pre-wrap", paddingBottom: "6px" } },
          ...coloured(nodeText(node, graph), "ir"),
        ),
        facts([
          ["role", (graph.roles.get(node) ?? []).join(", ")],
          ["scope", entity.scope, true],
          ["derived", entity.origin],
          [
            "reads",
            inputs.length ? [el("div", { class: "links" }, ...inputs.map((x) => nodeLink(app, x)))] : "",
          ],
          [
            "read by",
            users.length
              ? [
                  el(
                    "div",
                    { class: "links" },
                    ...users.slice(0, 40).map((x) => nodeLink(app, x)),
                    users.length > 40 ? `… ${users.length} in all` : "",
                  ),
                ]
              : "",
          ],
          [
            "computed in",
            mine.length ? [el("div", { class: "links" }, ...mine.map((k) => kernelLink(app, k)))] : "",
          ],
          ["bytes", costText(entity.size, "B"), true],
          ["operations", value(entity.flops) ? costText(entity.flops, "FLOP") : "", true],
        ]),
      ),
    ),
    remarks.length
      ? card(
          "Remarks",
          String(remarks.length),
          true,
          el("div", { class: "body" }, ...remarks.map((r) => remarkLine(app, r))),
        )
      : null,
    ...(kernel ? kernelCards(app, kernel, node) : []),
  ];
}

const kernelLink = (app, kernel) =>
  el(
    "button",
    { class: "link", onclick: () => app.select("kernel", kernel.name) },
    `${kernel.name} ${kernel.function || kernel.kind}`,
  );

function sourceCard(app, line) {
  if (line === undefined) return null;
  const [file, number, columns] = data.lines[line],
    lines = data.source[file] ?? {};
  const rows = [number - 1, number, number + 1].filter((n) => lines[n] !== undefined);
  if (!rows.length) return null;
  return card(
    "Source",
    lineName(line),
    true,
    codeBlock(
      rows.map((n) => lines[n]).join("\n"),
      "python",
      (text, n) =>
        n === number
          ? {
              class: "chosen live",
              onclick: () => app.select("line", line),
              title: columns.length ? `columns ${columns[0]} to ${columns[1]}` : undefined,
            }
          : {},
      rows[0],
    ),
  );
}

function remarkLine(app, [kind, node, what, why, into, where]) {
  return el(
    "div",
    { class: "note" },
    el("b", {}, kind),
    why ? ` — ${why}` : "",
    ...(into.length ? [" → ", ...into.flatMap(([x, text], i) => [i ? ", " : "", link(app, x, text)])] : []),
    el("span", { class: "muted" }, where ? `  (${where})` : ""),
  );
}

function kernelPanel(app, kernel) {
  const lines = [...new Set(kernel.nodes.map((node) => entities[node].line))].filter(
    (line) => line !== undefined,
  );
  return [
    el(
      "div",
      { class: "lead" },
      el(
        "div",
        { class: "big" },
        kernel.name,
        " ",
        el("span", { class: "mono muted" }, kernel.function || kernel.kind),
      ),
      ladder(app, [
        ["Lines", lines.length && `${lines.length} line${lines.length > 1 ? "s" : ""}`],
        ["Nodes", `${kernel.nodes.length} node${kernel.nodes.length > 1 ? "s" : ""}`],
        ["Kernel", kernel.kind],
        ["Loops", "loops"],
        ["LLVM", data.llvm[kernel.function] && "LLVM"],
        ["Assembly", data.assembly[kernel.function] && "assembly"],
      ]),
    ),
    card(
      "Lines",
      String(lines.length),
      lines.length <= 12,
      el(
        "div",
        { class: "body" },
        ...lines.map((line) =>
          el(
            "div",
            {},
            el("button", { class: "link", onclick: () => app.select("line", line) }, lineName(line)),
            "  ",
            el("span", { class: "mono" }, ...coloured(cut(sourceText(line), 80), "python")),
          ),
        ),
      ),
    ),
    card(
      "Nodes",
      String(kernel.nodes.length),
      kernel.nodes.length <= 30,
      el("div", { class: "body links" }, ...kernel.nodes.map((node) => nodeLink(app, node))),
    ),
    ...kernelCards(app, kernel, null),
  ];
}

function kernelCards(app, kernel, node) {
  const cost = kernelCost(kernel),
    row = times.get(kernel.name);
  const op = node === null ? null : entities[node].op;
  const mentions = (line) => op !== null && new RegExp(`(= |\\b)${op.replace(/\W/g, "\\$&")}\\(`).test(line);
  const llvm = data.llvm[kernel.function],
    assembly = data.assembly[kernel.function];
  const notes = data.remarks.filter((r) => r[5] === kernel.name);
  const repeats = kernels.filter(
    (other) => other !== kernel && other.function && other.function === kernel.function,
  );
  return [
    card(
      "Kernel",
      `${kernel.name} · ${kernel.kind}`,
      true,
      el(
        "div",
        { class: "body" },
        facts([
          ["runs", value(kernel.runs) === 1 ? "" : costText(kernel.runs, "")],
          ["operations", costText(kernel.flops, "FLOP"), true],
          ["reads", costText(kernel.read, "B"), true],
          ["writes", costText(kernel.written, "B"), true],
          ["intensity", cost.bytes ? `${(cost.flops / cost.bytes).toPrecision(3)} FLOP per byte` : ""],
          ["lanes", kernel.lanes > 1 ? `${kernel.lanes} elements at a time` : "one element at a time"],
          ["threads", kernel.shared ? "may share it" : "one"],
          ["time", row ? timeText(row) : ""],
          [
            "loads",
            kernel.reads.length
              ? [el("div", { class: "links" }, ...kernel.reads.map((x) => nodeLink(app, x)))]
              : "",
          ],
          ["stores", [el("div", { class: "links" }, ...kernel.outputs.map((x) => nodeLink(app, x)))]],
          [
            "same code as",
            repeats.length
              ? [el("div", { class: "links" }, ...repeats.slice(0, 12).map((k) => kernelLink(app, k)))]
              : "",
          ],
        ]),
        ...notes.map((r) => remarkLine(app, r)),
      ),
    ),
    card(
      "Loops",
      kernel.function,
      true,
      codeBlock(kernel.text, "loops", (line) => {
        const hit = mentions(line),
          found = nodeOfLoopLine(kernel, line);
        return {
          class: `${hit ? "marked" : ""}${found >= 0 ? " live" : ""}`,
          onclick: found >= 0 ? () => app.select("node", found) : undefined,
        };
      }),
    ),
    codeCard("LLVM", llvm, "llvm"),
    codeCard("Assembly", assembly, "assembly"),
  ];
}

function codeCard(title, text, language) {
  if (!text) return null;
  const lines = `${text.split("\n").length} lines`;
  return card(title, lines, false, lazy(() => codeBlock(text, language)));
}

const limitText = (kernel) => {
  const row = times.get(kernel.name);
  return row?.of_limit ? `${(100 * row.of_limit).toFixed(0)} %` : "";
};

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
  kernel.byOp ??= Map.groupBy
    ? Map.groupBy(kernel.nodes, (node) => entities[node].op)
    : kernel.nodes.reduce(
        (map, node) => map.set(entities[node].op, [...(map.get(entities[node].op) ?? []), node]),
        new Map(),
      );
  const found = kernel.byOp.get(word) ?? [];
  return found.length === 1 ? found[0] : -1;
}

/** An element made when it is first opened. */
function lazy(make) {
  const holder = el("div");
  holder.make = () => {
    holder.replaceChildren(make());
    holder.make = null;
  };
  return holder;
}

function linePanel(app, line) {
  const graph = app.graph,
    nodes = graph.order.filter((node) => entities[node].line === line);
  const derived = nodes.filter((node) => entities[node].origin),
    own = nodes.filter((node) => !entities[node].origin);
  const mine = kernels.filter((kernel) => kernel.nodes.some((node) => entities[node].line === line));
  const share = lineShares().get(line) ?? 0;
  return [
    el(
      "div",
      { class: "lead" },
      el("div", { class: "big" }, lineName(line)),
      el("div", { class: "mono" }, ...coloured(sourceText(line), "python")),
      el(
        "div",
        { class: "muted" },
        `${(share * 100).toFixed(1)} % of ${hasTimes ? "the time" : "all operations and bytes"}`,
      ),
    ),
    sourceCard(app, line),
    card(
      "Nodes",
      `${own.length} at this pass`,
      true,
      el("div", { class: "body links" }, ...own.map((node) => nodeLink(app, node))),
    ),
    derived.length
      ? card(
          "Derived from it",
          String(derived.length),
          true,
          el("div", { class: "body links" }, ...derived.map((node) => nodeLink(app, node))),
        )
      : null,
    card(
      "Kernels",
      String(mine.length),
      true,
      el(
        "div",
        { class: "body" },
        ...mine.map((kernel) =>
          el(
            "div",
            {},
            kernelLink(app, kernel),
            el(
              "span",
              { class: "muted" },
              `  ${kernel.kind}, ${amount(kernelCost(kernel).flops, "FLOP")}, ${amount(kernelCost(kernel).bytes, "B")}`,
            ),
          ),
        ),
      ),
    ),
  ];
}

function groupPanel(app, id) {
  const group = app.groups.get(id);
  if (!group) return overviewPanel(app);
  const nodes = [...nodesIn(group)],
    counts = new Map();
  for (const node of nodes) counts.set(entities[node].op, (counts.get(entities[node].op) ?? 0) + 1);
  const flops = nodes.reduce((sum, node) => sum + value(entities[node].flops) * runsOf(node), 0);
  const control = group.control;
  return [
    el(
      "div",
      { class: "lead" },
      el("div", { class: "big" }, group.name),
      el("div", { class: "muted" }, `${nodes.length} nodes, ${amount(flops, "FLOP")}`),
      el(
        "div",
        { class: "ladder" },
        el(
          "button",
          { onclick: () => app.toggleGroup(id) },
          app.open.has(id) ? "Fold (Enter)" : "Open (Enter)",
        ),
        control === null
          ? null
          : el(
              "button",
              { onclick: () => app.select("node", control) },
              `the node ${entities[control].label}`,
            ),
      ),
    ),
    card(
      "Ops",
      String(counts.size),
      true,
      el(
        "div",
        { class: "body" },
        facts([...counts].sort((a, b) => b[1] - a[1]).map(([op, n]) => [op, String(n)])),
      ),
    ),
    nodes.length <= 400
      ? card(
          "Nodes",
          "",
          nodes.length <= 60,
          el("div", { class: "body links" }, ...nodes.map((node) => nodeLink(app, node))),
        )
      : null,
  ];
}
