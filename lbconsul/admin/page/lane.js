// One mapping, or a route of one: from its listener to its upstreams.

import { certificateLine } from "./certificates.js";
import { Chart } from "./chart.js";
import { Attribute, Words, arrange, element } from "./dom.js";
import { bytes, count, rate } from "./format.js";
import { History } from "./history.js";
import { lastMinute } from "./hour.js";
import { Pool } from "./pool.js";
import { requestsLine, splitLine } from "./requests.js";
import { goalInWords, isClosed } from "./standing.js";
import { unhappyConnections, unhappyRequests } from "./unhappy.js";

const POLICIES = { leastconn: "least connections", roundrobin: "round robin" };

export class Lane {
  #pools = new Map();
  #figures = new Map();

  /** `view.span` is the name of the time that its chart is of. */
  constructor(store, name, view, onOrder, onAgain) {
    this.store = store;
    this.view = view;
    this.name = name;
    this.onOrder = onOrder;
    this.onAgain = onAgain;
    this.listen = new Words();
    this.service = new Words();
    this.policy = new Words();
    this.state = new Words();
    this.certificates = new Words();
    this.requests = new Words();
    this.unhappy = unhappyRequests();
    this.unhappyConnections = unhappyConnections();
    this.chart = new Chart(name);
    this.figures = element("dl", { class: "figures" });
    this.pools = element("div", { class: "pools" });
    this.node = element(
      "section",
      { class: "lane", "aria-label": `Mapping ${name}` },
      element(
        "header",
        {},
        this.heading = element("h2", { tabindex: "-1" },
          element("span", { class: "listen" }, this.listen.node),
          element("span", { class: "arrow", "aria-label": "to" }, "→"),
          element("span", { class: "service" }, this.service.node)),
        element("p", { class: "rule" }, this.policy.node,
          element("strong", { class: "off" }, this.state.node)),
        element("p", { class: "rule certificates" }, this.certificates.node),
        element("p", { class: "rule requests" }, this.requests.node),
        this.figures,
      ),
      this.chart.node,
      this.unhappy.node,
      this.unhappyConnections.node,
      this.pools,
    );
    this.listening = new Attribute(this.node, "data-listening");
  }

  update(mapping, now) {
    this.listen.set(mapping.route ? `${mapping.listen} ${mapping.route}` : mapping.listen);
    this.service.set(goalInWords(mapping));
    this.policy.set(mapping.service ? POLICIES[mapping.policy] ?? mapping.policy : "");
    this.listening.set(String(mapping.listening));
    const state = isClosed(mapping) ? mapping.empty : "";
    this.state.set(mapping.listening ? state : "accepts no clients now");
    this.certificates.set(certificateLine(mapping));
    this.requests.set([splitLine(mapping), requestsLine(mapping)].filter(Boolean).join(" · "));
    this.unhappy.update(mapping.unhappy);
    this.unhappyConnections.update(mapping.unhappy_connections);
    this.#showFigures(mapping);
    const queries = new Set(mapping.pools.map((pool) => pool.query));
    const events = this.store.events.filter((each) => queries.has(each.query));
    this.chart.update(this.store.hour(this.name), this.history, events, this.view.span, now);
    this.#showPools(mapping, now);
  }

  repaint() {
    for (const pool of this.#pools.values()) pool.repaint();
  }

  /** Go to an upstream, or to the lane itself. */
  reveal(upstream) {
    const found = [...this.#pools.values()].find((each) => each.has(upstream));
    if (found) return found.reveal(upstream);
    this.node.scrollIntoView({ block: "start" });
    this.heading.focus({ preventScroll: true });
  }

  get history() {
    return this.store.history(this.name) ?? new History(0);
  }

  #showFigures(mapping) {
    const { connections, received, requests, sent } = this.history.latest;
    if (mapping.http) this.#figure("asked", "requests a second", rate(requests));
    this.#figure("open", "open", count(mapping.open));
    this.#figure("fresh", "new a second", rate(connections));
    this.#figure("sent", "a second to clients", bytes(sent));
    this.#figure("received", "a second from clients", bytes(received));
    this.#figure("queued", "waiting", count(mapping.queued));
    this.#figures.get("queued").node.hidden = mapping.queued === 0;
    const failed = lastMinute(this.store.hour(this.name), this.history, "failed");
    this.#figure("failed", "failed, last minute", count(Math.round(failed)));
    this.#figures.get("failed").node.hidden = failed < 0.5;
  }

  #figure(name, label, text) {
    let figure = this.#figures.get(name);
    if (figure === undefined) {
      const words = new Words();
      const node = element("div", { class: name },
        element("dt", {}, label), element("dd", {}, words.node));
      figure = { words, node };
      this.#figures.set(name, figure);
      this.figures.append(node);
    }
    figure.words.set(text);
  }

  #showPools(mapping, now) {
    const alone = mapping.pools.length === 1;
    const shown = new Map();
    for (const pool of mapping.pools) {
      const known = this.#pools.get(pool.query) ?? this.#newPool(pool.query);
      known.update(pool, { alone, now, mapping });
      shown.set(pool.query, known);
    }
    this.#pools = shown;
    arrange(this.pools, [...shown.values()].map((pool) => pool.node));
  }

  #newPool(query) {
    return new Pool(this.store, this.name, query, this.onOrder, this.onAgain);
  }
}
