// What changed, the newest first.

import { Words, arrange, element, svg } from "./dom.js";
import { clock } from "./format.js";
import { STANDINGS } from "./standing.js";

/** So many at first, and more with each push of the button. */
const AT_ONCE = matchMedia("(min-width: 40rem)").matches ? 40 : 12;

const PLUS = "M6.9 2h2.2v4.9H14v2.2H9.1V14H6.9V9.1H2V6.9h4.9z";
const MINUS = "M2 6.9h12v2.2H2z";
const TILDE = "M1.5 9.6c2-4.6 4.6-4.6 6.5-2.2s3 1.6 4.4-1.6l2.1 1c-2 4.6-4.6 4.6-6.5 2.2s-3-1.6-4.4 1.6z";
const BANG = "M6.8 1.5h2.4v8.2H6.8zM6.8 11.8h2.4v2.6H6.8z";
const CHECK = "M6.2 13.3L1.4 8.5L3.1 6.8L6.2 9.9L12.9 3.2L14.6 4.9z";

/** The sign and the colour of each kind. */
const KINDS = {
  joined: [PLUS, "serving"],
  left: [MINUS, "ejected"],
  changed: [TILDE, "muted"],
  ejected: [STANDINGS.ejected.path, "ejected"],
  restored: [CHECK, "serving"],
  suspect: [STANDINGS.suspect.path, "suspect"],
  confirmed: [CHECK, "muted"],
  down: [BANG, "ejected"],
  up: [CHECK, "serving"],
  "fail-open": [BANG, "suspect"],
  "fail-closed": [CHECK, "muted"],
  drained: [STANDINGS.draining.path, "draining"],
  undrained: [STANDINGS.serving.path, "serving"],
  failing: [BANG, "ejected"],
  recovered: [CHECK, "serving"],
  reloaded: [TILDE, "muted"],
  draining: [STANDINGS.draining.path, "draining"],
};

export class Timeline {
  #items = new WeakMap();
  #limit = AT_ONCE;

  constructor(root) {
    this.list = element("ol", {});
    this.none = element("p", { class: "nothing" },
      "Nothing has changed yet. Upstreams that join, leave, are ejected or drained show up here.");
    this.more = element(
      "button",
      { type: "button", class: "more", click: () => this.#showMore() },
      "Show older",
    );
    root.append(this.none, this.list, this.more);
  }

  update(events) {
    this.events = events;
    this.none.hidden = events.length > 0;
    this.more.hidden = events.length <= this.#limit;
    const shown = events.slice(0, this.#limit);
    arrange(this.list, shown.map((each) => this.#item(each)));
  }

  #showMore() {
    this.#limit += AT_ONCE;
    this.update(this.events);
  }

  #item(event) {
    let item = this.#items.get(event);
    if (item === undefined) {
      item = itemOf(event);
      this.#items.set(event, item);
    }
    return item;
  }
}

function itemOf({ time, kind, text }) {
  const [path, ink] = KINDS[kind] ?? [TILDE, "muted"];
  return element(
    "li",
    { "data-kind": kind },
    element("time", { datetime: new Date(time * 1000).toISOString() }, clock(time)),
    svg("svg", { viewBox: "0 0 16 16", class: `ink-${ink}`, "aria-hidden": "true" },
      svg("path", { d: path })),
    element("span", {}, ...sentence(kind, text)),
  );
}

/** The text with its kind in bold: in its place, or before a text without it. */
function sentence(kind, text) {
  const bold = element("b", {}, kind);
  if (text.startsWith(`${kind}:`)) return [bold, text.slice(kind.length)];
  const [before, ...after] = text.split(` ${kind}`);
  if (after.length === 0) return [bold, ` ${text}`];
  return [`${before} `, bold, after.join(` ${kind}`)];
}

/** Tells changes to those who hear the page: not each, if many come at once. */
export class Announcer {
  #waiting = [];
  #timer = null;

  constructor(root) {
    this.words = new Words();
    root.append(this.words.node);
  }

  say(text) {
    this.#waiting.push(text);
    this.#timer ??= setTimeout(() => this.#speak(), 800);
  }

  #speak() {
    this.#timer = null;
    const [first, ...others] = this.#waiting;
    this.#waiting = [];
    this.words.set(others.length ? `${first}; and ${others.length} more changes` : first);
  }
}
