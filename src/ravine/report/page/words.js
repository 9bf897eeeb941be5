// What is said in words and small tables: facts, the best trials, one trial, why trials ended.

function facts() {
  $("facts").replaceChildren(...Object.entries(page.facts).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  const names = page.optimizers.length > 1 ? `${page.optimizers.length} optimizers, ` : "";
  const swept = [...new Set(page.optimizers.flatMap((o) => o.swept))];
  $("subtitle").textContent = `${page.trials.toLocaleString("en")} trials, ${names}` +
    (swept.length ? `varying ${swept.join(", ")}` : "nothing varied") + ` · ravine ${page.version}`;
  const notices = [];
  if (!page.complete) notices.push("The sweep was interrupted: this is what there was by then.");
  if (size < page.trials) {
    notices.push(`Of ${page.trials.toLocaleString("en")} trials, ${size.toLocaleString("en")} are on this page: the best, and an even sample of the others.`);
  }
  $("notice").hidden = !notices.length;
  $("notice").textContent = notices.join(" ");
}

// Heads that begin with < stand above words, the others above numbers.
function simpleTable(heads, rows) {
  const name = (head) => make("th", { scope: "col", class: head.startsWith("<") ? "word" : "" }, head.replace("<", ""));
  return make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map(name))),
    make("tbody", {}, ...rows));
}

const trialButton = (row, text) => make("button", {
  type: "button", class: "link", "data-trial": ids[row], onclick: () => choose(row),
}, text ?? `${ids[row]}`);

function best() {
  const host = $("best");
  const rows = Array.from(ids.keys()).filter((row) => ranks[row] > 0 && ranks[row] <= 10)
    .sort((a, b) => ranks[a] - ranks[b]);
  if (!rows.length) {
    host.replaceChildren(make("p", {}, "No trial ended with a finite loss. Possible causes: every learning rate is too large; the loss is NaN at the start; the sweep was interrupted first."));
    return;
  }
  if (page.seeds) { host.replaceChildren(...overSeeds()); return; }
  const swept = columns.filter((column) => column.swept && rows.some((row) => !Number.isNaN(column.values[row])));
  const shown = [optimizer, ...swept, score, byName.get("steps"), status].filter(Boolean);
  host.replaceChildren(make("div", { class: "scroll" }, simpleTable(
    ["", "trial", ...shown.map((column) => (column.categories ? "<" : "") + column.label)],
    rows.map((row) => make("tr", {},
      make("td", { class: "muted" }, String(ranks[row])), make("td", {}, trialButton(row)),
      ...shown.map((column) => make("td", { class: column.categories ? "word" : "" }, cell(column, row))))),
  )));
}

function overSeeds() {
  const rows = page.seeds.filter(({ trial }) => rowOf.has(trial));
  const swept = columns.filter((column) => column.swept);
  return [
    make("p", { class: "muted" }, "Configurations, by the mean of their " + score.label + " over seeds."),
    make("div", { class: "scroll" }, simpleTable(
      ["first trial", ...(optimizer ? ["<optimizer"] : []), ...swept.map((column) => column.label), "mean", "± std", "ended well"],
      rows.map(({ trial, mean, std, ended_well }) => {
        const row = rowOf.get(trial);
        return make("tr", {}, make("td", {}, trialButton(row)),
          optimizer ? make("td", { class: "word" }, cell(optimizer, row)) : null,
          ...swept.map((column) => make("td", {}, cell(column, row))),
          make("td", {}, brief(mean)), make("td", {}, brief(std)), make("td", {}, String(ended_well)));
      }),
    )),
  ];
}

// The code that makes a trial's optimizer.
function codeOf(row) {
  const one = page.optimizers.find((o) => o.name === (optimizer ? cell(optimizer, row) : "")) ?? page.optimizers[0];
  const { imports, pieces, plain, others } = one.recipe;
  const text = pieces.map((piece) => {
    if (typeof piece === "string") return piece;
    const column = byName.get(piece.column);
    const number = column ? exactCell(column, row) : "...";
    if (piece.whole) return number;
    if (/^-?(inf|nan)$/.test(number)) return `float("${number}")`;
    return /[.e]/.test(number) ? number : `${number}.0`;
  }).join("");
  const steps = byName.get("steps").values[row];
  const lines = ["import ravine as rv", ...imports, ""];
  if (!plain) lines.push("# A function or an array of this optimizer has no short text: put it in by hand.");
  lines.push(`optimizer = ${text}`);
  for (const name of others) {
    const column = byName.get(name);
    if (column) lines.push(`# with ${name.replace(/\s+/g, " ")} = ${exactCell(column, row)}`);
  }
  lines.push("", "# your loss, from your starting point", `result = rv.minimize(loss, params, optimizer, steps=${steps})`,
    "", "# with the sweep at hand: the same start and the same data", `trial = results.rerun(${ids[row]})`);
  return lines.join("\n");
}

function trial() {
  const row = state.chosen;
  const host = $("trial");
  if (row < 0) { host.replaceChildren(make("p", { class: "muted" }, "Choose a trial in a chart or a table.")); return; }
  const pre = make("pre", { tabindex: "0" }, make("code", {}, codeOf(row)));
  const copy = make("button", { type: "button", onclick: () => copyText(pre.textContent, copy) }, "Copy");
  const told = columns.filter((column) => !["trial", "rank"].includes(column.name) &&
    !(column.swept && Number.isNaN(column.values[row])));
  host.replaceChildren(
    make("h3", {}, `Trial ${ids[row]}`, make("span", { class: "muted" },
      ranks[row] ? ` · rank ${ranks[row].toLocaleString("en")}` : " · not ranked")),
    make("dl", { class: "values" }, ...told.map((column) =>
      make("div", {}, make("dt", {}, column.label), make("dd", {}, column.categories ? cell(column, row) : exactCell(column, row))))),
    make("div", { class: "code" }, make("div", { class: "codehead" }, make("span", { class: "muted" }, "Run it again"), copy), pre),
  );
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page opened as a file may not use the clipboard directly
    const area = make("textarea", {});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

const STATUS_COLOURS = {
  converged: "--good", stalled: "--fair", max_steps: "--plain", pruned: "--given", diverged: "--bad", failed: "--worse", running: "--muted",
};

function ends() {
  const there = page.statuses.filter(({ count }) => count).sort((a, b) => b.count - a.count);
  const bar = make("div", { class: "stack", "aria-hidden": "true" });
  const lines = there.map(({ name, meaning, count }) => {
    const part = make("span", { title: `${name}: ${count}` });
    part.style.flexGrow = count;
    part.style.background = `var(${STATUS_COLOURS[name]})`;
    bar.append(part);
    const swatch = make("i", { class: "swatch" });
    swatch.style.background = `var(${STATUS_COLOURS[name]})`;
    return make("li", {}, make("button", {
      type: "button", class: "chip", "data-end": name, "aria-pressed": "false",
      onclick: () => filter("status", state.filters.get("status") === `=${name}` ? "" : `=${name}`),
    }, swatch, make("strong", {}, name.replace("_", " ")), ` ${count.toLocaleString("en")}`),
    make("span", {}, ` ${(100 * count / page.trials).toPrecision(3).replace(/\.0+$/, "")} % · ${meaning}`));
  });
  $("ends").replaceChildren(bar, make("ul", { class: "ends" }, ...lines));
}

function swept() {
  $("swept").replaceChildren(simpleTable(["<optimizer", "trials", "ended well", "best " + score.label, "best trial"],
    page.optimizers.map((one) => {
      const row = one.best === null ? undefined : rowOf.get(one.best);
      return make("tr", {},
        make("td", { class: "word template" }, one.name ? make("strong", {}, one.name) : null, make("code", {}, one.template),
          one.recipe.others.length ? make("div", { class: "muted" }, `and varied: ${one.recipe.others.join(", ")}`) : null),
        make("td", {}, one.trials.toLocaleString("en")), make("td", {}, one.ended_well.toLocaleString("en")),
        make("td", {}, row === undefined ? "–" : cell(score, row)),
        make("td", {}, row === undefined ? "–" : trialButton(row)));
    })));
}

function chips() {
  const made = [];
  if (state.brush) {
    const side = (name, [low, high]) => {
      const { label, categories } = byName.get(name);
      if (low === -Infinity && high === Infinity) return null;
      if (!categories) return `${label} ${brief(low)} … ${brief(high)}`;
      return `${label} ${categories.filter((_, i) => i + 0.3 >= low && i - 0.3 <= high).join(", ")}`;
    };
    const text = [side(state.brush.x, state.brush.ranges[0]), side(state.brush.y, state.brush.ranges[1])].filter(Boolean).join(" and ");
    made.push(make("button", { type: "button", class: "chip", id: "brush-chip", "aria-label": `Remove the selection ${text}`, onclick: () => brush(null) }, `${text} ✕`));
  }
  for (const [name, text] of state.filters) {
    made.push(make("button", { type: "button", class: "chip", "aria-label": `Remove the filter ${name} ${text}`, onclick: () => filter(name, "") },
      `${byName.get(name).label} ${text} ✕`));
  }
  $("chips").replaceChildren(...made);
  $("reset").hidden = !made.length;
  $("count").textContent = state.count === size ? `${size.toLocaleString("en")} trials`
    : `${state.count.toLocaleString("en")} of ${size.toLocaleString("en")} trials`;
  for (const button of document.querySelectorAll("[data-end]")) {
    button.setAttribute("aria-pressed", state.filters.get("status") === `=${button.dataset.end}`);
  }
}
