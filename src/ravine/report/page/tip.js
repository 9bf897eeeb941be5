// What is told of a trial that is pointed at.

function showTip(row, x, y) {
  const tip = $("tip");
  tip.hidden = row < 0;
  if (row < 0) return;
  const told = columns.filter((column) => !["trial", "rank"].includes(column.name) &&
    !(column.swept && Number.isNaN(column.values[row])));
  tip.replaceChildren(
    make("strong", {}, `trial ${ids[row]}` + (ranks[row] ? ` · rank ${ranks[row]}` : "")),
    make("dl", {}, ...told.flatMap((column) => [make("dt", {}, column.label), make("dd", {}, cell(column, row))])),
  );
  const { offsetWidth: w, offsetHeight: h } = tip;
  tip.style.left = `${Math.max(4, x + 16 + w > innerWidth ? x - w - 16 : x + 16)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 16, innerHeight - h - 4))}px`;
}
