/** The messages of a queue: a page after the other in the order of publishing, by status, or those that a search finds. */

import { button, h, keyed, mark, rowsOf, say } from "./dom.js";
import { age, clock, count, many, preview, text } from "./format.js";

const PAGE = 50;
const STEP = 1000;
/** What a search stops at, to be asked whether to go on. */
const ENOUGH = 100;
/** Pages that are read anew by themselves when something happens, and milliseconds until large ones are, or slow ones at the latest. */
const FEW = 4;
const SELDOM = 20_000;
/** What reading may take of the time. */
const SHARE = 0.1;
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

export class Messages {
  #status = "";
  #run = 0;
  #found = [];
  #pages = 1;
  #more = false;
  #seen = 0;
  #selected = null;
  #read = 0;
  #took = 0;
  /** Whether something has happened since they were read. */
  #stale = false;
  /** The run that reads them anew, 0 if none does. */
  #reading = 0;

  /**
   * `size` tells how many messages there are of a status, `null` if that is not known. `open` is called with the id of a
   * message to look at, `redrive` with those of dead ones; it may be left out.
   */
  constructor(queue, size, address, open, redrive) {
    this.queue = queue;
    this.size = size;
    this.address = address;
    this.open = open;
    this.search = h("input", { type: "search", placeholder: "Search contents, ids, keys, headers", "aria-label": "Search messages", spellcheck: "false", autocomplete: "off", id: "search" });
    this.form = h("form", { class: "row search", role: "search", onsubmit: (event) => this.#submit(event) }, this.search, h("button", { type: "submit" }, "Search"));
    this.note = h("p", { class: "note", role: "status" });
    this.body = h("tbody");
    this.go = button("More", () => this.#onward());
    this.halt = button("Stop", () => this.#run++);
    this.these = redrive && button("", () => redrive(this.#dead()));
    const heads = ["Message", "Status", "Age", "Prio", "Tries", "Content"].map((name) => h("th", { scope: "col" }, name));
    this.element = h(
      "section",
      { class: "messages", "aria-label": "Messages" },
      this.form,
      h("div", { class: "scroll" }, h("table", { class: "list" }, h("thead", {}, h("tr", {}, heads)), this.body)),
      h("div", { class: "row" }, this.note, this.go, this.halt, this.these),
    );
    this.search.addEventListener("input", () => this.search.value || this.show(this.#status));
    this.#buttons(false);
  }

  get searching() {
    return this.search.value.trim() !== "";
  }

  /** Those of a status; of any, without one. */
  show(status) {
    this.#status = status;
    this.#pages = 1;
    return this.searching ? this.#look(null) : this.refresh();
  }

  /** Time went by: they are older now. */
  older() {
    const rows = rowsOf(this.body);
    for (const message of this.#found) {
      const row = rows.get(message.id);
      if (row) fill(row, message, Date.now());
    }
    if (this.#stale) this.happened();
  }

  /** Something happened to the queue: read anew what is shown, if that is not too much, and once it is not too soon. */
  happened() {
    this.#stale = true;
    const pause = heavy(this.#found) ? SELDOM : Math.min(this.#took / SHARE, SELDOM);
    if (this.#reading) return; // once that is done: what is begun anew again and again would never be
    if (!this.searching && this.#pages <= FEW && performance.now() - this.#read >= pause) void this.refresh();
  }

  /** Read anew what is shown, unless it was searched for. */
  async refresh() {
    if (this.searching) return;
    const run = ++this.#run;
    const began = performance.now();
    this.#stale = false;
    this.#reading = run;
    try {
      const found = await this.#page(null, PAGE * this.#pages);
      if (run !== this.#run) return;
      this.#read = performance.now();
      this.#took = this.#read - began;
      this.#found = found;
      this.#more = found.length >= PAGE * this.#pages || heavy(found);
      this.#draw();
      say(this.note, found.length ? "" : this.#status ? `No message is ${this.#status}.` : "No message is here.");
    } catch (error) {
      if (run === this.#run) this.#failed(error);
    } finally {
      if (this.#reading === run) this.#reading = 0;
    }
  }

  select(id) {
    this.#selected = id;
    for (const [key, row] of rowsOf(this.body)) mark(row, "aria-current", key === id && "true");
  }

  focus(id) {
    rowsOf(this.body).get(id)?.querySelector("a").focus();
  }

  /** The focus to the next message, or to the one before. */
  step(by) {
    const links = [...this.body.querySelectorAll("a.id")];
    const at = links.indexOf(document.activeElement);
    const from = at < 0 ? links.findIndex((link) => link.closest("tr").hasAttribute("aria-current")) : at;
    const next = links[Math.min(Math.max(from + by, 0), links.length - 1)];
    next?.focus();
    return next !== undefined;
  }

  #page(after, limit) {
    return this.queue.browse({ limit, content: "base64", ...(this.#status ? { status: this.#status } : {}), ...(after ? { after } : {}) });
  }

  #submit(event) {
    event.preventDefault();
    if (ID.test(this.search.value.trim())) this.open(this.search.value.trim().toLowerCase());
    else void this.show(this.#status);
  }

  #onward() {
    if (this.searching) return this.#look(this.#last);
    this.#pages++;
    return this.refresh();
  }

  #last = null;

  async #look(after) {
    const run = ++this.#run;
    const wanted = this.search.value.trim().toLowerCase();
    if (after === null) {
      this.#found = [];
      this.#seen = 0;
      this.#draw();
    }
    const enough = this.#found.length + ENOUGH;
    this.#buttons(true);
    try {
      for (;;) {
        const page = await this.#page(after, STEP);
        if (run !== this.#run) {
          this.#more = true;
          break;
        }
        this.#seen += page.length;
        this.#found.push(...page.filter((message) => holds(message, wanted)));
        this.#more = page.length > 0;
        if (page.length) this.#last = after = page.at(-1).id;
        this.#draw();
        const all = page.length ? this.size(this.#status) : null;
        const of = all > this.#seen ? ` of ${count(all)}` : "";
        say(this.note, `${many(this.#found.length, "message")} found in ${count(this.#seen)}${of}`);
        if (!page.length || this.#found.length >= enough) break;
      }
    } catch (error) {
      if (run === this.#run) this.#failed(error);
    }
    if (this.searching) this.#buttons(false);
  }

  #failed(error) {
    this.#more = false;
    if (error.code === "queue-not-found") this.#found = [];
    this.#draw();
    say(this.note, error.code === "queue-not-found" ? "There is no such queue any more." : error.message);
  }

  #buttons(busy) {
    this.halt.hidden = !busy;
    this.go.hidden = busy || !this.#more;
    if (!this.these) return;
    const dead = this.searching && !busy ? this.#dead().length : 0;
    this.these.hidden = !dead;
    say(this.these, dead === 1 ? "Redrive the dead one found…" : `Redrive the ${count(dead)} dead ones found…`);
  }

  #draw() {
    const now = Date.now();
    keyed(
      this.body,
      this.#found,
      ({ id }) => id,
      (message) => this.#row(message),
      (row, message) => fill(row, message, now),
    );
    this.select(this.#selected);
    this.#buttons(!this.halt.hidden && this.searching);
  }

  #dead() {
    return this.#found.filter(({ status }) => status === "dead").map(({ id }) => id);
  }

  #row({ id, content, contentType, key }) {
    const cells = {
      status: h("span", { class: "status" }),
      age: h("td", { class: "number age" }),
      tries: h("td", { class: "number tries" }),
      priority: h("td", { class: "number", "data-before": "priority" }),
      reason: h("span", { class: "reason" }),
    };
    const row = h(
      "tr",
      { onclick: (event) => event.target.closest("a") || getSelection().type === "Range" || this.open(id) },
      h("td", {}, h("a", { class: "id", href: this.address(id), title: id }, id.slice(-12))),
      h("td", {}, cells.status),
      cells.age,
      cells.priority,
      cells.tries,
      h("td", { class: "content" }, cells.reason, key === null ? null : h("span", { class: "key" }, key), h("code", {}, preview(content, contentType))),
    );
    row.told = cells;
    return row;
  }
}

function fill(row, message, now) {
  const { status, age: old, tries, priority, reason } = row.told;
  say(status, message.status);
  mark(status, "class", `status ${message.status}`);
  const waits = message.status === "scheduled" && message.availableAt > now;
  say(old, waits ? `in ${age(message.availableAt - now)}` : age(now - message.createdAt));
  mark(old, "data-label", !waits && "old");
  mark(old, "title", `published ${clock(message.createdAt)}`);
  say(tries, message.deliveries ? count(message.deliveries) : "");
  mark(tries, "data-label", message.deliveries === 1 ? "try" : "tries");
  say(priority, message.priority ? count(message.priority) : "");
  say(reason, message.reason ?? "");
}

/** A page that was cut short because its contents are large. */
function heavy(found) {
  return found.reduce((sum, { content }) => sum + content.length, 0) > 1_000_000;
}

function holds(message, wanted) {
  const { id, key, sender, recipient, reason, contentType, headers } = message;
  const words = [id, key, sender, recipient, reason, contentType, ...Object.entries(headers).flat()];
  if (words.some((word) => word?.toLowerCase().includes(wanted))) return true;
  return (text(message.content, contentType) ?? "").toLowerCase().includes(wanted);
}
