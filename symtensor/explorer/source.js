// The panel on the left: the lines that built nodes, and how much of the work each is.

/** Share of each line in the time of all kernels, or in their operations and bytes. */
function lineShares() {
  const shares = new Map();
  let total = 0;
  for (const kernel of kernels) {
    const cost = kernelCost(kernel),
      whole = hasTimes ? timeOf(kernel) : cost.flops + cost.bytes;
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
  const shares = lineShares(),
    byPlace = new Map();
  data.lines.forEach(([file, number], line) => byPlace.set(`${file}:${number}`, line));
  const pieces = [];
  for (const [file, lines] of Object.entries(data.source)) {
    pieces.push(el("div", { class: "file", title: file }, `\u200e${file}`));
    const block = el("div", { class: "code" });
    let last = null;
    for (const [number, text] of Object.entries(lines).map(([n, t]) => [Number(n), t])) {
      if (last !== null && number > last + 1)
        block.append(el("div", { class: "row gap" }, el("span", { class: "n" }, "⋯")));
      last = number;
      const line = byPlace.get(`${file}:${number}`),
        share = shares.get(line) ?? 0;
      const live = line !== undefined;
      block.append(
        el(
          "div",
          {
            class: `row${live ? " live marked-line" : ""}${app.isLit("line", line) ? " chosen" : ""}`,
            "data-line": live ? line : undefined,
            title:
              live && share
                ? `${(100 * share).toFixed(1)} % of ${hasTimes ? "the time" : "operations and bytes"}`
                : undefined,
            onclick: live ? () => app.select("line", line) : undefined,
          },
          el("span", {
            class: "heat",
            style: {
              background: share > 0.004 ? "var(--heat)" : "transparent",
              opacity: String(0.25 + 0.75 * Math.sqrt(share)),
            },
          }),
          el("span", { class: "n", style: { opacity: live ? "1" : "" } }, String(number)),
          el("span", {}, ...coloured(text, "python"), "\u200b"),
        ),
      );
    }
    pieces.push(block);
  }
  if (!pieces.length) pieces.push(el("p", { class: "empty" }, "No node of this function knows its line."));
  return pieces;
}
