// The text of a pool in which no upstream serves.

import { Words, element } from "./dom.js";
import { serves } from "./standing.js";

/** What the operator can do while the pool has no usable upstream. */
export class Empty {
  constructor() {
    this.title = new Words();
    this.hint = new Words();
    this.code = new Words();
    this.node = element(
      "div",
      { class: "empty", hidden: true },
      element("strong", {}, this.title.node),
      element("p", {}, this.hint.node),
      (this.sample = element("pre", { tabindex: "0" }, this.code.node)),
    );
  }

  update(pool, watch, mapping) {
    const { upstreams, query } = pool;
    const isBare = upstreams.length === 0;
    const isWanted = isLookedAt(pool, mapping);
    const none = !isBare && isWanted && !upstreams.some((each) => serves(each.standing));
    this.node.hidden = !isBare && !none;
    this.node.toggleAttribute("data-quiet", !isWanted);
    if (this.node.hidden) return;
    const service = watch?.service ?? mapping.service;
    this.sample.hidden = !isBare || watch?.state === "waiting";
    if (none) {
      this.title.set(`No upstream of ${query} serves`);
      this.hint.set("The reasons are beside them. New clients wait, or their connections are closed.");
    } else if (watch?.state === "waiting") {
      this.title.set(`Consul has not answered yet for ${query}`);
      this.hint.set(
        watch.last_error
          ? `The query fails: ${watch.last_error}. The query is repeated.`
          : "The gateway has sent the query.",
      );
    } else {
      this.title.set(`Consul knows no instance of ${query} that may serve`);
      const why = mapping.empty ? `${sentence(mapping.empty)} ` : "";
      this.hint.set(
        `${why}One that is registered, with its checks passing, gets connections at once:`,
      );
      this.code.set(
        `consul services register -name=${service} -id=${service}-1 -port=8080`,
      );
    }
  }
}

/** Whether it is this pool that connections are missing: where none is used, the first. */
function isLookedAt(pool, { pools }) {
  return pool.used || (!pools.some((each) => each.used) && pool === pools[0]);
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
