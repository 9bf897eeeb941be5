// What is selected, in what order, which trial is pointed at and which is chosen.

const state = {
  filters: new Map(), // column name -> text
  brush: null, // { x, y: column names, ranges: [[low, high], [low, high]] }
  sort: { name: "rank", down: false },
  selected: new Uint8Array(size).fill(1),
  count: size,
  order: new Uint32Array(0), // rows of the selected trials, sorted
  pointed: -1,
  chosen: -1,
};

const listeners = [];
const listen = (what, act) => listeners.push([what, act]);
const tell = (what) => listeners.forEach(([kind, act]) => { if (kind === what) act(); });

// A test of a row from what somebody typed; null if it means nothing.
function parse(column, text) {
  const { values } = column;
  const asked = text.trim();
  if (column.categories) {
    const [, sign, word] = /^(!?=?)\s*(.*)$/su.exec(asked.toLowerCase());
    const fits = column.categories.map((category) => {
      const own = category.toLowerCase();
      return (sign.includes("=") ? own === word : own.includes(word)) !== sign.includes("!");
    });
    return (row) => fits[values[row]];
  }
  if (/^nan$/i.test(asked)) return (row) => Number.isNaN(values[row]);
  if (/^!\s*nan$/i.test(asked)) return (row) => !Number.isNaN(values[row]);
  const number = (word) => {
    const plain = word.trim().replace("−", "-").toLowerCase();
    if (/^[+-]?(inf|infinity|∞)$/.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
    return plain === "" ? NaN : Number(plain);
  };
  const range = asked.split("..");
  if (range.length === 2) {
    const low = range[0].trim() ? number(range[0]) : -Infinity;
    const high = range[1].trim() ? number(range[1]) : Infinity;
    if (Number.isNaN(low) || Number.isNaN(high)) return null;
    return (row) => values[row] >= low && values[row] <= high;
  }
  const [, sign, rest] = /^(<=|>=|<|>|=|≤|≥)?(.*)$/su.exec(asked);
  const bound = number(rest);
  if (Number.isNaN(bound)) return null;
  switch (sign) {
    case "<": return (row) => values[row] < bound;
    case ">": return (row) => values[row] > bound;
    case "<=": case "≤": return (row) => values[row] <= bound;
    case ">=": case "≥": return (row) => values[row] >= bound;
    default: { // as many digits as the table shows
      const shown = brief(bound);
      return (row) => values[row] === bound || brief(values[row]) === shown;
    }
  }
}

function select() {
  const tests = [];
  for (const [name, text] of state.filters) {
    const test = parse(byName.get(name), text);
    if (test) tests.push(test);
  }
  if (state.brush) {
    for (const [i, name] of [state.brush.x, state.brush.y].entries()) {
      const column = byName.get(name);
      const [low, high] = state.brush.ranges[i];
      // The upper edge is where those stand that have no height.
      const edge = i === 1 && !column.swept && high === Infinity;
      tests.push((row) => {
        const x = spread(column, row);
        return (x >= low && x <= high) || (edge && Number.isNaN(x));
      });
    }
  }
  state.count = 0;
  for (let row = 0; row < size; row++) {
    let fits = 1;
    for (const test of tests) if (!test(row)) { fits = 0; break; }
    state.selected[row] = fits;
    state.count += fits;
  }
  arrange();
  tell("selection");
}

// Sort the selected rows: what is no number comes last, ties go to the better trial.
function arrange() {
  const { name, down } = state.sort;
  const column = byName.get(name);
  const { values, place } = column;
  const keys = new Float64Array(size);
  for (let row = 0; row < size; row++) {
    const x = place ? place[values[row]] : values[row];
    const missing = Number.isNaN(x) || (name === "rank" && x === 0);
    keys[row] = missing ? NaN : down ? -x : x;
  }
  const order = new Uint32Array(state.count);
  for (let row = 0, i = 0; row < size; row++) if (state.selected[row]) order[i++] = row;
  const rank = (row) => ranks[row] || Infinity;
  order.sort((a, b) => {
    const difference = keys[a] - keys[b];
    if (difference) return difference; // neither 0 nor NaN, but of two infinities
    if (keys[a] === keys[b]) return rank(a) === rank(b) ? a - b : rank(a) - rank(b);
    if (Number.isNaN(keys[a])) return Number.isNaN(keys[b]) ? (rank(a) === rank(b) ? a - b : rank(a) - rank(b)) : 1;
    return -1;
  });
  state.order = order;
  tell("order");
}

function sortBy(name) {
  state.sort = { name, down: state.sort.name === name && !state.sort.down };
  arrange();
}

function filter(name, text) {
  if (text.trim()) state.filters.set(name, text);
  else state.filters.delete(name);
  select();
}

function brush(range) {
  state.brush = range;
  select();
}

function reset() {
  state.filters.clear();
  state.brush = null;
  select();
  tell("reset");
}

function point(row) {
  if (row === state.pointed) return;
  state.pointed = row;
  tell("pointed");
}

function choose(row) {
  state.chosen = row;
  tell("chosen");
}
