// All that is known about an upstream, in a row below its own.

import { Attribute, Words, element } from "./dom.js";
import { bytes, clock, count, latency, rate, span } from "./format.js";
import { classesInWords } from "./requests.js";
import { drainInWords, standingOf } from "./standing.js";

/** `columns` is how many its table has. */
export class Details {
  #words = new Map();

  constructor(upstream, columns, onOrder) {
    this.list = element("dl", {});
    const eject = element(
      "button",
      { type: "button", class: "order", click: () => onOrder({ upstream, busy() {} }, "eject") },
      "Eject",
      element("span", { class: "unseen" }, ` ${upstream.service_id}`),
    );
    this.link = element("a", { target: "_blank", rel: "noopener noreferrer", hidden: true },
      "See it in Consul", element("span", { class: "unseen" }, `: ${upstream.service_id}`));
    this.href = new Attribute(this.link, "href");
    const hint = "ejects it for a while, as if it had failed";
    this.node = element(
      "div",
      { class: "row details", role: "row" },
      element("div", { role: "cell", class: "cell", "aria-colspan": columns },
        this.list,
        this.link,
        element("p", {}, eject, element("span", { class: "hint" }, hint))),
    );
  }

  /** `scale` is what its pool has in common, as of a row. */
  update(upstream, { linkOf, now }) {
    const { standing } = upstream;
    const link = linkOf(upstream);
    this.href.set(link);
    this.link.hidden = link === null;
    const since = `${clock(upstream.since)} (${span(now - upstream.since)})`;
    this.#set("Standing", `${standing}: ${standingOf(standing).means}`);
    this.#set("Why", upstream.reason || "–");
    this.#set("Since", since);
    const left = drainInWords(upstream);
    if (left) this.#set("Drain", `${left}, of the connections that were open`);
    this.#set("Address", upstream.address);
    this.#set("Node", `${upstream.node} in ${upstream.datacenter}`);
    this.#set("Service id", upstream.service_id);
    this.#set("Tags", upstream.tags.join(", ") || "–");
    this.#set("Connections so far", count(upstream.total));
    this.#set("From clients", bytes(upstream.bytes_received));
    this.#set("To clients", bytes(upstream.bytes_sent));
    this.#set("Connect", quantiles(upstream.connect_p50, upstream.connect_p99));
    this.#set("First byte", quantiles(upstream.first_byte_p50, upstream.first_byte_p99));
    this.#set("Failed connects", count(upstream.connect_failures));
    this.#set("Failures a minute", rate(upstream.failures_per_minute ?? 0));
    this.#set("Last error", errorInWords(upstream));
    if (upstream.check) this.#set("Own check", checkInWords(upstream.check, now));
    if (upstream.http) this.#set("Requests so far", classesInWords(upstream.http));
  }

  #set(term, text) {
    let words = this.#words.get(term);
    if (words === undefined) {
      words = new Words();
      this.#words.set(term, words);
      this.list.append(
        element("div", {}, element("dt", {}, term), element("dd", {}, words.node)),
      );
    }
    words.set(text);
  }
}

function quantiles(half, most) {
  return `p50 ${latency(half)}, p99 ${latency(most)}`;
}

function errorInWords({ last_error: error, last_error_at: when }) {
  return error ? `${error} (${clock(when)})` : "–";
}

function checkInWords({ state, since, result, duration, failures }, now) {
  const took = duration === null ? "" : ` in ${latency(duration)}`;
  const last = result ? `; last ${result}${took}` : "";
  return `${state} for ${span(now - since)}${last}; ${count(failures)} failed`;
}
