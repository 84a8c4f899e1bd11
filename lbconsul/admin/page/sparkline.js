// The last minute of one figure, in the space of a word.

import { prepared } from "./canvas.js";
import { element } from "./dom.js";
import { colour } from "./palette.js";

const WIDTH = 52;
const HEIGHT = 20;
/** The line is as wide as so many samples at least. */
const FEWEST = 20;

export class Sparkline {
  /** `ink` is the name of its colour. */
  constructor(ink, length) {
    this.node = element("canvas", { class: "sparkline", "aria-hidden": "true" });
    this.node.style.width = `${WIDTH}px`;
    this.node.style.height = `${HEIGHT}px`;
    this.ink = ink;
    this.length = length;
  }

  /**
   * `values` in the order of time, null where unknown; `top` is full height.  Over them
   * goes what failed, if anything did.
   */
  draw(values, top, failed = []) {
    const { context } = prepared(this.node, WIDTH, HEIGHT);
    const places = Math.min(this.length, Math.max(FEWEST, values.length));
    const step = WIDTH / (places - 1);
    const first = places - values.length;
    const y = (value) => HEIGHT - 1.5 - (value / top) * (HEIGHT - 3);
    context.lineWidth = 1.25;
    context.lineJoin = "round";
    this.#line(context, colour(this.ink), values, (place) => (first + place) * step, y);
    if (failed.some((each) => each > 0))
      this.#line(context, colour("failed"), failed, (place) => (first + place) * step, y);
  }

  #line(context, ink, values, xOf, y) {
    context.strokeStyle = ink;
    context.beginPath();
    let drawing = false;
    values.forEach((value, place) => {
      const x = xOf(place);
      if (value === null) drawing = false;
      else if (drawing) context.lineTo(x, y(value));
      else {
        context.moveTo(x, y(value));
        drawing = true;
      }
    });
    context.stroke();
  }
}
