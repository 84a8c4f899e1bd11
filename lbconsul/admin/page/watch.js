// What a pool says of its watch: how old Consul's last confirmation is.

import { Attribute, Words, element } from "./dom.js";
import { clock, count, plural, span } from "./format.js";
import { serves } from "./standing.js";

/** What Consul said last about it, and when. */
export class WatchLine {
  constructor() {
    this.words = new Words();
    this.note = new Words();
    this.skipped = new Words();
    this.node = element(
      "p",
      { class: "watch" },
      this.words.node,
      element("span", { class: "note" }, this.note.node),
      element("span", { class: "note skipped" }, this.skipped.node),
    );
    this.state = new Attribute(this.node, "data-state");
  }

  update(watch, pool, now) {
    this.node.hidden = watch === null;
    if (watch === null) return;
    this.state.set(watch.state);
    this.words.set(watchInWords(watch, now));
    const standing = pool.upstreams.filter((each) => serves(each.standing)).length;
    this.note.set(`${count(standing)} of ${plural(pool.upstreams.length, "upstream")} serving`);
    this.skipped.set(skippedInWords(watch));
  }
}

/** The first instance that is not connected to, why, and how many there are. */
function skippedInWords({ skipped, skipped_instances: instances }) {
  if (!skipped) return "";
  const [{ instance, reason }] = instances;
  const more = skipped > 1 ? `, and ${count(skipped - 1)} more` : "";
  return `Skipped: ${instance} (${reason})${more}`;
}

function watchInWords({ state, age, datacenter, failing_since: failing }, now) {
  const where = datacenter ? `Consul (${datacenter})` : "Consul";
  const old = age === null ? "never confirmed" : `confirmed ${span(age)} ago`;
  switch (state) {
    case "watching":
      return `${where} ${old}`;
    case "waiting":
      return `Waiting for the first answer of ${where}`;
    case "snapshot":
      return `From a snapshot: ${where} has not answered yet, ${old}`;
    case "fixed":
      return "A fixed address: no query to Consul";
    default: {
      const since = failing === null ? "" : ` since ${clock(failing)} (${span(now - failing)})`;
      return `${where} fails${since}; what is served was ${old}`;
    }
  }
}
