/** One queue: its state, its last five minutes, its messages, what happens to them, and its policy. */

import { Attention } from "./attention.js";
import { Chart } from "./chart.js";
import { button, h, mark, say } from "./dom.js";
import { calm, flooded, EventLog, EventsView } from "./events.js";
import { count, span } from "./format.js";
import { MessageView } from "./message.js";
import { menu } from "./menu.js";
import { Messages } from "./messages.js";

const STATUSES = ["", "ready", "leased", "scheduled", "dead", "done"];
const TABS = ["Messages", "Events", "Policy"];
/** Seconds of the policy are shown as spans. */
const SPANS = ["lease", "dedup_window", "keep_done", "keep_dead", "initial", "maximum"];

export class QueueView {
  #status = "";
  #tab = "Messages";
  #last = "";
  #message = null;
  #asked = false;

  constructor(app, name) {
    this.app = app;
    this.name = name;
    this.title = name;
    const queue = app.broker.queue(name);
    const may = (verb) => app.access.rights.may(verb, name);
    this.log = new EventLog(queue, () => this.#told());
    this.attention = new Attention(app, false);
    this.messages = new Messages(queue, (status) => this.#size(status), (id) => app.address(name, id, this.#status), (id) => app.go(app.address(name, id, this.#status)), may("manage") && ((ids) => app.actions.redriveThese(name, ids).then((done) => done && this.messages.show(this.#status))));
    this.events = new EventsView(this.log, (id) => app.address(name, id), () => this.#track());
    this.policy = h("section", { class: "policy", "aria-label": "Policy and totals" });
    const stats = () => this.#track().stats;
    this.deeds = {
      publish: may("publish") && button("Publish…", () => app.actions.publish(name), { class: "primary", id: "publish" }),
      pause: may("manage") && button("Pause…", () => app.actions.pause(name)),
      resume: may("manage") && button("Resume", () => app.actions.resume(name)),
      redrive: may("manage") && button("Redrive…", () => app.actions.redriveAll(name, stats().dead)),
      purge: may("manage") && button("Purge…", () => app.actions.purge(name, stats())),
      remove: may("manage") && button("Delete…", () => app.actions.remove(name, stats()).then((done) => done && app.go("#/"))),
    };
    const { publish, pause, resume, redrive, purge, remove } = this.deeds;
    this.more = purge && menu("More", [purge, remove]);
    this.readonly = !may("manage") && h("span", { class: "chip" }, may("publish") ? "no right to manage" : "read only");
    this.tiles = STATUSES.map((status) => {
      const value = h("b");
      const tile = button([value, status || "all"], () => this.show(status), { class: `tile ${status}`, "aria-pressed": "false" });
      tile.figure = value;
      return tile;
    });
    this.charts = [
      new Chart("Messages", [{ name: "ready", field: "ready", kind: "ready" }, { name: "leased", field: "leased", kind: "leased" }, { name: "dead", field: "dead", kind: "dead" }], false),
      new Chart("Rates", [{ name: "published", field: "published", kind: "ready" }, { name: "done", field: "acked", kind: "done" }, { name: "failed", field: "failed", kind: "dead" }], true),
    ];
    this.tabs = TABS.map((tab) => button(tab, () => this.turn(tab), { role: "tab", id: `tab-${tab}`, class: "tab", onkeydown: (event) => this.#arrow(event) }));
    const allowed = (verb, panel) => (may(verb) ? panel : h("section", {}, h("p", { class: "note" }, `That takes a token with ${verb}:${name}.`)));
    this.panels = { Messages: allowed("browse", this.messages.element), Events: allowed("watch", this.events.element), Policy: this.policy };
    for (const [tab, panel] of Object.entries(this.panels)) {
      mark(panel, "role", "tabpanel");
      mark(panel, "aria-labelledby", `tab-${tab}`);
    }
    this.beside = h("div", { class: "beside" });
    this.gone = h("p", { class: "note", role: "status" });
    this.element = h(
      "div",
      { class: "queue" },
      h("div", { class: "row head" }, h("nav", { "aria-label": "Where" }, h("a", { href: "#/" }, "Queues"), " / "), h("h1", {}, name), this.readonly, h("span", { class: "spring" }), h("div", { class: "row deeds" }, publish, pause, resume, redrive, this.more)),
      this.gone,
      this.attention.element,
      h("div", { class: "tiles", role: "group", "aria-label": "Messages by status" }, this.tiles),
      h("div", { class: "charts" }, this.charts.map((chart) => chart.element)),
      h("div", { class: "row tabs", role: "tablist", "aria-label": "Of this queue" }, this.tabs),
      h("div", { class: "split" }, h("div", { class: "panels" }, Object.values(this.panels)), this.beside),
    );
    this.turn("Messages");
  }

  /** Follow the address: a status to show, and a message to open. */
  open(id, status) {
    if (status !== this.#status || !this.#asked) {
      this.#status = status;
      this.#asked = true;
      for (const [n, each] of STATUSES.entries()) mark(this.tiles[n], "aria-pressed", String(each === status));
      if (this.app.access.rights.may("browse", this.name)) void this.messages.show(status);
    }
    if ((this.#message?.id ?? "") === id) return;
    this.#message?.stop();
    this.#message = null;
    this.beside.replaceChildren();
    this.messages.select(id || null);
    mark(this.element, "data-open", id !== "");
    if (!id) return;
    this.#message = new MessageView(this.app, this.name, id, this.log, () => this.back());
    this.beside.append(this.#message.element);
    this.#message.element.focus({ preventScroll: matchMedia("(min-width: 70rem)").matches });
  }

  show(status) {
    this.turn("Messages");
    this.app.go(this.app.address(this.name, "", status));
  }

  /** Close the message, and give the focus back to its line. Gives whether there was one. */
  back() {
    if (!this.#message) return false;
    const { id } = this.#message;
    this.app.go(this.app.address(this.name, "", this.#status));
    this.messages.focus(id);
    return true;
  }

  turn(tab) {
    this.#tab = tab;
    TABS.forEach((each, n) => {
      mark(this.tabs[n], "aria-selected", String(each === tab));
      mark(this.tabs[n], "tabindex", each === tab ? "0" : "-1");
      this.panels[each].hidden = each !== tab;
    });
    if (tab === "Events") this.events.draw();
    if (tab === "Policy") void this.#describe();
  }

  step(by) {
    return this.#tab === "Messages" && this.messages.step(by);
  }

  stop() {
    this.log.stop();
    this.#message?.stop();
  }

  update() {
    const track = this.#track();
    const { stats } = track;
    const there = this.app.feed.tracks.has(this.name);
    say(this.gone, there || this.app.feed.state !== "live" ? "" : `There is no queue ${this.name}. The first message published to it makes it.`);
    this.attention.draw(there ? [track] : []);
    STATUSES.forEach((status, n) => say(this.tiles[n].figure, stats ? count(this.#size(status)) : "–"));
    mark(this.tiles[STATUSES.indexOf("dead")], "data-zero", !stats?.dead);
    for (const chart of this.charts) chart.draw(track.points);
    const { pause, resume, redrive } = this.deeds;
    if (pause) {
      pause.hidden = !stats || stats.paused;
      resume.hidden = !stats?.paused;
      redrive.hidden = !stats?.dead;
      this.more.hidden = !stats;
    }
    this.messages.older();
    if (!stats) return;
    if (!this.log.following && !this.log.asked && track.points.length > 1 && calm(track) && this.app.access.rights.may("watch", this.name)) {
      this.log.asked = true;
      void this.log.follow();
    }
    if (this.log.following && !this.log.wanted && flooded(track)) this.log.stop();
    const now = JSON.stringify(stats);
    // The first figures as well, which may know of more than the list does.
    if (now !== this.#last && this.app.access.rights.may("browse", this.name)) this.messages.happened();
    this.#last = now;
    if (this.#tab === "Events") this.events.draw();
  }

  /** How many messages there are of a status; of any, without one. */
  #size(status) {
    const { stats } = this.#track();
    return stats && (status ? stats[status] : held(stats));
  }

  #track() {
    return this.app.feed.tracks.get(this.name) ?? { name: this.name, stats: null, points: [], oldest: null, rate: () => null, grown: () => null, still: () => 0 };
  }

  #drawing = false;

  /** However many events come, the page is drawn once a frame. */
  #told() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.#tab === "Events") this.events.draw();
      this.#message?.told();
    });
  }

  async #describe() {
    try {
      const { policy, stats } = await this.app.broker.queue(this.name).describe();
      const list = (title, pairs) => [h("h3", {}, title), h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, value))))];
      const totals = Object.entries(stats).filter(([, value]) => typeof value === "number").map(([name, value]) => [name, count(value)]);
      this.policy.replaceChildren(...list("Policy", Object.entries(policy).flatMap(([name, value]) => told(name, value))), ...list("Totals", totals));
    } catch (error) {
      this.policy.replaceChildren(h("p", { class: "note" }, error.message));
    }
  }

  #arrow(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = (TABS.indexOf(this.#tab) + by + TABS.length) % TABS.length;
    this.turn(TABS[next]);
    this.tabs[next].focus();
  }
}

const held = (stats) => stats.ready + stats.leased + stats.scheduled + stats.dead + stats.done;

function told(name, value) {
  if (value !== null && typeof value === "object") return Object.entries(value).map(([each, one]) => told(each, one)[0]).map(([each, one]) => [`${name}, ${each}`, one]);
  if (value === null) return [[name, "none"]];
  if (SPANS.includes(name) && typeof value === "number") return [[name, value ? span(1000 * value) : "none"]];
  return [[name, typeof value === "number" ? count(value) : String(value)]];
}
