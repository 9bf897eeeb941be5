// Axes: their ranges, scales and lines. uPlot draws them.

// Where a value lies on an axis, from 0 to 1.
function place({ low, high, log }, x) {
  if (log) return (Math.log(x) - Math.log(low)) / (Math.log(high) - Math.log(low));
  return (x - low) / (high - low);
}

const counts = (column) => column.categories || ["trial", "rank", "seed"].includes(column.name);

// Positive, and a decade or more; what was swept must be spread like that too.
function wantsLog(column) {
  if (counts(column)) return false;
  const known = column.values.filter((x, row) => Number.isFinite(x) && (column.swept || ranks[row]));
  const low = known.reduce((a, b) => Math.min(a, b), Infinity), high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!(low > 0 && high >= 10 * low)) return false;
  const uneven = (middle) => Math.abs(known.filter((x) => x < middle).length / known.length - 0.5);
  return !column.swept || uneven(Math.sqrt(low) * Math.sqrt(high)) < uneven((low + high) / 2);
}

// The range to show: that of the trials that ended well, whose few worst do not stretch it.
const extents = new Map();
function extent(column, log) {
  const key = `${column.name} ${log}`;
  if (!extents.has(key)) extents.set(key, measured(column, log));
  return extents.get(key);
}

function measured(column, log) {
  if (column.categories) return { low: -0.6, high: column.categories.length - 0.4, log: false };
  const kept = [];
  const robust = !column.swept && !counts(column) && column.name !== "steps";
  for (let row = 0; row < size; row++) {
    const x = column.values[row];
    if (Number.isFinite(x) && (!log || x > 0) && (!robust || ranks[row])) kept.push(x);
  }
  if (!kept.length) return { low: log ? 0.1 : 0, high: 1, log };
  const sorted = Float64Array.from(kept).sort();
  const at = (q) => sorted[Math.round(q * (sorted.length - 1))];
  let low = sorted[0], high = at(1);
  if (robust && sorted.length >= 20) {
    if (log) high = Math.min(high, 10 * at(0.9), at(0.9) * (at(0.9) / at(0.1)) ** 2);
    else high = Math.min(high, at(0.9) + 3 * (at(0.9) - at(0.1)) || high);
    high = Math.max(high, at(0.5));
  }
  if (low === high) return log ? { low: low / 2, high: high * 2, log } : { low: low - 1, high: high + 1, log };
  return { low, high, log };
}

// With a margin, and more of it on top, where the trials stand that are off the chart.
function widened({ low, high, log }, below, above) {
  if (log) {
    const width = Math.log(high / low);
    return [low * Math.exp(-below * width), high * Math.exp(above * width)];
  }
  return [low - below * (high - low), high + above * (high - low)];
}

// Where an axis has its lines, at most so many: round numbers, or powers of ten and 1, 2, 5 between.
function lines(low, high, log, most) {
  const decades = Math.log10(high / low);
  if (!log || decades < 0.8) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((k) => k * power >= rough);
    const first = Math.ceil(low / step), last = Math.floor(high / step);
    return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => (first + i) * step);
  }
  const every = Math.ceil(decades / most), between = 3 * decades <= most ? [1, 2, 5] : [1];
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++) {
    if (p % every) continue;
    for (const k of between) {
      const x = k * 10 ** p;
      if (x >= low && x <= high) found.push(x);
    }
  }
  return found;
}

const axisStyle = (label, column, log, across) => ({
  label,
  labelSize: 18,
  labelFont: "12px system-ui, sans-serif",
  font: "11px system-ui, sans-serif",
  stroke: () => shade("--muted"),
  grid: { stroke: () => shade("--line"), width: 1 },
  ticks: { stroke: () => shade("--line"), width: 1, size: 5 },
  filter: (_, splits) => splits,
  splits: column?.categories ? () => column.categories.map((_, i) => i)
    : (chart, __, low, high) => lines(low, high, log, Math.max(2, Math.floor(across ? chart.width / 80 : chart.height / 40))),
  values: (_, splits) => splits.map((x) => (column?.categories ? column.categories[x] ?? "" : tickText(x))),
});

function tickText(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e5) return String(Number(x.toPrecision(5))).replace("-", "−");
  return x.toExponential(4).replace(/\.?0+e/, "e").replace("e+", "e").replaceAll("-", "−");
}
