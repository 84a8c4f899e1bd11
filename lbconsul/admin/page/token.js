// The dialog that asks for the token, and orders that need it.

import { Refused } from "./access.js";

export class TokenDialog {
  #waiting = null;

  constructor(dialog, access) {
    this.dialog = dialog;
    this.access = access;
    this.purpose = dialog.querySelector("#token-purpose");
    this.problem = dialog.querySelector("#token-problem");
    this.field = dialog.querySelector("#token-field");
    this.submit = dialog.querySelector("#token-submit");
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#give();
    });
    dialog.querySelector("#token-cancel").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => this.#settle(false));
  }

  /** Ask for it: resolves to whether one was given, which `access` then sends. */
  ask(purpose, label, problem = "") {
    this.#settle(false);
    this.purpose.textContent = purpose;
    this.submit.textContent = label;
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
    this.field.value = "";
    this.field.setAttribute("aria-invalid", String(Boolean(problem)));
    if (!this.dialog.open) this.dialog.showModal();
    this.field.focus();
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #give() {
    const token = this.field.value.trim();
    if (!token) return;
    this.access.use(token);
    this.#settle(true);
  }

  #settle(given) {
    this.#waiting?.(given);
    this.#waiting = null;
  }
}

/** Does what its user orders, and asks for the token while that is refused. */
export class Orders {
  /** `tell(text, isBad)` shows how it went. */
  constructor(access, dialog, tell) {
    this.access = access;
    this.dialog = dialog;
    this.tell = tell;
  }

  /** Whether it was done: `give("Drain", "web-1", "upstreams", id, "drain")`. */
  async give(label, what, ...path) {
    const title = `${label} ${what}`;
    const purpose = `${title}: that needs the gateway's token.`;
    let problem = "";
    let reader = null; // the token that only reads, to go on reading with
    if (!this.access.hasToken && !(await this.dialog.ask(purpose, title))) return false;
    for (;;) {
      try {
        await this.access.order(...path);
        this.dialog.close();
        this.tell(`${what}: ${label.toLowerCase()} is ordered.`);
        return true;
      } catch (error) {
        if (!(error instanceof Refused && error.wantsToken)) {
          this.dialog.close();
          this.tell(`${title} failed: ${error.message}.`, true);
          return false;
        }
        if (error.onlyReads) reader = this.access.token;
        this.access.use(reader);
        problem = error.onlyReads
          ? "The token given so far only reads."
          : "The gateway refused this token.";
      }
      if (!(await this.dialog.ask(purpose, title, problem))) return false;
    }
  }
}
