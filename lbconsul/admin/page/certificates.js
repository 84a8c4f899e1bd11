// The certificates of mappings: a line each, and what is wrong with them, or with the
// file of their users.

import { plural } from "./format.js";

/** In a mapping's header: empty without TLS. */
export function certificateLine(mapping) {
  const { certificates, certificates_in_use: all } = mapping;
  const [first] = certificates;
  if (first === undefined) return "";
  const ends = `${all === 1 ? "" : `that of ${nameOf(first)} `}${endOf(first)}`;
  return `TLS with ${plural(all, "certificate")}: ${ends}`;
}

/** `{level, title, text}` of the worst there is; null if all are in order. */
export function certificateTrouble(mappings) {
  const found = mappings.flatMap((mapping) =>
    mapping.certificates
      .filter((each) => each.state !== "valid")
      .map((each) => ({ mapping: mapping.name, ...each })));
  const failing = mappings.filter((each) => each.certificates_error || each.passwords_error);
  const worst = found.find((each) => each.state !== "expiring") ?? found[0];
  if (worst === undefined && failing.length === 0) return null;
  const title = worst === undefined
    ? `New ${failing[0].certificates_error ? "certificates" : "passwords"} cannot be used`
    : `The certificate of ${nameOf(worst)} ${endOf(worst)}`;
  const named = found.slice(0, 3).map((each) => `${each.mapping}: ${each.source} ${endOf(each)}.`);
  if (found.length > 3) named.push(`And ${plural(found.length - 3, "other")}.`);
  const errors = failing.slice(0, 2).map((each) => `${each.certificates_error || each.passwords_error}.`);
  const isBad = worst !== undefined && worst.state !== "expiring";
  return { level: isBad ? "bad" : "warn", title, text: [...named, ...errors].join(" ") };
}

function nameOf({ names, source }) {
  return names[0] ?? source;
}

function endOf({ state, days_left: days }) {
  if (state === "early") return "is not valid yet";
  if (state === "expired") return `expired ${days === -1 ? "today" : `${plural(-days - 1, "day")} ago`}`;
  return days === 0 ? "expires today" : `expires in ${plural(days, "day")}`;
}
