// What the gateway says, as it said it last, and what became of its figures.
//
// The stream tells of each look at the gateway what is other than at the look before.
// That holds only for who has followed every look, so an answer of /status, which may
// be newer or older than any of them, is never mixed into what the stream has sent: it
// is shown in its place until the stream has caught up with it.

import { History } from "./history.js";
import { Hour } from "./hour.js";
import { Picture, keyOf } from "./picture.js";
import { requestsOf } from "./requests.js";

const UPSTREAM_SAMPLES = 60;
const MAPPING_SAMPLES = 300;
const EVENTS_KEPT = 300;

/** After so long without figures the gateway is asked for what was meanwhile. */
const AWAY = 30;

/** Times further apart than this, in seconds, are those of a clock that was set. */
const CLOCK_WAS_SET = 60;

/** Whether what was seen at `one` time of the gateway's clock is older. */
function isBefore(one, other) {
  return one <= other && other - one < CLOCK_WAS_SET;
}

export class Store {
  /** The newest first. */
  events = [];
  /** As the stream numbers them: the epoch of the gateway's log, and the number. */
  lastEvent = "";
  #streamed = null;
  #newer = null;
  /** The upstreams of a whole snapshot while it arrives. */
  #whole = null;
  /** Whether the next snapshot comes whole, since the stream begins. */
  #begins = false;
  #skew = 0;
  #histories = new Map();
  #hours = new Map();
  /** Since when the gateway runs whose hours they are, and when they were added to. */
  #hoursOf = null;
  #sampled = 0;

  /** What is to be shown, as `/status` has it; null before the first. */
  get status() {
    return (this.#newer ?? this.#streamed)?.status ?? null;
  }

  /** Replace everything: a stream may follow, or another answer. */
  replace(status) {
    this.#streamed = new Picture(status);
    this.#newer = this.#whole = null;
    this.#begins = true;
    this.#timeIs(status.gateway.now);
    this.#sampleUpstreams();
    this.#sampleMappings();
    const { mappings, upstreams } = this.#streamed;
    for (const name of this.#hours.keys()) if (!mappings.has(name)) this.#hours.delete(name);
    for (const key of this.#histories.keys())
      if (!mappings.has(key) && !upstreams.has(key)) this.#histories.delete(key);
  }

  /** Whether what was before is not known: the page is new, or was away for a while. */
  get lacksHours() {
    const { gateway, mappings } = this.#streamed.status;
    // An older gateway, which keeps none, does not count what fails either.
    const has = mappings.some((each) => "failed" in each);
    const isOther = this.#hoursOf !== gateway.started;
    return has && (isOther || gateway.now - this.#sampled > AWAY);
  }

  /** What the gateway has kept of some mappings. */
  loadHours({ step, times, mappings }) {
    this.#hoursOf = this.#streamed.status.gateway.started;
    for (const row of mappings) this.hour(row.name).load(step, times, row);
  }

  /** The last hour of a mapping. */
  hour(name) {
    let hour = this.#hours.get(name);
    if (hour === undefined) {
      hour = new Hour();
      this.#hours.set(name, hour);
    }
    return hour;
  }

  /** All there is, while the stream is followed: it has yet to tell some of it. */
  preview(status) {
    if (this.#streamed !== null && isBefore(this.#streamed.now, status.gateway.now))
      this.#newer = new Picture(status);
  }

  /**
   * A part of a look: the first one has the time, those about upstreams follow.
   * Whether the stream still has everything; if not, it must be restarted.
   */
  figures(figures) {
    if (this.#streamed === null) return false;
    const { gateway, upstreams = [], gone = [] } = figures;
    const whole = gateway === undefined || this.#nextLook(gateway);
    const known = this.#streamed.merge(figures);
    this.#newer?.merge(figures);
    for (const { mapping, query, id } of upstreams)
      this.#whole?.add(keyOf(mapping, query, id));
    for (const { mapping, query, id } of gone)
      this.#histories.delete(keyOf(mapping, query, id));
    if (gateway !== undefined) {
      this.#timeIs(this.#streamed.now);
      this.#sampleMappings();
    }
    return whole && known;
  }

  /** An event with this `id` came; returns whether it is new. */
  event(event, id) {
    if (id.split("-")[0] !== this.lastEvent.split("-")[0]) this.events = [];
    this.lastEvent = id;
    if (event.id <= (this.events[0]?.id ?? 0)) return false;
    this.events.unshift(event);
    if (this.events.length > EVENTS_KEPT) this.events.pop();
    return true;
  }

  /** The time of the gateway's clock. */
  now() {
    return Date.now() / 1000 - this.#skew;
  }

  watch(query) {
    return (this.#newer ?? this.#streamed).watches.get(query) ?? null;
  }

  /** The history of a mapping, or of an upstream in a mapping's pool. */
  history(mapping, query, id) {
    const key = query === undefined ? mapping : keyOf(mapping, query, id);
    return this.#histories.get(key);
  }

  /** The last snapshot is complete; returns whether it had every known upstream. */
  #nextLook(gateway) {
    const streamed = this.#streamed;
    this.#sampleUpstreams();
    const missing = [];
    if (this.#whole !== null)
      for (const key of streamed.upstreams.keys())
        if (!this.#whole.has(key)) missing.push(key);
    // At the beginning they left between the answer of /status and the first look.
    if (this.#begins) for (const key of missing) streamed.forget(key);
    const isWhole = "state" in gateway && "max_connections" in gateway;
    const fine = this.#begins || missing.length === 0;
    this.#begins &&= this.#whole === null;
    this.#whole = isWhole ? new Set() : null;
    if (this.#newer !== null && !isBefore(streamed.now, this.#newer.taken))
      this.#newer = null;
    return fine;
  }

  #timeIs(now) {
    this.#skew = Date.now() / 1000 - now;
  }

  #sampleUpstreams() {
    // Connections to an upstream outlast a request: what is new are the requests.
    const begun = (row) => requestsOf(row) ?? row.total;
    this.#sample(this.#streamed.upstreams, begun, UPSTREAM_SAMPLES);
  }

  #sampleMappings() {
    const { now, mappings } = this.#streamed;
    this.#sample(mappings, (row) => row.accepted, MAPPING_SAMPLES, (name, row, history) =>
      this.hour(name).add(now, { ...history.known, open: row.open }),
    );
    this.#sampled = now;
  }

  /** `onRates` is told of each row that has new rates. */
  #sample(rows, begun, length, onRates = () => {}) {
    const { now } = this.#streamed;
    for (const [key, row] of rows) {
      let history = this.#histories.get(key);
      if (history === undefined) {
        history = new History(length);
        this.#histories.set(key, history);
      }
      const { bytes_received: received, bytes_sent: sent } = row;
      const counts = [begun(row), received, sent, requestsOf(row), row.failed ?? null];
      if (history.add(now, ...counts)) onRates(key, row, history);
    }
  }
}
