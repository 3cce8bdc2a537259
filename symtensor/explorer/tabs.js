// The tables below the graph.

const MOST_KERNELS = 1000; // rows of the table

function kernelsTab(app) {
  if (!kernels.length)
    return [el("p", { class: "empty" }, `The engine ${data.engine} does not tell its kernels.`)];
  const rows = kernels.map((kernel) => ({ kernel, ...kernelCost(kernel), seconds: timeOf(kernel) }));
  const most = { flops: 1, bytes: 1, seconds: 1e-12 };
  for (const row of rows) for (const key of Object.keys(most)) most[key] = Math.max(most[key], row[key]);
  const by = app.sorting;
  if (by) rows.sort((a, b) => b[by] - a[by]);
  const bar = (share, hot) =>
    el("span", { class: `bar${hot ? " hot" : ""}` }, el("i", { style: { width: `${100 * share}%` } }));
  const head = (text, key, number) =>
    el(
      "th",
      {
        class: number ? "number" : "",
        "aria-sort": key === null ? undefined : by === key ? "descending" : "none",
        onclick:
          key === null
            ? undefined
            : () => {
                app.sorting = by === key ? "" : key;
                app.renderTab();
              },
      },
      text,
      by === key && key ? " ↓" : "",
    );
  const table = el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        head("step", ""),
        head("kind", null),
        head("computes", null),
        head("code", null),
        head("runs", null, true),
        head("FLOP", "flops", true),
        head("", null),
        head("bytes", "bytes", true),
        head("", null),
        head("FLOP/B", null, true),
        hasTimes ? head("time", "seconds", true) : null,
        hasTimes ? head("", null) : null,
        hasTimes ? head("of limit", null, true) : null,
      ),
    ),
  );
  const body = el("tbody");
  const at = rows.findIndex(({ kernel }) => app.isLit("kernel", kernel.name));
  const start = at >= MOST_KERNELS ? at - MOST_KERNELS / 2 : 0;
  for (const { kernel, flops, bytes, runs, seconds } of rows.slice(start, start + MOST_KERNELS)) {
    const outputs = kernel.outputs.map((x) => `${entities[x].op} ${entities[x].type}`).join(", ");
    const depth = kernel.name.split(".").length - 1;
    body.append(
      el(
        "tr",
        {
          class: app.isLit("kernel", kernel.name) ? "current" : "",
          "data-kernel": kernel.name,
          onclick: () => app.select("kernel", kernel.name),
        },
        el(
          "td",
          { class: "mono", style: { paddingLeft: `${10 + 14 * depth}px` } },
          el("span", { class: "swatch", style: { background: kernelColour(kernel) } }),
          kernel.name,
        ),
        el("td", {}, kernel.kind),
        el("td", { class: "mono long", title: outputs }, outputs),
        el("td", { class: "mono muted" }, kernel.function),
        el("td", { class: "number" }, runs === 1 ? "" : amount(runs, "")),
        el("td", { class: "number" }, flops ? amount(flops, "") : ""),
        el("td", {}, bar(flops / most.flops)),
        el("td", { class: "number" }, bytes ? amount(bytes, "B") : ""),
        el("td", {}, bar(bytes / most.bytes)),
        el("td", { class: "number" }, bytes && flops ? (flops / bytes).toPrecision(2) : ""),
        hasTimes ? el("td", { class: "number" }, duration(seconds)) : null,
        hasTimes ? el("td", {}, bar(seconds / most.seconds, true)) : null,
        hasTimes ? el("td", { class: "number" }, limitText(kernel)) : null,
      ),
    );
  }
  table.append(body);
  const hidden = rows.length - body.children.length;
  return [
    table,
    hidden
      ? el("p", { class: "empty" }, `${hidden} more: sort, search, or select a node to see its kernel`)
      : null,
  ];
}

const kernelColour = (kernel) => `hsl(${(kernel.index * 137.5) % 360} 62% 56%)`;

function memoryTab(app) {
  if (!data.memory)
    return [el("p", { class: "empty" }, `The engine ${data.engine} does not plan its memory.`)];
  const pane = document.getElementById("pane");
  const sums = new Map();
  for (const [, kind, , , bytes] of data.memory.buffers) sums.set(kind, (sums.get(kind) ?? 0) + value(bytes));
  const chips = el(
    "div",
    { class: "chips" },
    el(
      "span",
      { class: "muted" },
      "peak ",
      el("b", {}, amount(value(data.memory.peak), "B")),
      el("span", { class: "mono" }, `  =  ${formula(data.memory.peak)}`),
    ),
  );
  const kinds = el(
    "div",
    { class: "chips" },
    ...[...sums].map(([kind, bytes]) =>
      el(
        "span",
        { class: "muted" },
        swatch(BUFFER_COLOURS[kind] ?? "other"),
        `${kind} ${amount(bytes, "B")}`,
      ),
    ),
    data.memory.scratch
      ? el("span", { class: "muted" }, `scratch ${amount(data.memory.scratch, "B")}`)
      : null,
  );
  const chart = memoryChart(
    Math.max(560, pane.clientWidth - 12),
    Math.max(150, pane.clientHeight - 74),
    app.selection.kind === "node" ? app.selection.id : -1,
    (node) => node >= 0 && app.select("node", node),
    (row, event) =>
      app.tip(
        row && [
          el("b", {}, `${row.name} · ${row.kind}`),
          el("div", {}, row.what),
          el("code", {}, `${amount(row.bytes, "B")} = ${row.text}, steps ${row.first} to ${row.last}`),
        ],
        event,
      ),
  );
  return [chips, kinds, chart];
}

function remarksTab(app) {
  const kinds = new Map();
  for (const [kind] of data.remarks) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  if (!kinds.size) return [el("p", { class: "empty" }, "Nothing to remark.")];
  const chips = el(
    "div",
    { class: "chips" },
    ...[...kinds].map(([kind, n]) =>
      el(
        "button",
        {
          class: "chip toggle",
          "aria-pressed": String(app.remarkKind === kind),
          onclick: () => {
            app.remarkKind = app.remarkKind === kind ? null : kind;
            app.renderTab();
          },
        },
        kind,
        el("small", {}, String(n)),
      ),
    ),
  );
  const body = el("tbody"),
    rows = data.remarks.filter(([kind]) => !app.remarkKind || kind === app.remarkKind);
  for (const [kind, node, what, why, into, where] of rows.slice(0, 1500)) {
    const line = node >= 0 ? entities[node].line : undefined;
    body.append(
      el(
        "tr",
        {
          class: app.isLit("node", node) ? "current" : "",
          onclick: () => node >= 0 && app.select("node", node),
        },
        el("td", {}, el("b", {}, kind)),
        el("td", { class: "mono" }, cut(what, 56)),
        el("td", { class: "wide" }, why, into.length ? ` → ${into.map(([, text]) => text).join(", ")}` : ""),
        el("td", { class: "muted" }, where),
        el("td", { class: "mono muted" }, line === undefined ? "" : lineName(line)),
      ),
    );
  }
  return [
    chips,
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el("tr", {}, ...["decision", "node", "why", "by", "line"].map((text) => el("th", {}, text))),
      ),
      body,
    ),
    rows.length > 1500 ? el("p", { class: "empty" }, `${rows.length - 1500} more: choose a kind`) : null,
  ];
}

function passesTab(app) {
  const body = el("tbody"),
    most = Math.max(...data.passes.map((p) => p.seconds), 1e-9);
  for (const pass of data.passes) {
    const stage = data.stages.findIndex((s) => s.name === pass.name),
      found = data.stages[stage];
    const fired = Object.entries(found?.fired ?? {})
      .sort((a, b) => b[1] - a[1])
      .map(([rule, n]) => `${rule} ×${n}`)
      .join("; ");
    const delta = pass.after - pass.before;
    body.append(
      el(
        "tr",
        {
          class: stage === app.stage && stage > 0 ? "current" : "",
          onclick: () => stage > 0 && app.setStage(stage),
        },
        el("td", {}, pass.changed ? el("b", {}, pass.name) : el("span", { class: "muted" }, pass.name)),
        el("td", { class: "number" }, String(pass.before)),
        el("td", { class: "number" }, String(pass.after)),
        el(
          "td",
          { class: `number ${delta < 0 ? "plus" : delta > 0 ? "moved" : "muted"}` },
          delta ? (delta > 0 ? `+${delta}` : String(delta)) : "0",
        ),
        el("td", { class: "number" }, duration(pass.seconds)),
        el(
          "td",
          {},
          el("span", { class: "bar" }, el("i", { style: { width: `${(100 * pass.seconds) / most}%` } })),
        ),
        el("td", { class: "wide muted" }, fired || found?.reason || ""),
      ),
    );
  }
  return [
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ...[
            ["pass"],
            ["before", 1],
            ["after", 1],
            ["change", 1],
            ["time", 1],
            [""],
            ["rules that fired"],
          ].map(([text, number]) => el("th", { class: number ? "number" : "" }, text)),
        ),
      ),
      body,
    ),
  ];
}

function textTab(app) {
  const rows = graphRows(app.graph),
    block = el("div", { class: "code" });
  rows.slice(0, MOST_ROWS).forEach(([text, node], i) => {
    block.append(
      el(
        "div",
        {
          class: `row${node === null ? "" : " live"}${node !== null && app.isLit("node", node) ? " chosen" : ""}`,
          "data-node": node ?? undefined,
          onclick: node === null ? undefined : () => app.select("node", node),
        },
        el("span", { class: "n" }, String(i + 1)),
        el("span", {}, ...coloured(text, "ir")),
      ),
    );
  });
  if (rows.length > MOST_ROWS)
    block.append(el("div", { class: "row gap" }, `${rows.length - MOST_ROWS} more lines`));
  return [block];
}
