// How the mappings are looked at: over which time, which of them, and by which keys.

import { Words, element } from "./dom.js";
import { SPANS } from "./chart.js";
import { goalInWords } from "./standing.js";

const SPAN_KEY = "lbconsul-span";
const KEYS_KEY = "lbconsul-keys";
const NAMES = Object.keys(SPANS);

/** What each key does, in words. */
const KEYS = {
  "/": "find a mapping by its name, address or service",
  "j": "go to the next mapping",
  "k": "go to the one before",
  "n": "go to the next problem",
  "1 2 3": "charts of 5 minutes, 15 minutes, 1 hour",
  "t": "light or dark",
  "Esc": "forget what was to be found",
  "?": "these keys",
};

export class View {
  #filter = "";

  /** `does` has what is done: `{onChange, onStep, onProblem, onTheme}`. */
  constructor(root, does) {
    this.does = does;
    this.root = root.querySelector("#view");
    this.dialog = root.querySelector("#keys");
    this.span = NAMES.includes(kept(SPAN_KEY)) ? kept(SPAN_KEY) : NAMES.at(-1);
    this.matches = new Words();
    this.search = element("input", {
      type: "search", id: "filter", placeholder: "name, address, service   ( / )",
      "aria-label": "Show only mappings with this in them",
      input: (event) => this.#find(event.target.value),
    });
    this.found = element("output", {}, this.matches.node);
    this.spans = NAMES.map((name) =>
      element("button", { type: "button", "aria-pressed": String(name === this.span),
        click: () => this.#choose(name) }, name));
    this.root.append(
      element("div", { class: "finding" }, this.search, this.found),
      element("div", { class: "spans", role: "group", "aria-label": "Charts of the last" },
        ...this.spans),
      element("button", { type: "button", class: "quiet", click: () => this.dialog.showModal() },
        "Keys"),
    );
    this.#fillDialog();
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  /** With many mappings they can be found. */
  update(isMany, matches) {
    this.root.toggleAttribute("data-many", isMany);
    this.matches.set(matches);
  }

  /** Whether a mapping is one of those that are to be shown. */
  shows(mapping) {
    const { name, listen, route } = mapping;
    return [name, listen, route, goalInWords(mapping)].some((each) => each.toLowerCase().includes(this.#filter));
  }

  /** Show all mappings. */
  clear() {
    this.search.value = "";
    this.#find("");
  }

  #find(text) {
    this.#filter = text.trim().toLowerCase();
    this.does.onChange();
  }

  #choose(name) {
    this.span = name;
    keep(SPAN_KEY, name);
    for (const each of this.spans) each.setAttribute("aria-pressed", String(each.textContent === name));
    this.does.onChange();
  }

  #fillDialog() {
    const pairs = Object.entries(KEYS).map(([keys, what]) =>
      element("div", {},
        element("dt", {}, ...keys.split(" ").map((each) => element("kbd", {}, each))),
        element("dd", {}, what)));
    this.dialog.querySelector("dl").append(...pairs);
    this.areOn = this.dialog.querySelector("input");
    this.areOn.checked = kept(KEYS_KEY) !== "off";
    this.areOn.addEventListener("change", () => keep(KEYS_KEY, this.areOn.checked ? "on" : "off"));
    this.dialog.querySelector("button").addEventListener("click", () => this.dialog.close());
  }

  #press(event) {
    const { target, key } = event;
    if (target === this.search && key === "Escape") return this.clear();
    const isModified = event.ctrlKey || event.altKey || event.metaKey;
    const types = target.closest?.("input, textarea, select, dialog");
    if (isModified || types || !this.areOn.checked || document.querySelector("dialog[open]")) return;
    const what = this.#orderOf(key);
    if (what === undefined) return;
    event.preventDefault();
    what();
  }

  #orderOf(key) {
    const { does } = this;
    const orders = {
      "/": () => this.root.hasAttribute("data-many") && this.search.focus(),
      "j": () => does.onStep(1),
      "k": () => does.onStep(-1),
      "n": () => does.onProblem(),
      "t": () => does.onTheme(),
      "?": () => this.dialog.showModal(),
    };
    const name = NAMES[Number(key) - 1];
    return name === undefined ? orders[key] : () => this.#choose(name);
  }
}

function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden: then it lasts as long as the page.
  }
}
