/** The console: which view the address asks for, the connection, the token, and the keys. */

import { Access } from "./access.js";
import { Actions } from "./actions.js";
import { Causes } from "./causes.js";
import { connect } from "./client/index.js";
import { ask, toast } from "./dialog.js";
import { h, mark, say } from "./dom.js";
import { Feed } from "./feed.js";
import { span } from "./format.js";
import { Overview } from "./overview.js";
import { QueueView } from "./queue.js";

/** Where the app is mounted: the page is at /console below it. */
const BASE = new URL(".", document.baseURI).href;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Milliseconds before the end of a token in which that is said. */
const SOON = 300_000;
const THEMES = ["auto", "light", "dark"];

const at = (id) => document.getElementById(id);

class App {
  view = null;

  constructor() {
    this.access = new Access(() => this.begin());
    this.actions = new Actions(this);
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.key(event));
    at("skip").addEventListener("click", (event) => {
      event.preventDefault();
      at("main").focus();
    });
    at("help").addEventListener("click", () => help());
    at("theme").addEventListener("click", () => this.theme(1));
    at("who").addEventListener("click", () => (this.feed.state === "refused" ? this.refused() : this.access.show((token) => this.check(token))));
    setInterval(() => this.tell(), 1000);
    this.theme(0);
    this.begin();
  }

  /** Connect anew, with the token there is, and show everything afresh. */
  begin() {
    this.feed?.stop();
    void this.broker?.close();
    const { token, rights } = this.access;
    this.broker = connect(BASE, { patience: 0, ...(token === null ? {} : { token }) });
    this.causes = new Causes(this.broker, rights, () => this.view?.update());
    this.feed = new Feed(this.broker, () => this.sampled());
    this.view?.stop();
    this.view = null;
    this.route();
  }

  /** A call that shows whether a token holds. */
  async check(token) {
    const broker = connect(BASE, { token, patience: 0, webSocket: false });
    await broker.queues();
    await broker.close();
  }

  sampled() {
    this.tell();
    this.causes.sampled(this.feed.tracks.values());
    this.view?.update();
    if (this.feed.state === "refused") this.refused();
  }

  refused() {
    const why = this.access.token === null ? "This server lets nobody in without one." : `The one in use does not do: ${this.feed.error.message}.`;
    void this.access.ask(why, (token) => this.check(token));
  }

  /** Something was done here: show what came of it. */
  changed() {
    this.feed.hurry();
    void this.view?.messages?.refresh();
  }

  address(queue, id = "", status = "") {
    return `#/q/${queue}${id && `/${id}`}${status && `?${status}`}`;
  }

  go(address) {
    if (location.hash !== address) location.hash = address;
    this.route();
  }

  route() {
    const [path, status = ""] = location.hash.split("?");
    const [, , name = "", id = ""] = path.split("/");
    const wanted = path.startsWith("#/q/") && NAME.test(name) ? name : "";
    if (!this.view || (this.view.name ?? "") !== wanted) {
      this.view?.stop();
      this.view = wanted ? new QueueView(this, wanted) : new Overview(this);
      at("main").replaceChildren(this.view.element);
      document.title = wanted ? `${wanted} · SupersoniQ` : "SupersoniQ";
      scrollTo(0, 0);
      this.view.update();
    }
    this.view.open?.(/^[0-9a-f-]{36}$/.test(id) ? id : "", /^[a-z]*$/.test(status) ? status : "");
  }

  /** How the connection is, and the token. */
  tell() {
    const { state, transport, lostAt, error } = this.feed;
    const told = {
      connecting: "connecting…",
      live: `live${transport === "http" ? " over HTTP" : ""}`,
      lost: `not connected for ${span(Math.max(Date.now() - lostAt, 1000))}`,
      refused: "no access",
    };
    say(at("link"), told[state]);
    mark(at("link"), "class", `link ${state}`);
    mark(at("link"), "title", error?.message ?? `over ${transport === "http" ? "HTTP" : "WebSocket"}`);
    mark(at("main"), "data-stale", state === "lost" && "true");
    const { subject, expires } = this.access.rights;
    at("who").hidden = this.access.token === null && state !== "refused";
    const left = expires === null ? Infinity : expires - Date.now();
    say(at("who"), state === "refused" ? "give a token…" : left < 0 ? "token expired" : left < SOON ? `token ends in ${span(Math.ceil(left / 1000) * 1000)}` : (subject ?? "token"));
    mark(at("who"), "data-soon", left < SOON);
  }

  theme(by) {
    const old = localStorage.getItem("supersoniq.theme") ?? "auto";
    const next = THEMES[(Math.max(THEMES.indexOf(old), 0) + by) % THEMES.length];
    localStorage.setItem("supersoniq.theme", next);
    mark(document.documentElement, "data-theme", next);
    say(at("theme"), { auto: "◐", light: "○", dark: "●" }[next]);
    mark(at("theme"), "aria-label", `Colours: ${next === "auto" ? "as the system has it" : next}`);
    mark(at("theme"), "title", `Colours: ${next === "auto" ? "as the system has it" : next}`);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "Escape") {
      if (typing) event.target.blur();
      else if (!this.view.back?.()) this.go("#/");
      return;
    }
    if (typing) return;
    const deeds = {
      "/": () => at("search")?.focus(),
      "?": () => void help(),
      g: () => this.go("#/"),
      p: () => at("publish")?.click(),
      j: () => this.view.step(1),
      k: () => this.view.step(-1),
      ArrowDown: () => event.target.closest("table") && this.view.step(1),
      ArrowUp: () => event.target.closest("table") && this.view.step(-1),
    };
    const deed = deeds[event.key];
    if (deed && deed() !== null) {
      if (!event.key.startsWith("Arrow") || event.target.closest("table")) event.preventDefault();
    }
  }
}

function help() {
  const keys = [["/", "search"], ["j, k or ↓, ↑", "next and last line"], ["Enter", "open it"], ["Esc", "back"], ["p", "publish"], ["g", "all queues"], ["?", "this"]];
  return ask({
    title: "Keys",
    fields: [h("dl", { class: "facts keys" }, keys.map(([key, deed]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, deed))))],
    word: "Close",
    only: true,
  });
}

addEventListener("unhandledrejection", (event) => toast(event.reason?.message ?? String(event.reason), true));
export const app = new App();
