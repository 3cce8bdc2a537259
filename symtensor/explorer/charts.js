// Charts drawn as SVG: memory over the steps of a call.

const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, given] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), given);
    else element.setAttribute(key, given);
  }
  element.append(...children);
  return element;
};

const SHARED = new Set(["temporary", "kept"]);
const BUFFER_COLOURS = {
  input: "input",
  variable: "variable",
  constant: "constant",
  output: "contraction",
  temporary: "elementwise",
  kept: "control",
  "call-out": "reduction",
};

/** Buffers as boxes over the steps in which they live, each as high as its bytes. */
function memoryChart(width, height, chosen, pick, tell) {
  const plan = data.memory,
    steps = Math.max(plan.steps, 1);
  const rows = plan.buffers
    .map(([name, kind, node, what, bytes, first, last]) => ({
      name,
      kind,
      node,
      what,
      bytes: value(bytes),
      text: formula(bytes),
      first,
      last: Math.max(last, first + 0.02),
    }))
    .filter((row) => row.bytes > 0);
  const shared = rows.filter((row) => SHARED.has(row.kind));
  const total = stack(shared);
  const left = 62,
    bottom = 24,
    top = 10,
    right = 12;
  const w = width - left - right,
    h = height - top - bottom;
  const x = (step) => left + (w * step) / steps,
    y = (bytes) => top + h - (h * bytes) / Math.max(total, 1);
  const chart = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    height,
    role: "img",
    "aria-label": "Temporaries over the steps of a call",
  });
  for (let i = 0; i <= 4; i += 1) {
    const bytes = (total * i) / 4;
    chart.append(svg("line", { class: "rule", x1: left, x2: width - right, y1: y(bytes), y2: y(bytes) }));
    const label = svg("text", { x: left - 8, y: y(bytes) + 4, "text-anchor": "end" });
    label.textContent = amount(bytes, "B");
    chart.append(label);
  }
  const stride = Math.max(1, Math.ceil(steps / 16));
  for (let i = 0; i < steps; i += stride) {
    const label = svg("text", { x: x(i + 0.5), y: height - 7, "text-anchor": "middle" });
    label.textContent = `k${i}`;
    chart.append(label);
  }
  for (const row of shared) {
    const end = Math.min(
      steps,
      row.last >= Math.floor(row.last) + 0.5 || row.last === Math.floor(row.last)
        ? Math.floor(row.last) + 1
        : row.last,
    );
    const box = svg("rect", {
      class: `box${row.node === chosen ? " current" : ""}`,
      x: x(row.first),
      width: Math.max(2, x(end) - x(row.first)),
      y: y(row.low + row.bytes),
      height: Math.max(1, y(row.low) - y(row.low + row.bytes)),
      rx: 2,
      fill: `var(--${BUFFER_COLOURS[row.kind] ?? "other"})`,
      "fill-opacity": 0.75,
      onclick: () => pick(row.node),
      onmousemove: (event) => tell(row, event),
      onmouseleave: () => tell(null),
    });
    chart.append(box);
  }
  return chart;
}

/** Give each buffer a height above which it lies free of those alive with it; return the top of all. */
function stack(rows) {
  const placed = [];
  let total = 0;
  for (const row of [...rows].sort((a, b) => b.bytes - a.bytes)) {
    const others = placed
      .filter((o) => o.first <= row.last && row.first <= o.last)
      .sort((a, b) => a.low - b.low);
    let low = 0;
    for (const other of others) {
      if (low + row.bytes <= other.low) break;
      low = Math.max(low, other.low + other.bytes);
    }
    row.low = low;
    placed.push(row);
    total = Math.max(total, low + row.bytes);
  }
  return total;
}
