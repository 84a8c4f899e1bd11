// The HTTP requests of a mapping: a line of figures, and the last that went wrong.

import { Words, arrange, element } from "./dom.js";
import { clock, count, latency, plural } from "./format.js";

/** All requests of a mapping or an upstream; null if it is not in HTTP mode. */
export function requestsOf({ http }) {
  if (!http) return null;
  let all = 0;
  for (const each of Object.values(http.requests)) all += each;
  return all;
}

/** By class, without those that there are none of: "1,200 2xx · 3 5xx". */
export function classesInWords({ requests }) {
  const parts = Object.entries(requests)
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${count(number)} ${name}`);
  return parts.join(" · ") || "none so far";
}

/** In a mapping's header: empty if it is not in HTTP mode. */
export function requestsLine({ http }) {
  if (!http) return "";
  return [
    `Requests: ${classesInWords(http)}`,
    `${count(http.active)} active`,
    `${plural(http.idle_connections, "idle connection")} kept`,
    plural(http.retries, "retry", "retries"),
    `first byte p50 ${latency(http.first_byte_p50)}, p99 ${latency(http.first_byte_p99)}`,
  ].join(" · ");
}

/** The last requests of a mapping that went wrong, behind a line that counts them. */
export class Unhappy {
  #requests = [];
  #shown = null;

  constructor() {
    this.title = new Words();
    this.body = element("tbody");
    const names = ["Time", "Status", "Why", "Request", "Upstream", "Client", "Retries"];
    this.node = element(
      "details",
      { class: "unhappy", hidden: true, toggle: () => this.#show() },
      element("summary", {}, this.title.node),
      element("div", { class: "box", role: "region", tabindex: "0",
        "aria-label": "Last unhappy requests" },
        element("table", {},
          element("thead", {},
            element("tr", {}, ...names.map((each) => element("th", { scope: "col" }, each)))),
          this.body)),
    );
  }

  /** `requests` are the newest first. */
  update(requests = []) {
    this.#requests = requests;
    this.node.hidden = requests.length === 0;
    if (requests.length === 0) return;
    const [{ time }] = requests;
    this.title.set(`Last unhappy requests: ${count(requests.length)}, the last at ${clock(time)}`);
    this.#show();
  }

  /** Worth it only while they can be seen. */
  #show() {
    if (!this.node.open || this.#shown === this.#requests) return;
    this.#shown = this.#requests;
    arrange(this.body, this.#requests.map(rowOf));
  }
}

function rowOf({ time, status, reason, method, host, path, upstream, client, retries }) {
  const cells = [
    clock(time), status || "no answer", reason, `${method} ${host}${path}`,
    upstream || "–", client, count(retries),
  ];
  return element("tr", {}, ...cells.map((each) => element("td", {}, String(each))));
}
