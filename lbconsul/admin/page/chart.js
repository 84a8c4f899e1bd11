// What a mapping did lately: requests, new connections and bytes a second, and what went
// wrong, with a line where something changed.

import { Attribute, Words, element } from "./dom.js";
import { bytes, clock, count, rate } from "./format.js";
import { colour, onColours } from "./palette.js";
import { niceCeiling } from "./canvas.js";
import { hourly, joined } from "./hour.js";

const { uPlot } = window;
const HEIGHT = 108;
/** What a chart can be of: seconds, by name. */
export const SPANS = { "5 min": 300, "15 min": 900, "1 h": 3600 };
/** By the second is no chart of a longer time. */
const SHORT = 300;
/** Of so many seconds at least. */
const SHORTEST = 60;

const DRAWN = ["connections", "sent", "received", "requests", "failed"];
const FAILED = 1 + DRAWN.indexOf("failed");
const MINUTES = uPlot.fmtDate("{HH}:{mm}");
const SECONDS = uPlot.fmtDate("{HH}:{mm}:{ss}");

/** The colour of what changed, where it is neither good nor bad news. */
const OTHER_NEWS = "line";
const NEWS = {
  joined: "serving", restored: "serving", recovered: "serving", up: "serving",
  left: "ejected", ejected: "ejected", failing: "ejected", down: "ejected",
  suspect: "suspect", "fail-open": "suspect", drained: "draining", draining: "draining",
};

export class Chart {
  #plot = null;
  #now = 0;
  #begin = 0;
  #events = [];
  #data = [[], ...DRAWN.map(() => [])];
  #span = 3600;

  /** `name` is that of the mapping. */
  constructor(name) {
    this.name = name;
    this.pointed = new Words();
    this.readout = element("p", { class: "readout", hidden: true }, this.pointed.node);
    this.node = element(
      "div",
      { class: "chart", role: "img" },
      this.readout,
    );
    this.label = new Attribute(this.node, "aria-label");
    this.observer = new ResizeObserver(([entry]) => this.#fit(entry.contentRect.width));
    this.observer.observe(this.node);
    onColours(() => this.#plot?.redraw(false, true));
  }

  /** `events` are those that are to be marked; `span` is the name of one. */
  update(hour, live, events, span, now) {
    this.#now = now;
    this.#span = SPANS[span];
    const isYoung = !(hour.times.length > 1 && now - hour.times[0] > SHORT);
    const isShort = this.#span <= SHORT || isYoung;
    this.#data = isShort ? joined(hour, live, DRAWN) : hourly(hour, DRAWN);
    this.#data[FAILED] = withoutNothing(this.#data[FAILED]);
    const known = now - (this.#data[0][0] ?? now);
    this.#begin = now - Math.min(this.#span, Math.max(SHORTEST, known));
    this.#events = events;
    this.label.set(`New connections and bytes of ${this.name}, and what failed, in the last ${span}`);
    this.#plot?.setData(this.#data);
  }

  #fit(width) {
    if (width === 0) return;
    if (this.#plot === null)
      this.#plot = new uPlot(this.#options(width), this.#data, this.node);
    else this.#plot.setSize({ width, height: HEIGHT });
  }

  #options(width) {
    const font = "11px system-ui, sans-serif";
    const axis = (options) => ({
      font,
      stroke: () => colour("muted"),
      ticks: { show: false },
      grid: { show: false },
      ...options,
    });
    const line = (name, scale, options) => ({
      scale,
      stroke: () => colour(name),
      width: 1.5,
      points: { show: false },
      ...options,
    });
    return {
      width,
      height: HEIGHT,
      padding: [8, 0, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 5 } },
      scales: {
        x: { time: true, range: () => [this.#begin, this.#now] },
        connections: { range: fromZero(2) },
        bytes: { range: fromZero(1000) },
      },
      axes: [
        axis({ size: 22, gap: 6, space: 90, values: (_, splits) => this.#clocks(splits) }),
        axis({
          ...scaleOf("connections", (each) => (Number.isInteger(each) ? count(each) : rate(each)), 44),
          grid: { show: true, stroke: () => colour("line"), width: 1 },
        }),
        axis({ ...scaleOf("bytes", (each) => (each ? bytes(each) : "0"), 60), side: 1 }),
      ],
      series: [
        {},
        line("connections", "connections"),
        line("bytes", "bytes"),
        line("bytes", "bytes", { dash: [2, 3] }),
        line("requests", "connections"),
        line("failed", "connections", { width: 2, fill: () => colour("failed-paper") }),
      ],
      hooks: {
        drawClear: [(plot) => this.#mark(plot)],
        setCursor: [(plot) => this.#point(plot.cursor.idx)],
      },
    };
  }

  #clocks(splits) {
    const inWords = this.#now - this.#begin > SHORT ? MINUTES : SECONDS;
    return splits.map((each) => inWords(new Date(1000 * each)));
  }

  #point(place) {
    const [times, connections, sent, received, requests, failed] = this.#data;
    const known = typeof connections[place] === "number";
    this.readout.hidden = !known;
    if (!known) return;
    const begun = typeof requests[place] === "number" ? ` ${rate(requests[place])} requests,` : "";
    this.pointed.set(
      `${clock(times[place])}:${begun} ${rate(connections[place])} new,` +
        `${failed[place] ? ` ${rate(failed[place])} failed,` : ""}` +
        ` ${bytes(sent[place])} to and ${bytes(received[place])} from clients`,
    );
  }

  /** Lines at what changed, below the curves. */
  #mark(plot) {
    const { ctx: context, bbox } = plot;
    context.save();
    context.lineWidth = devicePixelRatio;
    context.setLineDash([2 * devicePixelRatio, 2 * devicePixelRatio]);
    for (const { time, kind } of this.#events) {
      if (time < this.#begin) break;
      const x = Math.round(plot.valToPos(time, "x", true)) + 0.5;
      context.strokeStyle = colour(NEWS[kind] ?? OTHER_NEWS);
      context.beginPath();
      context.moveTo(x, bbox.top);
      context.lineTo(x, bbox.top + bbox.height);
      context.stroke();
    }
    context.restore();
  }
}

/** Null instead of nothing, but beside something: a line at the ground says little. */
function withoutNothing(values) {
  return values.map((each, place) =>
    each || values[place - 1] || values[place + 1] ? each : null,
  );
}

/** From nothing up to a round number, and to `least` at least. */
const fromZero = (least) => (_, __, top) => [0, niceCeiling((top ?? 0) * 1.05, least)];

/** An axis with lines at nothing, half and full, so that those of both sides meet. */
function scaleOf(scale, inWords, size) {
  return {
    scale,
    size,
    gap: 5,
    splits: (_, __, ___, top) => [0, top / 2, top],
    values: (_, splits) => splits.map(inWords),
  };
}
