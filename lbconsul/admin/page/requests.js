// The HTTP requests of a mapping, in figures.

import { count, latency, plural } from "./format.js";

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
    ...stickyWords(http),
    `first byte p50 ${latency(http.first_byte_p50)}, p99 ${latency(http.first_byte_p99)}`,
  ].join(" · ");
}

/** With sticky: who came again, and whose cookie is new or another one. */
function stickyWords({ sticky_kept: kept, sticky_new: fresh, sticky_moved: moved }) {
  if (!(kept || fresh || moved)) return [];
  return [`${count(kept)} came again by cookie, ${count(fresh)} new, ${count(moved)} moved`];
}

/** What a part of a split is to get, and has got: empty if it is none. */
export function splitLine({ split }) {
  if (!split) return "";
  return `${share(split.wanted)} of ${split.of} wanted, ${share(split.got)} got`;
}

function share(part) {
  return part === null ? "nothing" : `${Number((100 * part).toPrecision(4))} %`;
}
