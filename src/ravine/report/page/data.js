// The page's data: columns of numbers, and how numbers are written.

const page = JSON.parse(document.getElementById("data").textContent);

function unpack({ type, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new { i4: Int32Array, f4: Float32Array, f8: Float64Array }[type](bytes.buffer);
}

const columns = page.columns.map((column) => ({ ...column, values: unpack(column) }));
const byName = new Map(columns.map((column) => [column.name, column]));
const size = columns[0].values.length;
const ids = byName.get("trial").values;
const ranks = byName.get("rank").values;
// A trial's row on the page: not its id where only a part of the trials is shown.
const rowOf = new Map(Array.from(ids, (id, row) => [id, row]));
const status = byName.get("status");
const score = byName.get(page.score);
const optimizer = byName.get("optimizer");

for (const column of columns) {
  if (column.categories) {
    // Words are compared by their place in the alphabet.
    const order = column.categories.map((_, i) => i)
      .sort((a, b) => column.categories[a].localeCompare(column.categories[b]));
    column.place = Int32Array.from(order);
    order.forEach((code, i) => { column.place[code] = i; });
  }
  column.label = column.name === "value" ? "loss" : column.name === "best_value" ? "best loss"
    : column.name.replaceAll("_", " ");
}

// Where a value is drawn: the trials of one word stand beside each other, not upon each other.
const spread = (column, row) => column.values[row] +
  (column.categories ? 0.6 * ((row * 0.6180339887) % 1 - 0.5) : 0);

// The shortest decimal that stands for the same number, as Python writes it.
function exact(x, single) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
  let shortest = x;
  if (single) {
    for (let digits = 1; digits < 10; digits++) {
      shortest = Number(x.toPrecision(digits));
      if (Math.fround(shortest) === x) break;
    }
  }
  const size = Math.abs(shortest);
  const text = size && (size < 1e-4 || size >= 1e16) ? shortest.toExponential() : String(shortest);
  return text.replace(/e([+-])(\d)$/, "e$10$2");
}

// Four significant digits.
function brief(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "–" : x > 0 ? "∞" : "−∞";
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x).replace("-", "−");
  const size = Math.abs(x);
  const text = size >= 1e-3 && size < 1e5 ? String(Number(x.toPrecision(4)))
    : x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return text.replaceAll("-", "−");
}

function cell(column, row) {
  const x = column.values[row];
  if (column.categories) return column.categories[x];
  if (column.name === "rank") return x ? String(x) : "–";
  return brief(x);
}

function exactCell(column, row) {
  const x = column.values[row];
  return column.categories ? column.categories[x] : exact(x, column.type === "f4");
}

// An element with attributes and children; text never becomes markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const $ = (id) => document.getElementById(id);
const shade = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
