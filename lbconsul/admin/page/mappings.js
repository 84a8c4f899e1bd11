// All mappings: a lane each if they are few, else a list of lines that open into lanes.

import { FEW } from "./connection.js";
import { arrange } from "./dom.js";
import { History } from "./history.js";
import { lastMinute } from "./hour.js";
import { Lane } from "./lane.js";
import { List, matchesInWords } from "./list.js";
import { problemsOf } from "./problems.js";

export class Mappings {
  #lanes = new Map();
  /** The place that the address of the page names, until it is shown. */
  #wanted = null;
  /** The mapping to which the keys led. */
  #stepped = null;

  constructor(root, store, view, { onOrder, onOpen, onAgain }) {
    this.store = store;
    this.view = view;
    this.onOrder = onOrder;
    this.onAgain = onAgain;
    this.lanes = root.querySelector("#lanes");
    this.list = new List(root.querySelector("#list"), (name) => this.#lane(name), onOpen, onAgain);
  }

  /** Show them; returns what is wrong. */
  update(status, now) {
    const { mappings } = status;
    const problems = problemsOf(status, (name) => this.#lately(name));
    const isMany = mappings.length > FEW;
    this.list.root.hidden = !isMany;
    this.lanes.hidden = isMany;
    const names = new Set(mappings.map((each) => each.name));
    for (const name of this.#lanes.keys()) if (!names.has(name)) this.#lanes.delete(name);
    let matches = "";
    if (isMany) matches = this.#showList(mappings, problems, now);
    else this.#showLanes(mappings, now);
    this.view.update(isMany, matches);
    this.#reveal(names, isMany);
    return problems;
  }

  #showLanes(mappings, now) {
    const lanes = mappings.map((mapping) => {
      const lane = this.#lane(mapping.name);
      lane.update(mapping, now);
      return lane.node;
    });
    arrange(this.lanes, lanes);
  }

  #showList(mappings, problems, now) {
    const levels = new Map();
    for (const { level, mapping } of problems) if (!levels.has(mapping)) levels.set(mapping, level);
    const rows = mappings.map((mapping) => ({
      mapping,
      level: levels.get(mapping.name) ?? "good",
      hour: this.store.hour(mapping.name),
      rates: this.#history(mapping.name).latest,
      failed: this.#lately(mapping.name).failed,
    }));
    const shown = this.list.update(rows, (mapping) => this.view.shows(mapping), now);
    return matchesInWords(shown, mappings.length);
  }

  #history(name) {
    return this.store.history(name) ?? new History(0);
  }

  /** What began, and what failed, in the last minute. */
  #lately(name) {
    const [hour, live] = [this.store.hour(name), this.#history(name)];
    const sum = (column) => lastMinute(hour, live, column);
    return { begun: Math.max(sum("connections"), sum("requests")), failed: sum("failed") };
  }

  #lane(name) {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = new Lane(this.store, name, this.view, this.onOrder, this.onAgain);
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  /** Go where an address of the page leads, as soon as that is shown. */
  follow(hash) {
    const place = new URLSearchParams(hash.slice(1));
    this.#wanted = place.has("mapping") ? place : null;
    if (this.#wanted !== null && this.store.status !== null) this.onAgain();
  }

  /** Draw everything again, in other colours. */
  repaint() {
    this.#lanes.forEach((lane) => lane.repaint());
    this.list.repaint();
  }

  #reveal(names, isMany) {
    const [mapping, upstream] = ["mapping", "upstream"].map((each) => this.#wanted?.get(each));
    this.#wanted = null;
    if (!names.has(mapping)) return;
    if (isMany) {
      if (!this.list.names.includes(mapping)) this.view.clear();
      this.list.open(mapping);
    }
    // Its parts are there with the next frame.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#lane(mapping).reveal(upstream)));
  }

  /** Go to the next mapping, or to the one before. */
  step(by) {
    const { mappings } = this.store.status ?? { mappings: [] };
    const isMany = mappings.length > FEW;
    const names = isMany ? this.list.names : mappings.map((each) => each.name);
    if (names.length === 0) return;
    const place = names.indexOf(isMany ? this.list.focused : this.#stepped);
    const next = names[Math.min(names.length - 1, Math.max(0, place + by))];
    this.#stepped = next;
    if (isMany) this.list.focus(next);
    else this.#lane(next).reveal();
  }
}
