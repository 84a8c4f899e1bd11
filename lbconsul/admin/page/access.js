// Requests to the gateway, with the token if one was given.

const TOKEN_KEY = "lbconsul-token";
const PATIENCE = 10_000;
/** Of `/status`, as lbconsul/admin/status_model.py has it. */
const FORMAT = 2;

/**
 * The gateway does not do that for us; `wantsToken` if it would with another token, and
 * `onlyReads` if the one that was sent is good for reading.
 */
export class Refused extends Error {
  constructor(message, wantsToken, onlyReads) {
    super(message);
    this.wantsToken = wantsToken;
    this.onlyReads = onlyReads;
  }
}

/** The gateway answered, but not with what was asked for. */
export class Unexpected extends Error {}

export class Access {
  #token = null;

  constructor() {
    try {
      this.#token = sessionStorage.getItem(TOKEN_KEY);
    } catch {
      // Storage may be forbidden: then the token lasts as long as the page.
    }
  }

  /** The token that is sent; null for none. */
  get token() {
    return this.#token;
  }

  get hasToken() {
    return this.#token !== null;
  }

  /** Send this token from now on; none if null.  It is gone when the tab is. */
  use(token) {
    this.#token = token;
    try {
      if (token === null) sessionStorage.removeItem(TOKEN_KEY);
      else sessionStorage.setItem(TOKEN_KEY, token);
    } catch {
      // As above.
    }
  }

  async status() {
    const response = await this.#ask("status", { signal: AbortSignal.timeout(PATIENCE) });
    const status = await response.json();
    if (status.format !== FORMAT)
      throw new Unexpected(
        `the gateway speaks format ${status.format} of its status, and this page` +
          ` format ${FORMAT}: load the page again`,
      );
    return status;
  }

  /** The last hour of the mappings with these names, or of all, in steps of seconds. */
  async history(names = [], step = 0) {
    const query = new URLSearchParams(names.map((each) => ["mapping", each]));
    if (step) query.set("step", step);
    const signal = AbortSignal.timeout(PATIENCE);
    return (await this.#ask(`history?${query}`, { signal })).json();
  }

  /** The stream of what changes after the event `last`, if any, until `signal` ends it. */
  events(last, signal) {
    const headers = { accept: "text/event-stream", ...(last && { "last-event-id": last }) };
    return this.#ask("events", { headers, signal });
  }

  /** Order something: `order("upstreams", id, "drain")`, `order("drain")`. */
  async order(...path) {
    const signal = AbortSignal.timeout(PATIENCE);
    const url = path.map(encodeURIComponent).join("/");
    await this.#ask(url, { method: "POST", signal });
  }

  // URLs are relative, so that the page also works below a path of a reverse proxy.
  async #ask(url, { headers = {}, ...options }) {
    const authorization = this.#token && { authorization: `Bearer ${this.#token}` };
    const response = await fetch(url, {
      ...options,
      cache: "no-store",
      headers: { ...headers, ...authorization },
    }).catch((error) => {
      throw new Unexpected(
        error.name === "TypeError" ? "the gateway does not answer" : error.message,
      );
    });
    if (response.ok) return response;
    const { status } = response;
    const said = await errorOf(response);
    if (status === 401 || status === 403) {
      const challenge = response.headers.get("www-authenticate") ?? "";
      const onlyReads = challenge.includes("insufficient_scope");
      throw new Refused(said, status === 401 || onlyReads, onlyReads);
    }
    throw new Unexpected(said);
  }
}

/** What an answer says is wrong, in a sentence. */
async function errorOf(response) {
  const text = await response.text();
  try {
    return String(JSON.parse(text).error);
  } catch {
    return `the gateway answered with status ${response.status}`;
  }
}
