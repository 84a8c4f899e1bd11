// The gateway itself: its processes, the options in force, and its end.

import { Attribute, Words, arrange, element } from "./dom.js";
import { clock, count, latency, span } from "./format.js";

export class Gateway {
  #facts = new Map();
  #options = "";
  #workers = "";

  constructor(root, onDrain) {
    this.facts = root.querySelector("#facts");
    this.options = root.querySelector("#options");
    this.workers = root.querySelector("#workers");
    this.drain = root.querySelector("#drain-gateway");
    this.drain.addEventListener("click", onDrain);
    this.changes = new Attribute(root.body, "data-changes");
  }

  update(gateway, now) {
    this.#fact("Version", gateway.version);
    this.#fact("Process", String(gateway.pid));
    this.#fact("Started", `${clock(gateway.started)} (${span(now - gateway.started)})`);
    this.#fact("Consul", gateway.consul.join(", ") || "not asked");
    this.#fact("Connections so far", count(gateway.accepted));
    this.#fact("Room for", count(gateway.max_connections));
    this.#fact("Reactor lag", latency(gateway.reactor_lag));
    this.#showOptions(gateway.options);
    this.#showWorkers(gateway.workers);
    this.drain.disabled = gateway.state === "draining";
    // Buttons that cannot work are not shown: style.css.
    this.changes.set(gateway.changes);
  }

  #fact(term, text) {
    let words = this.#facts.get(term);
    if (words === undefined) {
      words = new Words();
      this.#facts.set(term, words);
      this.facts.append(pair(term, words.node));
    }
    words.set(text);
  }

  #showOptions(options) {
    const text = JSON.stringify(options);
    if (text === this.#options) return;
    this.#options = text;
    const pairs = Object.entries(options).map(([name, value]) => pair(name, value));
    arrange(this.options, pairs);
  }

  #showWorkers(workers) {
    const text = JSON.stringify(workers);
    if (text === this.#workers) return;
    this.#workers = text;
    arrange(this.workers, (workers ?? []).map(workerItem));
  }
}

function workerItem({ number, pid, serves, open, accepted }) {
  const state = serves ? `${count(open)} open, ${count(accepted)} so far` : "does not serve";
  return pair(`Worker ${number}`, pid === null ? "not running" : `${state} (process ${pid})`);
}

function pair(term, value) {
  return element("div", {}, element("dt", {}, term), element("dd", {}, value));
}
