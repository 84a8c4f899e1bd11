// One upstream: a row of a pool's table, which is a branch of its lane where there is
// room, and one dense line where there are many.

import { Details } from "./details.js";
import { Attribute, StyleValue, Words, element, svg } from "./dom.js";
import { bytes, count, latency, rate, shortSpan } from "./format.js";
import { Sparkline } from "./sparkline.js";
import { drainInWords, serves, standingOf } from "./standing.js";

const SAMPLES = 60;
/** For how long a row is tinted whose standing has changed, in milliseconds. */
const FLASH = 2500;
/** The reason of one that an operator has drained. */
const BY_HAND = "drained by hand";

/** The columns, by the name of their class; those with `order` can be sorted by. */
export const COLUMNS = [
  { name: "standing", label: "Standing", order: "standing" },
  { name: "who", label: "Upstream", order: "name" },
  { name: "open", label: "Open now", order: "open", most: true },
  { name: "fresh", label: "New", order: "fresh", most: true },
  { name: "moved", label: "Bytes", order: "moved", most: true },
  { name: "slow", label: "1st byte", order: "slow", most: true },
  { name: "weight", label: "Weight", order: "weight", most: true },
  { name: "why", label: "Why, and for how long", order: "since", most: true },
  { name: "act", label: "Orders" },
];

export class Row {
  #standing;
  #verb = "drain";
  #details = null;

  /** `onOrder(upstream, verb)` is called by its buttons. */
  constructor(upstream, history, onOrder) {
    this.upstream = upstream;
    this.history = history;
    this.onOrder = onOrder;
    this.#build();
  }

  #build() {
    this.mark = svg("path");
    this.word = new Words();
    this.address = new Words();
    this.machine = new Words();
    this.open = new Words();
    this.fresh = new Words();
    this.moved = new Words();
    this.half = new Words();
    this.most = new Words();
    this.weight = new Words();
    this.why = new Words();
    this.since = new Words();
    this.failing = new Words();
    this.verb = new Words();
    this.freshLine = new Sparkline("connections", SAMPLES);
    this.movedLine = new Sparkline("bytes", SAMPLES);

    this.name = element(
      "button",
      { class: "name", type: "button", "aria-expanded": "false", click: () => this.toggle() },
      this.upstream.service_id,
    );
    this.button = element(
      "button",
      { class: "order", type: "button", click: () => this.#order() },
      this.verb.node,
      element("span", { class: "unseen" }, ` ${this.upstream.service_id}`),
    );
    this.meter = element("span", { class: "meter", "aria-hidden": "true" });
    const figure = (words, unit) =>
      element("span", { class: "figure" }, words.node, element("small", {}, unit));

    this.node = element(
      "div",
      { class: "row", role: "row", "data-upstream": this.upstream.id },
      cell("standing", svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, this.mark),
        element("span", { class: "word" }, this.word.node)),
      cell("who", this.name,
        element("span", { class: "where" },
          element("span", {}, this.address.node), " ",
          element("span", {}, this.machine.node))),
      cell("open", this.meter, element("span", { class: "figure" }, this.open.node)),
      cell("fresh", this.freshLine.node, figure(this.fresh, " /s")),
      cell("moved", this.movedLine.node, figure(this.moved, "/s")),
      cell("slow", element("span", { class: "figure" }, this.half.node),
        element("span", { class: "figure" }, this.most.node)),
      cell("weight", element("span", { class: "figure" }, this.weight.node)),
      cell("why", element("span", { class: "reason" }, this.why.node),
        element("span", { class: "since" }, this.since.node),
        element("span", { class: "failing", hidden: true }, this.failing.node)),
      cell("act", this.button),
    );
    this.standing = new Attribute(this.node, "data-standing");
    this.path = new Attribute(this.mark, "d");
    this.fine = new Attribute(this.node.querySelector(".failing"), "hidden");
    this.title = new Attribute(this.node.querySelector(".reason"), "title");
    this.part = new StyleValue(this.node, "--part");
    this.fair = new StyleValue(this.node, "--fair");
    this.flow = new StyleValue(this.node, "--flow");
    this.unfair = new Attribute(this.meter, "data-unknown");
    this.pressed = new Attribute(this.button, "data-verb");
  }

  /**
   * Show what it is now.  `scale` is what its pool has in common: `{top, fresh,
   * moved, fairOf(upstream), now}`.
   */
  update(scale) {
    const { upstream } = this;
    const rates = this.history?.latest ?? { connections: 0, received: 0, sent: 0 };
    this.#showStanding(upstream);
    this.address.set(upstream.address);
    this.machine.set(upstream.node);
    this.open.set(count(upstream.open));
    this.fresh.set(rate(rates.connections));
    this.moved.set(bytes(rates.received + rates.sent));
    const [half, most] = firstByteOf(upstream);
    this.half.set(latency(half));
    this.most.set(latency(most));
    this.weight.set(weightInWords(upstream));
    this.why.set(upstream.reason);
    this.title.set(upstream.reason || null);
    const since = shortSpan(scale.now - upstream.since);
    const left = drainInWords(upstream);
    this.since.set(left ? `${left}, for ${since}` : since);
    this.#showFailures(upstream);
    const fair = scale.fairOf(upstream);
    this.part.set((upstream.open / scale.top).toFixed(3));
    this.flow.set(`${(1.5 + 5.5 * (upstream.open / scale.top)).toFixed(1)}px`);
    this.unfair.set(fair === null);
    if (fair !== null) this.fair.set(Math.min(1, fair / scale.top).toFixed(3));
    this.#details?.update(upstream, scale);
  }

  /** Draw its sparklines; worth it only while it can be seen. */
  draw(scale) {
    if (this.history === undefined) return;
    const { connections, received, sent } = this.history;
    this.freshLine.draw(connections, scale.fresh);
    this.movedLine.draw(
      received.map((each, place) => (each === null ? null : each + sent[place])),
      scale.moved,
    );
  }

  /** Show or hide all that is known about it, in a row below. */
  toggle() {
    if (this.#details === null) {
      this.#details = new Details(this.upstream, COLUMNS.length, this.onOrder);
      this.node.after(this.#details.node);
    } else {
      this.#details.node.remove();
      this.#details = null;
    }
    this.name.setAttribute("aria-expanded", String(this.#details !== null));
  }

  get isOpen() {
    return this.#details !== null;
  }

  /** The rows of the table that it takes. */
  get nodes() {
    return this.#details === null ? [this.node] : [this.node, this.#details.node];
  }

  /** Whether its lane's stem ends here. */
  last(is) {
    this.node.classList.toggle("last", is);
  }

  /** An order about it is under way, or not any more. */
  busy(is) {
    this.button.toggleAttribute("aria-busy", is);
  }

  #showFailures({ failures_per_minute: failures = 0, last_error: error }) {
    const fails = failures >= 0.05;
    if (this.fine.set(!fails) || fails) this.failing.set(`${rate(failures)} failures a minute: ${error}`);
  }

  #showStanding({ standing, reason }) {
    // A drain by Consul cannot be undone here.
    this.#verb = reason === BY_HAND ? "undrain" : "drain";
    this.verb.set(this.#verb === "undrain" ? "Undrain" : "Drain");
    this.pressed.set(this.#verb);
    if (standing === this.#standing) return;
    const changed = this.#standing !== undefined;
    this.#standing = standing;
    this.standing.set(standing);
    this.path.set(standingOf(standing).path);
    this.word.set(standing);
    if (changed) this.#flash();
  }

  #flash() {
    // Tinted for a while: an animation would repaint the page sixty times a second.
    this.node.classList.add("changed");
    clearTimeout(this.flashEnds);
    this.flashEnds = setTimeout(() => this.node.classList.remove("changed"), FLASH);
  }

  #order() {
    this.onOrder(this, this.#verb);
  }
}

function cell(name, ...children) {
  return element("div", { class: `cell ${name}`, role: "cell" }, ...children);
}

function weightInWords({ weight, effective_weight: effective, standing }) {
  const partly = serves(standing) && Math.abs(effective - weight) > 0.005 * weight;
  return partly ? `${+effective.toFixed(1)} of ${weight}` : count(weight);
}

/** Its p50 and p99; an older gateway knows them of requests alone. */
export function firstByteOf({ first_byte_p50: half, first_byte_p99: most, http }) {
  return [half ?? http?.first_byte_p50, most ?? http?.first_byte_p99];
}
