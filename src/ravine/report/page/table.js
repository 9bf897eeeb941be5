// The table: only the rows in sight are in the document, however many there are.

const ROW = 28;
const table = {
  rows: null, head: null, body: null, active: 0, shown: [],

  build() {
    const host = $("table");
    this.shown = columns;
    const widths = columns.map((column) => this.width(column));
    host.style.setProperty("--columns", widths.map((w) => `minmax(${w}px, 1fr)`).join(" "));
    host.style.setProperty("--width", `${widths.reduce((a, b) => a + b, 0)}px`);
    host.setAttribute("aria-colcount", columns.length);
    this.head = make("div", { class: "head", role: "rowgroup" });
    const names = make("div", { class: "row", role: "row" });
    const filters = make("div", { class: "row filters", role: "row" });
    for (const column of columns) {
      names.append(make("div", { role: "columnheader", "data-column": column.name, class: column.categories ? "word" : "" },
        make("button", { type: "button", title: `Sort by ${column.label}`, onclick: () => sortBy(column.name) }, column.label)));
      const input = make("input", {
        type: "text", "data-filter": column.name, placeholder: column.categories ? "contains…" : "filter…",
        "aria-label": `Filter by ${column.label}`, "aria-describedby": "filter-help", autocomplete: "off", spellcheck: "false",
        oninput: () => this.typed(column, input),
      });
      filters.append(make("div", { role: "gridcell" }, input));
    }
    this.head.append(names, filters);
    this.body = make("div", { class: "body", role: "rowgroup" });
    host.replaceChildren(this.head, this.body);
    host.addEventListener("scroll", () => this.fill(), { passive: true });
    host.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("[data-place]");
      if (!row) return;
      this.active = Number(row.dataset.place);
      choose(state.order[this.active]);
    });
    this.body.addEventListener("mouseover", (event) => {
      const row = event.target.closest("[data-place]");
      if (row) point(state.order[Number(row.dataset.place)]);
    });
    this.body.addEventListener("mouseleave", () => point(-1));
    new ResizeObserver(() => this.fill()).observe(host);
  },

  width(column) {
    let longest = Math.max(column.label.length + 2, ...(column.categories ?? []).map((word) => word.length));
    for (let i = 0; i < Math.min(size, 200); i++) {
      longest = Math.max(longest, cell(column, Math.floor((i * size) / Math.min(size, 200))).length);
    }
    return Math.round(Math.min(Math.max(longest * 8.4 + 22, 76), 280));
  },

  typed(column, input) {
    const text = input.value;
    input.classList.toggle("wrong", Boolean(text.trim()) && parse(column, text) === null);
    input.setAttribute("aria-invalid", input.classList.contains("wrong"));
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => filter(column.name, text), size > 20000 ? 150 : 0);
  },

  // Bring the head and the rows in sight up to date.
  refresh() {
    const { name, down } = state.sort;
    for (const head of this.head.querySelectorAll("[data-column]")) {
      const mine = head.dataset.column === name;
      head.setAttribute("aria-sort", mine ? (down ? "descending" : "ascending") : "none");
    }
    for (const input of this.head.querySelectorAll("input")) {
      const text = state.filters.get(input.dataset.filter) ?? "";
      if (input !== document.activeElement) { input.value = text; input.classList.remove("wrong"); }
    }
    $("table").setAttribute("aria-rowcount", state.count + 2);
    this.body.style.height = `${state.count * ROW}px`;
    this.active = Math.min(this.active, Math.max(state.count - 1, 0));
    this.fill();
  },

  fill() {
    const host = $("table");
    const first = Math.max(0, Math.floor(host.scrollTop / ROW) - 8);
    const last = Math.min(state.count, Math.ceil((host.scrollTop + host.clientHeight) / ROW) + 8);
    const rows = [];
    for (let i = first; i < last; i++) {
      const row = state.order[i];
      const line = make("div", {
        class: row === state.chosen ? "row chosen" : row === state.pointed ? "row pointed" : "row",
        role: "row", id: `row-${i}`, "data-place": i, "data-trial": ids[row], "aria-rowindex": i + 3,
        "aria-selected": row === state.chosen ? "true" : "false",
      });
      line.style.top = `${i * ROW}px`;
      for (const column of columns) {
        const attributes = { role: "gridcell", class: column.categories ? "word" : "" };
        if (column === status) attributes["data-status"] = cell(column, row);
        line.append(make("div", attributes, cell(column, row)));
      }
      rows.push(line);
    }
    this.body.replaceChildren(...rows);
    if (!state.count) this.body.replaceChildren(make("p", { class: "muted empty" }, "No trial fits these filters."));
  },

  key(event) {
    if (event.target !== $("table")) return;
    const page = Math.floor($("table").clientHeight / ROW) - 3;
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined || !state.count) return;
    event.preventDefault();
    this.active = Math.min(Math.max(this.active + move, 0), state.count - 1);
    this.show(this.active);
    choose(state.order[this.active]);
    $("table").setAttribute("aria-activedescendant", `row-${this.active}`);
  },

  show(place) {
    const host = $("table"), head = this.head.offsetHeight;
    const top = place * ROW, room = host.clientHeight - head - 16;
    if (top < host.scrollTop) host.scrollTop = top;
    else if (top + ROW > host.scrollTop + room) host.scrollTop = top + ROW - room;
  },

  // What is selected, in its order, as comma-separated values.
  csv() {
    const quote = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [columns.map((column) => quote(column.name)).join(",")];
    for (const row of state.order) lines.push(columns.map((column) => quote(exactCell(column, row))).join(","));
    return lines.join("\r\n") + "\r\n";
  },
};
