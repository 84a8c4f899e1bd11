// Server-sent events out of a fetched body.  EventSource would do the same, but cannot
// send the Authorization header that a gateway may ask for.

/** Gathers lines into events, as the HTML standard has it. */
export class EventParser {
  #rest = "";
  #data = [];
  #type = "";
  #id = "";

  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return; // A comment keeps the connection alive.
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    if (this.#data.length > 0) {
      const type = this.#type || "message";
      this.onEvent({ type, id: this.#id, data: this.#data.join("\n") });
    }
    this.#data = [];
    this.#type = "";
  }
}

/** Read `response` to its end: `heard` is called for anything at all that comes. */
export async function readEvents(response, heard, onEvent) {
  const parser = new EventParser(onEvent);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    parser.feed(value);
  }
}
