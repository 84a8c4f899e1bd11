// The rates of counters, as far back as they are shown.

/** Figures further apart than this, in seconds, are no rate but a gap. */
const GAP = 15;

/** Closer together than this, neither: two answers crossed. */
const TOO_CLOSE = 0.3;

/** The rates of counters that only grow, in the order of time. */
export class History {
  #last = null;

  constructor(length) {
    this.length = length;
    this.times = [];
    this.connections = [];
    this.received = [];
    this.sent = [];
    /** All null, unless it is about HTTP. */
    this.requests = [];
    /** What went wrong; all null if the gateway does not count that. */
    this.failed = [];
  }

  /** The counters stood like this at `now`; returns whether there are new rates. */
  add(now, connections, received, sent, requests = null, failed = null) {
    const before = this.#last;
    if (before !== null && Math.abs(now - before.now) < TOO_CLOSE) return false;
    // The gateway's clock was set back: what was before has no place any more.
    if (before !== null && now < before.now) this.#clear();
    this.#last = { now, connections, received, sent, requests, failed };
    if (before === null) return false;
    const passed = now - before.now;
    // A counter that shrank is one of another life of the gateway.
    const known = passed > 0 && passed < GAP && connections >= before.connections;
    const rate = (to, from) => (known ? Math.max(0, to - from) / passed : null);
    this.times.push(now);
    this.connections.push(rate(connections, before.connections));
    this.received.push(rate(received, before.received));
    this.sent.push(rate(sent, before.sent));
    const some = (to, from) => (to !== null && from !== null ? rate(to, from) : null);
    this.requests.push(some(requests, before.requests));
    this.failed.push(some(failed, before.failed));
    if (this.times.length > this.length) this.#forget();
    return true;
  }

  #clear() {
    for (const each of this.#columns) each.length = 0;
  }

  #forget() {
    for (const each of this.#columns) each.shift();
  }

  get #columns() {
    const { times, connections, received, sent, requests, failed } = this;
    return [times, connections, received, sent, requests, failed];
  }

  /** The rates of now, null while unknown. */
  get known() {
    const { connections, received, sent, requests, failed } = this;
    const columns = { connections, received, sent, requests, failed };
    return Object.fromEntries(
      Object.entries(columns).map(([name, column]) => [name, column.at(-1) ?? null]),
    );
  }

  /** The rates of now, zero while unknown. */
  get latest() {
    const connections = this.connections.at(-1) ?? 0;
    const received = this.received.at(-1) ?? 0;
    const sent = this.sent.at(-1) ?? 0;
    const requests = this.requests.at(-1) ?? 0;
    const failed = this.failed.at(-1) ?? 0;
    return { connections, received, sent, requests, failed, bytes: received + sent };
  }

  /** The highest rates that are remembered. */
  get peak() {
    let connections = 0;
    let most = 0;
    for (let place = 0; place < this.times.length; place += 1) {
      connections = Math.max(connections, this.connections[place]);
      most = Math.max(most, this.received[place] + this.sent[place]);
    }
    return { connections, bytes: most };
  }
}
