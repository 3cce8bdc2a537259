// Searching nodes and kernels.

class Search {
  constructor(app) {
    this.app = app;
    this.hits = [];
    this.at = 0;
    this.input = $("query");
    this.list = $("hits");
    this.input.addEventListener("input", () => this.run());
    this.input.addEventListener("focus", () => this.run());
    this.input.addEventListener("blur", () => {
      this.list.hidden = true;
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.step(event.key === "ArrowDown" ? 1 : -1);
      } else if (event.key === "Enter") this.choose(this.hits[this.at]);
      else if (event.key === "Escape") {
        this.input.value = "";
        this.list.hidden = true;
        this.input.blur();
      }
    });
  }
  run() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.hits = words.length ? this.find(words) : [];
    this.at = 0;
    this.render();
  }
  find(words) {
    const fits = (text) => words.every((word) => text.includes(word)),
      found = [];
    for (const kernel of kernels) {
      if (fits(`${kernel.name} ${kernel.kind} ${kernel.function}`.toLowerCase()))
        found.push({
          kind: "kernel",
          id: kernel.name,
          text: `${kernel.name} ${kernel.function}`,
          where: kernel.kind,
        });
      if (found.length >= 12) break;
    }
    const { graph } = this.app,
      score = (hit) => (hit.exact ? 0 : 1);
    const nodes = [];
    for (const node of graph.order) {
      const entity = entities[node];
      entity.haystack ??= [
        entity.label,
        entity.op,
        entity.name,
        entity.type,
        entity.scope,
        entity.origin,
        entity.line === undefined ? "" : `${lineName(entity.line)} ${sourceText(entity.line)}`,
        ...Object.entries(entity.attrs ?? {}).map(([key, text]) => `${key}=${text.slice(0, 80)}`),
      ]
        .join(" ")
        .toLowerCase();
      if (!fits(entity.haystack)) continue;
      const exact =
        words.includes(entity.op) ||
        words.includes((entity.name ?? "").toLowerCase()) ||
        words.includes(entity.label);
      nodes.push({
        kind: "node",
        id: node,
        text: `${nodeName(node)}  ${entity.type}`,
        where: entity.line === undefined ? "" : lineName(entity.line),
        exact,
      });
    }
    return [...nodes.sort((a, b) => score(a) - score(b)), ...found].slice(0, 80);
  }
  render() {
    this.list.hidden = !this.input.value.trim();
    this.list.replaceChildren(
      ...this.hits.map((hit, i) =>
        el(
          "div",
          {
            class: `hit${i === this.at ? " current" : ""}`,
            role: "option",
            "aria-selected": String(i === this.at),
            onmousedown: (event) => {
              event.preventDefault();
              this.choose(hit);
            },
          },
          hit.kind === "node" ? swatch(entities[hit.id].class) : el("span", { class: "muted" }, "⚙"),
          el("span", { class: "mono" }, cut(hit.text, 60)),
          el("span", { class: "where" }, hit.where),
        ),
      ),
      ...(this.hits.length ? [] : [el("div", { class: "hit muted" }, "Nothing found")]),
    );
  }
  step(by) {
    if (!this.hits.length) return;
    this.at = (this.at + by + this.hits.length) % this.hits.length;
    this.render();
    this.list.querySelector(".current")?.scrollIntoView({ block: "nearest" });
  }
  choose(hit) {
    if (!hit) return;
    this.list.hidden = true;
    this.input.blur();
    this.app.select(hit.kind, hit.id);
  }
}
