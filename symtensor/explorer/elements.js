// Elements that several panels are made of.

const link = (app, node, text) =>
  node >= 0
    ? el("button", { class: "link", onclick: () => app.select("node", node), "data-node": node }, text)
    : el("span", { class: "mono" }, text);
const nodeName = (node) => {
  const entity = entities[node];
  return `${entity.label} ${entity.name && entity.label !== `%${entity.name}` ? `${entity.op} ${entity.name}` : entity.op}`;
};
const nodeLink = (app, node) =>
  isNumber(node)
    ? el("span", { class: "mono muted" }, entities[node].value)
    : link(app, node, nodeName(node));
const swatch = (kind) => el("span", { class: "swatch", style: { background: `var(--${kind})` } });
const facts = (rows) =>
  el(
    "dl",
    { class: "facts" },
    ...rows
      .filter(([, given]) => given !== undefined && given !== null && given !== "")
      .flatMap(([name, given, mono]) => [
        el("dt", {}, name),
        el("dd", { class: mono ? "mono" : "" }, ...(Array.isArray(given) ? given : [given])),
      ]),
  );

/** What a cost is for the present sizes, and its formula where it has one. */
function costText(dim, unit) {
  const number = amount(value(dim), unit);
  return typeof dim === "number" ? number : `${number}  =  ${dim.text}`;
}

const runsOf = (node) => {
  const kernel = kernelsOf.get(node)?.[0];
  return kernel ? value(kernel.runs) : 1;
};
