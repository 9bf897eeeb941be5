// Colours and shapes, what they mean, and the key that says so.

// Okabe and Ito's colours, which the colour-blind can tell apart; shapes tell them apart in print.
const COLOURS = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07A00", "#56B4E9", "#333333"],
  dark: ["#56B4E9", "#E8762D", "#1FBF92", "#DE97BE", "#E69F00", "#7DA7F0", "#DDDDDD"],
};
// Viridis, without the ends that are lost on black or on white.
const SHADES = {
  light: ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#9fbf1f"],
  dark: ["#6f5bb5", "#4f78b5", "#2f94a8", "#1fa187", "#4ac16d", "#a0da39", "#fde725"],
};
const isDark = () => document.documentElement.dataset.theme === "dark";
const colours = () => COLOURS[isDark() ? "dark" : "light"];
const shades = () => SHADES[isDark() ? "dark" : "light"];

// Which of a few colours a row has, and what they mean.
function colouring(column) {
  const { values } = column;
  if (column.categories) {
    const palette = colours();
    const code = (row) => values[row] % palette.length;
    const names = column.categories.map((name, i) => ({ name: name || "(no name)", code: i % palette.length }));
    return { palette, code, names, shaped: true };
  }
  const palette = [...shades()];
  const axis = extent(column, wantsLog(column));
  const last = palette.length - 1;
  const code = (row) => {
    const t = place(axis, values[row]);
    return Number.isNaN(t) ? -1 : Math.round(Math.min(Math.max(t, 0), 1) * last);
  };
  return { palette, code, names: null, low: axis.low, high: axis.high, shaped: false };
}

const SHAPES = [
  (c, x, y, r) => c.arc(x, y, r, 0, 7),
  (c, x, y, r) => c.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
  (c, x, y, r) => { c.moveTo(x, y - r * 1.2); c.lineTo(x + r * 1.1, y + r * 0.8); c.lineTo(x - r * 1.1, y + r * 0.8); },
  (c, x, y, r) => { c.moveTo(x, y - r * 1.3); c.lineTo(x + r * 1.3, y); c.lineTo(x, y + r * 1.3); c.lineTo(x - r * 1.3, y); },
  (c, x, y, r) => { c.moveTo(x, y + r * 1.2); c.lineTo(x + r * 1.1, y - r * 0.8); c.lineTo(x - r * 1.1, y - r * 0.8); },
];

function showKey(host, column, { palette, names, low, high }) {
  if (names) {
    const shown = names.slice(0, 12);
    host.replaceChildren(...shown.map(({ name, code }) => make("span", {},
      mark(palette[code], code), name)), ...(names.length > 12 ? [`and ${names.length - 12} more`] : []));
    return;
  }
  const bar = make("span", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${palette.join(", ")})`;
  host.replaceChildren(make("span", {}, `${column.label}: ${brief(low)} `, bar, ` ${brief(high)}`));
}

function mark(colour, code) {
  const canvas = make("canvas", { width: 28, height: 28, "aria-hidden": "true" });
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = colour;
  ctx.beginPath();
  SHAPES[code % SHAPES.length](ctx, 14, 14, 8);
  ctx.fill();
  return canvas;
}
