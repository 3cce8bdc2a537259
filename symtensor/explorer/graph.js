// A view of a graph on a canvas: pans, zooms, picks, and draws a scene.

class GraphView {
  constructor(canvas, hooks) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.hooks = hooks; // pick(item, event), open(item), hover(item, event), paint(item), state()
    this.scene = { items: [], edges: [], itemOf: new Map(), w: 0, h: 0 };
    this.scale = 1;
    this.dx = 0;
    this.dy = 0;
    this.touched = false;
    this.hovered = null;
    this.pending = false;
    new ResizeObserver(() => this.resized()).observe(canvas);
    this.listen();
  }
  listen() {
    const { canvas } = this;
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) {
        this.hoverAt(event);
        return;
      }
      const dx = event.clientX - drag.x,
        dy = event.clientY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      drag = { x: event.clientX, y: event.clientY, moved: true };
      this.moveBy(dx, dy);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) this.hooks.pick(this.itemAt(event), event);
      drag = null;
    });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("dblclick", (event) => {
      const item = this.itemAt(event);
      if (item?.kind === "group") this.hooks.open(item);
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = canvas.getBoundingClientRect();
        const factor = Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016));
        this.zoomAt(factor, event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
  }
  resized() {
    const box = this.canvas.getBoundingClientRect(),
      ratio = window.devicePixelRatio || 1;
    if (!box.width) return;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    if (!this.touched) this.fit();
    this.draw();
  }
  get size() {
    const ratio = window.devicePixelRatio || 1;
    return [this.canvas.width / ratio, this.canvas.height / ratio];
  }
  show(scene) {
    this.scene = scene;
    this.hovered = null;
    this.redraw();
  }

  /** Keep what stands at an item where it is on the screen while the scene changes. */
  showAround(scene, find) {
    const before = find(this.scene);
    const at = before && [before.x * this.scale + this.dx, before.y * this.scale + this.dy];
    this.show(scene);
    const after = find(scene);
    if (at && after) {
      this.dx = at[0] - after.x * this.scale;
      this.dy = at[1] - after.y * this.scale;
    }
  }
  moveBy(dx, dy) {
    this.dx += dx;
    this.dy += dy;
    this.touched = true;
    this.redraw();
  }
  zoomAt(factor, x, y) {
    const scale = Math.min(3, Math.max(0.02, this.scale * factor));
    this.dx = x - (x - this.dx) * (scale / this.scale);
    this.dy = y - (y - this.dy) * (scale / this.scale);
    this.scale = scale;
    this.touched = true;
    this.redraw();
  }
  /** Show all; where that would be too small to read, show the beginning. */
  fit(isWhole = false) {
    const [w, h] = this.size,
      { scene } = this;
    if (!w || !scene.items.length) return;
    const whole = Math.min((w - 48) / scene.w, (h - 84) / scene.h, 1.15);
    this.scale = isWhole ? whole : Math.max(whole, Math.min(0.5, (w - 48) / scene.w, 1.15));
    const first = scene.items.reduce((a, b) => (b.y < a.y ? b : a));
    const middle = scene.w * this.scale <= w ? scene.w / 2 : first.x + first.w / 2;
    this.dx = w / 2 - middle * this.scale;
    this.dy = scene.h * this.scale < h - 84 ? 38 + (h - 84 - scene.h * this.scale) / 2 : 38;
    this.touched = false;
    this.redraw();
  }
  /** Bring an item into sight. */
  reveal(item) {
    const [w, h] = this.size;
    if (this.scale < 0.55) this.scale = 0.85;
    const x = (item.x + item.w / 2) * this.scale + this.dx,
      y = (item.y + Math.min(item.h, 60) / 2) * this.scale + this.dy;
    if (x < 70 || x > w - 70) this.dx += w / 2 - x;
    if (y < 70 || y > h - 70) this.dy += h / 2 - y;
    this.touched = true;
    this.redraw();
  }
  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      (event.clientX - box.left - this.dx) / this.scale,
      (event.clientY - box.top - this.dy) / this.scale,
    ];
  }
  itemAt(event) {
    const [x, y] = this.pointOf(event),
      { items } = this.scene;
    for (let i = items.length - 1; i >= 0; i -= 1) {
      const item = items[i],
        height = item.isOpen ? HEAD : item.h;
      if (x >= item.x && x <= item.x + item.w && y >= item.y && y <= item.y + height) return item;
    }
    return null;
  }
  hoverAt(event) {
    this.hover(this.itemAt(event), event);
  }
  hover(item, event = null) {
    this.hooks.hover(item, event);
    if (item === this.hovered) return;
    this.hovered = item;
    this.canvas.classList.toggle("over", item !== null);
    this.redraw();
  }
  redraw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  // --- drawing ------------------------------------------------------------------------------------

  draw() {
    const ratio = window.devicePixelRatio || 1,
      c = this.context,
      [w, h] = this.size;
    const s = this.scale;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, w, h);
    c.setTransform(ratio * s, 0, 0, ratio * s, ratio * this.dx, ratio * this.dy);
    const seen = {
      left: -this.dx / s,
      top: -this.dy / s,
      right: (w - this.dx) / s,
      bottom: (h - this.dy) / s,
    };
    const state = this.hooks.state();
    for (const item of this.scene.items) {
      if (item.isOpen && inSight(item, seen)) this.drawOpenGroup(item, state);
    }
    this.drawEdges(seen, state);
    for (const item of this.scene.items) {
      if (item.isOpen || !inSight(item, seen)) continue;
      c.globalAlpha = state.isDim(item) ? 0.28 : 1;
      if (item.kind === "node") this.drawNode(item, state);
      else this.drawGroup(item, state);
      c.globalAlpha = 1;
    }
  }
  drawEdges(seen, state) {
    const c = this.context,
      strong = [];
    const near = new Set([this.hovered, ...state.selectedItems(this.scene)]);
    c.lineWidth = Math.max(1, 0.7 / this.scale);
    for (const edge of this.scene.edges) {
      if (near.has(edge.from) || near.has(edge.to)) {
        strong.push(edge);
        continue;
      }
      if (!edgeInSight(edge, seen)) continue;
      const isFar = !edge.bends;
      c.globalAlpha = (state.isDim(edge.from) && state.isDim(edge.to) ? 0.3 : 1) * (isFar ? 0.3 : 0.9);
      c.strokeStyle = theme.edge;
      this.trace(edge);
    }
    c.globalAlpha = 1;
    c.lineWidth = Math.max(1.8, 1.4 / this.scale);
    for (const edge of strong) {
      c.strokeStyle = near.has(edge.to) ? theme.accent : theme.warn;
      this.trace(edge);
    }
    this.drawFarEdges(state);
  }
  /** Lines of the selected node to what it reads and what reads it in other groups. */
  drawFarEdges(state) {
    const { itemOf } = this.scene,
      [item] = state.selectedItems(this.scene);
    if (!item) return;
    const [inputs, users] = state.far(),
      seen = new Set([item]);
    const draw = (node, isInput) => {
      const other = itemOf.get(node);
      if (!other || seen.has(other) || other.parent === item.parent) return;
      seen.add(other);
      this.context.strokeStyle = isInput ? theme.accent : theme.warn;
      this.trace(isInput ? { from: other, to: item } : { from: item, to: other });
    };
    for (const node of inputs) draw(node, true);
    for (const node of users) draw(node, false);
  }
  trace({ from, to, bends }) {
    const c = this.context;
    let x = from.x + from.w / 2,
      y = from.y + from.h;
    const endX = to.x + to.w / 2,
      endY = to.y;
    c.beginPath();
    c.moveTo(x, y);
    if (bends) {
      for (const [bx, by] of [...bends, [endX, endY]]) {
        const middle = (y + by) / 2;
        c.bezierCurveTo(x, middle, bx, middle, bx, by);
        x = bx;
        y = by;
      }
    } else if (endY > y) {
      const reach = Math.min(160, (endY - y) / 2);
      c.bezierCurveTo(x, y + reach, endX, endY - reach, endX, endY);
    } else {
      const side = Math.max(from.x + from.w, to.x + to.w) + 40;
      c.bezierCurveTo(x, y + 40, side, y + 40, side, (y + endY) / 2);
      c.bezierCurveTo(side, endY - 40, endX, endY - 40, endX, endY);
    }
    c.stroke();
    if (this.scale > 0.4) {
      c.fillStyle = c.strokeStyle;
      c.beginPath();
      c.moveTo(endX, endY);
      c.lineTo(endX - 3.5, endY - 7);
      c.lineTo(endX + 3.5, endY - 7);
      c.fill();
    }
  }
  drawOpenGroup(item, state) {
    const c = this.context,
      isBody = item.group.control !== null;
    rounded(c, item.x, item.y, item.w, item.h, 10);
    c.fillStyle = theme.group;
    c.fill();
    const isMarked = state.isSelected(item) || item === this.hovered;
    c.strokeStyle = isMarked ? theme.accent : isBody ? theme.classes.control : theme.strong;
    c.lineWidth = isMarked ? 2 : 1;
    c.setLineDash(isBody ? [6, 4] : []);
    c.stroke();
    c.setLineDash([]);
    if (this.scale < 0.3) return;
    this.text(item.title, item.x + 12, item.y + 17, TITLE, isBody ? theme.classes.control : theme.muted);
    this.text("–", item.x + item.w - 18, item.y + 17, TITLE, theme.muted);
  }
  drawNode(item, state) {
    const c = this.context,
      entity = entities[item.node],
      color = theme.classes[entity.class];
    const { x, y, w, h } = item,
      paint = this.hooks.paint(item);
    rounded(c, x, y, w, h, item.isLeaf ? h / 2 : 6);
    c.fillStyle = theme.panel;
    c.fill();
    if (paint.fill) {
      c.save();
      c.globalAlpha *= paint.strength;
      c.fillStyle = paint.fill;
      c.fill();
      c.restore();
    }
    const status = state.status(item.node),
      isSelected = state.isSelected(item);
    c.lineWidth = isSelected ? 2.5 : status ? 2 : item.isRoot ? 1.6 : 1;
    c.strokeStyle = isSelected
      ? theme.accent
      : status
        ? theme[status]
        : item === this.hovered
          ? theme.text
          : theme.strong;
    if (status === "rewired" && !isSelected) c.setLineDash([5, 3]);
    c.stroke();
    c.setLineDash([]);
    if (!item.isLeaf) {
      c.save();
      rounded(c, x, y, w, h, 6);
      c.clip();
      c.fillStyle = paint.mark ?? color;
      c.fillRect(x, y, 4, h);
      c.restore();
    }
    const role = state.roleOf(item.node);
    if (role) {
      c.fillStyle = theme.accent;
      c.beginPath();
      c.arc(x + w - 8, y + 9, 3, 0, 7);
      c.fill();
    }
    if (this.scale < 0.32) return;
    if (role) this.text(`→ ${cut(role, 30)}`, x + 6, y + h + 12, SMALL, theme.accent);
    const left = x + 13;
    this.text(
      item.title,
      left,
      y + (item.isLeaf ? 15.5 : 17),
      TITLE,
      item.isLeaf ? (paint.mark ?? color) : theme.text,
    );
    this.text(
      item.subtitle,
      left,
      y + (item.isLeaf ? 28 : 31),
      SMALL,
      paint.strength > 0.3 ? theme.text : theme.muted,
    );
  }
  drawGroup(item, state) {
    const c = this.context,
      { x, y, w, h } = item,
      isBody = item.group.control !== null;
    const paint = this.hooks.paint(item),
      isSelected = state.isSelected(item);
    c.strokeStyle = isSelected ? theme.accent : item === this.hovered ? theme.text : theme.strong;
    for (const shift of [4, 0]) {
      rounded(c, x + shift, y + shift, w - 4, h - 4, 8);
      c.fillStyle = theme.panel;
      c.fill();
      if (!shift && paint.fill) {
        c.save();
        c.globalAlpha *= paint.strength;
        c.fillStyle = paint.fill;
        c.fill();
        c.restore();
      }
      c.lineWidth = isSelected && !shift ? 2.5 : 1;
      c.stroke();
    }
    this.drawShares(item, x + 11, y + h - 15, w - 28);
    if (this.scale < 0.25) return;
    this.text("+", x + w - 20, y + 17, TITLE, theme.muted);
    this.text(item.title, x + 11, y + 17, TITLE, isBody ? theme.classes.control : theme.text);
    this.text(item.subtitle, x + 11, y + 30, SMALL, paint.strength > 0.3 ? theme.text : theme.muted);
  }
  /** What kinds of ops a folded group holds. */
  drawShares(item, x, y, w) {
    const c = this.context;
    item.shares ??= sharesOf(item.group);
    for (const [kind, part] of item.shares) {
      c.fillStyle = theme.classes[kind];
      c.fillRect(x, y, Math.max(0, w * part - 1), 4);
      x += w * part;
    }
  }
  text(text, x, y, font, color) {
    this.context.font = font;
    this.context.fillStyle = color;
    this.context.fillText(text, x, y);
  }
}

function sharesOf(group) {
  const counts = new Map();
  let total = 0;
  for (const node of nodesIn(group)) {
    const kind = entities[node].class;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    total += 1;
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([kind, n]) => [kind, n / total]);
}

function rounded(c, x, y, w, h, r) {
  c.beginPath();
  c.roundRect(x, y, w, h, r);
}
const inSight = (item, seen) =>
  item.x < seen.right && item.x + item.w > seen.left && item.y < seen.bottom && item.y + item.h > seen.top;
function edgeInSight({ from, to }, seen) {
  return (
    Math.min(from.y, to.y) < seen.bottom &&
    Math.max(from.y + from.h, to.y + to.h) > seen.top &&
    Math.min(from.x, to.x) < seen.right + 400 &&
    Math.max(from.x + from.w, to.x + to.w) > seen.left - 400
  );
}
