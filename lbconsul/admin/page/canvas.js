// A canvas as large as its element, sharp on every screen.

/** The context of `canvas`, cleared, in CSS pixels: `{context, width, height}`. */
export function prepared(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const columns = Math.round(width * ratio);
  const rows = Math.round(height * ratio);
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

const COARSE = [1, 2, 4, 6, 8, 10];
export const FINE = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

/** The least of `least`, or 1, 2, 4, 6, 8, 10, 20 ... that is not below `value`. */
export function niceCeiling(value, least = 1, steps = COARSE) {
  if (value <= least) return least;
  const power = 10 ** Math.floor(Math.log10(value));
  return steps.find((each) => each * power >= value) * power;
}
