// Colours of boxes by what people want to see: a table of overlays, and what each makes of an item.

const OVERLAYS = {
  kind: "kind of op",
  origin: "forward or derivative",
  kernel: "kernel",
  flops: "operations",
  bytes: "bytes moved",
  ...(hasTimes ? { time: "time" } : {}),
};
const COSTS = new Set(["flops", "bytes", "time"]);

/** What a node costs: its own operations, or the bytes or time of its kernel. */
function costOf(overlay, node) {
  if (overlay === "flops") return value(entities[node].flops) * runsOf(node);
  const kernel = kernelsOf.get(node)?.[0];
  if (!kernel) return 0;
  return overlay === "time" ? timeOf(kernel) : kernelCost(kernel).bytes;
}

const mostOf = (overlay, nodes) => nodes.reduce((most, node) => Math.max(most, costOf(overlay, node)), 0);

/** The highest cost in a graph, against which all others are seen. */
const costBound = (overlay, graph) =>
  COSTS.has(overlay) ? Math.max(1e-12, mostOf(overlay, graph.order)) : 1;

/** Fill, how strong, and colour of the mark of an item; nothing where the kind of op decides. */
function paintOf(overlay, item, bound) {
  if (overlay === "kind") return {};
  const nodes = item.kind === "node" ? [item.node] : [...nodesIn(item.group)];
  if (overlay === "origin") return paintOrigin(item, nodes);
  if (overlay === "kernel") return paintKernel(nodes);
  const cost = mostOf(overlay, nodes);
  return {
    fill: theme.heat,
    strength: 0.75 * Math.sqrt(cost / bound),
    mark: cost ? theme.heat : theme.strong,
  };
}

function paintOrigin(item, nodes) {
  const derived = nodes.filter((node) => entities[node].origin).length / nodes.length;
  if (item.kind === "group")
    return { fill: theme.classes.reduction, strength: 0.3 * derived, mark: theme.classes.reduction };
  const colour = derived ? theme.classes.reduction : theme.classes.input;
  return { fill: colour, strength: 0.16, mark: colour };
}

function paintKernel(nodes) {
  const found = new Set(nodes.map((node) => kernelsOf.get(node)?.[0]).filter(Boolean));
  if (found.size !== 1) return { mark: theme.strong };
  const colour = kernelColour([...found][0]);
  return { fill: colour, strength: 0.17, mark: colour };
}

function legend(overlay, graph) {
  const present = new Set(graph.order.map((node) => entities[node].class));
  const rows = {
    kind: CLASSES.filter((kind) => present.has(kind)).map((kind) => [`var(--${kind})`, kind]),
    origin: [
      ["var(--input)", "forward"],
      ["var(--reduction)", "derivative"],
    ],
    kernel: [["var(--strong)", "a colour per kernel; grey: in none, or in several"]],
    flops: [["var(--heat)", "operations"]],
    bytes: [["var(--heat)", "bytes that the node's kernel moves"]],
    time: [["var(--heat)", "time of the node's kernel"]],
  }[overlay];
  return rows.map(([colour, text]) => el("span", {}, el("i", { style: { background: colour } }), text));
}
