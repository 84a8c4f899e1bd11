// The page: what the gateway tells goes into the store, and from there on the screen.

import { Access } from "./access.js";
import { Banners } from "./banners.js";
import { Connection } from "./connection.js";
import { element, svg } from "./dom.js";
import { Gateway } from "./gateway.js";
import { Mappings } from "./mappings.js";
import { coloursChanged, onColours } from "./palette.js";
import { Problems } from "./problems.js";
import { STANDINGS } from "./standing.js";
import { Store } from "./store.js";
import { Summary } from "./summary.js";
import { Announcer, Timeline } from "./timeline.js";
import { Orders, TokenDialog } from "./token.js";
import { View } from "./view.js";

const find = (id) => document.getElementById(id);

class App {
  #due = false;

  constructor() {
    this.access = new Access();
    this.store = new Store();
    this.connection = new Connection(this.access, this.store);
    this.dialog = new TokenDialog(find("token"), this.access);
    this.orders = new Orders(this.access, this.dialog, (text, bad) => this.#tell(text, bad));
    this.announcer = new Announcer(find("announcer"));
    this.summary = new Summary(document);
    this.problems = new Problems(find("problems"));
    this.view = new View(document, {
      onChange: () => this.#changed(),
      onStep: (by) => this.mappings.step(by),
      onProblem: () => this.#nextProblem(),
      onTheme: () => this.#nextTheme(),
    });
    this.mappings = new Mappings(document, this.store, this.view, {
      onOrder: (row, verb) => this.#order(row, verb),
      onOpen: (name) => this.connection.recall(name),
      onAgain: () => this.#changed(),
    });
    this.timeline = new Timeline(find("timeline"));
    this.gateway = new Gateway(document, () => find("drain").showModal());
    this.banners = new Banners(find("banners"), (text) => this.announcer.say(text), {
      onRetry: () => this.connection.retry(),
      onToken: () => this.#askToRead(),
    });
    showLegend(find("legend"));
    this.#listen();
  }

  #listen() {
    this.connection.addEventListener("change", () => this.#changed());
    this.connection.addEventListener("news", ({ detail }) =>
      this.announcer.say(`${detail.kind}: ${detail.text}`),
    );
    this.connection.addEventListener("refused", () => {
      if (this.connection.wantsToken) this.#askToRead();
    });
    find("drain-yes").addEventListener("click", () => this.#drainGateway());
    find("drain-no").addEventListener("click", () => find("drain").close());
    find("notice-close").addEventListener("click", () => (find("notice").hidden = true));
    find("theme").addEventListener("click", () => this.#nextTheme());
    onColours(() => this.mappings.repaint());
    const follow = () => this.mappings.follow(location.hash);
    addEventListener("hashchange", follow);
    document.addEventListener("click", ({ target }) => {
      // A link to the place where the address is already leads there as well.
      if (target.closest?.("#problems a")?.hash === location.hash) follow();
    });
    follow();
    this.#nameTheme();
    // Ages grow while nothing is heard; that is when they matter.
    setInterval(() => {
      if (this.connection.phase !== "live") this.#changed();
    }, 1000);
  }

  run() {
    return this.connection.run();
  }

  /** Show everything again with the next frame; hidden parts cost nothing. */
  #changed() {
    this.summary.update(this.connection, this.store, this.problems.all);
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#render();
    });
  }

  #render() {
    const { connection, store } = this;
    this.banners.update(connection, store);
    const { phase } = connection;
    document.body.dataset.phase = phase;
    find("loading").hidden = store.status !== null || phase !== "loading";
    if (store.status === null) return;
    const { gateway, mappings } = store.status;
    const now = store.now();
    find("content").hidden = false;
    find("nothing").hidden = mappings.length > 0;
    const shownAt = phase === "lost" ? gateway.now : now;
    this.problems.update(this.mappings.update(this.store.status, shownAt));
    if (!this.shown) performance.mark("shown");
    this.shown = true;
    this.timeline.update(store.events);
    this.gateway.update(gateway, now);
  }

  #nextProblem() {
    const links = [...find("problems").querySelectorAll("a")];
    const next = links[links.indexOf(document.activeElement) + 1] ?? links[0];
    next?.focus();
  }

  async #order(row, verb) {
    const { id, service_id: name } = row.upstream;
    row.busy(true);
    const label = verb[0].toUpperCase() + verb.slice(1);
    await this.orders.give(label, name, "upstreams", id, verb);
    row.busy(false);
  }

  async #drainGateway() {
    find("drain").close();
    await this.orders.give("Drain", "this gateway", "drain");
  }

  async #askToRead() {
    const purpose = "This gateway shows its state only with its token.";
    const had = this.access.hasToken;
    const problem = had ? "The gateway refused this token." : "";
    this.access.use(null);
    if (await this.dialog.ask(purpose, "Show", problem)) {
      this.dialog.close();
      this.connection.retry();
    }
  }

  #tell(text, bad = false) {
    find("notice-text").textContent = text;
    find("notice").dataset.level = bad ? "bad" : "good";
    find("notice").hidden = false;
    clearTimeout(this.noticeEnds);
    if (!bad) this.noticeEnds = setTimeout(() => (find("notice").hidden = true), 6000);
  }

  #nextTheme() {
    const themes = ["auto", "light", "dark"];
    const next = themes[(themes.indexOf(window.lbconsulTheme.chosen()) + 1) % 3];
    window.lbconsulTheme.choose(next);
    this.#nameTheme();
    coloursChanged();
  }

  #nameTheme() {
    find("theme").querySelector("b").textContent = window.lbconsulTheme.chosen();
  }
}

function showLegend(root) {
  for (const [name, { path, means }] of Object.entries(STANDINGS)) {
    const sign = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: path }));
    const words = element("span", {}, element("b", {}, name), ` ${means}`);
    root.append(element("li", { "data-standing": name }, sign, words));
  }
  const share = element("span", {}, "where a bar would end if shared fairly by weight");
  root.append(element("li", {}, element("i", { "aria-hidden": "true" }), share));
}

new App().run();
