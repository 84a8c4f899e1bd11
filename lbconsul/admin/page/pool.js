// The upstreams of one query: a branching lane of a few, or a dense table of many,
// with a skyline above it that shows all of them at once.

import { niceCeiling } from "./canvas.js";
import { Dense } from "./dense.js";
import { Attribute, Words, arrange, element } from "./dom.js";
import { Empty } from "./empty.js";
import { count } from "./format.js";
import { COLUMNS, Row } from "./row.js";
import { serves, standingOf } from "./standing.js";
import { WatchLine } from "./watch.js";

/** With more upstreams than this, a pool is shown densely. */
const ROOMY = 16;
/** Rows that are shown at first, and that each push of the button adds. */
const AT_ONCE = 500;
/** Rows sorted by a figure change places no more often than this. */
const RESORT_EVERY = 5000;

const COMPARE_NAMES = new Intl.Collator("en", { numeric: true }).compare;

export class Pool {
  #rows = new Map();
  #order = [];
  #orderedBy = "";
  #orderedAt = 0;
  #sort = { by: "standing", down: false };
  #hidden = new Set();
  #search = "";
  #limit = AT_ONCE;
  #seen = new Set();
  #dense = null;
  #scale = null;

  /** `onAgain()` is called when it must be updated for what its user did. */
  constructor(store, mapping, query, onOrder, onAgain) {
    this.onAgain = onAgain;
    this.store = store;
    this.mapping = mapping;
    this.query = query;
    this.onOrder = onOrder;
    this.watch = new WatchLine();
    this.title = new Words();
    this.heading = element("h3", { hidden: true }, this.title.node);
    this.empty = new Empty();
    this.body = element("div", { role: "rowgroup", class: "rows" });
    this.table = element(
      "div",
      { class: "upstreams", role: "table", "aria-label": `Upstreams of ${query}` },
      this.#head(),
      this.body,
    );
    this.more = new Words();
    this.moreButton = element(
      "button",
      { type: "button", class: "more", hidden: true, click: () => this.#showMore() },
      this.more.node,
    );
    this.box = element("div", { class: "box" }, this.table, this.moreButton);
    this.node = element(
      "section",
      { class: "pool", "aria-label": `Pool ${query}` },
      this.heading,
      this.watch.node,
      this.empty.node,
      this.box,
    );
    this.unused = new Attribute(this.node, "data-unused");
    this.observer = new IntersectionObserver((entries) => this.#look(entries), {
      rootMargin: "120px",
    });
  }

  update(pool, { alone, now, mapping }) {
    const { upstreams } = pool;
    this.heading.hidden = alone;
    this.title.set(poolInWords(pool));
    this.unused.set(!pool.used && !alone);
    this.begun.set(mapping.http ? "Requests" : "New");
    const watch = this.store.watch(this.query);
    this.watch.update(watch, pool, now);
    this.empty.update(pool, watch, mapping);
    this.#measure(upstreams, pool.used, now);
    this.#scale.linkOf = this.#linksOf(watch, pool.service || mapping.service);
    this.#arrangeFor(upstreams.length > ROOMY);
    this.#keepRows(upstreams);
    this.#sortIfDue(upstreams);
    for (const id of this.#order) this.#rows.get(id).update(this.#scale);
    for (const id of this.#seen) this.#rows.get(id)?.draw(this.#scale);
    if (this.#dense) this.#dense.update(upstreams, this.#inOrder(), this.#scale);
  }

  /** Draw everything again, in other colours. */
  repaint() {
    if (this.#scale === null) return;
    for (const id of this.#seen) this.#rows.get(id)?.draw(this.#scale);
    this.#dense?.skyline.draw(this.#inOrder(), this.#scale);
  }

  #head() {
    this.begun = new Words("New");
    this.sorters = COLUMNS.map((column) => {
      const words = column.name === "fresh" ? this.begun.node : column.label;
      const label = column.order
        ? element("button", { type: "button", click: () => this.#sortBy(column) }, words)
        : element("span", {}, words);
      const cell = { class: `cell ${column.name}`, role: "columnheader" };
      return { column, node: element("div", cell, label) };
    });
    const row = element("div", { class: "row head", role: "row" });
    row.append(...this.sorters.map((each) => each.node));
    return element("div", { role: "rowgroup" }, row);
  }

  /** What all rows are measured by. */
  #measure(upstreams, used, now) {
    let open = 0;
    let weight = 0;
    let top = 0;
    let fresh = 0;
    let moved = 0;
    for (const each of upstreams) {
      top = Math.max(top, each.open);
      if (serves(each.standing)) {
        open += each.open;
        weight += each.effective_weight;
      }
      const history = this.#history(each.id);
      const rates = history?.peak ?? { connections: 0, bytes: 0 };
      fresh = Math.max(fresh, rates.connections);
      moved = Math.max(moved, rates.bytes);
    }
    const share = used && weight > 0 ? open / weight : null;
    this.#scale = {
      now,
      top: niceCeiling(top * 1.1),
      fresh: niceCeiling(fresh),
      moved: niceCeiling(moved),
      fairOf: ({ standing, effective_weight: own }) =>
        share !== null && serves(standing) ? share * own : null,
    };
  }

  /** Where an upstream stands in Consul's own page; null if that is not known. */
  #linksOf(watch, service) {
    const { consul_ui: base } = this.store.status.gateway;
    if (!base || watch?.state === "fixed" || isElsewhere(base)) return () => null;
    return ({ datacenter, node, service_id: id }) => {
      const parts = [datacenter, "services", service, "instances", node, id];
      return [base, ...parts.map(encodeURIComponent)].join("/");
    };
  }

  #history(id) {
    return this.store.history(this.mapping, this.query, id);
  }

  #arrangeFor(many) {
    if (many === (this.#dense !== null)) return;
    this.node.toggleAttribute("data-dense", many);
    if (many) {
      this.#dense = new Dense({
        onSearch: (text) => this.#filter(() => (this.#search = text)),
        onHide: (hidden) => this.#filter(() => (this.#hidden = hidden)),
        onPick: (upstream) => this.#reveal(upstream),
      });
      this.box.before(this.#dense.node);
    } else {
      this.#dense.node.remove();
      this.#dense = null;
      this.#search = "";
      this.#hidden = new Set();
      this.#sort = { by: "standing", down: false };
    }
    const region = { role: "region", tabindex: "0", "aria-label": `All of ${this.query}` };
    for (const [name, value] of Object.entries(region))
      if (many) this.box.setAttribute(name, value);
      else this.box.removeAttribute(name);
    this.#orderedBy = "";
  }

  #keepRows(upstreams) {
    const present = new Set();
    for (const each of upstreams) {
      present.add(each.id);
      const row = this.#rows.get(each.id);
      if (row === undefined) {
        const history = this.#history(each.id);
        this.#rows.set(each.id, new Row(each, history, this.onOrder));
      } else {
        row.upstream = each;
        row.history = this.#history(each.id);
      }
    }
    for (const [id, row] of this.#rows) {
      if (present.has(id)) continue;
      this.observer.unobserve(row.node);
      this.#seen.delete(id);
      this.#rows.delete(id);
    }
  }

  #filter(change) {
    change();
    this.#limit = AT_ONCE;
    this.#orderedBy = "";
    this.onAgain();
  }

  #sortBy({ name, order, most = false }) {
    const { by, down } = this.#sort;
    this.#sort = { by: order, down: by === order ? !down : most };
    this.#orderedBy = "";
    for (const each of this.sorters) {
      const direction = this.#sort.down ? "descending" : "ascending";
      if (each.column.name === name) each.node.setAttribute("aria-sort", direction);
      else each.node.removeAttribute("aria-sort");
    }
    this.onAgain();
  }

  #showMore() {
    this.#limit += AT_ONCE;
    this.#orderedBy = "";
    this.onAgain();
  }

  /** The rows in their order, rebuilt if the upstreams changed. */
  #sortIfDue(upstreams) {
    const by = [this.#sort.by, this.#sort.down, this.#search, this.#limit];
    by.push(...this.#hidden, "", ...upstreams.map((each) => each.id + each.standing));
    const orderedBy = by.join("\n");
    const same = orderedBy === this.#orderedBy;
    if (same && !this.#mayResort()) return;
    this.#orderedBy = orderedBy;
    this.#orderedAt = performance.now();
    const shown = upstreams
      .filter((each) => this.#shows(each))
      .sort(this.#comparison());
    const order = shown.slice(0, this.#limit).map((each) => each.id);
    this.moreButton.hidden = shown.length <= this.#limit;
    this.more.set(
      `Show ${count(Math.min(AT_ONCE, shown.length - this.#limit))} more` +
        ` of ${count(shown.length)}`,
    );
    if (this.#dense) this.#dense.shown(shown.length, upstreams.length);
    this.#place(order);
  }

  #mayResort() {
    const byFigure = ["open", "fresh", "moved", "slow"].includes(this.#sort.by);
    if (!byFigure || performance.now() - this.#orderedAt < RESORT_EVERY) return false;
    // Nothing moves below the pointer or the focus.
    return !this.body.matches(":hover, :focus-within");
  }

  #place(order) {
    const before = new Set(this.#order);
    this.#order = order;
    arrange(this.body, order.flatMap((id) => this.#rows.get(id).nodes));
    for (const [place, id] of order.entries()) {
      this.#rows.get(id).last(place === order.length - 1);
      if (!before.delete(id)) this.observer.observe(this.#rows.get(id).node);
    }
    for (const id of before) {
      this.#seen.delete(id);
      const row = this.#rows.get(id);
      if (row) this.observer.unobserve(row.node);
    }
  }

  #shows(upstream) {
    if (this.#hidden.has(upstream.standing)) return false;
    if (this.#search === "") return true;
    const { service_id: name, node, address, tags, reason } = upstream;
    return [name, node, address, reason, ...tags].some((each) =>
      each.toLowerCase().includes(this.#search),
    );
  }

  #comparison() {
    const { by, down } = this.#sort;
    const byName = (a, b) =>
      COMPARE_NAMES(a.service_id, b.service_id) || COMPARE_NAMES(a.id, b.id);
    const keys = {
      standing: (each) => standingOf(each.standing).order,
      open: (each) => each.open,
      fresh: (each) => this.#history(each.id)?.latest.connections ?? 0,
      moved: (each) => this.#history(each.id)?.latest.bytes ?? 0,
      slow: (each) => each.first_byte_p99 ?? 0,
      weight: (each) => each.effective_weight,
      since: (each) => each.since,
    };
    const sign = down ? -1 : 1;
    const key = keys[by];
    if (key === undefined) return (a, b) => sign * byName(a, b);
    return (a, b) => sign * (key(a) - key(b)) || byName(a, b);
  }

  #inOrder() {
    return this.#order.map((id) => this.#rows.get(id).upstream);
  }

  #look(entries) {
    for (const { target, isIntersecting } of entries) {
      const id = target.dataset.upstream;
      if (isIntersecting) this.#seen.add(id);
      else this.#seen.delete(id);
      if (isIntersecting && this.#scale) this.#rows.get(id)?.draw(this.#scale);
    }
  }

  has(id) {
    return this.#rows.has(id);
  }

  /** Go to the row of an upstream, with all that is known about it. */
  reveal(id) {
    if (!this.#order.includes(id)) {
      // It is hidden, or beyond the first ones.
      this.#hidden = new Set();
      this.#search = "";
      this.#limit = Infinity;
      this.#orderedBy = "";
      this.onAgain();
    }
    const row = this.#rows.get(id);
    if (!row.isOpen) row.toggle();
    this.#reveal(row.upstream);
  }

  #reveal(upstream) {
    const { name } = this.#rows.get(upstream.id);
    name.scrollIntoView({ block: "center" });
    name.focus({ preventScroll: true });
  }
}

/** Whether an address is one of the gateway's machine, and this page is on another. */
function isElsewhere(url) {
  const isHere = (host) => /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(host);
  return isHere(new URL(url).hostname) && !isHere(location.hostname);
}

function poolInWords({ query, used, fallback }) {
  const parts = [query];
  if (fallback) parts.push("fallback");
  parts.push(used ? "in use" : "in reserve");
  return parts.join(" · ");
}
