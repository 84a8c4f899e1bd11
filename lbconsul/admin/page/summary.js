// The line at the top: how it is, in one glance, and in the title of the tab.

import { Attribute, Words, element } from "./dom.js";
import { certificateTrouble } from "./certificates.js";
import { bytes, count, rate, span } from "./format.js";
import { hasUpstream } from "./problems.js";
import { serves } from "./standing.js";

/** How the page is in touch, by phase. */
const PHASES = {
  loading: "connecting",
  live: "live",
  polling: "live, every 2 s",
  lost: "trying again",
  refused: "",
};

export class Summary {
  #figures = new Map();

  constructor(root) {
    this.state = root.querySelector("#state");
    this.stateWords = new Words();
    this.state.append(this.stateWords.node);
    this.level = new Attribute(this.state, "data-level");
    this.phase = root.querySelector("#phase");
    this.phaseWords = new Words();
    this.phase.append(this.phaseWords.node);
    this.phaseName = new Attribute(this.phase, "data-phase");
    this.version = new Words();
    root.querySelector("#version").append(this.version.node);
    this.list = root.querySelector("#figures");
  }

  /** `problems` are the worst first. */
  update(connection, store, problems) {
    this.phaseWords.set(PHASES[connection.phase]);
    this.phaseName.set(connection.phase);
    const { level, words, sign } = verdict(connection, store, problems);
    this.stateWords.set(words);
    this.level.set(level);
    const title = words === "all well" ? `${sign} lbconsul` : `${sign} lbconsul · ${words}`;
    if (document.title !== title) document.title = title;
    if (store.status === null) return;
    this.version.set(store.status.gateway.version);
    this.#show(store);
  }

  #show(store) {
    const { gateway, watches, mappings } = store.status;
    const total = { connections: 0, received: 0, requests: 0, sent: 0 };
    for (const { name } of mappings) {
      const rates = store.history(name)?.latest ?? {};
      for (const each of Object.keys(total)) total[each] += rates[each] ?? 0;
    }
    const { serving, all } = tally(mappings);
    const ages = watches.map((each) => each.age).filter((age) => age !== null);
    this.#figure("Open connections", count(gateway.open));
    this.#figure("New a second", rate(total.connections));
    if (mappings.some((each) => each.http))
      this.#figure("Requests a second", rate(total.requests));
    this.#figure("A second to clients", bytes(total.sent));
    this.#figure("A second from clients", bytes(total.received));
    this.#figure("Upstreams serving", `${count(serving)} of ${count(all)}`);
    const age = ages.length ? `${span(Math.max(...ages))} ago` : "never";
    this.#figure("Confirmed by Consul", age);
  }

  #figure(label, text) {
    let words = this.#figures.get(label);
    if (words === undefined) {
      words = new Words();
      this.#figures.set(label, words);
      this.list.append(
        element("div", {}, element("dt", {}, label), element("dd", {}, words.node)),
      );
    }
    words.set(text);
  }
}

/** Upstreams by identity: one that two mappings use is one. */
function tally(mappings) {
  const standings = new Map();
  for (const { pools } of mappings)
    for (const { upstreams } of pools)
      for (const { id, standing } of upstreams)
        standings.set(id, serves(standing) && standings.get(id) !== false);
  let serving = 0;
  for (const each of standings.values()) serving += each;
  return { serving, all: standings.size };
}

/** What is the worst there is to be said: `{level, words, sign}`. */
function verdict({ phase }, store, problems) {
  if (phase === "lost") return { level: "bad", words: "connection lost", sign: "○" };
  if (phase === "refused") return { level: "bad", words: "token wanted", sign: "○" };
  if (store.status === null) return { level: "none", words: "connecting", sign: "○" };
  const { gateway, watches, mappings } = store.status;
  if (watches.some((each) => each.failing_since !== null))
    return { level: "bad", words: "Consul away", sign: "✕" };
  if (gateway.state !== "serving")
    return { level: "warn", words: gateway.state, sign: "▲" };
  if (!gateway.ready) return { level: "warn", words: "not ready", sign: "▲" };
  const alone = mappings.filter((each) => !hasUpstream(each));
  if (alone.length > 0) {
    const [{ service }] = alone;
    const words = alone.length > 1 ? `${alone.length} mappings have no upstream` : `no upstream serves ${service}`;
    return { level: "bad", words, sign: "✕" };
  }
  const failing = problems.find(({ fails, level }) => fails && level === "bad");
  if (failing) return { level: "bad", words: `${failing.mapping} fails`, sign: "✕" };
  const trouble = certificateTrouble(mappings);
  if (trouble !== null)
    return { level: trouble.level, words: "certificates", sign: trouble.level === "bad" ? "✕" : "▲" };
  const said = problems.find(({ brief }) => brief);
  if (said) return { level: said.level, words: said.brief, sign: said.level === "bad" ? "✕" : "▲" };
  const { serving, all } = tally(mappings);
  if (serving < all)
    return { level: "warn", words: `${count(all - serving)} not serving`, sign: "▲" };
  return { level: "good", words: "all well", sign: "●" };
}
