// The open connections of a large pool, side by side: a bar for each upstream, by its
// weight, so that a flat top is an even balance.  Those that do not serve have a mark
// below the ground, so that they are seen even without connections.

import { FINE, niceCeiling, prepared } from "./canvas.js";
import { Attribute, Words, element } from "./dom.js";
import { count, plural } from "./format.js";
import { colour } from "./palette.js";
import { serves } from "./standing.js";

const HEIGHT = 88;
const GROUND = 12;
const SMALLEST_TOP = 2;
/** How deep the mark of each standing is: told apart without colour. */
const DEPTHS = { warming: 3, suspect: 5, draining: 7, ejected: 11 };

export class Skyline {
  #upstreams = [];
  #scale = null;
  #top = SMALLEST_TOP;
  #width = 0;
  #pointedAt = null;

  /** `onPick(upstream)` is called when a bar is clicked. */
  constructor(onPick) {
    this.canvas = element("canvas", { role: "img" });
    this.label = new Attribute(this.canvas, "aria-label");
    this.canvas.style.height = `${HEIGHT}px`;
    this.pointed = new Words();
    this.node = element(
      "figure",
      { class: "skyline" },
      this.canvas,
      element("figcaption", { "aria-hidden": "true" }, this.pointed.node),
    );
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => {
      this.#pointedAt = null;
      this.#describe(null);
    });
    this.canvas.addEventListener("click", (event) => {
      const found = this.#at(event);
      if (found) onPick(found);
    });
    this.observer = new ResizeObserver(([entry]) => {
      this.#width = entry.contentRect.width;
      if (this.#scale) this.draw(this.#upstreams, this.#scale);
    });
    this.observer.observe(this.canvas);
  }

  draw(upstreams, scale) {
    this.#upstreams = upstreams;
    this.#scale = scale;
    this.#top = niceCeiling(1.15 * highestOf(upstreams), SMALLEST_TOP, FINE);
    this.#describe(this.#pointedAt);
    const number = upstreams.length;
    if (this.#width === 0 || number === 0) return;
    const { context } = prepared(this.canvas, this.#width, HEIGHT);
    const step = this.#width / number;
    const gap = step >= 4 ? 1 : step >= 2 ? 0.5 : 0;
    const roof = HEIGHT - GROUND;
    const tall = (value) => Math.min(1, value / this.#top) * (roof - 2);
    upstreams.forEach((each, place) => {
      const x = place * step;
      const wide = Math.max(0.75, step - gap);
      const height = each.open > 0 ? Math.max(1, tall(load(each))) : 0;
      const inks = serves(each.standing);
      context.fillStyle = colour(inks ? "connections" : each.standing);
      context.fillRect(x, roof - height, wide, height);
      const depth = DEPTHS[each.standing];
      if (depth === undefined) return;
      context.fillStyle = colour(each.standing);
      context.fillRect(x, roof + 1, Math.max(2, wide), depth);
    });
    this.#drawFair(context, step, roof, tall);
    context.fillStyle = colour("muted");
    context.fillRect(0, roof, this.#width, 1);
  }

  #drawFair(context, step, roof, tall) {
    context.strokeStyle = colour("ink");
    context.lineWidth = 1;
    context.beginPath();
    let before = null;
    this.#upstreams.forEach((each, place) => {
      const fair = this.#scale.fairOf(each);
      const own = fair === null ? null : tall(fair / weightOf(each));
      const y = own === null ? null : Math.round(roof - own) + 0.5;
      if (y !== null) {
        if (before !== y) context.moveTo(place * step, y);
        context.lineTo((place + 1) * step, y);
      }
      before = y;
    });
    context.stroke();
  }

  #at(event) {
    const { left } = this.canvas.getBoundingClientRect();
    const place = Math.floor(
      ((event.clientX - left) / this.#width) * this.#upstreams.length,
    );
    return this.#upstreams[place];
  }

  #point(event) {
    this.#pointedAt = this.#at(event) ?? null;
    this.#describe(this.#pointedAt);
  }

  #describe(pointed) {
    if (pointed !== null) {
      const { service_id: name, open, standing } = pointed;
      this.pointed.set(
        `${name}: ${count(open)} open at weight ${weightOf(pointed)}, ${standing}`,
      );
      return;
    }
    const what = this.#upstreams.every((each) => weightOf(each) === 1)
      ? "Open connections"
      : "Open connections for each point of weight";
    const words = `${what}, ${plural(this.#upstreams.length, "upstream")}`;
    this.pointed.set(`${words}; full height is ${count(this.#top)}`);
    this.label.set(`${words}: ${this.#range()}`);
  }

  #range() {
    const loads = this.#upstreams.filter((each) => serves(each.standing)).map(load);
    if (loads.length === 0) return "none serves";
    const [least, most] = [Math.min, Math.max].map((of) => loads.reduce((a, b) => of(a, b)));
    return `those that serve have ${least.toFixed(1)} to ${most.toFixed(1)}`;
  }
}

/** Those that do not serve may have more: their bars are cut. */
function highestOf(upstreams) {
  const serving = upstreams.filter((each) => serves(each.standing));
  const measured = serving.length > 0 ? serving : upstreams;
  return measured.reduce((most, each) => Math.max(most, load(each)), 0);
}

const weightOf = (upstream) => upstream.weight || 1;

const load = (upstream) => upstream.open / weightOf(upstream);
