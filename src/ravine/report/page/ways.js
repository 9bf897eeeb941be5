// Every varied hyperparameter at once, an axis each, and a line for each trial.

const MOST_WAYS = 240;

const ways = {
  axes: [], rows: [], drag: null, ranges: new Map(),

  build() {
    const varied = columns.filter((column) => column.swept && new Set(column.values).size > 1);
    const shown = [optimizer, ...varied, score].filter(Boolean);
    if (varied.length < 2) { $("ways").closest("figure").hidden = true; return; }
    this.axes = shown.map((column) => ({
      column, ...extent(column, wantsLog(column)), lacks: column.swept && column.values.some(Number.isNaN),
    }));
    this.canvas = make("canvas", {});
    $("ways").append(this.canvas);
    $("ways").setAttribute("aria-label", `Lines through ${shown.map((c) => c.label).join(", ")}, one for each of the best selected trials. The table's filters select as its axes do.`);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("pointercancel", () => { this.drag = null; this.repaint(); });
    this.canvas.addEventListener("pointerleave", () => { if (!this.drag) point(-1); });
    listen("selection", () => this.choose());
    for (const what of ["pointed", "chosen", "theme"]) listen(what, () => this.repaint());
    new ResizeObserver(() => this.repaint()).observe($("ways"));
  },

  // The best of what is selected; a random part of the others, should there be room.
  choose() {
    const best = state.order.slice().sort((a, b) => (ranks[a] || Infinity) - (ranks[b] || Infinity) || a - b);
    const step = Math.max(1, (best.length - MOST_WAYS / 2) / (MOST_WAYS / 2));
    this.rows = [];
    for (let i = 0; i < best.length && this.rows.length < MOST_WAYS; i += i < MOST_WAYS / 2 ? 1 : step) {
      this.rows.push(best[Math.floor(i)]);
    }
    this.rows.reverse(); // the best lie on top
    this.repaint();
  },

  repaint() {
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.paint());
  },

  across(i) {
    return 70 + (i * (this.width - 120)) / (this.axes.length - 1);
  },

  // How far down an axis a row's value stands: below it where its optimizer has no such number.
  down(axis, row) {
    const x = axis.column.values[row];
    const t = axis.log && x <= 0 ? 0 : place(axis, x);
    if (axis.column === score && (Number.isNaN(t) || t > 1)) return 34;
    if (Number.isNaN(t)) return this.bottom + 14;
    return this.bottom - Math.min(Math.max(t, 0), 1) * (this.bottom - 44);
  },

  paint() {
    const host = $("ways"), ratio = devicePixelRatio;
    if (!host.clientWidth) return;
    // Narrower than that, the axes' names would run into each other, and the chart scrolls.
    this.width = Math.max(host.clientWidth, 110 * this.axes.length + 10);
    this.height = host.clientHeight;
    this.canvas.style.width = `${this.width}px`;
    this.bottom = this.height - 24;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    const ctx = this.canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    const { palette, code, low, high } = colouring(score);
    if (isDark()) palette.reverse(); // the best stand out from black as from white
    ctx.lineJoin = "round";
    this.rows.forEach((row, i) => {
      const near = (i + 1) / this.rows.length;
      this.line(ctx, row, palette[code(row)] ?? shade("--faint"), 1.2, this.rows.length < 40 ? 0.8 : 0.15 + 0.65 * near ** 4);
    });
    for (const [row, width] of [[state.chosen, 2.6], [state.pointed, 2]]) {
      if (row >= 0) this.line(ctx, row, shade("--text"), width, 1);
    }
    ctx.font = "11px system-ui, sans-serif";
    this.axes.forEach((axis, i) => this.axis(ctx, axis, this.across(i)));
    showKey($("ways-note"), score, { palette, low, high });
    if (this.rows.length < state.count) {
      $("ways-note").append(`${this.rows.length} of ${state.count.toLocaleString("en")} trials: the best, and an even sample of the others.`);
    }
  },

  line(ctx, row, colour, width, alpha) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    this.axes.forEach((axis, i) => ctx.lineTo(this.across(i), this.down(axis, row)));
    ctx.stroke();
    ctx.globalAlpha = 1;
  },

  axis(ctx, axis, x) {
    const { column } = axis;
    ctx.strokeStyle = shade("--muted");
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(x, 30);
    ctx.lineTo(x, this.bottom);
    ctx.stroke();
    ctx.fillStyle = shade("--text");
    ctx.textAlign = "center";
    ctx.fillText(column.label, x, 14, (this.width - 120) / (this.axes.length - 1) - 8);
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    const at = column.categories ? column.categories.map((_, i) => i) : lines(axis.low, axis.high, axis.log, 6);
    for (const tick of at) {
      const y = this.bottom - place(axis, tick) * (this.bottom - 44);
      const text = column.categories ? column.categories[tick] : tickText(tick);
      ctx.lineWidth = 3;
      ctx.strokeStyle = shade("--card");
      ctx.strokeText(text, x - 7, y, 60);
      ctx.fillStyle = shade("--muted");
      ctx.fillText(text, x - 7, y, 60);
      ctx.fillRect(x - 4, y, 4, 1);
    }
    ctx.textBaseline = "alphabetic";
    ctx.textAlign = "center";
    if (axis.lacks) ctx.fillText("none", x, this.bottom + 22);
    const range = this.range(axis);
    if (range) {
      ctx.fillStyle = ctx.strokeStyle = shade("--accent");
      ctx.globalAlpha = 0.3;
      ctx.fillRect(x - 6, range[0], 12, range[1] - range[0]);
      ctx.globalAlpha = 1;
      ctx.lineWidth = 1;
      ctx.strokeRect(x - 6, range[0], 12, range[1] - range[0]);
    }
  },

  // The part of an axis that is selected, from above to below.
  range(axis) {
    if (this.drag?.axis === axis) return [Math.min(this.drag.from, this.drag.to), Math.max(this.drag.from, this.drag.to)];
    const mine = this.ranges.get(axis.column.name);
    return mine && state.filters.get(axis.column.name) === mine.text ? mine.range : null;
  },

  where(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  },

  press(event) {
    const { x, y } = this.where(event);
    const i = this.axes.findIndex((axis, i) => Math.abs(this.across(i) - x) < 14 && !axis.column.categories);
    if (i < 0) { if (state.pointed >= 0) choose(state.pointed); return; }
    this.drag = { axis: this.axes[i], from: y, to: y };
    this.canvas.setPointerCapture(event.pointerId);
  },

  move(event) {
    const { x, y } = this.where(event);
    if (this.drag) {
      this.drag.to = Math.min(Math.max(y, 30), this.bottom + 4);
      this.repaint();
      return;
    }
    const row = this.nearest(x, y);
    point(row);
    showTip(row, event.clientX, event.clientY);
  },

  release() {
    if (!this.drag) return;
    const { axis, from, to } = this.drag, { name } = axis.column;
    this.drag = null;
    if (Math.abs(to - from) < 4) { this.ranges.delete(name); filter(name, ""); this.repaint(); return; }
    const value = (y) => {
      const t = (this.bottom - y) / (this.bottom - 44);
      return axis.log ? axis.low * (axis.high / axis.low) ** t : axis.low + t * (axis.high - axis.low);
    };
    const range = [Math.min(from, to), Math.max(from, to)];
    const text = `${Number(value(range[1]).toPrecision(4))} .. ${range[0] <= 40 ? "" : Number(value(range[0]).toPrecision(4))}`;
    this.ranges.set(name, { text, range });
    filter(name, text);
  },

  // The line that passes nearest to a point.
  nearest(x, y) {
    const i = this.axes.findIndex((_, i) => i + 1 < this.axes.length && x >= this.across(i) && x <= this.across(i + 1));
    if (i < 0) return -1;
    const t = (x - this.across(i)) / (this.across(i + 1) - this.across(i));
    let best = -1, least = 8;
    for (const row of this.rows) {
      const away = Math.abs(this.down(this.axes[i], row) * (1 - t) + this.down(this.axes[i + 1], row) * t - y);
      if (away <= least) { least = away; best = row; }
    }
    return best;
  },
};
