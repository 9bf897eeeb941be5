// Draws points on the canvas of a chart: as shapes where there are few, as pixels where many.

function figures({ chart: { ctx }, px, py, off }, rows, colour, alpha, shape) {
  const ratio = uPlot.pxRatio ?? devicePixelRatio;
  const r = (size > 1000 ? 2.6 : 3.4) * ratio, d = 3 * ratio;
  ctx.fillStyle = ctx.strokeStyle = colour;
  ctx.globalAlpha = alpha;
  ctx.lineWidth = 1.4 * ratio;
  const crosses = new Path2D();
  for (const row of rows) {
    const x = px[row] * ratio, y = py[row] * ratio;
    if (off[row]) {
      crosses.moveTo(x - d, y - d); crosses.lineTo(x + d, y + d);
      crosses.moveTo(x + d, y - d); crosses.lineTo(x - d, y + d);
    } else { ctx.beginPath(); shape(ctx, x, y, r); ctx.fill(); }
  }
  ctx.stroke(crosses);
}

// Many points, as pixels: a hundred thousand calls of a canvas would take seconds.
function sprinkle({ chart: { ctx, bbox }, px, py }, groups, paints, alpha) {
  const ratio = uPlot.pxRatio ?? devicePixelRatio;
  const { left, top, width, height } = bbox;
  const image = new ImageData(width, height), { data } = image;
  const wide = Math.max(2, Math.round((size > 20000 ? 2.2 : 3) * ratio)), half = wide >> 1;
  const inks = paints.map((paint) => [1, 3, 5].map((i) => parseInt(paint.slice(i, i + 2), 16)));
  // A part of every colour at a time, so that none covers all others.
  const turns = 32;
  for (let turn = 0; turn < turns; turn++) {
    groups.forEach((rows, group) => {
      const ink = inks[group];
      for (let i = turn; i < rows.length; i += turns) {
        const x0 = Math.round(px[rows[i]] * ratio) - half, y0 = Math.round(py[rows[i]] * ratio) - half;
        for (let y = Math.max(y0, 0); y < Math.min(y0 + wide, height); y++) {
          for (let x = Math.max(x0, 0); x < Math.min(x0 + wide, width); x++) {
            const at = 4 * (y * width + x);
            const under = (data[at + 3] / 255) * (1 - alpha), all = alpha + under;
            for (let k = 0; k < 3; k++) data[at + k] = (ink[k] * alpha + data[at + k] * under) / all;
            data[at + 3] = 255 * all;
          }
        }
      }
    });
  }
  const sheet = make("canvas", { width, height });
  sheet.getContext("2d").putImageData(image, 0, 0);
  ctx.drawImage(sheet, left, top);
}
