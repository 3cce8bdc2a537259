// Text with colours: Python, IR, loops, LLVM and assembly, one row per line.

const el = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, given] of Object.entries(attributes)) {
    if (given === undefined || given === null || given === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), given);
    else if (key === "style") Object.assign(element.style, given);
    else if (key === "class") element.className = given;
    else element.setAttribute(key, given === true ? "" : given);
  }
  if (attributes.onclick && tag !== "button") {
    element.tabIndex = 0; // whatever can be clicked can be reached and pressed
    element.dataset.press = "";
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

const GRAMMAR = {
  python:
    /(#.*)|("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)|\b(def|return|for|in|if|else|elif|while|with|as|import|from|class|lambda|not|and|or|None|True|False|yield|is)\b|\b(\d[\w.]*)|([A-Za-z_]\w*)(?=\()/g,
  ir: /(#.*)|("(?:[^"\\]|\\.)*")|\b(graph|inputs|outputs|update|true|false|none)\b|(?<![\w%])(-?\d[\w.+-]*|nan|inf)|(%[\w.]+)|\b([biuf]{1,2}\d+\[[^\]]*\]|bool\[[^\]]*\])/g,
  loops:
    /(#.*)|("[^"]*")|\b(for|vector|const|load|size|sum|prod|max|min|any|all|over|in|if|else|index|checked|reduce|sizes)\b|(?<![\w])(-?\d[\w.+-]*)|\b(b\d+|[abc])\b|\b([biuf]{1,2}\d+\*?)(?!\[)/g,
  llvm: /(;.*)|("[^"]*")|\b(define|declare|internal|ret|br|label|phi|load|store|getelementptr|inbounds|call|icmp|fcmp|select|fadd|fsub|fmul|fdiv|fneg|add|sub|mul|sdiv|udiv|and|or|xor|shl|lshr|ashr|bitcast|sext|zext|trunc|sitofp|fptosi|fpext|fptrunc|shufflevector|insertelement|extractelement|switch|unreachable|nsw|nuw|splat|align)\b|(?<![\w%@.])(-?(?:0x)?\d[\w.+-]*)|([%@][\w.$"]+)|(<\d+ x [^>]+>|\bi\d+\b|\bptr\b|\bfloat\b|\bdouble\b|\bhalf\b|\bvoid\b)/g,
  assembly:
    /([#;].*|\/\/.*)|("[^"]*")|(?<=^\s+)([a-z][\w.]*)|(\$?-?\b(?:0x)?\d\w*\b)|(%[a-z]\w*|\b[xyz]mm\d+\b|\br[a-z0-9]+\b|\be[a-z]{2}\b|\b[vqxwd]\d+\b)|(\.L\w+|^[\w.$]+(?=:))/g,
};
const KINDS = ["note", "text", "word", "number", "name", "type"];

function coloured(text, language) {
  const grammar = GRAMMAR[language],
    pieces = [];
  if (!grammar || text.length > 600) return [text];
  let end = 0;
  for (const match of text.matchAll(grammar)) {
    if (match.index > end) pieces.push(text.slice(end, match.index));
    const kind = KINDS[match.slice(1).findIndex((part) => part !== undefined)];
    pieces.push(el("span", { class: `t-${kind}` }, match[0]));
    end = match.index + match[0].length;
  }
  pieces.push(text.slice(end));
  return pieces;
}

const MOST_ROWS = 4000;

/** Rows of code; `mark(line text, number)` gives classes and handlers of a row. */
function codeBlock(text, language, mark = () => ({}), first = 1) {
  const lines = text.split("\n"),
    block = el("div", { class: "code" });
  lines.slice(0, MOST_ROWS).forEach((line, i) => {
    const attributes = mark(line, i + first);
    block.append(
      el(
        "div",
        { ...attributes, class: `row ${attributes.class ?? ""}` },
        el("span", { class: "n" }, String(i + first)),
        el("span", {}, ...coloured(line, language), "\u200b"),
      ),
    );
  });
  if (lines.length > MOST_ROWS)
    block.append(
      el(
        "div",
        { class: "row gap" },
        el("span", { class: "n" }, "…"),
        `${lines.length - MOST_ROWS} more lines`,
      ),
    );
  return block;
}

/** The IR text of a node. */
function nodeText(node, graph) {
  const entity = entities[node],
    inputs = graph.inputs.get(node) ?? entity.inputs;
  const operands = inputs.map((x) => entities[x].label).join(", ");
  const attrs = Object.entries(entity.attrs ?? {})
    .map(([key, text]) => `${key} = ${text}`)
    .join(", ");
  return `${entity.label} = ${entity.op}${operands ? ` ${operands}` : ""}${attrs ? ` {${attrs}}` : ""} : ${entity.type}`;
}

/** The IR text of a graph as [text, node or null], bodies indented below their nodes. */
function graphRows(graph) {
  const rows = [],
    walk = (inner, depth) => {
      const pad = "  ".repeat(depth + 1);
      for (const node of inner.nodes) {
        rows.push([pad + nodeText(node, graph), node]);
        for (const [name, body] of inner.bodies[node] ?? []) {
          rows.push([`${pad}  ${name} = graph {`, null]);
          walk(body, depth + 2);
          rows.push([`${pad}  }`, null]);
        }
      }
      rows.push([`${pad}outputs ${inner.outputs.map((x) => entities[x].label).join(", ")}`, null]);
      for (const [target, next] of inner.updates)
        rows.push([`${pad}update ${entities[target].label} <- ${entities[next].label}`, null]);
    };
  rows.push(["graph {", null]);
  walk(graph.stage.graph, 0);
  rows.push(["}", null]);
  return rows;
}
