// Learning curves of the best of the selected trials, and of the chosen one.

const history = page.history && {
  steps: unpack(page.history.steps),
  values: unpack(page.history.values),
  place: new Map(Array.from(unpack(page.history.trials), (id, i) => [rowOf.get(id), i])),
};
const MOST_CURVES = 50;

const curves = {
  chart: null, rows: [], log: true, logX: false, near: -1,

  curve(row) {
    const records = history.steps.length, i = history.place.get(row);
    return history.values.subarray(i * records, (i + 1) * records);
  },

  draw() {
    const host = $("curves");
    this.chart?.destroy();
    this.chart = null;
    this.rows = [];
    let there = 0;
    for (const row of state.order.slice().sort((a, b) => (ranks[a] || Infinity) - (ranks[b] || Infinity) || a - b)) {
      if (!history.place.has(row)) continue;
      there++;
      if (this.rows.length < MOST_CURVES) this.rows.push(row);
    }
    const best = this.rows.length;
    if (state.chosen >= 0 && history.place.has(state.chosen) && !this.rows.includes(state.chosen)) {
      this.rows.push(state.chosen);
    }
    $("curves-note").textContent = this.rows.length
      ? `Loss of the best ${best} of ${state.count.toLocaleString("en")}${state.count < size ? " selected" : ""} trials` +
        (there < state.count && there <= MOST_CURVES ? " whose curves are on this page" : "") + ", coloured as the points; the chosen one is drawn bold."
      : "The curves of the selected trials are not on this page.";
    if (!this.rows.length) return;
    // The chosen one lies on top.
    this.rows.sort((a, b) => (a === state.chosen) - (b === state.chosen));
    const data = this.rows.map((row) => Array.from(this.curve(row), (v) => (
      Number.isFinite(v) && (!this.log || v > 0) ? v : null)));
    const steps = Array.from(history.steps);
    if (this.logX && steps[0] === 0) { steps.shift(); data.forEach((line) => line.shift()); }
    const { palette, code } = colouring(scatter.by);
    const range = this.range(data);
    const last = Math.max(...data.map((line) => steps[line.findLastIndex((v) => v !== null)] ?? 0), steps[1] ?? 1);
    this.chart = new uPlot({
      width: host.clientWidth, height: host.clientHeight,
      scales: {
        x: { time: false, distr: this.logX ? 3 : 1, range: () => [steps[0], last] },
        y: { distr: this.log ? 3 : 1, range: () => range },
      },
      axes: [axisStyle("step", null, this.logX, true), { ...axisStyle("loss", null, this.log), size: 62 }],
      series: [{}, ...this.rows.map((row) => ({
        label: `trial ${ids[row]}`,
        stroke: () => (row === state.chosen ? shade("--text") : palette[code(row)] ?? shade("--muted")),
        width: row === state.chosen ? 2.5 : 1.3,
        alpha: row === state.chosen ? 1 : 0.7,
        points: { show: false },
        spanGaps: true,
      }))],
      legend: { show: false },
      focus: { alpha: 0.18 },
      cursor: { focus: { prox: 24 }, drag: { x: false, y: false }, points: { size: 6 } },
      hooks: { setSeries: [(_, i) => { this.near = i ? this.rows[i - 1] : -1; }] },
    }, [steps, ...data], host);
    const over = this.chart.over;
    over.addEventListener("mousemove", (event) => this.hover(event));
    over.addEventListener("mouseleave", () => { this.near = -1; point(-1); $("tip").hidden = true; });
    over.addEventListener("click", () => { if (this.near >= 0) choose(this.near); });
  },

  // From the least loss to a decade above the greatest at the start.
  range(data) {
    let low = Infinity, high = -Infinity, start = -Infinity;
    for (const line of data) {
      start = Math.max(start, line.find((v) => v !== null) ?? -Infinity);
      for (const v of line) if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    if (!(low < Infinity)) return this.log ? [0.1, 1] : [0, 1];
    high = Math.min(high, this.log ? 10 * start : start + 0.2 * (start - low) || high);
    if (high <= low) return this.log ? [low / 2, low * 2] : [low - 1, low + 1];
    return widened({ low, high, log: this.log }, 0.04, 0.04);
  },

  hover(event) {
    const row = this.near;
    point(row);
    showTip(row, event.clientX, event.clientY);
    const i = this.chart.cursor.idx;
    if (row < 0 || i === null) return;
    const value = this.chart.data[this.rows.indexOf(row) + 1][i];
    const text = `step ${this.chart.data[0][i]}: loss ${brief(value ?? NaN)}`;
    $("tip").firstChild.after(make("div", { class: "muted" }, text));
  },
};
