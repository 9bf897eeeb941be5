// Puts the parts together.

function theme(name) {
  document.documentElement.dataset.theme = name;
  const button = $("theme");
  button.textContent = name === "dark" ? "☀ light" : "☾ dark";
  tell("theme");
}

function picker(host, label, options, now, act) {
  const pick = make("select", { "aria-label": label, "data-pick": label, onchange: () => act(byName.get(pick.value)) },
    ...options.map((column) => make("option", { value: column.name }, column.label)));
  pick.value = now.name;
  host.append(make("label", {}, `${label} `, pick));
}

function tick(host, label, now, act) {
  const box = make("input", { type: "checkbox", "data-tick": label, onchange: () => act(box.checked) });
  box.checked = now;
  host.append(make("label", {}, box, ` ${label}`));
  return box;
}

function scatterControls() {
  const host = $("scatter-controls");
  const all = columns.filter((column) => column.name !== "rank");
  scatter.x = byName.get(page.main) ?? byName.get("trial");
  scatter.y = score;
  const varied = columns.filter((column) => column.swept && column !== scatter.x && new Set(column.values).size > 1);
  scatter.by = optimizer ?? varied[0] ?? status;
  scatter.logX = wantsLog(scatter.x);
  scatter.logY = wantsLog(scatter.y);
  let logX = null, logY = null;
  const moved = () => { scatter.draw(); describe(); };
  picker(host, "across", all, scatter.x, (column) => {
    scatter.x = column; scatter.logX = logX.checked = wantsLog(column); moved();
  });
  logX = tick(host, "log x", scatter.logX, (on) => { scatter.logX = on && !scatter.x.categories; moved(); });
  picker(host, "up", all, scatter.y, (column) => {
    scatter.y = column; scatter.logY = logY.checked = wantsLog(column); moved();
  });
  logY = tick(host, "log y", scatter.logY, (on) => { scatter.logY = on && !scatter.y.categories; moved(); });
  picker(host, "colour", columns, scatter.by, (column) => {
    scatter.by = column; scatter.draw(); if (history) curves.draw();
  });
  describe();
}

function describe() {
  $("scatter").setAttribute("aria-label",
    `Points, one for each trial: ${scatter.y.label} against ${scatter.x.label}. The table below has the same numbers.`);
}

function curvesControls() {
  const host = $("curves-controls");
  host.append(make("strong", {}, "Learning curves"));
  curves.log = history.values.every((v) => !(v < 0));
  tick(host, "log step", false, (on) => { curves.logX = on; curves.draw(); });
  tick(host, "log loss", curves.log, (on) => { curves.log = on; curves.draw(); });
  $("curves").setAttribute("aria-label", "Learning curves of the best selected trials.");
}

let settling = 0;
function settle() { // curves are drawn anew once a selection has come to rest
  clearTimeout(settling);
  if (history) settling = setTimeout(() => curves.draw(), 60);
}

facts();
best();
ends();
swept();
table.build();
scatterControls();
ways.build();
if (history) curvesControls();
else $("curves").closest("figure").hidden = true;

listen("selection", () => { chips(); scatter.showBrush(); scatter.repaint(); settle(); });
listen("order", () => { $("table").scrollTop = 0; table.active = 0; table.refresh(); });
listen("reset", () => { for (const input of document.querySelectorAll("[data-filter]")) { input.value = ""; input.classList.remove("wrong"); } });
listen("pointed", () => {
  scatter.mark();
  if (state.pointed < 0) $("tip").hidden = true;
  for (const line of table.body.children) line.classList?.toggle("pointed", Number(line.dataset.trial) === ids[state.pointed]);
});
listen("chosen", () => {
  trial();
  scatter.mark();
  settle();
  table.fill();
});
listen("theme", () => { if (scatter.chart) scatter.chart.redraw(false); settle(); });

addEventListener("scroll", () => { $("tip").hidden = true; }, { passive: true });
$("reset").addEventListener("click", reset);
$("download").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([table.csv()], { type: "text/csv" }));
  const link = make("a", { href: url, download: "trials.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
$("theme").addEventListener("click", () => theme(isDark() ? "light" : "dark"));
const prefers = matchMedia("(prefers-color-scheme: dark)");
theme(prefers.matches ? "dark" : "light");
prefers.addEventListener("change", () => theme(prefers.matches ? "dark" : "light"));

$("scatter").addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by) { event.preventDefault(); scatter.walk(event.shiftKey ? 10 * by : by); }
  else if (event.key === "Enter" && state.pointed >= 0) choose(state.pointed);
  else if (event.key === "Escape") { if (state.brush) brush(null); point(-1); }
});
$("scatter").addEventListener("blur", () => point(-1));

scatter.draw();
state.chosen = ranks.indexOf(1);
trial();
select();

// For the console, and for tests: where a trial's point is on the screen.
window.report = { position: (id) => scatter.position(rowOf.get(id)), state };

new ResizeObserver(() => {
  for (const [host, one] of [[$("scatter"), scatter], [$("curves"), curves]]) {
    const width = host.clientWidth, height = host.clientHeight;
    if (one.chart && width && (one.chart.width !== width || one.chart.height !== height)) {
      one.chart.setSize({ width, height });
      if (one === scatter) scatter.showBrush();
    }
  }
}).observe($("scatter"));
