/** One message: why it is where it is, what can be done about it, what it says, and what happened to it. */

import { toast } from "./dialog.js";
import { button, h, keyed, mark, say } from "./dom.js";
import { bytes, clock, count, hexdump, indented, isJson, many, span, text } from "./format.js";

/** Milliseconds until it is read anew; what is large, or takes long, is read more seldom. */
const EVERY = 3000;
const SELDOM = 60_000;
const LARGE = 65_536;
const SHARE = 0.1;
const LONG = 50_000;
/** What a message may end by. */
const ENDS = new Set(["acked", "rejected", "expired", "cancelled", "purged", "forgotten", "corrupted"]);

export class MessageView {
  #timer;
  #message = null;
  #gone = false;
  #over = false;
  #shown = null;

  /** `app` acts; `log` tells what happened; `close` leaves. */
  constructor(app, name, id, log, close) {
    this.app = app;
    this.name = name;
    this.id = id;
    this.log = log;
    this.status = h("span", { class: "status" });
    this.why = h("p", { class: "why" });
    const manage = app.access.rights.may("manage", name);
    this.buttons = {
      redrive: manage && button("Try again", () => app.actions.redrive(name, id).then(() => this.load()), { class: "primary" }),
      cancel: manage && button("Cancel it…", () => app.actions.cancel(name, id).then((done) => done && this.#end())),
      again: app.access.rights.may("publish", name) && button("Publish one like it…", () => app.actions.publish(name, this.#message)),
    };
    this.facts = h("dl", { class: "facts" });
    this.content = h("div", { class: "content" });
    this.headers = h("div");
    this.history = h("ol", { class: "history" });
    this.back = app.access.rights.may("watch", name) && button("What was before", () => void log.follow(true), { title: "As far as the server still knows it: it keeps the last 10,000 events of a queue, while somebody watches" });
    this.element = h(
      "aside",
      { class: "message", "aria-label": "Message", tabindex: "-1" },
      h("header", { class: "row" }, h("h2", { class: "id" }, id), this.#copy("Copy the id", () => id), h("span", { class: "spring" }), button("×", close, { class: "quiet", "aria-label": "Close" })),
      h("div", { class: "row" }, this.status, Object.values(this.buttons)),
      this.why,
      this.facts,
      this.content,
      this.headers,
      h("h3", {}, "History"),
      this.history,
      this.back,
    );
    this.#enable("");
    void this.load();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#gone = true;
  }

  async load() {
    clearTimeout(this.#timer);
    const began = performance.now();
    try {
      const queue = this.app.broker.queue(this.name);
      const [message, why] = await Promise.all([queue.get(this.id, { content: "base64" }), queue.explain(this.id)]);
      if (this.#gone) return;
      this.#message = message;
      this.#draw(why);
    } catch (error) {
      if (this.#gone) return;
      if (error.code === "message-not-found" || error.code === "queue-not-found") return this.#end();
      say(this.why, error.message);
    }
    const took = performance.now() - began;
    const pause = Math.min(Math.max(EVERY * (1 + (this.#message?.content.length ?? 0) / LARGE), took / SHARE), SELDOM);
    this.#timer = setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", () => this.load(), { once: true }) : this.load()), pause);
  }

  /** It is not there any more. What is known of it stays to be seen. */
  #end() {
    this.stop();
    this.#over = true;
    say(this.status, "gone");
    mark(this.status, "class", "status");
    this.#enable("");
    this.told();
  }

  #enable(status) {
    const { redrive, cancel, again } = this.buttons;
    if (redrive) redrive.hidden = status !== "dead";
    if (cancel) cancel.hidden = !["ready", "scheduled", "dead"].includes(status);
    if (again) again.hidden = this.#message === null;
  }

  #draw(why) {
    const message = this.#message;
    say(this.status, message.status);
    mark(this.status, "class", `status ${message.status}`);
    say(this.why, why);
    this.#enable(message.status);
    const now = Date.now();
    const when = (at) => (at > now ? `${clock(at)}, in ${span(at - now)}` : `${clock(at)}, ${span(now - at)} ago`);
    const facts = [
      ["Published", when(message.createdAt)],
      [message.availableAt > now ? "Ready" : "Ready since", message.availableAt !== message.createdAt && when(message.availableAt)],
      ["Expires", message.expiresAt !== null && when(message.expiresAt)],
      ["Delivered", message.deliveries ? many(message.deliveries, "time") : "never"],
      ["Last failure", message.status !== "dead" && message.reason],
      ["Dead because", message.status === "dead" && message.reason],
      ["Priority", count(message.priority)],
      ["Key", message.key],
      ["Sender", message.sender],
      ["Recipient", message.recipient],
      ["Type", `${message.contentType}, ${bytes(message.content.length)}`],
    ].filter(([, value]) => value);
    keyed(
      this.facts,
      facts,
      ([name]) => name,
      ([name]) => h("div", {}, h("dt", {}, name), h("dd")),
      (row, [, value]) => say(row.lastChild, value),
    );
    if (this.#shown === null) {
      this.#shown = true;
      this.#content(message);
      const pairs = Object.entries(message.headers);
      if (pairs.length) {
        this.headers.append(h("h3", {}, "Headers"), h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
      }
    }
    this.told();
  }

  #content({ content, contentType }) {
    const raw = text(content, contentType);
    const json = raw !== null && isJson(contentType);
    const kinds = [json && ["Formatted", () => indented(raw)], raw !== null && ["As it is", () => raw], ["Hex", () => hexdump(content)]].filter(Boolean);
    const body = h("pre", { tabindex: "0", role: "region", "aria-label": "Content" });
    const rest = button("", () => show(at, Infinity));
    let at = 0;
    const show = (n, most = LONG) => {
      at = n;
      const all = n === kinds.length - 1 && most !== Infinity ? hexdump(content.subarray(0, LONG / 4)) : kinds[n][1]();
      say(body, all.slice(0, most) || "(empty)");
      const left = n === kinds.length - 1 ? content.length > LONG / 4 : all.length > LONG;
      rest.hidden = most === Infinity || !left;
      say(rest, `Show all ${bytes(content.length)}`);
      tabs.forEach((tab, m) => mark(tab, "aria-pressed", String(m === n)));
    };
    const tabs = kinds.map(([name], n) => button(name, () => show(n), { class: "tab" }));
    const copy = raw === null ? null : this.#copy("Copy the content", () => raw);
    this.content.append(h("div", { class: "row" }, h("h3", {}, "Content"), h("span", { class: "spring" }), tabs.length > 1 ? tabs : null, copy), body, rest);
    show(0);
  }

  /** There is more to tell of what happened. */
  told() {
    const known = this.log.of(this.id);
    const items = [];
    const message = this.#message;
    if (message && known[0]?.kind !== "published") {
      items.push({ offset: "published", kind: "published", at: message.createdAt, reason: message.sender && `by ${message.sender}` });
      const earlier = (known.find(({ kind }) => kind === "leased")?.deliveries ?? message.deliveries + 1) - 1;
      if (earlier > 0) items.push({ offset: "earlier", kind: "leased", at: null, deliveries: null, reason: `${many(earlier, "time")}, before this page was opened` });
    }
    items.push(...known);
    keyed(
      this.history,
      items,
      ({ offset, kind }) => `${offset} ${kind}`,
      ({ at, kind, reason, deliveries }) =>
        h("li", {}, h("span", { class: "time" }, at === null ? "" : clock(at)), h("span", { class: `kind ${kind}` }, kind), kind === "leased" && deliveries ? ` delivery ${count(deliveries)}` : null, reason && kind !== "leased" ? h("span", { class: "reason" }, reason) : kind === "leased" && !deliveries ? ` ${reason}` : null),
    );
    if (this.back) this.back.hidden = this.log.whole;
    if (!this.#over) return;
    // Its last event may be told a moment after the answer to what brought it about.
    const last = known.at(-1);
    say(this.why, ENDS.has(last?.kind) ? `It is not there any more: ${last.kind} at ${clock(last.at)}.` : "It is not there any more: done, cancelled, purged or expired.");
  }

  #copy(label, what) {
    return button("Copy", () => navigator.clipboard.writeText(what()).then(() => toast("Copied."), (error) => toast(String(error), true)), { class: "quiet", "aria-label": label });
  }
}
