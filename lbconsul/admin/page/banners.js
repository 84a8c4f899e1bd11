// What is wrong with the whole of it, loudly, and what that means meanwhile.

import { Attribute, Words, arrange, element } from "./dom.js";
import { certificateTrouble } from "./certificates.js";
import { clock, count, plural, span } from "./format.js";

export class Banners {
  #shown = new Map();

  /** `say(text)` tells who hears the page, once for each banner. */
  constructor(root, say, { onRetry, onToken }) {
    this.root = root;
    this.say = say;
    this.acts = { retry: ["Try now", onRetry], token: ["Give the token", onToken] };
  }

  update(connection, store) {
    const wanted = bannersOf(connection, store);
    for (const banner of wanted) this.#show(banner);
    const names = new Set(wanted.map((each) => each.name));
    for (const name of this.#shown.keys())
      if (!names.has(name)) this.#shown.delete(name);
    arrange(this.root, wanted.map(({ name }) => this.#shown.get(name).node));
  }

  #show({ name, level, title, text, act }) {
    let banner = this.#shown.get(name);
    if (banner === undefined) {
      banner = new Banner(name, act && this.acts[act]);
      this.#shown.set(name, banner);
      this.say(title);
    }
    banner.update(level, title, text);
  }
}

class Banner {
  constructor(name, act) {
    this.title = new Words();
    this.text = new Words();
    this.node = element(
      "section",
      { class: "banner", "data-name": name },
      element("h2", {}, this.title.node),
      element("p", {}, this.text.node),
      act ? element("button", { type: "button", click: act[1] }, act[0]) : null,
    );
    this.level = new Attribute(this.node, "data-level");
  }

  update(level, title, text) {
    this.level.set(level);
    this.title.set(title);
    this.text.set(text);
  }
}

/** The worst first. */
function bannersOf(connection, store) {
  const found = [connectionBanner(connection, store)];
  if (store.status !== null) {
    const { gateway, watches, mappings } = store.status;
    const now = store.now();
    found.push(consulBanner(watches, now));
    found.push(drainBanner(gateway, now));
    found.push(readyBanner(gateway));
    found.push(snapshotBanner(watches, now));
    found.push(certificateBanner(mappings));
  }
  return found.filter((each) => each !== null);
}

function connectionBanner({ phase, since, problem, wantsToken }, store) {
  if (phase === "refused")
    return {
      name: "refused",
      level: "bad",
      title: wantsToken
        ? "The gateway shows nothing without its token"
        : "The gateway shows nothing here",
      text: `Its answer: ${problem}.`,
      act: "token",
    };
  if (phase !== "lost") return null;
  const [when, ago] = [clock(since / 1000), span((Date.now() - since) / 1000)];
  const known = store.status !== null;
  return {
    name: "lost",
    level: "bad",
    title: known
      ? `No connection to the gateway since ${when}`
      : "The gateway does not answer",
    text:
      (known
        ? `This page shows the state of ${ago} ago. `
        : `No answer for ${ago} (${problem}). `) +
      "This page keeps trying.",
    act: "retry",
  };
}

function consulBanner(watches, now) {
  const asked = watches.filter((each) => each.state !== "fixed");
  const failing = asked.filter((each) => each.failing_since !== null);
  if (failing.length === 0) return null;
  const since = Math.min(...failing.map((each) => each.failing_since));
  const all = failing.length === asked.length;
  const errors = [...new Set(failing.map((each) => each.last_error).filter(Boolean))];
  const ages = failing.map((each) => each.age).filter((age) => age !== null);
  const services = failing.map((each) => each.service);
  const kept = failing.reduce((sum, each) => sum + each.instances, 0);
  const served = kept
    ? `Meanwhile ${plural(kept, "instance")} of ${named(services)} stay in use, from Consul's` +
      ` last answer, ${span(Math.max(...ages, 0))} ago at most;` +
      " one that fails connections is still ejected."
    : `No instance of ${named(services)} is known yet.`;
  return {
    name: "consul",
    level: "bad",
    title: all
      ? `Consul has been away since ${clock(since)} (${span(now - since)})`
      : `Consul fails to answer ${failing.length} of ${plural(asked.length, "query", "queries")}` +
        ` since ${clock(since)} (${span(now - since)})`,
    text: [served, ...errors.slice(0, 2).map((each) => `The last error: ${sentence(each)}`)].join(" "),
  };
}

/** "web", "web and api", "web, api and 3 others". */
function named(services) {
  const names = [...new Set(services)];
  if (names.length > 3) names.splice(2, Infinity, `${names.length - 2} others`);
  const last = names.pop();
  return names.length ? `${names.join(", ")} and ${last}` : last;
}

function drainBanner({ state, open, drain }, now) {
  if (state !== "draining") return null;
  const text = `It accepts no new clients, and ends when its ${plural(open, "open connection")} have ended.`;
  const banner = { name: "draining", level: "warn", title: "This gateway is draining", text };
  if (!drain) return banner;
  const { since, until, began_with: begun } = drain;
  return {
    ...banner,
    title: `This gateway is draining, since ${clock(since)} (${span(now - since)}):` +
      ` ${count(open)} of ${plural(Math.max(open, begun), "connection")} left`,
    text: `${text} What is open at ${clock(until)} is closed then.`,
  };
}

function readyBanner({ state, ready, not_ready: reasons }) {
  if (ready || state === "draining") return null;
  return {
    name: "unready",
    level: "warn",
    title: state === "starting" ? "This gateway is starting" : "This gateway is not ready",
    text: reasons.map(sentence).join(" "),
  };
}

function snapshotBanner(watches, now) {
  const used = watches.filter((each) => each.state === "snapshot");
  if (used.length === 0) return null;
  const ages = used.map((each) => each.age ?? 0);
  const services = named(used.map((each) => each.service));
  return {
    name: "snapshot",
    level: "warn",
    title: "A snapshot is in use",
    text:
      `Consul has not answered this gateway yet for ${services}. In use is the last answer` +
      ` that an earlier gateway got, ${span(Math.max(...ages))} ago.`,
  };
}

function certificateBanner(mappings) {
  const trouble = certificateTrouble(mappings);
  return trouble && { name: "certificates", ...trouble };
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
