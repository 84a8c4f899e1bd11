// What is wrong, the worst first; each leads to where it is.

import { certificateTrouble } from "./certificates.js";
import { Attribute, Words, arrange, element } from "./dom.js";
import { count, plural, rate } from "./format.js";
import { failsOpen, isClosed, serves } from "./standing.js";

/** So many are shown at first. */
const AT_FIRST = 6;
/** So many upstreams of a mapping are named each, more are counted. */
const NAMED = 2;
/** Where more than this part fails, it is bad. */
const MUCH = 0.05;

const FULL = {
  "max-connections": "is full: max-connections is reached, and new clients wait",
  "shed-lag": "is overloaded: a process is later than shed-lag, and turns away a part of new requests",
  process: "the process has as many connections as it can have: new clients wait",
  descriptors: "no descriptors, ports or memory are left: new clients wait",
};

/** Whether new connections have somewhere to go; without a service they need none. */
export function hasUpstream({ service, pools }) {
  return !service || pools.some(({ used, upstreams }) =>
    used && upstreams.some((each) => serves(each.standing)),
  );
}

/** `[{level, text, mapping, upstream, brief}]`, the worst first; `lately(name)` are its rates. */
export function problemsOf({ gateway, mappings }, lately) {
  if (gateway.state === "starting") return []; // that is said as a whole
  const isDraining = gateway.state === "draining";
  const found = (gateway.full ?? []).map(({ reason, mapping }) => ({
    level: "bad",
    text: [mapping, FULL[reason] ?? reason].filter(Boolean).join(" "),
    mapping,
  }));
  for (const mapping of mappings) found.push(...problemsOfMapping(mapping, lately(mapping.name), isDraining));
  const order = ({ level }) => (level === "bad" ? 0 : 1);
  return found.sort((a, b) => order(a) - order(b));
}

function problemsOfMapping(mapping, lately, isDraining) {
  const { name, service, empty } = mapping;
  const found = [];
  const tell = (level, text, upstream, brief) =>
    found.push({ level, text, mapping: name, upstream, brief });
  if (!hasUpstream(mapping)) tell("bad", `${name}: no upstream serves${empty ? `: ${empty}` : ` ${service}`}`);
  if (isClosed(mapping)) tell("bad", `${name}: ${empty}`, undefined, "a route is closed");
  if (!mapping.listening && !isDraining) tell("bad", `${name} accepts no clients now`);
  const trouble = certificateTrouble([mapping]);
  if (trouble !== null) tell(trouble.level, `${name}: ${trouble.title}`);
  const failing = failuresInWords(mapping, lately);
  if (failing !== null)
    found.push({ ...failing, text: `${name}: ${failing.text}`, mapping: name, fails: true });
  if (mapping.queued > 0) tell("warn", `${name}: ${plural(mapping.queued, "client")} wait for an upstream`);
  for (const { upstreams } of mapping.pools) {
    const opened = upstreams.filter(failsOpen);
    if (opened.length > 0)
      tell("warn", `${name}: ${openInWords(opened)}`, opened[0].id, "own checks fail");
  }
  for (const [text, upstream] of upstreamsInWords(mapping)) tell("warn", `${name}: ${text}`, upstream);
  return found;
}

/** How much of a mapping fails, and why lately: null if nothing does. */
function failuresInWords({ unhappy = [], unhappy_connections: connections = [] }, lately) {
  const { failed, begun } = lately;
  if (failed < 0.95) return null;
  const last = [unhappy[0], connections[0]]
    .filter(Boolean)
    .sort((a, b) => b.time - a.time)[0];
  const cause = last ? `; the last: ${last.cause ?? last.reason}` : "";
  const level = failed > MUCH * begun ? "bad" : "warn";
  return { level, text: `${count(Math.round(failed))} failed in the last minute${cause}` };
}

function openInWords(opened) {
  const whose = opened.length > 1 ? `all ${count(opened.length)} instances` : "the only instance";
  return `the own checks of ${whose} fail (${opened[0].check.result}): used all the same (check-fail-open)`;
}

/** `[text, id]` of what is wrong with its upstreams. */
function upstreamsInWords({ pools }) {
  const all = pools.flatMap((pool) => pool.upstreams);
  const groups = [
    ["ejected", (each) => each.standing === "ejected", (each) => `ejected: ${each.reason}`],
    ["suspect", (each) => each.standing === "suspect", (each) => `suspect: ${each.reason}`],
    ["critical", isCritical, (each) => each.reason],
    ["out by their own checks", isOut, (each) => each.reason],
    ["failing", isFailing,
      (each) => `${rate(each.failures_per_minute)} failures a minute: ${each.last_error}`],
  ];
  return groups.flatMap(([what, is, inWords]) => {
    const found = all.filter(is);
    if (found.length > NAMED)
      return [[`${count(found.length)} upstreams are ${what}`, found[0].id]];
    return found.map((each) => [`${each.service_id} ${inWords(each)}`, each.id]);
  });
}

/** Consul's checks took it out: what an operator did is no problem. */
const isCritical = ({ standing, reason }) => standing === "draining" && / critical/.test(reason);

/** The gateway's own check took it out. */
const isOut = ({ standing, reason, check }) =>
  standing === "draining" && check?.state === "failing" && reason.startsWith("own check");

const isFailing = ({ standing, failures_per_minute: failures = 0 }) =>
  serves(standing) && failures >= 0.95;

/** The address of a place on this page. */
export function linkTo(mapping, upstream) {
  return `#${new URLSearchParams({ mapping, ...(upstream && { upstream }) })}`;
}

export class Problems {
  /** What is wrong, the worst first. */
  all = [];
  #showsAll = false;
  #items = new Map();

  constructor(root) {
    this.root = root;
    this.title = new Words();
    this.list = element("ul", {});
    this.rest = new Words();
    this.more = element("button", { type: "button", hidden: true, click: () => this.#showAll() },
      this.rest.node);
    root.append(element("h2", {}, this.title.node), this.list, this.more);
  }

  update(problems) {
    this.all = problems;
    this.root.hidden = problems.length === 0;
    this.title.set(plural(problems.length, "problem"));
    const shown = this.#showsAll ? problems : problems.slice(0, AT_FIRST);
    this.more.hidden = shown.length === problems.length;
    this.rest.set(`Show ${count(problems.length - shown.length)} more`);
    const nodes = shown.map((each, place) => this.#item(each, place));
    arrange(this.list, nodes);
  }

  #showAll() {
    this.#showsAll = true;
    this.update(this.all);
  }

  /** By place: a text that changes leaves the focus where it is. */
  #item({ level, text, mapping, upstream }, place) {
    let item = this.#items.get(place);
    if (item === undefined) {
      const words = new Words();
      const link = element("a", {}, words.node);
      const node = element("li", {}, link);
      item = { words, node, href: new Attribute(link, "href"), level: new Attribute(node, "data-level") };
      this.#items.set(place, item);
    }
    item.words.set(text);
    item.href.set(mapping ? linkTo(mapping, upstream) : "#about");
    item.level.set(level);
    return item.node;
  }
}
