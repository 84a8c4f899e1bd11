// The last connections and requests of a mapping that went wrong, each with its cause.

import { Words, arrange, element } from "./dom.js";
import { clock, count, span } from "./format.js";

/** A table of them, behind a line that counts them. */
class Unhappy {
  #all = [];
  #shown = null;

  /** `what` they are, and what columns say of each: `{name: text of one}`. */
  constructor(what, columns) {
    this.what = what;
    this.columns = columns;
    this.title = new Words();
    this.body = element("tbody");
    const heads = Object.keys(columns).map((each) => element("th", { scope: "col" }, each));
    this.node = element(
      "details",
      { class: "unhappy", hidden: true, toggle: () => this.#show() },
      element("summary", {}, this.title.node),
      element("div", { class: "box", role: "region", tabindex: "0",
        "aria-label": `Last unhappy ${what}` },
        element("table", {},
          element("thead", {}, element("tr", {}, ...heads)),
          this.body)),
    );
  }

  /** `all` are the newest first. */
  update(all = []) {
    this.#all = all;
    this.node.hidden = all.length === 0;
    if (all.length === 0) return;
    const [{ time }] = all;
    this.title.set(`Last unhappy ${this.what}: ${count(all.length)}, the last at ${clock(time)}`);
    this.#show();
  }

  /** Worth it only while they can be seen. */
  #show() {
    if (!this.node.open || this.#shown === this.#all) return;
    this.#shown = this.#all;
    arrange(this.body, this.#all.map((one) => this.#row(one)));
  }

  #row(one) {
    const cells = Object.entries(this.columns).map(([name, text]) =>
      element("td", { "data-column": name }, String(text(one))),
    );
    return element("tr", {}, ...cells);
  }
}

/** The instance of an id: its node and service id. */
function upstreamOf({ upstream }) {
  if (!upstream) return "–";
  const [, node, name] = upstream.split("/").map(decodeURIComponent);
  return `${name}@${node}`;
}

/** Its code, and what that means; an older gateway says the code alone. */
function causeOf({ cause, error, reason, termination }) {
  const code = reason || termination;
  const words = cause ? `${cause}${error ? `: ${error}` : ""}` : error;
  return words ? `${words} (${code})` : code;
}

export const unhappyRequests = () =>
  new Unhappy("requests", {
    Time: ({ time }) => clock(time),
    Status: ({ status }) => status || "no answer",
    Cause: causeOf,
    Request: ({ method, host, path }) => `${method} ${host}${path}`,
    Upstream: upstreamOf,
    Client: ({ client }) => client,
    Retries: ({ retries }) => count(retries),
  });

export const unhappyConnections = () =>
  new Unhappy("connections", {
    Time: ({ time }) => clock(time),
    Cause: causeOf,
    Client: ({ client, count: times }) => (times > 1 ? `${client} ×${count(times)}` : client),
    Upstream: upstreamOf,
    "In vain": ({ retries }) => count(retries),
    After: ({ seconds }) => inSeconds(seconds),
  });

function inSeconds(seconds) {
  return seconds < 9.95 ? `${seconds.toFixed(2)} s` : span(seconds);
}
