// Colours, read from the style sheet.

const CLASSES = [
  "input",
  "variable",
  "constant",
  "elementwise",
  "reduction",
  "view",
  "indexing",
  "contraction",
  "control",
  "other",
];
const theme = { classes: {} };

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  for (const name of ["panel", "text", "muted", "strong", "line", "edge", "accent", "group", "heat", "warn"])
    theme[name] = get(name);
  Object.assign(theme, { added: get("good"), removed: get("bad"), rewired: get("warn") });
  for (const name of CLASSES) theme.classes[name] = get(name);
}
