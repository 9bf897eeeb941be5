// The chart of points, a trial each: axes are uPlot's, the points are drawn and found here.

// How far below the upper edge the trials stand that are off the chart.
const EDGE = 7;

const scatter = {
  chart: null, x: null, y: null, by: null, logX: false, logY: false,
  px: new Float32Array(size), py: new Float32Array(size), off: new Uint8Array(size),
  cells: null,
  rings: [make("i", { class: "ring chosen" }), make("i", { class: "ring" })],

  draw() {
    const host = $("scatter");
    this.chart?.destroy();
    const x = extent(this.x, this.logX), y = extent(this.y, this.logY);
    const rangeX = widened(x, 0.03, 0.03), rangeY = widened(y, 0.04, 0.1);
    this.rangeX = rangeX;
    this.rangeY = rangeY;
    const scale = (log, range) => ({ time: false, auto: false, distr: log ? 3 : 1, range: () => range });
    this.chart = new uPlot({
      width: host.clientWidth, height: host.clientHeight,
      scales: { x: scale(this.logX, rangeX), y: scale(this.logY, rangeY) },
      axes: [axisStyle(this.x.label, this.x, this.logX, true), { ...axisStyle(this.y.label, this.y, this.logY), size: this.y.categories ? 90 : 62 }],
      series: [{}, { paths: () => null, points: { show: false } }],
      legend: { show: false },
      cursor: { drag: { x: true, y: true, uni: 1, setScale: false, dist: 4 }, points: { show: false } },
      hooks: { draw: [() => this.paint()], setSelect: [(u) => this.brushed(u)] },
    }, [rangeX, [null, null]], host);
    const over = this.chart.over;
    over.append(...this.rings);
    over.addEventListener("mousemove", (event) => this.hover(event));
    over.addEventListener("mouseleave", () => { point(-1); });
    over.addEventListener("click", (event) => this.click(event));
    this.showBrush();
  },

  // Where every trial stands, in pixels of the plot.
  layout() {
    const { width, height } = this.chart.bbox;
    const ratio = uPlot.pxRatio ?? devicePixelRatio;
    const w = width / ratio, h = height / ratio;
    const [x0, x1] = this.rangeX, [y0, y1] = this.rangeY;
    const ax = { low: x0, high: x1, log: this.logX }, ay = { low: y0, high: y1, log: this.logY };
    const xs = this.x.values, ys = this.y.values;
    const results = !this.y.swept;
    const cell = 16, across = Math.ceil(w / cell) + 1, down = Math.ceil(h / cell) + 1;
    const head = new Int32Array(across * down).fill(-1), next = new Int32Array(size);
    for (let row = 0; row < size; row++) {
      let u = place(ax, spread(this.x, row)), v = place(ay, spread(this.y, row));
      let off = 0;
      // What diverged has no height, and still has a place: on the upper edge.
      if (results && (Number.isNaN(v) || v > 1) && !(this.logY && ys[row] <= 0)) { v = 1; off = 1; }
      if (v < 0 && (this.logY || v === -Infinity)) v = 0;
      if (this.logY && ys[row] <= 0) v = 0;
      if (this.logX && xs[row] <= 0) u = 0;
      const x = u * w, y = off ? EDGE : (1 - v) * h;
      if (!(u >= 0 && u <= 1 && v >= 0 && v <= 1)) { this.px[row] = NaN; continue; }
      this.px[row] = x;
      this.py[row] = y;
      this.off[row] = off;
      const where = Math.floor(y / cell) * across + Math.floor(x / cell);
      next[row] = head[where];
      head[where] = row;
    }
    this.cells = { cell, across, down, head, next };
  },

  paint() {
    this.layout();
    const { ctx, bbox } = this.chart;
    const ratio = uPlot.pxRatio ?? devicePixelRatio;
    const { palette, code, names, low, high, shaped } = colouring(this.by);
    const groups = Array.from({ length: palette.length + 2 }, () => []);
    for (let row = 0; row < size; row++) {
      if (!Number.isNaN(this.px[row])) groups[state.selected[row] ? code(row) + 2 : 0].push(row);
    }
    // What is not selected comes first and faint, then what has no colour.
    const paints = [shade("--faint"), shade("--muted"), ...palette];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    if (size > 5000) {
      sprinkle(this, groups.slice(0, 1), paints, 0.5);
      sprinkle(this, groups.slice(1), paints.slice(1), 0.55);
    } else {
      ctx.translate(bbox.left, bbox.top);
      figures(this, groups.shift(), paints.shift(), 0.5, SHAPES[0]);
      // A part of every colour at a time, so that none covers all others.
      for (let turn = 0; turn < 8; turn++) {
        groups.forEach((rows, i) => figures(this, rows.filter((_, j) => j % 8 === turn), paints[i], 0.8,
          shaped && i ? SHAPES[(i - 1) % SHAPES.length] : SHAPES[0]));
      }
    }
    ctx.restore();
    showKey($("scatter-key"), this.by, { palette, names, low, high });
    if (this.off.includes(1)) $("scatter-key").append(make("span", { class: "muted" }, "× on the upper edge: diverged, or far above"));
    this.mark();
  },

  // Rings around the trial that is pointed at and the chosen one, above the drawn points.
  mark() {
    for (const [row, ring] of [[state.chosen, this.rings[0]], [state.pointed, this.rings[1]]]) {
      ring.hidden = row < 0 || Number.isNaN(this.px[row]);
      ring.style.left = `${this.px[row]}px`;
      ring.style.top = `${this.py[row]}px`;
    }
  },

  repaint() {
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.chart.redraw(false));
  },

  // The selected trial nearest to a point of the plot, within reach.
  nearest(x, y) {
    const { cell, across, down, head, next } = this.cells;
    const reach = 14;
    let best = -1, least = reach * reach;
    const cx = Math.floor(x / cell), cy = Math.floor(y / cell);
    for (let j = Math.max(cy - 1, 0); j <= Math.min(cy + 1, down - 1); j++) {
      for (let i = Math.max(cx - 1, 0); i <= Math.min(cx + 1, across - 1); i++) {
        for (let row = head[j * across + i]; row >= 0; row = next[row]) {
          if (!state.selected[row]) continue;
          const distance = (this.px[row] - x) ** 2 + (this.py[row] - y) ** 2;
          if (distance < least || (distance === least && ranks[row] < ranks[best])) { least = distance; best = row; }
        }
      }
    }
    return best;
  },

  hover(event) {
    const box = this.chart.over.getBoundingClientRect();
    const row = this.nearest(event.clientX - box.left, event.clientY - box.top);
    point(row);
    showTip(row, event.clientX, event.clientY);
  },

  click(event) {
    if (this.justBrushed) { this.justBrushed = false; return; }
    const box = this.chart.over.getBoundingClientRect();
    const row = this.nearest(event.clientX - box.left, event.clientY - box.top);
    if (row >= 0) choose(row);
  },

  brushed(u) {
    const { left, top, width, height } = u.select;
    if (this.placing) return;
    if (width < 4 && height < 4) return;
    this.justBrushed = true;
    setTimeout(() => { this.justBrushed = false; }, 50);
    const whole = u.over.clientHeight, wide = u.over.clientWidth;
    // A drag along one direction takes all of the other.
    const x = width >= wide - 1 ? [-Infinity, Infinity] : [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
    const y = height >= whole - 1 ? [-Infinity, Infinity] : [u.posToVal(top + height, "y"), top <= EDGE ? Infinity : u.posToVal(top, "y")];
    brush({ x: this.x.name, y: this.y.name, ranges: [x, y] });
  },

  showBrush() {
    const u = this.chart;
    const mine = state.brush && state.brush.x === this.x.name && state.brush.y === this.y.name;
    let box = { left: 0, top: 0, width: 0, height: 0 };
    if (mine) {
      const clamp = (p, most) => Math.min(Math.max(p, 0), most);
      const at = (x, axis, most) => (Number.isFinite(x) ? clamp(u.valToPos(x, axis), most)
        : (x > 0) === (axis === "x") ? most : 0);
      const [[x0, x1], [y0, y1]] = state.brush.ranges;
      const w = u.over.clientWidth, h = u.over.clientHeight;
      const left = at(x0, "x", w), right = at(x1, "x", w), bottom = at(y0, "y", h), top = at(y1, "y", h);
      box = { left, top, width: right - left, height: bottom - top };
    }
    this.placing = true;
    u.setSelect(box, false);
    this.placing = false;
  },

  // Arrow keys walk along the selected trials from left to right.
  walk(by) {
    const rows = Array.from(state.order).filter((row) => !Number.isNaN(this.px[row]))
      .sort((a, b) => this.px[a] - this.px[b] || this.py[a] - this.py[b]);
    if (!rows.length) return;
    const now = rows.indexOf(state.pointed >= 0 ? state.pointed : state.chosen);
    const row = rows[Math.min(Math.max(now + by, 0), rows.length - 1)];
    const { x, y } = this.position(row);
    point(row);
    showTip(row, x, y);
  },

  // Where a trial stands on the screen.
  position(row) {
    const box = this.chart.over.getBoundingClientRect();
    return { x: box.left + this.px[row], y: box.top + this.py[row] };
  },
};
