// What makes many upstreams readable: the skyline, a search, and a switch for each
// standing.

import { Words, element, svg } from "./dom.js";
import { count } from "./format.js";
import { Skyline } from "./skyline.js";
import { STANDINGS, standingOf } from "./standing.js";

/** What a pool of many has beside its table. */
export class Dense {
  #hidden = new Set();
  #chips = new Map();

  constructor({ onSearch, onHide, onPick }) {
    this.onHide = onHide;
    this.skyline = new Skyline(onPick);
    this.matches = new Words();
    const search = element("input", {
      type: "search",
      placeholder: "name, address, node, tag, reason",
      "aria-label": "Show only upstreams with this in them",
      input: (event) => onSearch(event.target.value.trim().toLowerCase()),
    });
    const chips = Object.keys(STANDINGS).map((each) => this.#chip(each));
    this.node = element(
      "div",
      { class: "dense" },
      this.skyline.node,
      element(
        "div",
        { class: "tools" },
        search,
        element("div", { class: "chips", role: "group", "aria-label": "Standings shown" },
          ...chips),
        element("output", {}, this.matches.node),
      ),
    );
  }

  update(upstreams, shown, scale) {
    const counts = {};
    for (const { standing } of upstreams)
      counts[standing] = (counts[standing] ?? 0) + 1;
    for (const [standing, chip] of this.#chips) {
      chip.words.set(count(counts[standing] ?? 0));
      chip.button.hidden = !counts[standing] && !this.#hidden.has(standing);
    }
    this.skyline.draw(shown, scale);
  }

  shown(number, all) {
    this.matches.set(number === all ? "" : `${count(number)} of ${count(all)}`);
  }

  #chip(standing) {
    const words = new Words();
    const button = element(
      "button",
      { type: "button", class: "chip", "aria-pressed": "true", "data-standing": standing,
        click: () => this.#toggle(standing, button) },
      svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" },
        svg("path", { d: standingOf(standing).path })),
      `${standing} `,
      element("b", {}, words.node),
    );
    this.#chips.set(standing, { button, words });
    return button;
  }

  #toggle(standing, button) {
    const hide = !this.#hidden.delete(standing);
    if (hide) this.#hidden.add(standing);
    button.setAttribute("aria-pressed", String(!hide));
    this.onHide(new Set(this.#hidden));
  }
}
