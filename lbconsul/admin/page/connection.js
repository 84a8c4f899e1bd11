// Stays in touch with the gateway: a stream while there is one, else polls.

import { Refused } from "./access.js";
import { readEvents } from "./sse.js";

/** Of more mappings than this, which are a list, there are curves in long steps. */
export const FEW = 6;
const LONG_STEP = 60;
const POLL_EVERY = 2000;
/** After a stream that failed or was silent, poll for so long. */
const NO_STREAM_FOR = 15_000;
/** Figures come every second or a few: a stream that is silent for longer is none. */
const SILENCE = 15_000;
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 10_000;

/**
 * `phase` is one of
 *   "loading"  nothing was heard yet,
 *   "live"     the stream is there,
 *   "polling"  requests are answered, but there is no stream,
 *   "lost"     no answer, `since` then,
 *   "refused"  the gateway wants a token, or another one.
 */
export class Connection extends EventTarget {
  phase = "loading";
  since = Date.now();
  /** Why it is lost or refused. */
  problem = "";
  /** Whether the token would help. */
  wantsToken = false;
  #failures = 0;
  #noStreamBefore = 0;
  #wake = () => {};
  #preview = null;
  #lastAnswer = { ended: 0, took: 0 };

  constructor(access, store) {
    super();
    this.access = access;
    this.store = store;
  }

  /** Keep in touch, for ever. */
  async run() {
    for (;;) {
      try {
        await this.#refresh();
        this.#failures = 0;
        await this.#follow();
      } catch (error) {
        await this.#fail(error);
      }
    }
  }

  /** Try again now, instead of after the pause. */
  retry() {
    this.#wake();
  }

  /** Show soon what an event says: the figures would follow later. */
  #previewSoon() {
    if (this.#preview !== null) return;
    // A large status is some work for the gateway: a twentieth of the time at most.
    const rest = 20 * this.#lastAnswer.took;
    const wait = Math.max(0, this.#lastAnswer.ended + rest - performance.now());
    this.#preview = setTimeout(async () => {
      try {
        this.store.preview(await this.#ask());
        this.#changed();
      } catch {
        // If the gateway is gone, the stream ends as well.
      } finally {
        this.#preview = null;
      }
    }, wait);
  }

  async #refresh() {
    this.store.replace(await this.#ask());
    this.#changed();
    if (this.store.lacksHours) this.recall();
  }

  /** Ask what was before: of all mappings, if they are few or in long steps, or of one. */
  async recall(name = null) {
    const { mappings } = this.store.status;
    const step = name === null && mappings.length > FEW ? LONG_STEP : 0;
    try {
      this.store.loadHours(await this.access.history(name === null ? [] : [name], step));
      this.#changed();
    } catch {
      // The charts begin now; it is asked for again when the connection was lost.
    }
  }

  async #ask() {
    const began = performance.now();
    const status = await this.access.status();
    const ended = performance.now();
    this.#lastAnswer = { ended, took: ended - began };
    return status;
  }

  /** Live on the stream until it ends; without one, wait for the next poll. */
  async #follow() {
    if (Date.now() >= this.#noStreamBefore) {
      if (!(await this.#stream())) this.#noStreamBefore = Date.now() + NO_STREAM_FOR;
      return this.#pause(FIRST_PAUSE / 4);
    }
    this.#enter("polling");
    await this.#pause(POLL_EVERY);
  }

  /** Whether there was a stream that was worth it: it is over now. */
  async #stream() {
    const abort = new AbortController();
    let silence = null;
    let worthIt = false;
    const waitFor = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        worthIt = false;
        abort.abort();
      }, SILENCE);
    };
    const heard = () => {
      worthIt = true;
      waitFor();
      this.#enter("live");
    };
    waitFor();
    try {
      const response = await this.access.events(this.store.lastEvent, abort.signal);
      await readEvents(response, heard, (event) => this.#take(event) || abort.abort());
    } catch (error) {
      if (error instanceof Refused) throw error;
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
    return worthIt;
  }

  /** Whether the stream can be followed further. */
  #take({ type, id, data }) {
    if (type === "reset") return false;
    const value = JSON.parse(data);
    let follows = true;
    if (type === "figures") {
      follows = this.store.figures(value);
    } else if (this.store.event(value, id)) {
      this.#previewSoon();
      this.dispatchEvent(new CustomEvent("news", { detail: value }));
    }
    this.#changed();
    return follows;
  }

  async #fail(error) {
    this.problem = error.message;
    if (error instanceof Refused) {
      this.wantsToken = error.wantsToken;
      this.#enter("refused");
      this.dispatchEvent(new Event("refused"));
      return this.#pause(Infinity);
    }
    this.#enter("lost");
    this.#failures += 1;
    return this.#pause(
      Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1)),
    );
  }

  #enter(phase) {
    if (phase === this.phase) return;
    this.phase = phase;
    this.since = Date.now();
    this.#changed();
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (milliseconds !== Infinity) setTimeout(resolve, milliseconds);
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
