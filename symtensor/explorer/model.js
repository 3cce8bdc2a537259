// What the data says, as objects: sizes, graphs of stages, groups, kernels. Knows nothing of the page.

const data = JSON.parse(document.getElementById("data").textContent);
const entities = data.entities;

/** Values of the symbolic sizes; the page lets people change them. */
const sizes = Object.fromEntries(Object.entries(data.sizes).map(([name, value]) => [name, value ?? 64]));

/** The value of a formula for the present sizes. */
function value(dim) {
  if (typeof dim === "number") return dim;
  let total = 0;
  for (const [coefficient, atoms] of dim.terms) {
    let term = coefficient;
    for (const atom of atoms) {
      if (typeof atom === "string") term *= sizes[atom] ?? 1;
      else if (atom[0] === "//") term *= Math.floor(value(atom[1]) / value(atom[2]));
      else term *= Math.max(value(atom[1]), value(atom[2]));
    }
    total += term;
  }
  return total;
}

const formula = (dim) => (typeof dim === "number" ? dim.toLocaleString("en") : dim.text);

function amount(number, unit) {
  if (!Number.isFinite(number)) return "–";
  const names = unit === "B" ? ["B", "KB", "MB", "GB", "TB"] : ["", "K", "M", "G", "T", "P"];
  let i = 0;
  while (Math.abs(number) >= 1000 && i < names.length - 1) {
    number /= 1000;
    i += 1;
  }
  const digits = i === 0 ? (Number.isInteger(number) ? 0 : 2) : number < 10 ? 2 : number < 100 ? 1 : 0;
  return `${number.toFixed(digits)} ${names[i]}${unit === "B" ? "" : (unit ?? "")}`.trim();
}

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1e-3) return `${(seconds * 1e6).toPrecision(3)} µs`;
  return seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

// --- graphs ---------------------------------------------------------------------------------------

/** The graph after a pass, bodies of control flow included. */
class StageGraph {
  constructor(stage) {
    this.stage = stage;
    this.order = []; // entities, producers first; a body follows its node
    this.inputs = new Map();
    this.users = new Map();
    this.roles = new Map(); // entity -> "output 0", "next W", …
    this.bodies = new Set(); // entities that have bodies
    this.altered = new Set(); // those that the pass changed while they stay the same
    this.walk(stage.graph, true);
    this.place = new Map(this.order.map((node, i) => [node, i]));
  }
  walk(graph, isWhole) {
    for (const node of graph.altered) this.altered.add(node);
    for (const node of graph.nodes) {
      const inputs = graph.inputs[node] ?? entities[node].inputs;
      this.order.push(node);
      this.inputs.set(node, inputs);
      if (!this.users.has(node)) this.users.set(node, []);
      for (const x of new Set(inputs)) this.users.get(x).push(node);
      for (const [, body] of graph.bodies[node] ?? []) {
        this.bodies.add(node);
        this.walk(body, false);
      }
    }
    if (!isWhole) return;
    const say = (node, role) => this.roles.set(node, [...(this.roles.get(node) ?? []), role]);
    graph.outputs.forEach((node, i) => say(node, graph.outputs.length > 1 ? `output ${i}` : "output"));
    for (const [target, next] of graph.updates)
      say(next, `next ${entities[target].name ?? entities[target].label}`);
  }
  has(node) {
    return this.inputs.has(node);
  }
}

const graphs = data.stages.map(() => null);
const graphAt = (i) => (graphs[i] ??= new StageGraph(data.stages[i]));

/** What a stage changed: sets of entities added, removed, and reading other operands. */
function changes(i) {
  const now = graphAt(i);
  const found = { added: new Set(), removed: new Set(), rewired: new Set() };
  if (i === 0) return found;
  const before = graphAt(i - 1);
  for (const node of now.order) {
    if (!before.has(node)) found.added.add(node);
    else if (now.altered.has(node) || String(now.inputs.get(node)) !== String(before.inputs.get(node)))
      found.rewired.add(node);
  }
  for (const node of before.order) if (!now.has(node)) found.removed.add(node);
  return found;
}
const stageChanges = data.stages.map(() => null);
const changesAt = (i) => (stageChanges[i] ??= changes(i));

/** A number that needs no box of its own: it is shown in the boxes that read it. */
const isNumber = (node) => entities[node].value !== undefined;

// --- kernels, lines -------------------------------------------------------------------------------

const kernels = data.kernels;
kernels.forEach((kernel, i) => {
  kernel.index = i;
  kernel.set = new Set(kernel.nodes);
});
const kernelsOf = new Map(); // entity -> kernels that compute it
for (const kernel of kernels) {
  for (const node of kernel.nodes) kernelsOf.set(node, [...(kernelsOf.get(node) ?? []), kernel]);
}
const kernelNamed = new Map(kernels.map((kernel) => [kernel.name, kernel]));
const remarksOf = new Map();
for (const remark of data.remarks) remarksOf.set(remark[1], [...(remarksOf.get(remark[1]) ?? []), remark]);

const kernelCost = (kernel) => {
  const runs = value(kernel.runs),
    moved = value(kernel.read) + value(kernel.written);
  return { flops: value(kernel.flops) * runs, bytes: moved * runs, runs };
};

const lineName = (line) => {
  const [file, number] = data.lines[line];
  return `${file.split(/[\\/]/).pop()}:${number}`;
};
const sourceText = (line) => {
  const [file, number] = data.lines[line];
  return (data.source[file]?.[number] ?? "").trim();
};

const times = new Map(); // kernel name -> seconds, where a profile was given
for (const row of data.profile?.kernels ?? []) times.set(row.name, row);
const hasTimes = times.size > 0;

/** Seconds of a kernel in one call. */
const timeOf = (kernel) => times.get(kernel.name)?.seconds ?? 0;

// --- groups ---------------------------------------------------------------------------------------

const CROWD = 220,
  PART = 60; // nodes beside each other that are folded into parts, and their size

const GROUPINGS = {
  scope: "scope",
  line: "line of code",
  kernel: "kernel",
  none: "nothing",
};

function pathOf(node, grouping, graph) {
  const entity = entities[node];
  if (grouping === "none") return [];
  if (grouping === "line")
    return entity.line === undefined ? [] : [`${lineName(entity.line)}  ${sourceText(entity.line)}`];
  if (grouping === "kernel") {
    const kernel = kernelsOf.get(node)?.[0];
    return kernel && kernel.kind !== "loop" ? [`${kernel.name}  ${kernel.kind}`] : [];
  }
  let parts = (entity.scope ?? "").split("/").filter(Boolean);
  if (entity.within >= 0) {
    const outer = (entities[entity.within].scope ?? "").split("/").filter(Boolean);
    if (outer.every((name, i) => parts[i] === name)) parts = parts.slice(outer.length);
    return parts;
  }
  if (entity.origin) parts = [`${entity.origin}s`, ...parts];
  return parts;
}

/** The tree of groups of a graph; leaves are entities. Bodies of control flow are groups. */
function groupTree(graph, grouping, showNumbers, only = null) {
  const root = { id: "", name: "", parent: null, children: [], nodes: [], control: null };
  const groups = new Map([["", root]]);
  const child = (parent, name, control = null) => {
    const id = control === null ? `${parent.id}/${name}` : `${parent.id}/#${control}`;
    if (!groups.has(id)) {
      const made = { id, name, parent, children: [], nodes: [], control };
      groups.set(id, made);
      parent.children.push(made);
    }
    return groups.get(id);
  };
  const homes = new Map(); // control node -> its group
  for (const node of graph.order) {
    if (only && !only.has(node)) continue;
    if (!showNumbers && isNumber(node) && !graph.roles.has(node) && !only) continue;
    const within = entities[node].within;
    let home = within >= 0 ? (homes.get(within) ?? root) : root;
    for (const name of pathOf(node, grouping, graph)) home = child(home, name);
    if (graph.bodies.has(node) && !only) homes.set(node, child(home, entities[node].title, node));
    else home.nodes.push(node);
  }
  if (grouping === "scope" && !only) gather(root, child);
  if (!only && (grouping !== "none" || graph.order.length > FLAT)) split(root, child);
  tidy(root);
  measure(root, graph);
  return root;
}

const FLAT = 8000; // nodes up to which they are all drawn beside each other when nothing groups them
const LOOSE = 14; // nodes beside groups that are left as they are

/** Group many nodes that stand beside groups, in no scope of their own, by line. */
function gather(group, child) {
  for (const inner of [...group.children]) gather(inner, child);
  if (!group.children.length || group.nodes.length <= LOOSE) return;
  const nodes = group.nodes;
  group.nodes = [];
  for (const node of nodes) {
    const { line } = entities[node];
    const home = line === undefined ? group : child(group, `${lineName(line)}  ${sourceText(line)}`);
    home.nodes.push(node);
  }
}

/** Fold what would be too many nodes beside each other into parts. */
function split(group, child) {
  for (const inner of [...group.children]) split(inner, child);
  if (group.nodes.length <= CROWD) return;
  const nodes = group.nodes;
  group.nodes = [];
  for (let i = 0; i < nodes.length; i += PART) {
    const part = child(group, `${i + 1}–${Math.min(i + PART, nodes.length)}`);
    part.nodes.push(...nodes.slice(i, i + PART));
  }
}

/** Groups of one node are that node; groups of one group are that group. */
function tidy(group) {
  const kept = [];
  for (let inner of group.children) {
    tidy(inner);
    while (
      inner.control === null &&
      !inner.nodes.length &&
      inner.children.length === 1 &&
      inner.children[0].control === null
    ) {
      const only = inner.children[0];
      inner = Object.assign(only, { name: `${inner.name}/${only.name}` });
    }
    inner.parent = group;
    if (inner.control === null && !inner.children.length && inner.nodes.length === 1)
      group.nodes.push(inner.nodes[0]);
    else if (inner.children.length || inner.nodes.length || inner.control !== null) kept.push(inner);
  }
  group.children = kept;
}

/** Count nodes and give each group its place in the order of the graph. */
function measure(group, graph) {
  let count = group.nodes.length,
    sum = 0;
  const all = [...group.nodes];
  if (group.control !== null) all.push(group.control);
  for (const node of all) sum += graph.place.get(node);
  let weight = all.length;
  for (const inner of group.children) {
    measure(inner, graph);
    count += inner.count;
    sum += inner.rank * inner.weight;
    weight += inner.weight;
  }
  Object.assign(group, { count, weight, rank: weight ? sum / weight : 0 });
}

function* nodesIn(group) {
  if (group.control !== null) yield group.control;
  yield* group.nodes;
  for (const inner of group.children) yield* nodesIn(inner);
}

/** Open groups from the outside in while no more than `limit` boxes are to be seen. */
function openingFor(root, limit) {
  const open = new Set();
  let seen = root.nodes.length + root.children.length;
  let level = [...root.children];
  while (level.length) {
    const next = [];
    for (const group of [...level].sort((a, b) => a.count - b.count)) {
      const more = group.nodes.length + group.children.length;
      if (seen + more > limit) continue;
      open.add(group.id);
      seen += more;
      next.push(...group.children);
    }
    level = next;
  }
  return open;
}
