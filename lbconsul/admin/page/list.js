// Many mappings, one line each, those with problems first; a line opens into its lane.

import { Attribute, Words, arrange, element } from "./dom.js";
import { count, plural, rate } from "./format.js";
import { Sparkline } from "./sparkline.js";
import { goalInWords, serves } from "./standing.js";

/** Lines that are shown at first, and that each push of the button adds. */
const AT_ONCE = 100;
const POINTS = 60;
const SIGNS = { bad: "✕", warn: "▲", good: "●" };
const LEVELS = Object.keys(SIGNS);

export class List {
  #items = new Map();
  #order = [];
  #limit = AT_ONCE;
  #seen = new Set();

  /** `laneOf(name)` is the lane of a mapping; `onOpen(name)` is called when it is opened. */
  constructor(root, laneOf, onOpen, onAgain) {
    this.root = root;
    this.laneOf = laneOf;
    this.onOpen = onOpen;
    this.onAgain = onAgain;
    this.lines = element("ul", {});
    this.rest = new Words();
    this.more = element("button", { type: "button", class: "more", hidden: true,
      click: () => this.#showMore() }, this.rest.node);
    const names = ["Mapping", "Upstreams", "Open", "A second", "Failed, 1 min", "Last hour"];
    const heads = names.map((each) => element("span", {}, each));
    root.append(element("p", { class: "line heads", "aria-hidden": "true" }, element("span"), ...heads),
      this.lines, this.more);
    this.observer = new IntersectionObserver((entries) => this.#look(entries));
  }

  /** `rows` are `{mapping, level, hour, rates, failed}`; `matches(mapping)` are shown. */
  update(rows, matches, now) {
    this.rows = new Map(rows.map((each) => [each.mapping.name, each]));
    for (const [name, item] of this.#items)
      if (!this.rows.has(name)) this.#forget(name, item);
    const shown = rows.filter((each) => matches(each.mapping));
    this.#sort(shown);
    const first = this.#order.slice(0, this.#limit);
    this.more.hidden = first.length === shown.length;
    this.rest.set(`Show ${count(Math.min(AT_ONCE, shown.length - first.length))} more of ${count(shown.length)}`);
    const nodes = first.map((name) => this.#item(name).update(this.rows.get(name), now));
    arrange(this.lines, nodes);
    for (const name of this.#seen) this.#draw(name);
    return shown.length;
  }

  /** The names of the lines, in their order. */
  get names() {
    return this.#order;
  }

  /** Open the line of a mapping, even if it is not among the first. */
  open(name) {
    this.#limit = Math.max(this.#limit, this.#order.indexOf(name) + 1);
    this.#item(name).open(true);
    this.onAgain();
  }

  focus(name) {
    this.#item(name).button.focus();
  }

  /** The mapping whose line, or lane, has the focus. */
  get focused() {
    const item = document.activeElement?.closest?.("li[data-mapping]");
    return item ? item.dataset.mapping : null;
  }

  /** The lanes that are open. */
  lanes() {
    return [...this.#items.values()].filter((each) => each.isOpen).map((each) => each.name);
  }

  #sort(shown) {
    const names = new Set(shown.map((each) => each.mapping.name));
    const isSame = names.size === this.#order.length && this.#order.every((each) => names.has(each));
    // Nothing moves below the pointer or the focus.
    if (isSame && this.lines.matches(":hover, :focus-within")) return;
    this.#order = shown
      .sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level))
      .map((each) => each.mapping.name);
  }

  #item(name) {
    let item = this.#items.get(name);
    if (item === undefined) {
      item = new Line(name, this.laneOf, this.onOpen, this.onAgain);
      this.#items.set(name, item);
      this.observer.observe(item.node);
    }
    return item;
  }

  #forget(name, item) {
    this.observer.unobserve(item.node);
    this.#items.delete(name);
    this.#seen.delete(name);
  }

  #showMore() {
    this.#limit += AT_ONCE;
    this.onAgain();
  }

  #look(entries) {
    for (const { target, isIntersecting } of entries) {
      const { mapping } = target.dataset;
      if (isIntersecting) this.#seen.add(mapping);
      else this.#seen.delete(mapping);
      if (isIntersecting) this.#draw(mapping);
    }
  }

  #draw(name) {
    const row = this.rows.get(name);
    if (row !== undefined) this.#items.get(name)?.draw(row.hour);
  }

  repaint() {
    for (const item of this.#items.values()) item.drawn = null;
    for (const name of this.#seen) this.#draw(name);
  }
}

class Line {
  isOpen = false;
  /** The time of the last value that is drawn. */
  drawn = null;

  constructor(name, laneOf, onOpen, onAgain) {
    this.name = name;
    this.laneOf = laneOf;
    this.onOpen = onOpen;
    this.onAgain = onAgain;
    this.words = Object.fromEntries(
      ["sign", "listen", "service", "serving", "open", "begun", "failed"].map((each) => [each, new Words()]),
    );
    this.curve = new Sparkline("connections", POINTS);
    const { sign, listen, service, serving, open, begun, failed } = this.words;
    const cell = (kind, words, unit = "") =>
      element("span", { class: kind }, words.node, unit ? element("small", {}, unit) : null);
    this.button = element("button",
      { type: "button", class: "line", "aria-expanded": "false", click: () => this.toggle() },
      element("span", { class: "sign", "aria-hidden": "true" }, sign.node),
      element("span", { class: "name-of" }, element("b", {}, listen.node), " → ", service.node),
      cell("serving", serving, " serving"), cell("open", open, " open"),
      element("span", { class: "begun" }, begun.node), cell("failed", failed, " failed"),
      this.curve.node);
    this.node = element("li", { "data-mapping": name }, this.button);
    this.level = new Attribute(this.node, "data-level");
    this.fails = new Attribute(this.button, "data-fails");
    this.expanded = new Attribute(this.button, "aria-expanded");
  }

  update({ mapping, level, rates, failed }, now) {
    const { words } = this;
    this.level.set(level);
    words.sign.set(SIGNS[level]);
    words.listen.set(mapping.route ? `${mapping.listen} ${mapping.route}` : mapping.listen);
    words.service.set(goalInWords(mapping));
    words.serving.set(servingInWords(mapping));
    words.open.set(count(mapping.open));
    const perSecond = mapping.http ? rates.requests : rates.connections;
    words.begun.set(`${rate(perSecond)} ${mapping.http ? "requests" : "new"}`);
    words.failed.set(count(Math.round(failed)));
    this.fails.set(failed >= 0.5);
    if (this.isOpen) this.laneOf(this.name).update(mapping, now);
    return this.node;
  }

  draw(hour) {
    const last = hour.times.at(-1) ?? null;
    if (last === this.drawn) return;
    this.drawn = last;
    const values = thinned(hour.connections, POINTS);
    this.curve.draw(values, Math.max(1, ...values), thinned(hour.failed, POINTS));
  }

  toggle() {
    this.open(!this.isOpen);
    this.onAgain();
  }

  open(is) {
    if (is === this.isOpen) return;
    this.isOpen = is;
    this.expanded.set(String(is));
    const lane = this.laneOf(this.name);
    if (is) this.node.append(lane.node);
    else lane.node.remove();
    if (is) this.onOpen(this.name);
  }
}

function servingInWords({ pools }) {
  const all = pools.filter((pool) => pool.used || pools.length === 1).flatMap((pool) => pool.upstreams);
  return `${count(all.filter((each) => serves(each.standing)).length)} of ${count(all.length)}`;
}

/** As many values at most: each is a mean of some. */
function thinned(values, most) {
  const step = Math.ceil(values.length / most) || 1;
  const means = [];
  for (let end = values.length; end > 0; end -= step) {
    const known = values.slice(Math.max(0, end - step), end).filter((each) => each !== null);
    means.push(known.length ? known.reduce((a, b) => a + b, 0) / known.length : null);
  }
  return means.reverse();
}

/** "3 of 12 mappings", or nothing if all are shown. */
export function matchesInWords(shown, all) {
  return shown === all ? "" : `${count(shown)} of ${plural(all, "mapping")}`;
}
