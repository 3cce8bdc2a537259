// The page: what is selected, which pass is shown, keyboard, search; everything is drawn from this state.

const $ = (id) => document.getElementById(id);
const BOXES = 64; // boxes to be seen at first
const TABS = {
  kernels: ["Kernels", kernelsTab, () => kernels.length],
  memory: ["Memory", memoryTab, () => data.memory?.buffers.length ?? 0],
  remarks: ["Remarks", remarksTab, () => data.remarks.length],
  changes: ["Changes", changesTab, () => null],
  text: ["Text", textTab, () => null],
  passes: ["Passes", passesTab, () => data.passes.length],
};

class App {
  constructor() {
    this.stage = data.stages.length - 1;
    this.selection = { kind: "none", id: null };
    this.kernel = null;
    this.grouping = this.naturalGrouping();
    this.overlay = hasTimes ? "time" : "kind";
    this.tab = "kernels";
    this.diff = false;
    this.numbers = false;
    this.sorting = "";
    this.remarkKind = null;
    this.wholeDiff = false;
    this.rewriteAt = -1;
    this.opened = new Map(); // grouping -> ids of open groups
    this.past = [];
    const hooks = (view) => ({
      pick: (item) => this.pick(item),
      open: (item) => this.toggleGroup(item.group.id),
      paint: (item) => paintOf(this.overlay, item, this.bound),
      hover: (item, event) => this.hoverItem(item, event),
      state: () => this.viewState(view),
    });
    this.view = new GraphView(document.querySelector("#view-main canvas"), hooks("main"));
    this.other = new GraphView(document.querySelector("#view-before canvas"), hooks("before"));
    this.readAddress();
    this.setUp();
    this.rebuild();
    this.view.fit();
    this.renderAll();
  }

  // --- what is shown ------------------------------------------------------------------------------

  get graph() {
    return graphAt(this.stage);
  }
  get open() {
    return this.opened.get(this.grouping);
  }
  naturalGrouping() {
    const last = graphAt(data.stages.length - 1),
      boxes = last.order.filter((node) => !isNumber(node)).length;
    if (last.order.some((node) => entities[node].scope)) return "scope";
    return boxes > CROWD ? "line" : "scope";
  }
  rebuild() {
    const { graph } = this;
    this.root = groupTree(graph, this.grouping, this.numbers);
    this.groups = new Map();
    const note = (group) => {
      this.groups.set(group.id, group);
      group.children.forEach(note);
    };
    note(this.root);
    if (!this.open) this.opened.set(this.grouping, this.opening());
    this.bound = costBound(this.overlay, this.graph);
    if (this.diff && this.stage > 0) {
      showChanges(this);
      return;
    }
    const scene = buildScene(graph, this.root, this.open, this.numbers);
    const { kind, id } = this.selection;
    if (kind === "node") this.view.showAround(scene, (s) => s.itemOf.get(id));
    else this.view.show(scene);
    if (!this.view.touched) this.view.fit();
    this.caption("view-main", "");
    $("view-before").hidden = true;
  }
  /** Groups to open at first: as many as can be read at one glance. */
  opening() {
    const [w, h] = this.view.size;
    for (const limit of [BOXES, 40, 24, 12]) {
      const open = openingFor(this.root, limit),
        scene = buildScene(this.graph, this.root, open, this.numbers);
      if (Math.min((w - 48) / scene.w, (h - 84) / scene.h) > 0.6) return open;
    }
    return new Set();
  }
  caption(id, text) {
    document.querySelector(`#${id} .caption`).textContent = text;
  }

  viewState(view) {
    const { kind, id } = this.selection,
      found = this.stage > 0 ? changesAt(this.stage) : null;
    const graph = view === "before" ? graphAt(Math.max(0, this.stage - 1)) : this.graph;
    const isSelected = (item) =>
      (kind === "node" &&
        (item.node === id ||
          (item.kind === "group" &&
            (item.group.control === id || (!item.isOpen && this.holds(item.group, id)))))) ||
      (kind === "group" && item.kind === "group" && item.group.id === id);
    const lit = this.lit;
    return {
      isSelected,
      selectedItems: (scene) => (kind === "node" && scene.itemOf.has(id) ? [scene.itemOf.get(id)] : []),
      far: () => (kind === "node" && graph.has(id) ? [graph.inputs.get(id), graph.users.get(id)] : [[], []]),
      isDim: (item) => lit !== null && !this.anyLit(item),
      roleOf: (node) => graph.roles.get(node)?.join(", "),
      status: (node) => {
        if (!found || !this.diff) return null;
        if (view === "before")
          return found.removed.has(node) ? "removed" : found.rewired.has(node) ? "rewired" : null;
        return found.added.has(node) ? "added" : found.rewired.has(node) ? "rewired" : null;
      },
    };
  }
  holds(group, node) {
    group.members ??= new Set(nodesIn(group));
    return group.members.has(node);
  }
  anyLit(item) {
    if (item.kind === "node") return this.lit.has(item.node);
    item.group.members ??= new Set(nodesIn(item.group));
    for (const node of this.lit) if (item.group.members.has(node)) return true;
    return false;
  }
  /** Nodes that stand out, or null where nothing does. */
  findLit() {
    const { kind, id } = this.selection;
    if (kind === "kernel") return new Set(kernelNamed.get(id).nodes);
    if (kind === "line") return new Set(this.graph.order.filter((node) => entities[node].line === id));
    return null;
  }
  isLit(kind, id) {
    const chosen = this.selection;
    if (chosen.kind === kind && chosen.id === id) return true;
    if (chosen.kind === "node" && kind === "line") return entities[chosen.id].line === id;
    if (chosen.kind === "node" && kind === "kernel")
      return (kernelsOf.get(chosen.id) ?? []).some((k) => k.name === id);
    if (chosen.kind === "kernel" && kind === "line")
      return kernelNamed.get(chosen.id).nodes.some((node) => entities[node].line === id);
    if (chosen.kind === "line" && kind === "kernel")
      return kernelNamed.get(id).nodes.some((node) => entities[node].line === chosen.id);
    return kind === "node" && (this.lit?.has(id) ?? false);
  }

  // --- doing --------------------------------------------------------------------------------------

  select(kind, id, { reveal = true, remember = true } = {}) {
    if (remember && this.selection.kind !== "none") this.past.push(this.selection);
    this.selection = { kind, id };
    if (kind === "kernel") this.kernel = kernelNamed.get(id);
    this.lit = this.findLit();
    if (kind === "node" && reveal) this.reveal(id);
    if ((kind === "kernel" || kind === "line") && reveal && this.lit.size) this.revealLit();
    this.renderSelection();
  }
  clear() {
    this.selection = { kind: "none", id: null };
    this.lit = null;
    this.renderSelection();
  }
  back() {
    const last = this.past.pop();
    if (last) this.select(last.kind, last.id, { remember: false });
  }
  pick(item) {
    if (!item) this.clear();
    else if (item.kind === "node") this.select("node", item.node, { reveal: false });
    else this.select("group", item.group.id, { reveal: false });
  }
  /** Open what a node is in, and bring it into sight. */
  reveal(node) {
    if (this.diff && this.stage > 0) {
      const views = [this.view, this.other];
      if (!views.some((view) => view.scene.itemOf.has(node))) showChanges(this);
      for (const view of views) {
        const item = view.scene.itemOf.get(node);
        if (item) view.reveal(item);
      }
      return;
    }
    if (!this.graph.has(node)) return;
    let item = this.view.scene.itemOf.get(node);
    if (!item && isNumber(node)) {
      this.numbers = true;
      this.rebuild();
      item = this.view.scene.itemOf.get(node);
    }
    let changed = false;
    const find = (group) => {
      if (group.control === node) return true;
      if (group.nodes.includes(node) || group.children.some(find)) {
        if (group.id && !this.open.has(group.id)) {
          this.open.add(group.id);
          changed = true;
        }
        return true;
      }
      return false;
    };
    if (!item || item.node !== node) find(this.root);
    if (changed) this.rebuild();
    item = this.view.scene.itemOf.get(node);
    if (item) this.view.reveal(item);
  }
  revealLit() {
    const items = [...new Set([...this.lit].map((node) => this.view.scene.itemOf.get(node)).filter(Boolean))];
    if (!items.length) return;
    const { view } = this,
      [w, h] = view.size;
    const inView = items.some(
      (i) =>
        i.x * view.scale + view.dx > 0 &&
        i.x * view.scale + view.dx < w - 60 &&
        i.y * view.scale + view.dy > 0 &&
        i.y * view.scale + view.dy < h - 40,
    );
    if (!inView) view.reveal(items[0]);
  }
  toggleGroup(id) {
    if (this.diff) return;
    if (this.open.has(id)) this.open.delete(id);
    else this.open.add(id);
    const scene = buildScene(this.graph, this.root, this.open, this.numbers);
    this.view.showAround(scene, (s) => s.items.find((item) => item.kind === "group" && item.group.id === id));
    this.view.touched = true;
    this.renderInspector();
  }
  openMore() {
    const closed = [...this.groups.values()].filter(
      (g) => g.id && !this.open.has(g.id) && (g.parent === this.root || this.open.has(g.parent.id)),
    );
    for (const group of closed) this.open.add(group.id);
    this.rebuild();
  }
  foldAll() {
    this.open.clear();
    this.view.touched = false;
    this.rebuild();
    this.view.fit();
  }
  setStage(stage) {
    if (stage < 0 || stage >= data.stages.length || stage === this.stage) return;
    this.stage = stage;
    this.rewriteAt = -1;
    this.wholeDiff = false;
    this.lit = this.findLit();
    this.rebuild();
    this.renderAll();
    this.say(`pass ${data.stages[stage].name}`);
  }
  setGrouping(grouping) {
    this.grouping = grouping;
    this.view.touched = false;
    this.rebuild();
    this.view.fit();
    this.renderAll();
  }
  setOverlay(overlay) {
    this.overlay = overlay;
    this.bound = costBound(this.overlay, this.graph);
    this.renderAll();
  }
  setDiff(diff) {
    this.diff = diff;
    if (diff) {
      this.tab = "changes";
      if (this.stage === 0 && data.stages.length > 1) this.stage = 1;
    }
    this.view.touched = false;
    this.rebuild();
    this.renderAll();
    requestAnimationFrame(() => {
      this.view.resized();
      this.view.fit();
    });
  }
  setTab(tab) {
    this.tab = tab;
    this.renderTab();
    this.writeAddress();
  }
  /** Go through the places where a rule fired. */
  nextRewrite(rule) {
    const all = data.stages[this.stage].rewrites
      .map((row, i) => [row, i])
      .filter(([row]) => row[0] === rule && (row[3] >= 0 || row[1] >= 0));
    if (!all.length) return;
    const [row, i] = all.find(([, place]) => place > this.rewriteAt) ?? all[0];
    this.rewriteAt = i;
    this.select("node", this.graph.has(row[3]) ? row[3] : row[1]);
    this.say(`${rule}: ${row[2]} became ${row[4]}`);
  }
  openCard(name) {
    const found = $("inspector").querySelector(`[data-card="${name}"]`);
    if (!found) return;
    found.open = true;
    found.scrollIntoView({ block: "start" });
  }
  say(text) {
    $("say").textContent = text;
  }

  // --- drawing the page ---------------------------------------------------------------------------

  renderAll() {
    this.renderStages();
    this.renderBar();
    this.renderSelection();
    $("legend").replaceChildren(...legend(this.overlay, this.graph));
  }
  renderSelection() {
    this.renderSource();
    this.renderInspector();
    this.renderTab();
    this.view.redraw();
    this.other.redraw();
    this.writeAddress();
    const { kind, id } = this.selection;
    if (kind === "node") this.say(nodeText(id, this.graph));
    else if (kind !== "none") this.say(`${kind} ${kind === "line" ? lineName(id) : id}`);
  }
  renderSource() {
    const panel = $("source");
    const isChosen = panel.querySelector(".chosen");
    panel.replaceChildren(...sourcePanel(this));
    const chosen = panel.querySelector(".chosen");
    if (chosen && chosen !== isChosen) chosen.scrollIntoView({ block: "nearest" });
  }
  renderInspector() {
    const panel = $("inspector");
    for (const found of panel.querySelectorAll("details")) cards.set(found.dataset.card, found.open);
    panel.replaceChildren(...inspectorPanel(this).filter(Boolean));
    for (const found of panel.querySelectorAll("details")) {
      if (
        ["LLVM", "Assembly", "Loops", "Kernel"].includes(found.dataset.card) &&
        cards.has(found.dataset.card)
      )
        found.open = cards.get(found.dataset.card);
      const fill = () => {
        for (const holder of found.children) holder.make?.();
      };
      found.addEventListener("toggle", () => {
        if (found.open) fill();
      });
      if (found.open) fill();
    }
    panel.scrollTop = 0;
  }
  renderTab() {
    $("tabs").replaceChildren(
      ...Object.entries(TABS).map(([name, [title, , count]]) =>
        el(
          "button",
          {
            role: "tab",
            "aria-selected": String(name === this.tab),
            "data-tab": name,
            onclick: () => this.setTab(name),
          },
          title,
          count() === null ? null : el("small", {}, String(count())),
        ),
      ),
    );
    const pane = $("pane"),
      top = pane.scrollTop,
      same = pane.dataset.tab === this.tab;
    pane.replaceChildren(...TABS[this.tab][1](this).filter(Boolean));
    pane.dataset.tab = this.tab;
    pane.scrollTop = same ? top : 0;
    if (this.tab === "text" || this.tab === "kernels")
      pane.querySelector(".chosen, .current")?.scrollIntoView({ block: "nearest" });
  }
  renderStages() {
    $("stops").replaceChildren(
      ...data.stages.map((stage, i) => {
        const found = changesAt(i),
          name = i === 0 ? "as defined" : stage.name.replaceAll("_", " ");
        return el(
          "button",
          {
            class: `stop${i === this.stage ? " current" : ""}`,
            role: "listitem",
            title: `${stage.name}: ${stage.reason}`,
            onclick: () => this.setStage(i),
            "aria-current": i === this.stage ? "step" : undefined,
          },
          el("b", {}, name),
          i
            ? el(
                "small",
                {},
                found.removed.size ? el("span", { class: "minus" }, `−${found.removed.size}`) : "",
                " ",
                found.added.size ? el("span", { class: "plus" }, `+${found.added.size}`) : "",
              )
            : el("small", {}, String(this.nodesAt(0))),
        );
      }),
    );
    const slider = $("slider");
    slider.max = data.stages.length - 1;
    slider.value = this.stage;
    slider.setAttribute("aria-valuetext", data.stages[this.stage].name);
    slider.style.marginLeft = slider.style.width = "";
    const part = 100 / data.stages.length;
    slider.style.marginLeft = `calc(${part / 2}% - 8px)`;
    slider.style.width = `calc(${100 - part}% + 16px)`;
    const stage = data.stages[this.stage],
      rules = Object.values(stage.fired).reduce((a, b) => a + b, 0);
    $("stage-facts").textContent =
      this.stage === 0
        ? `${this.nodesAt(0)} nodes, as you wrote them`
        : `${this.nodesAt(this.stage)} nodes${rules ? `, rules fired ${rules} times` : ""}, ${duration(stage.seconds)}. ${stage.reason ? `${stage.reason[0].toUpperCase()}${stage.reason.slice(1)}.` : ""}`;
    $("diff").setAttribute("aria-pressed", String(this.diff));
  }
  nodesAt(i) {
    return data.stages[i].graph.nodes.length;
  }
  renderBar() {
    const options = (select, table, chosen) =>
      select.replaceChildren(
        ...Object.entries(table).map(([key, text]) =>
          el("option", { value: key, selected: key === chosen }, text),
        ),
      );
    options($("group"), GROUPINGS, this.grouping);
    options($("overlay"), OVERLAYS, this.overlay);
    $("constants").setAttribute("aria-pressed", String(this.numbers));
  }
  hoverItem(item, event) {
    if (!item) {
      this.tip(null);
      return;
    }
    if (item.kind === "group") {
      this.tip(
        [
          el("b", {}, item.group.name),
          el(
            "div",
            { class: "muted" },
            `${item.group.count} nodes; double-click to ${item.isOpen ? "fold" : "open"}`,
          ),
        ],
        event,
      );
      return;
    }
    const entity = entities[item.node],
      kernel = kernelsOf.get(item.node)?.[0];
    this.tip(
      [
        el("b", {}, swatch(entity.class), `${entity.title} `),
        el("code", {}, entity.type),
        entity.line === undefined
          ? null
          : el(
              "div",
              {},
              el("span", { class: "muted" }, `${lineName(entity.line)}  `),
              el("code", {}, cut(sourceText(entity.line), 70)),
            ),
        kernel
          ? el(
              "div",
              { class: "muted" },
              `${kernel.name} · ${kernel.kind}${hasTimes ? ` · ${duration(timeOf(kernel))}` : ""}`,
            )
          : null,
      ],
      event,
    );
  }
  tip(children, event) {
    const tip = $("tip");
    tip.hidden = !children;
    if (!children) return;
    tip.replaceChildren(...children.filter(Boolean));
    const area = $("views").getBoundingClientRect();
    const x = event.clientX - area.left + 14,
      y = event.clientY - area.top + 14;
    tip.style.left = `${Math.min(x, area.width - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(y, Math.max(8, area.height - tip.offsetHeight - 8))}px`;
  }

  // --- address, keyboard, search ------------------------------------------------------------------

  readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const number = Number(given.get("stage") ?? NaN);
    if (Number.isInteger(number) && number >= 0 && number < data.stages.length) this.stage = number;
    if (given.get("group") in GROUPINGS) this.grouping = given.get("group");
    if (given.get("overlay") in OVERLAYS) this.overlay = given.get("overlay");
    if (given.get("tab") in TABS) this.tab = given.get("tab");
    this.diff = given.get("diff") === "1";
    const node = Number(given.get("node") ?? NaN),
      kernel = given.get("kernel"),
      line = Number(given.get("line") ?? NaN);
    if (Number.isInteger(node) && entities[node]) this.start = ["node", node];
    else if (kernelNamed.has(kernel)) this.start = ["kernel", kernel];
    else if (Number.isInteger(line) && data.lines[line]) this.start = ["line", line];
  }
  writeAddress() {
    const { kind, id } = this.selection,
      words = new URLSearchParams({
        stage: this.stage,
        group: this.grouping,
        overlay: this.overlay,
        tab: this.tab,
      });
    if (this.diff) words.set("diff", "1");
    if (["node", "kernel", "line"].includes(kind)) words.set(kind, id);
    try {
      history.replaceState(null, "", `#${words}`);
    } catch {
      /* some browsers refuse it for files */
    }
  }
  setUp() {
    $("name").textContent = data.name;
    $("name").title = data.name;
    $("facts").textContent =
      `${data.engine} · ${this.nodesAt(data.stages.length - 1)} nodes · ${kernels.length} steps`;
    for (const name of Object.keys(sizes)) {
      const input = el("input", { type: "number", min: 0, value: sizes[name], "aria-label": `size ${name}` });
      input.addEventListener("change", () => {
        sizes[name] = Math.max(0, Math.floor(Number(input.value) || 0));
        this.bound = costBound(this.overlay, this.graph);
        this.renderAll();
      });
      $("sizes").append(el("label", {}, `${name} `, input));
    }
    this.setTheme(stored("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    $("theme").onclick = () => this.flipTheme();
    $("help-button").onclick = () => this.toggleHelp();
    $("slider").oninput = (event) => this.setStage(Number(event.target.value));
    $("diff").onclick = () => this.setDiff(!this.diff);
    $("group").onchange = (event) => this.setGrouping(event.target.value);
    $("overlay").onchange = (event) => this.setOverlay(event.target.value);
    $("constants").onclick = () => this.flipNumbers();
    $("open-all").onclick = () => this.openMore();
    $("close-all").onclick = () => this.foldAll();
    $("fit").onclick = () => this.view.fit(true);
    document.addEventListener("keydown", (event) => this.key(event));
    splitters(() => {
      this.view.resized();
      this.other.resized();
      this.renderTab();
    });
    new Search(this);
    if (this.start) {
      this.selection = { kind: this.start[0], id: this.start[1] };
      if (this.start[0] === "kernel") this.kernel = kernelNamed.get(this.start[1]);
    }
    this.lit = this.findLit();
    if (this.start?.[0] === "node") requestAnimationFrame(() => this.reveal(this.start[1]));
  }
  setTheme(name) {
    document.documentElement.dataset.theme = name;
    readTheme();
  }
  flipTheme() {
    const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    this.setTheme(name);
    store("theme", name);
    this.view.redraw();
    this.other.redraw();
  }
  flipNumbers() {
    this.numbers = !this.numbers;
    this.rebuild();
    this.renderBar();
  }
  toggleHelp() {
    const help = $("help");
    help.hidden = !help.hidden;
    if (help.hidden) return;
    help.replaceChildren(helpBox());
    help.onclick = () => this.toggleHelp();
  }
  key(event) {
    if (
      event.target.matches("input:not([type=range]), select") ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey
    )
      return;
    const found = KEYS[event.key];
    if (!found) return;
    if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
    if (event.target.matches("button, summary") && event.key === "Enter") return;
    if (event.target.matches("[data-press]") && event.key === "Enter") return event.target.click();
    event.preventDefault();
    found[2](this);
  }
  enter() {
    const { kind, id } = this.selection;
    if (kind === "group") this.toggleGroup(id);
    else if (kind === "node") {
      const item = this.view.scene.itemOf.get(id);
      if (item?.kind === "group") this.toggleGroup(item.group.id);
    }
  }
}
const cards = new Map(); // title of a card -> whether it was left open

const app = new App();
globalThis.explorer = app; // for the console, and for tests
document.documentElement.dataset.ready = "true";
